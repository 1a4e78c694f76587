import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { ModuleRow } from "../sql/store.ts";
import { ModuleFinder } from "./module_finder.ts";

test("module finder: names are read seldom, however many ask, and again for what is new", async () => {
  const clock = new ManualClock();
  const row = { modId: 7, cmdId: 1, name: "shop", policy: "", updatedAt: 0, meant: undefined };
  let rows: ModuleRow[] = [row];
  let reads = 0;
  let isAway = false;
  const finder = new ModuleFinder({
    moduleRows(): Promise<ModuleRow[]> {
      reads++;
      return isAway ? Promise.reject(new Error("away")) : Promise.resolve(rows);
    },
  }, clock);
  const of = async (name: string): Promise<unknown> => {
    const found = await finder.find(name);
    return "fault" in found ? undefined : found.module.modId;
  };
  for (let index = 0; index < 100; index++) assert.equal(await of("shop"), 7);
  for (let index = 0; index < 100; index++) assert.equal(await of("till"), undefined);
  assert.equal(reads, 1);
  rows = [row, { ...row, modId: 8, name: "till" }];
  clock.advance(2_000);
  assert.equal(await of("till"), 8, "what was not there is looked for again");
  assert.equal(reads, 2);
  clock.advance(10_000);
  isAway = true;
  await assert.rejects(of("shop"), /away/);
  isAway = false;
  assert.equal(await of("shop"), 7);
});
