// Shell. Discoveries under faults, with real processes: nodes that live, a subscriber that sees every route,
// and faults that must expire nobody.

import assert from "node:assert/strict";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { openStore } from "../../sql/mod.ts";
import { freePort } from "./free_port.ts";
import type { MariaDb } from "./mariadb.ts";
import type { Processes, ProcessOptions, TestProcess } from "./processes.ts";
import { starve } from "./starve.ts";
import { until } from "./until.ts";
import { monotonicMs, WireConnection, type WireRoute } from "./wire_client.ts";

/** A subscriber of module 7/1 that keeps every route it was pushed. */
export class RouteWatcher {
  readonly routes: { readonly ports: number[]; readonly atMs: number }[] = [];
  #ended = false;

  constructor(connection: WireConnection) {
    connection.askRoute(7, 1);
    void this.#follow(connection);
  }

  get ports(): number[] {
    return this.routes.at(-1)?.ports ?? [];
  }

  /** Fewest nodes of any route since a time. */
  leastSince(sinceMs: number): number {
    const later = this.routes.filter(({ atMs }) => atMs >= sinceMs);
    return Math.min(this.ports.length, ...later.map(({ ports }) => ports.length));
  }

  async untilCount(count: number): Promise<void> {
    await until(() => this.ports.length === count, {
      what: () => `${count} nodes, not ${this.ports.length}`,
      timeoutMs: 30_000,
    });
  }

  stop(): void {
    this.#ended = true;
  }

  async #follow(connection: WireConnection): Promise<void> {
    while (!this.#ended && !connection.ended) {
      const route: (WireRoute & { atMs: number }) | undefined = await connection
        .nextRoute(7, 1, undefined, 1_000).catch(() => undefined);
      if (route === undefined) continue;
      const ports = route.hosts.map(({ port }) => port);
      this.routes.push({ ports, atMs: route.atMs });
    }
  }
}

/** Starts a program that is these nodes. */
export async function startNodes(
  processes: Processes,
  discoveries: readonly number[],
  ttlMs: number,
  ports: readonly number[],
  options: ProcessOptions = {},
): Promise<TestProcess> {
  const program = processes.spawn("node", "tests/support/lease_node_program.ts", [
    ...[
      discoveries.map((port) => `127.0.0.1:${port}`).join(","),
      "7",
      String(ttlMs),
      ...ports.map(String),
    ],
  ], options);
  await until(() => program.stdout.includes("registered"), {
    what: () => `the nodes: ${program.stderr}`,
    timeoutMs: 30_000,
  });
  return program;
}

/** What is done to discoveries or their database in one round. */
export type RoundFault = "kill" | "stop" | "starve" | "database";

/** All of them, in turn. */
export const ROUND_FAULTS: readonly RoundFault[] = ["kill", "stop", "starve", "database"];

/** How long faults last, in milliseconds. */
export interface RoundTimes {
  readonly stopMs: number;
  readonly starveMs: number;
  readonly databaseMs: number;
}

/** As the contract has them. */
export const FULL_TIMES: RoundTimes = { stopMs: 20_000, starveMs: 20_000, databaseMs: 60_000 };

/** Time to live of the nodes: shorter than every fault. */
const TTL_MS = 2_000;
/** After a fault: longer than a lease that was wrongly left to itself would live. */
const AFTER_MS = 8_000;
const NODES = 12;
const PROGRAMS = 3;
/** Longest wait for a herd on a loaded machine. */
const HERD_TIMEOUT_MS = 120_000;

/** Two discoveries and a dns, on one database or each on a node of a cluster, and living nodes. */
export class DiscoveryRounds {
  readonly #processes: Processes;
  readonly #urls: readonly string[];
  readonly #servers: readonly MariaDb[];
  readonly #discoveries: { readonly port: number; readonly url: string; process: TestProcess }[] =
    [];
  #watcher: RouteWatcher | undefined;
  #connection: WireConnection | undefined;
  #turn = 0;

