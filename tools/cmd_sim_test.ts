import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SCRIPT_NAMES } from "../sim/mod.ts";
import { withProcesses } from "../tests/support/processes.ts";

const SMALL = ["--nodes", "5", "--callers", "10", "--agents", "2", "--seconds", "10"];

test("lars sim prints a table with its seed, the same one each time", async () => {
  await withProcesses(async (processes) => {
    const args = ["sim", ...SMALL, "--seed", "7"];
    const [first, second] = await Promise.all([
      processes.run("tools/lars.ts", args),
      processes.run("tools/lars.ts", args),
    ]);
    assert.equal(first.code, 0, first.stderr);
    assert.equal(first.stdout, second.stdout);
    assert.equal(first.stderr, "", "no progress outside of a terminal");
    assert.match(first.stdout, /^5 nodes, 10 callers at 10 calls\/s, 2 agents, 10 s, seed 7\n/);
    assert.match(first.stdout, /\ncrash: 1 node refuse.* from 2 s to 6 s\n/);
    assert.match(first.stdout, /\nmeasure +lars\n/);
    assert.match(first.stdout, /\nfailed calls until out: median, worst +\d+, \d+\n/);
  });
});

test("lars sim --json --svg: one value, and a picture; chance names its seed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lars-sim-"));
  try {
    await withProcesses(async (processes) => {
      const file = join(folder, "run.svg");
      const args = ["sim", ...SMALL, "--script", "errors", "--policy", "lars", "--json"];
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", [
        ...args,
        "--svg",
        file,
      ]);
      assert.equal(code, 0, stderr);
      const value = JSON.parse(stdout);
      assert.equal(value.script, "errors");
      assert.ok(Number.isInteger(value.seed) && value.seed >= 0);
      assert.deepEqual(value.struck, [0]);
      assert.equal(value.policies.length, 1);
      assert.equal(value.policies[0].policy, "lars");
      assert.equal(value.policies[0].buckets.length, 100);
      assert.match(readFileSync(file, "utf8"), new RegExp(`seed ${value.seed}<`));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const mistakes: readonly (readonly [args: string[], code: 1 | 2, complaint: RegExp])[] = [
  [["--nodes", "0"], 2, /--nodes must be a whole number from 1 to 10000: current value is "0"/],
  [["--rate", "1.5"], 2, /--rate must be a whole number from 1 to 10000: current value is "1.5"/],
  [["--seed", "x"], 2, /--seed must be a whole number from 0 to 4294967295: .* "x"/],
  [["--policy", "none"], 2, /--policy must be one of lars.*: current value is "none"/],
  [["--script", "none"], 2, /--script.*steady, crash/],
  [["--nodes", "10000", "--agents", "101"], 2, /--nodes times --agents must be at most 1000000/],
  [["--rate", "10000", "--callers", "1000"], 2, /--rate times --seconds must be at most 50000000/],
  [[...SMALL, "--svg", "/proc/none/x.svg"], 1, /--svg \/proc\/none\/x.svg cannot be written/],
  [["word"], 2, /too many arguments/],
];

test("lars sim names the flag, the value and the range of a mistake", async () => {
  await withProcesses(async (processes) => {
    for (const [args, code, complaint] of mistakes) {
      const ended = await processes.run("tools/lars.ts", ["sim", ...args]);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, complaint);
      assert.equal(ended.stdout, "");
    }
  });
});

test("lars completion knows sim, its scripts and its policies", async () => {
  await withProcesses(async (processes) => {
    const { stdout } = await processes.run("tools/lars.ts", ["completion", "bash"]);
    assert.match(stdout, new RegExp(`'sim --script'\\).*'${SCRIPT_NAMES.join(" ")}'`));
    assert.match(stdout, /'sim --policy'\).*'lars/);
    assert.match(stdout, /'sim'\) words=''; options='[^']*--svg/);
  });
});
