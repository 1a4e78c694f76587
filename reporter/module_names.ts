// Core. What modules are called, for metrics: read now and then, not when somebody asks.

import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";

/** How often it is looked for modules whose name was never read. */
export const NEW_NAMES_INTERVAL_MS = 2_000;

/** Age at which all names are read again. */
export const NAMES_AGE_MAX_MS = 30_000;

/** What {@linkcode ModuleNames} is given. */
export interface ModuleNamesOptions {
  readonly store: Pick<Store, "moduleRows">;
  readonly clock: Clock;
  readonly log: Logger;
  /** The modules whose names are wanted now; how many they are bounds what is read and kept. */
  modules(): readonly ModuleKey[];
}

/** Keeps the names of modules; while the database is away, those that it told last. */
export class ModuleNames {
  readonly #options: ModuleNamesOptions;
  /** "" for a module without a name, so that it is not asked for again and again. */
  #names = new Map<ModuleId, string>();
  #ticking: Timer | undefined;
  #isReading = false;
  #readAtMs = -Infinity;
  #isFailing = false;

  constructor(options: ModuleNamesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ticking = setRepeating(
      this.#options.clock,
      NEW_NAMES_INTERVAL_MS,
      () => void this.#look(),
    );
  }

  stop(): void {
    this.#ticking?.cancel();
    this.#ticking = undefined;
  }

  /**
   * What a module is called; "" when it has no name, or the database does not tell; undefined when
   * it is about to be read, so that no series appears without its name first.
   */
  nameOf({ modId, cmdId }: ModuleKey): string | undefined {
    return this.#names.get(moduleId(modId, cmdId)) ?? (this.#isFailing ? "" : undefined);
  }

  async #look(): Promise<void> {
    const { store, clock, log } = this.#options;
    if (this.#isReading) return;
    const modules = this.#options.modules();
    const isOld = clock.nowMs() - this.#readAtMs >= NAMES_AGE_MAX_MS;
    const isKnown = ({ modId, cmdId }: ModuleKey): boolean =>
      this.#names.has(moduleId(modId, cmdId));
    // After a failure the pause is the long one: whoever else uses the database looks for it.
    if (modules.length === 0 || (!isOld && (this.#isFailing || modules.every(isKnown)))) return;
    this.#isReading = true;
    this.#readAtMs = clock.nowMs();
    try {
      const rows = await store.moduleRows(modules);
      const names = new Map(modules.map(({ modId, cmdId }) => [moduleId(modId, cmdId), ""]));
      for (const { modId, cmdId, name } of rows) names.set(moduleId(modId, cmdId), name);
      this.#names = names;
      this.#isFailing = false;
    } catch (error) {
      if (this.#ticking !== undefined && !this.#isFailing) {
        const message = "Names of modules cannot be read, metrics show the ones before";
        log.warn(message, { error: messageOf(error) });
      }
      this.#isFailing = true;
    } finally {
      this.#isReading = false;
    }
  }
}
