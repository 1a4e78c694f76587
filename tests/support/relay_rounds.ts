// Shell. Two relays on NATS under faults, with real processes: nothing acknowledged may be lost or come twice.

import assert from "node:assert/strict";
import { MailSender, MailTaker } from "./mail_load.ts";
import { withRelayAdmin } from "../../tools/relay_admin.ts";
import { freePort } from "./free_port.ts";
import { type NatsServer, startNats } from "./nats.ts";
import { NatsWatch } from "./nats_watch.ts";
import { messageOf } from "../../reactor/errors.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { Processes, TestProcess } from "./processes.ts";
import { until } from "./until.ts";

/**
 * What happens in a round: something dies, or the leader of three servers stands still for a while. The
 * next one waits until all servers have everything, as whoever runs them does; only `early` does not: the
 * leader dies though the one before it may be behind.
 */
export const RELAY_FAULTS = ["relay", "server", "leader", "pause", "early"] as const;

/** Long enough that another server leads, and what the old one was sent comes late. */
const PAUSE_MS = 12_000;

/** Any of {@linkcode RELAY_FAULTS}. */
export type RelayFault = (typeof RELAY_FAULTS)[number];

/** Messages of each sender that are acknowledged between two faults, at least. */
const BETWEEN_FAULTS = 15;

/** A server that leads is missed for 4 to 8 s. */
const ROUND_MS_MAX = 120_000;

/** The same where servers that are stuck are restarted meanwhile. */
const TENDED_MS_MAX = 600_000;

/** What keeps the messages. */
const STREAM = "lars_mail";

/** How it stands after a round. */
export interface RoundsSoFar {
  /** Rounds that are over. */
  readonly rounds: number;
  /** Messages that were acknowledged and have come. */
  readonly acknowledged: number;
  /** Looking after the servers, where there are three. */
  readonly watch: NatsWatch | undefined;
}

/** Two relays that know each other, and their NATS servers. */
export class RelayPair {
  readonly relays: TestProcess[] = [];

  constructor(
    readonly processes: Processes,
    readonly servers: readonly NatsServer[],
    readonly ports: readonly number[],
  ) {}

  /** Where the relays are. */
  get names(): string[] {
    return this.ports.map((port) => `127.0.0.1:${port}`);
  }

  static async start(processes: Processes, program: string, count: 1 | 3): Promise<RelayPair> {
    const servers = await startNats(processes, program, count);
    const pair = new RelayPair(processes, servers, [await freePort(), await freePort()]);
    for (const at of [0, 1]) await pair.startRelay(at);
    return pair;
  }

  async startRelay(at: number): Promise<void> {
    const nats = this.servers.map(({ url }) => url).join(",");
    const flags = [`--relay-port=${this.ports[at]}`, `--relay-nats=${nats}`, "--metrics-port=0"];
    const replicas = `--relay-nats-replicas=${this.servers.length}`;
    const all = [...flags, "--relay-store=nats", replicas];
    this.relays[at] = await this.processes.start("relay", all);
  }

  /** Counts of a relay, once it answers: on a busy machine it may miss one who asks. */
  async stats(at: number): Promise<Record<string, number>> {
    const relay = { hostname: "127.0.0.1", port: this.ports[at] };
    let reason = "";
    let stats: Record<string, number> | undefined;
    await until(async () => {
      try {
        const ask = { ask: "stats" };
        stats = await withRelayAdmin({ relay }, (admin) => admin.ask(ask)) as typeof stats;
      } catch (error) {
        reason = messageOf(error);
      }
      return stats !== undefined;
    }, { timeoutMs: 60_000, intervalMs: 200, what: () => `counts of relay ${at}: ${reason}` });
    return stats ?? {};
  }

  /** Waits until each knows the other. */
  async together(): Promise<void> {
    for (const at of [0, 1]) {
      await until(async () => (await this.stats(at)).relays === 1, {
        intervalMs: 100,
        what: `relay ${at} to know the other`,
      });
    }
  }
}

/** @returns whether every message has one end, and none waits. */
export function isSettled(stats: Record<string, number>): boolean {
  const refused = Object.entries(stats).filter(([name]) => name.startsWith("mail_refused_"))
    .reduce((sum, [, count]) => sum + count, 0);
  const { mail_sent, mail_delivered, mail_expired, mail_waiting } = stats;
  assert.equal(mail_sent, mail_delivered + mail_expired + refused + mail_waiting);
  return mail_waiting === 0;
}

/** Rounds of one fault. */
class RelayRounds {
  readonly #receiver: MailTaker;
  readonly #senders: MailSender[];
  readonly #watch: NatsWatch | undefined;

