// Core. What `lars top` shows: modules and nodes with rates, from successive looks at counters.

import { type ModuleId, moduleId, type ModuleKey, moduleText } from "../model/module.ts";
import type { NamedModule } from "../model/module_name.ts";
import { nodeId, type NodeState } from "../model/node.ts";
import { parseIpv4 } from "../reactor/address.ts";
import type { RouteRow } from "../sql/store.ts";
import type { Counters } from "../control/schemas.ts";

type ModuleCounters = Counters["modules"][number];
type NodeCounters = ModuleCounters["nodes"][number];

/** Rates are those of this time, in milliseconds. */
export const RATE_WINDOW_MS = 10_000;

/** What modules and nodes have in common. */
interface Rates {
  /** Name of the module; "" = it has none. */
  readonly name: string;
  /** Calls per second, failed ones too. */
  readonly callsPerSecond: number;
  /** Failed calls of all calls, 0 to 1; 0 without calls. */
  readonly errorShare: number;
  /** Mean time of the calls of the last minute; undefined where no caller told what they took. */
  readonly meanMs: number | undefined;
  /** Hosts whose callers used it lately. */
  readonly callers: number;
  /** Seconds since the last result; undefined when there never was one. */
  readonly ageSeconds: number | undefined;
}

/** One module. */
export interface TopModule extends ModuleKey, Rates {
  readonly nodes: number;
  /** Nodes that at least one host keeps out. */
  readonly out: number;
  /** Callers per second that asked for a node and got none. */
  readonly refusedPerSecond: number;
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
  /** Callers per second, of all modules, that asked for a node and got none. */
  readonly refusedPerSecond: number;
  /** Nodes that at least one host keeps out. */
  readonly out: number;
}

/** Calls of one node or module within some time. */
interface Calls {
  readonly succ: number;
  readonly err: number;
}

interface Step {
  readonly tookMs: number;
  readonly calls: ReadonlyMap<string, Calls>;
  /** By module. */
  readonly refused: ReadonlyMap<string, number>;
}

/** Counts of a node as it was looked at, and whether they are of its whole life. */
interface Reading extends Calls {
  readonly isTotal: boolean;
}

interface NodeTally {
  readonly key: { modId: number; cmdId: number; ip: number; port: number };
  route: RouteRow | undefined;
  out: number;
  callers: number;
  lastTs: number;
  meanMs: number | undefined;
}

interface ModuleTally extends ModuleKey {
  nodes: number;
  out: number;
  callers: number;
  lastTs: number;
  calls: Calls;
  refused: number;
}

const NO_CALLS: Calls = { succ: 0, err: 0 };

function shareOf({ succ, err }: Calls): number {
  return succ + err === 0 ? 0 : err / (succ + err);
}

/** Of agents that tell no totals the last window is all that is known. */
function readingOf({ succTotal, errTotal, succCount, errCount }: NodeCounters): Reading {
  return succTotal + errTotal > 0
    ? { succ: succTotal, err: errTotal, isTotal: true }
    : { succ: succCount, err: errCount, isTotal: false };
}

/** Calls between two readings of a node. */
function callsBetween(before: Reading | undefined, now: Reading, node: NodeCounters): Calls {
  if (before === undefined) {
    // The totals of a node that is new may be old: they count when all are of its first window.
    const isNewborn = node.succTotal === node.succCount && node.errTotal === node.errCount;
    return isNewborn ? now : NO_CALLS;
  }
  if (before.isTotal !== now.isTotal) return NO_CALLS;
  if (now.succ >= before.succ && now.err >= before.err) {
    return { succ: now.succ - before.succ, err: now.err - before.err };
  }
  // A window began anew; or an agent did, and then the sum of all tells nothing.
  return now.isTotal ? NO_CALLS : now;
}

function refusedSum({ overload, unusable, noNode, noRoute }: ModuleCounters["refused"]): number {
  return overload + unusable + noNode + noRoute;
}

/** Calls of the last minute, as far as the history knows them. */
function recentCalls({ recent }: Pick<NodeCounters, "recent">): Calls {
  if (recent === null) return NO_CALLS;
  return { succ: recent.calls - recent.errors, err: recent.errors };
}

/** Nodes of counters by their keys. */
function* nodesIn(
  counters: Counters,
): Generator<{ key: NodeTally["key"]; node: NodeCounters }> {
  for (const { modId, cmdId, nodes } of counters.modules) {
    for (const node of nodes) {
      yield { key: { modId, cmdId, ip: parseIpv4(node.ip), port: node.port }, node };
    }
  }
}

