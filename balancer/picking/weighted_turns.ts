// Core. Nodes in turn, heavier ones more often and evenly spread; and which turns are known beforehand.

import type { Host } from "../host.ts";
import { type Dice, DICE_LIMIT } from "./dice.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickContext } from "./pick_policy.ts";
import type { TurnRing } from "./turn_table.ts";

/**
 * Turns after which they repeat, at most: with weights that repeat later (997 and 1,009, say) each
 * pick is found by itself. A circle takes 16 bytes for each turn in the table it is lent to.
 */
export const CIRCLE_TURNS_MAX = 4096;

/** Part of a turn that is left to a node; by chance for one that comes anew. */
export function turnByChance(dice: Dice): number {
  return dice.throw() / DICE_LIMIT;
}

function partOf(left: number): number {
  return Math.min(1, Math.max(0, left));
}

/** Largest whole number that divides both. */
function commonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/**
 * Weighted round robin that never sends a burst to a heavy node, as nginx's smooth weighted round
 * robin does, but in O(log n) instead of O(n): each node has a deadline 1 / weight after its last
 * pick, and the earliest is next. (Earliest deadline first, as in Envoy's `EdfScheduler`; the shares
 * are those of weighted fair queueing, Demers, Keshav, Shenker 1989.)
 *
 * With whole weights the turns repeat once each node was picked weight / g times, g being the
 * largest number that divides all weights: so they can be lent to a table of turns.
 */
export class WeightedTurns implements TurnRing {
  readonly #heap = new HostHeap();
  /** Deadline of the latest pick: what time is to the turns. An array keeps fractions in place. */
  readonly #now = new Float64Array(1);
  /** Sum of the weights and what divides them all; NaN = not known. */
  #sum = NaN;
  #divisor = 0;
  /** Turns since they were copied, as far as they matter: within a circle. */
  #made = 0;
  /** A copy had other shares than the weights, for want of digits: no more copies of these nodes. */
  #isUneven = false;

  /** Takes a node in; `turnLeft` is the part of a turn, 0 to 1, until it is picked first. */
  add(host: Host, turnLeft: number): void {
    this.#changed();
    this.#heap.add(host, this.#now[0] + turnLeft / host.pickWeight);
  }

  /** Takes a node out. */
  remove(host: Host): void {
    this.#changed();
    this.#heap.remove(host);
  }

  /** Takes all nodes out, the next one first. */
  *takeAll(): IterableIterator<Host> {
    this.#changed();
    for (let host = this.#heap.least; host !== undefined; host = this.#heap.least) {
      this.#heap.remove(host);
      yield host;
    }
  }

  /** A node has another weight: it keeps the part of its turn that is left. */
  weightChanged(host: Host, before: number): void {
    this.#changed();
    const left = this.#heap.keyOf(host) - this.#now[0];
    this.#heap.change(host, this.#now[0] + left * before / host.pickWeight);
  }

  /** Tells of each node which part of its turn is left until it is picked again. */
  turnsLeft(left: Map<Host, number>): void {
    for (const host of this.#heap) {
      left.set(host, partOf((this.#heap.keyOf(host) - this.#now[0]) * host.pickWeight));
    }
  }

  /** Goes on with parts of turns that were told before. */
  keepTurns(left: ReadonlyMap<Host, number>): void {
    this.#changed();
    for (const host of [...this.#heap]) {
      const part = left.get(host);
      if (part !== undefined) this.#heap.change(host, this.#now[0] + part / host.pickWeight);
    }
  }

  /** The next node. */
  pick(): Host | undefined {
    const host = this.#heap.least;
    if (host === undefined) return undefined;
    const now = this.#heap.keyOf(host);
    this.#now[0] = now;
    this.#made++;
    this.#heap.change(host, now + 1 / host.pickWeight, true);
    return host;
  }

  /** Turns after which they repeat; 0 when that is not known, or too many. */
  get count(): number {
    if (this.#isUneven) return 0;
    if (Number.isNaN(this.#sum)) this.#measure();
    const turns = this.#divisor > 0 ? this.#sum / this.#divisor : 0;
    return turns <= Math.max(CIRCLE_TURNS_MAX, this.#heap.count) ? turns : 0;
  }

  get head(): Host | undefined {
    return this.#heap.least;
  }

  get made(): number {
    return this.#made;
  }

  /** Makes turns that were lent. */
  advance(turns: number): void {
    for (let left = turns % this.count; left > 0; left--) this.pick();
  }

  /** A whole circle of turns, after which all is as before. */
  *[Symbol.iterator](): IterableIterator<Host> {
    const turns = new Map<Host, number>();
    const { count } = this;
    for (let turn = 0; turn < count; turn++) {
      const host = this.pick();
      if (host === undefined) break;
      turns.set(host, (turns.get(host) ?? 0) + 1);
      yield host;
    }
    this.#made = 0;
    for (const [host, made] of turns) {
      if (made !== host.pickWeight / this.#divisor) this.#isUneven = true;
    }
  }

  #changed(): void {
    this.#sum = NaN;
    this.#made = 0;
    this.#isUneven = false;
  }

  #measure(): void {
    this.#sum = 0;
    this.#divisor = 0;
    for (const { pickWeight } of this.#heap) {
      this.#sum += pickWeight;
      this.#divisor = Number.isInteger(pickWeight) ? commonDivisor(this.#divisor, pickWeight) : NaN;
      if (Number.isNaN(this.#divisor)) break;
    }
    if (!(this.#divisor > 0)) this.#divisor = 0;
  }
}

/**
 * Turns by weight among nodes of equal load, for policies by which the load decides first. The clock
 * goes one pick of all nodes together further with each pick, and no deadline strays further from it
 * than a turn: who was busy for long, or called by far the most, is not paid back later.
 */
export class TieTurns {
  /** An array keeps fractions in place. */
  readonly #clock = new Float64Array(1);
  readonly #context: Pick<PickContext, "dice" | "totals">;

  constructor(context: Pick<PickContext, "dice" | "totals">) {
    this.#context = context;
  }

  /** Deadline of a node that comes anew. */
  first(host: Host): number {
    return this.#clock[0] + turnByChance(this.#context.dice) / host.pickWeight;
  }

  /** Deadline of a node that has just been picked. */
  next(host: Host, deadline: number): number {
    const turn = 1 / host.pickWeight;
    const clock = this.#clock[0] + 1 / Math.max(this.#context.totals.pickWeight, host.pickWeight);
    this.#clock[0] = clock;
    return Math.min(clock + turn, Math.max(clock - turn, deadline)) + turn;
  }

  /** Deadline of a node whose weight was `before`: the part of its turn that is left stays. */
  reweighed(host: Host, deadline: number, before: number): number {
    return this.#clock[0] + (deadline - this.#clock[0]) * before / host.pickWeight;
  }

  /** Tells of each node which part of its turn is left. */
  turnsLeft(heap: HostHeap, left: Map<Host, number>): void {
    for (const host of heap) {
      left.set(host, partOf((heap.turnOf(host) - this.#clock[0]) * host.pickWeight));
    }
  }

  /** Goes on with parts of turns that were told before. */
  keepTurns(heap: HostHeap, left: ReadonlyMap<Host, number>): void {
    for (const host of [...heap]) {
      const part = left.get(host);
      if (part === undefined) continue;
      heap.changeTurn(host, heap.keyOf(host), this.#clock[0] + part / host.pickWeight);
    }
  }
}
