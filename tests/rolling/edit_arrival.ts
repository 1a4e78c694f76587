// Shell. How long an edit of the console takes until it is in force: at clients of ours, gRPC programs,
// HAProxy, nginx, names and files, each of them asked for what it does.

import { sleep } from "../../reactor/time/clock.ts";
import { nextInt } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { until } from "../support/until.ts";
import { type EditLab, LAB_NODES, LAB_WEIGHT, type LabNodes, withEditLab } from "./edit_lab.ts";
import type { Follower, Shares } from "./followers.ts";

/** What is done. */
export interface ArrivalOptions {
  readonly edits: number;
  /** Edits after which dns and export are killed and started anew, before the next edit; 0: never. */
  readonly killEvery: number;
  say(text: string): void;
}

/** One edit at one follower. */
export interface Arrival {
  readonly follower: string;
  readonly edit: string;
  /** From the answer of the console to the first look at which it was in force. */
  readonly tookMs: number;
  /** What it may take. */
  readonly promisedMs: number;
  /** Dns and export had been killed and were just back. */
  readonly isAfterKill: boolean;
}

/** What was seen. */
export interface ArrivalResult {
  readonly arrivals: readonly Arrival[];
  /** Who was not there to be asked, with why. */
  readonly missing: readonly string[];
  readonly promises: readonly Pick<Follower, "name" | "allowedMs" | "why">[];
}

/** A route change is in force everywhere within this time, and what a follower needs besides. */
export const IN_FORCE_MS = 1_000;

/** Nothing takes so long but what hangs: a client of gRPC may wait two minutes after many kills. */
const HANG_MS = 200_000;
const LOOK_PAUSE_MS = 5;
const LOOPBACK = "127.0.0.1";
/** As heavy as all others together, and more. */
const MUCH = 10 * LAB_WEIGHT;

/** A node as it should be; the last one comes and goes. */
interface NodeWish {
  readonly index: number;
  weight: number;
  isOn: boolean;
  isThere: boolean;
}

/** One change, and how to say it to the console. */
interface EditStep {
  readonly name: string;
  readonly node: number;
  change(node: NodeWish): void;
}

/** In turn; after the last of them all is as before the first. */
const STEPS: readonly EditStep[] = [
  { name: "weight", node: 0, change: (node) => void (node.weight = MUCH) },
  { name: "weight", node: 0, change: (node) => void (node.weight = LAB_WEIGHT) },
  { name: "drain", node: 1, change: (node) => void (node.isOn = false) },
  { name: "restore", node: 1, change: (node) => void (node.isOn = true) },
  { name: "remove", node: 4, change: (node) => void (node.isThere = false) },
  { name: "add", node: 4, change: (node) => void (node.isThere = true) },
];

/** Part of the calls that a node should get. */
function shareOf(nodes: readonly NodeWish[], index: number, hasWeights: boolean): number {
  const weights = nodes.map(({ weight, isOn, isThere }) =>
    isOn && isThere ? hasWeights ? weight : 1 : 0
  );
  return weights[index] / weights.reduce((sum, weight) => sum + weight, 0);
}

/** The words for the console. */
function editsOf(step: EditStep, node: NodeWish, { http, grpc }: LabNodes): unknown[] {
  return [http, grpc].map((ports, index) => {
    const key = { modId: index + 1, cmdId: 1, ip: LOOPBACK, port: ports[node.index] };
    if (step.name === "remove") return { op: "remove", ...key };
    if (step.name === "add") return { op: "add", ...key, weight: node.weight };
    if (step.name === "weight") return { op: "set", ...key, weight: node.weight };
    return { op: "set", ...key, state: node.isOn ? "on" : "drain" };
  });
}

/** Looks until it is in force at a follower; when it was at the first of two looks in a row. */
async function untilInForce(
  follower: Follower,
  port: number,
  before: number,
  after: number,
): Promise<number> {
  let seen: Shares | undefined;
  let sinceMs: number | undefined;
  await until(async () => {
    seen = await follower.shares();
    const nowMs = systemClock.nowMs();
    const isThere = seen !== undefined && isNew(seen.get(port) ?? 0, before, after);
    if (isThere && sinceMs !== undefined) return true;
    sinceMs = isThere ? nowMs : undefined;
    return false;
  }, {
    timeoutMs: HANG_MS,
    intervalMs: LOOK_PAUSE_MS,
    what: () =>
      `${follower.name}: ${port} from ${before} to ${after}: ${JSON.stringify([...seen ?? []])}`,
  });
  return sinceMs ?? systemClock.nowMs();
}

/** True when a part is nearer to what will be than to what was; none at all where none should be. */
function isNew(seen: number, before: number, after: number): boolean {
  if (after === 0) return seen === 0;
  const middle = (before + after) / 2;
  return after > before ? seen > (before === 0 ? 0 : middle) : seen < middle;
}

