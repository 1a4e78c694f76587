// Shell. For tests: agents and the sessions of their servers as shipped, in virtual time.

import { formatAddress } from "../../reactor/address.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import type { Pong } from "../../proto/codec.ts";
import { SessionClient } from "../../session/session_client.ts";
import { SessionServer } from "../../session/session_server.ts";
import { SimNetwork } from "../../session/testing/sim_network.ts";
import { ChosenLink, RETURN_MS } from "../chosen_link.ts";
import type { ServerAddress, ServerLookup, ServerOrder } from "../server_choice.ts";

const noNames: ServerLookup = {
  hosts: () => Promise.reject(new Error("no names here")),
  services: () => Promise.reject(new Error("no names here")),
};

/** The same time as another clock, on a scale of its own: so beats of two agents do not coincide. */
function shifted(clock: Clock, byMs: number): Clock {
  return {
    nowMs: () => clock.nowMs() + byMs,
    wallMs: () => clock.wallMs(),
    setTimer: (delayMs, action) => clock.setTimer(delayMs, action),
  };
}

/** One agent of a {@linkcode LinkWorld}. */
export interface LinkedAgent {
  readonly link: ChosenLink;
  readonly zone: string;
  /** Longest time without a server since the last look, and when it lost the one it had. */
  longestMs: number;
  lostAtMs: number | undefined;
}

/** Servers, and agents that choose among them. */
export class LinkWorld {
  readonly clock = new ManualClock(1000);
  readonly network = new SimNetwork(this.clock);
  readonly agents: LinkedAgent[] = [];
  readonly servers = new Map<string, SessionServer>();
  /** Servers that say that they are behind, and since when. */
  readonly behindSinceMs = new Map<string, number>();
  readonly #rng = seededRng(7);

  /** Starts a server at this host. */
  serve(hostname: string): void {
    const server = new SessionServer({
      role: "dns",
      init: { hostname, connectionsMax: 20_000, software: "sim", secrets: undefined },
      clock: this.clock,
      log: silentLogger,
      transport: this.network.server,
      pongDetail: () => this.#detailOf(hostname),
    });
    void server.listen(7778, false);
    this.servers.set(hostname, server);
  }

  #detailOf(hostname: string): Partial<Pong> {
    const sinceMs = this.behindSinceMs.get(hostname);
    return sinceMs === undefined ? {} : { behindMs: this.clock.nowMs() - sinceMs };
  }

  /** Adds agents that link at once. */
  join(
    count: number,
    servers: readonly ServerAddress[],
    zoneOf: (index: number) => string,
    more: { order?: ServerOrder; returnMs?: number; ageMs?: number; lookup?: ServerLookup } = {},
  ): void {
    for (let index = 0; index < count; index++) {
      const clock = shifted(this.clock, this.#rng.next() * 1600);
      const rng = seededRng(1000 + index);
      const shared = { clock, rng, log: silentLogger };
      const { order = "spread", returnMs = RETURN_MS, ageMs = 0, lookup = noNames } = more;
      const zone = zoneOf(index);
      const agent: LinkedAgent = {
        zone,
        longestMs: 0,
        lostAtMs: this.clock.nowMs(),
      } as LinkedAgent;
      const link = new ChosenLink({
        ...{ ...shared, name: "dns", servers, lookup, returnMs, ageMs },
        chooser: { id: `agent ${index}`, zone, order },
        onReady: () => {
          const { lostAtMs = this.clock.nowMs() } = agent;
          agent.longestMs = Math.max(agent.longestMs, this.clock.nowMs() - lostAtMs);
          agent.lostAtMs = undefined;
        },
        onLost: () => (agent.lostAtMs = this.clock.nowMs()),
        open: (addresses, events) =>
          new SessionClient({
            ...{ ...shared, ...events, name: "dns", role: "agent", software: "sim", addresses },
            transport: this.network.client(`agent ${index}`),
            secrets: undefined,
            welcomeWaitMs: Infinity,
          }),
      });
      this.agents.push(Object.assign(agent, { link }));
      link.start();
    }
  }

  /** Lets time pass. */
  async advance(byMs: number): Promise<void> {
    for (let ms = 0; ms < byMs; ms += 5) {
      for (let i = 0; i < 6; i++) await Promise.resolve();
      this.clock.advance(5);
    }
  }

  /** Agents by the server they are linked to; those without one under "". */
  spread(agents: readonly LinkedAgent[] = this.agents): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { link } of agents) {
      const name = link.ready ? link.address.hostname : "";
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  /** Most connects that one server took in any second since `fromMs`. */
  busiestSecond(fromMs: number): number {
    let most = 0;
    for (const hostname of this.servers.keys()) {
      const server = formatAddress({ hostname, port: 7778 });
      const times = this.network.connects
        .filter((one) => one.server === server && one.atMs >= fromMs)
        .map(({ atMs }) => atMs);
      let first = 0;
      times.forEach((atMs, last) => {
        while (times[first] <= atMs - 1000) first++;
        most = Math.max(most, last - first + 1);
      });
    }
    return most;
  }

  /** Longest time that agents were without a server, the slowest hundredth left out and with it. */
  longest(): { p99: number; max: number } {
    const times = this.agents.map(({ longestMs }) => longestMs).sort((a, b) => a - b);
    return { p99: times[Math.ceil(times.length * 0.99) - 1], max: times[times.length - 1] };
  }

  /** Times without a server count anew. */
  forgetTimes(): void {
    for (const agent of this.agents) agent.longestMs = 0;
  }

  /** Ends all links. */
  async end(): Promise<void> {
    for (const { link } of this.agents) void link.close();
    await this.advance(1500);
  }
}

/** A server of a {@linkcode LinkWorld}. */
export function linkServer(hostname: string, zone?: string): ServerAddress {
  return { hostname, port: 7778, ...(zone === undefined ? {} : { zone }) };
}
