// Core. Questions that were open when a peer of the original ended: one of them may have ended it, so
// they are asked one at a time, and the one to blame ever more seldom.

import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";

/** Modules that are remembered; of more the oldest are asked again as all others. */
export const SUSPECTS_MAX = 10_000;

/** Pause after the first end of a peer with this question open; it doubles with each further one. */
export const SUSPECT_PAUSE_MS = 2_000;

/** Longest pause: ten minutes. */
export const SUSPECT_PAUSE_MS_MAX = 600_000;

interface Suspect extends ModuleKey {
  strikes: number;
  heldUntilMs: number;
}

/** Who may be asked about, and when. A peer that speaks our extensions does not end on a question. */
export class SuspectQuestions {
  readonly #suspects = new Map<ModuleId, Suspect>();
  /** Suspects that were to be asked while another one was. */
  readonly #waiting = new Map<ModuleId, ModuleKey>();
  #asking: ModuleId | undefined;

  /** Modules under suspicion. */
  get count(): number {
    return this.#suspects.size;
  }

  /** True when the question may be sent now; one that waits for another is given by `answered`. */
  admit(modId: number, cmdId: number, nowMs: number): boolean {
    const id = moduleId(modId, cmdId);
    const suspect = this.#suspects.get(id);
    if (suspect === undefined || this.#asking === id) return true;
    if (nowMs < suspect.heldUntilMs) return false;
    if (this.#asking !== undefined) {
      this.#waiting.set(id, suspect);
      return false;
    }
    this.#asking = id;
    return true;
  }

  /** The peer has answered: the module is as good as any other. Gives the next one to be asked. */
  answered(modId: number, cmdId: number): ModuleKey | undefined {
    const id = moduleId(modId, cmdId);
    this.#suspects.delete(id);
    this.#waiting.delete(id);
    if (this.#asking !== id) return undefined;
    this.#asking = undefined;
    const [next] = this.#waiting.values();
    if (next !== undefined) this.#waiting.delete(moduleId(next.modId, next.cmdId));
    return next;
  }

  /** Nobody wants to know any more. */
  forget(modId: number, cmdId: number): void {
    const id = moduleId(modId, cmdId);
    this.#suspects.delete(id);
    this.#waiting.delete(id);
    if (this.#asking === id) this.#asking = undefined;
  }

  /** The peer has ended while these questions were open. */
  ended(open: Iterable<ModuleKey>, nowMs: number): void {
    this.#asking = undefined;
    this.#waiting.clear();
    for (const { modId, cmdId } of open) {
      const id = moduleId(modId, cmdId);
      const strikes = (this.#suspects.get(id)?.strikes ?? 0) + 1;
      // Those that are in the map go to its end: the oldest goes first when it is full.
      this.#suspects.delete(id);
      const pauseMs = Math.min(SUSPECT_PAUSE_MS * 2 ** (strikes - 1), SUSPECT_PAUSE_MS_MAX);
      this.#suspects.set(id, { modId, cmdId, strikes, heldUntilMs: nowMs + pauseMs });
      if (this.#suspects.size <= SUSPECTS_MAX) continue;
      const [oldest] = this.#suspects.keys();
      this.#suspects.delete(oldest);
    }
  }

  /** The peer is one of ours. */
  clear(): void {
    this.#suspects.clear();
    this.#waiting.clear();
    this.#asking = undefined;
  }
}
