// Discovery with very many nodes and agents, and two discoveries on one database, with real processes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LeasePeer } from "../discovery/testing/lease_peer.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { openStore } from "../sql/mod.ts";
import { DiscoveryRounds, herdReturns, startNodes } from "./support/discovery_rounds.ts";
import { sqliteTestStore, startFleet } from "./support/fleet.ts";
import { assertInTime } from "./support/in_time.ts";
import { runAdmin, withPrivateMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { monotonicMs, WireCaller, WireConnection } from "./support/wire_client.ts";

const SLOW = { timeout: 300_000 };
const AGENTS = 1_000;
const HERD = 2_000;
/** Registrations whose time until they are picked is taken. */
const TAKEN = 60;

test("a node that is killed is out of 1,000 agents at once", SLOW, async (t) => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const [dns, discovery] = await Promise.all([
      processes.start("dns", ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"]),
      processes.start("discovery", ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"]),
    ]);
    await startNodes(processes, [discovery.port()], 15_000, [3001, 3002]);
    const dying = await startNodes(processes, [discovery.port()], 15_000, [4001]);
    const agents: WireConnection[] = [];
    for (let at = 0; at < AGENTS; at += 100) {
      const some = Array.from({ length: 100 }, () => WireConnection.open(dns.port()));
      agents.push(...await Promise.all(some));
    }
    const knows = (agent: WireConnection, count: number): Promise<{ atMs: number }> =>
      agent.nextRoute(7, 1, ({ hosts }) => hosts.length === count, 60_000);
    await Promise.all(agents.map((agent) => {
      agent.askRoute(7, 1);
      return knows(agent, 3);
    }));
    const killedMs = monotonicMs();
    await dying.kill9();
    const seen = await Promise.all(agents.map((agent) => knows(agent, 2)));
    const tookMs = Math.max(...seen.map(({ atMs }) => atMs)) - killedMs;
    assertInTime(`a killed node until the last of ${AGENTS} agents`, tookMs, 1_000);
    t.diagnostic(`killed node out of the last of ${AGENTS} agents after ${tookMs.toFixed(0)} ms`);
    for (const agent of agents) agent.close();
    await store.close();
  });
});

test(
  "a node that registers is picked at an agent that follows its module at once",
  SLOW,
  async (t) => {
    await withPrivateMariaDb(t, async (server) => {
      await withProcesses(async (processes) => {
        await runAdmin(server.url, "CREATE DATABASE lars");
        const url = `${server.url}/lars`;
        const store = await openStore(url);
        await store.migrate();
        const [{ agent }, discovery] = await Promise.all([
          startFleet(processes, url),
          processes.start("discovery", ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"]),
        ]);
        const caller = await WireCaller.open(agent.port());
        const peer = await LeasePeer.open(discovery.port());
        const node = (port: number) => ({ modId: 7, cmdId: 1, ip: 0x7f000001, port });
        await peer.register(node(3000));
        await caller.untilHost(7, 1);
        const tookMs: number[] = [];
        for (let port = 4000; port < 4000 + TAKEN; port++) {
          const startMs = monotonicMs();
          const { incarnation } = await peer.register(node(port));
          while ((await caller.getHost(7, 1)).host?.port !== port) await sleep(systemClock, 1);
          tookMs.push(monotonicMs() - startMs);
          await peer.leave(node(port), incarnation);
          while ((await caller.getRoute(7, 1)).hosts.length !== 1) await sleep(systemClock, 5);
        }
        tookMs.sort((a, b) => a - b);
        const [median, p99] = [0.5, 0.99].map((share) => tookMs[Math.floor(share * TAKEN)]);
        t.diagnostic(`registered to picked: ${median.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`);
        assertInTime("a registration until its node is picked", median, 200);
        peer.destroy();
        caller.close();
        await store.close();
      });
    });
  },
);

test("2,000 nodes register again after discovery was killed, without a herd", SLOW, async (t) => {
  await withPrivateMariaDb(t, async (server) => {
    await withProcesses(async (processes) => {
      await runAdmin(server.url, "CREATE DATABASE lars");
      const tookMs = await herdReturns(processes, `${server.url}/lars`, HERD);
      assertInTime(`${HERD} nodes until all were registered again`, tookMs, 10_000);
      t.diagnostic(`${HERD} nodes registered again after ${tookMs.toFixed(0)} ms`);
    });
  });
});

test("two discoveries on one database: what fails at one expires nobody", SLOW, async (t) => {
  await withPrivateMariaDb(t, async (server) => {
    await withProcesses(async (processes) => {
      await runAdmin(server.url, "CREATE DATABASE lars");
      const url = `${server.url}/lars`;
      const store = await openStore(url);
      await store.migrate();
      await store.close();
      const world = new DiscoveryRounds(processes, [url], [server]);
      await world.start();
      const times = { stopMs: 5_000, starveMs: 4_000, databaseMs: 5_000 };
      for (const fault of ["kill", "stop", "starve", "database", "kill", "stop"] as const) {
        assert.equal(await world.round(fault, times), 0, fault);
      }
      world.stop();
    });
  });
});
