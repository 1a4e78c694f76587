// Shell. Whether a node that wants to stop is still used: asked of every dns, and through it of agents.

import { DrainState } from "../control/drain/drain_state.ts";
import type { NodeUseService } from "../control/drain/node_use_service.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { reasonText } from "./lease_requests.ts";
import type { Lease } from "./lease_table.ts";

/** Nodes that want to stop at once; of more the one that asked longest ago has to begin anew. */
const STOPPING_MAX = 1_000;

/** Time that a node has to be quiet at most. */
const QUIET_MS_MAX = 600_000;

/** What is said to a node. */
export interface StopAnswer {
  readonly safe: boolean;
  readonly waitsFor: string;
}

/** Follows what agents say of nodes that want to stop; of each the answers are judged together. */
export class SafeStops {
  readonly #use: Pick<NodeUseService, "use">;
  readonly #clock: Clock;
  readonly #states = new Map<string, DrainState>();

  constructor(use: Pick<NodeUseService, "use">, clock: Clock) {
    this.#use = use;
    this.#clock = clock;
  }

  /** Asks once more. The node must have said that it wants no new calls. */
  async ask(lease: Lease, quietMs: number): Promise<StopAnswer> {
    const { row } = lease;
    if (row.phase === "live") return { safe: false, waitsFor: "it still gets calls" };
    const state = this.#stateOf(`${lease.id} ${row.incarnation}`, Math.min(quietMs, QUIET_MS_MAX));
    try {
      const answers = await this.#use.use(row, [{ modId: row.modId, cmdId: row.cmdId }]);
      const { safe, waitsFor } = state.judge(answers, this.#clock.nowMs());
      return { safe, waitsFor: reasonText(waitsFor.join("; ")) };
    } catch (error) {
      const { waitsFor } = state.unheard(messageOf(error));
      return { safe: false, waitsFor: reasonText(waitsFor.join("; ")) };
    }
  }

  #stateOf(key: string, quietMs: number): DrainState {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const [oldest] = this.#states.keys();
    if (this.#states.size >= STOPPING_MAX) this.#states.delete(oldest);
    const state = new DrainState(quietMs, this.#clock.nowMs());
    this.#states.set(key, state);
    return state;
  }
}
