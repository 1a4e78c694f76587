import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ConnectionBudget,
  RESERVED_FILES,
  reservedFiles,
  waitingMax,
} from "./connection_budget.ts";

test("ConnectionBudget: one server's silent connections make room for those of another", () => {
  const budget = new ConnectionBudget(RESERVED_FILES + 3);
  let silent = 2;
  const leave = budget.join(() => {
    if (silent === 0) return false;
    silent--;
    budget.give();
    return true;
  });
  assert.deepEqual([1, 2, 3].map(() => budget.take()), [true, true, true]);
  assert.deepEqual([budget.take(), silent], [true, 1]);
  assert.deepEqual([budget.take(), silent], [true, 0]);
  assert.deepEqual([budget.take(), budget.taken], [false, 3], "nobody is silent any more");
  budget.give();
  assert.equal(budget.take(), true);
  silent = 5;
  leave();
  assert.equal(budget.take(), false, "who has left is not asked");
  assert.equal(new ConnectionBudget(undefined).take(), true, "no limit is known");
});

test("those that wait at three ports fit what is reserved, where few files may be open", () => {
  assert.deepEqual([256, 1024, 4096, 1_000_000, undefined].map(waitingMax), [32, 32, 64, 511, 511]);
  assert.ok(3 * waitingMax(1024) < reservedFiles(1024));
});
