import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOfName, nameIn, withNames } from "./module_words.ts";

const NAMES = new Map([["1/2", "shop"], ["7/1", "twin"], ["7/2", "Twin"], ["0/24", "net"]]);

test("nameIn() has the name and the numbers, or the numbers", () => {
  assert.equal(nameIn(NAMES, { modId: 1, cmdId: 2 }), "shop (1/2)");
  assert.equal(nameIn(NAMES, { modId: 1, cmdId: 3 }), "1 / 3");
});

test("withNames() names modules in texts, each once, and nothing else", () => {
  const cases: [string, string][] = [
    ["Module 1/2: no node can be called", "Module shop (1/2): no node can be called"],
    ["set policy of 1/2", "set policy of shop (1/2)"],
    ["set 1 / 2 10.0.0.1:80 weight 1 to 2", "set shop (1/2) 10.0.0.1:80 weight 1 to 2"],
    ["of 1/2.", "of shop (1/2)."],
    ["1/2; 1/2", "shop (1/2); shop (1/2)"],
    ["name 1/2 shop", "name 1/2 shop"],
    ["shop 1/2", "shop 1/2"],
    ["shop (1/2) is down", "shop (1/2) is down"],
    ["10.0.0.0/24, 11/2, 1/23, 1/2/3, 9/9", "10.0.0.0/24, 11/2, 1/23, 1/2/3, 9/9"],
    ["1/2 3/4.5", "shop (1/2) 3/4.5"],
  ];
  for (const [text, wanted] of cases) assert.equal(withNames(NAMES, text), wanted);
});

test("keyOfName() finds a module by its name when just one has it", () => {
  assert.deepEqual(keyOfName(NAMES, " Shop "), { modId: 1, cmdId: 2 });
  assert.equal(keyOfName(NAMES, "twin"), undefined);
  assert.equal(keyOfName(NAMES, ""), undefined);
});
