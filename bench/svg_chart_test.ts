import assert from "node:assert/strict";
import { test } from "node:test";
import { missingRow, type Row } from "./rows.ts";
import { drawChart } from "./svg_chart.ts";

const ROW: Row = {
  name: "get_host < 64",
  subject: "Deno fast",
  unit: "us",
  value: 3,
  reference: "C echo",
  referenceValue: 2,
  ratio: 1.5,
  target: { atMost: 1.08 },
};

function attributes(svg: string, element: string, name: string): number[] {
  return [...svg.matchAll(new RegExp(`<${element} [^>]*?\\b${name}="([\\d.]+)"`, "g"))]
    .map((match) => Number(match[1]));
}

test("drawChart() colours by verdict and escapes text", () => {
  const svg = drawChart([ROW, { ...ROW, subject: "Bun fast", ratio: 1 }], "a machine");
  assert.match(svg, /get_host &lt; 64/);
  assert.equal(svg.match(/#c2412d/g)?.length, 1);
  assert.equal(svg.match(/#2b8a57/g)?.length, 1);
});

test("drawChart() draws bars in proportion and keeps everything inside", () => {
  const svg = drawChart([ROW, { ...ROW, subject: "slow", ratio: 150 }], "a machine");
  const [width, ...bars] = attributes(svg, "rect", "width");
  assert.equal(bars.length, 2);
  assert.ok(Math.abs(bars[1] / bars[0] - 100) < 2, `bars are ${bars}`);
  for (const x of [...attributes(svg, "line", "x1"), ...attributes(svg, "text", "x")]) {
    assert.ok(x < width, `${x} is outside`);
  }
  const height = Number(/height="(\d+)"/.exec(svg)?.[1]);
  assert.ok(Math.max(...attributes(svg, "text", "y")) < height);
});

test("drawChart() says why a row is missing", () => {
  assert.match(drawChart([missingRow("agent", "peer", "does not answer")], ""), /does not answer/);
});
