import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isModule, moduleId, moduleOf } from "./module.ts";

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 2 ** 21 - 1, 2 ** 21, 2 ** 31, 2 ** 32 - 1),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);

test("moduleOf() undoes moduleId(), and different modules have different ids", () => {
  fc.assert(fc.property(uint32, uint32, uint32, uint32, (modId, cmdId, otherMod, otherCmd) => {
    assert.deepEqual(moduleOf(moduleId(modId, cmdId)), { modId, cmdId });
    const same = modId === otherMod && cmdId === otherCmd;
    assert.equal(moduleId(modId, cmdId) === moduleId(otherMod, otherCmd), same);
  }));
});

test("isModule(): nodes, a name or a policy make a module, its row alone does not", () => {
  for (const name of ["", "login"]) {
    for (const policy of ["", "{}"]) {
      for (const nodeCount of [0, 1]) {
        const isNone = name === "" && policy === "" && nodeCount === 0;
        assert.equal(isModule({ name, policy }, nodeCount), !isNone, `${name} ${policy}`);
      }
    }
  }
  assert.equal(isModule({ name: "", policy: "" }), false);
});
