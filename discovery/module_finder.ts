// Shell. Modules by their names, as programs that register may say them.

import { meaningOfName, type NamedModule, type NameMeaning } from "../model/module_name.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";

/** A name that was found is good for so long; one that was not is looked for again after this. */
const FOUND_MS = 10_000;
const MISSED_MS = 2_000;

/** Reads names when they are asked for, and not more often than they can matter. */
export class ModuleFinder {
  readonly #store: Pick<Store, "moduleRows">;
  readonly #clock: Clock;
  #rows: Promise<readonly NamedModule[]> | undefined;
  #readMs = -Infinity;

  constructor(store: Pick<Store, "moduleRows">, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The module of a name, or why there is none. @throws {StoreError} while the database is away. */
  async find(name: string): Promise<NameMeaning> {
    const known = await this.#look(name, FOUND_MS);
    return "fault" in known ? await this.#look(name, MISSED_MS) : known;
  }

  async #look(name: string, ageMaxMs: number): Promise<NameMeaning> {
    const nowMs = this.#clock.nowMs();
    if (this.#rows === undefined || nowMs - this.#readMs >= ageMaxMs) {
      this.#readMs = nowMs;
      this.#rows = this.#store.moduleRows()
        .then((rows) => rows.map(({ modId, cmdId, name }) => ({ modId, cmdId, name })));
    }
    try {
      return meaningOfName(name, await this.#rows);
    } catch (error) {
      this.#rows = undefined;
      throw error;
    }
  }
}
