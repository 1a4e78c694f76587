// Core. One immutable picture of the route table, packed into typed arrays, and its builder.

import type { RouteRow } from "../sql/store.ts";
import { modulePair } from "../model/module.ts";
import { isNodePort, WEIGHT_MAX } from "../model/node.ts";
import { PickableNodes } from "../model/pickable_nodes.ts";

/**
 * Most nodes one module may hold; further rows of the module are skipped and counted. 65,536 nodes
 * make an extended answer of about 1.6 MB, a fifth of what one connection may have waiting.
 */
export const NODES_PER_MODULE_MAX = 65_536;

/** Modules whose skipped rows are told apart; rows of further modules only raise the total. */
export const SKIPPED_MODULES_MAX = 1_000;

/** Rows handled between two yields of {@linkcode RouteSnapshotBuilder.finish}: about 0.1 ms. */
const STEP_ROWS = 2_048;

/** Slices up to this length are sorted by insertion, which also is linear for sorted input. */
const INSERTION_NODES_MAX = 24;

/** In the column of drained nodes while rows are collected: the row takes its node out. */
const OFF = 2;

/** Rows that were read but can not be served. */
export interface SkippedRows {
  /** Rows with a port outside 1 to 65535. */
  readonly badPort: number;
  /** Rows beyond {@linkcode NODES_PER_MODULE_MAX} of their module. */
  readonly overLimit: number;
  /** Skipped rows by `"modId,cmdId"`; at most {@linkcode SKIPPED_MODULES_MAX} modules. */
  readonly byModule: ReadonlyMap<string, number>;
}

/** Columns of a snapshot; node `n` of module `m` is at `starts[m] + n`. */
export interface SnapshotColumns {
  readonly modIds: Uint32Array;
  readonly cmdIds: Uint32Array;
  /** One more than modules: module `m` owns nodes `starts[m]` to `starts[m + 1]`, end excluded. */
  readonly starts: Uint32Array;
  readonly ips: Uint32Array;
  readonly ports: Uint16Array;
  readonly weights: Uint16Array;
  /** Index into `zoneNames`; 0 is always the empty zone. */
  readonly zones: Uint32Array;
  /** 1 for a node that is drained: listed, but not to be picked; else 0. */
  readonly drains: Uint8Array;
  readonly zoneNames: readonly string[];
}

/**
 * Routes at one moment. Nodes of a module are unique and sorted by ip, then port; modules stand in
 * the order they were first read. 13 bytes a node and about 20 a module: 1,000,000 rows take less
 * than 32 MB.
 */
export class RouteSnapshot {
  readonly columns: SnapshotColumns;
  readonly skipped: SkippedRows;
  readonly #slots: Int32Array;

  /** Made by {@linkcode RouteSnapshotBuilder}; `slots` is its hash table over modules. */
  constructor(columns: SnapshotColumns, slots: Int32Array, skipped: SkippedRows) {
    this.columns = columns;
    this.skipped = skipped;
    this.#slots = slots;
  }

  get moduleCount(): number {
    return this.columns.starts.length - 1;
  }

  get nodeCount(): number {
    return this.columns.starts[this.moduleCount];
  }

