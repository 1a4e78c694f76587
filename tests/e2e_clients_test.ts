// Goal: kill -9 and restart of the agent in the middle of calls; callers of every language go on within
// their deadline, and none is given a node that is not the module's. Over UDP and from the table.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CACHE_FILE_NAME } from "../agent/routes/route_cache.ts";
import { ClientDriver, fillWords } from "../api/conformance/driver.ts";
import { buildDriver, readDrivers } from "../scripts/run_conformance.ts";
import { addNodes, agentFlags, nodeOf, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { PROJECT_ROOT, type TestProcess, withProcesses } from "./support/processes.ts";
import { makeTempDir } from "./support/temp_dir.ts";
import { until } from "./support/until.ts";
import { monotonicMs } from "./support/wire_client.ts";

/** Builds, waits and restarts; a busy machine may need many times what it takes. */
const TIMEOUT_MS = 600_000;

/** Callers of a language at the same time, and calls that each makes after the agent is back. */
const CALLERS = 4;
const CALLS_AFTER = 50;

/**
 * A question ends after 50 ms; an agent that has just started may have no route yet, for which a call
 * waits. What a busy machine adds is more than both.
 */
const CALL_MS_MAX = 10_000;

const NODES = ["10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000"];

/** Calls in a row; counts them by the node, or by what went wrong. */
class Caller {
  readonly results = new Map<string, number>();
  calls = 0;
  longestMs = 0;
  ended = false;

  async run(driver: ClientDriver): Promise<void> {
    while (!this.ended) {
      const startMs = monotonicMs();
      const result = await driver.run("call 1 1 took_ms=1");
      this.longestMs = Math.max(this.longestMs, monotonicMs() - startMs);
      const node = result.replace(/^called (.*) tries=1$/, "$1");
      this.results.set(node, (this.results.get(node) ?? 0) + 1);
      this.calls++;
    }
  }
}

/** Callers of one language, and the agent dies among them. */
async function expectUnharmed(
  driver: ClientDriver,
  options: string,
  cache: string,
  agent: (knowsDns: boolean) => Promise<TestProcess>,
): Promise<void> {
  let running = await agent(true);
  const first = running.port();
  const ports = [first, first + 1, first + 2].join();
  assert.equal(await driver.run(`open ports=${ports} first_route_ms=20000 ${options}`), "ok");
  const callers = Array.from({ length: CALLERS }, () => new Caller());
  const runs = callers.map((caller) => caller.run(driver));
  const later = async (count: number): Promise<void> => {
    const goals = callers.map(({ calls }) => calls + count);
    await until(() => callers.every(({ calls }, index) => calls >= goals[index]), {
      what: `${count} calls of each`,
      timeoutMs: 60_000,
    });
  };
  await later(CALLS_AFTER);
  // Then the next agent knows the module from its first moment on.
  await until(() => existsSync(cache), { what: "the agent's cache" });
  await running.kill9();
  await later(CALLS_AFTER); // while there is none
  running = await agent(true);
  await later(CALLS_AFTER);
  await until(
    async () => /^host [^ ]+$/.test(await driver.run("try_get_host 1 1")),
    { what: "a node that is not stale", timeoutMs: 30_000 },
  );
  for (const caller of callers) caller.ended = true;
  await Promise.all(runs);
  const longestMs = Math.max(...callers.map((caller) => caller.longestMs));
  const stats = await driver.run("stats");
  console.log(`${options}: longest call ${Math.round(longestMs)} ms, ${stats}`);
  for (const { results } of callers) {
    assert.deepEqual([...results.keys()].sort().filter((node) => !NODES.includes(node)), []);
  }
  assert.ok(longestMs < CALL_MS_MAX, `${longestMs} ms`);
  await running.kill9();
  await expectKept(driver, cache, agent);
  assert.equal(await driver.run("close"), "ok");
}

/** An agent without any route says that there is no such module, and dies too: the nodes stay known. */
async function expectKept(
  driver: ClientDriver,
  cache: string,
  agent: (knowsDns: boolean) => Promise<TestProcess>,
): Promise<void> {
  await rm(cache);
  const ignorant = await agent(false);
  const answers = (text: RegExp): Promise<void> =>
    until(async () => text.test(await driver.run("try_get_host 1 1")), {
      what: `an answer like ${text.source}`,
      timeoutMs: 30_000,
    });
  await answers(/^code 3$/);
  await ignorant.kill9();
  await answers(/^host 10\.0\.0\.[123]:7000 stale$/);
  await rm(cache, { force: true });
}

for (const [folder, command] of readDrivers()) {
  test(
    `kill -9 of the agent: callers in ${command.name}`,
    { timeout: TIMEOUT_MS },
    () =>
      withProcesses(async (processes) => {
        const out = makeTempDir(`lars-kill-${folder}-`);
        const { url, store } = await sqliteTestStore(processes);
        await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2), nodeOf(3)]);
        const fleet = await startFleet(processes, url);
        await fleet.agent.kill9();
        const places = { root: PROJECT_ROOT, out: out.path };
        if (command.build !== undefined) await buildDriver(fillWords(command.build, places));
        const driver = await ClientDriver.start(fillWords(command.run, places));
        try {
          const port = await freePort();
          const table = `${out.path}/agent.table`;
          const nobody = await freePort();
          const startAgent = (knowsDns: boolean): Promise<TestProcess> =>
            processes.start("agent", [
              ...agentFlags(
                processes,
                [knowsDns ? fleet.dns.port() : nobody],
                [fleet.reporter.port()],
              ),
              ...[`--agent-port=${port}`, `--agent-shared-table=${table}`],
            ]);
          const cache = join(processes.directory, "cache", CACHE_FILE_NAME);
          await expectUnharmed(driver, "table=/nowhere", cache, startAgent);
          if (driver.features.includes("table")) {
            await expectUnharmed(driver, `table=${table}`, cache, startAgent);
          }
          assert.equal(driver.errors, "");
        } finally {
          await driver.close();
          await store.close();
          out.remove();
        }
      }),
  );
}
