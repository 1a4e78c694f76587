// Core. What `lars top` shows: modules and nodes with rates, from successive looks at the database.

import type { CallHistoryPoint } from "../sql/call_history.ts";
import type { CallStatusRow, ModuleKey, NodeState, RouteRow } from "../sql/store.ts";

/** Rates are those of this time, in milliseconds. */
export const RATE_WINDOW_MS = 10_000;

/** A result older than this says nothing about now, in seconds. */
export const FRESH_S = 60;

/** What modules and nodes have in common. */
interface Rates {
  /** Calls per second, failed ones too. */
  readonly callsPerSecond: number;
  /** Failed calls of all calls, 0 to 1; 0 without calls. */
  readonly errorShare: number;
  /** Hosts whose callers used it within {@linkcode FRESH_S}. */
  readonly callers: number;
  /** Seconds since the last result; undefined when there never was one. */
  readonly ageSeconds: number | undefined;
}

/** One module. */
export interface TopModule extends ModuleKey, Rates {
  readonly nodes: number;
  /** Nodes that at least one host keeps out. */
  readonly out: number;
}

/** One node of one module. */
export interface TopNode extends ModuleKey, Rates {
  readonly ip: number;
  readonly port: number;
  /** `gone`: it has results and no route any more. */
  readonly state: NodeState | "gone";
  readonly zone: string;
  readonly weight: number;
  /** Hosts that keep it out. */
  readonly out: number;
}

/** One look. */
export interface TopSnapshot {
  /** When, in unix milliseconds. */
  readonly atMs: number;
  readonly modules: readonly TopModule[];
  readonly nodes: readonly TopNode[];
  readonly callsPerSecond: number;
  readonly errorShare: number;
  /** Nodes that at least one host keeps out. */
  readonly out: number;
}

/** Calls of one node within some time. */
interface Calls {
  succ: number;
  err: number;
}

interface Step {
  readonly tookMs: number;
  readonly calls: Map<string, Calls>;
}

interface NodeTally {
  readonly key: { modId: number; cmdId: number; ip: number; port: number };
  route: RouteRow | undefined;
  out: number;
  callers: number;
  lastTs: number;
}

function nodeKey({ modId, cmdId, ip, port }: NodeTally["key"]): string {
  return `${modId},${cmdId},${ip},${port}`;
}

function shareOf({ succ, err }: Calls): number {
  return succ + err === 0 ? 0 : err / (succ + err);
}

/** Turns successive contents of ServerCallStatus into rates. */
export class TopModel {
  #before = new Map<string, Calls>();
  #routes: readonly RouteRow[] = [];
  #steps: Step[] = [];
  #lastMs: number | undefined;
  #seed: Step = { tookMs: 0, calls: new Map() };

  /** The routes, whenever they were read anew. */
  setRoutes(routes: readonly RouteRow[]): void {
    this.#routes = routes;
  }

  /** Calls by node of the last `seconds`, which stand in until two looks have been taken. */
  setHistory(points: readonly CallHistoryPoint[], seconds: number): void {
    const calls = new Map<string, Calls>();
    for (const { module, node, succCount, errCount } of points) {
      if (module === undefined || node === undefined) continue;
      const key = nodeKey({ ...module, ...node });
      const sum = calls.get(key) ?? { succ: 0, err: 0 };
      calls.set(key, { succ: sum.succ + succCount, err: sum.err + errCount });
    }
    this.#seed = { tookMs: seconds * 1000, calls };
  }

  /** Takes the rows of one look; `nowMs` moves forward only, `wallMs` is the time of day. */
  look(rows: readonly CallStatusRow[], nowMs: number, wallMs: number): TopSnapshot {
    this.#addStep(rows, nowMs);
    const steps = this.#steps.length > 0 ? this.#steps : [this.#seed];
    const seconds = steps.reduce((sum, step) => sum + step.tookMs, 0) / 1000;
    const calls = new Map<string, Calls>();
    for (const step of steps) {
      for (const [key, { succ, err }] of step.calls) {
        const sum = calls.get(key) ?? { succ: 0, err: 0 };
        calls.set(key, { succ: sum.succ + succ, err: sum.err + err });
      }
    }
    return this.#snapshot(rows, calls, seconds, wallMs);
  }

