// Whatever happens between an agent and the history, each call counts once: by a virtual clock.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HostResult } from "../balancer/balance_records.ts";
import type { RefusedTotals } from "../balancer/routes/route_records.ts";
import { REPORTER_HELLO_MS, ReportSender, STORED_WAIT_MS } from "../feed/report_sender.ts";
import {
  decodeReportSession,
  decodeReportStatusRequest,
  encodeReportsStored,
  type ReportsStored,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { silentLogger } from "../reactor/log.ts";
import { HistoryWriter } from "../reporter/history_writer.ts";
import { KeptSessions } from "../reporter/kept_sessions.ts";
import { rowsOf } from "../reporter/report_rows.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import {
  type CallHistoryRow,
  HISTORY_KEEP_S,
  type MarkedBucket,
  type MarkedOutcome,
} from "../sql/results/call_history.ts";

const MODULE = { modId: 1, cmdId: 1 };
const CALLER = 0x0a000001;

/** Counts of one shard of the agent. */
interface ShardCounts {
  readonly nodes: Map<number, { succ: number; err: number; dirty: boolean }>;
  refused: number;
  fresh: boolean;
  refusedDirty: boolean;
}

const newShard = (): ShardCounts => ({
  ...{ nodes: new Map(), refused: 0, fresh: true, refusedDirty: false },
});

/** What the database holds. */
class Database {
  readonly rows = new Map<string, CallHistoryRow>();
  readonly marks = new Map<number, { at: number; writer: number; number: number }>();

  writeMarked({ source, rows, marks, writer, number }: MarkedBucket): MarkedOutcome {
    const done = (session: number): boolean => {
      const known = this.marks.get(session);
      return known?.writer === writer && known.number === number;
    };
    const moved = marks.filter(({ session, from }) =>
      !done(session) && (this.marks.get(session)?.at ?? 0) !== from
    ).map(({ session }) => ({
      session,
      state: { seq: this.marks.get(session)?.at ?? 0, gaps: [] },
    }));
    if (moved.length > 0) return { moved, bad: [] };
    this.write(source, rows);
    for (const { session, to } of marks) this.marks.set(session, { at: to, writer, number });
    return { moved: [], bad: [] };
  }

  write(source: number, rows: readonly CallHistoryRow[]): void {
    for (const row of rows) {
      const { ip, port, caller, atSeconds } = row;
      this.rows.set(`${source} ${atSeconds} ${ip}:${port} ${caller}`, row);
    }
  }

  /** Calls in the rows of nodes and in those of the module. */
  counts(): number[] {
    const sums = [0, 0, 0, 0, 0, 0];
    for (const { caller, succCount, errCount, refusedCount } of this.rows.values()) {
      const at = caller === 0 ? 0 : 3;
      [succCount, errCount, refusedCount].forEach((count, i) => sums[at + i] += count);
    }
    return sums;
  }
}

/** A message on its way. */
interface Frame {
  readonly msgId: number;
  readonly body: Uint8Array;
}

/** An agent, a link that may be slow or break, and a reporter that may be slow or killed. */
class Lab {
  readonly clock = new ManualClock(0, 1_700_000_000_000);
  readonly database = new Database();
  readonly #rng = seededRng(3);
  readonly #sender: ReportSender;
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();
  readonly #shards: ShardCounts[] = [newShard(), newShard(), newShard()];
  #events: LinkEvents | undefined;
  #writer!: HistoryWriter;
  #sessions!: KeptSessions;
  #peer = 0;
  #state: "down" | "connected" | "ready" = "down";
  #extended = false;
  #hello: Frame[] = [];
  /** Welcome was sent. */
  #isWelcomed = false;
  #session: number | undefined;
  #sinceMs = 0;
  /** Frames that the reporter, or the agent, has not read yet. */
  #up: Frame[] = [];
  #down: Frame[] = [];
  /** Rows of ServerCallStatus: totals by node. */
  readonly status = new Map<number, number[]>();
  succ = 0;
  err = 0;
  refused = 0;
  /** False: the reporter reads nothing. */
  isReading = true;
  /** False: the agent reads nothing. */
  isHearing = true;

