import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTS_AT, LATENCY_BOUNDS_MS, ModuleCounts } from "../../balancer/module_counts.ts";
import { renderMetrics } from "../../daemon/monitor/metrics_text.ts";
import { ModuleMetrics } from "./module_metrics.ts";

function countsOf(...timesMs: number[]): number[] {
  const counts = new ModuleCounts();
  for (const timeMs of timesMs) counts.add(true, timeMs);
  return [...counts.values];
}

test("ModuleCounts puts each time into the bucket whose end it does not exceed", () => {
  for (const [index, boundMs] of LATENCY_BOUNDS_MS.entries()) {
    assert.equal(countsOf(boundMs)[COUNTS_AT.buckets + index], 1, `${boundMs} ms`);
    assert.equal(countsOf(boundMs + 1)[COUNTS_AT.buckets + index + 1], 1, `over ${boundMs} ms`);
  }
  assert.equal(countsOf(-1).slice(COUNTS_AT.buckets).every((count) => count === 0), true);
  assert.equal(countsOf(0)[COUNTS_AT.buckets], 1);
  const many = new ModuleCounts();
  const none = { errWeight: 0, continSucc: 0, continErr: 0 };
  many.addMany({ succ: 7, err: 3, timed: 4, timeMs: 40, ...none });
  many.addMany({ succ: 1, err: 0, timed: 0, timeMs: 0, ...none });
  assert.deepEqual([...many.values].slice(0, 3), [8, 3, 40]);
  assert.equal(many.values[COUNTS_AT.buckets + LATENCY_BOUNDS_MS.indexOf(10)], 4);
});

test("ModuleMetrics shows a limited number of modules, and forgets with the agent", () => {
  const metrics = new ModuleMetrics((modId) => modId === 3 ? 'p"a\\y\n' : "", 2);
  const report = (modId: number, ...timesMs: number[]) => ({
    ...{ modId, cmdId: 1, results: [], counts: countsOf(...timesMs) },
  });
  metrics.take([report(1, 3), report(2), report(3, 3), { modId: 4, cmdId: 1, results: [] }]);
  const shown = (): string[] =>
    [...new Set(renderMetrics(metrics.metrics()).match(/modid="\d"/g))].sort();
  assert.deepEqual(shown(), ['modid="1"', 'modid="2"']);
  metrics.forget(1, 1);
  const refused = { overload: 5, unusable: 0, noNode: 0, noRoute: 1, fresh: true };
  metrics.take([{ modId: 3, cmdId: 1, results: [], refused }]);
  const text = renderMetrics(metrics.metrics());
  assert.deepEqual(shown(), ['modid="2"', 'modid="3"']);
  assert.match(text, /^lars_agent_module_calls_total\{modid="2",cmdid="1",name="",result=/m);
  assert.match(
    text,
    /^lars_agent_module_refused_total\{modid="3",cmdid="1",name="p\\"a\\\\y\\n",reason="overload"\} 5$/m,
  );
  assert.doesNotMatch(text, /duration/, "nobody told a time");
});

test("ModuleMetrics adds up what a module was asked on several ports, and keeps what one told last", () => {
  const metrics = new ModuleMetrics(() => "");
  const report = (shard: number, refusals: number, ...timesMs: number[]) => ({
    ...{ modId: 1, cmdId: 1, results: [], shard, counts: countsOf(...timesMs) },
    refused: { overload: refusals, unusable: 1, noNode: 0, noRoute: 0, fresh: true },
  });
  metrics.take([report(0, 5, 3, 3), report(2, 7, 3)]);
  metrics.take([report(2, 8, 3, 700, 700)]);
  const text = renderMetrics(metrics.metrics());
  const all = 'modid="1",cmdid="1",name=""';
  for (
    const line of [
      `lars_agent_module_calls_total{${all},result="success"} 5`,
      `lars_agent_module_refused_total{${all},reason="overload"} 13`,
      `lars_agent_module_refused_total{${all},reason="unusable"} 2`,
      `lars_agent_module_call_duration_seconds_count{${all}} 5`,
    ]
  ) assert.ok(text.split("\n").includes(line), `${line} in ${text}`);
  metrics.forget(1, 1);
  assert.doesNotMatch(renderMetrics(metrics.metrics()), /modid/);
});
