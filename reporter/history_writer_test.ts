import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { type CallHistoryRow, HISTORY_KEEP_S } from "../sql/results/call_history.ts";
import type { NewEvent } from "../sql/results/event.ts";
import type { CallStatusRow } from "../sql/store.ts";
import type { MarkedBucket, MarkedOutcome, MovedSession } from "../sql/results/call_history.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { LogList } from "../tests/support/log_list.ts";
import {
  HISTORY_REFUSED_MS,
  type HistoryLeft,
  HistoryWriter,
  RESULT_KEEP_S,
  ROLL_UP_INTERVAL_MS,
} from "./history_writer.ts";
import { KeptSessions } from "./kept_sessions.ts";

/** A store that notes what it is told, and fails as long as it is told to. */
class FakeStore {
  readonly rows: CallHistoryRow[] = [];
  readonly sources = new Set<number>();
  readonly events: NewEvent[] = [];
  rollUps = 0;
  prunes = 0;
  attempts = 0;
  fault: Error | undefined;
  rollUpFault: Error | undefined;

  writeCallHistory(source: number, rows: readonly CallHistoryRow[]): Promise<never[]> {
    this.attempts++;
    if (this.fault !== undefined) return Promise.reject(this.fault);
    this.sources.add(source);
    this.rows.push(...rows);
    return Promise.resolve([]);
  }

  /** Buckets with marks, and what is said of the next one. */
  readonly marked: MarkedBucket[] = [];
  moved: MovedSession[] = [];

  writeMarkedHistory(bucket: MarkedBucket): Promise<MarkedOutcome> {
    this.attempts++;
    if (this.fault !== undefined) return Promise.reject(this.fault);
    const { moved } = this;
    this.moved = [];
    if (moved.length === 0) {
      this.marked.push(bucket);
      this.rows.push(...bucket.rows);
    }
    return Promise.resolve({ moved, bad: [] });
  }

  addEvents(events: readonly NewEvent[]): Promise<void> {
    if (this.fault !== undefined) return Promise.reject(this.fault);
    this.events.push(...events);
    return Promise.resolve();
  }

  rollUpCallHistory(): Promise<{ windowCount: number; deletionCount: number }> {
    this.rollUps++;
    if (this.rollUpFault !== undefined) return Promise.reject(this.rollUpFault);
    return Promise.resolve({ windowCount: 0, deletionCount: 0 });
  }

  pruneEvents(): Promise<void> {
    this.prunes++;
    return Promise.resolve();
  }

  /** From when on results were kept, at each deletion. */
  readonly keptFrom: number[] = [];
  resultsFault: Error | undefined;

  pruneCallStatus(beforeTs: number): Promise<void> {
    this.keptFrom.push(beforeTs);
    return this.resultsFault === undefined ? Promise.resolve() : Promise.reject(this.resultsFault);
  }

  get successes(): number {
    return this.rows.reduce((sum, row) => sum + (row.port === 0 ? 0 : row.succCount), 0);
  }
}

interface Setup {
  clock: ManualClock;
  store: FakeStore;
  log: LogList;
  writer: HistoryWriter;
  sessions: KeptSessions;
  results: { written: boolean };
  /** What the sender of session 77 was told. */
  told: string[];
  /** Report `seq` of session 77, with so many successes that are new. */
  keptReport(seq: number, succ: number): void;
  report(succTotal: number, overload?: boolean): void;
  /** Lets time pass second by second, so that what waits for the store goes on in between. */
  pass(seconds: number): Promise<void>;
  /** Stops the writer, and lets that time pass. */
  stop(limitMs: number): Promise<HistoryLeft>;
}

function setUp(stored: CallStatusRow[] = [], wallStartMs = 1_700_000_000_000): Setup {
  const clock = new ManualClock(0, wallStartMs);
  const store = new FakeStore();
  const log = new LogList();
  const results = { written: true };
  const told: string[] = [];
  const sessions = new KeptSessions({
    clock,
    lookUp: () => Promise.resolve(new Map()),
    tell: (_, { stored, held }) => void told.push(`${stored} ${held}`),
    sendAgain: () => void told.push("again"),
    onForgotten: () => {},
  });
  const writer = new HistoryWriter({
    store,
    clock,
    rng: seededRng(1),
    log,
    keysMax: 1000,
    retention: { keepSeconds: HISTORY_KEEP_S, eventKeepSeconds: 3600 },
    sessions,
    divide: () => () => results.written,
  });
  writer.start(stored);
  sessions.open(77, { loop: 0, peer: 1 });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) await Promise.resolve();
  };
  return {
    clock,
    store,
    log,
    writer,
    sessions,
    results,
    told,
    keptReport(seq, succ): void {
      const gains = { succ, err: 0, timed: 0, timeMs: 0 };
      const kept = { session: 77, seq, gains, refusedNew: 0 };
      writer.addKept(kept, [{ ...status(1000), kept }]);
    },
    report: (succTotal, overload = false) => writer.add("0:1", [status(succTotal, overload)]),
    async pass(seconds): Promise<void> {
      for (let second = 0; second < seconds; second++) {
        clock.advance(1000);
        await settle();
      }
    },
    async stop(limitMs): Promise<HistoryLeft> {
      const stopped = writer.stop(limitMs);
      for (let ms = 0; ms < limitMs; ms += 10) {
        await settle();
        clock.advance(10);
      }
      return await stopped;
    },
  };
}

