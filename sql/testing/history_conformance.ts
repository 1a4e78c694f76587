// Shell. What every kind of store must do with the call history and with events.

import assert from "node:assert/strict";
import { LimitError, StoreError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import {
  type CallHistory,
  type CallHistoryQuery,
  type CallHistoryRow,
  HISTORY_COUNT_MAX,
  HISTORY_TIME_MS_MAX,
  type HistoryStep,
} from "../results/call_history.ts";
import type { MarkedBucket, MarkedOutcome } from "../results/call_history.ts";
import { MARK_GAPS_MAX } from "../results/mark_state.ts";
import type { Define } from "./conformance_bench.ts";
import { EVENT_TEXT_LENGTH_MAX, type NewEvent } from "../results/event.ts";
import { openStore } from "../open_store.ts";
import type { Store } from "../store.ts";

const IP = 3_232_235_953;
const CALLER = 2_130_706_433;
const MODULE = { modId: 4_294_967_295, cmdId: 1 };
const NODE = { ip: IP, port: 7777 };
/** A whole hour, some hours ago: retention is measured from now. */
const HOUR = Math.floor(systemClock.wallMs() / 3_600_000) * 3600 - 2 * 3600;

function row(
  atSeconds: number,
  succCount: number,
  more: Partial<CallHistoryRow> = {},
): CallHistoryRow {
  return {
    ...MODULE,
    ...NODE,
    caller: CALLER,
    atSeconds,
    succCount,
    errCount: 1,
    reportCount: 4,
    overloadCount: 1,
    timedCount: 3,
    timeMsSum: 60,
    refusedCount: 0,
    ...more,
  };
}

/** The row of a node and the one of its module. */
function both(
  atSeconds: number,
  succCount: number,
  more: Partial<CallHistoryRow> = {},
): CallHistoryRow[] {
  const detailed = row(atSeconds, succCount, more);
  return [detailed, { ...detailed, ip: 0, port: 0, caller: 0 }];
}

function read(store: Store, query: Partial<CallHistoryQuery>): Promise<CallHistory> {
  return store.readCallHistory({
    module: MODULE,
    fromSeconds: HOUR,
    toSeconds: HOUR + 3600,
    stepSeconds: 10,
    ...query,
  });
}

function counts({ points }: CallHistory): [number, number, number][] {
  return points.map((point) => [point.atSeconds - HOUR, point.succCount, point.errCount]);
}

/** Calls whose time is known, and what they took, by slot. */
function times({ points }: CallHistory): [number, number, number][] {
  return points.map((point) => [point.atSeconds - HOUR, point.timedCount, point.timeMsSum]);
}

/** Registers the tests of history and events. */
export function testHistoryConformance(define: Define): void {
  testHistory(define);
  testRollUp(define);
  testRetention(define);
  testEvents(define);
}

function testHistory(define: Define): void {
  define(
    "refused calls are in the history of a module and of a caller, of no node",
    async (bench) => {
      const { store } = bench;
      const none = { succCount: 0, errCount: 0, reportCount: 0, overloadCount: 0, timedCount: 0 };
      const refused = (atSeconds: number, refusedCount: number, caller: number) =>
        row(atSeconds, 0, { ...none, timeMsSum: 0, ip: 0, port: 0, caller, refusedCount });
      await store.writeCallHistory(1, [
        ...both(HOUR, 5).map((one) => one.port === 0 ? { ...one, refusedCount: 9 } : one),
        refused(HOUR, 9, CALLER),
        refused(HOUR + 60, 2, 0),
        refused(HOUR + 60, 2, 7),
      ]);
      const told = async (query: Partial<CallHistoryQuery>): Promise<unknown[]> =>
        (await read(store, query)).points.map((point) => [
          ...[point.atSeconds - HOUR, point.caller ?? 0, point.succCount, point.refusedCount],
        ]);
      for (let time = 0; time < 2; time++) {
        assert.deepEqual(await told({ stepSeconds: 60 }), [[0, 0, 5, 9], [60, 0, 0, 2]]);
        assert.deepEqual(await told({ stepSeconds: 60, groupBy: "node" }), [[0, 0, 5, 0]]);
        assert.deepEqual(
          await told({ stepSeconds: 60, groupBy: "caller" }),
          [[0, CALLER, 5, 9], [60, 7, 0, 2]],
        );
        assert.deepEqual(await told({ stepSeconds: 60, caller: 7 }), [[60, 0, 0, 2]]);
        await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
      }
    },
  );

  define("readCallHistory() gives back what was written, in the asked grouping", async (bench) => {
    const { store } = bench;
    assert.deepEqual((await read(store, {})).points, []);
    await store.writeCallHistory(1, []);
    const other = { ip: 1, port: 80, caller: 9 };
    await store.writeCallHistory(1, [
      ...both(HOUR, 5),
      ...both(HOUR + 10, 7),
      row(HOUR + 10, 1, other),
      row(HOUR + 10, 100, { cmdId: 2 }),
    ]);
    assert.deepEqual(await read(store, { groupBy: "node" }), {
      stepSeconds: 10,
      fromSeconds: HOUR,
      toSeconds: HOUR + 3600,
      truncated: false,
      points: [
        [HOUR, NODE, 5],
        [HOUR + 10, { ip: 1, port: 80 }, 1],
        [HOUR + 10, NODE, 7],
      ].map(([atSeconds, node, succCount]) => ({
        atSeconds,
        module: MODULE,
        node,
        succCount,
        errCount: 1,
        overloadShare: 0.25,
        timedCount: 3,
        timeMsSum: 60,
        refusedCount: 0,
      })),
    });
    assert.deepEqual(counts(await read(store, {})), [[0, 5, 1], [10, 7, 1]]);
    assert.deepEqual(counts(await read(store, { node: NODE })), [[0, 5, 1], [10, 7, 1]]);
    assert.deepEqual(counts(await read(store, { caller: 9 })), [[10, 1, 1]]);
    assert.deepEqual(counts(await read(store, { caller: 9, node: NODE })), []);
    assert.deepEqual(counts(await read(store, { groupBy: "node", stepSeconds: 15 })), [
      [0, 1, 1],
      [0, 12, 2],
    ], "15 s becomes 20 s");
    const byCaller = await read(store, { groupBy: "caller", stepSeconds: 60 });
    assert.deepEqual(byCaller.points.map((point) => point.caller), [9, CALLER]);
    const all = await read(store, { module: undefined, groupBy: "module" });
    assert.deepEqual(all.points.map((point) => point.module), [MODULE, MODULE]);
    assert.deepEqual(counts(await read(store, { fromSeconds: HOUR + 10, toSeconds: HOUR + 20 })), [
      [10, 7, 1],
    ]);
  });

  define("what a caller keeps out is the share of its nodes, not of its reports", async (bench) => {
    const { store } = bench;
    // A node that is out is reported every 5 s, one in use every second.
    const kept = (port: number, reportCount: number, overloadCount: number): CallHistoryRow =>
      row(HOUR, 5, { port, reportCount, overloadCount });
    await store.writeCallHistory(1, [kept(1, 10, 0), kept(2, 10, 0), kept(3, 2, 2), kept(4, 2, 1)]);
    await store.writeCallHistory(1, [row(HOUR, 20, { ip: 0, port: 0, caller: 0 })]);
    const share = async (query: Partial<CallHistoryQuery>): Promise<number[]> =>
      (await read(store, query)).points.map((point) => point.overloadShare);
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await share({ groupBy: "caller", stepSeconds: 60 }), [0.375]);
      assert.deepEqual(await share({ groupBy: "node", stepSeconds: 60 }), [0, 0, 1, 0.5]);
      await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    }
  });

  define("writeCallHistory() adds sources up and replaces what one repeats", async ({ store }) => {
    await store.writeCallHistory(1, both(HOUR, 5));
    await store.writeCallHistory(1, both(HOUR, 5));
    await store.writeCallHistory(4_294_967_295, both(HOUR, 7));
    for (const groupBy of ["total", "node"] as const) {
      assert.deepEqual(counts(await read(store, { groupBy })), [[0, 12, 2]]);
    }
    const many = Array.from({ length: 2500 }, (_, index) => row(HOUR + 20, 1, { port: index + 1 }));
    await store.writeCallHistory(2, many);
    const { points } = await read(store, { groupBy: "node", fromSeconds: HOUR + 20 });
    assert.equal(points.length, 2500);
  });

  define("writeMarkedHistory() counts each report once, whoever writes it", async ({ store }) => {
    const bucket = (writer: number, number: number, from: number, to: number): MarkedBucket => ({
      ...{ source: writer, writer, number, rows: both(HOUR, to - from) },
      marks: [{ session: 9_007_199_254_740_991, from, to }],
    });
    const written = { moved: [], bad: [] };
    const moved = (seq: number): MarkedOutcome => ({
      moved: [{ session: 9_007_199_254_740_991, state: { seq, gaps: [] } }],
      bad: [],
    });
    const sum = async (): Promise<unknown> => counts(await read(store, {}))[0]?.[1];
    assert.deepEqual(await store.readMarkStates([9_007_199_254_740_991]), new Map());
    assert.deepEqual(await store.writeMarkedHistory(bucket(1, 1, 0, 5)), written);
    assert.deepEqual(await store.writeMarkedHistory(bucket(1, 1, 0, 5)), written, "said again");
    assert.equal(await sum(), 5);
    assert.deepEqual(
      await store.readMarkStates([9_007_199_254_740_991, 8]),
      new Map([[9_007_199_254_740_991, { seq: 5, gaps: [] }]]),
    );
    // Another writer, which was given the same reports.
    assert.deepEqual(await store.writeMarkedHistory(bucket(2, 1, 0, 5)), moved(5));
    assert.deepEqual(await store.writeMarkedHistory(bucket(2, 1, 3, 8)), moved(5));
    assert.equal(await sum(), 5);
    assert.deepEqual(await store.writeMarkedHistory(bucket(2, 1, 5, 7)), written);
    assert.equal(await sum(), 7);
    // The first one again: what it holds stands elsewhere now.
    assert.deepEqual(await store.writeMarkedHistory(bucket(1, 2, 5, 6)), moved(7));
    assert.equal(await sum(), 7);
  });

  define("writeMarkedHistory() takes what others left out, once", async ({ store }) => {
    const session = 77;
    let number = 0;
    const write = async (...ranges: [number, number][]): Promise<boolean> => {
      const rows = both(HOUR + 10 * number, ranges.reduce((sum, [from, to]) => sum + to - from, 0));
      const marks = ranges.map(([from, to]) => ({ session, from, to }));
      const { moved } = await store.writeMarkedHistory({
        ...{ source: 1, writer: 5, number: ++number, rows, marks },
      });
      return moved.length === 0;
    };
    const state = async (): Promise<unknown> =>
      (await store.readMarkStates([session]))?.get(session);
    assert.ok(await write([0, 10]));
    assert.ok(await write([20, 30], [35, 40]), "somebody else keeps those between");
    const owed = { seq: 40, gaps: [{ from: 10, to: 20 }, { from: 30, to: 35 }] };
    assert.deepEqual(await state(), owed);
    assert.ok(!await write([15, 21]), "21 is there");
    assert.ok(!await write([12, 18], [39, 41]), "40 is there");
    assert.deepEqual(await state(), owed);
    assert.ok(await write([12, 18]));
    assert.ok(!await write([12, 18]), "a second time");
    assert.ok(await write([30, 35], [40, 42]));
    assert.deepEqual(await state(), {
      ...{ seq: 42, gaps: [{ from: 10, to: 12 }, { from: 18, to: 20 }] },
    });
    const sum = counts(await read(store, {})).reduce((all, [, succ]) => all + succ, 0);
    assert.equal(sum, 10 + 10 + 5 + 6 + 5 + 2);
    await store.pruneCallStatus(Math.floor(Date.now() / 1000) + 3600);
    assert.equal(await state(), undefined);
  });

  define(
    "writeMarkedHistory() remembers so many gaps of a sender and no more",
    async ({ store }) => {
      const session = 78;
      let givenUp = 0;
      for (let number = 1; number <= MARK_GAPS_MAX + 3; number++) {
        const marks = [{ session, from: 10 * number, to: 10 * number + 1 }];
        const bucket = { source: 1, writer: 6, number, rows: [], marks };
        const { moved, gapsGivenUp = 0 } = await store.writeMarkedHistory(bucket);
        assert.deepEqual(moved, []);
        givenUp += gapsGivenUp;
      }
      const state = (await store.readMarkStates([session]))?.get(session);
      assert.deepEqual([state?.gaps.length, givenUp], [MARK_GAPS_MAX, 3]);
      assert.equal(Math.min(...state?.gaps.map(({ from }) => from) ?? []), 31);
    },
  );

  define(
    "writeMarkedHistory() keeps marks while they are used, and not for ever",
    async (bench) => {
      const { store, execute } = bench;
      const marks = [{ session: 4, from: 0, to: 1 }];
      await store.writeMarkedHistory({
        ...{ source: 1, writer: 3, number: 1 },
        rows: both(HOUR, 1),
        marks,
      });
      await store.pruneCallStatus(Math.floor(Date.now() / 1000) - 3600);
      assert.deepEqual(await store.readMarkStates([4]), new Map([[4, { seq: 1, gaps: [] }]]));
      await store.pruneCallStatus(Math.floor(Date.now() / 1000) + 3600);
      assert.deepEqual(await store.readMarkStates([4]), new Map());
      await execute("DROP TABLE ReportMark");
      assert.equal(await store.readMarkStates([4]), undefined);
      await store.writeMarkedHistory({
        ...{ source: 1, writer: 3, number: 2 },
        rows: both(HOUR, 4),
        marks,
      });
      assert.deepEqual(counts(await read(store, {})), [[0, 4, 1]], "without marks as without them");
    },
  );

  define("writeCallHistory() clips counts that cannot be", async ({ store }) => {
    const wrong = {
      ...{ errCount: -5, reportCount: NaN, overloadCount: 1.9 },
      ...{ timedCount: 2 ** 60, timeMsSum: 2 ** 60 },
    };
    for (let source = 1; source <= 20; source++) {
      await store.writeCallHistory(source, both(HOUR, 2 ** 53, wrong));
    }
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    for (const stepSeconds of [10, 3600]) {
      assert.deepEqual(counts(await read(store, { stepSeconds })), [[
        0,
        20 * HISTORY_COUNT_MAX,
        0,
      ]]);
      assert.deepEqual(times(await read(store, { stepSeconds })), [[
        0,
        20 * HISTORY_COUNT_MAX,
        20 * HISTORY_TIME_MS_MAX,
      ]]);
    }
  });

  define("the history tells times of calls, by node and caller, where known", async ({ store }) => {
    const none = { timedCount: 0, timeMsSum: 0 };
    await store.writeCallHistory(1, [
      ...both(HOUR, 5, { timedCount: 4, timeMsSum: 1000 }),
      row(HOUR, 5, { ip: 1, caller: 9, timedCount: 1, timeMsSum: 7 }),
      row(HOUR + 10, 5, { ip: 1, caller: 9, timedCount: 0, timeMsSum: 0 }),
      ...both(HOUR + 60, 5, none),
    ]);
    await store.writeCallHistory(2, both(HOUR, 5, { timedCount: 2, timeMsSum: 200 }));
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    assert.deepEqual(times(await read(store, { stepSeconds: 60 })), [[0, 6, 1200], [60, 0, 0]]);
    assert.deepEqual(times(await read(store, { stepSeconds: 3600 })), [[0, 6, 1200]]);
    for (const stepSeconds of [10, 60, 3600]) {
      const toSeconds = HOUR + 10;
      const byNode = await read(store, { stepSeconds, toSeconds, groupBy: "node" });
      assert.deepEqual(
        byNode.points.map((point) => [point.node?.ip, point.timedCount, point.timeMsSum]),
        [[1, 1, 7], [IP, 6, 1200]],
      );
      const byCaller = await read(store, { stepSeconds, toSeconds, groupBy: "caller" });
      assert.deepEqual(
        byCaller.points.map((point) => [point.caller, point.timedCount, point.timeMsSum]),
        [[9, 1, 7], [CALLER, 6, 1200]],
      );
    }
  });

  define("the history goes on without times where their columns are missing", async (bench) => {
    for (const column of ["timed_calls", "time_ms_sum"]) {
      await bench.execute(`ALTER TABLE CallHistory DROP COLUMN ${column}`);
    }
    const store = await openStore(bench.url);
    await store.writeCallHistory(1, both(HOUR, 5));
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    for (const stepSeconds of [10, 3600]) {
      const history = await read(store, { stepSeconds });
      assert.deepEqual(counts(history), [[0, 5, 1]]);
      assert.deepEqual(times(history), [[0, 0, 0]]);
    }
    await store.migrate();
    await store.writeCallHistory(1, both(HOUR + 60, 5));
    assert.deepEqual(times(await read(store, {})), [[0, 0, 0], [60, 3, 60]]);
    await store.close();
  });

  define("readCallHistory() refuses ranges that make no sense", async ({ store }) => {
    for (
      const query of [
        { toSeconds: HOUR },
        { fromSeconds: HOUR + 7200 },
        { fromSeconds: -1 },
        { fromSeconds: HOUR * 1000, toSeconds: HOUR * 1000 + 1 },
        { stepSeconds: 0 },
        { stepSeconds: NaN },
        { fromSeconds: 0 },
      ]
    ) await assert.rejects(read(store, query), RangeError, JSON.stringify(query));
  });

  define("the history is empty and refuses rows without its tables", async (bench) => {
    for (const table of ["CallHistory", "Event"]) await bench.execute(`DROP TABLE ${table}`);
    const store = await openStore(bench.url);
    assert.deepEqual((await read(store, {})).points, []);
    assert.deepEqual(await store.readEvents(), []);
    const rolled = await store.rollUpCallHistory({ nowSeconds: HOUR });
    assert.deepEqual(rolled, { windowCount: 0, deletionCount: 0 });
    await store.pruneEvents({ nowMs: HOUR * 1000 });
    for (
      const write of [
        () => store.writeCallHistory(1, both(HOUR, 1)),
        () => store.addEvents([{ atMs: 1, kind: "x", text: "" }]),
      ]
    ) {
      await assert.rejects(write, (error: unknown) => {
        assert.ok(error instanceof StoreError && !error.transient);
        assert.match(error.message, /run the migrations/);
        return true;
      });
    }
    await store.close();
  });
}

