// Shell. The sample nodes of `lars up`: small HTTP servers on loopback, which fail when told to.

import { join } from "node:path";
import { COMMAND_ACTOR } from "../control/access/actor.ts";
import { moduleText } from "../model/module.ts";
import { softwareName } from "../daemon/daemon.ts";
import type { HttpAnswer } from "../daemon/monitor/http_get.ts";
import { type MonitorRoute, MonitorServer } from "../daemon/monitor/monitor_server.ts";
import { BindError, messageOf } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";
import type { RouteRow, Store } from "../sql/store.ts";
import { CommandError } from "./cli_errors.ts";
import {
  isRowOf,
  parseSampleFile,
  SAMPLE_HOST,
  SAMPLE_MODULES,
  sampleAddress,
  sampleEdits,
  sampleFileText,
  type SampleNode,
} from "./sample_routes.ts";

/** Remembers, in the data folder, which nodes of the route table are samples. */
export const SAMPLES_NAME = "samples.json";

/** Longest such file, in bytes; a longer one is refused. */
const SAMPLES_BYTES_MAX = 65_536;

/** How late a node answers that was told to be slow, in milliseconds: late enough to be kept out. */
const SLOW_MS = 200;

/** How a sample node answers: at once, late, or with an error. */
type SampleMode = "well" | "slow" | "failing";

/** One sample node that runs. */
class SampleServer {
  readonly #module: string;
  readonly #server: MonitorServer;
  readonly #delayMs: number;
  #mode: SampleMode = "well";
  #answered = 0;

  constructor(module: string, { port, delayMs }: SampleNode) {
    this.#module = module;
    this.#delayMs = delayMs;
    const turn = (next: SampleMode): [string, MonitorRoute] => [
      next === "failing" ? "/fail" : next === "slow" ? "/slow" : "/heal",
      (): HttpAnswer => {
        this.#mode = next;
        return this.#state();
      },
    ];
    this.#server = new MonitorServer({
      hostname: SAMPLE_HOST,
      port,
      routes: new Map<string, MonitorRoute>([
        ["/", () => this.#call()],
        ["/state", () => this.#state()],
      ]),
      posts: new Map([turn("failing"), turn("slow"), turn("well")]),
      token: undefined,
      openPaths: new Set(),
      clock: systemClock,
      log: silentLogger,
    });
  }

  /** Begins to answer; the port it has. @throws {BindError} when the port is taken. */
  listen(): number {
    return this.#server.listen().port;
  }

  close(): void {
    this.#server.close();
  }

  async #call(): Promise<HttpAnswer> {
    this.#answered++;
    const delayMs = this.#mode === "slow" ? SLOW_MS : this.#delayMs;
    if (delayMs > 0) await sleep(systemClock, delayMs);
    if (this.#mode !== "failing") return { status: 200, body: `hello from ${this.#module}\n` };
    return { status: 500, body: "This sample node fails until POST /heal\n" };
  }

  #state(): HttpAnswer {
    return {
      status: 200,
      contentType: "application/json",
      body: `${JSON.stringify({ mode: this.#mode, calls: this.#answered })}\n`,
    };
  }
}

/** A sample node whose port was taken, and the one it has instead. */
export interface MovedSample {
  readonly from: number;
  readonly node: SampleNode;
}

/** The sample nodes of one data folder, while `lars up` runs. */
export class SampleNodes {
  readonly #folder: string;
  readonly #servers: SampleServer[] = [];
  #nodes: SampleNode[] = [];
  #moved: MovedSample[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Those that run. */
  get nodes(): readonly SampleNode[] {
    return this.#nodes;
  }

  /** Those of them that have another port than before, as theirs was taken. */
  get moved(): readonly MovedSample[] {
    return this.#moved;
  }

