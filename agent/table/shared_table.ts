// Shell. The table of picks that any program of this host may map: its file, and the larger one that
// follows when it is full.

import type { PickPlan } from "../../balancer/mod.ts";
import { modulePair } from "../../model/module.ts";
import { TABLE_MAGIC, TableField } from "../../proto/table_layout.ts";
import { messageOf } from "../../reactor/errors.ts";
import {
  ForeignFile,
  monotonicMs,
  processId,
  SharedFile,
  type SharedFileAccess,
} from "../../reactor/fast/shared_file.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { TableCounts } from "../worker/messages.ts";
import { slotsFor, tableBytes, TableImage, type TableSize } from "./table_image.ts";

/** Largest file; modules that do not fit are asked for by UDP. */
export const TABLE_BYTES_MAX = 64 * 1024 * 1024;

/** Modules that the first file has room for. */
const MODULES_FIRST = 1024;

/** Words of blocks for a module, where nothing better is known. */
const WORDS_OF_MODULE = 64;

/** Time between two heartbeats, at least: readers believe one for 2 s. */
const BEAT_MS = 100;

/** Time between two files, when one is full; ten times as much when none can be larger. */
const GROW_PAUSE_MS = 1000;

/** How a {@linkcode SharedTable} works. */
export interface SharedTableOptions extends SharedFileAccess {
  readonly path: string;
  /** Address and first port of the agent. */
  readonly ip: number;
  readonly port: number;
  /** Modules known at the start. */
  readonly modules?: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** @default {TABLE_BYTES_MAX} */
  readonly bytesMax?: number;
}

/** Written by one thread. All times are those of the clock it was given. */
export class SharedTable {
  readonly #options: SharedTableOptions;
  readonly #bytesMax: number;
  #file: SharedFile;
  #image: TableImage;
  #beatDueMs = -Infinity;
  #growDueMs = -Infinity;
  #grown = 0;
  #isClosed = false;
  #generation = 0;
  /** By `modulePair`; they come again when there may be room. */
  readonly #leftOut = new Map<string, { modId: number; cmdId: number }>();

  /** @throws {Error} when the file cannot be made; the message says why. */
  constructor(options: SharedTableOptions) {
    this.#options = options;
    this.#bytesMax = options.bytesMax ?? TABLE_BYTES_MAX;
    const modules = Math.max(options.modules ?? 0, MODULES_FIRST);
    const size = { slots: slotsFor(modules), words: modules * WORDS_OF_MODULE };
    [this.#file, this.#image] = this.#make(size);
    try {
      this.#publish(this.#file, this.#image);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Counters. O(modules). */
  get stats(): TableCounts {
    return {
      tableModules: this.#image.live.modules,
      tableModulesLeftOut: this.#leftOut.size,
      tableBytes: tableBytes(this.#image.size),
      tableGrown: this.#grown,
    };
  }

  /** Writes how nodes of a module are picked from now on; undefined: by the agent. */
  put(modId: number, cmdId: number, plan: PickPlan | undefined, nowMs: number): void {
    if (this.#isClosed) return;
    let fits = this.#image.put(modId, cmdId, plan);
    if (!fits && nowMs >= this.#growDueMs) {
      if (this.#grow(plan, nowMs)) fits = this.#image.put(modId, cmdId, plan);
    }
    const key = modulePair({ modId, cmdId });
    if (fits) this.#leftOut.delete(key);
    else this.#leftOut.set(key, { modId, cmdId });
  }

  /**
   * Keeps the table alive; to be called at least once a second.
   *
   * @param again Is called with each module whose plan should come once more.
   */
  turn(nowMs: number, again: (modId: number, cmdId: number) => void): void {
    if (this.#isClosed || nowMs < this.#beatDueMs) return;
    this.#beatDueMs = nowMs + BEAT_MS;
    this.#image.beat(monotonicMs());
    if (this.#leftOut.size === 0 || nowMs < this.#growDueMs) return;
    for (const { modId, cmdId } of this.#leftOut.values()) again(modId, cmdId);
  }

  /**
   * Tells readers that nobody writes any more, and takes the file away. Harmless when repeated;
   * nothing is written after it, as the memory is no more.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#image.retire();
    this.#file.close();
  }

  #make(size: TableSize): [SharedFile, TableImage] {
    const { path, mode, group, ip, port, clock } = this.#options;
    const file = new SharedFile(path, tableBytes(size), { mode, group });
    const owner = { processId: processId(), ip, port };
    // Another one than that of the table before, whatever the clock of the machine does.
    this.#generation = Math.max(Math.floor(clock.wallMs()), this.#generation + 1);
    return [file, new TableImage(file.memory, size, owner, this.#generation)];
  }

  /** The table becomes the one that is found under its name, and the one before is told so. */
  #publish(file: SharedFile, image: TableImage): void {
    const before = ForeignFile.open(file.path);
    try {
      image.beat(monotonicMs());
      image.open();
      file.publish();
      if (before === undefined || !isTable(before.head(8))) return;
      before.writeAt(TableField.Retired, Uint8Array.of(1, 0, 0, 0));
    } finally {
      before?.close();
    }
  }

  /** Makes a table with more room, and goes on in it; false when there can be none. */
  #grow(plan: PickPlan | undefined, nowMs: number): boolean {
    this.#growDueMs = nowMs + GROW_PAUSE_MS;
    const { modules, words } = this.#image.live;
    const more = (plan?.turns.length ?? 0) * 2 + 3 * (plan?.keyed?.owners.length ?? 0);
    const wanted = {
      slots: Math.max(slotsFor(modules + 1), this.#image.size.slots),
      words: Math.max(2 * (words + more), this.#image.size.words),
    };
    const size = this.#largestUpTo(wanted);
    // What is there has to fit, and it should be worth the while.
    if (size.words < words + more + words / 16 || size.slots < slotsFor(modules + 1)) {
      this.#growDueMs = nowMs + 10 * GROW_PAUSE_MS;
      return false;
    }
    let file: SharedFile | undefined;
    try {
      const made = this.#make(size);
      file = made[0];
      this.#image.copyTo(made[1]);
      this.#publish(file, made[1]);
      this.#image.retire();
      this.#file.close();
      [this.#file, this.#image] = made;
      this.#grown++;
      return true;
    } catch (error) {
      file?.close();
      this.#growDueMs = nowMs + 10 * GROW_PAUSE_MS;
      this.#options.log.warn("Shared table cannot grow, further modules are asked for by UDP", {
        error: messageOf(error),
      });
      return false;
    }
  }

  #largestUpTo({ slots, words }: TableSize): TableSize {
    const room = this.#bytesMax - tableBytes({ slots, words: 0 });
    return { slots, words: Math.max(0, Math.min(words, Math.floor(room / 8))) };
  }
}

function isTable(head: Uint8Array): boolean {
  return head.length === 8 && new DataView(head.buffer, head.byteOffset, 8)
        .getBigUint64(0, true) === TABLE_MAGIC;
}
