// Core. Results on their way to the reporter: the latest of each node, and not too many.

import type { HostResult } from "../balancer/balance_records.ts";
import type { ModuleReport } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Nodes with results that wait, about 200 bytes each; beyond it the oldest are dropped. */
export const PENDING_NODES_MAX = 65_536;

/**
 * Results in one frame. One takes at most 82 bytes: tag and length 2, ip 11, port 4, succ and err
 * 6 each, overload 2, four totals of 2 + 8, and some to spare; 780 of them fit 65,527.
 */
export const RESULTS_PER_FRAME_MAX = 780;

/** Results of one module with the time they are from. */
export interface TimedReport extends ModuleReport {
  /** Unix seconds. */
  readonly ts: number;
}

interface PendingModule {
  readonly modId: number;
  readonly cmdId: number;
  ts: number;
  readonly results: Map<number, HostResult>;
}

/**
 * While the reporter is away, a later result of a node takes the place of an earlier one: counts of
 * a window are replaced in the database anyway, and totals only grow.
 */
export class PendingReports {
  readonly #nodesMax: number;
  readonly #modules = new Map<ModuleId, PendingModule>();
  #nodeCount = 0;
  #dropped = 0;

  constructor(nodesMax = PENDING_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** Nodes with results that wait. */
  get nodeCount(): number {
    return this.#nodeCount;
  }

  /** Results dropped because too many waited. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Adds results; they replace earlier ones of the same nodes. */
  add(report: TimedReport): void {
    this.#merge(report, true);
  }

  /** Puts back what may not have arrived; newer results of the same nodes stay. */
  restore(report: TimedReport): void {
    this.#merge(report, false);
  }

  /** Takes out the oldest module's results, at most one frame of them; undefined when none wait. */
  take(): TimedReport | undefined {
    const [first] = this.#modules;
    if (first === undefined) return undefined;
    const [key, module] = first;
    const results: HostResult[] = [];
    for (const [host, result] of module.results) {
      if (results.length >= RESULTS_PER_FRAME_MAX) break;
      results.push(result);
      module.results.delete(host);
    }
    this.#nodeCount -= results.length;
    if (module.results.size === 0) this.#modules.delete(key);
    const { modId, cmdId, ts } = module;
    return { modId, cmdId, ts, results };
  }

  #merge(report: TimedReport, replace: boolean): void {
    const { modId, cmdId, ts } = report;
    const key = moduleId(modId, cmdId);
    let module = this.#modules.get(key);
    if (module === undefined) {
      module = { modId, cmdId, ts, results: new Map() };
      this.#modules.set(key, module);
    }
    module.ts = Math.max(module.ts, ts);
    for (const result of report.results) {
      const host = result.ip * 65536 + result.port;
      const known = module.results.has(host);
      if (known && !replace) continue;
      if (!known) this.#nodeCount++;
      module.results.set(host, result);
    }
    if (module.results.size === 0) this.#modules.delete(key);
    while (this.#nodeCount > this.#nodesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    const [first] = this.#modules;
    if (first === undefined) return;
    const [key, module] = first;
    const [host] = module.results.keys();
    module.results.delete(host);
    if (module.results.size === 0) this.#modules.delete(key);
    this.#nodeCount--;
    this.#dropped++;
  }
}
