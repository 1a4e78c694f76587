// The soak of the whole, for a minute and at a small rate; and what is judged of one.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { figure } from "../support/figure.ts";
import { runtimeName, withProcesses } from "../support/processes.ts";
import { COLLECTED } from "./collected.ts";
import { reasonAgainst } from "./needs.ts";
import { soakAll } from "./soak.ts";
import { drawSoak, handleGrowth, type ProcessSample, slopeMbPerHour } from "./soak_report.ts";

const MB = 2 ** 20;
/** A process that grows so many megabytes an hour, saw teeth of garbage aside. */
function grown(mbPerHour: number): ProcessSample[] {
  return Array.from({ length: 600 }, (_, index) => {
    const atMs = index * 3000;
    const bytes = (90 + mbPerHour * atMs / 3_600_000 + 6 * (index % 20) / 20) * MB;
    return { atMs, bytes, handles: 20 + (index % 7 === 0 ? 5 : 0) };
  });
}

test("a slope is that of the memory, not of its garbage; handles are those at rest", () => {
  for (const slope of [0, 0.5, 4, -3]) {
    const found = slopeMbPerHour(grown(slope), 300_000);
    assert.ok(Math.abs(found - slope) < 0.3, `${found} for ${slope}`);
  }
  assert.equal(handleGrowth(grown(0), 300_000), 0);
  const leaking = grown(0).map((one, index) => ({ ...one, handles: 20 + index / 10 }));
  assert.ok(handleGrowth(leaking, 300_000) > 10);
});

/** Blocks for so long that its garbage is collected several times; says whether something of it was. */
const BLOCKED_THREAD = `
  const garbage = new WeakRef(new Array(1000).fill(7));
  setTimeout(() => {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    const endMs = performance.now() + 200;
    while (performance.now() < endMs) Atomics.wait(cell, 0, 0, 1);
    postMessage(garbage.deref() === undefined);
  }, 0);`;

test("the garbage of a thread that blocks, in which no timer runs, is collected as well", {
  skip: runtimeName() === "bun",
}, async () => {
  await withProcesses(async (processes) => {
    const thread = `data:application/javascript,${encodeURIComponent(BLOCKED_THREAD)}`;
    const path = join(processes.directory, "blocked.ts");
    await writeFile(
      path,
      `const worker = new Worker(${JSON.stringify(thread)}, { type: "module" });
       worker.onmessage = ({ data }) => {
         console.log(data);
         worker.terminate();
       };`,
    );
    const command = [process.execPath, "run", "-A", "--quiet", ...COLLECTED.denoFlags ?? [], path];
    const env = { ...COLLECTED.env, COLLECT_EVERY_MS: "20" };
    const { stdout, stderr } = await processes.spawnCommand("blocked", command, { env })
      .untilEnded(60_000);
    assert.equal(stdout.trim(), "true", stderr);
  });
});

test("the picture of a soak has its lines and faults", () => {
  const svg = drawSoak({
    seconds: [{
      asked: 2,
      ok: 1,
      lost: 1,
      late: 0,
      refused: 0,
      wrong: 0,
      p50us: 90,
      p99us: 400,
      maxUs: 1,
    }],
    services: [{ name: "agent", isSteady: true, samples: grown(1) }],
    faults: [{ atMs: 500, what: "kill -9 dns b" }],
    rate: 2,
  }, "a test");
  assert.match(svg, /<title>kill -9 dns b<\/title>/);
  assert.equal(svg.match(/<polyline/g)?.length, 7);
});

test("a minute of soak: all services, calls and faults", {
  timeout: 300_000,
  skip: reasonAgainst(["mariadb", "C compiler"]) ?? false,
}, async () => {
  const wish = { minutes: 1, rate: 2_000, seed: 7, json: true };
  const { rows } = await soakAll(wish, () => {});
  for (const { what, figure: text } of rows) figure(`${what}: ${text}`);
  const [calls, edits, relayed] = rows;
  // Whether a busy machine keeps up says nothing of the code: that no answer is wrong does.
  assert.match(calls.figure, / 0 without a node, 0 wrong/);
  assert.ok(edits.isKept, edits.figure);
  assert.match(relayed.figure, / 0 wrong/);
});
