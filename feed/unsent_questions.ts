// Core. Questions that found no room in a connection, until they are asked again.

import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";

/** Modules kept; of more those who asked have to ask again. */
const UNSENT_MAX = 100_000;

/** From one attempt to the next. */
const UNSENT_PAUSE_MS = 1_000;

/** Modules that were to be asked for. */
export class UnsentQuestions {
  readonly #clock: Clock;
  readonly #request: (key: ModuleKey) => void;
  readonly #modules = new Map<ModuleId, ModuleKey>();
  #timer: Timer | undefined;

  /** @param request Asks again; notes what finds no room once more. */
  constructor(clock: Clock, request: (key: ModuleKey) => void) {
    this.#clock = clock;
    this.#request = request;
  }

  /** A question found no room. */
  note({ modId, cmdId }: ModuleKey): void {
    if (this.#modules.size >= UNSENT_MAX) return;
    this.#modules.set(moduleId(modId, cmdId), { modId, cmdId });
    this.#timer ??= this.#clock.setTimer(UNSENT_PAUSE_MS, () => {
      this.#timer = undefined;
      const all = [...this.#modules.values()];
      this.#modules.clear();
      for (const key of all) {
        // Where one finds no room the rest has none either.
        if (this.#modules.size > 0) this.note(key);
        else this.#request(key);
      }
    });
  }

  /** It was asked, or nobody wants to know any more. */
  forget(modId: number, cmdId: number): void {
    this.#modules.delete(moduleId(modId, cmdId));
  }

  /** The connection is lost, or not needed any more. */
  clear(): void {
    this.#modules.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
