import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ModuleTable } from "./module.ts";

interface Item {
  readonly modId: number;
  readonly cmdId: number;
}

test("ModuleTable behaves like a Map under any history", () => {
  const id = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0xffffffff, 0x80000000));
  const steps = fc.array(fc.tuple(fc.boolean(), id, id), { maxLength: 200, size: "max" });
  fc.assert(fc.property(steps, (history) => {
    const table = new ModuleTable<Item>();
    const model = new Map<string, Item>();
    for (const [adding, modId, cmdId] of history) {
      const key = `${modId},${cmdId}`;
      const known = model.get(key);
      assert.equal(table.get(modId | 0, cmdId | 0), known);
      if (adding && known === undefined) {
        const item = { modId, cmdId };
        table.add(item);
        model.set(key, item);
      } else if (!adding && known !== undefined) {
        table.remove(known);
        model.delete(key);
      }
      assert.equal(table.count, model.size);
    }
    assert.deepEqual(new Set(table), new Set(model.values()));
    for (const item of model.values()) assert.equal(table.get(item.modId, item.cmdId), item);
  }));
});

test("ModuleTable holds many modules with neighbouring ids, and lets them go", () => {
  const table = new ModuleTable<Item>();
  const items: Item[] = [];
  for (let modId = 0; modId < 300; modId++) {
    for (let cmdId = 0; cmdId < 100; cmdId++) items.push({ modId, cmdId });
  }
  for (const item of items) table.add(item);
  for (const item of items) assert.equal(table.get(item.modId, item.cmdId), item);
  assert.equal(table.get(300, 0), undefined);
  for (const item of items) table.remove(item);
  table.remove(items[0]);
  assert.equal(table.count, 0);
  assert.deepEqual([...table], []);
});

test("ModuleTable.add() refuses a second module with the same ids", () => {
  const table = new ModuleTable<Item>();
  table.add({ modId: 1, cmdId: 2 });
  assert.throws(() => table.add({ modId: 1, cmdId: 2 }), /in the table already/);
});
