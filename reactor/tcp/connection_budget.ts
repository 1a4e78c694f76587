// Core. How many connections all servers of a process may have together, so that file descriptors are
// left for what it cannot do without.

/** File descriptors left for files, databases and workers, at least. */
export const RESERVED_FILES = 64;

/** And at most: all services in one process hold some 60 before anybody connects. */
const RESERVED_FILES_MAX = 128;

/** Descriptors that are left for the rest of the process, where the system has a limit of them. */
export function reservedFiles(openFilesMax: number): number {
  const quarter = Math.floor(openFilesMax / 4);
  return Math.min(RESERVED_FILES_MAX, Math.max(RESERVED_FILES, quarter));
}

/** Connections that wait at a port of `node:net` to be accepted, where few files may be open; and else. */
const WAITING_MIN = 32;
const WAITING_MAX = 511;

/** Connections that the kernel lets wait at a port of `node:net`; further ones try again. */
export function waitingMax(openFilesMax: number | undefined): number {
  if (openFilesMax === undefined) return WAITING_MAX;
  return Math.min(WAITING_MAX, Math.max(WAITING_MIN, Math.floor(openFilesMax / 64)));
}

/** The connections of several servers; a new one may cost another server one that never spoke. */
export class ConnectionBudget {
  readonly #max: number;
  readonly #servers = new Set<() => boolean>();
  #taken = 0;
  #reserved = 0;

  /** `openFilesMax` is the system's limit; undefined: unknown, then there is none here. */
  constructor(openFilesMax: number | undefined) {
    this.#max = openFilesMax === undefined
      ? Infinity
      : Math.max(1, openFilesMax - reservedFiles(openFilesMax));
  }

  /** Connections that there may be; `Infinity`: no limit is known. */
  get max(): number {
    return Math.max(1, this.#max - this.#reserved);
  }

  /** Connections now. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * A server joins.
   *
   * @param evict Ends the oldest of its connections that never spoke, in this call; false: it has none.
   * @returns what has it leave.
   */
  join(evict: () => boolean): () => void {
    this.#servers.add(evict);
    return () => void this.#servers.delete(evict);
  }

  /**
   * Keeps room for connections that are open before they can be counted.
   *
   * @returns what gives it back; further calls of it do nothing.
   */
  reserve(count: number): () => void {
    let kept = count;
    this.#reserved += kept;
    return () => {
      this.#reserved -= kept;
      kept = 0;
    };
  }

  /** Takes room for one more; false when there is none and nobody can make any. */
  take(): boolean {
    if (this.#taken >= this.max) {
      for (const evict of this.#servers) if (evict()) break;
      if (this.#taken >= this.max) return false;
    }
    this.#taken++;
    return true;
  }

  /** Gives room back. */
  give(): void {
    this.#taken--;
  }
}
