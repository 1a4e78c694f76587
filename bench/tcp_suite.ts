// Shell. The TCP reactor: cost of a framed echo next to `node:net`, memory of idle connections.

import type { Address } from "../reactor/address.ts";
import { batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import {
  type Bench,
  type BenchRuntime,
  cpuMicros,
  type LoadResult,
  openFilesFault,
  type Suite,
} from "./harness.ts";
import { pidOfPort, residentBytes } from "./machine.ts";
import { compileNative } from "./native_tools.ts";
import { missingRow, type Row, rowOf, type Target } from "./rows.ts";
import { ServerProcess } from "./server_process.ts";

const IDLE_CONNECTIONS = 10_000;
const IDLE_ROW = `TCP, ${IDLE_CONNECTIONS.toLocaleString("en")} idle connections: memory of each`;
/** Time for accepting and garbage collection to settle. */
const SETTLE_MS = 1500;

/** One load and its row. */
interface EchoLoad {
  readonly row: string;
  readonly connections: number;
  /** Frames in flight on each connection. */
  readonly window: number;
  readonly target?: Target;
}

function echoLoad(connections: number, window: number): EchoLoad {
  const count = `${connections.toLocaleString("en")} connection${connections === 1 ? "" : "s"}`;
  const flight = window === 1 ? "" : `, ${window} frames in flight each`;
  return {
    row: `TCP echo, ${count}${flight}: CPU per message`,
    connections,
    window,
    target: connections >= 10 ? { atMost: 0.8 } : undefined,
  };
}

const LOADS: readonly EchoLoad[] = [
  echoLoad(1, 1),
  echoLoad(10, 1),
  echoLoad(100, 1),
  echoLoad(1000, 1),
  echoLoad(10, 8),
  echoLoad(100, 8),
];

/** Which echo: ours on either path, or the one on `node:net`. */
type EchoKind = "portable" | "fast" | "node";

const PATHS = ["portable", "fast"] as const;

/** Targets of the memory of one idle connection, in KiB. */
const IDLE_KIB_MAX = { portable: 16, fast: 1 } as const;

interface EchoServer {
  readonly name: string;
  readonly address: Address;
  readonly pid: number | undefined;
}

/** The command of the load generator. */
function loadCommand(bench: Bench): string[] {
  const native = compileNative("tcp_load", bench.directory);
  return "path" in native ? [native.path] : bench.runtimes[0].command("bench/tcp_load.ts");
}

function words(server: EchoServer, options: Record<string, number>): string[] {
  const { address: { hostname, port }, pid = 0 } = server;
  const all = { host: hostname, port, pid, ...options };
  return Object.entries(all).map(([name, value]) => `${name}=${value}`);
}

async function startEcho(
  bench: Bench,
  on: BenchRuntime,
  kind: EchoKind,
): Promise<EchoServer> {
  const name = kind === "node" ? `node:net in ${on.name}` : `${on.name} ${kind}`;
  const server = await bench.start(`TCP echo, ${name}`, on.command("bench/tcp_echo.ts", kind));
  return { name, address: server.addresses[0], pid: server.pid };
}

/** Microseconds of processor time for one message. */
async function measure(
  bench: Bench,
  command: readonly string[],
  server: EchoServer,
  load: EchoLoad,
): Promise<number> {
  const { connections, window } = load;
  // A smoke run is so short that on a busy machine nobody may have had a turn: then it is repeated.
  for (let ms = bench.roundMs / 2;; ms *= 4) {
    const times = { ms, warmup: bench.smoke ? 5 : 60 };
    const argv = [...command, ...words(server, { connections, window, ...times })];
    const result = JSON.parse(await bench.runLoad(argv)) as Pick<LoadResult, "ok" | "cpuSeconds">;
    if (result.ok > 0) return cpuMicros(result);
    if (!bench.smoke || ms > 500) throw new Error(`${server.name} gives no answer: ${load.row}`);
  }
}

async function echoRows(bench: Bench, on: BenchRuntime): Promise<Row[]> {
  const command = loadCommand(bench);
  const node = await startEcho(bench, on, "node");
  const servers: EchoServer[] = [];
  for (const path of PATHS) {
    if (path === "portable" || batchTcpFault(systemClock) === undefined) {
      servers.push(await startEcho(bench, on, path));
    }
  }
  const peer = bench.peers.echo;
  if (peer !== undefined && on === bench.runtimes[0]) {
    servers.push({ name: "peer", address: peer, pid: pidOfPort(peer, "tcp") });
  }
  const rows: Row[] = [];
  for (const load of LOADS) {
    if (!bench.wants("tcp", load.row)) continue;
    if (bench.smoke && load.connections > 10) continue;
    const samples = await bench.interleave(
      [node, ...servers].map((server) => ({
        name: server.name,
        measure: () => measure(bench, command, server, load),
      })),
    );
    for (const { name } of servers) {
      rows.push(rowOf({
        name: load.row,
        subject: name,
        unit: "us",
        values: samples.get(name) ?? [],
        reference: node.name,
        referenceValues: samples.get(node.name) ?? [],
        target: name.endsWith(" fast") ? load.target : undefined,
      }));
    }
  }
  return rows;
}

async function idleRow(
  bench: Bench,
  on: BenchRuntime,
  path: keyof typeof IDLE_KIB_MAX,
): Promise<Row> {
  const subject = `${on.name} ${path}`;
  const fault = path === "fast" ? batchTcpFault(systemClock) : undefined;
  if (fault !== undefined) return missingRow(IDLE_ROW, subject, fault);
  const connections = bench.smoke ? 100 : IDLE_CONNECTIONS;
  const why = openFilesFault(connections);
  if (why !== undefined) return missingRow(IDLE_ROW, subject, why);
  const server = await startEcho(bench, on, path);
  const argv = [...loadCommand(bench), ...words(server, { connections: 10, window: 1, ms: 200 })];
  await bench.runLoad(argv); // So that code and heap are there before the first look.
  const before = residentBytes(server.pid ?? 0) ?? NaN;
  const holder = await ServerProcess.start(
    "idle connections",
    bench.onLoadProcessor([...loadCommand(bench), ...words(server, { connections, window: 0 })]),
  );
  await bench.pause(bench.smoke ? 20 : SETTLE_MS);
  const after = residentBytes(server.pid ?? 0) ?? NaN;
  await holder.stop();
  return rowOf({
    name: IDLE_ROW,
    subject,
    unit: "KiB",
    values: [(after - before) / connections / 1024],
    target: { atMost: IDLE_KIB_MAX[path] },
  });
}

/** Rows of the TCP reactor. */
export const tcpSuite: Suite = {
  name: "tcp",
  rows: [...LOADS.map(({ row }) => row), IDLE_ROW],
  async run(bench): Promise<Row[]> {
    const rows: Row[] = [];
    for (const on of bench.runtimes) {
      rows.push(...await echoRows(bench, on));
      await bench.stopServers();
      if (!bench.wants("tcp", IDLE_ROW)) continue;
      for (const path of PATHS) {
        rows.push(await idleRow(bench, on, path));
        await bench.stopServers();
      }
    }
    return rows;
  },
};
