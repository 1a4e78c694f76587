// Services are killed, stopped and starved while callers go on; no caller may notice.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, type Store } from "../sql/mod.ts";
import {
  addNodes,
  agentFlags,
  hostKey,
  hostKeys,
  nodeOf,
  sqliteTestStore,
  startFleet,
  withStoredNode,
} from "./support/fleet.ts";
import { assertInTime } from "./support/in_time.ts";
import { SteadyLoad } from "./support/load.ts";
import {
  findProgram,
  type MariaDb,
  noPrivateServerReason,
  runAdmin,
  startMariaDb,
} from "./support/mariadb.ts";
import { freePort } from "./support/free_port.ts";
import { runtimeName, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { monotonicMs, WireCaller, WireConnection, WireServer } from "./support/wire_client.ts";

/** Tests that kill the database need one of their own. */
const NEEDS_MARIADB = { skip: noPrivateServerReason() ?? false } as const;

const NEEDS_PRLIMIT = {
  skip: findProgram("prlimit") === undefined ? "prlimit is not installed" : false,
} as const;

/** Longest wait for a recovery; what is promised is far less and is printed. */
const RECOVERY_TIMEOUT_MS = 15_000;

/** Measures from now until `condition` holds, prints it, and returns it. */
async function measure(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
): Promise<number> {
  const startMs = monotonicMs();
  await until(condition, { timeoutMs: RECOVERY_TIMEOUT_MS, intervalMs: 5, what });
  const tookMs = Math.round(monotonicMs() - startMs);
  console.log(`${typeof what === "string" ? what : what()}: ${tookMs} ms`);
  return tookMs;
}

/** Runs `fn` with a private server, which it may kill, and a migrated database in it. */
async function withKillableDatabase(
  fn: (server: MariaDb, url: string, store: Store) => Promise<void>,
): Promise<void> {
  const server = await startMariaDb();
  try {
    await runAdmin(server.url, "CREATE DATABASE lars_dns");
    const url = `${server.url}/lars_dns`;
    const store = await openStore(url);
    await store.migrate();
    try {
      await fn(server, url, store);
    } finally {
      await store.close();
    }
  } finally {
    await server.stop();
  }
}

test(
  "kill -9 of dns, reporter and MariaDB during load: no get_host fails, nothing is lost",
  NEEDS_MARIADB,
  async () => {
    await withKillableDatabase((server, url, store) =>
      withProcesses(async (processes) => {
        await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2), nodeOf(3)]);
        await addNodes(store, 2, 2, [nodeOf(1)]);
        const dnsPort = await freePort();
        const reporterPort = await freePort();
        const startDns = (): Promise<TestProcess> =>
          processes.start("dns", [`--reactor-port=${dnsPort}`, `--store=${url}`]);
        const startReporter = (): Promise<TestProcess> =>
          processes.start("reporter", [`--reactor-port=${reporterPort}`, `--store=${url}`]);
        let [dns, reporter] = await Promise.all([startDns(), startReporter()]);
        const agent = await processes.start("agent", [
          ...agentFlags(processes, [dnsPort], [reporterPort]),
          // Routes and windows grow old during each outage, not only in a long one.
          "--loadbalance-update-timeout=0.5",
          "--loadbalance-idle-timeout=0.5",
        ]);
        const caller = await WireCaller.open(agent.port());
        await caller.untilHost(1, 1);
        const load = new SteadyLoad(caller, 1, 1);
        const later = (count: number): Promise<void> => {
          const goal = load.calls + count;
          return until(() => load.calls >= goal, { timeoutMs: 20_000, what: `${count} calls` });
        };
        await later(100);

        await dns.kill9();
        await addNodes(store, 1, 1, [nodeOf(4)]);
        await later(150);
        assert.ok(!load.hasSeen(nodeOf(4)), "nobody could have told the agent");
        dns = await startDns();
        await measure(
          "edit made while dns was dead reaches callers after its restart",
          () => load.hasSeen(nodeOf(4)),
        );

        await reporter.kill9();
        await later(150);
        reporter = await startReporter();
        await measure(
          "results of the time without reporter are in SQL",
          () => hasResults(store, load),
        );

        await server.kill9();
        await later(150);
        await caller.untilHost(2, 2); // a module never asked for before, served by dns from memory
        await server.restart();
        await addNodes(store, 1, 1, [nodeOf(5)]);
        await measure(
          "edit made right after MariaDB came back reaches callers",
          () => load.hasSeen(nodeOf(5)),
        );
        await measure(
          "results of the time without MariaDB are in SQL",
          () => hasResults(store, load),
        );

        await server.suspend();
        const peer = await WireConnection.open(dnsPort);
        assert.equal((await peer.route(1, 1)).hosts.length, 5, "dns serves while MariaDB hangs");
        peer.close();
        await later(150);
        server.resume();
        await addNodes(store, 1, 1, [nodeOf(6)]);
        await measure(
          "edit made after MariaDB had hung reaches callers",
          () => load.hasSeen(nodeOf(6)),
        );

        await Promise.all([server.kill9(), dns.kill9(), reporter.kill9()]);
        await later(150);
        await server.restart();
        [dns, reporter] = await Promise.all([startDns(), startReporter()]);
        await addNodes(store, 1, 1, [nodeOf(7)]);
        await measure(
          "edit made after everything but the agent was dead reaches callers",
          () => load.hasSeen(nodeOf(7)),
        );

        await load.stop();
        console.log(
          `${load.calls} calls, ${load.faults.length} failed, slowest ${
            load.slowestMs.toFixed(1)
          } ms`,
        );
        assert.deepEqual(load.faults, []);
        let counted = 0;
        await measure(
          () => `every reported result is counted in SQL: ${counted} of ${load.reported}`,
          async () => (counted = await succTotal(store)) === load.reported,
        );
        for (const service of [dns, reporter, agent]) assert.ok(service.alive, service.name);
        caller.close();
      })
    );
  },
);

