// What callers report, as history, events and metrics, through the three services as processes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { InProcessClient, type LarsApi, LarsClient } from "../api/mod.ts";
import { addNodes, agentFlags, nodeOf, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { SteadyLoad } from "./support/load.ts";
import { type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

async function end(service: TestProcess): Promise<void> {
  service.signal("SIGTERM");
  assert.equal((await service.untilEnded()).code, 0);
}

test("every reported call is in the history once, over a restart of the reporter", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2), nodeOf(3)]);
    const port = await freePort();
    const metricsPort = await freePort();
    const startReporter = (): Promise<TestProcess> =>
      processes.start("reporter", [`--reactor-port=${port}`, `--store=${url}`]);
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    let reporter = await startReporter();
    const agent = await processes.start("agent", [
      ...agentFlags(processes, [dns.port()], [port]),
      `--metrics-port=${metricsPort}`,
    ]);
    const caller = await WireCaller.open(agent.port());
    await until(async () => (await caller.getRoute(1, 1)).hosts.length === 3, {
      what: "the route",
    });
    const fromSeconds = Math.floor(Date.now() / 1000);
    const stored = async (): Promise<number> =>
      (await store.readCallStatus()).reduce((sum, row) => sum + (row.succTotal ?? 0), 0);

    const load = new SteadyLoad(caller, 1, 1);
    await until(async () => await stored() > 50, { what: "the first results" });
    await end(reporter);
    const before = load.reported;
    await until(() => load.reported > before + 50, { what: "calls without a reporter" });
    reporter = await startReporter();
    await load.stop();
    assert.deepEqual(load.faults, []);
    await until(async () => await stored() === load.reported, {
      timeoutMs: 20_000,
      what: "all results",
    });
    const counted = (): Promise<number> => metric(metricsPort, "lars_agent_reports_total");
    await until(async () => await counted() === load.reported, { what: "the agent's counter" });

    // A node that fails goes out; everybody can look it up.
    for (let call = 0; call < 40; call++) caller.report(1, 1, nodeOf(1), 1);
    await until(async () => (await store.readEvents()).length > 0, { what: "the event" });
    const [event] = await store.readEvents();
    assert.deepEqual(
      [event.kind, event.module, event.node?.ip],
      ["node.overload", { modId: 1, cmdId: 1 }, nodeOf(1).ip],
    );
    const failed = async (): Promise<number> =>
      (await store.readCallStatus()).reduce((sum, row) => sum + (row.errTotal ?? 0), 0);
    await until(async () => await failed() === 40, { what: "all failures" });
    await end(reporter);
    const query = { fromSeconds, toSeconds: fromSeconds + 3600, stepSeconds: 3600 };
    for (const groupBy of ["total", "module", "node", "caller"] as const) {
      const { points } = await store.readCallHistory({ ...query, groupBy });
      const sum = points.reduce((all, point) => all + point.succCount, 0);
      assert.equal(sum, load.reported, `by ${groupBy}`);
      assert.equal(points.reduce((all, point) => all + point.errCount, 0), 40, `by ${groupBy}`);
    }
    caller.close();
    await store.close();
  });
});

/** Calls that take a known time at least, and what all of them took as the test itself saw it. */
async function slowCalls(client: LarsApi, modId: number, count: number): Promise<number> {
  const start = performance.now();
  for (let call = 0; call < count; call++) {
    await client.call(modId, 1, () => new Promise((resolve) => setTimeout(resolve, 40)));
  }
  return performance.now() - start;
}

