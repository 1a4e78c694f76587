// Shell. Two relays on NATS under faults, with real processes: nothing acknowledged may be lost or come twice.

import assert from "node:assert/strict";
import { MailSender, MailTaker } from "./mail_load.ts";
import { withRelayAdmin } from "../../tools/relay_admin.ts";
import { freePort } from "./free_port.ts";
import { leaderOf, type NatsServer, startNats } from "./nats.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { Processes, TestProcess } from "./processes.ts";
import { until } from "./until.ts";

/** What happens in a round: something dies, or the leader of three servers stands still for a while. */
export const RELAY_FAULTS = ["relay", "server", "leader", "pause"] as const;

/** Long enough that another server leads, and what the old one was sent comes late. */
const PAUSE_MS = 12_000;

/** Any of {@linkcode RELAY_FAULTS}. */
export type RelayFault = (typeof RELAY_FAULTS)[number];

/** Messages of each sender that are acknowledged between two faults, at least. */
const BETWEEN_FAULTS = 15;

/** A server that leads is missed for 4 to 8 s. */
const ROUND_MS_MAX = 120_000;

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

  /** Counts of a relay. */
  async stats(at: number): Promise<Record<string, number>> {
    const relay = { hostname: "127.0.0.1", port: this.ports[at] };
    const ask = { ask: "stats" };
    return await withRelayAdmin({ relay }, (admin) => admin.ask(ask)) as Record<string, number>;
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

async function doRound(pair: RelayPair, fault: RelayFault, round: number): Promise<void> {
  if (fault === "relay") {
    const at = round % 2;
    await pair.relays[at].kill9();
    return await pair.startRelay(at);
  }
  let leads: NatsServer | undefined = fault === "server" ? pair.servers[0] : undefined;
  await until(async () => {
    leads ??= await leaderOf(pair.servers, "lars_mail");
    return leads !== undefined;
  }, { timeoutMs: ROUND_MS_MAX, intervalMs: 200, what: "a server that leads" });
  if (fault === "pause") {
    leads?.signal("SIGSTOP");
    await sleep(systemClock, PAUSE_MS);
    return leads?.signal("SIGCONT");
  }
  await leads?.kill9();
  await leads?.start();
}

/**
 * Kills in mid-load, round after round, and brings back what was killed.
 *
 * @returns how many messages were acknowledged.
 */
export async function relayRounds(
  processes: Processes,
  program: string,
  fault: RelayFault,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Promise<number> {
  const serverCount = fault === "leader" || fault === "pause" ? 3 : 1;
  const pair = await RelayPair.start(processes, program, serverCount);
  const receiver = new MailTaker(pair.names);
  const senders = [
    new MailSender("ann", pair.names),
    new MailSender("bob", pair.names.toReversed()),
  ];
  const count = (): number => Math.min(...senders.map(({ acknowledged }) => acknowledged.length));
  for (let round = 0; round < rounds; round++) {
    const before = count();
    await until(() => count() >= before + BETWEEN_FAULTS, {
      timeoutMs: ROUND_MS_MAX,
      what: `messages to be acknowledged in round ${round}`,
    });
    if (round % 3 === 2) await receiver.restart();
    await doRound(pair, fault, round);
    onRound(round);
  }
  await Promise.all(senders.map((sender) => sender.stop()));
  await receiver.checkAll(senders, ROUND_MS_MAX);
  for (const { acknowledged } of senders) {
    assert.ok(acknowledged.length >= rounds * BETWEEN_FAULTS);
  }
  for (const at of [0, 1]) {
    await until(async () => isSettled(await pair.stats(at)), {
      intervalMs: 200,
      what: `relay ${at} to hear that all is taken`,
    });
  }
  await receiver.close();
  return senders.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
}
