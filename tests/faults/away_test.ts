// What callers depend on is away, one thing after the other; they are answered all the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LarsClient } from "../../api/mod.ts";
import { openStore } from "../../sql/mod.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import { addNodes, agentFlags, nodeOf, startFleet, withStoredNode } from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { SteadyLoad } from "../support/load.ts";
import { type MariaDb, runAdmin, withPrivateMariaDb } from "../support/mariadb.ts";
import { withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { monotonicMs, WireCaller, WireConnection } from "../support/wire_client.ts";

const SECONDS = faultSeconds();
const SLOW = { timeout: 120_000 + 4000 * SECONDS };

/** Loads of some 300 calls a second each: a thousand calls a second, and some more. */
const LOADS = 4;

/** Waits until so many milliseconds are over, during which others work. */
async function forMs(ms: number, what: string): Promise<void> {
  const endMs = monotonicMs() + ms;
  await until(() => monotonicMs() >= endMs, { timeoutMs: ms + 20_000, intervalMs: 50, what });
}

test(
  "every dns away: callers are answered, and the age of what they get is shown",
  SLOW,
  () =>
    withStoredNode(async ({ processes, url, store }) => {
      await addNodes(store, 1, 1, [nodeOf(2), nodeOf(3)]);
      const flags = ["--reactor-port=0", `--store=${url}`];
      const [one, two, reporter] = await Promise.all([
        processes.start("dns", flags),
        processes.start("dns", flags),
        processes.start("reporter", flags),
      ]);
      const metricsPort = await freePort();
      const agent = await processes.start("agent", [
        ...agentFlags(processes, [one.port(), two.port()], [reporter.port()]),
        `--metrics-port=${metricsPort}`,
      ]);
      const callers = await Promise.all(
        Array.from({ length: LOADS }, () => WireCaller.open(agent.port())),
      );
      await callers[0].untilHost(1, 1);
      await Promise.all([one.kill9(), two.kill9()]);
      const awayMs = monotonicMs();
      const loads = callers.map((caller) => new SteadyLoad(caller, 1, 1));
      await forMs(1000 * SECONDS, "the end of the outage");
      await Promise.all(loads.map((load) => load.stop()));
      const seconds = (monotonicMs() - awayMs) / 1000;
      const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      const ageS = Number(
        /^lars_agent_dns_route_age_seconds(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1],
      );
      const calls = loads.reduce((sum, load) => sum + load.calls, 0);
      const failed = loads.flatMap(({ faults }) => faults);
      const slowestMs = Math.max(...loads.map((load) => load.slowestMs));
      figure(
        `${seconds.toFixed(0)} s without any dns: ${failed.length} of ${calls} get_host failed, ` +
          `slowest ${slowestMs.toFixed(1)} ms, age shown ${ageS} s`,
      );
      assert.deepEqual(failed, []);
      assert.ok(ageS >= Math.floor(seconds) - 2, `the age that metrics show: ${ageS} s`);
      for (const caller of callers) caller.close();
    }),
);

async function databaseAway(server: MariaDb): Promise<void> {
  await runAdmin(server.url, "CREATE DATABASE lars_dns");
  const url = `${server.url}/lars_dns`;
  const store = await openStore(url);
  await store.migrate();
  await addNodes(store, 1, 1, [nodeOf(1)]);
  await withProcesses(async (processes) => {
    const { dns, agent } = await startFleet(processes, url);
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const load = new SteadyLoad(caller, 1, 1);
    await forMs(2000, "the heap of dns to find its size");
    let node = 1;
    const comeBack = async (what: string, grownBytes: number): Promise<void> => {
      const added = nodeOf(++node);
      await addNodes(store, 1, 1, [added]);
      const startMs = monotonicMs();
      await until(() => load.hasSeen(added), { intervalMs: 5, what: `a change after ${what}` });
      const value = monotonicMs() - startMs;
      const grown = (grownBytes / 2 ** 20).toFixed(1);
      figure(`${what} for ${SECONDS} s: dns grew by ${grown} MB`);
      timeFigure({ what: `a change after ${what}`, value, atMost: 2000, unit: "ms" });
      assert.ok(grownBytes < 30 * 2 ** 20, `dns grew by ${grown} MB while ${what}`);
    };
    const away = async (): Promise<number> => {
      const before = await dns.residentBytes() ?? 0;
      const peer = await WireConnection.open(dns.port());
      assert.ok((await peer.route(1, 1)).hosts.length > 0, "dns serves from memory");
      peer.close();
      await forMs(1000 * SECONDS, "the end of the outage");
      return (await dns.residentBytes() ?? 0) - before;
    };
    await server.kill9();
    const whileDown = await away();
    await server.restart();
    await comeBack("the database was down", whileDown);
    await server.suspend();
    const whileHung = await away();
    server.resume();
    await comeBack("the database hung", whileHung);
    await load.stop();
    figure(`${load.calls} calls, ${load.faults.length} failed`);
    assert.deepEqual(load.faults, []);
    caller.close();
  });
  await store.close();
}

test(
  "the database away: dns serves, does not grow, and catches up",
  SLOW,
  (t) => withPrivateMariaDb(t, databaseAway),
);

test(
  "a stopped agent: callers of the api have a node within their deadline and 10 ms",
  SLOW,
  () =>
    withStoredNode(async ({ processes, url }) => {
      const { agent } = await startFleet(processes, url);
      // The path over the network: a table in shared memory needs no agent that runs.
      const client = new LarsClient({ port: agent.port(), sharedTable: false });
      await until(async () => (await client.tryGetHost(1, 1)).retcode === 0, { what: "the route" });
      const pace = async (count: number): Promise<number[]> => {
        const times: number[] = [];
        for (let i = 0; i < count; i++) {
          const startMs = monotonicMs();
          const { host } = await client.tryGetHost(1, 1);
          times.push(monotonicMs() - startMs);
          assert.ok(host !== undefined, "the last node that was good");
        }
        return times.sort((a, b) => a - b);
      };
      const [usual] = [await pace(200)];
      agent.signal("SIGSTOP");
      const times = await pace(60);
      agent.signal("SIGCONT");
      figure(
        `agent running: p99 ${usual[197].toFixed(1)} ms; stopped: 0 of 60 calls without a node`,
      );
      timeFigure({
        what: "agent stopped: p95 of a call",
        value: times[56],
        atMost: 60,
        unit: "ms",
      });
      await client.close();
    }),
);
