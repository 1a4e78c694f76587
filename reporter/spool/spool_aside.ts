// Core. Files of a spool that cannot be read: kept for somebody to look at, within a bound, and counted.

import type { Logger } from "../../reactor/log.ts";
import type { SpoolDisk } from "./spool_log.ts";

/** Counters of a {@linkcode SpoolAside}, since the start. */
export type SpoolAsideStats = Record<"spool_set_aside" | "spool_aside_dropped", number>;

/** Sets files aside, and says what had to go for them. */
export class SpoolAside {
  readonly #disk: Pick<SpoolDisk, "setAside">;
  readonly #log: Logger;
  #kept = 0;
  #dropped = 0;

  constructor(disk: Pick<SpoolDisk, "setAside">, log: Logger) {
    this.#disk = disk;
    this.#log = log;
  }

  get stats(): SpoolAsideStats {
    return { spool_set_aside: this.#kept, spool_aside_dropped: this.#dropped };
  }

  /**
   * Keeps a file.
   *
   * @returns where it is now.
   * @throws what the disk throws: the file is where it was.
   */
  async keep(name: string): Promise<string> {
    const { kept, dropped } = await this.#disk.setAside(name);
    this.#kept++;
    this.#dropped += dropped.length;
    if (dropped.length > 0) {
      this.#log.error(
        "The oldest damaged files of the spool are removed, to have room for another",
        {
          ...{ removed: dropped.slice(0, 5).join(", "), files: dropped.length },
        },
      );
    }
    return kept;
  }
}