/** The edits, one after the other, each when the one before is in force everywhere. */
class ArrivalRun {
  readonly #lab: EditLab;
  readonly #options: ArrivalOptions;
  readonly #nodes: NodeWish[] = Array.from(
    { length: LAB_NODES },
    (_, index) => ({ index, weight: LAB_WEIGHT, isOn: true, isThere: true }),
  );
  readonly arrivals: Arrival[] = [];

  constructor(lab: EditLab, options: ArrivalOptions) {
    this.#lab = lab;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { edits, killEvery, say } = this.#options;
    await this.#untilAll();
    for (let i = 0; i < edits; i++) {
      const isAfterKill = killEvery > 0 && i % killEvery === killEvery - 1;
      if (isAfterKill) await this.#lab.killAndStart();
      await this.#edit(STEPS[i % STEPS.length], isAfterKill);
      if ((i + 1) % 20 === 0) say(`${i + 1} of ${edits} edits`);
      // Else each edit would meet every timer at the same point.
      await sleep(systemClock, 50 + nextInt(systemRng, 300));
    }
  }

  /** Everybody has every node. */
  async #untilAll(): Promise<void> {
    const { followers, nodes } = this.#lab;
    await Promise.all(followers.map(async (follower) => {
      const ports = follower.module === "web" ? nodes.http : nodes.grpc;
      for (const port of ports) await untilInForce(follower, port, 0, 1 / LAB_NODES);
    }));
  }

  async #edit(step: EditStep, isAfterKill: boolean): Promise<void> {
    const { console, nodes, followers } = this.#lab;
    const node = this.#nodes[step.node];
    const before = [true, false].map((has) => shareOf(this.#nodes, node.index, has));
    step.change(node);
    const after = [true, false].map((has) => shareOf(this.#nodes, node.index, has));
    await console.get("POST /changes", { body: { edits: editsOf(step, node, nodes) } });
    const doneMs = systemClock.nowMs();
    await Promise.all(followers.map(async (follower) => {
      const { name, module, hasWeights, allowedMs } = follower;
      if (!hasWeights && step.name === "weight") return;
      const which = hasWeights ? 0 : 1;
      const port = nodes[module === "web" ? "http" : "grpc"][node.index];
      const atMs = await untilInForce(follower, port, before[which], after[which]);
      this.arrivals.push({
        ...{ follower: name, edit: step.name, tookMs: atMs - doneMs, isAfterKill },
        promisedMs: IN_FORCE_MS + allowedMs,
      });
    }));
  }
}

/** Makes edits, and measures at each follower. */
export async function measureArrivals(options: ArrivalOptions): Promise<ArrivalResult> {
  let result: ArrivalResult | undefined;
  await withEditLab(async (lab) => {
    const run = new ArrivalRun(lab, options);
    await run.run();
    const promises = lab.followers.map(({ name, allowedMs, why }) => ({ name, allowedMs, why }));
    result = { arrivals: run.arrivals, missing: lab.missing, promises };
  });
  if (result === undefined) throw new Error("The run has come to no end");
  return result;
}

/** What all edits took at one follower, in milliseconds. */
export interface ArrivalRow {
  readonly follower: string;
  readonly isAfterKill: boolean;
  readonly edits: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** 99 of 100 edits should take at most this. */
  readonly promisedMs: number;
  /** Why that is more than {@linkcode IN_FORCE_MS}; "": it is not. */
  readonly why: string;
}

/** A row for each follower, first those of edits while all was well. */
export function arrivalRows({ arrivals, promises }: ArrivalResult): ArrivalRow[] {
  return [false, true].flatMap((isAfterKill) =>
    promises.flatMap(({ name, allowedMs, why }): ArrivalRow[] => {
      const tookMs = arrivals.filter((one) =>
        one.follower === name && one.isAfterKill === isAfterKill
      ).map((one) => Math.round(one.tookMs)).sort((a, b) => a - b);
      if (tookMs.length === 0) return [];
      const at = (share: number): number => tookMs[Math.ceil(tookMs.length * share) - 1];
      return [{
        ...{ follower: name, isAfterKill, edits: tookMs.length, why },
        ...{ medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1) },
        promisedMs: IN_FORCE_MS + allowedMs,
      }];
    })
  );
}

/** True when a row keeps its promise; nothing is promised of what was killed just now. */
export function isInTime({ p99Ms, promisedMs, isAfterKill }: ArrivalRow): boolean {
  return isAfterKill || p99Ms <= promisedMs;
}

/** The rows, for people. */
export function arrivalText(result: ArrivalResult): string {
  const cells = (row: ArrivalRow): string[] => [
    row.follower + (row.isAfterKill ? ", after a kill" : ""),
    ...[row.edits, row.medianMs, row.p99Ms, row.maxMs, row.promisedMs].map(String),
    row.why === "" ? "" : `1 s and ${row.why}`,
  ];
  const table = [
    ["in force at, ms", "edits", "median", "p99", "max", "promised", ""],
    ...arrivalRows(result).map(cells),
  ];
  const width = Math.max(...table.map(([name]) => name.length));
  const lines = table.map(([name, ...rest]) =>
    `${name.padEnd(width)} ${rest.slice(0, 5).map((cell) => cell.padStart(8)).join(" ")}  ${
      rest[5]
    }`.trimEnd()
  );
  return [...lines, ...result.missing.map((one) => `not asked: ${one}`)].join("\n") + "\n";
}