  constructor() {
    this.#startReporter();
    this.#sender = new ReportSender({
      openLink: (events) => this.#openLink(events),
      clock: this.clock,
      rng: this.#rng,
      callerIp: () => CALLER,
    });
    this.connect();
  }

  #openLink(events: LinkEvents): Link {
    this.#events = events;
    const isReady = (): boolean => this.#state === "ready";
    const isExtended = (): boolean => this.#extended;
    const connectCount = (): number => this.#peer;
    return {
      router: { add: (id, handler) => this.#handlers.set(id, handler) },
      get ready() {
        return isReady();
      },
      get extended() {
        return isExtended();
      },
      get connectCount() {
        return connectCount();
      },
      address: { hostname: "127.0.0.1", port: 1 },
      local: undefined,
      fault: undefined,
      secretFault: undefined,
      pendingBytes: 0,
      start: () => {},
      send: (msgId, body) => {
        if (this.#state !== "ready") return false;
        this.#up.push({ msgId, body: body.slice() });
        return true;
      },
      sayGoodbye: () => {},
      failOver: () => {},
      setAddresses: () => {},
      close: () => Promise.resolve(),
    };
  }

  #startReporter(): void {
    const { clock, database } = this;
    const rng = this.#rng;
    const sessions = new KeptSessions({
      clock,
      lookUp: (some) =>
        Promise.resolve(
          new Map(some.flatMap((one) => {
            const at = database.marks.get(one)?.at;
            return at === undefined ? [] : [[one, at]];
          })),
        ),
      tell: ({ peer }, answer) => this.#tell(peer, sessions, answer),
      sendAgain: ({ peer }) => {
        if (peer === this.#peer && sessions === this.#sessions) this.disconnect();
      },
      onForgotten: (session) => writer.dropKept(session),
    });
    const writer = new HistoryWriter({
      store: {
        writeCallHistory: (source, rows) => {
          database.write(source, rows);
          return Promise.resolve([]);
        },
        writeMarkedHistory: (bucket) =>
          Promise.resolve(
            sessions === this.#sessions ? database.writeMarked(bucket) : { moved: [], bad: [] },
          ),
        rollUpCallHistory: () => Promise.resolve({ windowCount: 0, deletionCount: 0 }),
        addEvents: () => Promise.resolve(),
        pruneEvents: () => Promise.resolve(),
        pruneCallStatus: () => Promise.resolve(),
      },
      ...{ clock, rng, log: silentLogger, keysMax: 1000, sessions },
      retention: { keepSeconds: HISTORY_KEEP_S, eventKeepSeconds: 3600 },
      divide: () => () => true,
    });
    this.#sessions = sessions;
    this.#writer = writer;
    writer.start([]);
  }

  #tell(peer: number, sessions: KeptSessions, answer: ReportsStored): void {
    if (peer !== this.#peer || sessions !== this.#sessions) return;
    this.#down.push({ msgId: MessageId.ReportsStored, body: encodeReportsStored(answer) });
  }

  connect(): void {
    if (this.#state !== "down") return;
    this.#state = "connected";
    this.#extended = false;
    this.#isWelcomed = false;
    this.#session = undefined;
    this.#up = [];
    this.#down = [];
    this.#peer++;
    this.#sinceMs = this.clock.nowMs();
    this.#hello = [{ msgId: MessageId.Hello, body: new Uint8Array() }];
  }

  disconnect(): void {
    if (this.#state === "down") return;
    const wasReady = this.#state === "ready";
    this.#state = "down";
    this.#extended = false;
    this.#sessions.gone({ loop: 0, peer: this.#peer });
    this.#writer.drop(String(this.#peer));
    if (wasReady) this.#events?.onLost();
  }

  /** The reporter is killed, with all that it has not written, and another one started. */
  kill(): void {
    this.disconnect();
    void this.#sessions.stop();
    this.#startReporter();
  }

  /** The loops of the agent have died. */
  workersDie(): void {
    this.#drain();
    this.#sender.countersRestarted();
    this.#shards.forEach((_, at) => this.#shards[at] = newShard());
  }

  call(shard: number, port: number, isGood: boolean): void {
    const { nodes } = this.#shards[shard];
    const node = nodes.get(port) ?? { succ: 0, err: 0, dirty: true };
    nodes.set(port, node);
    node.dirty = true;
    if (isGood) {
      node.succ++;
      this.succ++;
    } else {
      node.err++;
      this.err++;
    }
  }

  refuse(shard: number): void {
    this.#shards[shard].refused++;
    this.#shards[shard].refusedDirty = true;
    this.refused++;
  }

  #drain(): void {
    for (const [shard, counts] of this.#shards.entries()) {
      const results: HostResult[] = [];
      for (const [port, node] of counts.nodes) {
        if (!node.dirty) continue;
        node.dirty = false;
        const { succ, err } = node;
        results.push({
          ...{ ip: 1, port, succ, err, overload: false, succTotal: succ, errTotal: err },
          ...{ timedTotal: succ, timeMsTotal: 2 * succ },
        });
      }
      if (results.length > 0) this.#sender.add([{ ...MODULE, results, shard }]);
      if (!counts.refusedDirty) continue;
      const refused: RefusedTotals = {
        ...{ overload: counts.refused, unusable: 0, noNode: 0, noRoute: 0, fresh: counts.fresh },
      };
      counts.refusedDirty = counts.fresh = false;
      this.#sender.add([{ ...MODULE, results: [], refused, shard }]);
    }
  }

  #reporterReads(): void {
    if (this.#state === "down" || !this.isReading) return;
    if (this.#hello.shift() !== undefined) this.#isWelcomed = true;
    for (const { msgId, body } of this.#up.splice(0)) {
      const at = { loop: 0, peer: this.#peer };
      if (msgId === MessageId.ReportSession) {
        const { session, stored } = decodeReportSession(body);
        this.#session = session;
        this.#writer.leaveOut(String(this.#peer));
        this.#sessions.open(session, at, stored);
        continue;
      }
      const nowS = Math.floor(this.clock.wallMs() / 1000);
      const message = decodeReportStatusRequest(body);
      const { rows } = rowsOf(message, nowS, this.#peer, this.#session, true);
      const [{ kept, again }] = rows;
      for (const { port, succTotal, errTotal } of rows) {
        if (succTotal !== undefined) this.status.set(port, [succTotal, errTotal ?? 0]);
      }
      if (kept !== undefined) this.#writer.addKept(kept, rows);
      else if (again !== true) this.#writer.add(String(this.#peer), rows);
    }
  }

  #agentReads(): void {
    if (!this.isHearing) {
      const isLate = this.clock.nowMs() - this.#sinceMs >= REPORTER_HELLO_MS;
      if (this.#state !== "connected" || !isLate) return;
      this.#state = "ready";
      this.#events?.onReady();
      return;
    }
    if (this.#state === "connected") {
      if (!this.#isWelcomed && this.clock.nowMs() - this.#sinceMs < REPORTER_HELLO_MS) return;
      this.#state = "ready";
      this.#extended = this.#isWelcomed;
      this.#events?.onReady();
    } else if (this.#state === "ready" && this.#isWelcomed && !this.#extended) {
      this.#extended = true;
      this.#events?.onExtended?.();
    }
    for (const { msgId, body } of this.#down.splice(0)) this.#handlers.get(msgId)?.(body);
  }

  /** Half a second; everybody does what there is to do. */
  async step(): Promise<void> {
    this.#drain();
    this.#reporterReads();
    for (let i = 0; i < 20; i++) await Promise.resolve();
    this.#agentReads();
    this.#sender.flush();
    this.clock.advance(500);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }

  /** Until nothing is on its way any more. */
  async settle(): Promise<void> {
    this.isReading = this.isHearing = true;
    for (let i = 0; i < 80; i++) {
      this.connect();
      await this.step();
    }
  }

  get made(): number[] {
    const { succ, err, refused } = this;
    return [succ, err, refused, succ, err, refused];
  }
}

const callArbitrary = fc.record({
  kind: fc.constantFrom("call" as const),
  shard: fc.nat(2),
  port: fc.integer({ min: 80, max: 82 }),
  good: fc.boolean(),
});

const KINDS = [
  "refuse",
  "connect",
  "disconnect",
  "kill",
  "workersDie",
  "pause",
  "deafen",
  "resume",
] as const;

const eventArbitrary = fc.oneof(
  { weight: 6, arbitrary: callArbitrary },
  { weight: 4, arbitrary: fc.constant({ kind: "step" as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom(...KINDS), shard: fc.nat(2) }) },
);

type LabEvent = typeof eventArbitrary extends fc.Arbitrary<infer E> ? E : never;

/** An agent that is not answered for longer takes its reporter for an older build. */
const STILL_MS_MAX = STORED_WAIT_MS - 500;

async function play(lab: Lab, events: readonly LabEvent[], stillMsMax: number): Promise<void> {
  let stillMs = 0;
  for (const event of events) {
    switch (event.kind) {
      case "call":
        lab.call(event.shard, event.port, event.good);
        break;
      case "refuse":
        lab.refuse(event.shard);
        break;
      case "pause":
        lab.isReading = false;
        break;
      case "deafen":
        lab.isHearing = false;
        break;
      case "resume":
        lab.isReading = lab.isHearing = true;
        break;
      case "step":
        for (let i = 0; i < 4; i++) {
          stillMs = lab.isReading && lab.isHearing ? 0 : stillMs + 500;
          if (stillMs >= stillMsMax) lab.isReading = lab.isHearing = true;
          await lab.step();
        }
        break;
      default:
        lab[event.kind]();
    }
    const [succ, err, refused] = lab.database.counts();
    assert.ok(succ <= lab.succ && err <= lab.err && refused <= lab.refused, "never more");
  }
}

test("each call counts once, over shards, slow and broken connections and killed reporters", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(eventArbitrary, { maxLength: 80, size: "max" }), async (events) => {
      const lab = new Lab();
      await play(lab, events, STILL_MS_MAX);
      await lab.settle();
      assert.deepEqual(lab.database.counts(), lab.made);
      const stored = [...lab.status.values()];
      const sums = [0, 1].map((at) => stored.reduce((sum, counts) => sum + counts[at], 0));
      assert.deepEqual(sums, [lab.succ, lab.err], "ServerCallStatus");
    }),
    { numRuns: 100 },
  );
});

test("no call counts twice, however long nobody reads", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(eventArbitrary, { maxLength: 80, size: "max" }), async (events) => {
      const lab = new Lab();
      await play(lab, events, Infinity);
      await lab.settle();
      const { made } = lab;
      assert.ok(lab.database.counts().every((count, i) => count <= made[i]), "never more");
    }),
    { numRuns: 100 },
  );
});

for (const slow of ["isReading", "isHearing"] as const) {
  test(`results sent before the greeting is read count once, bucket after bucket: ${slow}`, async () => {
    const lab = new Lab();
    lab[slow] = false;
    for (let second = 0; second < 25; second++) {
      for (let i = 0; i < 3; i++) lab.call(0, 80, true);
      for (let i = 0; i < 2; i++) await lab.step();
    }
    await lab.settle();
    assert.deepEqual(lab.database.counts(), lab.made);
  });
}
