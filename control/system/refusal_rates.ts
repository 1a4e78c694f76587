// Core. Callers that got no node, per second and by module, from totals that only grow.

import { type ModuleId, moduleId } from "../../model/module.ts";
import type { RefusedTotal } from "../../sql/store.ts";
import type { RefusedCauses } from "../schemas.ts";

/** Rates are those between the newest and the oldest of so many looks, a second apart. */
const LOOKS_MAX = 11;

const NONE: RefusedCauses = { overload: 0, unusable: 0, noNode: 0, noRoute: 0 };

/** Of one module. */
export interface RefusalRate {
  readonly refusedBy: RefusedCauses;
  readonly refusedPerSecond: number;
  /** Of all that asked: those that made a call, and those that were refused. */
  readonly refusedShare: number;
}

/** What nobody was refused. */
export const NO_REFUSALS: RefusalRate = { refusedBy: NONE, refusedPerSecond: 0, refusedShare: 0 };

interface Look extends RefusedCauses {
  readonly atMs: number;
}

function sumOf({ overload, unusable, noNode, noRoute }: RefusedCauses): number {
  return overload + unusable + noNode + noRoute;
}

/** A share of callers; 0 when nobody asked. */
export function refusedShareOf(refusedPerSecond: number, callsPerSecond: number): number {
  const asked = refusedPerSecond + callsPerSecond;
  return asked === 0 ? 0 : refusedPerSecond / asked;
}

/** Remembers the last looks at the totals of each module that has any. */
export class RefusalRates {
  #looks = new Map<ModuleId, Look[]>();
  #lastMs: number | undefined;

  /** Takes the totals of all modules. */
  look(totals: readonly RefusedTotal[], nowMs: number): void {
    const looks = new Map<ModuleId, Look[]>();
    for (const { modId, cmdId, overload, unusable, noNode, noRoute } of totals) {
      const key = moduleId(modId, cmdId);
      const now = { atMs: nowMs, overload, unusable, noNode, noRoute };
      looks.set(key, this.#added(this.#looks.get(key), now));
    }
    this.#looks = looks;
    this.#lastMs = nowMs;
  }

  /** The rate of a module of which so many calls are made. */
  of(key: ModuleId, callsPerSecond: number): RefusalRate {
    const looks = this.#looks.get(key) ?? [];
    const first = looks.at(0);
    const last = looks.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return NO_REFUSALS;
    if (sumOf(last) === sumOf(first)) return NO_REFUSALS;
    const seconds = (last.atMs - first.atMs) / 1000;
    const refusedBy = {
      overload: (last.overload - first.overload) / seconds,
      unusable: (last.unusable - first.unusable) / seconds,
      noNode: (last.noNode - first.noNode) / seconds,
      noRoute: (last.noRoute - first.noRoute) / seconds,
    };
    const refusedPerSecond = sumOf(refusedBy);
    const refusedShare = refusedShareOf(refusedPerSecond, callsPerSecond);
    return { refusedBy, refusedPerSecond, refusedShare };
  }

  #added(known: readonly Look[] | undefined, now: Look): Look[] {
    const last = known?.at(-1);
    if (known === undefined || last === undefined) {
      // Rows come with the first refused call: before this look there was none.
      const before = this.#lastMs;
      return before === undefined ? [now] : [{ ...NONE, atMs: before }, now];
    }
    const fell = now.overload < last.overload || now.unusable < last.unusable ||
      now.noNode < last.noNode || now.noRoute < last.noRoute;
    // Totals that fall belong to a caller that started anew: what was before tells nothing.
    return fell ? [now] : [...known.slice(1 - LOOKS_MAX), now];
  }
}
