import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_MODULE_POLICY } from "../module_policy.ts";
import { ModuleEntry, ModuleRegistry } from "./module_registry.ts";

test("a module in the place of one that was evicted has nothing of it", () => {
  const fresh = new ModuleEntry(7, 8, DEFAULT_MODULE_POLICY, 1000);
  const used = new ModuleEntry(1, 2, DEFAULT_MODULE_POLICY, 5);
  const registry = new ModuleRegistry();
  registry.insert(used);
  for (let i = 0; i < 20; i++) registry.asked(used);
  const own = Object.keys(used).filter((key) => !["next", "prev", "list", "balance"].includes(key));
  registry.evict(used);
  const odd: Record<string, unknown> = { string: "x", number: 77, boolean: true, object: {} };
  const fields = used as unknown as Record<string, unknown>;
  // Waiting ends with the eviction, see RouteRefresh.stop.
  for (const key of own) {
    if (key !== "pullWaits") fields[key] = odd[typeof fields[key]] ?? odd.object;
  }
  used.become(7, 8, DEFAULT_MODULE_POLICY, 1000);
  for (const key of own) {
    assert.deepEqual(fields[key], (fresh as unknown as Record<string, unknown>)[key], key);
  }
  assert.ok(used.next === used && used.prev === used && used.list === undefined);
  registry.insert(used);
  assert.equal(registry.get(7, 8), used);
  assert.equal(registry.get(1, 2), undefined);
});
