// Shell. Exports: names beside dnsmasq with the same records, xDS beside the plainest server of it.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fleetCacheFormat } from "../export/fleet_cache.ts";
import { formatIpv4 } from "../reactor/address.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import {
  type Bench,
  type BenchRuntime,
  cpuMicros,
  type LoadResult,
  openFilesFault,
  type Suite,
} from "./harness.ts";
import { findProgram } from "./machine.ts";
import { compileNative } from "./native_tools.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import { runProgram, ServerProcess } from "./server_process.ts";

const CPU_ROW = "export names: A of 4 nodes, 64 in flight: CPU an answer";
const SPEED_ROW = "export names: answers a second of processor time";
const LATE_ROW = "export names: 20,000 questions a second: latency p99";
const XDS_MS_ROW = "export xds: a change of one module reaches the last of 1,000 streams";
const XDS_CPU_ROW = "export xds: CPU of a change for 1,000 streams of 50 names";
const XDS_MEMORY_ROW = "export xds: memory of a stream of 50 names";
const NAME_ROWS = [CPU_ROW, SPEED_ROW, LATE_ROW];
const XDS_ROWS = [XDS_MS_ROW, XDS_CPU_ROW, XDS_MEMORY_ROW];

const MODULES = 1_000;
const NODES = 4;
const STREAMS = 1_000;
/** Longest run of the clients of xDS. */
const CLIENTS_TIMEOUT_MS = 180_000;
/** Questions until every answer has been made once, and what the runtime compiles is compiled. */
const WARMUP_MS = 800;

