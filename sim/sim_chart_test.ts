import assert from "node:assert/strict";
import { test } from "node:test";
import { POLICIES } from "./policies.ts";
import { makeScript } from "./scripts.ts";
import { type ChartedRun, drawSimulation, NODE_LINES_MAX } from "./sim_chart.ts";
import { simulate } from "./simulation.ts";
import { summarize } from "./summary.ts";

const script = makeScript("crash", { nodes: 40, seconds: 10 });

function chart(names: readonly string[]): string {
  const runs = names.map((name): ChartedRun => {
    const sizes = { script, nodes: 40, callers: 10, agents: 1, rate: 100, seconds: 10, seed: 1 };
    const outcome = simulate({ modulePolicy: POLICIES.lars, ...sizes });
    return { summary: summarize(name, script, outcome), outcome };
  });
  return drawSimulation(runs, script, "40 nodes & seed 1", 10_000);
}

test("drawSimulation() is one SVG with finite numbers and escaped text", () => {
  const svg = chart(["a<b"]);
  assert.match(svg, /^<svg [^]*<\/svg>\n$/);
  assert.doesNotMatch(svg, /NaN|Infinity|undefined|a<b/);
  assert.match(svg, /40 nodes &amp; seed 1/);
  assert.match(svg, /Lars simulated: crash/);
});

test("drawSimulation() draws a bounded number of nodes, and every policy", () => {
  const lines = (svg: string): number => svg.match(/<polyline/g)?.length ?? 0;
  // Eight nodes of forty are struck; each policy adds a line for errors and one for latency.
  assert.equal(lines(chart(["one"])), NODE_LINES_MAX + 8 + 2);
  assert.equal(lines(chart(["one", "two"])), 2 * (NODE_LINES_MAX + 8 + 2));
});
