import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
    assert.match(first.stdout, /\ncrash, 1 node: refuse.* from 2 s to 6 s\n/);
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

test("lars sim compares policies, with settings, over several seeds", async () => {
  await withProcesses(async (processes) => {
    const policies = ["--policy", "lars", "--policy", "recommended", "--policy", "maglev"];
    const sizes = ["--zones", "2", "--struck", "2", "--servers", "4", "--queue", "10"];
    const args = ["sim", ...SMALL, ...policies, ...sizes, "--set", "overloadShareMax=0.4"];
    const [table, json] = await Promise.all([
      processes.run("tools/lars.ts", [...args, "--seeds", "3", "--seed", "5"]),
      processes.run("tools/lars.ts", [...args, "--seeds", "3", "--seed", "5", "--json"]),
    ]);
    assert.equal(table.code, 0, table.stderr);
    assert.match(table.stdout, /, seed 5 and the next 2\ncrash, 2 nodes: refuse/);
    assert.match(table.stdout, /\nmeasure: median, worst +lars +recommended +maglev\n/);
    const value = JSON.parse(json.stdout);
    assert.deepEqual([value.seed, value.seeds], [5, 3]);
    assert.deepEqual(value.policies.map(({ runs }: { runs: unknown[] }) => runs.length), [3, 3, 3]);
  });
});

test("lars sim --replay says what the rules make of recorded reports", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lars-sim-"));
  try {
    const file = join(folder, "reports.jsonl");
    const line = (atMs: number, retcode: number): string =>
      `{"atMs":${atMs},"node":"10.0.0.1:80","retcode":${retcode},"tookMs":5}\n`;
    writeFileSync(file, line(0, 0) + line(10, 111) + line(20, 111) + line(30, 0));
    await withProcesses(async (processes) => {
      const args = ["sim", "--replay", file, "--policy", "lars", "--policy", "recommended"];
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", args);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^lars:\nnode +calls .*\n10\.0\.0\.1:80 +4 +2 +0 +- /);
      assert.match(stdout, /\nrecommended:\nnode .*\n10\.0\.0\.1:80 +4 +2 +1 +0\.0 s /);
      assert.match(stdout, /\n0\.0 s: 10\.0\.0\.1:80 of module 1,1 is overload/);
      writeFileSync(file, "x\n");
      const wrong = await processes.run("tools/lars.ts", args);
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /reports\.jsonl: Line 1 of the recording must be a JSON object/);
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
  [["--struck", "21"], 2, /--struck must be at most --nodes \(20\): it is 21/],
  [["--set", "errRate=2"], 2, /errRate must be a number from 0 to 1: current value is 2/],
  [["--set", "none=2"], 2, /Unknown key "none"/],
  [["--set", "errRate"], 2, /--set must look like NAME=VALUE: current value is "errRate"/],
  [["--seeds", "0"], 2, /--seeds must be a whole number from 1 to 1000: current value is "0"/],
  [["--replay", "/proc/none"], 2, /--replay \/proc\/none cannot be read/],
  [["--promises", "--svg", "x.svg"], 2, /--svg draws a run/],
  [["--replay", "x", "--svg", "x.svg"], 2, /--svg draws a run/],
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
