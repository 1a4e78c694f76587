// Shell. Agents to be measured: ours on each runtime and path, and the peer; all know the modules.

import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { agentSettings } from "../agent/config.ts";
import { RECOMMENDED_TEXT } from "../balancer/mod.ts";
import { CACHE_FILE_NAME } from "../agent/routes/route_cache.ts";
import { type PackedRoute, packRoute } from "../agent/routes/packed_route.ts";
import { encodeRouteCache } from "../agent/routes/route_cache.ts";
import { tablePath } from "../agent/table/table_place.ts";
import { type Address, parseIpv4 } from "../reactor/address.ts";
import { BindError } from "../reactor/errors.ts";
import { nextInt } from "../reactor/time/rng.ts";
import { runtime, type UdpSocket } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { Bench, BenchRuntime, EchoMode } from "./harness.ts";
import { pidOfPort } from "./machine.ts";

/** Modules (1, 1) to (1000, 1), asked for in turn. */
export const MODULES = 1000;
const NODES = 20;
/** Longest time in which an agent may learn all modules: some, and a little for each. */
const PRIME_MS = 10_000;
const PRIME_MODULE_MS = 1;
/** Below the ports that systems give to connections, 32,768 up: those come and go. */
const PORTS = { first: 20_000, count: 12_000 } as const;

/** A server that answers get_host. */
export interface AgentTarget {
  /** As in the column "by": "Deno fast". */
  readonly name: string;
  readonly server: Address;
  readonly pid: number | undefined;
  readonly ports: 1 | 3;
  /** It sends questions back as they are. */
  readonly echo: boolean;
}

/** True when the agent has a fast path that can be turned off. */
export const hasFastPath = Object.values(agentSettings)
  .some(({ section, key }) => section === "agent" && String(key) === "fast_path");

/** Paths an agent can take; the portable one first. */
export const PATHS: readonly ("portable" | "fast")[] = hasFastPath
  ? ["portable", "fast"]
  : ["portable"];

function* routes(modules: number, nodes: number, policy: string): Generator<PackedRoute> {
  const first = parseIpv4("192.168.0.1");
  const hosts = Array.from({ length: nodes }, (_, i) => ({ ip: first + i, port: 7777 }));
  for (let modId = 1; modId <= modules; modId++) {
    yield { ...packRoute(modId, 1, hosts).route, policy };
  }
}

/**
 * A folder with the routes of `modules` modules: an agent that reads it needs no dns. They have the
 * policy that our own tools give, or the one of `policy`.
 */
export function routeCache(
  bench: Bench,
  modules: number,
  nodes = NODES,
  policy = RECOMMENDED_TEXT,
): string {
  const name = policy === "" ? "lars" : "recommended";
  const directory = join(bench.directory, `routes-${modules}-${nodes}-${name}`);
  mkdirSync(directory, { recursive: true });
  const { bytes } = encodeRouteCache(routes(modules, nodes, policy), systemClock.wallMs());
  writeFileSync(join(directory, CACHE_FILE_NAME), bytes);
  return directory;
}

/** A TCP server that reads and forgets: where reports go. Ends with this process. */
export function startSink(): Promise<Address> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.resume();
    });
    server.unref();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      resolve({ hostname: "127.0.0.1", port });
    });
  });
}

/** Three free ports in a row; another program may take them, so use them at once. */
export async function freePorts(): Promise<Address> {
  for (;;) {
    const first = PORTS.first + nextInt(systemRng, PORTS.count);
    const sockets: UdpSocket[] = [];
    try {
      for (let i = 0; i < 3; i++) {
        const quiet = { onDatagram: () => undefined, onError: () => undefined };
        sockets.push(await runtime.bindUdp({ hostname: "127.0.0.1", port: first + i, ...quiet }));
      }
      return { hostname: "127.0.0.1", port: first };
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
    } finally {
      for (const socket of sockets) socket.close();
    }
  }
}

/** Flags that make an agent take a path. */
export function pathFlags(path: "portable" | "fast"): string[] {
  return hasFastPath ? ["--agent-fast-path", path === "fast" ? "auto" : "off"] : [];
}

/** Flags of an agent that knows its routes from `cache` and sends reports to `sink`. */
export function agentFlags(
  cache: string,
  sink: Address,
  path: "portable" | "fast",
  port = 0,
): string[] {
  return [
    "--json",
    ...["--agent-port", String(port), "--agent-cache-dir", cache, "--log-level", "error"],
    ...["--agent-modules-max", "300000"],
    // No dns: nothing listens on port 1, and known routes are served without it.
    ...["--dnsserver-ip", "127.0.0.1:1", "--reporter-ip", `127.0.0.1:${sink.port}`],
    ...pathFlags(path),
  ];
}

/** Starts one of our agents. */
export async function startAgent(
  bench: Bench,
  on: BenchRuntime,
  path: "portable" | "fast",
  cache: string,
  sink: Address,
  policy = "",
): Promise<AgentTarget> {
  const name = `${on.name} ${path}${policy}`;
  const process = await bench.start(
    `agent on ${name}`,
    on.command("agent/main.ts", ...agentFlags(cache, sink, path)),
  );
  const [server] = process.addresses;
  bench.leaves(tableOf(server));
  return { name, server, pid: process.pid, ports: 3, echo: false };
}

/** Path of the table of an agent, where it keeps one. */
export function tableOf({ port }: Address): string {
  return tablePath({ sharedTable: agentSettings.sharedTable.defaultValue }, port);
}

/** Starts the echo that agents are compared with. */
export async function startEchoTarget(
  bench: Bench,
  mode: EchoMode,
): Promise<AgentTarget> {
  const process = await bench.startEcho(mode, 3);
  return {
    name: bench.echoName(mode),
    server: process.addresses[0],
    pid: process.pid,
    ports: 3,
    echo: mode === "single" || mode === "batch",
  };
}

/** The peer of `--peer-agent`, if there is one. */
export function peerAgent(bench: Bench): AgentTarget[] {
  const server = bench.peers.agent;
  if (server === undefined) return [];
  return [{ name: "peer", server, pid: pidOfPort(server, "udp"), ports: 3, echo: false }];
}

/**
 * Waits until a server gives a node for every module.
 *
 * @returns why it does not, or undefined when it does.
 */
export async function prime(
  bench: Bench,
  target: AgentTarget,
  modules = MODULES,
  ms = PRIME_MS + modules * PRIME_MODULE_MS,
): Promise<string | undefined> {
  const { server, ports, echo } = target;
  const { lost } = await bench.load("prime", { server, ports, echo, modules, ms });
  return lost === 0 ? undefined : `no node for ${lost} of the modules (1, 1) to (${modules}, 1)`;
}
