// Core. What nodes' totals came to when they were last taken: sums over balancers, each call new once.

import type { HostResult } from "../balancer/balance_records.ts";
import { refusedBetween, refusedSum, refusedTogether } from "../balancer/routes/refused_calls.ts";
import type { RefusedTotals } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { addressId } from "../model/node.ts";
import type { CallGains } from "../proto/codec.ts";

/**
 * Nodes whose totals are remembered, about 200 bytes each, for each balancer that tells of them. Beyond it those of the module reported
 * longest ago are forgotten: calls until its next report are then missing from the history, unless
 * they are all the node ever had.
 */
export const REPORTED_NODES_MAX = 200_000;

/** Nothing new. */
export const NO_GAINS: CallGains = { succ: 0, err: 0, timed: 0, timeMs: 0 };

/** A result, and how much of its totals is new. */
export interface GainedResult extends HostResult {
  readonly gains: CallGains;
}

/** Written out, as most of what an agent sends passes here: to copy an object costs several times as much. */
export function gainedResult(result: HostResult, gains: CallGains): GainedResult {
  const { ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal } = result;
  return { ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal, gains };
}

/** Both together. */
export function gainsTogether(one: CallGains, other: CallGains): CallGains {
  return {
    succ: one.succ + other.succ,
    err: one.err + other.err,
    timed: one.timed + other.timed,
    timeMs: one.timeMs + other.timeMs,
  };
}

const RESULT_NUMBERS = 8;

/** What is remembered of a result. */
type LatestResult = Omit<HostResult, "overload">;

/**
 * The latest result of each node. A module mostly tells of its nodes in the order in which it told of
 * them before: then the next one is known without a search.
 */
class LatestResults {
  readonly #places = new Map<number, number>();
  /** Of each node {@linkcode RESULT_NUMBERS}: as objects they would be work for who collects garbage. */
  #numbers = new Float64Array(4 * RESULT_NUMBERS);
  #size = 0;
  #next = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): LatestResult | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.at(place);
  }

  /** Place of a node, which is `size` when it is new. */
  placeOf({ ip, port }: HostResult): number {
    const next = this.#next * RESULT_NUMBERS;
    const isNext = this.#next < this.#size && this.#numbers[next] === ip &&
      this.#numbers[next + 1] === port;
    return isNext ? this.#next : this.#places.get(addressId(ip, port)) ?? this.#size;
  }

  at(place: number): LatestResult {
    const first = place * RESULT_NUMBERS;
    const [ip, port, succ, err, succTotal, errTotal, timedTotal, timeMsTotal] = this.#numbers
      .subarray(first);
    return { ip, port, succ, err, succTotal, errTotal, timedTotal, timeMsTotal };
  }

  /** How much of a result is new; undefined when a total has fallen. */
  gainsOf(place: number, result: HostResult): CallGains | undefined {
    const numbers = this.#numbers;
    const at = place * RESULT_NUMBERS;
    const succ = result.succTotal - numbers[at + 4];
    const err = result.errTotal - numbers[at + 5];
    const timed = result.timedTotal - numbers[at + 6];
    const timeMs = result.timeMsTotal - numbers[at + 7];
    const hasFallen = succ < 0 || err < 0 || timed < 0 || timeMs < 0;
    return hasFallen ? undefined : { succ, err, timed, timeMs };
  }

  put(place: number, result: HostResult): void {
    const at = place * RESULT_NUMBERS;
    if (place === this.#size) {
      this.#places.set(addressId(result.ip, result.port), place);
      this.#size++;
      if (at === this.#numbers.length) {
        const larger = new Float64Array(2 * at);
        larger.set(this.#numbers);
        this.#numbers = larger;
      }
    }
    const numbers = this.#numbers;
    numbers[at] = result.ip;
    numbers[at + 1] = result.port;
    numbers[at + 2] = result.succ;
    numbers[at + 3] = result.err;
    numbers[at + 4] = result.succTotal;
    numbers[at + 5] = result.errTotal;
    numbers[at + 6] = result.timedTotal;
    numbers[at + 7] = result.timeMsTotal;
    this.#next = place + 1 < this.#size ? place + 1 : 0;
  }
}

/** What one balancer told last. */
interface Told {
  readonly nodes: LatestResults;
  refused: RefusedTotals | undefined;
}

interface ModuleTotals extends Readonly<ModuleKey> {
  /** By balancer; most modules are asked for at one. */
  readonly told: Map<number, Told>;
  /** What counts came to that have begun anew since, by node. */
  readonly ended: Map<number, CallGains>;
  refusedEnded: RefusedTotals | undefined;
}

/** Refused calls as they go out, and how many of them are new. */
export interface SummedRefused {
  readonly refused: RefusedTotals;
  readonly refusedNew: number;
}

function totalsOf(result: LatestResult): CallGains {
  const { succTotal: succ, errTotal: err, timedTotal: timed, timeMsTotal: timeMs } = result;
  return { succ, err, timed, timeMs };
}

/** The same result with more calls in its totals. */
function withTotals(result: HostResult, more: CallGains): HostResult {
  return {
    ...result,
    succTotal: result.succTotal + more.succ,
    errTotal: result.errTotal + more.err,
    timedTotal: result.timedTotal + more.timed,
    timeMsTotal: result.timeMsTotal + more.timeMs,
  };
}

/**
 * Totals that only grow, taken one after the other; what fell has begun anew. Several balancers may
 * tell of one module, each what it counted itself; outside there is one count of it, their sum.
 */