function status(succTotal: number, overload = false): CallStatusRow {
  return {
    modId: 1,
    cmdId: 1,
    ip: 2,
    port: 3,
    caller: 4,
    succCount: 0,
    errCount: 0,
    ts: 1_700_000_000,
    overload,
    succTotal,
    errTotal: 0,
  };
}

const away = new StoreError("away", true);

test("HistoryWriter writes each bucket once it is over, and events soon", async () => {
  const { clock, store, report, pass } = setUp([status(90)]);
  report(100);
  await pass(9);
  assert.equal(store.rows.length, 0);
  report(103, true);
  clock.advance(100);
  await pass(2);
  assert.deepEqual(store.events.map(({ kind }) => kind), ["node.overload"]);
  assert.equal(store.successes, 13);
  assert.equal(store.rows[0].atSeconds, 1_700_000_000);
  report(104);
  report(109);
  await pass(10);
  assert.equal(store.successes, 19);
  assert.equal(store.sources.size, 1);
  assert.deepEqual(store.rows.map((row) => row.atSeconds % 100), [0, 0, 10, 10]);
});

test("HistoryWriter keeps everything while the database is away", async () => {
  const { store, writer, report, pass } = setUp();
  report(0);
  store.fault = away;
  for (let round = 1; round <= 60; round++) {
    report(round, round % 2 === 0);
    await pass(5);
  }
  assert.equal(store.rows.length, 0);
  assert.ok(store.attempts < 60, `${store.attempts} attempts in 5 minutes`);
  assert.ok(writer.stats.history_rows_waiting > 40);
  store.fault = undefined;
  await pass(30);
  assert.equal(store.successes, 60);
  assert.equal(store.events.length, 59);
  assert.equal(writer.stats.history_rows_dropped, 0);
  assert.ok(writer.stats.history_failures > 0);
});

test("HistoryWriter drops and counts what a database without tables refuses", async () => {
  const { store, writer, report, pass } = setUp();
  store.fault = new StoreError("no table", false);
  for (let round = 1; round <= 10; round++) {
    report(round, true);
    await pass(5);
  }
  assert.ok(writer.stats.history_rows_dropped > 0);
  assert.equal(writer.stats.events_dropped, 1);
  assert.ok(writer.stats.history_rows_waiting <= 2);
  store.fault = undefined;
  await pass(HISTORY_REFUSED_MS / 1000);
  report(20);
  await pass(11);
  assert.equal(store.successes, 10, "goes on after a migration");
});

for (const rounds of [0, 10]) {
  const when = rounds === 0 ? "before anything was written" : "known to refuse";
  test(`HistoryWriter.stop() loses nothing to a database without tables, ${when}`, async () => {
    const { store, writer, report, pass } = setUp();
    store.fault = new StoreError("no table", false);
    for (let round = 1; round <= rounds; round++) {
      report(round, true);
      await pass(5);
    }
    report(rounds + 1, true);
    assert.equal((await writer.stop(500)).lost, 0);
    assert.ok(writer.stats.history_rows_dropped > 0, "counted all the same");
  });
}

test("HistoryWriter rolls up and prunes in time", async () => {
  const { store, pass } = setUp();
  await pass(3600);
  const wanted = 3_600_000 / ROLL_UP_INTERVAL_MS;
  assert.ok(store.rollUps >= wanted * 0.9 && store.rollUps <= wanted + 1, `${store.rollUps}`);
  assert.ok(store.prunes >= 5 && store.prunes <= 7, `${store.prunes}`);
  assert.equal(store.keptFrom.length, store.prunes, "old results as often as old events");
});

test("HistoryWriter keeps results for a week, and says once that it may not delete them", async () => {
  const { clock, store, log, pass } = setUp();
  store.resultsFault = new StoreError("DELETE command denied", false);
  await pass(2400);
  const nowS = Math.floor(clock.wallMs() / 1000);
  assert.ok(store.keptFrom.length >= 3);
  for (const beforeTs of store.keptFrom) {
    assert.ok(beforeTs <= nowS - RESULT_KEEP_S && beforeTs > nowS - RESULT_KEEP_S - 2400);
  }
  assert.equal(log.lines.filter((line) => /Old call results stay/.test(line)).length, 1);
});

