// Results of callers over a database that hangs and a reporter that is killed: none lost, none twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore, type Store } from "../sql/mod.ts";
import { addNodes, agentFlags, nodeOf } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { SteadyLoad } from "./support/load.ts";
import { type MariaDb, noPrivateServerReason, runAdmin, startMariaDb } from "./support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const NEEDS_MARIADB = { skip: noPrivateServerReason() ?? false, timeout: 300_000 } as const;

/** A machine with little to spare takes its time. */
const PATIENT = { timeoutMs: 90_000, intervalMs: 200 } as const;

/** Successes in ServerCallStatus, and `withHistory` in the history by node and by module. */
async function counts(store: Store, withHistory: boolean): Promise<number[]> {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const query = { fromSeconds: nowSeconds - 3600, toSeconds: nowSeconds + 60, stepSeconds: 10 };
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const history = async (groupBy: "node" | "module"): Promise<number> =>
    sum((await store.readCallHistory({ ...query, groupBy })).points.map((one) => one.succCount));
  const status = sum((await store.readCallStatus()).map((row) => row.succTotal ?? 0));
  return withHistory ? [status, await history("node"), await history("module")] : [status];
}

async function untilExact(counted: () => Promise<number[]>, calls: number): Promise<void> {
  let last: number[] = [];
  await until(async () => {
    last = await counted();
    return last.every((count) => count === calls);
  }, { ...PATIENT, what: () => `${calls} calls everywhere; there are ${last.join(", ")}` });
}

interface Bench {
  readonly store: Store;
  readonly caller: WireCaller;
  reporter(): Promise<TestProcess>;
}

async function withBench(
  processes: Processes,
  url: string,
  more: readonly string[],
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  const store = await openStore(url);
  await store.migrate();
  await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2), nodeOf(3)]);
  const port = await freePort();
  const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
  const agent = await processes.start("agent", agentFlags(processes, [dns.port()], [port]));
  const caller = await WireCaller.open(agent.port());
  await until(async () => (await caller.getRoute(1, 1)).hosts.length === 3, { what: "the route" });
  const flags = [`--reactor-port=${port}`, `--store=${url}`, ...more];
  await body({ store, caller, reporter: () => processes.start("reporter", flags) });
  caller.close();
  await store.close();
}

/** How the reporter runs, and after what pauses it is killed besides, in milliseconds. */
const CASES = [
  { name: "one loop", flags: [], pauses: [9_500, 1_300, 10_700, 200], history: true },
  { name: "two loops", flags: ["--reactor-thread-num=2"], pauses: [1_300], history: true },
  { name: "no history", flags: ["--reporter-history=0"], pauses: [700], history: false },
];

async function killWhileItHangs(
  { flags, pauses, history }: typeof CASES[number],
  server: MariaDb,
  processes: Processes,
): Promise<void> {
  const url = `${server.url}/lars_dns`;
  await withBench(processes, url, flags, async ({ store, caller, reporter }) => {
    const counted = (): Promise<number[]> => counts(store, history);
    let running = await reporter();
    const first = new SteadyLoad(caller, 1, 1);
    await until(async () => (await counted())[0] > 50, { ...PATIENT, what: "results" });
    await server.suspend();
    // Nothing that comes later repeats what was sent while nobody could store it.
    const before = first.reported;
    await until(() => first.reported > before + 200, { ...PATIENT, what: "more calls" });
    await first.stop();
    // Longer than anything that is not kept would be sent again.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await running.kill9();
    server.resume();
    running = await reporter();
    await untilExact(counted, first.reported);

    // At any moment: also while a bucket is written, or its end is told.
    const load = new SteadyLoad(caller, 1, 1);
    for (const pauseMs of pauses) {
      const startMs = Date.now();
      await until(() => Date.now() - startMs >= pauseMs);
      await running.kill9();
      running = await reporter();
    }
    await load.stop();
    await untilExact(counted, first.reported + load.reported);
    assert.deepEqual([...first.faults, ...load.faults], [], "nor did a caller notice");
  });
}

for (const one of CASES) {
  const name = `a reporter killed while the database hangs takes no call with it: ${one.name}`;
  test(name, NEEDS_MARIADB, async () => {
    const server = await startMariaDb();
    try {
      await runAdmin(server.url, "CREATE DATABASE lars_dns");
      await withProcesses((processes) => killWhileItHangs(one, server, processes));
    } finally {
      await server.stop();
    }
  });
}
