// Which modules there are, by everyone who lists or counts them: they say the same, and none that is gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreSystem } from "../control/store_system.ts";
import { moduleText } from "../model/module.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { Store } from "../sql/store.ts";
import { type Client, withConsole } from "../tests/support/console_bench.ts";
import { until } from "../tests/support/until.ts";
import { TopModel } from "../tools/top_model.ts";
import type { ResponseOf } from "./contract.ts";

type Text = ReturnType<typeof moduleText>;

/** Modules as `lars top` shows them. */
async function topModules(store: Store): Promise<Text[]> {
  const system = new StoreSystem({
    store,
    clock: systemClock,
    rng: systemRng,
    who: "test",
    software: "test",
    addresses: [],
    secrets: () => Promise.resolve(undefined),
  });
  const model = new TopModel();
  model.setRoutes(await system.read());
  model.setTexts(await system.texts());
  const { modules } = model.look(await system.counters());
  await system.close();
  return modules.map(moduleText).sort();
}

/** Waits until the console lists these modules, then compares everybody else with it. */
async function allSay(viewer: Client, store: Store, expected: readonly Text[]): Promise<void> {
  const list = (): Promise<ResponseOf<"listModules">> => viewer.get("GET /modules?sort=id");
  const seen = async (): Promise<string> => (await list()).modules.map(moduleText).join(" ");
  await until(async () => await seen() === expected.join(" "), { what: expected.join(" ") })
    .catch(async () => assert.equal(await seen(), expected.join(" ")));
  const count = expected.length;
  assert.equal((await list()).total, count);
  const overview = await viewer.get<ResponseOf<"getOverview">>("GET /overview");
  assert.equal(overview.moduleCount, count, "the overview");
  assert.equal(Object.values(overview.health).reduce((sum, one) => sum + one, 0), count, "health");
  const report = await viewer.get<ResponseOf<"getReport">>("GET /report");
  assert.equal(report.store.moduleCount, count, "lars status");
  assert.deepEqual(await topModules(store), [...expected], "lars top");
  for (const cmdId of [1, 2, 3, 4, 5]) {
    const { status } = await viewer.ask(`GET /modules/1/${cmdId}`);
    assert.equal(status, expected.includes(`1/${cmdId}`) ? 200 : 404, `GET 1/${cmdId}`);
  }
  const texts = await viewer.get<ResponseOf<"listModuleTexts">>("GET /module-texts");
  for (const module of texts.modules) assert.ok(expected.includes(moduleText(module)));
}

test("modules that were removed are none, whoever looks", { timeout: 120_000 }, async () => {
  await withConsole(async ({ clients: { operator, viewer }, store }) => {
    const node = { modId: 1, ip: "10.0.0.1", port: 80 };
    const change = (edits: readonly unknown[]): Promise<unknown> =>
      operator.get("POST /changes", { body: { edits } });
    await change([
      { op: "add", ...node, cmdId: 1 },
      { op: "add", ...node, cmdId: 2 },
      { op: "module", modId: 1, cmdId: 2, name: "named" },
      { op: "module", modId: 1, cmdId: 3, name: "without nodes", policy: "" },
      { op: "module", modId: 1, cmdId: 4, policy: '{"policy":"maglev"}' },
      { op: "add", ...node, cmdId: 5 },
    ]);
    await allSay(viewer, store, ["1/1", "1/2", "1/3", "1/4", "1/5"]);
    await change([{ op: "remove", ...node, cmdId: 1 }]);
    await operator.get("DELETE /modules/1/2", { headers: { "If-Match": "*" } });
    await change([
      { op: "module", modId: 1, cmdId: 3, name: "", policy: "" },
      { op: "module", modId: 1, cmdId: 4, policy: "" },
    ]);
    await allSay(viewer, store, ["1/5"]);
    assert.equal((await store.moduleRows()).length, 5, "their marks stay for agents");
    await change([{ op: "add", ...node, cmdId: 1 }]);
    await allSay(viewer, store, ["1/1", "1/5"]);
  });
});