async function succTotal(store: Store): Promise<number> {
  const rows = await store.readCallStatus({ modId: 1, cmdId: 1 });
  return rows.reduce((sum, row) => sum + (row.succTotal ?? 0), 0);
}

/** True when the results reported up to the first call of this have arrived; load goes on. */
async function hasResults(store: Store, load: SteadyLoad): Promise<boolean> {
  const goal = goals.get(load) ?? load.reported;
  goals.set(load, goal);
  const arrived = await succTotal(store) >= goal;
  if (arrived) goals.delete(load);
  return arrived;
}
const goals = new WeakMap<SteadyLoad, number>();

test(
  "dns and reporter start without a database, and catch up when it comes",
  NEEDS_MARIADB,
  async () => {
    await withKillableDatabase((server, url, store) =>
      withProcesses(async (processes) => {
        await addNodes(store, 1, 1, [nodeOf(1)]);
        await server.kill9();
        const { dns, agent } = await startFleet(processes, url);
        const caller = await WireCaller.open(agent.port());
        const peer = await WireConnection.open(dns.port());
        peer.askRoute(1, 1);
        assert.equal((await caller.getHost(1, 1)).retCode, 3, "not known yet");
        await server.restart();
        await measure(
          "the first node after the database came",
          async () => (await caller.getHost(1, 1)).retCode === 0,
        );
        await peer.nextRoute(1, 1, (route) => route.hosts.length === 1);
        const host = await caller.untilHost(1, 1);
        caller.report(1, 1, host, 0);
        await measure(
          "the first result after the database came",
          async () => await succTotal(store) === 1,
        );
        peer.close();
        caller.close();
      })
    );
  },
);

