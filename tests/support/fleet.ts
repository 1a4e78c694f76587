// Shell. A database with routes and the three services on it, as processes, for tests across rooms.

import { join } from "node:path";
import { openStore, type RouteEdit, type Store } from "../../sql/mod.ts";
import {
  type Processes,
  type ProcessOptions,
  type TestProcess,
  withProcesses,
} from "./processes.ts";
import { ipNumber, type WireHost } from "./wire_client.ts";

/** Edits in one transaction when a test fills the database. */
const EDITS_PER_CALL = 5000;

/** A store with the tables in it, and its url for the services. */
export interface TestStore {
  readonly url: string;
  readonly store: Store;
}

/** Creates an embedded database, with all migrations, in the directory of the test. */
export async function sqliteTestStore(processes: Processes): Promise<TestStore> {
  const url = `sqlite:${join(processes.directory, "lars.db")}`;
  const store = await openStore(url);
  await store.migrate();
  return { url, store };
}

/** Node number `index` of a test: 10.0.0.0 plus the index, always the same port. */
export function nodeOf(index: number, port = 7000): WireHost {
  return { ip: ipNumber("10.0.0.0") + index, port };
}

/** `ip:port` as numbers, to compare nodes. */
export function hostKey(host: WireHost): string {
  return `${host.ip}:${host.port}`;
}

/** Keys of a list of nodes in a fixed order. */
export function hostKeys(hosts: readonly WireHost[]): string[] {
  return hosts.map(hostKey).sort();
}

/** Adds nodes to a module. */
export async function addNodes(
  store: Store,
  modId: number,
  cmdId: number,
  nodes: readonly WireHost[],
): Promise<void> {
  for (let at = 0; at < nodes.length; at += EDITS_PER_CALL) {
    await store.editRoutes(
      nodes.slice(at, at + EDITS_PER_CALL).map((node): RouteEdit => ({
        op: "add",
        modId,
        cmdId,
        ...node,
      })),
    );
  }
}

/** Runs `body` with an embedded database in which module 1/1 has the node {@linkcode nodeOf} 1. */
export async function withStoredNode(
  body: (given: TestStore & { readonly processes: Processes }) => Promise<void>,
): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await addNodes(store, 1, 1, [nodeOf(1)]);
    await body({ processes, url, store });
    await store.close();
  });
}

/** Flags of each service beside those that connect them. */
export interface FleetOptions {
  readonly dns?: readonly string[];
  readonly reporter?: readonly string[];
  readonly agent?: readonly string[];
  readonly processOptions?: ProcessOptions;
}

/** The three services of one machine. */
export interface Fleet {
  readonly dns: TestProcess;
  readonly reporter: TestProcess;
  readonly agent: TestProcess;
}

/** Flags that make an agent use these services and a folder of its own. */
export function agentFlags(
  processes: Processes,
  dnsPorts: readonly number[],
  reporterPorts: readonly number[],
  cacheName = "cache",
): string[] {
  const list = (ports: readonly number[]): string =>
    ports.map((port) => `127.0.0.1:${port}`).join(",");
  return [
    "--agent-port=0",
    `--dnsserver-ip=${list(dnsPorts)}`,
    `--reporter-ip=${list(reporterPorts)}`,
    `--agent-cache-dir=${join(processes.directory, cacheName)}`,
    // Tests name first which one they mean to be taken.
    "--agent-server-order=listed",
  ];
}

/** Starts dns, reporter and an agent on free ports. */
export async function startFleet(
  processes: Processes,
  url: string,
  options: FleetOptions = {},
): Promise<Fleet> {
  const shared = ["--reactor-port=0", `--store=${url}`];
  const [dns, reporter] = await Promise.all([
    processes.start("dns", [...shared, ...options.dns ?? []], options.processOptions),
    processes.start("reporter", [...shared, ...options.reporter ?? []], options.processOptions),
  ]);
  const agent = await processes.start("agent", [
    ...agentFlags(processes, [dns.port()], [reporter.port()]),
    ...options.agent ?? [],
  ], options.processOptions);
  return { dns, reporter, agent };
}
