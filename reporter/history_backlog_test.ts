import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { moduleText } from "../model/module.ts";
import { addressText } from "../model/node.ts";
import type { CallHistoryRow, SessionMark } from "../sql/results/call_history.ts";
import { isIn, type MarkState, missingIn } from "../sql/results/mark_state.ts";
import { CallTracker, type ClosedBucket } from "./call_history.ts";
import { EVENT_BACKLOG_MAX, EventBacklog, HistoryBacklog } from "./history_backlog.ts";

function bucket(atSeconds: number, ports: readonly number[]): ClosedBucket {
  return {
    atSeconds,
    kept: new Map(),
    rows: ports.map((port): CallHistoryRow => ({
      modId: 1,
      cmdId: 1,
      ip: 1,
      port,
      caller: 1,
      atSeconds,
      succCount: 1,
      errCount: 2,
      reportCount: 3,
      overloadCount: 4,
      timedCount: 5,
      timeMsSum: 6,
      refusedCount: 0,
    })),
  };
}

function newBacklog(rowsMax: number): HistoryBacklog {
  let source = 0;
  return new HistoryBacklog(() => ++source, rowsMax);
}

test("HistoryBacklog hands buckets out in order and passes over empty ones", () => {
  const backlog = newBacklog(100);
  backlog.add(bucket(10, []));
  assert.equal(backlog.rowCount, 0);
  backlog.add(bucket(20, [1, 2]));
  backlog.add(bucket(30, [1]));
  assert.equal(backlog.rowCount, 3);
  assert.deepEqual([backlog.first?.atSeconds, backlog.first?.source], [20, 1]);
  backlog.settle();
  assert.equal(backlog.first?.atSeconds, 30);
});

test("HistoryBacklog draws another source when the clock was set back", () => {
  const backlog = newBacklog(100);
  const sources = [10, 20, 10, 20, 20].map((atSeconds) => {
    backlog.add(bucket(atSeconds, [1]));
    const source = backlog.first?.source;
    backlog.settle();
    return source;
  });
  assert.deepEqual(sources, [1, 1, 2, 2, 3], "no row replaces one of another bucket");
});

test("HistoryBacklog adds old buckets together when they are too many, and loses no call", () => {
  const backlog = newBacklog(4);
  for (let at = 10; at <= 100; at += 10) backlog.add(bucket(at, [1, at]));
  const sums = new Map<number, number>();
  const times: number[] = [];
  for (let one = backlog.first; one !== undefined; one = backlog.first) {
    times.push(one.atSeconds);
    for (const row of one.rows) {
      assert.equal(row.atSeconds, one.atSeconds);
      sums.set(row.port, (sums.get(row.port) ?? 0) + row.succCount);
      assert.deepEqual(
        [row.errCount, row.reportCount, row.overloadCount],
        [2, 3, 4].map((count) => count * row.succCount),
      );
    }
    backlog.settle();
  }
  assert.deepEqual(times, [10, 100], "the first may be on its way and stays");
  assert.equal(backlog.mergeCount, 8);
  assert.equal(sums.get(1), 10);
  assert.equal(sums.size, 11);
});

/** Rows of some nodes from each of some senders, which keep them, and others of senders that do not. */
function keptBucket(atSeconds: number, sessions: readonly number[]): ClosedBucket {
  const own = bucket(atSeconds, [1, 2, 3]).rows.map((row) => ({ ...row, succCount: 7 }));
  const rowsOf = (session: number): CallHistoryRow[] =>
    bucket(atSeconds, [1, 2]).rows.map((row) => ({ ...row, caller: 100 + session }));
  const kept = new Map(sessions.map((session) => [session, rowsOf(session)]));
  const module = {
    ...{ ip: 0, port: 0, caller: 0, succCount: 21 + 2 * sessions.length },
    ...{ errCount: 6 + 4 * sessions.length, timedCount: 15 + 10 * sessions.length },
    timeMsSum: 18 + 12 * sessions.length,
  };
  const sum = { ...own[0], ...module };
  return { atSeconds, kept, rows: [sum, ...own, ...[...kept.values()].flat()] };
}

test("HistoryBacklog holds no more of what senders keep than they have nodes, however long it waits", () => {
  const backlog = newBacklog(30);
  for (let at = 10; at <= 10_000; at += 10) backlog.add(keptBucket(at, [1, 2, 3]));
  backlog.settle();
  const { kept = new Map(), rows = [] } = backlog.first ?? {};
  assert.deepEqual([...kept].map(([, own]) => own.length), [2, 2, 2]);
  assert.equal(rows.length, 1 + 3 + 6);
});