test("a dns that falls silent is left for the next one within 3 s", async () => {
  await withStoredNode(async ({ processes, store, url }) => {
    await addNodes(store, 2, 2, [nodeOf(2)]);
    await addNodes(store, 3, 3, [nodeOf(3)]);
    const flags = ["--reactor-port=0", `--store=${url}`];
    const first = await processes.start("dns", flags);
    const secondPort = await freePort();
    const agent = await processes.start("agent", [
      ...agentFlags(processes, [first.port(), secondPort], [await freePort()]),
    ]);
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const second = await processes.start("dns", [`--reactor-port=${secondPort}`, flags[1]]);
    const load = new SteadyLoad(caller, 1, 1);

    first.signal("SIGSTOP");
    const silentMs = await measure(
      "a module asked for when dns had fallen silent",
      async () => (await caller.getHost(2, 2)).retCode === 0,
    );
    assertInTime("to leave a silent dns", silentMs, 3000);
    await addNodes(store, 1, 1, [nodeOf(4)]);
    await measure("a change, through the other dns", () => load.hasSeen(nodeOf(4)));

    first.signal("SIGCONT");
    await second.kill9();
    const deadMs = await measure(
      "a module asked for when the other dns was killed",
      async () => (await caller.getHost(3, 3)).retCode === 0,
    );
    assertInTime("to leave a dead dns", deadMs, 1000);
    await addNodes(store, 1, 1, [nodeOf(5)]);
    await measure("a change, through the first dns again", () => load.hasSeen(nodeOf(5)));
    await load.stop();
    assert.deepEqual(load.faults, []);
    caller.close();
  });
});

test("an agent that was killed serves at once from its cache, with dns down", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const modules: [number, number][] = [[1, 1], [1, 2], [1, 3]];
    for (const [modId, cmdId] of modules) await addNodes(store, modId, cmdId, [nodeOf(cmdId)]);
    const { dns, agent, reporter } = await startFleet(processes, url);
    const caller = await WireCaller.open(agent.port());
    for (const [modId, cmdId] of modules) await caller.untilHost(modId, cmdId);
    const cache = join(processes.directory, "cache", "routes.cache");
    // The number of modules stands at byte 16 of the file.
    await until(() => existsSync(cache) && readFileSync(cache).readUInt32LE(16) === 3, {
      what: "the cache to be written",
    });
    await Promise.all([agent.kill9(), dns.kill9()]);
    const flags = agentFlags(processes, [dns.port()], [reporter.port()]);
    const startMs = monotonicMs();
    const again = await processes.start("agent", flags);
    const readyMs = monotonicMs() - startMs;
    const other = await WireCaller.open(again.port());
    for (const [modId, cmdId] of modules) {
      const { retCode, host } = await other.getHost(modId, cmdId);
      assert.deepEqual([retCode, host], [0, nodeOf(cmdId)]);
    }
    const servedMs = monotonicMs() - startMs;
    console.log(
      `agent ready ${Math.round(readyMs)} ms after its start, all served ` +
        `${Math.round(servedMs)} ms after it`,
    );
    assertInTime("a start from the cache", servedMs, 1000);
    caller.close();
    other.close();
    await store.close();
  });
});