function testRollUp(define: Define): void {
  define("rollUpCallHistory() sums minutes and hours up, once they are over", async (bench) => {
    const { store } = bench;
    for (let second = 0; second < 3600; second += 10) {
      await store.writeCallHistory(second % 20, both(HOUR + second, 1));
    }
    const stored = async (step: HistoryStep): Promise<number> => {
      const [found] = await bench.execute(
        `SELECT COUNT(*) AS n FROM CallHistory WHERE step_s = ${step}`,
      );
      return Number(found.n);
    };
    const first = await store.rollUpCallHistory({ nowSeconds: HOUR + 150 });
    assert.deepEqual(first, { windowCount: 2, deletionCount: 0 });
    assert.equal(await stored(60), 4);
    const again = await store.rollUpCallHistory({ nowSeconds: HOUR + 150 });
    assert.deepEqual(again, { windowCount: 0, deletionCount: 0 });
    const rest = await store.rollUpCallHistory({ nowSeconds: HOUR + 3600 + 30 });
    assert.equal(rest.windowCount, 58 + 1);
    assert.equal(await stored(3600), 2);
    const total = await read(store, { stepSeconds: 3600 });
    assert.deepEqual(total.points, [
      {
        atSeconds: HOUR,
        succCount: 360,
        errCount: 360,
        overloadShare: 0.25,
        timedCount: 3 * 360,
        timeMsSum: 60 * 360,
        refusedCount: 0,
      },
    ]);
    // Coarse steps read the coarse buckets: what is fine can go.
    await bench.execute("DELETE FROM CallHistory WHERE step_s < 3600");
    assert.deepEqual(counts(await read(store, { stepSeconds: 3600, groupBy: "caller" })), [
      [0, 360, 360],
    ]);
    assert.deepEqual((await read(store, { stepSeconds: 60 })).points, []);
  });

  define("rollUpCallHistory() computes again what was written late", async ({ store }) => {
    await store.writeCallHistory(1, both(HOUR, 1));
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    assert.deepEqual(counts(await read(store, { stepSeconds: 3600 })), [[0, 1, 1]]);
    await store.writeCallHistory(2, both(HOUR + 10, 5));
    assert.deepEqual(counts(await read(store, { stepSeconds: 60 })), [[0, 6, 2]], "read finely");
    const { windowCount } = await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    assert.equal(windowCount, 2);
    assert.deepEqual(counts(await read(store, { stepSeconds: 60 })), [[0, 6, 2]]);
    assert.deepEqual(counts(await read(store, { stepSeconds: 3600 })), [[0, 6, 2]]);
  });

  define("rollUpCallHistory() sums any number of modules up", async ({ store }) => {
    const modules = Array.from({ length: 121 }, (_, index) => index * 35_000_000 + (index % 2));
    for (let second = 0; second < 120; second += 10) {
      await store.writeCallHistory(
        1,
        modules.flatMap((modId) => both(HOUR + second, 2, { modId })),
      );
    }
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    for (const groupBy of ["module", "node"] as const) {
      const { points } = await read(store, { module: undefined, stepSeconds: 3600, groupBy });
      assert.deepEqual(points.map((point) => point.module?.modId), modules);
      assert.ok(points.every((point) => point.succCount === 24));
    }
  });

  define("rollUpCallHistory() of several reporters at once never doubles", async (bench) => {
    const stores = [bench.store, await openStore(bench.url), await openStore(bench.url)];
    await Promise.all(stores.map(async (store, source) => {
      for (let second = 0; second < 600; second += 10) {
        await store.writeCallHistory(source + 1, both(HOUR + second, 1));
        if (second % 50 === 0) await store.rollUpCallHistory({ nowSeconds: HOUR + second });
      }
    }));
    await Promise.all(stores.map((store) => store.rollUpCallHistory({ nowSeconds: HOUR + 7200 })));
    for (const store of stores.slice(1)) await store.close();
    for (const stepSeconds of [60, 3600]) {
      for (const groupBy of ["total", "node"] as const) {
        const { points } = await read(bench.store, { stepSeconds, groupBy });
        const sum = points.reduce((all, point) => all + point.succCount, 0);
        assert.equal(sum, 180, `${stepSeconds} s by ${groupBy}`);
      }
    }
  });
}