interface NameServerProcess {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

/** Tries to find a port. */
const PORT_TRIES = 20;

/** A port that nobody has now, for neither UDP nor TCP. */
async function findFreePort(): Promise<number> {
  for (let attempt = 1;; attempt++) {
    const socket = await runtime.bindUdp({
      ...{ hostname: "127.0.0.1", port: 0 },
      ...{ onDatagram: () => undefined, onError: () => undefined },
    });
    const { port } = socket.address;
    socket.close();
    try {
      runtime.listenTcp({
        ...{ hostname: "127.0.0.1", port, reusePort: false },
        onConnection: (stream) => stream.close(),
        onAcceptError: () => Promise.resolve(),
      }).close();
      return port;
    } catch (error) {
      if (attempt === PORT_TRIES) throw error;
    }
  }
}

function ipOf(module: number, node: number): number {
  return 0x0a000000 + module * 256 + node + 1;
}

/** What an export finds on its disk: it needs no dns then. */
function fillCache(directory: string): void {
  const modules = Array.from({ length: MODULES }, (_, index) => ({
    ...{ modId: index + 1, cmdId: 1, name: `m${index + 1}` },
    hosts: Array.from({ length: NODES }, (_, node) => ({ ip: ipOf(index + 1, node), port: 8000 })),
  }));
  mkdirSync(directory, { recursive: true });
  const { bytes } = fleetCacheFormat.encode(modules, systemClock.wallMs());
  writeFileSync(join(directory, fleetCacheFormat.fileName), bytes);
}

async function startNames(bench: Bench, on: BenchRuntime): Promise<NameServerProcess> {
  const port = await findFreePort();
  const cache = join(bench.directory, `names-${port}`);
  fillCache(cache);
  const flags = ["--json", "--log-level", "error", "--metrics-port", "0", "--dnsserver-port", "1"];
  const own = ["--export-cache-dir", cache, "--nameserver-port", String(port)];
  const argv = on.command("export/main.ts", ...flags, ...own);
  const { pid } = await bench.start(`export on ${on.name}`, argv);
  return { name: on.name, port, pid };
}

/** dnsmasq with the same records as a file of hosts. */
async function startDnsmasq(bench: Bench): Promise<NameServerProcess | undefined> {
  const program = findProgram("dnsmasq");
  if (program === undefined) return undefined;
  const port = await findFreePort();
  const hosts = join(bench.directory, "hosts");
  const lines = Array.from({ length: MODULES * NODES }, (_, index) => {
    const module = Math.floor(index / NODES) + 1;
    return `${formatIpv4(ipOf(module, index % NODES))} m${module}.lars\n`;
  });
  writeFileSync(hosts, lines.join(""));
  const flags = ["--keep-in-foreground", "--no-resolv", "--no-hosts", `--addn-hosts=${hosts}`];
  const own = [`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces"];
  const more = ["--local-ttl=1", "--pid-file=", "--user=", "--log-facility=/dev/null"];
  const ready = `{"event":"ready","addresses":["127.0.0.1:${port}"]}`;
  const { pid } = await bench.start("dnsmasq", [
    ...["sh", "-c", `echo '${ready}'; exec "$@"`, "sh"],
    ...[program, ...flags, ...own, ...more],
  ]);
  return { name: "dnsmasq", port, pid };
}

async function nameRows(bench: Bench): Promise<Row[]> {
  const load = compileNative("dns_load", bench.directory);
  if ("reason" in load) return NAME_ROWS.map((name) => missingRow(name, "", load.reason));
  const servers: NameServerProcess[] = [];
  for (const on of bench.subjects) servers.push(await startNames(bench, on));
  const dnsmasq = await startDnsmasq(bench);
  const run = async (
    mode: string,
    { port, pid }: NameServerProcess,
    ...more: string[]
  ): Promise<LoadResult> => {
    const ms = bench.smoke ? 60 : 600;
    const own = [`port=${port}`, `pid=${pid}`, `names=${MODULES}`, `nodes=${NODES}`, `ms=${ms}`];
    const warmup = `warmup=${bench.smoke ? 50 : WARMUP_MS}`;
    return JSON.parse(await bench.runLoad([load.path, mode, ...own, warmup, ...more]));
  };
  const all = dnsmasq === undefined ? servers : [...servers, dnsmasq];
  const closed = await bench.interleave(
    all.map((server) => ({ name: server.name, measure: () => run("closed", server, "window=64") })),
  );
  const open = await bench.interleave(
    all.map((server) => ({ name: server.name, measure: () => run("open", server, "rate=20000") })),
  );
  await bench.stopServers();
  const of = (
    from: ReadonlyMap<string, LoadResult[]>,
    name: string | undefined,
    value: (result: LoadResult) => number,
  ): number[] | undefined => name === undefined ? undefined : from.get(name)?.map(value);
  const perSecond = (one: LoadResult): number => one.ok / one.cpuSeconds / 1000;
  return servers.flatMap(({ name }) => [
    rowOf({
      ...{ name: CPU_ROW, subject: name, unit: "us", target: { atMost: 2 } },
      ...{ values: of(closed, name, cpuMicros) ?? [], reference: dnsmasq?.name },
      referenceValues: of(closed, dnsmasq?.name, cpuMicros),
    }),
    rowOf({
      ...{ name: SPEED_ROW, subject: name, unit: "k/s", target: { atLeast: 40 } },
      values: of(closed, name, perSecond) ?? [],
    }),
    rowOf({
      ...{ name: LATE_ROW, subject: name, unit: "ms", target: { atMost: 5 } },
      values: of(open, name, ({ p99us }) => p99us / 1000) ?? [],
      note: `dnsmasq beside it: ${
        (of(open, dnsmasq?.name, ({ p99us }) => p99us / 1000) ?? []).map((ms) => ms.toFixed(1))
          .join(", ")
      } ms`,
    }),
  ]);
}

interface XdsResult {
  readonly ms: number[];
  readonly cpuMs: number[];
  readonly bytesPerStream: number;
}

async function runXds(bench: Bench, on: BenchRuntime, mode: string): Promise<XdsResult> {
  const server = await ServerProcess.start(
    `xDS on ${on.name}, ${mode}`,
    bench.onServerProcessor(on.command("bench/xds_main.ts", `mode=${mode}`)),
  );
  try {
    const [{ port }, { port: control }] = server.addresses;
    const words = [`port=${port}`, `control=${control}`, `pid=${server.pid}`];
    const size = [`streams=${bench.smoke ? 20 : STREAMS}`, `rounds=${bench.rounds}`];
    const program = bench.runtimes[bench.runtimes.length - 1];
    const argv = program.command("bench/xds_clients.ts", ...words, ...size);
    return JSON.parse(await runProgram(bench.onLoadProcessor(argv), CLIENTS_TIMEOUT_MS));
  } finally {
    await server.stop();
  }
}

async function xdsRows(bench: Bench, on: BenchRuntime): Promise<Row[]> {
  const why = openFilesFault(STREAMS);
  if (why !== undefined) return XDS_ROWS.map((name) => missingRow(name, on.name, why));
  const own = await runXds(bench, on, "lars");
  const plain = await runXds(bench, on, "plain");
  return [
    rowOf({
      ...{ name: XDS_MS_ROW, subject: on.name, unit: "ms", target: { atMost: 500 } },
      values: own.ms,
    }),
    rowOf({
      ...{ name: XDS_CPU_ROW, subject: on.name, unit: "ms", target: { atMost: 0.2 } },
      ...{ values: own.cpuMs, reference: "whole snapshots", referenceValues: plain.cpuMs },
    }),
    rowOf({
      ...{ name: XDS_MEMORY_ROW, subject: on.name, unit: "KB", target: { atMost: 250 } },
      values: [own.bytesPerStream / 1000],
    }),
  ];
}

/** Rows of exports. */
export const exportSuite: Suite = {
  name: "export",
  rows: [...NAME_ROWS, ...XDS_ROWS],
  async run(bench): Promise<Row[]> {
    const rows: Row[] = [];
    if (NAME_ROWS.some((row) => bench.wants("export", row))) rows.push(...await nameRows(bench));
    if (XDS_ROWS.some((row) => bench.wants("export", row))) {
      for (const on of bench.subjects) rows.push(...await xdsRows(bench, on));
    }
    return rows;
  },
};