test("HistoryBacklog leaves sessions out the same way one by one or together, merged or not", () => {
  for (const rowsMax of [30, 100_000]) {
    const [single, together, never] = [1, 2, 3].map(() => newBacklog(rowsMax));
    for (let at = 10; at <= 200; at += 10) {
      for (const backlog of [single, together]) backlog.add(keptBucket(at, [1, 2, 3]));
      never.add(keptBucket(at, [3]));
    }
    if (rowsMax > 1000) {
      assert.equal(
        together.ownRowCount(() => true),
        never.ownRowCount(() => true),
      );
    }
    single.leaveOut([1]);
    single.leaveOut([2]);
    together.leaveOut([2, 1]);
    const expected = totalsOf(never);
    assert.deepEqual(totalsOf(together), expected);
    assert.deepEqual(totalsOf(single), expected);
  }
});

test("HistoryBacklog takes what a sender without an address was refused out of the sum once", () => {
  const refused = (refusedCount: number): CallHistoryRow => ({
    ...bucket(10, [0]).rows[0],
    ...{ ip: 0, caller: 0, succCount: 0, errCount: 0, reportCount: 0, overloadCount: 0 },
    ...{ timedCount: 0, timeMsSum: 0, refusedCount },
  });
  const [node] = bucket(10, [80]).rows;
  const sum = { ...refused(12), succCount: 1, errCount: 2, timedCount: 5, timeMsSum: 6 };
  const backlog = newBacklog(100);
  const kept = new Map([[7, [refused(5)]], [8, [refused(4)]]]);
  backlog.add({ atSeconds: 10, rows: [sum, node], kept });
  backlog.leaveOut([7]);
  assert.deepEqual(backlog.first?.rows, [{ ...sum, refusedCount: 7 }, node]);
  backlog.leaveOut([8]);
  assert.deepEqual(backlog.first?.rows, [{ ...sum, refusedCount: 3 }, node]);
});

/** What all buckets say of each node, added up, and of which sessions they hold anything. */
function totalsOf(backlog: HistoryBacklog): Record<string, number[]> {
  const totals: Record<string, number[]> = {};
  for (let one = backlog.first; one !== undefined; one = backlog.first) {
    assert.deepEqual([...one.kept.keys()], [3]);
    for (const { ip, port, caller, succCount, errCount, reportCount, timeMsSum } of one.rows) {
      const name = `${ip}:${port} ${caller}`;
      const [succ, err, reports, timeMs] = totals[name] ?? [0, 0, 0, 0];
      totals[name] = [
        ...[succ + succCount, err + errCount, reports + reportCount, timeMs + timeMsSum],
      ];
    }
    backlog.settle();
  }
  return totals;
}

/** A report of a session: it says this of one node, or of calls that got none (0). */
interface OneReport {
  readonly session: number;
  readonly node: number;
  readonly calls: number;
  /** It is the first of a bucket. */
  readonly begins: boolean;
}

/** Buckets of all reports that are wanted, as they come in one after the other. */
function backlogOf(
  reports: readonly OneReport[],
  isWanted: (session: number, seq: number) => boolean,
  rowsMax: number,
): HistoryBacklog {
  const backlog = newBacklog(rowsMax);
  const tracker = new CallTracker({ onEvent: () => {}, keepsReports: true });
  const seqs = new Map<number, number>();
  let marks: SessionMark[] = [];
  let atMs = 1_700_000_000_000;
  const close = (): void => {
    const bucket = tracker.close(atMs, true);
    if (bucket !== undefined) backlog.add(bucket, marks);
    marks = [];
    atMs += 10_000;
  };
  for (const { session, node, calls, begins } of reports) {
    if (begins) close();
    const seq = (seqs.get(session) ?? 0) + 1;
    seqs.set(session, seq);
    if (!isWanted(session, seq)) continue;
    marks.push({ session, from: seq - 1, to: seq });
    const gains = { succ: node === 0 ? 0 : calls, err: node, timed: 0, timeMs: 0 };
    const kept = { session, seq, gains, refusedNew: node === 0 ? calls : 0 };
    const none = { overload: calls, unusable: 0, noNode: 0, noRoute: 0 };
    tracker.add(`kept ${session}`, [{
      ...{ modId: 1, cmdId: 1, ip: node, port: node, caller: session - 1, ts: 1, kept },
      ...{ succCount: 0, errCount: 0, overload: calls > 3 && node > 0, succTotal: 9, errTotal: 0 },
      ...(node === 0 ? { refused: none } : {}),
    }], atMs);
  }
  close();
  return backlog;
}

