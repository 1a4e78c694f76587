// A bucket that no transaction takes as a whole, while others write of the same senders.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { rowsScript, type Script } from "../drivers/sql_script.ts";
import { openDriver } from "../open_store.ts";
import { migrateScript } from "../schema/migrations.ts";
import { SqlStore } from "../sql_store.ts";
import { schemaShapeScript } from "../schema/schema_shape.ts";
import type { CallHistoryRow, MarkedBucket, SessionMark } from "./call_history.ts";
import { GapWatch, trimGapsScript } from "./session_marks.ts";

const AT_S = Math.floor(systemClock.wallMs() / 3_600_000) * 3600 - 3600;

/** Rows of this many modules, more than go into one transaction of SQLite. */
const MANY = 10_500;

function rowsOf(count: number, succCount: number): CallHistoryRow[] {
  return Array.from({ length: count }, (_, modId) => ({
    ...{ modId, cmdId: 1, ip: 0, port: 0, caller: 0, atSeconds: AT_S, succCount, errCount: 0 },
    ...{ reportCount: 1, overloadCount: 0, timedCount: 0, timeMsSum: 0, refusedCount: 0 },
  }));
}

interface Lab {
  /** Writes in parts. */
  readonly first: SqlStore;
  readonly second: SqlStore;
  /** Run once, when the first of the parts is written. */
  between: (() => Promise<void>) | undefined;
  /** Successes of all modules, in whole minutes if `rolled`. */
  sum(rolled?: boolean): Promise<number>;
}

async function withLab(body: (lab: Lab) => Promise<void>): Promise<void> {
  await withTempDir(async (path) => {
    const open = async (yieldToLoop: () => Promise<void>): Promise<SqlStore> => {
      const shared = { clock: systemClock, rng: seededRng(1), log: silentLogger };
      const driver = await openDriver(`sqlite:${join(path, "lars.db")}`);
      return new SqlStore({ ...shared, driver, queryTimeoutMs: 5_000, yieldToLoop });
    };
    const second = await open(() => Promise.resolve());
    const first = await open(async () => {
      const { between } = lab;
      lab.between = undefined;
      await between?.();
    });
    const lab: Lab = {
      ...{ first, second, between: undefined },
      sum: async (rolled = false) => {
        if (rolled) await second.rollUpCallHistory({ nowSeconds: AT_S + 1800 });
        const range = { fromSeconds: AT_S, toSeconds: AT_S + 60, stepSeconds: rolled ? 60 : 10 };
        const { points } = await second.readCallHistory({ ...range, groupBy: "total" });
        return points.reduce((all, { succCount }) => all + succCount, 0);
      },
    };
    await second.migrate();
    try {
      await body(lab);
    } finally {
      await first.close();
      await second.close();
    }
  });
}

function bucketOf(writer: number, rows: CallHistoryRow[], marks: SessionMark[]): MarkedBucket {
  return { source: writer, writer, number: 1, rows, marks };
}

test("a bucket in parts is taken back when others write of its reports meanwhile", () =>
  withLab(async (lab) => {
    const { first, second } = lab;
    lab.between = async () => {
      const marks = [{ session: 71, from: 0, to: 5 }];
      await second.writeMarkedHistory(bucketOf(2, rowsOf(1, 1), marks));
      assert.ok(await lab.sum(true) > 1, "what is summed up already has to be again");
    };
    const marks = [{ session: 71, from: 0, to: 5 }, { session: 72, from: 0, to: 3 }];
    const outcome = await first.writeMarkedHistory(bucketOf(1, rowsOf(MANY, 2), marks));
    assert.deepEqual(outcome, { moved: [{ session: 71, state: { seq: 5, gaps: [] } }], bad: [] });
    assert.deepEqual([await lab.sum(), await lab.sum(true)], [1, 1]);
    // The rest of it, as whoever wrote it goes on.
    const rest = bucketOf(1, rowsOf(MANY, 1), [{ session: 72, from: 0, to: 3 }]);
    assert.deepEqual(await first.writeMarkedHistory(rest), { moved: [], bad: [] });
    assert.deepEqual(await first.writeMarkedHistory(rest), { moved: [], bad: [] }, "once");
    assert.deepEqual([await lab.sum(), await lab.sum(true)], [MANY + 1, MANY + 1]);
    const states = await second.readMarkStates([71, 72]);
    assert.deepEqual([...states ?? []].map(([session, { seq }]) => [session, seq]), [
      ...[[71, 5], [72, 3]],
    ]);
  }));

test("a bucket in parts leaves a mark where others have moved it meanwhile", () =>
  withLab(async (lab) => {
    const { first, second } = lab;
    lab.between = async () => {
      const marks = [{ session: 71, from: 5, to: 8 }];
      await second.writeMarkedHistory(bucketOf(2, rowsOf(1, 1), marks));
    };
    const marks = [{ session: 71, from: 0, to: 5 }];
    const outcome = await first.writeMarkedHistory(bucketOf(1, rowsOf(MANY, 2), marks));
    assert.deepEqual(outcome, { moved: [], bad: [] });
    const states = await second.readMarkStates([71]);
    assert.deepEqual(states?.get(71), { seq: 8, gaps: [] }, "no report may be counted again");
    assert.equal(await lab.sum(), 2 * MANY + 1);
  }));

test("a bucket in parts that was cut short is taken back when others have its reports by then", () =>
  withLab(async (lab) => {
    const { first, second } = lab;
    lab.between = () => Promise.reject(new Error("cut short"));
    const marks = [{ session: 71, from: 0, to: 5 }];
    const bucket = bucketOf(1, rowsOf(MANY, 2), marks);
    await assert.rejects(first.writeMarkedHistory(bucket), /cut short/);
    assert.ok(await lab.sum() > 0);
    await second.writeMarkedHistory(bucketOf(2, rowsOf(1, 1), marks));
    const { moved } = await first.writeMarkedHistory(bucket);
    assert.deepEqual(moved.map(({ session }) => session), [71]);
    assert.equal(await lab.sum(), 1);
  }));

test("of the gaps of all senders those told longest ago are given up", () =>
  withTempDir(async (path) => {
    const driver = await openDriver(`sqlite:${join(path, "lars.db")}`);
    try {
      await driver.migrate(() => migrateScript("sqlite"));
      const shape = await driver.run(() => schemaShapeScript("sqlite"));
      await driver.run(function* (): Script<void> {
        for (let session = 1; session <= 10; session++) {
          yield {
            sql: "INSERT INTO ReportGap(session, seq_from, seq_to, seen_at) VALUES (?, 0, 5, ?)",
            params: [session, 1_000 + session],
          };
        }
      });
      assert.equal(await driver.run(() => trimGapsScript(shape, 10)), 0);
      assert.equal(await driver.run(() => trimGapsScript(shape, 7)), 3);
      assert.equal(await driver.run(() => trimGapsScript(shape, 7)), 0);
      const rows = await driver.run(() =>
        rowsScript("SELECT MIN(session) AS least FROM ReportGap")
      );
      assert.equal(Number(rows[0].least), 4);
    } finally {
      await driver.close();
    }
  }));

test("gaps are looked at when the first is made, and then after some thousands", () => {
  const watch = new GapWatch();
  assert.deepEqual([watch.isDue(0), watch.isDue(1), watch.isDue(4_000)], [false, true, false]);
  assert.deepEqual([watch.isDue(1_000), watch.isDue(1)], [true, false]);
});