function testRetention(define: Define): void {
  define("rollUpCallHistory() deletes what is past its time and keeps the sums", async (bench) => {
    const { store } = bench;
    for (let second = 0; second < 1200; second += 10) {
      await store.writeCallHistory(1, both(HOUR + second, 1));
    }
    const keepSeconds = { 10: 600, 60: 3600, 3600: 7200 };
    const nowSeconds = HOUR + 3600 + 30;
    await store.rollUpCallHistory({ nowSeconds: HOUR + 1200, keepSeconds });
    await store.rollUpCallHistory({ nowSeconds, keepSeconds });
    const left = async (): Promise<unknown[]> => {
      const rows = await bench.execute(
        "SELECT step_s, COUNT(*) AS n, SUM(succ) AS succ FROM CallHistory " +
          "WHERE grain = 1 GROUP BY step_s ORDER BY step_s",
      );
      return rows.map((found) => [found.step_s, found.n, found.succ].map(Number));
    };
    assert.deepEqual(await left(), [[60, 20, 120], [3600, 1, 120]]);
    // Its ten-second buckets are gone: the history of the range comes in minutes.
    const now = Math.floor(systemClock.wallMs() / 1000);
    const found = await store.readCallHistory({
      module: MODULE,
      fromSeconds: HOUR,
      toSeconds: now,
      stepSeconds: 10,
    });
    assert.ok(found.stepSeconds >= 60, `${found.stepSeconds}`);
    assert.equal(found.points.reduce((sum, point) => sum + point.succCount, 0), 120);
    await store.rollUpCallHistory({ nowSeconds: HOUR + 86_400, keepSeconds });
    assert.deepEqual(await left(), []);
  });

  define("rollUpCallHistory() never shrinks a sum whose buckets are gone", async ({ store }) => {
    await store.writeCallHistory(1, both(HOUR, 5));
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200 });
    const keepSeconds = { 10: 60, 60: 86_400, 3600: 864_000 };
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200, keepSeconds });
    await store.writeCallHistory(2, both(HOUR + 10, 1));
    await store.rollUpCallHistory({ nowSeconds: HOUR + 7200, keepSeconds });
    assert.deepEqual(counts(await read(store, { stepSeconds: 3600 })), [[0, 5, 1]]);
  });
}