test("what calls took is in the history, by node and caller, where callers tell it", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    for (const modId of [1, 2, 3]) await addNodes(store, modId, 1, [nodeOf(modId)]);
    const { agent, reporter } = await startFleet(processes, url);
    const udp = new LarsClient({ port: [agent.port(0), agent.port(1), agent.port(2)] });
    const inProcess = new InProcessClient({ agents: [`127.0.0.1:${agent.port()}`] });
    const caller = await WireCaller.open(agent.port());
    for (const [client, modId] of [[udp, 1], [inProcess, 2]] as const) {
      await until(async () => (await client.tryGetHost(modId, 1)).retcode === 0, {
        what: "the route",
      });
    }
    await until(async () => (await caller.getRoute(3, 1)).hosts.length === 1, {
      what: "the route",
    });
    const fromSeconds = Math.floor(Date.now() / 1000);
    const took = [await slowCalls(udp, 1, 6), await slowCalls(inProcess, 2, 6)];
    // A caller of the original tells no time.
    for (let call = 0; call < 6; call++) caller.report(3, 1, nodeOf(3), 0);
    await inProcess.close();
    await until(async () => {
      const rows = await store.readCallStatus();
      return rows.reduce((sum, row) => sum + (row.succTotal ?? 0), 0) === 18;
    }, { timeoutMs: 20_000, what: "all results" });
    await end(reporter);
    const query = { fromSeconds, toSeconds: fromSeconds + 3600, stepSeconds: 3600 };
    for (const groupBy of ["module", "node", "caller"] as const) {
      const { points } = await store.readCallHistory({ ...query, groupBy });
      const counts = points.map((
        point,
      ) => [point.module?.modId, point.succCount, point.timedCount]);
      assert.deepEqual(counts, [[1, 6, 6], [2, 6, 6], [3, 6, 0]], `by ${groupBy}`);
      for (const [index, tookMs] of took.entries()) {
        const meanMs = points[index].timeMsSum / points[index].timedCount;
        // Timers of the runtimes may be a hair early, times are rounded to whole milliseconds.
        assert.ok(meanMs >= 38 && meanMs <= tookMs / 6 + 1, `${meanMs} of ${tookMs} ms`);
      }
      assert.equal(points[2].timeMsSum, 0);
    }
    await udp.close();
    caller.close();
    await store.close();
  });
});

test("callers that got no node are in status, top and history, once, whoever picks", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    for (const modId of [1, 2]) {
      await store.editRoutes([
        { op: "add", modId, cmdId: 1, ...nodeOf(modId), state: "drain" },
        { op: "add", modId: modId + 10, cmdId: 1, ...nodeOf(modId) },
      ]);
    }
    const { agent, reporter } = await startFleet(processes, url);
    const inProcess = new InProcessClient({ agents: [`127.0.0.1:${agent.port()}`] });
    const caller = await WireCaller.open(agent.port());
    await until(async () => (await caller.getRoute(11, 1)).hosts.length === 1, { what: "a route" });
    await until(async () => (await inProcess.tryGetHost(12, 1)).retcode === 0, { what: "a route" });
    const fromSeconds = Math.floor(Date.now() / 1000);
    const totals = async (): Promise<Record<number, number>> =>
      Object.fromEntries(
        (await store.refusedTotals(0)).map(({ modId, unusable }) => [modId, unusable]),
      );
    // Until its route is known a module is refused for another cause.
    await until(async () => {
      await caller.getHost(1, 1);
      return (await totals())[1] > 0;
    }, { what: "the first refused call" });
    const before = (await totals())[1];
    for (let call = 0; call < 50; call++) await caller.getHost(1, 1);
    await until(async () => (await totals())[1] >= before + 50, { what: "what UDP was refused" });
    await until(async () => {
      await inProcess.tryGetHost(2, 1);
      return (await totals())[2] > 0;
    }, { what: "what was refused in the process" });
    await inProcess.close();
    await end(reporter);
    const { points } = await store.readCallHistory({
      ...{ fromSeconds: fromSeconds - 60, toSeconds: fromSeconds + 3600, stepSeconds: 3600 },
      groupBy: "module",
    });
    const stored = await store.refusedTotals(0);
    for (const { modId, overload, unusable, noNode, noRoute } of stored) {
      const sum = points.filter((point) => point.module?.modId === modId)
        .reduce((all, point) => all + point.refusedCount, 0);
      assert.equal(sum, overload + unusable + noNode + noRoute, `of module ${modId}`);
    }
    // Both end where the history is whole.
    await until(async () => {
      const status = await processes.run("tools/lars.ts", ["status", "--store", url, "--json"]);
      const { calls, recent } = JSON.parse(status.stdout);
      const [first] = calls.modules.filter(({ modid }: { modid: number }) => modid === 1);
      return first?.refused >= 50 && recent.refused >= first.refused;
    }, { timeoutMs: 60_000, what: "the status to say so" });
    const top = await processes.run("tools/lars.ts", ["top", "--store", url, "--json", "--once"]);
    assert.ok(JSON.parse(top.stdout).refusedPerSecond > 0, top.stdout);
    caller.close();
    await store.close();
  });
});
