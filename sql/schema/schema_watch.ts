// Core. Which schema a database has now, and whether a newer program has been there meanwhile.

import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Driver, ScriptMaker } from "../drivers/driver.ts";
import type { Script } from "../drivers/sql_script.ts";
import { SCHEMA_VERSION } from "./migrations.ts";
import { newerSchemaText, readingOnlyIfNewer } from "./newer_schema.ts";
import {
  isComplete,
  newestVersionScript,
  type SchemaShape,
  schemaShapeScript,
} from "./schema_shape.ts";

/** A schema found incomplete is looked at again after this time, in milliseconds. */
const SHAPE_RECHECK_MS = 5_000;
/** It is looked whether somebody has migrated it further once in this time, in milliseconds. */
const VERSION_RECHECK_MS = 10_000;

/** What a {@linkcode SchemaWatch} works with. */
export interface SchemaWatchOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Looks when it is asked, and not too often. */
export class SchemaWatch {
  readonly #options: SchemaWatchOptions;
  #known: { shape: SchemaShape; readAtMs: number } | undefined;
  /** The newer schema that the log tells of already. */
  #toldVersion = 0;

  constructor(options: SchemaWatchOptions) {
    this.#options = options;
  }

  /** What was found is no longer true, or may not be. */
  forget(): void {
    this.#known = undefined;
  }

  /** The schema; somebody may migrate the database while this program runs. */
  async current(): Promise<SchemaShape> {
    const nowMs = this.#options.clock.nowMs();
    const known = this.#known;
    if (known === undefined) return await this.#read();
    const ageMs = nowMs - known.readAtMs;
    if (!isComplete(known.shape)) {
      return ageMs >= SHAPE_RECHECK_MS ? await this.#read() : known.shape;
    }
    if (ageMs < VERSION_RECHECK_MS) return known.shape;
    const newestVersion = await this.#options.driver.run(newestVersionScript);
    if (newestVersion !== known.shape.newestVersion) return await this.#read();
    this.#known = { shape: known.shape, readAtMs: nowMs };
    return known.shape;
  }

  /** What to say of a database that a newer program has migrated; undefined for any other. */
  async newer(): Promise<string | undefined> {
    const { newestVersion } = await this.current();
    if (newestVersion <= SCHEMA_VERSION) return undefined;
    return newerSchemaText(this.#options.driver.label, newestVersion);
  }

  /** The script as it is, or one that only reads, see {@linkcode readingOnlyIfNewer}. */
  checked<T>({ newestVersion }: SchemaShape, script: Script<T>): Script<T> {
    return readingOnlyIfNewer(this.#options.driver.label, newestVersion, script);
  }

  /** The driver for whoever has scripts of his own, which are checked too. */
  readingIfNewer(): Driver {
    const { driver } = this.#options;
    const checked = async <T>(make: ScriptMaker<T>): Promise<ScriptMaker<T>> => {
      const shape = await this.current();
      return () => this.checked(shape, make());
    };
    return {
      dialect: driver.dialect,
      label: driver.label,
      run: async (make) => await driver.run(await checked(make)),
      transact: async (make, options) => await driver.transact(await checked(make), options),
      snapshot: (body) => driver.snapshot(body),
      migrate: (make) => driver.migrate(make),
      close: () => driver.close(),
    };
  }

  async #read(): Promise<SchemaShape> {
    const { driver, clock, log } = this.#options;
    const shape = await driver.run(() => schemaShapeScript(driver.dialect));
    this.#known = { shape, readAtMs: clock.nowMs() };
    const { newestVersion } = shape;
    if (newestVersion > SCHEMA_VERSION && newestVersion !== this.#toldVersion) {
      log.error("The database is newer than this program", {
        reason: newerSchemaText(driver.label, newestVersion),
      });
      this.#toldVersion = newestVersion;
    }
    return shape;
  }
}