/** What all buckets say together, but for how nodes are weighed, and which reports are in them. */
function contentOf(backlog: HistoryBacklog): unknown {
  const calls: Record<string, number[]> = {};
  const reports = new Set<string>();
  for (let one = backlog.first; one !== undefined; one = backlog.first) {
    for (const row of one.rows) {
      const key = `${moduleText(row)} ${addressText(row)} ${row.caller}`;
      const counts = [row.succCount, row.errCount, row.refusedCount];
      if (row.port > 0) counts.push(row.reportCount, row.overloadCount);
      calls[key] = counts.map((count, i) => count + (calls[key]?.[i] ?? 0));
    }
    for (const { session, from, to } of one.marks) {
      for (let seq = from + 1; seq <= to; seq++) {
        assert.ok(!reports.has(`${session} ${seq}`), "in two buckets");
        reports.add(`${session} ${seq}`);
      }
    }
    backlog.settle();
  }
  return [calls, [...reports].sort()];
}

const reportArbitrary = fc.record({
  session: fc.integer({ min: 1, max: 3 }),
  node: fc.nat(2),
  calls: fc.integer({ min: 1, max: 5 }),
  begins: fc.boolean(),
});

/** How far others have brought a session: with up to one gap. */
const stateArbitrary = fc.tuple(fc.nat(12), fc.nat(12), fc.nat(12)).map(
  ([one, other, seq]): MarkState => {
    const [from, to] = one < other ? [one, other] : [other, one];
    return { seq, gaps: from < to && to <= seq ? [{ from, to }] : [] };
  },
);

test("HistoryBacklog leaves out those reports that are in SQL, and keeps all others", () => {
  const statesArbitrary = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), stateArbitrary));
  fc.assert(fc.property(
    fc.array(reportArbitrary, { maxLength: 60, size: "max" }),
    statesArbitrary,
    fc.constantFrom(4, 100_000),
    (reports, pairs, rowsMax) => {
      const states = new Map(pairs);
      const backlog = backlogOf(reports, () => true, rowsMax);
      // As the one that is refused: of a session that it has nothing of nobody says anything.
      const { marks = [] } = backlog.first ?? {};
      for (const [session, state] of states) {
        const own = marks.filter((mark) => mark.session === session);
        const isMoved = own.some(({ from, to }) =>
          missingIn(state, { from, to }).reduce((sum, one) => sum + one.to - one.from, 0) <
            to - from
        );
        if (!isMoved) states.delete(session);
      }
      assert.deepEqual(backlog.leaveOutStored(states), []);
      const isMissing = (session: number, seq: number): boolean => {
        const state = states.get(session);
        return state === undefined || !isIn(state, seq);
      };
      assert.deepEqual(contentOf(backlog), contentOf(backlogOf(reports, isMissing, rowsMax)));
    },
  ));
});

test("HistoryBacklog names sessions of which it does not know what came of which report", () => {
  const backlog = newBacklog(100);
  const marks = [1, 2, 3].map((session) => ({ session, from: 0, to: 2 }));
  backlog.add(keptBucket(10, [1, 2, 3]), marks);
  const at = (seq: number): MarkState => ({ seq, gaps: [] });
  // Nothing of the first is in SQL, some of the second, all of the third.
  const unclear = backlog.leaveOutStored(new Map([[1, at(0)], [2, at(1)], [3, at(2)]]));
  assert.deepEqual(unclear, [1, 2]);
  assert.deepEqual(backlog.first?.marks, marks.slice(0, 2));
  assert.deepEqual([...backlog.first?.kept.keys() ?? []], [1, 2]);
});

test("HistoryBacklog adds buckets together without what others have between them", () => {
  const backlog = newBacklog(3);
  const ranges = [[0, 1], [1, 4], [4, 5], [9, 12]];
  for (const [index, [from, to]] of ranges.entries()) {
    backlog.add(keptBucket(10 * (index + 1), [3]), [{ session: 3, from, to }]);
  }
  backlog.settle();
  assert.deepEqual(backlog.first?.marks, [
    { session: 3, from: 1, to: 5 },
    { session: 3, from: 9, to: 12 },
  ]);
});

test("EventBacklog is bounded and counts what it drops", () => {
  const backlog = new EventBacklog();
  for (let index = 0; index < EVENT_BACKLOG_MAX + 5; index++) {
    backlog.add({ atMs: index, kind: "x", text: "" });
  }
  assert.equal(backlog.size, EVENT_BACKLOG_MAX);
  assert.equal(backlog.droppedCount, 5);
  assert.deepEqual(backlog.peek(2).map(({ atMs }) => atMs), [0, 1]);
  backlog.settle(2);
  assert.equal(backlog.peek(1)[0].atMs, 2);
});
