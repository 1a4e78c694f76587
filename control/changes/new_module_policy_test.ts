import assert from "node:assert/strict";
import { test } from "node:test";
import { RECOMMENDED_TEXT } from "../../balancer/module_presets.ts";
import type { ChangeEdits, StoredModule } from "../../sql/console/console_store.ts";
import { withPresets } from "./change_edits.ts";

const KEY = { modId: 1, cmdId: 2 };
const NODE = { ...KEY, ip: 1, port: 80 };
const STORED = { ...NODE, weight: 100, zone: "", state: "on" } as const;

function module(values: Partial<StoredModule> = {}): StoredModule {
  return { ...KEY, name: "", policy: "", nodes: [], ...values };
}

function policyOf(stored: StoredModule, edits: ChangeEdits): (string | undefined)[] {
  return (withPresets([stored], edits).modules ?? []).map(({ policy }) => policy);
}

const ADD: ChangeEdits = { routes: [{ op: "add", ...NODE }] };
const REMOVE: ChangeEdits = { routes: [{ op: "remove", ...NODE }] };

test("a module that is made gets the preset in the same change, by its first node or its name", () => {
  assert.deepEqual(withPresets([module()], ADD), {
    ...ADD,
    modules: [{ ...KEY, policy: RECOMMENDED_TEXT }],
  });
  const named = { routes: [], modules: [{ ...KEY, name: "shop" }] };
  assert.deepEqual(withPresets([module()], named).modules, [
    { ...KEY, name: "shop", policy: RECOMMENDED_TEXT },
  ]);
  assert.deepEqual(withPresets([module()], { ...ADD, ...named, routes: ADD.routes }).modules, [
    { ...KEY, name: "shop", policy: RECOMMENDED_TEXT },
  ]);
});

test("a module that is known, or given a policy, keeps to that", () => {
  const own = { modules: [{ ...KEY, policy: "" }] };
  assert.deepEqual(policyOf(module(), { ...ADD, ...own }), [""]);
  const other = { ...ADD, routes: [{ op: "add", ...NODE, ip: 2 }] } as const;
  assert.equal(withPresets([module({ nodes: [STORED] })], other), other);
  assert.equal(withPresets([module({ name: "shop" })], ADD), ADD);
  assert.equal(withPresets([module({ policy: "{}" })], ADD), ADD);
  const set = { routes: [{ op: "set", ...NODE, weight: 1 }] } as const;
  assert.equal(withPresets([module()], set), set);
});

test("the preset goes with the last node, unless somebody named the module or changed its policy", () => {
  const made = { nodes: [STORED], policy: RECOMMENDED_TEXT };
  assert.deepEqual(policyOf(module(made), REMOVE), [""]);
  for (const kept of [{ name: "shop" }, { policy: '{"policy":"recommended","errRate":0.2}' }]) {
    assert.equal(withPresets([module({ ...made, ...kept })], REMOVE), REMOVE);
  }
  const two = module({ ...made, nodes: [STORED, { ...STORED, ip: 2 }] });
  assert.equal(withPresets([two], REMOVE), REMOVE);
  const moved = { routes: [...REMOVE.routes, { op: "add", ...NODE, ip: 3 }] } as const;
  assert.equal(withPresets([module(made)], moved), moved);
});
