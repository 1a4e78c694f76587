// Shell. Keeps the agent's table of picks mapped while there is one that can be used.

import { readFileSync } from "node:fs";
import { mapFile, type MappedFile, monotonicMs, ownUserId } from "../reactor/fast/shared_file.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { TableView } from "./table_view.ts";

/** How often it is looked whether the agent lives. Milliseconds. */
const LOOK_MS = 100;

/** How often it is looked for a table where there is none. Milliseconds. */
const SEARCH_MS = 1000;

const ROOT = 0;

/** How a {@linkcode TableReader} works. */
export interface TableReaderOptions {
  readonly path: string;
  /** First UDP port of the agent. */
  readonly port: number;
  readonly clock: Clock;
  readonly rng: Rng;
  /** The table that is the latest is about to be left for another one. */
  onLeave?(): void;
}

/** The table at one path, whichever file is there. */
export class TableReader {
  readonly #options: TableReaderOptions;
  #file: MappedFile | undefined;
  #view: TableView | undefined;
  #isFresh = false;
  #lookDueMs = -Infinity;
  #searchDueMs = -Infinity;
  #knowsRetired = false;
  #fault = "";
  #isClosed = false;

  constructor(options: TableReaderOptions) {
    this.#options = options;
  }

  /** Why there is no table; "" while there is one. */
  get fault(): string {
    return this.#fault;
  }

  /** What to pick from; undefined: the agent has to be asked. Costs a system call at most. */
  get view(): TableView | undefined {
    const nowMs = this.#options.clock.nowMs();
    const view = this.#view;
    if (view !== undefined && nowMs < this.#lookDueMs && !view.isRetired) {
      return this.#isFresh ? view : undefined;
    }
    return this.#look(nowMs);
  }

  /** The table that was mapped last, also when nobody writes it any more. */
  get latest(): TableView | undefined {
    return this.#view;
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  #look(nowMs: number): TableView | undefined {
    if (this.#isClosed) return undefined;
    this.#lookDueMs = nowMs + LOOK_MS;
    if (this.#isUsable()) return this.#view;
    // Its successor is there already, most likely.
    if (this.#view?.isRetired === true && !this.#knowsRetired) this.#searchDueMs = nowMs;
    this.#knowsRetired = this.#view?.isRetired === true;
    if (nowMs >= this.#searchDueMs) {
      this.#searchDueMs = nowMs + SEARCH_MS;
      this.#search();
    }
    return this.#isUsable() ? this.#view : undefined;
  }

  #isUsable(): boolean {
    const view = this.#view;
    this.#isFresh = view !== undefined && !view.isRetired && view.isFresh(monotonicMs());
    return this.#isFresh;
  }

  /** Maps what is at the path, if it can be used; else what was mapped stays, as a memory. */
  #search(): void {
    const { path, port, rng } = this.#options;
    let file: MappedFile | undefined;
    try {
      file = mapFile(path);
      if (!isTrusted(file.owner, port)) {
        throw new Error(`${path} belongs to user ${file.owner}, who does not run the agent`);
      }
      const view = new TableView(file.memory, rng);
      if (view.isRetired || !view.isFresh(monotonicMs())) {
        throw new Error(`${path} is not written any more`);
      }
      if (this.#view !== undefined) this.#options.onLeave?.();
      this.#drop();
      this.#file = file;
      this.#view = view;
      this.#knowsRetired = false;
      this.#fault = "";
    } catch (error) {
      file?.unmap();
      this.#fault = messageOf(error);
    }
  }

  #drop(): void {
    // First what looks into the memory, then the memory.
    this.#view = undefined;
    this.#isFresh = false;
    this.#file?.unmap();
    this.#file = undefined;
  }
}

/** A table of somebody else would lead callers astray: it is the agent's, root's, or one's own. */
function isTrusted(owner: number, port: number): boolean {
  return owner === ROOT || owner === ownUserId() || udpOwner(port) === owner;
}

/** The user who has a UDP port of this machine; undefined: nobody, or it cannot be seen. */
function udpOwner(port: number): number | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  try {
    for (const line of readFileSync("/proc/net/udp", "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(wanted)) return Number(fields[7]);
    }
  } catch {
    // Not Linux, or not permitted.
  }
  return undefined;
}