function event(kind: string, more: Partial<NewEvent> = {}): NewEvent {
  return { atMs: 1_700_000_000_123, kind, text: `About ${kind}`, ...more };
}

function testEvents(define: Define): void {
  define("addEvents() stores, readEvents() finds", async ({ store }) => {
    assert.deepEqual(await store.readEvents(), []);
    await store.addEvents([]);
    const whole = event("node.overload", {
      module: MODULE,
      node: NODE,
      host: CALLER,
      text: "ö'\"\\%😀",
      detail: { errRate: 0.5, list: [1, null] },
    });
    await store.addEvents([whole, event("node.idle", { module: { modId: 1, cmdId: 1 } })]);
    await store.addEvents([event("alert.firing", { atMs: 1_700_000_000_999.5 })]);
    const [first, second, third] = await store.readEvents();
    assert.deepEqual(first, { ...whole, id: first.id });
    assert.deepEqual(third, {
      ...event("alert.firing"),
      atMs: 1_700_000_000_999,
      id: third.id,
      detail: {},
    });
    const ids = async (query: Parameters<Store["readEvents"]>[0]): Promise<number[]> =>
      (await store.readEvents(query)).map(({ id }) => id);
    assert.ok(first.id < second.id && second.id < third.id);
    assert.deepEqual(await ids({ afterId: first.id }), [second.id, third.id]);
    assert.deepEqual(await ids({ afterId: first.id, limit: 1 }), [second.id]);
    assert.deepEqual(await ids({ limit: 2 }), [second.id, third.id], "the latest");
    assert.deepEqual(await ids({ beforeId: third.id, limit: 1 }), [second.id]);
    assert.deepEqual(await ids({ kinds: ["node."] }), [first.id, second.id]);
    assert.deepEqual(await ids({ kinds: ["node", "alert.firing"] }), [third.id]);
    assert.deepEqual(await ids({ kinds: [] }), []);
    assert.deepEqual(await ids({ module: MODULE, kinds: ["node.", "alert."] }), [first.id]);
  });

  define("addEvents() refuses what cannot be stored as meant", async ({ store }) => {
    await assert.rejects(store.addEvents([event("Not A Word")]), /kind must be/);
    await assert.rejects(store.addEvents([event("x", { atMs: NaN })]), RangeError);
    await assert.rejects(store.addEvents([event("x"), event("x", { host: -1 })]), /host must be/);
    await assert.rejects(
      store.addEvents([event("x", { node: { ip: 1, port: 65_536 } })]),
      RangeError,
    );
    await assert.rejects(
      store.addEvents([event("x", { detail: { a: "x".repeat(20_000) } })]),
      LimitError,
    );
    await assert.rejects(store.addEvents(new Array(1001).fill(event("x"))), LimitError);
    await assert.rejects(store.readEvents({ limit: 0 }), RangeError);
    assert.deepEqual(await store.readEvents(), [], "none of them is there");
    await store.addEvents([event("x", { text: "😀".repeat(500) })]);
    const [{ text }] = await store.readEvents();
    assert.equal(text.length, EVENT_TEXT_LENGTH_MAX);
  });

  define("pruneEvents() keeps the newest, by age and by number", async ({ store }) => {
    const nowMs = 1_700_000_000_000;
    await store.addEvents(
      Array.from(
        { length: 250 },
        (_, index) => event("x", { atMs: nowMs - 250_000 + index * 1000 }),
      ),
    );
    await store.pruneEvents({ nowMs, keepSeconds: 200 });
    assert.equal((await store.readEvents({ limit: 1000 })).length, 200);
    await store.pruneEvents({ nowMs, keepSeconds: 200, countMax: 30 });
    const left = await store.readEvents({ limit: 1000 });
    assert.equal(left.length, 30);
    assert.equal(left[29].atMs, nowMs - 1000);
    await store.pruneEvents({ nowMs });
    assert.equal((await store.readEvents()).length, 30);
  });
}
