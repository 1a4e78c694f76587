// Callers of the C++ original compile against lars_api.h and -llarsclient and run unchanged, with the
// services as processes.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { buildDriver } from "../scripts/run_conformance.ts";
import { addNodes, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { type Processes, PROJECT_ROOT, withProcesses } from "./support/processes.ts";
import { ipNumber } from "./support/wire_client.ts";

const TIMEOUT_MS = 600_000;
const GOOD = "10.0.0.1:7001";
const BAD = "10.0.0.2:7009";

/** What one run of tests/old_caller.cpp printed. */
interface OldCall {
  readonly code: number;
  readonly route: string;
  readonly nodes: readonly string[];
  readonly picked: ReadonlyMap<string, number>;
  /** How often each return code came. */
  readonly codes: readonly number[];
}

async function runOldCaller(
  processes: Processes,
  port: number,
  words: readonly string[],
): Promise<OldCall> {
  const env = { LARS_AGENT_PORT: String(port), LARS_AGENT_DEADLINE_MS: "5000" };
  const program = join(processes.directory, "old_caller");
  const process = processes.spawnCommand("old_caller", [program, ...words], { env });
  const { code, stdout } = await process.untilEnded(120_000);
  const lines = stdout.split("\n");
  const after = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  return {
    code,
    route: after("get_route")[0],
    nodes: after("node"),
    picked: new Map(
      after("picked").map((line) => {
        const [node, count] = line.split(" ");
        return [node, Number(count)];
      }),
    ),
    codes: after("codes")[0].split(" ").map(Number),
  };
}

test(
  "a caller written for the original runs against the agent",
  { timeout: TIMEOUT_MS },
  async () => {
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      await addNodes(store, 1, 1, [
        { ip: ipNumber("10.0.0.1"), port: 7001 },
        { ip: ipNumber("10.0.0.2"), port: 7009 },
      ]);
      await addNodes(store, -1 >>> 0, 7, [{ ip: ipNumber("10.0.0.1"), port: 7001 }]);
      // Rules of the original: everybody out means that callers are refused.
      await store.setModules([{ modId: -1 >>> 0, cmdId: 7, policy: '{"policy":"lars"}' }]);
      await store.close();
      await buildDriver([
        "make",
        "-s",
        "-C",
        `${PROJECT_ROOT}/api/cpp`,
        `OUT=${processes.directory}`,
        "old_caller",
      ]);
      const { agent } = await startFleet(processes, url);
      const port = agent.port();

      const called = await runOldCaller(processes, port, ["1", "1", "0", "4000"]);
      assert.equal(called.code, 0);
      assert.equal(called.route, "0 2");
      assert.deepEqual(called.nodes.toSorted(), [GOOD, BAD]);
      assert.deepEqual(called.codes, [4000, 0, 0, 0]);
      // Its outcomes count: the node that fails gets probes only.
      assert.ok((called.picked.get(BAD) ?? 0) < 1400, `${called.picked.get(BAD)} of 4000`);
      assert.equal((called.picked.get(GOOD) ?? 0) + (called.picked.get(BAD) ?? 0), 4000);

      const refused = await runOldCaller(processes, port, ["-1", "7", "10", "4000"]);
      assert.equal(refused.code, 0);
      assert.ok(refused.codes[1] > 0, `codes are ${refused.codes}`);
      assert.equal(refused.codes[2] + refused.codes[3], 0);

      const unknown = await runOldCaller(processes, port, ["77", "77", "0", "5"]);
      assert.deepEqual([unknown.code, unknown.route, unknown.codes], [3, "0 0", [0, 0, 0, 5]]);
    });
  },
);

test(
  "a caller written for the original ends without an agent",
  { timeout: TIMEOUT_MS },
  async () => {
    await withProcesses(async (processes) => {
      await buildDriver([
        "make",
        "-s",
        "-C",
        `${PROJECT_ROOT}/api/cpp`,
        `OUT=${processes.directory}`,
        "old_caller",
      ]);
      const alone = await runOldCaller(processes, 1, ["1", "1", "0", "3"]);
      assert.deepEqual([alone.code, alone.route, alone.codes], [3, "2 0", [0, 0, 3, 0]]);
    });
  },
);
