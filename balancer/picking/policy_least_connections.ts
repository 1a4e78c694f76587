// Core. The node with the fewest calls under way for its weight.

import type { Host } from "../host.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickPolicy } from "./pick_policy.ts";

function loadOf(host: Host): number {
  // The call that is about to begin counts, so that of idle nodes a heavy one comes first.
  return ((host.stats?.underWay.count ?? 0) + 1) / host.pickWeight;
}

/**
 * Weighted least connections, as of the Linux Virtual Server (`ip_vs_wlc`) and HAProxy
 * (`leastconn`): the least (calls under way + 1) / weight; of equals the one that waits longest, so
 * that idle nodes are picked in turn. O(log n).
 */
export class LeastConnectionsPolicy implements PickPolicy {
  readonly name = "least_connections";
  readonly followsCalls = true;
  readonly #heap = new HostHeap();

  add(host: Host): void {
    this.#heap.add(host, loadOf(host));
  }

  remove(host: Host): void {
    this.#heap.remove(host);
  }

  weightChanged(host: Host): void {
    this.#heap.change(host, loadOf(host));
  }

  pick(): Host | undefined {
    return this.#heap.least;
  }

  began(host: Host): void {
    this.#heap.change(host, loadOf(host), true);
  }

  ended(host: Host): void {
    this.#heap.change(host, loadOf(host));
  }
}
