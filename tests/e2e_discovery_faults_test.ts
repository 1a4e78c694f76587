// Discovery under faults, with real processes: nobody that lives is expired, who is dead goes at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LeasePeer } from "../discovery/testing/lease_peer.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { sleep } from "../reactor/time/clock.ts";
import { openStore } from "../sql/mod.ts";
import { sqliteTestStore } from "./support/fleet.ts";
import { assertInTime } from "./support/in_time.ts";
import { runAdmin, withPrivateMariaDb } from "./support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { RouteWatcher, startNodes } from "./support/discovery_rounds.ts";
import { findFaketime, WallClock } from "./support/wall_clock.ts";
import { monotonicMs, WireConnection } from "./support/wire_client.ts";

const LOOPBACK = 0x7f000001;

/** Bun would give up after 5 s. */
const SLOW = { timeout: 120_000 };

async function startAll(
  processes: Processes,
  url: string,
): Promise<{ discovery: TestProcess; watcher: RouteWatcher; connection: WireConnection }> {
  const [dns, discovery] = await Promise.all([
    processes.start("dns", ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"]),
    processes.start("discovery", ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"]),
  ]);
  const connection = await WireConnection.open(dns.port());
  return { discovery, connection, watcher: new RouteWatcher(connection) };
}

test(
  "a registration is pushed at once, and a node that is killed with it is out at once",
  SLOW,
  async (t) => {
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      const { discovery, watcher, connection } = await startAll(processes, url);
      const peer = await LeasePeer.open(discovery.port());
      const times: number[] = [];
      for (let index = 0; index < 40; index++) {
        const startMs = monotonicMs();
        const port = 1000 + index;
        await peer.register({ modId: 7, cmdId: 1, ip: LOOPBACK, port });
        await until(() => watcher.ports.includes(port), { intervalMs: 2 });
        times.push(monotonicMs() - startMs);
      }
      times.sort((a, b) => a - b);
      assertInTime("a registration until its push", times[38], 200);
      const program = await startNodes(processes, [discovery.port()], 15_000, [2001]);
      await watcher.untilCount(41);
      const killedMs = monotonicMs();
      await program.kill9();
      await watcher.untilCount(40);
      const outMs = monotonicMs() - killedMs;
      assertInTime("a killed node until its push", outMs, 1_000);
      t.diagnostic(
        `registration until push: median ${times[20].toFixed(0)} ms, 38 of 40 within ` +
          `${times[38].toFixed(0)} ms; killed node out after ${outMs.toFixed(0)} ms`,
      );
      peer.destroy();
      watcher.stop();
      connection.close();
      await store.close();
    });
  },
);

test(
  "a discovery that is stopped for longer than a ttl, again and again, expires nobody",
  SLOW,
  async () => {
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      const { discovery, watcher, connection } = await startAll(processes, url);
      const ports = Array.from({ length: 12 }, (_, index) => 3001 + index);
      const program = await startNodes(processes, [discovery.port()], 2_000, ports);
      await watcher.untilCount(12);
      const sinceMs = monotonicMs();
      for (let round = 0; round < 3; round++) {
        discovery.signal("SIGSTOP");
        await sleep(systemClock, 5_000);
        discovery.signal("SIGCONT");
        await sleep(systemClock, 6_000);
      }
      assert.equal(watcher.leastSince(sinceMs), 12, "no route ever lost one");
      await program.kill9();
      await watcher.untilCount(0); // All at once: their hosts refuse, so the guard lets them go.
      watcher.stop();
      connection.close();
      await store.close();
    });
  },
);

test(
  "steps of the wall clock by an hour and a day expire nobody, and who is dead goes as ever",
  { ...SLOW, skip: findFaketime() === undefined ? "libfaketime is not on this machine" : false },
  async () => {
    await withProcesses(async (processes) => {
      const clock = new WallClock(processes.directory);
      const { url, store } = await sqliteTestStore(processes);
      const words = ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"];
      const discovery = await processes.start("discovery", words, { env: clock.env });
      const dns = await processes.start("dns", words);
      const connection = await WireConnection.open(dns.port());
      const watcher = new RouteWatcher(connection);
      const live = await startNodes(processes, [discovery.port()], 1_500, [3001, 3002, 3003]);
      const dead = await startNodes(processes, [discovery.port()], 1_500, [3101]);
      await watcher.untilCount(4);
      const sinceMs = monotonicMs();
      for (const aheadS of [3_600, -3_600, 86_400, -86_400]) {
        clock.step(aheadS);
        await sleep(systemClock, 2_500);
      }
      assert.equal(watcher.leastSince(sinceMs), 4);
      await dead.kill9();
      await watcher.untilCount(3);
      assert.ok(live.alive);
      watcher.stop();
      connection.close();
      await store.close();
    });
  },
);

test(
  "while the database is away nobody expires, and afterwards the dead go",
  { timeout: 120_000 },
  async (t) => {
    await withPrivateMariaDb(t, async (server) => {
      await withProcesses(async (processes) => {
        await runAdmin(server.url, "CREATE DATABASE lars");
        const url = `${server.url}/lars`;
        const store = await openStore(url);
        await store.migrate();
        const { discovery, watcher, connection } = await startAll(processes, url);
        const live = await startNodes(processes, [discovery.port()], 2_000, [4001, 4002, 4003]);
        const dead = await startNodes(processes, [discovery.port()], 2_000, [4101]);
        await watcher.untilCount(4);
        const sinceMs = monotonicMs();
        await server.suspend();
        await sleep(systemClock, 2_000);
        await dead.kill9();
        await sleep(systemClock, 8_000);
        server.resume();
        await watcher.untilCount(3);
        await sleep(systemClock, 4_000);
        assert.equal(watcher.leastSince(sinceMs), 3);
        assert.ok(live.alive);
        watcher.stop();
        connection.close();
        await store.close();
      });
    });
  },
);