  /** Starts those of a new database, and puts them into its empty route table. */
  async startNew(store: Store): Promise<void> {
    this.#listen(SAMPLE_MODULES.flatMap(({ nodes }) => nodes));
    await change(store, sampleEdits(this.#nodes), "first start");
    await this.#remember();
  }

  /**
   * Starts those of an earlier start that are still in the route table. Where a port was taken the
   * route follows.
   */
  async startAgain(store: Store): Promise<void> {
    const known = await readSampleNodes(this.#folder);
    if (known.length === 0) return;
    const rows = await store.readModules(known);
    const rowOf = (node: SampleNode): RouteRow | undefined =>
      rows.find((row) => isRowOf(node, row));
    this.#listen(known.filter((node) => rowOf(node) !== undefined));
    if (this.#moved.length > 0) {
      const routes = this.#moved.flatMap(({ from, node }): ChangeEdits["routes"] => {
        const row = rowOf({ ...node, port: from });
        return row === undefined
          ? []
          : [{ ...row, op: "add", port: node.port }, { ...row, op: "remove" }];
      });
      await change(store, { routes }, "ports of sample nodes were taken");
    }
    if (this.#moved.length > 0 || this.#nodes.length < known.length) await this.#remember();
  }

  /** Ends all. */
  close(): void {
    for (const server of this.#servers) server.close();
  }

  #listen(wished: readonly SampleNode[]): void {
    for (const node of wished) {
      const port = this.#listenAt(node) ?? this.#listenAt({ ...node, port: 0 });
      if (port === undefined) throw new CommandError("No port is free for a sample node");
      const own = { ...node, port };
      this.#nodes.push(own);
      if (port !== node.port) this.#moved.push({ from: node.port, node: own });
    }
  }

  /** Undefined when the port is taken. */
  #listenAt(node: SampleNode): number | undefined {
    const server = new SampleServer(sampleName(node), node);
    try {
      const port = server.listen();
      this.#servers.push(server);
      return port;
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      return undefined;
    }
  }

  #remember(): Promise<void> {
    const bytes = new TextEncoder().encode(sampleFileText(this.#nodes));
    return runtime.replaceFile(this.#folder, SAMPLES_NAME, bytes);
  }
}

/** `(1,2) shop` */
export function sampleName({ modId, cmdId }: { modId: number; cmdId: number }): string {
  const known = SAMPLE_MODULES.find((module) => module.modId === modId && module.cmdId === cmdId);
  const name = known === undefined ? "" : ` ${known.name}`;
  return `(${modId},${cmdId})${name}`;
}

/** The sample nodes that a data folder remembers; none when it remembers nothing. */
export async function readSampleNodes(folder: string): Promise<SampleNode[]> {
  const path = join(folder, SAMPLES_NAME);
  let bytes: Uint8Array;
  try {
    bytes = await runtime.readFile(path, SAMPLES_BYTES_MAX);
  } catch (error) {
    if (isMissing(error)) return [];
    throw new CommandError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return parseSampleFile(new TextDecoder().decode(bytes));
  } catch (error) {
    const fault = `${path} cannot be used: ${messageOf(error)}; remove it to run without samples`;
    throw new CommandError(fault, { cause: error });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Nobody runs yet who could be told. */
async function change(store: Store, edits: ChangeEdits, why: string): Promise<void> {
  const { ChangeService } = await import("../control/changes/change_service.ts");
  const changes = new ChangeService({
    store,
    clock: systemClock,
    software: softwareName(),
    secrets: undefined,
    addresses: [],
  });
  await changes.change({ ...COMMAND_ACTOR, name: "lars up" }, edits, { why });
}

/** `sample nodes of (1,1) hello: 127.0.0.1:9001`, one line for each module. */
export function sampleLines({ nodes, moved }: Pick<SampleNodes, "nodes" | "moved">): string[] {
  const modules = new Map<string, string[]>();
  for (const node of nodes) {
    const key = moduleText(node);
    const mark = node.delayMs === 0 ? "" : ` (${node.delayMs} ms slower)`;
    const lines = modules.get(key) ?? [`sample module ${sampleName(node)}:`];
    modules.set(key, [...lines, `${sampleAddress(node)}${mark}`]);
  }
  return [
    ...[...modules.values()].map(([head, ...rest]) => `${head} ${rest.join(", ")}`),
    ...moved.map(({ from, node }) =>
      `port ${from} was taken: its sample node is ${sampleAddress(node)}`
    ),
  ];
}
