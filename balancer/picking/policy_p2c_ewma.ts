// Core. Of two random nodes the one that is less busy and faster.

import type { Host } from "../host.ts";
import { HostSlots } from "./host_slots.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";

/** Score of a node whose first call is still under way: any node that is known is better. */
const UNKNOWN_BUSY = 1e12;

/**
 * Power of two choices (Mitzenmacher 1996) over peak EWMA latency times calls under way, as in
 * Finagle's `p2c` with `PeakEwma`. Each of the two is as likely as its weight. A failed call counts
 * as if it took `failurePenaltyMs`, so a node that fails fast draws no calls. O(log n).
 */
export class P2cEwmaPolicy extends HostSlots implements PickPolicy {
  readonly name = "p2c_ewma";
  readonly followsCalls = true;
  readonly #dice: PickContext["dice"];
  readonly #decayMs: number;

  constructor({ dice, settings }: Pick<PickContext, "dice" | "settings">) {
    super();
    this.#dice = dice;
    this.#decayMs = settings.ewmaDecayMs;
  }

  pick(nowMs: number): Host | undefined {
    const one = this.sample(this.#dice);
    if (one === undefined || this.count === 1) return one;
    let other = this.sample(this.#dice) ?? one;
    // A second draw of the same node would be no choice; its neighbour is as good as any.
    if (other === one) other = this.after(one);
    return this.#score(one, nowMs) <= this.#score(other, nowMs) ? one : other;
  }

  #score(host: Host, nowMs: number): number {
    const { stats } = host;
    if (stats === undefined) return 0;
    const busy = stats.underWay.count;
    if (!stats.ewma.known) return busy === 0 ? 0 : UNKNOWN_BUSY;
    return stats.ewma.at(nowMs, this.#decayMs) * (busy + 1);
  }
}
