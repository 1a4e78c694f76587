import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoredModule } from "../../sql/console/console_store.ts";
import { editedModules } from "./change_edits.ts";

const module = (modId: number): StoredModule => ({
  modId,
  cmdId: 1,
  name: "",
  policy: "",
  nodes: [],
});

test("editedModules() takes the changes of each module in their order", () => {
  const changes = [
    { modId: 2, cmdId: 1, name: "first" },
    { modId: 1, cmdId: 1, name: "one", policy: "{}" },
    { modId: 2, cmdId: 1, name: "second" },
    { modId: 2, cmdId: 1, name: "second" },
    { modId: 2, cmdId: 2, name: "another" },
  ];
  const { after, unchangedCount } = editedModules([module(1), module(2), module(3)], {
    routes: [],
    modules: changes,
  });
  assert.deepEqual(after.map(({ name, policy }) => [name, policy]), [
    ["one", "{}"],
    ["second", ""],
    ["", ""],
  ]);
  assert.equal(unchangedCount, 1);
});

test("editedModules() looks at each change a few times, however many modules there are", () => {
  const count = 2_000;
  let looks = 0;
  const changes = Array.from({ length: count }, (_, modId) => ({
    get modId(): number {
      looks++;
      return modId;
    },
    cmdId: 1,
    name: `m${modId}`,
  }));
  const stored = Array.from({ length: count }, (_, modId) => module(modId));
  const { after } = editedModules(stored, { routes: [], modules: changes });
  assert.equal(after[count - 1].name, `m${count - 1}`);
  assert.ok(looks <= 10 * count, `${looks} looks at ${count} changes`);
});
