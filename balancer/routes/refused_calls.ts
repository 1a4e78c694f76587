// Core. Callers that asked and got no node: how many of each module, and why.

import { RetCode } from "../../proto/message_ids.ts";
import type { ModuleReport, RefusedTotals, RouteState } from "./route_records.ts";

/**
 * Modules that never had a node of which refused calls are told one by one; those of further ones
 * count in the totals of the loop alone. Callers may make such modules up without end.
 */
export const REFUSED_NODELESS_MAX = 100;

/**
 * A module asked for the first time has no route yet, and clients ask again: what is answered within
 * this time is in the totals of the loop alone. Milliseconds.
 */
export const ROUTE_AWAITED_MS = 1000;

/** All causes together. */
export function refusedSum(totals: Omit<RefusedTotals, "fresh">): number {
  return totals.overload + totals.unusable + totals.noNode + totals.noRoute;
}

/** Both together. */
export function refusedTogether(one: RefusedTotals, other: RefusedTotals): RefusedTotals {
  return {
    overload: one.overload + other.overload,
    unusable: one.unusable + other.unusable,
    noNode: one.noNode + other.noNode,
    noRoute: one.noRoute + other.noRoute,
    fresh: one.fresh && other.fresh,
  };
}

/** What came since `before`; all of it where totals fell, because the count began anew. */
export function refusedBetween(
  before: RefusedTotals | undefined,
  now: RefusedTotals,
): RefusedTotals {
  if (before === undefined || now.fresh) return now;
  const fell = now.overload < before.overload || now.unusable < before.unusable ||
    now.noNode < before.noNode || now.noRoute < before.noRoute;
  if (fell) return now;
  return {
    overload: now.overload - before.overload,
    unusable: now.unusable - before.unusable,
    noNode: now.noNode - before.noNode,
    noRoute: now.noRoute - before.noRoute,
    fresh: false,
  };
}

/** The same while it is counted. */
export class RefusedCount {
  readonly modId: number;
  readonly cmdId: number;
  /** True: takes one of the places of {@linkcode REFUSED_NODELESS_MAX}. */
  readonly isNodeless: boolean;
  overload = 0;
  unusable = 0;
  noNode = 0;
  noRoute = 0;
  fresh = true;
  /** True while something is to be told. */
  dirty = false;
  toldAtMs = -Infinity;

  constructor(modId: number, cmdId: number, isNodeless: boolean) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.isNodeless = isNodeless;
  }

  /** What is to be told; from then on it is not fresh. */
  take(): RefusedTotals {
    const { overload, unusable, noNode, noRoute, fresh } = this;
    this.fresh = false;
    this.dirty = false;
    return { overload, unusable, noNode, noRoute, fresh };
  }
}

/** What is to be known of a module whose caller got no node. */
export interface RefusingModule {
  readonly modId: number;
  readonly cmdId: number;
  readonly state: RouteState;
  /** When it was first asked for. */
  readonly createdAtMs: number;
  readonly hasNodes: boolean;
  /** Undefined while it never had a node. */
  readonly balance: unknown;
  refused: RefusedCount | undefined;
}

/** Refused calls of all modules of one loop. Allocates once for each module, not for each call. */
export class RefusalCounter {
  readonly #nodelessMax: number;
  #nodelessCount = 0;
  #dirty: RefusedCount[] = [];

  constructor(nodelessMax = REFUSED_NODELESS_MAX) {
    this.#nodelessMax = nodelessMax;
  }

  /** True when something is to be told. */
  get pending(): boolean {
    return this.#dirty.length > 0;
  }

  /** A caller of the module was answered `retcode` instead of a node. */
  count(entry: RefusingModule, retcode: number, nowMs: number): void {
    if (entry.state === "pulling" && nowMs - entry.createdAtMs < ROUTE_AWAITED_MS) return;
    const refused = entry.refused ?? this.#begin(entry);
    if (refused === undefined) return;
    if (retcode === RetCode.Overload) refused.overload++;
    else if (entry.hasNodes) refused.unusable++;
    else if (entry.state === "pulling") refused.noRoute++;
    else refused.noNode++;
    this.#mark(refused);
  }

  /** Callers that pick for themselves were refused so often since they last told. */
  add(entry: RefusingModule, more: Omit<RefusedTotals, "fresh">): void {
    const refused = entry.refused ?? this.#begin(entry);
    if (refused === undefined || refusedSum(more) === 0) return;
    refused.overload += more.overload;
    refused.unusable += more.unusable;
    refused.noNode += more.noNode;
    refused.noRoute += more.noRoute;
    this.#mark(refused);
  }

  /** The module is forgotten; what was counted of it is still told. */
  forget(entry: RefusingModule): void {
    if (entry.refused?.isNodeless === true) this.#nodelessCount--;
    entry.refused = undefined;
  }

  /** Takes what is to be told, of each module at most once in `intervalMs`, or all with `force`. */
  drain(nowMs: number, intervalMs: number, force: boolean): ModuleReport[] {
    if (this.#dirty.length === 0) return [];
    const reports: ModuleReport[] = [];
    const waiting: RefusedCount[] = [];
    for (const refused of this.#dirty) {
      if (!force && nowMs - refused.toldAtMs < intervalMs) {
        waiting.push(refused);
        continue;
      }
      refused.toldAtMs = nowMs;
      const { modId, cmdId } = refused;
      reports.push({ modId, cmdId, results: [], refused: refused.take() });
    }
    this.#dirty = waiting;
    return reports;
  }

  #begin(entry: RefusingModule): RefusedCount | undefined {
    const isNodeless = entry.balance === undefined;
    if (isNodeless) {
      if (this.#nodelessCount >= this.#nodelessMax) return undefined;
      this.#nodelessCount++;
    }
    return entry.refused = new RefusedCount(entry.modId, entry.cmdId, isNodeless);
  }

  #mark(refused: RefusedCount): void {
    if (refused.dirty) return;
    refused.dirty = true;
    this.#dirty.push(refused);
  }
}