  /** @param urls Of the database, one for each discovery in turn. */
  constructor(processes: Processes, urls: readonly string[], servers: readonly MariaDb[]) {
    this.#processes = processes;
    this.#urls = urls;
    this.#servers = servers;
  }

  /** Starts everything; resolves when a subscriber of dns has all nodes. */
  async start(): Promise<void> {
    const dns = await this.#processes.start("dns", [
      ...["--reactor-port=0", `--store=${this.#urls[0]}`, "--metrics-port=0"],
    ]);
    for (let index = 0; index < 2; index++) {
      const port = await freePort();
      const url = this.#urls[index % this.#urls.length];
      this.#discoveries.push({ port, url, process: await this.#startOne(port, url) });
    }
    this.#connection = await WireConnection.open(dns.port());
    this.#watcher = new RouteWatcher(this.#connection);
    const ports = this.#discoveries.map(({ port }) => port);
    for (let index = 0; index < PROGRAMS; index++) {
      const nodes = Array.from({ length: NODES / PROGRAMS }, (_, at) => 3000 + 100 * index + at);
      await startNodes(
        this.#processes,
        index % 2 === 0 ? ports : ports.toReversed(),
        TTL_MS,
        nodes,
      );
    }
    await this.#watcher.untilCount(NODES);
  }

  /** One fault. @returns how many nodes a route lacked at the worst: expired, and alive. */
  async round(fault: RoundFault, times: RoundTimes): Promise<number> {
    const watcher = this.#watcher;
    if (watcher === undefined) throw new Error("Rounds have to be started");
    const sinceMs = monotonicMs();
    const chosen = this.#discoveries[this.#turn++ % this.#discoveries.length];
    if (fault === "kill") {
      await chosen.process.kill9();
      await sleep(systemClock, 1_000);
      chosen.process = await this.#startOne(chosen.port, chosen.url);
    } else if (fault === "stop") {
      chosen.process.signal("SIGSTOP");
      await sleep(systemClock, times.stopMs);
      chosen.process.signal("SIGCONT");
    } else if (fault === "starve") {
      await starve(this.#discoveries.map(({ process }) => process), times.starveMs);
    } else {
      await Promise.all(this.#servers.map((server) => server.suspend()));
      await sleep(systemClock, times.databaseMs);
      for (const server of this.#servers) server.resume();
    }
    await sleep(systemClock, AFTER_MS);
    await watcher.untilCount(NODES);
    return NODES - watcher.leastSince(sinceMs);
  }

  stop(): void {
    this.#watcher?.stop();
    this.#connection?.close();
  }

  #startOne(port: number, url: string): Promise<TestProcess> {
    return this.#processes.start("discovery", [
      ...[`--reactor-port=${port}`, `--store=${url}`, "--metrics-port=0"],
    ]);
  }
}

/**
 * Registers very many nodes, kills discovery, and starts it again.
 *
 * @param url Of an empty database.
 * @returns the time until all of them were registered again, in milliseconds.
 */
export async function herdReturns(
  processes: Processes,
  url: string,
  count: number,
): Promise<number> {
  const store = await openStore(url);
  await store.migrate();
  const port = await freePort();
  const words = [`--reactor-port=${port}`, `--store=${url}`, "--metrics-port=0"];
  const discovery = await processes.start("discovery", words);
  const herd = processes.spawn("herd", "tests/support/lease_herd_program.ts", [
    ...[`127.0.0.1:${port}`, String(count)],
  ]);
  const all = (rounds: number): Promise<void> =>
    until(() => herd.stdout.includes(`all ${rounds}`), {
      what: () => `all to be registered: ${herd.stderr.slice(-500)}`,
      timeoutMs: HERD_TIMEOUT_MS,
    });
  await all(1);
  await discovery.kill9();
  await processes.start("discovery", words);
  const startMs = monotonicMs();
  await all(2);
  const tookMs = monotonicMs() - startMs;
  const { counts } = await store.leases.find({}, 0, 1);
  assert.deepEqual([...counts], [["live", count]]);
  await herd.kill9();
  await store.close();
  return tookMs;
}