  constructor(
    readonly pair: RelayPair,
    readonly fault: RelayFault,
    say: (text: string) => void,
  ) {
    const { names, servers } = pair;
    this.#receiver = new MailTaker(names);
    this.#senders = [
      new MailSender("ann", names, this.#receiver),
      new MailSender("bob", names.toReversed(), this.#receiver),
    ];
    this.#watch = servers.length === 1 ? undefined : new NatsWatch(servers, STREAM, say);
  }

  /** Of the sender that has the fewest. */
  get #acknowledged(): number {
    return Math.min(...this.#senders.map(({ acknowledged }) => acknowledged.length));
  }

  /** How it stands. */
  soFar(rounds: number): RoundsSoFar {
    const acknowledged = this.#senders.reduce((sum, one) => sum + one.acknowledged.length, 0);
    return { rounds, acknowledged, watch: this.#watch };
  }

  /** One fault in mid-load, and all that was acknowledged until it is over. */
  async round(round: number): Promise<void> {
    await this.#untilMore();
    if (round % 3 === 2) await this.#receiver.restart();
    await this.#strike(round);
    if (this.fault !== "early") await this.#watch?.untilCurrent();
    await this.#untilMore();
    await this.#receiver.checkAll(this.#senders, ROUND_MS_MAX);
    for (const at of [0, 1]) {
      assert.equal((await this.pair.stats(at)).mail_stores_lost, 0, "the stream is the same");
    }
  }

  /** Nothing further is sent; every message has its end at both relays. */
  async finish(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.stop()));
    await this.#receiver.checkAll(this.#senders, ROUND_MS_MAX);
    for (const at of [0, 1]) {
      await until(async () => isSettled(await this.pair.stats(at)), {
        intervalMs: 200,
        what: `relay ${at} to hear that all is taken`,
      });
    }
    await this.#receiver.close();
  }

  /** Messages go on to be acknowledged; servers that are stuck are restarted. */
  async #untilMore(): Promise<void> {
    const wanted = this.#acknowledged + BETWEEN_FAULTS;
    this.#watch?.disturb();
    await until(async () => {
      await this.#watch?.tend();
      const failures = this.#senders.flatMap(({ failure }) => failure ?? []);
      assert.deepEqual(failures, [], "all are acknowledged");
      return this.#acknowledged >= wanted;
    }, {
      timeoutMs: this.#watch === undefined ? ROUND_MS_MAX : TENDED_MS_MAX,
      intervalMs: 200,
      what: "messages to be acknowledged",
    });
  }

  async #strike(round: number): Promise<void> {
    const { pair, fault } = this;
    if (fault === "relay") {
      const at = round % 2;
      await pair.relays[at].kill9();
      return await pair.startRelay(at);
    }
    const server = await this.#victim();
    this.#watch?.disturb();
    if (fault === "pause") {
      server.signal("SIGSTOP");
      await sleep(systemClock, PAUSE_MS);
      server.signal("SIGCONT");
    } else {
      await server.kill9();
      await server.start();
    }
    this.#watch?.disturb();
  }

  /** The only server, or the one that leads. */
  async #victim(): Promise<NatsServer> {
    let victim: NatsServer | undefined;
    await until(async () => {
      victim = this.#watch === undefined ? this.pair.servers[0] : (await this.#watch.tend()).leader;
      return victim !== undefined;
    }, { timeoutMs: TENDED_MS_MAX, intervalMs: 200, what: "a server that leads" });
    assert.ok(victim !== undefined);
    return victim;
  }
}

/**
 * Kills in mid-load, round after round, and brings back what was killed. After each round all that was
 * acknowledged until then must have come, in order of each sender, once.
 *
 * @param say Hears of servers that had to be restarted.
 * @throws {Error} naming the round in which something was lost, or took too long.
 */
export async function relayRounds(
  processes: Processes,
  program: string,
  fault: RelayFault,
  rounds: number,
  onRound: (soFar: RoundsSoFar) => void = () => {},
  say: (text: string) => void = () => {},
): Promise<RoundsSoFar> {
  const serverCount = fault === "relay" || fault === "server" ? 1 : 3;
  const pair = await RelayPair.start(processes, program, serverCount);
  const all = new RelayRounds(pair, fault, say);
  for (let round = 0; round < rounds; round++) {
    try {
      await all.round(round);
    } catch (error) {
      throw new Error(`round ${round + 1}: ${messageOf(error)}`, { cause: error });
    }
    onRound(all.soFar(round + 1));
  }
  await all.finish();
  return all.soFar(rounds);
}
