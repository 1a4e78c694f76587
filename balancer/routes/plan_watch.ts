// Core. Modules whose picks depend on something that changed, for those who pick by plans of their own.

import type { ModuleState } from "../module_state.ts";
import { type PickPlan, planPicks } from "../pick_plan.ts";

/** Takes the plan of a module; undefined: picks of it have to be made here, or it is not known. */
export type TakePlan = (modId: number, cmdId: number, plan: PickPlan | undefined) => void;

/** Remembers which modules changed; plans are made when somebody takes them. */
export class PlanWatch {
  readonly #changed = new Set<ModuleState>();
  readonly #isKnown: (module: ModuleState) => boolean;
  #isClosed = false;

  /** `isKnown`: the module was not forgotten. */
  constructor(isKnown: (module: ModuleState) => boolean) {
    this.#isKnown = isKnown;
  }

  /** Modules whose plan may be another one; at most those that were known since the last `take`. */
  get changedCount(): number {
    return this.#changed.size;
  }

  /** The module changed, or is no longer known. */
  note(module: ModuleState): void {
    if (!this.#isClosed) this.#changed.add(module);
  }

  /** Nobody takes plans any more. */
  close(): void {
    this.#isClosed = true;
    this.#changed.clear();
  }

  /** Hands over the plans of at most `most` modules that changed, those that wait longest first. */
  take(most: number, take: TakePlan): void {
    let left = most;
    for (const module of this.#changed) {
      if (left-- <= 0) return;
      this.#changed.delete(module);
      const { modId, cmdId } = module;
      take(modId, cmdId, this.#isKnown(module) ? planPicks(module) : undefined);
    }
  }
}
