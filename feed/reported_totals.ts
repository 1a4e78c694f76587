// Core. What nodes' totals came to when they were last taken, so that each call counts as new once.

import type { HostResult } from "../balancer/balance_records.ts";
import { refusedBetween, refusedSum } from "../balancer/routes/refused_calls.ts";
import type { RefusedTotals } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId } from "../model/module.ts";
import { addressId } from "../model/node.ts";
import type { CallGains } from "../proto/codec.ts";

/**
 * Nodes whose totals are remembered, about 150 bytes each. Beyond it those of the module reported
 * longest ago are forgotten: calls until its next report are then missing from the history, unless
 * they are all the node ever had.
 */
export const REPORTED_NODES_MAX = 200_000;

/** Nothing new. */
export const NO_GAINS: CallGains = { succ: 0, err: 0, timed: 0, timeMs: 0 };

/** Both together. */
export function gainsTogether(one: CallGains, other: CallGains): CallGains {
  return {
    succ: one.succ + other.succ,
    err: one.err + other.err,
    timed: one.timed + other.timed,
    timeMs: one.timeMs + other.timeMs,
  };
}

interface ModuleTotals {
  readonly nodes: Map<number, CallGains>;
  refused: RefusedTotals | undefined;
}

/** Totals that only grow, taken one after the other; what fell has begun anew. */
export class ReportedTotals {
  readonly #nodesMax: number;
  readonly #modules = new Map<ModuleId, ModuleTotals>();
  #nodeCount = 0;
  #hasForgotten = false;

  constructor(nodesMax = REPORTED_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** What came since the last result of this node. */
  gainsOf(modId: number, cmdId: number, result: HostResult): CallGains {
    const module = this.#module(modId, cmdId);
    const key = addressId(result.ip, result.port);
    const { succTotal: succ, errTotal: err, timedTotal: timed, timeMsTotal: timeMs } = result;
    const now = { succ, err, timed, timeMs };
    const before = module.nodes.get(key);
    module.nodes.set(key, now);
    if (before === undefined) {
      this.#nodeCount++;
      this.#makeRoom(module);
      const isAll = !this.#hasForgotten || (succ === result.succ && err === result.err);
      return isAll ? now : NO_GAINS;
    }
    const fell = succ < before.succ || err < before.err || timed < before.timed ||
      timeMs < before.timeMs;
    if (fell) return now;
    return {
      succ: succ - before.succ,
      err: err - before.err,
      timed: timed - before.timed,
      timeMs: timeMs - before.timeMs,
    };
  }

  /** Calls of a module that got no node since the last time. */
  refusedOf(modId: number, cmdId: number, refused: RefusedTotals): number {
    const module = this.#module(modId, cmdId);
    const before = module.refused;
    module.refused = refused;
    if (before === undefined && this.#hasForgotten && !refused.fresh) return 0;
    return refusedSum(refusedBetween(before, refused));
  }

  /** The module, from now on the one used last. */
  #module(modId: number, cmdId: number): ModuleTotals {
    const key = moduleId(modId, cmdId);
    const module = this.#modules.get(key) ?? { nodes: new Map(), refused: undefined };
    this.#modules.delete(key);
    this.#modules.set(key, module);
    this.#makeRoom(module);
    return module;
  }

  /** A module counts as one node, so that refused calls of made-up modules are bounded, too. */
  #makeRoom(kept: ModuleTotals): void {
    while (this.#nodeCount + this.#modules.size > this.#nodesMax) {
      const [[key, oldest]] = this.#modules;
      if (oldest === kept) return;
      this.#modules.delete(key);
      this.#nodeCount -= oldest.nodes.size;
      this.#hasForgotten = true;
    }
  }
}
