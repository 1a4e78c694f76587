// Shell. All services at work, for the soak: two dns, reporters and discoveries, an agent, a console, a
// relay and a database, with what each of them does, and the faults that they are given.

import { readFile } from "node:fs/promises";
import { RelayClient, RelayWorker } from "../../api/mod.ts";
import { AGENT_PORT_COUNT } from "../../proto/message_ids.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { RouteWatcher, startNodes } from "../support/discovery_rounds.ts";
import { agentFlags, hostKeys } from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { type MariaDb, runAdmin } from "../support/mariadb.ts";
import { NO_NOISE, NoisyStreams } from "../support/noisy_paths.ts";
import type { Processes, TestProcess } from "../support/processes.ts";
import { starve } from "../support/starve.ts";
import { until } from "../support/until.ts";
import { WireCaller, WireConnection, type WireHost } from "../support/wire_client.ts";
import { COLLECTED } from "./collected.ts";

/** Modules that are called, and nodes that each begins with; one is added or taken by each edit. */
export const SOAK_MODULES = 30;
/** The first of them: module 7 is that of the nodes that register themselves. */
const FIRST_MODULE = 11;
const NODES = 5;
const NODES_MAX = 9;
const NODE_PORT = 7000;
/** The module of the relay's worker. */
const RELAYED = { modId: 8, cmdId: 1 };
/** Nodes that register themselves, in another module. */
const LEASED = [3001, 3002, 3003, 3004, 3005, 3006];
const LEASE_TTL_MS = 15_000;
/** Pause between two edits, and between two requests through the relay. */
const EDIT_MS = 2_000;
const RELAY_MS = 50;
/** A request through a relay that was stopped waits for it. */
const RELAY_TIMEOUT_MS = 20_000;
/** How long faults last that end by themselves. */
const STOP_MS = 5_000;
const CUT_MS = 8_000;
/** How long until all views are equal after the last fault. */
const SETTLE_MS = 60_000;

type Pair = "dns" | "reporter" | "discovery";

function soakNode(modId: number, index: number): WireHost {
  return { ip: 10 * 2 ** 24 + modId * 2 ** 16 + index, port: NODE_PORT };
}

/** Datagrams that the kernel dropped at ports of 127.0.0.1, as they were full; 0 where it does not tell. */
async function droppedAt(firstPort: number, count: number): Promise<number> {
  const table = await readFile("/proc/net/udp", "utf8").catch(() => "");
  let dropped = 0;
  for (const line of table.split("\n")) {
    const words = line.trim().split(/\s+/);
    const port = parseInt(words[1]?.split(":")[1] ?? "", 16);
    if (port >= firstPort && port < firstPort + count) dropped += Number(words.at(-1));
  }
  return dropped;
}

/** What went on beside the calls. */
export interface SoakCounts {
  edits: number;
  /** Refused, and said so, while the database was away. */
  editsRefused: number;
  relayed: number;
  /** Answers through the relay that were not those of their questions. */
  relayWrong: number;
  relayFailed: number;
}

/** A fault: what it does, until it is over; the system heals by itself afterwards. */
export interface SoakFault {
  readonly what: string;
  act(): Promise<void>;
}

/** The system. `a` of each pair is never ended, so that its memory can be followed. */
export class SoakSystem {
  readonly counts: SoakCounts = {
    edits: 0,
    editsRefused: 0,
    relayed: 0,
    relayWrong: 0,
    relayFailed: 0,
  };
  readonly #processes: Processes;
  readonly #server: MariaDb;
  readonly #rng: Rng;
  readonly #running = new Map<string, TestProcess>();
  readonly #starts = new Map<string, () => Promise<TestProcess>>();
  readonly #paths: NoisyStreams[] = [];
  readonly #nodes = new Map<number, number[]>();
  readonly #loops: Promise<void>[] = [];
  #store: Store | undefined;
  #watcher: RouteWatcher | undefined;
  #connection: WireConnection | undefined;
  #isOver = false;
  #startedMs = 0;
  #dropped = 0;

  constructor(processes: Processes, server: MariaDb, rng: Rng) {
    this.#processes = processes;
    this.#server = server;
    this.#rng = rng;
  }