test("HistoryWriter goes on writing when roll-ups are refused", async () => {
  const { store, writer, report, pass } = setUp([status(0)]);
  store.rollUpFault = new StoreError("no grant", false);
  for (let round = 1; round <= 30; round++) {
    report(round);
    await pass(10);
  }
  await pass(2);
  assert.equal(store.successes, 30);
  assert.ok(store.rollUps >= 4 && store.rollUps <= 6, `${store.rollUps}`);
  assert.equal(writer.stats.history_failures, store.rollUps);
});

test("HistoryWriter stop() writes the open bucket, and counts what a dead database leaves", async () => {
  const good = setUp([status(0)]);
  good.report(7);
  assert.equal((await good.writer.stop(500)).lost, 0);
  assert.equal(good.store.successes, 7);
  assert.equal(good.clock.pendingCount, 0);

  const dead = setUp();
  dead.report(7);
  dead.store.fault = away;
  assert.deepEqual(await dead.stop(500), { lost: 2, unsure: 0 });
});

test("HistoryWriter stop() tries again while there is time", async () => {
  const lab = setUp([status(0)]);
  lab.report(7);
  lab.store.fault = away;
  lab.clock.setTimer(400, () => lab.store.fault = undefined);
  assert.equal((await lab.stop(500)).lost, 0);
  assert.equal(lab.store.successes, 7);
});

test("HistoryWriter tells a sender what is stored only after its bucket is", async () => {
  const lab = setUp();
  await lab.pass(1);
  lab.keptReport(1, 5);
  lab.keptReport(2, 3);
  lab.keptReport(2, 3); // Sent twice: counts once.
  lab.results.written = false;
  await lab.pass(20);
  assert.equal(lab.store.marked.length, 0, "the results themselves are not in SQL yet");
  assert.deepEqual(lab.told, ["undefined 0", "0 0"]);
  lab.results.written = true;
  lab.store.fault = new StoreError("away", true);
  await lab.pass(5);
  assert.equal(lab.told.length, 2, "nor is the history");
  lab.store.fault = undefined;
  await lab.pass(20);
  const [{ marks, number }] = lab.store.marked;
  assert.deepEqual([marks, number], [[{ session: 77, from: 0, to: 2 }], 1]);
  assert.equal(lab.store.successes, 8);
  assert.deepEqual(lab.told.slice(2), ["2 2"]);
  lab.keptReport(3, 1);
  await lab.pass(20);
  assert.deepEqual(lab.store.marked[1].marks, [{ session: 77, from: 2, to: 3 }]);
});

/** What the database says of session 77. */
const movedTo = (seq: number): MovedSession[] => [{ session: 77, state: { seq, gaps: [] } }];

test("HistoryWriter writes of a session what another reporter has not written", async () => {
  const lab = setUp();
  await lab.pass(1);
  lab.keptReport(1, 5);
  lab.keptReport(2, 7);
  lab.store.fault = away;
  await lab.pass(11);
  lab.keptReport(3, 30);
  // Its sender is gone, and has nothing any more.
  lab.sessions.gone({ loop: 0, peer: 1 });
  lab.store.fault = undefined;
  lab.store.moved = movedTo(1);
  await lab.pass(20);
  const marks = lab.store.marked.map((bucket) => bucket.marks);
  assert.deepEqual(marks, [[{ session: 77, from: 1, to: 2 }], [{ session: 77, from: 2, to: 3 }]]);
  assert.equal(lab.store.successes, 37);
  assert.equal(lab.sessions.stats.kept_sessions, 0, "all of it is stored");
});

test("HistoryWriter tells a sender how far another reporter has brought it, and goes on", async () => {
  const lab = setUp();
  await lab.pass(1);
  for (const seq of [1, 2]) lab.keptReport(seq, 5);
  lab.store.moved = movedTo(4);
  await lab.pass(20);
  assert.deepEqual(lab.told.slice(2), ["4 4"]);
  assert.equal(lab.store.successes, 0);
  // They were on their way when it was told.
  for (const seq of [3, 4, 5]) lab.keptReport(seq, 2);
  await lab.pass(20);
  assert.equal(lab.store.successes, 2);
  assert.deepEqual(lab.store.marked.at(-1)?.marks, [{ session: 77, from: 4, to: 5 }]);
});