  #addStep(rows: readonly CallStatusRow[], nowMs: number): void {
    const calls = new Map<string, Calls>();
    const seen = new Map<string, Calls>();
    for (const row of rows) {
      const rowKey = `${nodeKey(row)},${row.caller}`;
      const now = { succ: row.succTotal ?? row.succCount, err: row.errTotal ?? row.errCount };
      seen.set(rowKey, now);
      // The totals of a row that is new may be old: they count when all are of its first window.
      const isNewborn = row.succTotal === row.succCount && row.errTotal === row.errCount;
      const before = this.#before.get(rowKey) ?? (isNewborn ? { succ: 0, err: 0 } : now);
      // Counts below those before: the agent, or its window, began anew.
      const began = now.succ < before.succ || now.err < before.err;
      const succ = began ? now.succ : now.succ - before.succ;
      const err = began ? now.err : now.err - before.err;
      if (succ + err === 0) continue;
      const sum = calls.get(nodeKey(row)) ?? { succ: 0, err: 0 };
      calls.set(nodeKey(row), { succ: sum.succ + succ, err: sum.err + err });
    }
    this.#before = seen;
    if (this.#lastMs !== undefined && nowMs > this.#lastMs) {
      this.#steps.push({ tookMs: nowMs - this.#lastMs, calls });
    }
    this.#lastMs = nowMs;
    let tookMs = this.#steps.reduce((sum, step) => sum + step.tookMs, 0);
    while (this.#steps.length > 1 && tookMs > RATE_WINDOW_MS) {
      tookMs -= this.#steps.shift()?.tookMs ?? 0;
    }
  }

  #snapshot(
    rows: readonly CallStatusRow[],
    calls: ReadonlyMap<string, Calls>,
    seconds: number,
    wallMs: number,
  ): TopSnapshot {
    const tallies = this.#tallies(rows, wallMs / 1000);
    const rate = ({ succ, err }: Calls): number => seconds === 0 ? 0 : (succ + err) / seconds;
    const age = (lastTs: number): number | undefined =>
      lastTs === 0 ? undefined : Math.max(0, Math.round(wallMs / 1000 - lastTs));
    const modules = new Map<string, ModuleTally>();
    const all = { succ: 0, err: 0 };
    const nodes: TopNode[] = [];
    for (const [key, tally] of tallies) {
      const own = calls.get(key) ?? { succ: 0, err: 0 };
      all.succ += own.succ;
      all.err += own.err;
      addToModule(modules, tally, own);
      nodes.push({
        ...tally.key,
        state: tally.route?.state ?? "gone",
        zone: tally.route?.zone ?? "",
        weight: tally.route?.weight ?? 0,
        out: tally.out,
        callers: tally.callers,
        callsPerSecond: rate(own),
        errorShare: shareOf(own),
        ageSeconds: age(tally.lastTs),
      });
    }
    return {
      atMs: wallMs,
      nodes,
      modules: [...modules.values()].map((module) => ({
        modId: module.modId,
        cmdId: module.cmdId,
        nodes: module.nodes,
        out: module.out,
        callers: module.callers,
        callsPerSecond: rate(module.calls),
        errorShare: shareOf(module.calls),
        ageSeconds: age(module.lastTs),
      })),
      callsPerSecond: rate(all),
      errorShare: shareOf(all),
      out: nodes.filter((node) => node.out > 0).length,
    };
  }

  /** Every node with a route or a result, in the order of the routes. */
  #tallies(rows: readonly CallStatusRow[], nowS: number): Map<string, NodeTally> {
    const tallies = new Map<string, NodeTally>();
    const tallyOf = (row: NodeTally["key"]): NodeTally => {
      const key = nodeKey(row);
      let tally = tallies.get(key);
      if (tally === undefined) {
        const { modId, cmdId, ip, port } = row;
        tally = {
          key: { modId, cmdId, ip, port },
          route: undefined,
          out: 0,
          callers: 0,
          lastTs: 0,
        };
        tallies.set(key, tally);
      }
      return tally;
    };
    for (const route of this.#routes) tallyOf(route).route = route;
    for (const row of rows) {
      const isFresh = row.ts > nowS - FRESH_S;
      if (!isFresh && !tallies.has(nodeKey(row))) continue;
      const tally = tallyOf(row);
      tally.lastTs = Math.max(tally.lastTs, row.ts);
      if (!isFresh) continue;
      tally.callers++;
      if (row.overload) tally.out++;
    }
    return tallies;
  }
}

interface ModuleTally extends ModuleKey {
  nodes: number;
  out: number;
  callers: number;
  lastTs: number;
  readonly calls: Calls;
}

function addToModule(modules: Map<string, ModuleTally>, tally: NodeTally, calls: Calls): void {
  const { modId, cmdId } = tally.key;
  const key = `${modId},${cmdId}`;
  let module = modules.get(key);
  if (module === undefined) {
    module = { modId, cmdId, nodes: 0, out: 0, callers: 0, lastTs: 0, calls: { succ: 0, err: 0 } };
    modules.set(key, module);
  }
  if (tally.route !== undefined) module.nodes++;
  if (tally.out > 0) module.out++;
  // Callers of a module use its nodes in turn: the node with the most knows nearly all of them.
  module.callers = Math.max(module.callers, tally.callers);
  module.lastTs = Math.max(module.lastTs, tally.lastTs);
  module.calls.succ += calls.succ;
  module.calls.err += calls.err;
}