  /** Starts everything, and what goes on beside the calls. @returns the agent's first port. */
  async start(): Promise<number> {
    await runAdmin(this.#server.url, "CREATE DATABASE soak");
    const url = `${this.#server.url}/soak`;
    const store = this.#store = await openStore(url);
    await store.migrate();
    for (let modId = FIRST_MODULE; modId < FIRST_MODULE + SOAK_MODULES; modId++) {
      const nodes = Array.from({ length: NODES }, (_, index) => index + 1);
      this.#nodes.set(modId, nodes);
      await store.editRoutes(
        nodes.map((node) => ({ op: "add", modId, cmdId: 1, ...soakNode(modId, node) })),
      );
    }
    const flags = [`--store=${url}`, "--metrics-port=0"];
    const ports: Record<string, number> = {};
    for (const pair of ["dns", "reporter", "discovery"] as const) {
      for (const one of ["a", "b"]) {
        const port = ports[`${pair} ${one}`] = await freePort();
        await this.#serve(`${pair} ${one}`, pair, [`--reactor-port=${port}`, ...flags]);
      }
    }
    await this.#serve("web", "web", [`--web-port=${await freePort()}`, ...flags]);
    const relayPort = await freePort();
    await this.#serve("relay", "relay", [`--relay-port=${relayPort}`, "--metrics-port=0"]);
    for (const name of ["dns a", "dns b", "reporter a", "reporter b"]) {
      this.#paths.push(await NoisyStreams.open(ports[name], this.#rng));
    }
    const [dnsA, dnsB, reporterA, reporterB] = this.#paths.map(({ port }) => port);
    const agent = await this.#serve("agent", "agent", [
      ...agentFlags(this.#processes, [dnsA, dnsB], [reporterA, reporterB]),
      "--metrics-port=0",
      // As callers of the network see it, whichever runtime they have.
      "--agent-shared-table=",
    ]);
    const discoveries = [ports["discovery a"], ports["discovery b"]];
    await startNodes(this.#processes, discoveries, LEASE_TTL_MS, LEASED);
    this.#connection = await WireConnection.open(ports["dns a"]);
    this.#watcher = new RouteWatcher(this.#connection);
    await this.#watcher.untilCount(LEASED.length);
    const caller = await WireCaller.open(agent.port());
    for (const modId of this.#nodes.keys()) await caller.untilHost(modId, 1);
    caller.close();
    this.#startedMs = systemClock.nowMs();
    this.#loops.push(this.#edit(store), this.#relay(`127.0.0.1:${relayPort}`));
    return agent.port();
  }

  /** Services that are never ended, and those that are, with how each is running now. */
  services(): { name: string; process: TestProcess; isSteady: boolean }[] {
    return [...this.#running].map(([name, process]) => ({
      name,
      process,
      isSteady: !name.endsWith(" b"),
    }));
  }

