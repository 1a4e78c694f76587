// The original's SQL and configuration files, unchanged, on a MariaDB of their own.
//
// Their ports are fixed (3306, 7778, 7779, 8888 to 8890), so the scenario runs once, as a process
// in a network namespace of its own where that is possible; each step of it is a test here.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { findProgram, noPrivateServerReason, TEMPLATE_VARIABLE } from "./support/mariadb.ts";
import { SCENARIO_STEPS, type ScenarioResult } from "./support/original_conf.ts";
import { withProcesses } from "./support/processes.ts";

/** The scenario takes about 15 s; a loaded machine needs more. */
const SCENARIO_TIMEOUT_MS = 100_000;
/** Starts a command where every port of loopback is free. */
const NAMESPACE = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"];

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

/** The words that give the scenario its ports, or why there are none. */
async function wrapperOrReason(): Promise<string[] | string> {
  const reason = noPrivateServerReason();
  if (reason !== undefined) return reason;
  if (findProgram("mariadb") === undefined) return "the mariadb client is not installed";
  const [program, ...args] = [...NAMESPACE, "true"];
  if (spawnSync(program, args).status === 0) return [...NAMESPACE];
  for (const port of [3306, 7778, 7779, 8888, 8889, 8890]) {
    if (!await isFree(port)) {
      return `port ${port} is taken and no network namespace can be made here (needs root and ip)`;
    }
  }
  return [];
}

/** Lets the scenario copy its database server where others do. */
function templateVariable(): Record<string, string> {
  const template = process.env[TEMPLATE_VARIABLE];
  return template === undefined ? {} : { [TEMPLATE_VARIABLE]: template };
}

async function runScenario(wrapper: readonly string[]): Promise<readonly ScenarioResult[]> {
  let results: ScenarioResult[] = [];
  await withProcesses(async (processes) => {
    const scenario = processes.spawn("scenario", "tests/support/original_scenario.ts", [], {
      wrapper,
      env: { PATH: process.env.PATH ?? "", ...templateVariable() },
    });
    const { stdout, stderr } = await scenario.untilEnded(SCENARIO_TIMEOUT_MS);
    results = stdout.split("\n").filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as ScenarioResult);
    assert.ok(results.length > 0, `the scenario began: ${stderr}`);
  });
  return results;
}

const wrapper = await wrapperOrReason();
const skip = typeof wrapper === "string" ? wrapper : false;
let outcome: Promise<readonly ScenarioResult[]> | undefined;

for (const step of SCENARIO_STEPS) {
  test(`original: ${step}`, { skip, timeout: SCENARIO_TIMEOUT_MS }, async () => {
    assert.ok(typeof wrapper !== "string");
    const results = await (outcome ??= runScenario(wrapper));
    const result = results.find((one) => one.step === step);
    assert.ok(result !== undefined, "an earlier step failed");
    assert.equal(result.fault, undefined, result.fault);
    if (result.measured !== undefined) console.log(`${step}: ${result.measured}`);
  });
}
