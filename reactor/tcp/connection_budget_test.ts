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

test("those that wait at any number of ports fit what may be open, with those that were taken", () => {
  assert.deepEqual([256, 1024, 4096, 1_000_000, undefined].map(waitingMax), [32, 32, 64, 511, 511]);
  for (const files of [400, 1024, 4096, 65_536]) {
    for (const ports of [1, 4, 8]) {
      const budget = new ConnectionBudget(files);
      const waiting = waitingMax(files) + 1;
      const leave = Array.from({ length: ports }, () => budget.reserve(waiting));
      let taken = 0;
      while (budget.take()) taken++;
      const open = taken + ports * waiting + reservedFiles(files);
      assert.ok(open <= Math.max(files, ports * waiting + reservedFiles(files) + 1), `${open}`);
      for (const give of [...leave, ...leave]) give();
      assert.equal(budget.max, files - reservedFiles(files), "a port that closes gives back, once");
      assert.equal(budget.take(), true);
    }
  }
  assert.equal(new ConnectionBudget(undefined).max, Infinity);
});