  /** Index of a module, or -1. */
  find(modId: number, cmdId: number): number {
    return findModule(this.#slots, this.columns, modId, cmdId);
  }

  /** Number of nodes of module `index`; 0 for -1. */
  nodeCountOf(index: number): number {
    return index < 0 ? 0 : this.columns.starts[index + 1] - this.columns.starts[index];
  }

  /** The nodes of module `index` as rows; none for -1. */
  *rowsOf(index: number): Generator<RouteRow> {
    if (index < 0) return;
    const { modIds, cmdIds, starts, ips, ports, weights, zones, drains, zoneNames } = this.columns;
    for (let at = starts[index]; at < starts[index + 1]; at++) {
      yield {
        modId: modIds[index],
        cmdId: cmdIds[index],
        ip: ips[at],
        port: ports[at],
        weight: weights[at],
        zone: zoneNames[zones[at]],
        state: drains[at] === 1 ? "drain" : "on",
      };
    }
  }

  /** Number of nodes of module `index` that may be picked; 0 for -1. Walks them. */
  pickableCountOf(index: number): number {
    if (index < 0) return 0;
    const { starts, drains } = this.columns;
    let count = 0;
    for (let at = starts[index]; at < starts[index + 1]; at++) count += 1 - drains[at];
    return count;
  }

  /** The nodes of module `index` that may be picked; none for -1. */
  pickableNodesOf(index: number): PickableNodes {
    const nodes = new PickableNodes();
    if (index < 0) return nodes;
    const { starts, ips, ports, drains } = this.columns;
    for (let at = starts[index]; at < starts[index + 1]; at++) {
      if (drains[at] === 0) nodes.add(ips[at], ports[at]);
    }
    return nodes;
  }
}

/** True when module `a` of `left` and module `b` of `right` hold the same nodes; -1 holds none. */
export function sameNodes(
  left: RouteSnapshot,
  a: number,
  right: RouteSnapshot,
  b: number,
): boolean {
  const count = left.nodeCountOf(a);
  if (count !== right.nodeCountOf(b)) return false;
  if (count === 0) return true;
  const one = left.columns;
  const two = right.columns;
  let i = one.starts[a];
  let j = two.starts[b];
  for (const end = i + count; i < end; i++, j++) {
    if (one.ips[i] !== two.ips[j] || one.ports[i] !== two.ports[j]) return false;
    if (one.weights[i] !== two.weights[j] || one.drains[i] !== two.drains[j]) return false;
    if (one.zones[i] === 0 && two.zones[j] === 0) continue;
    if (one.zoneNames[one.zones[i]] !== two.zoneNames[two.zones[j]]) return false;
  }
  return true;
}

/** Expected sizes, to save growing step by step; wrong guesses cost time only. */
export interface SizeHint {
  readonly moduleCount: number;
  readonly nodeCount: number;
}

/**
 * Collects rows in any order and makes a {@linkcode RouteSnapshot}. Nodes whose state is "off" are
 * left out; rows with a bad port are skipped and counted. Of two rows with the same module, ip
 * and port the later one counts, as `rowsThatCount` says.
 */
export class RouteSnapshotBuilder {
  #moduleCount = 0;
  #modIds: Uint32Array;
  #cmdIds: Uint32Array;
  #counts: Uint32Array;
  #slots: Int32Array;
  #rowCount = 0;
  #rowModules: Uint32Array;
  #ips: Uint32Array;
  #ports: Uint16Array;
  #weights: Uint16Array;
  #zones: Uint32Array;
  #drains: Uint8Array;
  readonly #zoneNames: string[] = [""];
  readonly #zoneIds = new Map<string, number>([["", 0]]);
  readonly #skipped = { badPort: 0, overLimit: 0, byModule: new Map<string, number>() };

  constructor(hint: SizeHint = { moduleCount: 0, nodeCount: 0 }) {
    const modules = Math.max(16, hint.moduleCount);
    const rows = Math.max(64, hint.nodeCount);
    this.#modIds = new Uint32Array(modules);
    this.#cmdIds = new Uint32Array(modules);
    this.#counts = new Uint32Array(modules);
    this.#slots = new Int32Array(slotCountFor(modules));
    this.#rowModules = new Uint32Array(rows);
    this.#ips = new Uint32Array(rows);
    this.#ports = new Uint16Array(rows);
    this.#weights = new Uint16Array(rows);
    this.#zones = new Uint32Array(rows);
    this.#drains = new Uint8Array(rows);
  }

