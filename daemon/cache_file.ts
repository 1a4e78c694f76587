// Shell. Keeps the routes, or the like, in one file: written whole or not at all, and not too often.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { runSliced } from "../reactor/time/run_sliced.ts";

/** Ends the name of the copy of one that could not be read; there is the latest of them. */
export const BAD_CACHE_ENDING = ".bad";

/** Time from a change to the writing; changes in between are written together. */
export const CACHE_DELAY_MS = 1000;

/** Time from a failed writing to the next try. */
export const CACHE_RETRY_MS = 10_000;

/** Shortest time between two log lines about a file that cannot be written. */
const COMPLAIN_EVERY_MS = 60_000;

/** A file, and how much did not fit it. */
export interface EncodedCache {
  readonly bytes: Uint8Array;
  readonly leftOut: number;
}

/** What a {@linkcode CacheFile} holds, and how it is written. */
export interface CacheFormat<T> {
  readonly fileName: string;
  /** Largest file that is written or read. What does not fit is left out and counted. */
  readonly bytesMax: number;
  /** Modules in what was read, for the log. @default their number */
  count?(routes: readonly T[]): number;
  /**
   * The bytes, at once or in steps of about 0.1 ms.
   *
   * @param savedAtMs Wall clock, milliseconds since 1970.
   */
  encode(
    routes: Iterable<T>,
    savedAtMs: number,
  ): EncodedCache | Generator<void, EncodedCache>;
  /** Reads a file. Whatever the bytes are, it returns. */
  decode(
    bytes: Uint8Array,
  ): { readonly ok: true; readonly savedAtMs: number; readonly routes: T[] } | {
    readonly ok: false;
    readonly reason: string;
  };
}

/** How a {@linkcode CacheFile} works. */
export interface CacheFileOptions<T> {
  readonly format: CacheFormat<T>;
  /** Made when it does not exist. */
  readonly directory: string;
  /** What is to be written. */
  routes(): Iterable<T>;
  /** From a change to the writing, in milliseconds. @default {CACHE_DELAY_MS} */
  readonly delayMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The file. A disk that is full or read-only costs a log line a minute and nothing else. */
export class CacheFile<T> {
  readonly #options: CacheFileOptions<T>;
  readonly #path: string;
  #timer: Timer | undefined;
  #dirty = false;
  #closed = false;
  /** The writing under way, and what waits behind it. */
  #writing: Promise<void> = Promise.resolve();
  #complainedAtMs = -Infinity;
  #writes = 0;
  #failures = 0;

  constructor(options: CacheFileOptions<T>) {
    this.#options = options;
    this.#path = `${options.directory}/${options.format.fileName}`;
  }

  /** Files written, and attempts that failed, since the start. */
  get stats(): { writes: number; failures: number } {
    return { writes: this.#writes, failures: this.#failures };
  }

  /**
   * The routes of the last run; none when there is no file, or it is not whole: such a one is set
   * aside and said.
   */
  async load(): Promise<T[]> {
    const { log, format } = this.#options;
    let bytes: Uint8Array;
    try {
      bytes = await runtime.readFile(this.#path, format.bytesMax);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      log.warn("Route cache cannot be read", { path: this.#path, error: messageOf(error) });
      return [];
    }
    const decoded = format.decode(bytes);
    if (!decoded.ok) {
      const kept = await this.#setAside(bytes);
      log.warn("Route cache is not used", { path: this.#path, reason: decoded.reason, kept });
      return [];
    }
    const ageS = Math.round((this.#options.clock.wallMs() - decoded.savedAtMs) / 1000);
    const modules = format.count?.(decoded.routes) ?? decoded.routes.length;
    log.info("Route cache read", { modules, ageS });
    return decoded.routes;
  }

  /** Keeps what cannot be read where the next writing does not go; says where, or why not. */
  async #setAside(bytes: Uint8Array): Promise<string> {
    const { directory, format } = this.#options;
    const name = `${format.fileName}${BAD_CACHE_ENDING}`;
    try {
      await runtime.replaceFile(directory, name, bytes);
      return `${directory}/${name}`;
    } catch (error) {
      return `nowhere: ${messageOf(error)}`;
    }
  }

  /** The routes have changed: they are written {@linkcode CACHE_DELAY_MS} from now. */
  changed(): void {
    this.#dirty = true;
    this.#writeIn(this.#options.delayMs ?? CACHE_DELAY_MS);
  }

  /** Writes what has changed, now. Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#dirty ? this.#write() : undefined);
    return this.#writing;
  }

  /** Stops the timer and writes what has changed. */
  close(): Promise<void> {
    this.#closed = true;
    return this.flush();
  }

  #writeIn(delayMs: number): void {
    if (this.#closed) return;
    this.#timer ??= this.#options.clock.setTimer(delayMs, () => void this.flush());
  }

  async #write(): Promise<void> {
    const { directory, clock, log, format } = this.#options;
    this.#dirty = false;
    try {
      const encoded = format.encode(this.#options.routes(), clock.wallMs());
      const { bytes, leftOut } = "next" in encoded ? await runSliced(clock, encoded) : encoded;
      if (leftOut > 0) log.warn("Modules do not fit the route cache", { leftOut });
      await runtime.replaceFile(directory, format.fileName, bytes);
      this.#writes++;
    } catch (error) {
      this.#failures++;
      this.#dirty = true;
      this.#writeIn(CACHE_RETRY_MS);
      if (clock.nowMs() - this.#complainedAtMs < COMPLAIN_EVERY_MS) return;
      this.#complainedAtMs = clock.nowMs();
      log.warn("Route cache cannot be written; serving goes on", {
        path: this.#path,
        error: messageOf(error),
        failures: this.#failures,
      });
    }
  }
}
