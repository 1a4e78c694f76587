// Core. The node with the fewest calls under way for its weight.

import type { Host } from "../host.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { TieTurns } from "./weighted_turns.ts";

function loadOf(host: Host): number {
  return (host.stats?.underWay.count ?? 0) / host.pickWeight;
}

/**
 * Weighted least connections, as of the Linux Virtual Server (`ip_vs_wlc`) and HAProxy
 * (`leastconn`): the least number of calls under way for its weight. Equal loads, those of idle
 * nodes above all, go by weighted turns: an agent sees its own calls only, so most nodes are idle to
 * it, and the heaviest of them must not take every call. O(log n).
 */
export class LeastConnectionsPolicy implements PickPolicy {
  readonly name = "least_connections";
  readonly followsCalls = true;
  readonly #heap = new HostHeap();
  readonly #ties: TieTurns;

  constructor(context: Pick<PickContext, "dice" | "totals">) {
    this.#ties = new TieTurns(context);
  }

  add(host: Host): void {
    this.#heap.add(host, loadOf(host), this.#ties.first(host));
  }

  remove(host: Host): void {
    this.#heap.remove(host);
  }

  weightChanged(host: Host, before: number): void {
    const turn = this.#ties.reweighed(host, this.#heap.turnOf(host), before);
    this.#heap.changeTurn(host, loadOf(host), turn);
  }

  turnsLeft(left: Map<Host, number>): void {
    this.#ties.turnsLeft(this.#heap, left);
  }

  keepTurns(left: ReadonlyMap<Host, number>): void {
    this.#ties.keepTurns(this.#heap, left);
  }

  pick(): Host | undefined {
    return this.#heap.least;
  }

  began(host: Host): void {
    this.#heap.changeTurn(host, loadOf(host), this.#ties.next(host, this.#heap.turnOf(host)));
  }

  ended(host: Host): void {
    this.#heap.change(host, loadOf(host));
  }
}