  /** Takes a page of rows; keeps no reference to it. */
  add(rows: readonly RouteRow[]): void {
    for (const row of rows) {
      const isOff = row.state === "off";
      // It matters where it takes back what an earlier row of its node said.
      if (isOff && this.#findModule(row.modId >>> 0, row.cmdId >>> 0) < 0) continue;
      if (!isNodePort(row.port)) {
        if (isOff) continue;
        this.#skipped.badPort++;
        this.#noteSkipped(row);
        continue;
      }
      const module = this.#moduleIndex(row.modId >>> 0, row.cmdId >>> 0);
      if (this.#counts[module] >= NODES_PER_MODULE_MAX) {
        this.#skipped.overLimit++;
        this.#noteSkipped(row);
        continue;
      }
      this.#counts[module]++;
      if (this.#rowCount === this.#ips.length) this.#growRows();
      const at = this.#rowCount++;
      this.#rowModules[at] = module;
      this.#ips[at] = row.ip;
      this.#ports[at] = row.port;
      this.#weights[at] = Math.min(Math.max(row.weight, 0), WEIGHT_MAX);
      this.#zones[at] = row.zone === "" ? 0 : this.#zoneId(row.zone);
      this.#drains[at] = isOff ? OFF : row.state === "drain" ? 1 : 0;
    }
  }

  /**
   * Makes the snapshot in steps of about 0.1 ms, so that the caller can answer requests
   * between them; the builder must not be used afterwards.
   */
  *finish(): Generator<void, RouteSnapshot> {
    const starts = new Uint32Array(this.#moduleCount + 1);
    for (let module = 0; module < this.#moduleCount; module++) {
      starts[module + 1] = starts[module] + this.#counts[module];
    }
    yield;
    const grouped = this.#newNodes();
    const next = starts.slice(0, this.#moduleCount);
    for (let row = 0; row < this.#rowCount; row++) {
      const to = next[this.#rowModules[row]]++;
      grouped.ips[to] = this.#ips[row];
      grouped.ports[to] = this.#ports[row];
      grouped.weights[to] = this.#weights[row];
      grouped.zones[to] = this.#zones[row];
      grouped.drains[to] = this.#drains[row];
      if (row % STEP_ROWS === STEP_ROWS - 1) yield;
    }
    yield* sortAndCompact(starts, grouped);
    const nodeCount = starts[this.#moduleCount];
    // Copies of up to 4 MB each: one at a time.
    const ips = cutTo(grouped.ips, nodeCount);
    yield;
    const ports = cutTo(grouped.ports, nodeCount);
    const weights = cutTo(grouped.weights, nodeCount);
    yield;
    const zones = cutTo(grouped.zones, nodeCount);
    const drains = cutTo(grouped.drains, nodeCount);
    yield;
    const { modIds, cmdIds, starts: ends, slots } = this.#modulesWithNodes(starts);
    const zoneNames = this.#zoneNames;
    return new RouteSnapshot(
      { modIds, cmdIds, starts: ends, ips, ports, weights, zones, drains, zoneNames },
      slots,
      this.#skipped,
    );
  }

  /** The modules that kept a node: later rows of a node that are off may have taken all back. */
  #modulesWithNodes(starts: Uint32Array): ModuleArrays {
    const modIds = this.#modIds.slice(0, this.#moduleCount);
    const cmdIds = this.#cmdIds.slice(0, this.#moduleCount);
    const isKept = (_: number, module: number): boolean => starts[module + 1] > starts[module];
    if (modIds.every(isKept)) return { modIds, cmdIds, starts, slots: this.#slots };
    const kept = {
      modIds: modIds.filter(isKept),
      cmdIds: cmdIds.filter(isKept),
      starts: starts.filter((_, module) => module === modIds.length || isKept(0, module)),
    };
    return { ...kept, slots: slotsOf(kept, slotCountFor(kept.modIds.length)) };
  }

  #newNodes(): NodeArrays {
    return {
      ips: new Uint32Array(this.#rowCount),
      ports: new Uint16Array(this.#rowCount),
      weights: new Uint16Array(this.#rowCount),
      zones: new Uint32Array(this.#rowCount),
      drains: new Uint8Array(this.#rowCount),
    };
  }

  #noteSkipped(row: RouteRow): void {
    const text = modulePair(row);
    const byModule = this.#skipped.byModule;
    const count = byModule.get(text);
    if (count === undefined && byModule.size >= SKIPPED_MODULES_MAX) return;
    byModule.set(text, (count ?? 0) + 1);
  }

  #zoneId(zone: string): number {
    let id = this.#zoneIds.get(zone);
    if (id === undefined) {
      id = this.#zoneNames.push(zone) - 1;
      this.#zoneIds.set(zone, id);
    }
    return id;
  }

  #findModule(modId: number, cmdId: number): number {
    return findModule(this.#slots, { modIds: this.#modIds, cmdIds: this.#cmdIds }, modId, cmdId);
  }

  #moduleIndex(modId: number, cmdId: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashModule(modId, cmdId) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const index = this.#slots[slot] - 1;
      if (this.#modIds[index] === modId && this.#cmdIds[index] === cmdId) return index;
    }
    if (this.#moduleCount === this.#modIds.length) {
      this.#growModules();
      return this.#moduleIndex(modId, cmdId);
    }
    const index = this.#moduleCount++;
    this.#modIds[index] = modId;
    this.#cmdIds[index] = cmdId;
    this.#slots[slot] = index + 1;
    return index;
  }

  #growModules(): void {
    const size = this.#modIds.length * 2;
    this.#modIds = grown(this.#modIds, new Uint32Array(size));
    this.#cmdIds = grown(this.#cmdIds, new Uint32Array(size));
    this.#counts = grown(this.#counts, new Uint32Array(size));
    const modIds = this.#modIds.subarray(0, this.#moduleCount);
    this.#slots = slotsOf({ modIds, cmdIds: this.#cmdIds }, slotCountFor(size));
  }

  #growRows(): void {
    const size = this.#ips.length * 2;
    this.#rowModules = grown(this.#rowModules, new Uint32Array(size));
    this.#ips = grown(this.#ips, new Uint32Array(size));
    this.#ports = grown(this.#ports, new Uint16Array(size));
    this.#weights = grown(this.#weights, new Uint16Array(size));
    this.#zones = grown(this.#zones, new Uint32Array(size));
    this.#drains = grown(this.#drains, new Uint8Array(size));
  }
}

/** Builds a snapshot of few rows in one go. */
export function buildSnapshot(rows: readonly RouteRow[]): RouteSnapshot {
  const builder = new RouteSnapshotBuilder({ moduleCount: 0, nodeCount: rows.length });
  builder.add(rows);
  const steps = builder.finish();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

interface NodeArrays {
  readonly ips: Uint32Array;
  readonly ports: Uint16Array;
  readonly weights: Uint16Array;
  readonly zones: Uint32Array;
  readonly drains: Uint8Array;
}

interface ModuleArrays {
  readonly modIds: Uint32Array;
  readonly cmdIds: Uint32Array;
  readonly starts: Uint32Array;
  readonly slots: Int32Array;
}

/** Sorts each module's slice, drops repeated nodes and those that are off, and closes the gaps; rewrites `starts`. */
function* sortAndCompact(starts: Uint32Array, nodes: NodeArrays): Generator<void, void> {
  let write = 0;
  let steps = 0;
  let from = 0;
  for (let module = 0; module < starts.length - 1; module++) {
    const end = starts[module + 1];
    sortSlice(nodes, from, end);
    starts[module] = write;
    for (let read = from; read < end; read++) {
      const repeated = read + 1 < end && nodes.ips[read] === nodes.ips[read + 1] &&
        nodes.ports[read] === nodes.ports[read + 1];
      if (repeated || nodes.drains[read] === OFF) continue;
      if (write !== read) moveNode(nodes, read, write);
      write++;
    }
    steps += end - from + 1;
    from = end;
    if (steps >= STEP_ROWS) {
      steps = 0;
      yield;
    }
  }
  starts[starts.length - 1] = write;
}

/** Stable sort of one slice by ip, then port: of equal nodes the later row stays last. */
function sortSlice(nodes: NodeArrays, from: number, end: number): void {
  if (end - from > INSERTION_NODES_MAX) {
    sortLongSlice(nodes, from, end);
    return;
  }
  for (let i = from + 1; i < end; i++) {
    const ip = nodes.ips[i];
    const port = nodes.ports[i];
    const weight = nodes.weights[i];
    const zone = nodes.zones[i];
    const drain = nodes.drains[i];
    let to = i;
    while (to > from && isAfter(nodes, to - 1, ip, port)) {
      moveNode(nodes, to - 1, to);
      to--;
    }
    nodes.ips[to] = ip;
    nodes.ports[to] = port;
    nodes.weights[to] = weight;
    nodes.zones[to] = zone;
    nodes.drains[to] = drain;
  }
}

function sortLongSlice(nodes: NodeArrays, from: number, end: number): void {
  let sorted = true;
  for (let i = from + 1; i < end && sorted; i++) {
    sorted = !isAfter(nodes, i - 1, nodes.ips[i], nodes.ports[i]);
  }
  if (sorted) return;
  const { ips, ports, weights, zones, drains } = nodes;
  const order = new Uint32Array(end - from);
  for (let i = 0; i < order.length; i++) order[i] = from + i;
  order.sort((a, b) => ips[a] - ips[b] || ports[a] - ports[b] || a - b);
  ips.set(Uint32Array.from(order, (at) => ips[at]), from);
  ports.set(Uint16Array.from(order, (at) => ports[at]), from);
  weights.set(Uint16Array.from(order, (at) => weights[at]), from);
  zones.set(Uint32Array.from(order, (at) => zones[at]), from);
  drains.set(Uint8Array.from(order, (at) => drains[at]), from);
}

function isAfter(nodes: NodeArrays, at: number, ip: number, port: number): boolean {
  return nodes.ips[at] > ip || (nodes.ips[at] === ip && nodes.ports[at] > port);
}

function moveNode(nodes: NodeArrays, from: number, to: number): void {
  nodes.ips[to] = nodes.ips[from];
  nodes.ports[to] = nodes.ports[from];
  nodes.weights[to] = nodes.weights[from];
  nodes.zones[to] = nodes.zones[from];
  nodes.drains[to] = nodes.drains[from];
}

function findModule(
  slots: Int32Array,
  columns: { readonly modIds: Uint32Array; readonly cmdIds: Uint32Array },
  modId: number,
  cmdId: number,
): number {
  const mask = slots.length - 1;
  for (let slot = hashModule(modId, cmdId) & mask;; slot = (slot + 1) & mask) {
    const index = slots[slot] - 1;
    if (index < 0) return -1;
    if (columns.modIds[index] === modId && columns.cmdIds[index] === cmdId) return index;
  }
}

/** The hash table over modules. */
function slotsOf(
  { modIds, cmdIds }: { readonly modIds: Uint32Array; readonly cmdIds: Uint32Array },
  slotCount: number,
): Int32Array {
  const slots = new Int32Array(slotCount);
  const mask = slotCount - 1;
  for (let index = 0; index < modIds.length; index++) {
    let slot = hashModule(modIds[index], cmdIds[index]) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = index + 1;
  }
  return slots;
}

/** Mixes both numbers (multipliers of xxHash32), so that runs of ids do not cluster. */
function hashModule(modId: number, cmdId: number): number {
  let hash = Math.imul(modId, 0x9e3779b1) ^ Math.imul(cmdId, 0x85ebca77);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0xc2b2ae3d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** A power of two of at least twice `modules`, so that a probe always ends soon. */
function slotCountFor(modules: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(16, modules) * 2));
}

function grown<T extends Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

function cutTo<T extends Uint32Array | Uint16Array | Uint8Array>(array: T, length: number): T {
  return array.length === length ? array : array.slice(0, length) as T;
}
