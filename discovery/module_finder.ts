// Shell. Modules by their names, as programs that register may say them.

import { meaningOfName, type NamedModule } from "../model/module_name.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";

/** Names are read again when somebody asks after so long; all that ask meanwhile share one look. */
const LOOK_MS = 1_000;

/** Reads names when they are asked for. */
export class ModuleFinder {
  readonly #store: Store;
  readonly #clock: Clock;
  #rows: Promise<readonly NamedModule[]> | undefined;
  #readMs = -Infinity;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The module of a name, or why there is none. @throws {StoreError} while the database is away. */
  async find(name: string): Promise<ReturnType<typeof meaningOfName>> {
    const nowMs = this.#clock.nowMs();
    if (this.#rows === undefined || nowMs - this.#readMs > LOOK_MS) {
      this.#readMs = nowMs;
      this.#rows = this.#store.moduleRows();
    }
    try {
      return meaningOfName(name, await this.#rows);
    } catch (error) {
      this.#rows = undefined;
      throw error;
    }
  }
}
