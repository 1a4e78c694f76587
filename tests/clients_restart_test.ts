// Goal: an agent is killed and started again in mid-load, and callers of every language go on: no call
// outlasts its deadline, none fails, and no node is given that the module does not have.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CACHE_FILE_NAME } from "../agent/routes/cache_file.ts";
import { formatIpv4 } from "../reactor/address.ts";
import { readDrivers } from "../scripts/run_conformance.ts";
import { startDriver } from "./support/built_client.ts";
import { addNodes, agentFlags, nodeOf, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, withProcesses } from "./support/processes.ts";
import { makeTempDir } from "./support/temp_dir.ts";
import { until } from "./support/until.ts";

const TIMEOUT_MS = 600_000;
const NODES = [1, 2, 3].map((index) => nodeOf(index));
const KNOWN = NODES.map(({ ip, port }) => `${formatIpv4(ip)}:${port}`);
const LOAD_MS = 6000;
const DEADLINE_MS = 250;

/** What a busy machine may add to a time. */
const SLACK_MS = 5000;

/** Words of a result, by their names. */
function readWords(result: string): ReadonlyMap<string, string> {
  return new Map(
    result.split(" ").slice(1).map((word) => {
      const at = word.indexOf("=");
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

async function restartUnderLoad(processes: Processes, folder: string): Promise<void> {
  const command = readDrivers().get(folder);
  assert.ok(command !== undefined);
  const { url, store } = await sqliteTestStore(processes);
  await addNodes(store, 1, 1, NODES);
  await store.close();
  const port = await freePort();
  const table = join(processes.directory, "agent.table");
  const own = [`--agent-port=${port}`, `--agent-shared-table=${table}`];
  const { dns, reporter, agent } = await startFleet(processes, url, { agent: own });
  const out = makeTempDir(`lars-restart-${folder}-`);
  const driver = await startDriver(command, out.path);
  try {
    const ports = [port, port + 1, port + 2].join(",");
    const path = driver.features.includes("table") ? ` table=${table}` : "";
    assert.equal(await driver.run(`open ports=${ports} deadline_ms=${DEADLINE_MS}${path}`), "ok");
    await until(async () => (await driver.run("get_host 1 1")).startsWith("host"));
    const loaded = driver.run(`load 1 1 threads=4 ms=${LOAD_MS} pause_ms=2`);
    loaded.catch(() => {}); // told below
    await until(async () => (await driver.run("try_get_host 1 1")).startsWith("host"));
    // Then the next agent knows the module from its first moment on.
    await until(() => existsSync(join(processes.directory, "cache", CACHE_FILE_NAME)));
    await agent.kill9();
    // A node stands in, marked as such.
    await until(async () => (await driver.run("try_get_host 1 1")).endsWith(" stale"));
    const again = await processes.start("agent", [
      ...agentFlags(processes, [dns.port()], [reporter.port()]),
      ...own,
    ]);
    await until(async () => {
      const result = await driver.run("try_get_host 1 1");
      return result.startsWith("host") && !result.endsWith(" stale");
    });
    const words = readWords(await loaded);
    assert.equal(words.get("failed"), "0", [...words].join(" "));
    assert.ok(Number(words.get("ok")) > 0 && Number(words.get("stale")) > 0, [...words].join(" "));
    assert.ok(Number(words.get("longest_ms")) <= DEADLINE_MS + SLACK_MS, words.get("longest_ms"));
    const strangers = (words.get("nodes") ?? "").split(",").filter((node) => !KNOWN.includes(node));
    assert.deepEqual(strangers, []);
    assert.ok(again.alive);
  } finally {
    await driver.close();
    out.remove();
  }
}

for (const [folder, { name }] of readDrivers()) {
  test(
    `${name}: the agent is killed and comes back in mid-load`,
    { timeout: TIMEOUT_MS },
    async () => {
      await withProcesses((processes) => restartUnderLoad(processes, folder));
    },
  );
}