export class ReportedTotals {
  readonly #nodesMax: number;
  readonly #modules = new Map<ModuleId, ModuleTotals>();
  #nodeCount = 0;
  #hasForgotten = false;
  /** The module used last: most are told of with many nodes, one after the other. */
  #latest: ModuleTotals | undefined;

  constructor(nodesMax = REPORTED_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** What a balancer tells of a node, with what all others told of it, and how much of that is new. */
  take(modId: number, cmdId: number, result: HostResult, shard = 0): GainedResult {
    const module = this.#module(modId, cmdId);
    const told = toldOf(module, shard);
    const { nodes } = told;
    const place = nodes.placeOf(result);
    const isNew = place === nodes.size;
    const gained = isNew ? undefined : nodes.gainsOf(place, result);
    if (!isNew && gained === undefined) this.#end(module, nodes.at(place));
    nodes.put(place, result);
    const gains = gained ?? (isNew ? this.#gainsOfNew(module, result) : totalsOf(result));
    return gainedResult(summed(module, shard, result), gains);
  }

  #gainsOfNew(module: ModuleTotals, result: HostResult): CallGains {
    this.#nodeCount++;
    this.#makeRoom(module);
    const isAll = !this.#hasForgotten || module.ended.has(addressId(result.ip, result.port)) ||
      (result.succTotal === result.succ && result.errTotal === result.err);
    return isAll ? totalsOf(result) : NO_GAINS;
  }

  /** What a balancer tells of the calls of a module that got no node, with what all others told. */
  takeRefused(modId: number, cmdId: number, now: RefusedTotals, shard = 0): SummedRefused {
    const module = this.#module(modId, cmdId);
    const told = toldOf(module, shard);
    const before = told.refused;
    told.refused = now;
    const gained = refusedBetween(before, now);
    const hasEnded = before !== undefined && gained === now;
    if (hasEnded) module.refusedEnded = togetherWith(module.refusedEnded, before);
    const isKnown = before !== undefined || module.refusedEnded !== undefined ||
      !this.#hasForgotten || now.fresh;
    let refused = togetherWith(module.refusedEnded, now);
    for (const [other, { refused: more }] of module.told) {
      if (other !== shard && more !== undefined) refused = refusedTogether(refused, more);
    }
    // Whoever told before, it was told.
    const fresh = now.fresh && refusedSum(refused) === refusedSum(now);
    return { refused: { ...refused, fresh }, refusedNew: isKnown ? refusedSum(gained) : 0 };
  }

  /** All balancers are about to be new ones: what they count begins at zero. */
  restarted(): void {
    for (const module of this.#modules.values()) {
      for (const { nodes, refused } of module.told.values()) {
        for (let place = 0; place < nodes.size; place++) this.#end(module, nodes.at(place));
        this.#nodeCount -= nodes.size;
        if (refused !== undefined) module.refusedEnded = togetherWith(module.refusedEnded, refused);
      }
      module.told.clear();
    }
  }

  #end(module: ModuleTotals, before: LatestResult): void {
    const key = addressId(before.ip, before.port);
    const known = module.ended.get(key);
    if (known === undefined) this.#nodeCount++;
    module.ended.set(key, gainsTogether(known ?? NO_GAINS, totalsOf(before)));
  }

  /** The module, from now on the one used last. */
  #module(modId: number, cmdId: number): ModuleTotals {
    const latest = this.#latest;
    if (latest !== undefined && latest.modId === modId && latest.cmdId === cmdId) return latest;
    const key = moduleId(modId, cmdId);
    const module = this.#modules.get(key) ??
      { modId, cmdId, told: new Map(), ended: new Map(), refusedEnded: undefined };
    this.#modules.delete(key);
    this.#modules.set(key, module);
    this.#latest = module;
    this.#makeRoom(module);
    return module;
  }

  /** A module counts as one node, so that refused calls of made-up modules are bounded, too. */
  #makeRoom(kept: ModuleTotals): void {
    while (this.#nodeCount + this.#modules.size > this.#nodesMax) {
      const [[key, oldest]] = this.#modules;
      if (oldest === kept) return;
      this.#modules.delete(key);
      this.#nodeCount -= oldest.ended.size;
      for (const { nodes } of oldest.told.values()) this.#nodeCount -= nodes.size;
      this.#hasForgotten = true;
    }
  }
}

function toldOf({ told }: ModuleTotals, shard: number): Told {
  let known = told.get(shard);
  if (known === undefined) {
    told.set(shard, known = { nodes: new LatestResults(), refused: undefined });
  }
  return known;
}

function togetherWith(one: RefusedTotals | undefined, other: RefusedTotals): RefusedTotals {
  return one === undefined ? other : refusedTogether(one, other);
}

/** With what others told of the node, windows too; whether it is out is said by who spoke last. */
function summed(
  { told, ended }: ModuleTotals,
  shard: number,
  result: HostResult,
): HostResult {
  if (told.size === 1 && ended.size === 0) return result;
  const key = addressId(result.ip, result.port);
  let sum = result;
  for (const [other, { nodes }] of told) {
    const more = other === shard ? undefined : nodes.get(key);
    if (more === undefined) continue;
    sum = {
      ...withTotals(sum, totalsOf(more)),
      succ: sum.succ + more.succ,
      err: sum.err + more.err,
    };
  }
  const before = ended.get(key);
  return before === undefined ? sum : withTotals(sum, before);
}