/** Turns successive counters into rates. */
export class TopModel {
  #before = new Map<string, Reading>();
  #refusedBefore: ReadonlyMap<string, number> = new Map();
  #routes: readonly RouteRow[] = [];
  #modules: ReadonlyMap<ModuleId, NamedModule> = new Map();
  #steps: Step[] = [];
  #lastMs: number | undefined;

  /** The routes, whenever they were read anew. */
  setRoutes(routes: readonly RouteRow[]): void {
    this.#routes = routes;
  }

  /** Modules with a name or a policy, whenever they were read anew; they may have no node. */
  setTexts(modules: readonly NamedModule[]): void {
    this.#modules = new Map(modules.map((one) => [moduleId(one.modId, one.cmdId), one]));
  }

  /** Takes the counters of one look. Until it has looked twice the last minute stands for now. */
  look(counters: Counters): TopSnapshot {
    this.#addStep(counters);
    if (this.#steps.length === 0) return this.#seeded(counters);
    const seconds = this.#steps.reduce((sum, step) => sum + step.tookMs, 0) / 1000;
    const calls = new Map<string, Calls>();
    for (const step of this.#steps) {
      for (const [key, { succ, err }] of step.calls) {
        const sum = calls.get(key) ?? NO_CALLS;
        calls.set(key, { succ: sum.succ + succ, err: sum.err + err });
      }
    }
    const refused = new Map<string, number>();
    for (const step of this.#steps) {
      for (const [key, count] of step.refused) refused.set(key, (refused.get(key) ?? 0) + count);
    }
    return this.#snapshot(counters, calls, refused, seconds);
  }

  #addStep(counters: Counters): void {
    const { atMs } = counters;
    const calls = new Map<string, Calls>();
    const seen = new Map<string, Reading>();
    for (const { key, node } of nodesIn(counters)) {
      const name = nodeId(key);
      const now = readingOf(node);
      seen.set(name, now);
      const between = callsBetween(this.#before.get(name), now, node);
      if (between.succ + between.err > 0) calls.set(name, between);
    }
    this.#before = seen;
    const totals = new Map(
      counters.modules.map((module) => [moduleText(module), refusedSum(module.refused)]),
    );
    // A total that fell is that of an agent that started anew: it tells nothing.
    const refused = new Map(
      [...totals].map((
        [key, now],
      ) => [key, Math.max(0, now - (this.#refusedBefore.get(key) ?? 0))]),
    );
    this.#refusedBefore = totals;
    // A clock that was set back says nothing of the time between.
    if (this.#lastMs !== undefined && atMs > this.#lastMs) {
      this.#steps.push({ tookMs: atMs - this.#lastMs, calls, refused });
    }
    this.#lastMs = atMs;
    let tookMs = this.#steps.reduce((sum, step) => sum + step.tookMs, 0);
    while (this.#steps.length > 1 && tookMs > RATE_WINDOW_MS) {
      tookMs -= this.#steps.shift()?.tookMs ?? 0;
    }
  }

  /**
   * A look with the history of the last minute in the place of rates. It may be known of modules
   * alone.
   */
  #seeded(counters: Counters): TopSnapshot {
    const calls = new Map<string, Calls>();
    for (const { key, node } of nodesIn(counters)) calls.set(nodeId(key), recentCalls(node));
    const ofModules = new Map(
      counters.modules.map((module) => [moduleText(module), recentCalls(module)]),
    );
    const refused = new Map(
      counters.modules.map((module) => [moduleText(module), module.recent?.refused ?? 0]),
    );
    return this.#snapshot(counters, calls, refused, counters.recentSeconds, ofModules);
  }

  #snapshot(
    counters: Counters,
    calls: ReadonlyMap<string, Calls>,
    refused: ReadonlyMap<string, number>,
    seconds: number,
    ofModules?: ReadonlyMap<string, Calls>,
  ): TopSnapshot {
    const { atMs } = counters;
    const means = new Map(
      counters.modules.map((module) => [moduleText(module), module.recent?.meanMs ?? undefined]),
    );
    const rate = ({ succ, err }: Calls): number => seconds === 0 ? 0 : (succ + err) / seconds;
    const age = (lastTs: number): number | undefined =>
      lastTs === 0 ? undefined : Math.max(0, Math.round(atMs / 1000 - lastTs));
    const modules = new Map<string, ModuleTally>();
    const nodes: TopNode[] = [];
    for (const [key, tally] of this.#tallies(counters)) {
      const own = calls.get(key) ?? NO_CALLS;
      addToModule(modules, tally, own);
      nodes.push({
        ...tally.key,
        name: this.#nameOf(tally.key),
        state: tally.route?.state ?? "gone",
        zone: tally.route?.zone ?? "",
        weight: tally.route?.weight ?? 0,
        out: tally.out,
        callers: tally.callers,
        callsPerSecond: rate(own),
        errorShare: shareOf(own),
        meanMs: tally.meanMs,
        ageSeconds: age(tally.lastTs),
      });
    }
    for (const module of this.#modules.values()) moduleTally(modules, module);
    const all = { succ: 0, err: 0, refused: 0 };
    for (const { modId, cmdId } of counters.modules) {
      const key = moduleText({ modId, cmdId });
      const count = refused.get(key) ?? 0;
      // One that never had a node has no row of a node to stand for it.
      if (count > 0) moduleTally(modules, { modId, cmdId }).refused = count;
      all.refused += count;
    }
    for (const [key, module] of modules) {
      if (ofModules !== undefined) module.calls = ofModules.get(key) ?? NO_CALLS;
      all.succ += module.calls.succ;
      all.err += module.calls.err;
    }
    return {
      atMs,
      nodes,
      modules: [...modules].map(([key, module]) => ({
        modId: module.modId,
        cmdId: module.cmdId,
        name: this.#nameOf(module),
        nodes: module.nodes,
        out: module.out,
        callers: module.callers,
        callsPerSecond: rate(module.calls),
        errorShare: shareOf(module.calls),
        refusedPerSecond: seconds === 0 ? 0 : module.refused / seconds,
        meanMs: means.get(key),
        ageSeconds: age(module.lastTs),
      })),
      callsPerSecond: rate(all),
      errorShare: shareOf(all),
      refusedPerSecond: seconds === 0 ? 0 : all.refused / seconds,
      out: nodes.filter((node) => node.out > 0).length,
    };
  }

  #nameOf({ modId, cmdId }: ModuleKey): string {
    return this.#modules.get(moduleId(modId, cmdId))?.name ?? "";
  }

  /** Every node with a route, and those with results of late, in the order of the routes. */
  #tallies(counters: Counters): Map<string, NodeTally> {
    const tallies = new Map<string, NodeTally>();
    const tallyOf = ({ modId, cmdId, ip, port }: NodeTally["key"]): NodeTally => {
      const key = { modId, cmdId, ip, port };
      const tally = {
        key,
        route: undefined,
        out: 0,
        callers: 0,
        lastTs: 0,
        meanMs: undefined,
      };
      tallies.set(nodeId(key), tally);
      return tally;
    };
    for (const route of this.#routes) tallyOf(route).route = route;
    for (const { key, node } of nodesIn(counters)) {
      const known = tallies.get(nodeId(key));
      if (known === undefined && node.callerCount === 0) continue;
      const tally = known ?? tallyOf(key);
      tally.lastTs = node.reportedAtS;
      tally.callers = node.callerCount;
      tally.out = node.overloadCount;
      tally.meanMs = node.recent?.meanMs ?? undefined;
    }
    return tallies;
  }
}

function moduleTally(modules: Map<string, ModuleTally>, { modId, cmdId }: ModuleKey): ModuleTally {
  const key = moduleText({ modId, cmdId });
  const known = modules.get(key);
  if (known !== undefined) return known;
  const none = { nodes: 0, out: 0, callers: 0, lastTs: 0, calls: NO_CALLS, refused: 0 };
  const module = { modId, cmdId, ...none };
  modules.set(key, module);
  return module;
}

function addToModule(modules: Map<string, ModuleTally>, tally: NodeTally, calls: Calls): void {
  const module = moduleTally(modules, tally.key);
  if (tally.route !== undefined) module.nodes++;
  if (tally.out > 0) module.out++;
  // Callers of a module use its nodes in turn: the node with the most knows nearly all of them.
  module.callers = Math.max(module.callers, tally.callers);
  module.lastTs = Math.max(module.lastTs, tally.lastTs);
  module.calls = { succ: module.calls.succ + calls.succ, err: module.calls.err + calls.err };
}
