// Very many messages that no program should send, at a steady rate: what callers notice, and what stays
// in memory. Ten million of each in a run of their own, some thousands here.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { figure, HOSTILE_VARIABLE, timeFigure } from "../support/figure.ts";
import { BUSY_MACHINE_FACTOR } from "../support/in_time.ts";
import { startFleet, withStoredNode } from "../support/fleet.ts";
import type { Processes, TestProcess } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { monotonicMs, WireCaller, WireConnection } from "../support/wire_client.ts";
import { COLLECTED } from "./collected.ts";

const COUNT = Number(process.env[HOSTILE_VARIABLE] ?? 20_000);
/** Tried a second; a busy machine takes fewer. */
const RATE = 20_000;
const SLOW = { timeout: 180_000 + COUNT / 2 };

/** The share of them after which memory is looked at first: heaps find their size. */
const WARM_UP_SHARE = 0.2;
/**
 * Parts of the others, after each of which it is looked at. A heap goes up and down by tens of
 * megabytes; what stays is told by its lowest size in the first third of the parts and in the last.
 */
const PARTS = COUNT > 100_000 ? 12 : 1;
/** The agent forgets within 30 s what nobody asks for; a short run does not wait for that. */
const REST_MS = COUNT > 100_000 ? 45_000 : 1_000;
const GROWN_MB = 5;
const GROWN_SHORT_MB = 100;
/** A datagram may be lost where a machine has no time for its receiver; callers ask again. */
const UNANSWERED_SHARE_MAX = 0.001;
/** Of the few hundred questions of a short run. */
const UNANSWERED_MAX = 3;

async function rest(): Promise<void> {
  const endMs = monotonicMs() + REST_MS;
  await until(() => monotonicMs() > endMs, { timeoutMs: 2 * REST_MS + 9000, what: "a rest" });
}

/** Questions of valid callers, one after the other, and how long answers took. */
class ValidCaller {
  readonly #ask: () => Promise<boolean>;
  #times: number[] = [];
  unanswered = 0;

  constructor(ask: () => Promise<boolean>) {
    this.#ask = ask;
  }

  get asked(): number {
    return this.#times.length + this.unanswered;
  }

  /** Asks until `isOver`, and a hundred times at least. */
  async askUntil(isOver: () => boolean): Promise<void> {
    const least = this.asked + 100;
    while (!isOver() || this.asked < least) {
      const startMs = monotonicMs();
      if (await this.#ask()) this.#times.push(monotonicMs() - startMs);
      else this.unanswered++;
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  p99Ms(): number {
    this.#times.sort((a, b) => a - b);
    return this.#times[Math.floor(this.#times.length * 0.99)];
  }
}

async function attack(
  processes: Processes,
  kind: "datagrams" | "frames",
  service: TestProcess,
  ask: () => Promise<boolean>,
): Promise<void> {
  let seed = 0;
  const send = (count: number): TestProcess =>
    processes.spawn("hostile", "tests/faults/hostile_program.ts", [
      ...[kind, service.port(), count, RATE, ++seed].map(String),
    ]);
  const untilSent = async (sender: TestProcess): Promise<string> =>
    (await sender.untilEnded(60_000 + COUNT)).stdout.trim();
  const megabytes = async (): Promise<number> => (await service.residentBytes() ?? 0) / 2 ** 20;
  const quiet = new ValidCaller(ask);
  const quietEndMs = monotonicMs() + 2000;
  await quiet.askUntil(() => monotonicMs() > quietEndMs);
  await untilSent(send(COUNT * WARM_UP_SHARE));
  await rest();
  const sizes = [await megabytes()];
  const valid = new ValidCaller(ask);
  const partCount = COUNT * (1 - WARM_UP_SHARE) / PARTS;
  let said = "";
  for (let part = 0; part < PARTS; part++) {
    const sender = send(partCount);
    await valid.askUntil(() => !sender.alive);
    said = await untilSent(sender);
    sizes.push(await megabytes());
  }
  await rest();
  sizes.push(await megabytes());
  const third = Math.ceil(PARTS / 3);
  const grown = Math.min(...sizes.slice(-third)) - Math.min(...sizes.slice(0, third));
  assert.ok(service.alive, service.stderr);
  const quietMs = quiet.p99Ms();
  figure(
    `${kind} at ${service.name}: ${COUNT * WARM_UP_SHARE}, then ${PARTS} times ${said}; ` +
      `p99 of valid callers ${quietMs.toFixed(1)} ms before`,
  );
  timeFigure({
    what: `${kind}: p99 meanwhile`,
    value: valid.p99Ms(),
    // What is under 2 ms is the clock of this test.
    atMost: Math.max(2, Math.round(20 * quietMs) / 10),
    unit: "ms",
  });
  figure(
    `${kind}: after ${COUNT * WARM_UP_SHARE} of them ${service.name} grew by ` +
      `${grown.toFixed(1)} MB (promised ${GROWN_MB} MB${grown > GROWN_MB ? ", late" : ""})` +
      (PARTS === 1
        ? ""
        : `, with sizes from ${Math.min(...sizes).toFixed(0)} to ${
          Math.max(...sizes).toFixed(0)
        } MB`),
  );
  const { unanswered, asked } = valid;
  figure(`${kind}: ${unanswered} of ${asked} questions of valid callers without an answer`);
  const unansweredMax = Math.max(UNANSWERED_MAX, asked * UNANSWERED_SHARE_MAX);
  assert.ok(unanswered <= unansweredMax, `${unanswered} of ${asked}`);
  // A heap that is still finding its size grows by more, in a short run.
  const isLong = COUNT >= 5_000_000;
  assert.ok(grown <= (isLong ? GROWN_MB * BUSY_MACHINE_FACTOR : GROWN_SHORT_MB), `${grown} MB`);
}

test(
  "hostile datagrams: the agent serves on, and keeps nothing of them",
  SLOW,
  () =>
    withStoredNode(async ({ processes, url }) => {
      const { agent } = await startFleet(processes, url, { processOptions: COLLECTED });
      const caller = await WireCaller.open(agent.port());
      await caller.untilHost(1, 1);
      await attack(processes, "datagrams", agent, async () => {
        const answer = await caller.getHost(1, 1).catch(() => undefined);
        if (answer !== undefined) assert.equal(answer.retCode, 0);
        return answer !== undefined;
      });
      caller.close();
    }),
);

test(
  "hostile frames: dns serves on, and keeps nothing of them",
  SLOW,
  () =>
    withStoredNode(async ({ processes, url }) => {
      const dns = await processes.start(
        "dns",
        ["--reactor-port=0", `--store=${url}`],
        COLLECTED,
      );
      const peer = await WireConnection.open(dns.port());
      await attack(processes, "frames", dns, async () => {
        assert.equal((await peer.route(1, 1)).hosts.length, 1);
        return true;
      });
      peer.close();
    }),
);