test("HistoryWriter leaves out a session that another reporter goes on with, and no other", async () => {
  const lab = setUp();
  await lab.pass(1);
  lab.keptReport(1, 5);
  lab.report(4);
  lab.report(6);
  lab.writer.sendAgain(77);
  await lab.pass(20);
  assert.deepEqual(lab.told.slice(2), ["again"]);
  assert.deepEqual(lab.store.marked, []);
  // A plain report counts from what it was first: 2 of 6.
  const nodes = lab.store.rows.filter(({ port }) => port !== 0);
  const modules = lab.store.rows.filter(({ port }) => port === 0);
  assert.deepEqual([nodes, modules].map((rows) => rows.map((row) => row.succCount)), [[2], [2]]);
  lab.keptReport(2, 5);
  await lab.pass(20);
  assert.equal(lab.store.successes, 2, "until it has been opened again nothing of it is taken");
});

test("HistoryWriter keeps what comes again while the bucket before is on its way", async () => {
  const lab = setUp();
  await lab.pass(1);
  lab.keptReport(1, 5);
  const written = Promise.withResolvers<void>();
  const write = lab.store.writeMarkedHistory.bind(lab.store);
  lab.store.writeMarkedHistory = (bucket) => written.promise.then(() => write(bucket));
  await lab.pass(11);
  lab.writer.sendAgain(77);
  lab.sessions.open(77, { loop: 0, peer: 2 });
  await lab.pass(1);
  for (const seq of [1, 2]) lab.keptReport(seq, 5);
  await lab.pass(11);
  lab.store.writeMarkedHistory = (bucket) => {
    lab.store.writeMarkedHistory = write;
    lab.store.moved = movedTo(1);
    return write(bucket);
  };
  written.resolve();
  await lab.pass(11);
  assert.equal(lab.store.successes, 10);
});

test("HistoryWriter writes soon what comes from a sender that ends, and nothing else of its bucket", async () => {
  const lab = setUp();
  await lab.pass(1);
  lab.report(0);
  lab.report(7);
  lab.keptReport(1, 5);
  lab.writer.writeOut(77);
  await lab.pass(1);
  assert.equal(lab.store.successes, 5);
  assert.deepEqual(lab.told.slice(2), ["1 1"]);
  // It had this to say yet.
  lab.keptReport(2, 3);
  await lab.pass(1);
  assert.equal(lab.store.successes, 8);
  assert.deepEqual(lab.told.slice(3), ["2 2"]);
  lab.sessions.gone({ loop: 0, peer: 1 });
  const pending = lab.clock.pendingCount;
  await lab.pass(1);
  assert.equal(lab.clock.pendingCount, pending - 1, "nobody looks after it any more");
  await lab.pass(10);
  assert.equal(lab.store.successes, 15);
  const sums = lab.store.rows.filter(({ port }) => port === 0);
  assert.deepEqual(sums.map((row) => row.succCount), [5, 3, 7]);
  assert.equal(lab.store.sources.size + new Set(lab.store.marked.map((one) => one.source)).size, 3);
});

for (
  const [sender, left] of [
    ["is there", { lost: 0, unsure: 0 }],
    ["went because this reporter ends", { lost: 0, unsure: 0 }],
    ["went without a word", { lost: 0, unsure: 2 }],
    ["ended", { lost: 2, unsure: 0 }],
    ["ended, and the spool has it", { lost: 0, unsure: 0 }],
    ["ends together with this reporter", { lost: 0, unsure: 2 }],
  ] as const
) {
  test(`HistoryWriter says what is lost of a sender that ${sender}`, async () => {
    const lab = setUp();
    await lab.pass(1);
    lab.keptReport(1, 5);
    lab.store.fault = new StoreError("away", true);
    if (sender.startsWith("end")) lab.sessions.noteLeaving(77);
    if (sender.includes("spool")) lab.sessions.noteDurable(new Map([[77, 1]]));
    if (sender.includes("this reporter")) lab.sessions.leave();
    if (sender !== "is there") lab.sessions.gone({ loop: 0, peer: 1 });
    assert.deepEqual(await lab.stop(500), left);
  });
}

test("HistoryWriter forgets very many connections that end at once without a stop", async () => {
  const lab = setUp();
  lab.report(3);
  for (let peer = 0; peer < 300_000; peer++) lab.writer.drop(`0:${peer}`);
  const startMs = performance.now();
  await lab.pass(6);
  assertInTime("to forget 300,000 connections", performance.now() - startMs, 500);
  assert.equal(lab.writer.stats.history_keys, 0);
});

test("HistoryWriter marks no report whose calls are in the next bucket", async () => {
  const lab = setUp([], 1_700_000_000_500);
  await lab.pass(9);
  lab.keptReport(1, 5);
  // The bucket is over and no tick has looked yet: it is the next report that closes it.
  lab.clock.advance(600);
  lab.keptReport(2, 3);
  await lab.pass(3);
  const [{ marks, rows }] = lab.store.marked;
  const ofNodes = rows.filter(({ port }) => port !== 0);
  assert.deepEqual([marks[0].to, ofNodes.map((row) => row.succCount)], [1, [5]]);
});
