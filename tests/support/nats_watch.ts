// Shell. Looks after three NATS servers as whoever runs them does: waits until all have everything, restarts the stuck.

import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { isHealthy, type NatsServer, streamViews } from "./nats.ts";
import { until } from "./until.ts";

/** Without a leader, or with a server that is behind, for so long: somebody restarts the servers. */
export const STUCK_MS = 60_000;

/** Time that a server has after its restart before the next one is restarted. */
const BETWEEN_RESTARTS_MS = 30_000;

/** Longest time until all servers have everything again, restarts included. */
const CURRENT_MS_MAX = 600_000;

/** What their own monitoring says of a cluster. */
export interface ClusterState {
  readonly leader: NatsServer | undefined;
  /** Servers that are not current by the word of the one that leads; all when none does. */
  readonly behind: readonly NatsServer[];
  /** All servers have what the leader had when it was last asked for anew. */
  readonly allCurrent: boolean;
}

/** One stream of several servers. */
export class NatsWatch {
  /** How often there was no leader for {@linkcode STUCK_MS}, and how often a server stayed behind so long. */
  leaderless = 0;
  behind = 0;
  /** Servers that were killed and started because of that. */
  restarts = 0;
  /** What all must have to be current. */
  #goal: number | undefined;
  #ledAtMs = systemClock.nowMs();
  #currentAtMs = systemClock.nowMs();

  constructor(
    readonly servers: readonly NatsServer[],
    readonly stream: string,
    readonly say: (text: string) => void,
  ) {}

  /** Forgets what all had: something is about to happen to one of them. */
  disturb(): void {
    this.#goal = undefined;
    this.#ledAtMs = this.#currentAtMs = systemClock.nowMs();
  }

  /** What the servers say now. */
  async look(): Promise<ClusterState> {
    const { servers, stream } = this;
    const views = await streamViews(servers, stream);
    const leading = views.filter(({ leads }) => leads).sort((a, b) => b.last - a.last)[0];
    const nowMs = systemClock.nowMs();
    if (leading === undefined) return { leader: undefined, behind: servers, allCurrent: false };
    this.#ledAtMs = nowMs;
    this.#goal ??= leading.last;
    const goal = this.#goal;
    const behind = servers.filter((one) =>
      one !== leading.server && !leading.current.includes(one.serverName)
    );
    const allCurrent = views.length === servers.length &&
      behind.length === 0 && views.every(({ last }) => last >= goal) &&
      (await Promise.all(servers.map(isHealthy))).every((one) => one);
    if (allCurrent) this.#currentAtMs = nowMs;
    return { leader: leading.server, behind, allCurrent };
  }

  /** Looks, and restarts those servers one after the other that do not come to terms. */
  async tend(): Promise<ClusterState> {
    const state = await this.look();
    const nowMs = systemClock.nowMs();
    const isLeaderless = nowMs - this.#ledAtMs >= STUCK_MS;
    if (!isLeaderless && nowMs - this.#currentAtMs < STUCK_MS) return state;
    if (isLeaderless) this.leaderless++;
    else this.behind++;
    const what = isLeaderless ? "has no leader" : "has a server that is behind";
    // All are current by its word where one has less than they had, or is not well.
    const stuck = state.behind.length > 0 ? state.behind : this.servers;
    const names = stuck.map(({ serverName }) => serverName).join(", ");
    this.say(`the cluster ${what} for ${STUCK_MS / 1000} s: restarted in turn: ${names}`);
    for (const server of this.servers) this.say(`${server.name}: ${server.log.slice(-2000)}`);
    await this.#restartInTurn(stuck);
    return await this.look();
  }

  /** Waits until all servers have everything. */
  async untilCurrent(): Promise<void> {
    const options = { timeoutMs: CURRENT_MS_MAX, intervalMs: 200, what: "servers to be current" };
    await until(async () => (await this.tend()).allCurrent, options);
  }

  /** No further one once all are current. */
  async #restartInTurn(servers: readonly NatsServer[]): Promise<void> {
    for (const server of servers) {
      await server.kill9();
      await server.start();
      this.restarts++;
      this.disturb();
      const endMs = systemClock.nowMs() + BETWEEN_RESTARTS_MS;
      while (systemClock.nowMs() < endMs) {
        if ((await this.look()).allCurrent) return;
        await sleep(systemClock, 500);
      }
    }
    this.disturb();
  }
}
