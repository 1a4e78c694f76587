import assert from "node:assert/strict";
import { test } from "node:test";
import { exchangeNames } from "./original_names.ts";

const module = (modId: number, cmdId: number, name = "") => ({ modId, cmdId, name });

test("exchangeNames() gives each side what it lacks, and overwrites nothing", () => {
  const { named, refused, added } = exchangeNames(
    [
      module(1, 1),
      module(1, 2),
      module(1, 9),
      module(2, 1, "search"),
      module(3, 3, "mail/send"),
      module(3, 4, "mail/read"),
      module(5, 3, "sms/ send"),
      module(6, 3, "push/other"),
      module(8, 8),
    ],
    {
      modules: new Map([[1, " pay\n"], [2, "kept as it is"], [6, ""]]),
      commands: new Map([[1, "charge"], [2, ""]]),
    },
  );
  assert.deepEqual(named, [
    module(1, 1, "pay/charge"),
    module(1, 2, "pay/2"),
    module(1, 9, "pay/9"),
  ]);
  assert.deepEqual(refused, []);
  assert.deepEqual([...added.modules], [[3, "mail"], [5, "sms"], [6, "push"]]);
  assert.deepEqual([...added.commands], [[4, "read"]], "those of 3 do not agree");
});

test("exchangeNames() takes over no name that would find no module, or another one", () => {
  const { named, refused } = exchangeNames(
    [module(1, 1), module(2, 2), module(3, 3), module(4, 4, "Taken/x")],
    {
      modules: new Map([[1, "7"], [2, "-x"], [3, "taken"]]),
      commands: new Map([[1, "8"], [3, "X"]]),
    },
  );
  assert.deepEqual(named, []);
  assert.deepEqual(refused.map(({ modId, why }) => [modId, why]), [
    [1, "must not be numbers alone, as those name modules already"],
    [2, "must not begin with -, as options do"],
    [3, "is the name of another module"],
  ]);
  const long = exchangeNames([module(1, 1)], {
    modules: new Map([[1, "名".repeat(255)]]),
    commands: new Map(),
  });
  assert.equal(long.named[0].name.length, 128);
});