/** Processor time of a process in milliseconds; fields 14 and 15 of its stat, in hundredths. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test(
  "running out of file descriptors neither kills dns nor keeps it busy",
  NEEDS_PRLIMIT,
  async () => {
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      await addNodes(store, 1, 1, [nodeOf(1)]);
      const flags = ["--reactor-port=0", `--store=${url}`];
      const [later, fromStart] = await Promise.all([
        processes.start("dns", flags),
        processes.start("dns", flags, { wrapper: ["prlimit", "--nofile=100:100"] }),
      ]);
      // One is limited while it runs, so that accepting fails; the other knows its limit.
      const open = readdirSync(`/proc/${later.pid}/fd`).length;
      execFileSync("prlimit", [`--pid=${later.pid}`, `--nofile=${open + 12}:${open + 12}`]);
      // Bun accepts in a busy loop once there are none left, so there only the known limit is kept.
      for (const dns of runtimeName() === "bun" ? [fromStart] : [later, fromStart]) {
        const good = await WireConnection.open(dns.port());
        await good.route(1, 1);
        const crowd: WireConnection[] = [];
        for (let i = 0; i < 150; i++) crowd.push(await WireConnection.open(dns.port()));
        const busyMs = processorMs(dns.pid);
        const startMs = monotonicMs();
        await until(async () => {
          assert.ok((await good.route(1, 1)).hosts.length > 0);
          return monotonicMs() - startMs > 1000;
        }, { intervalMs: 50 });
        const share = (processorMs(dns.pid) - busyMs) / (monotonicMs() - startMs);
        console.log(`dns without descriptors used ${Math.round(100 * share)} % of a processor`);
        assert.ok(share < 0.5, `${share}`);
        assert.ok(dns.alive);
        for (const peer of crowd) peer.close();
        await measure("a newcomer is served after the crowd has gone", async () => {
          const peer = await WireConnection.open(dns.port());
          const served = await peer.route(1, 1, 500).then(() => true, () => false);
          peer.close();
          return served;
        });
        const added = nodeOf(dns === later ? 2 : 3);
        await addNodes(store, 1, 1, [added]);
        await good.nextRoute(1, 1, (route) => hostKeys(route.hosts).includes(hostKey(added)));
        good.close();
      }
      await store.close();
    });
  },
);

test("a dns that accepts and closes at once is not hammered", async () => {
  await withProcesses(async (processes) => {
    const server = await WireServer.open((connection) => connection.close());
    const agent = await processes.start(
      "agent",
      agentFlags(processes, [server.port], [
        server.port,
      ]),
    );
    const startMs = monotonicMs();
    const caller = await WireCaller.open(agent.port());
    await until(async () => {
      await caller.getHost(1, 1);
      return monotonicMs() - startMs > 2000;
    }, { intervalMs: 20 });
    const count = server.connections.length;
    console.log(`${count} connections of one agent in 2 s to a server that closes each at once`);
    assert.ok(count > 0 && count < 100, `${count}`);
    caller.close();
    await server.close();
  });
});

test("several agents find a restarted dns again by themselves", async () => {
  await withStoredNode(async ({ processes, store, url }) => {
    const dnsPort = await freePort();
    const flags = [`--reactor-port=${dnsPort}`, `--store=${url}`];
    let dns = await processes.start("dns", flags);
    const agents = await Promise.all(
      [0, 1, 2, 3, 4].map((index) =>
        processes.start("agent", [
          ...agentFlags(processes, [dnsPort], [dnsPort], `cache${index}`),
          "--agent-threads=0",
        ])
      ),
    );
    const callers = await Promise.all(agents.map((agent) => WireCaller.open(agent.port())));
    await Promise.all(callers.map((caller) => caller.untilHost(1, 1)));
    for (let round = 1; round <= 3; round++) {
      await dns.kill9();
      await addNodes(store, 1, 1, [nodeOf(1 + round)]);
      await store.editRoutes([{ op: "remove", modId: 1, cmdId: 1, ...nodeOf(round) }]);
      for (const caller of callers) {
        assert.equal(hostKey(await caller.untilHost(1, 1)), hostKey(nodeOf(round)));
        // The original's agent died of asking for an empty module after a reconnect.
        assert.equal((await caller.getHost(9, 9)).retCode, 3);
      }
      dns = await processes.start("dns", flags);
      await measure(`round ${round}: five agents have the new route`, async () => {
        const routes = await Promise.all(callers.map((caller) => caller.getRoute(1, 1)));
        return routes.every((route) =>
          hostKeys(route.hosts).join() === hostKeys([nodeOf(1 + round)]).join()
        );
      });
    }
    for (const caller of callers) caller.close();
  });
});
