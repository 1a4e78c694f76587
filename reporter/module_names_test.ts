// Goal: metrics have names that are read seldom, of the modules shown and no others, and that stay
// while the database is away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { renderMetrics } from "../daemon/monitor/metrics_text.ts";
import type { ModuleKey, ModuleRow } from "../model/module.ts";
import { StoreError } from "../reactor/errors.ts";
import { LogList } from "../tests/support/log_list.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { moduleMetrics } from "./metrics.ts";
import { ModuleNames, NAMES_AGE_MAX_MS, NEW_NAMES_INTERVAL_MS } from "./module_names.ts";

/** A database whose names are given, and what is read of it. */
class Bench {
  readonly clock = new ManualClock(0, 1_700_000_000_000);
  readonly log = new LogList();
  readonly stored = new Map<number, string>();
  /** The modIds of each read. */
  readonly reads: number[][] = [];
  modules: ModuleKey[] = [];
  fault: Error | undefined;
  readonly names: ModuleNames = new ModuleNames({
    clock: this.clock,
    log: this.log,
    modules: () => this.modules,
    store: { moduleRows: (keys = []) => this.#read(keys) },
  });

  constructor() {
    this.names.start();
  }

  get shown(): (string | undefined)[] {
    return this.modules.map((one) => this.names.nameOf(one));
  }

  async pass(timeMs: number): Promise<void> {
    for (let ms = 0; ms < timeMs; ms += NEW_NAMES_INTERVAL_MS) {
      this.clock.advance(NEW_NAMES_INTERVAL_MS);
      for (let i = 0; i < 10; i++) await Promise.resolve();
    }
  }

  #read(keys: readonly ModuleKey[]): Promise<ModuleRow[]> {
    this.reads.push(keys.map(({ modId }) => modId));
    if (this.fault !== undefined) return Promise.reject(this.fault);
    const named = keys.filter(({ modId }) => this.stored.has(modId));
    return Promise.resolve(named.map(({ modId, cmdId }) => ({
      ...{ modId, cmdId, name: this.stored.get(modId) ?? "", policy: "", updatedAt: 0 },
    })));
  }
}

const module = (modId: number): ModuleKey => ({ modId, cmdId: 1 });

test("ModuleNames reads the names of new modules soon, and all now and then", async () => {
  const bench = new Bench();
  await bench.pass(NAMES_AGE_MAX_MS * 2);
  assert.deepEqual(bench.reads, [], "nothing is wanted");
  bench.modules = [module(1), module(2)];
  bench.stored.set(1, "pay");
  assert.deepEqual(bench.shown, [undefined, undefined], "no series without its name first");
  await bench.pass(NEW_NAMES_INTERVAL_MS);
  assert.deepEqual(bench.shown, ["pay", ""]);
  bench.stored.set(1, "payments").set(2, "mail");
  await bench.pass(NAMES_AGE_MAX_MS - NEW_NAMES_INTERVAL_MS);
  assert.deepEqual([bench.reads, bench.shown], [[[1, 2]], ["pay", ""]]);
  await bench.pass(NEW_NAMES_INTERVAL_MS);
  assert.deepEqual([bench.reads.length, bench.shown], [2, ["payments", "mail"]]);
  bench.modules = [...bench.modules, module(3)];
  await bench.pass(NEW_NAMES_INTERVAL_MS);
  assert.deepEqual(bench.shown, ["payments", "mail", ""]);
  bench.names.stop();
  await bench.pass(NAMES_AGE_MAX_MS * 2);
  assert.equal(bench.reads.length, 3);
});

test("ModuleNames keeps names while the database is away, says so once and asks seldom", async () => {
  const bench = new Bench();
  bench.modules = [module(1)];
  bench.stored.set(1, "pay");
  await bench.pass(NEW_NAMES_INTERVAL_MS);
  bench.fault = new StoreError("away", true);
  bench.modules = [module(1), module(2)];
  await bench.pass(NAMES_AGE_MAX_MS * 3);
  assert.deepEqual(bench.shown, ["pay", ""]);
  assert.ok(bench.reads.length <= 5, `${bench.reads.length} reads`);
  assert.equal(bench.log.lines.length, 1);
  bench.fault = undefined;
  bench.stored.set(2, "mail");
  await bench.pass(NAMES_AGE_MAX_MS);
  assert.deepEqual(bench.shown, ["pay", "mail"]);
});

test("metrics of the reporter name modules, and leave out those whose name is about to be read", () => {
  const total = { succ: 1, err: 0, refused: 0, timed: 1, timeMs: 5 };
  const totals = [1, 2, 3].map((modId) => ({ ...total, module: module(modId) }));
  const names = new Map([[1, 'p"a\\y\n'], [2, ""]]);
  const text = renderMetrics(
    moduleMetrics([...totals, total], ({ modId }) => names.get(modId)),
  );
  const expected = [
    'lars_reporter_calls_total{modid="1",cmdid="1",name="p\\"a\\\\y\\n",result="success"} 1',
    'lars_reporter_calls_refused_total{modid="2",cmdid="1",name=""} 0',
    'lars_reporter_call_duration_seconds_sum{modid="other",cmdid="other",name=""} 0.005',
  ];
  for (const line of expected) assert.ok(text.split("\n").includes(line), `${line}\n${text}`);
  assert.doesNotMatch(text, /modid="3"/);
});
