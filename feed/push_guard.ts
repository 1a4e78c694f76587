// Core. Holds back a route that lost more than half of its nodes and that nobody says is meant.

import { modulePair } from "../model/module.ts";

/** For how long, unless told otherwise. */
export const PUSH_GUARD_MS = 600_000;

/** What is held back of one module. */
interface Held {
  /** Since when, without a pause. */
  readonly sinceMs: number;
  /** Nodes that may be picked, of the last good route and of the one held back. */
  readonly nodesBefore: number;
  nodesAfter: number;
}

/** What {@linkcode PushGuard.judge} says of a route. */
export interface Verdict {
  /** False: keep the last good route. */
  readonly take: boolean;
  /** One line for the log, when something began or ended; else undefined. */
  readonly event: string | undefined;
}

/** Counters and state of a {@linkcode PushGuard}, under the names of the status. */
export interface PushGuardStats {
  /** Pushes and answers that were held back. */
  readonly pushesHeld: number;
  /** Modules of which the last good route is kept. */
  readonly modulesHeld: number;
  /** Routes that were taken after all because nobody contradicted them for long enough. */
  readonly heldTakenByTime: number;
}

const QUIET: Verdict = { take: true, event: undefined };

/**
 * Judges each route before it takes the place of the one before. A route that leaves no node, or
 * less than half of those of the last good one, is held back unless it is marked as meant. It is
 * taken after all when every route that came for `holdMs` was such a one: whoever really meant it
 * and could not say so gets his way, while a table that was emptied by accident and filled again
 * never reaches a caller.
 *
 * Bounded by the modules whose routes are judged: `forget` those that are not used any more.
 */
export class PushGuard {
  readonly #held = new Map<string, Held>();
  #holdMs: number;
  #pushesHeld = 0;
  #takenByTime = 0;

  /**
   * @param holdMs How long such routes are held back, in milliseconds; 0 = not at all, as in the
   * original.
   * @throws {RangeError} when it is negative or no number.
   */
  constructor(holdMs: number) {
    this.#holdMs = checkHold(holdMs);
  }

  get stats(): PushGuardStats {
    return {
      pushesHeld: this.#pushesHeld,
      modulesHeld: this.#held.size,
      heldTakenByTime: this.#takenByTime,
    };
  }

  /** Another time, from the next route on. */
  setHold(holdMs: number): void {
    this.#holdMs = checkHold(holdMs);
  }

  /** A route came: take it? Counts are of the nodes that may be picked. */
  judge(
    modId: number,
    cmdId: number,
    nodesBefore: number,
    nodesAfter: number,
    meant: boolean,
    nowMs: number,
  ): Verdict {
    const key = modulePair({ modId, cmdId });
    const held = this.#held.get(key);
    const shrinks = nodesAfter * 2 < nodesBefore;
    if (this.#holdMs === 0 || meant || !shrinks) {
      if (!this.#held.delete(key)) return QUIET;
      const why = meant ? "it is meant" : "enough of its nodes are back";
      return { take: true, event: `Route of module ${key} is taken: ${why}` };
    }
    if (held !== undefined && nowMs - held.sinceMs >= this.#holdMs) {
      this.#held.delete(key);
      this.#takenByTime++;
      const seconds = Math.round((nowMs - held.sinceMs) / 1000);
      const event = `Route of module ${key} is taken with ${nodesAfter} of ${nodesBefore} nodes: ` +
        `it has stayed so for ${seconds} s`;
      return { take: true, event };
    }
    this.#pushesHeld++;
    if (held !== undefined) {
      held.nodesAfter = nodesAfter;
      return { take: false, event: undefined };
    }
    this.#held.set(key, { sinceMs: nowMs, nodesBefore, nodesAfter });
    const event = `Route of module ${key} is held back: it would keep ${nodesAfter} of ` +
      `${nodesBefore} nodes, and nobody says that this is meant`;
    return { take: false, event };
  }

  /** The module is not used any more. */
  forget(modId: number, cmdId: number): void {
    this.#held.delete(modulePair({ modId, cmdId }));
  }

  /** What is held back now, in a line for the status; "" = nothing. The oldest first. */
  describe(nowMs: number, modulesMax = 5): string {
    const lines = [...this.#held].slice(0, modulesMax).map(([key, held]) =>
      `${key}: ${held.nodesAfter} of ${held.nodesBefore} nodes, ` +
      `${Math.round((nowMs - held.sinceMs) / 1000)} s`
    );
    const more = this.#held.size - lines.length;
    return lines.join("; ") + (more > 0 ? `; and ${more} more` : "");
  }
}

function checkHold(holdMs: number): number {
  if (holdMs >= 0) return holdMs;
  throw new RangeError(`holdMs must be at least 0: current value is ${holdMs}`);
}
