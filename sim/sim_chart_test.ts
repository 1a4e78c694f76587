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

test("names of many policies stand in rows above their panels, within the picture", () => {
  const names = Array.from({ length: 11 }, (_, index) => `a_rather_long_name_${index}`);
  const svg = chart(names);
  const rows = [...svg.matchAll(/<text x="970" y="(\d+)" [^>]*>(<tspan.*?)<\/text>/g)];
  const seen = rows.map(([, , content]) => content.match(/a_rather_long_name_\d+/g) ?? []);
  assert.deepEqual(seen.flat(), [...names, ...names]);
  // A name of 20 letters takes at least 100 of the 600 pixels beside the title.
  assert.ok(seen.every((row) => row.length <= 6), `${seen.map((row) => row.length)}`);
  const heights = rows.map(([, y]) => Number(y));
  assert.ok(heights.every((y, index) => index === 0 || y - heights[index - 1] >= 16));
  const colours = new Set(rows.flatMap(([, , content]) => content.match(/#\w{6}/g) ?? []));
  assert.equal(colours.size, names.length);
});

test("drawSimulation() draws a bounded number of nodes, and every policy", () => {
  const lines = (svg: string): number => svg.match(/<polyline/g)?.length ?? 0;
  // Eight nodes of forty are struck; each policy adds a line for errors and one for latency.
  assert.equal(lines(chart(["one"])), NODE_LINES_MAX + 8 + 2);
  assert.equal(lines(chart(["one", "two"])), 2 * (NODE_LINES_MAX + 8 + 2));
});