  /** Every fault, in a fixed order. */
  faults(): SoakFault[] {
    const pairs: readonly Pair[] = ["dns", "reporter", "discovery"];
    const [dnsA, dnsB, reporterA] = this.#paths;
    return [
      ...pairs.flatMap((pair) => [
        { what: `kill -9 ${pair} b`, act: () => this.#kill(`${pair} b`) },
        { what: `SIGTERM ${pair} b`, act: () => this.#stop(`${pair} b`) },
        { what: `SIGSTOP ${pair} a`, act: () => this.#pause(`${pair} a`) },
      ]),
      { what: "SIGSTOP web", act: () => this.#pause("web") },
      { what: "SIGSTOP relay", act: () => this.#pause("relay") },
      { what: "kill -9 SQL", act: () => this.#killDatabase() },
      { what: "SQL hangs", act: () => this.#hangDatabase() },
      { what: "dns a cut one way", act: () => this.#cut(dnsA, "to client") },
      { what: "dns a cut both ways", act: () => this.#cut(dnsA, "both") },
      { what: "all dns cut", act: () => this.#cutAll([dnsA, dnsB]) },
      { what: "reporter a cut one way", act: () => this.#cut(reporterA, "to server") },
      { what: "delays to dns a", act: () => this.#delay(dnsA) },
      { what: "all links reset", act: () => this.#reset() },
      {
        what: "CPU 20 % for all a",
        act: () => starve(pairs.map((pair) => this.#get(`${pair} a`)), STOP_MS),
      },
    ];
  }

  /** Nodes with a lease that some route lacked, all of which live. */
  get expired(): number {
    return LEASED.length - (this.#watcher?.leastSince(this.#startedMs) ?? 0);
  }

  /** Datagrams of callers that the kernel dropped, as a port of the agent was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Ends the edits and the requests; then waits until the agent has what the table has. */
  async settle(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#loops);
    const caller = await WireCaller.open(this.#get("agent").port());
    for (const [modId, nodes] of this.#nodes) {
      const expected = hostKeys(nodes.map((node) => soakNode(modId, node))).join();
      await until(
        async () =>
          hostKeys((await caller.getRoute(modId, 1).catch(() => ({ hosts: [] }))).hosts).join() ===
            expected,
        { timeoutMs: SETTLE_MS, intervalMs: 50, what: `the route of ${modId}/1 at the agent` },
      );
    }
    caller.close();
    this.#dropped = await droppedAt(this.#get("agent").port(), AGENT_PORT_COUNT);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#watcher?.stop();
    this.#connection?.close();
    for (const path of this.#paths) await path.close();
    await this.#store?.close();
  }

  #get(name: string): TestProcess {
    const process = this.#running.get(name);
    if (process === undefined) throw new Error(`${name} has not been started`);
    return process;
  }

  async #serve(
    name: string,
    service: Pair | "agent" | "web" | "relay",
    flags: readonly string[],
  ): Promise<TestProcess> {
    const start = (): Promise<TestProcess> => this.#processes.start(service, flags, COLLECTED);
    this.#starts.set(name, start);
    const process = await start();
    this.#running.set(name, process);
    return process;
  }

  async #startAgain(name: string): Promise<void> {
    const start = this.#starts.get(name);
    if (start !== undefined) this.#running.set(name, await start());
  }

  async #kill(name: string): Promise<void> {
    await this.#get(name).kill9();
    await sleep(systemClock, 1000);
    await this.#startAgain(name);
  }

  async #stop(name: string): Promise<void> {
    const { code, stderr } = await this.#get(name).stop();
    if (code !== 0) throw new Error(`${name} ended with ${code} on SIGTERM: ${stderr}`);
    await this.#startAgain(name);
  }

  async #pause(name: string): Promise<void> {
    const process = this.#get(name);
    process.signal("SIGSTOP");
    await sleep(systemClock, STOP_MS);
    process.signal("SIGCONT");
  }

  async #killDatabase(): Promise<void> {
    await this.#server.kill9();
    await sleep(systemClock, STOP_MS);
    await this.#server.restart();
  }

  async #hangDatabase(): Promise<void> {
    await this.#server.suspend();
    await sleep(systemClock, CUT_MS);
    this.#server.resume();
  }

  #cut(path: NoisyStreams, ways: "to client" | "to server" | "both"): Promise<void> {
    path.cut(ways);
    return this.#heal([path]);
  }

  #cutAll(paths: readonly NoisyStreams[]): Promise<void> {
    for (const path of paths) path.cut("both");
    return this.#heal(paths);
  }

  async #heal(paths: readonly NoisyStreams[]): Promise<void> {
    await sleep(systemClock, CUT_MS);
    for (const path of paths) path.cut("none");
  }

  async #delay(path: NoisyStreams): Promise<void> {
    path.noise = { ...NO_NOISE, delayMs: 50, jitterMs: 20 };
    await sleep(systemClock, CUT_MS);
    path.noise = NO_NOISE;
  }

  #reset(): Promise<void> {
    for (const path of this.#paths) path.reset();
    return Promise.resolve();
  }

  /** Adds a node to a module or takes one away, again and again. */
  async #edit(store: Store): Promise<void> {
    while (!this.#isOver) {
      const modId = FIRST_MODULE + nextInt(this.#rng, SOAK_MODULES);
      const nodes = this.#nodes.get(modId) ?? [];
      const grows = nodes.length < NODES || (nodes.length < NODES_MAX && this.#rng.next() < 0.5);
      const node = grows ? Math.max(...nodes) + 1 : nodes[0];
      try {
        const op = grows ? "add" : "remove";
        await store.editRoutes([{ op, modId, cmdId: 1, ...soakNode(modId, node) }]);
        this.counts.edits++;
        this.#nodes.set(modId, grows ? [...nodes, node] : nodes.slice(1));
      } catch {
        this.counts.editsRefused++;
        // Whether it was made nobody could say: the table does.
        await this.#readNodes(store, modId);
      }
      await sleep(systemClock, EDIT_MS);
    }
  }

  async #readNodes(store: Store, modId: number): Promise<void> {
    await until(async () => {
      try {
        const rows = await store.readModules([{ modId, cmdId: 1 }]);
        this.#nodes.set(modId, rows.map(({ ip }) => ip % 2 ** 16).sort((a, b) => a - b));
        return true;
      } catch {
        return false; // Still away.
      }
    }, { timeoutMs: SETTLE_MS, intervalMs: 500, what: "the database" });
  }

  /** Requests through the relay; each answer must be that of its question. */
  async #relay(relay: string): Promise<void> {
    const worker = new RelayWorker(
      { relays: [relay], modules: [RELAYED] },
      (task) => task.data.slice().reverse(),
    );
    const client = new RelayClient({ relays: [relay], timeoutMs: RELAY_TIMEOUT_MS });
    await until(() => worker.attachedCount > 0, { what: "the worker at the relay" });
    for (let number = 0; !this.#isOver; number++) {
      const question = new TextEncoder().encode(`question ${number}`);
      try {
        const answer = await client.request(RELAYED, question);
        const isRight = answer.every((byte, at) => byte === question[question.length - 1 - at]);
        if (!isRight || answer.length !== question.length) this.counts.relayWrong++;
        this.counts.relayed++;
      } catch {
        this.counts.relayFailed++;
      }
      await sleep(systemClock, RELAY_MS);
    }
    await client.close();
    await worker.close(0);
  }
}
