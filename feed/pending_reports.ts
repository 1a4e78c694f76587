// Core. Results that wait for the reporter: the latest of each node, within a bound.

import type { ModuleReport, RefusedTotals } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId } from "../model/module.ts";
import { type GainedResult, gainedResult, gainsTogether } from "./reported_totals.ts";

/** Nodes with results that wait, about 200 bytes each; beyond it the oldest are dropped. */
export const PENDING_NODES_MAX = 65_536;

/**
 * Results in one frame. One takes at most 122 bytes: tag and length 2, ip 11, port 4, succ and err
 * 6 each, overload 2, four totals of 2 + 8, four gains of 1 + 8 behind tag and length of 3, and some
 * to spare; 530 of them fit 65,527.
 */
export const RESULTS_PER_FRAME_MAX = 530;

/** Results of one module with the time they are from. */
export interface TimedReport extends ModuleReport {
  readonly results: GainedResult[];
  /** Unix seconds. */
  readonly ts: number;
  /** How much of `refused` is new. */
  readonly refusedNew: number;
}

interface PendingModule {
  readonly modId: number;
  readonly cmdId: number;
  ts: number;
  readonly results: Map<number, GainedResult>;
  /** Counts as one node. */
  refused: RefusedTotals | undefined;
  refusedNew: number;
}

/** The later of two; what was fresh and did not go out yet still is. */
function laterRefused(
  known: RefusedTotals | undefined,
  more: RefusedTotals | undefined,
  replace: boolean,
): RefusedTotals | undefined {
  if (known === undefined || more === undefined) return known ?? more;
  return { ...(replace ? more : known), fresh: known.fresh || more.fresh };
}

/**
 * While the reporter is away, a later result of a node takes the place of an earlier one: counts of
 * a window are replaced in the database anyway, and totals only grow. What is new in them adds up.
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
    const results: GainedResult[] = [];
    for (const [host, result] of module.results) {
      if (results.length >= RESULTS_PER_FRAME_MAX) break;
      results.push(result);
      module.results.delete(host);
    }
    this.#nodeCount -= results.length;
    if (module.results.size === 0) this.#modules.delete(key);
    const { modId, cmdId, ts, refused, refusedNew } = module;
    if (refused === undefined) return { modId, cmdId, ts, results, refusedNew };
    module.refused = undefined;
    module.refusedNew = 0;
    this.#nodeCount--;
    return { modId, cmdId, ts, results, refused, refusedNew };
  }

  #merge(report: TimedReport, replace: boolean): void {
    const { modId, cmdId, ts } = report;
    const key = moduleId(modId, cmdId);
    let module = this.#modules.get(key);
    if (module === undefined) {
      module = { modId, cmdId, ts, results: new Map(), refused: undefined, refusedNew: 0 };
      this.#modules.set(key, module);
    }
    module.ts = Math.max(module.ts, ts);
    if (module.refused === undefined && report.refused !== undefined) this.#nodeCount++;
    module.refused = laterRefused(module.refused, report.refused, replace);
    module.refusedNew += report.refusedNew;
    for (const result of report.results) {
      const host = result.ip * 65536 + result.port;
      const known = module.results.get(host);
      if (known === undefined) this.#nodeCount++;
      const gains = known === undefined ? result.gains : gainsTogether(known.gains, result.gains);
      module.results.set(host, gainedResult(replace ? result : known ?? result, gains));
    }
    if (module.results.size === 0 && module.refused === undefined) this.#modules.delete(key);
    while (this.#nodeCount > this.#nodesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    const [first] = this.#modules;
    if (first === undefined) return;
    const [key, module] = first;
    const [host] = module.results.keys();
    if (host === undefined) {
      module.refused = undefined;
      module.refusedNew = 0;
    } else {
      module.results.delete(host);
    }
    if (module.results.size === 0 && module.refused === undefined) this.#modules.delete(key);
    this.#nodeCount--;
    this.#dropped++;
  }
}
