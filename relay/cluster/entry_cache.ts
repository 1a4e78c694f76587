// Core. Data of entries of the shared log that were read or written not long ago.

import type { RelayMailPut } from "../../proto/codec.ts";

/** Entries whose data is kept at hand, and their bytes; the one used longest ago goes. */
export const ENTRY_CACHE_MAX = 1_000;
export const ENTRY_CACHE_BYTES_MAX = 16 * 1024 * 1024;

/** What entries put into mailboxes, by their number. */
export class EntryCache {
  /** What was used longest ago first. */
  readonly #entries = new Map<number, readonly RelayMailPut[]>();
  #bytes = 0;

  /** What an entry has put; undefined: it is not at hand. */
  get(seq: number): readonly RelayMailPut[] | undefined {
    const puts = this.#entries.get(seq);
    if (puts === undefined) return undefined;
    this.#entries.delete(seq);
    this.#entries.set(seq, puts);
    return puts;
  }

  /** Keeps it at hand, in place of what was used longest ago. */
  keep(seq: number, puts: readonly RelayMailPut[]): void {
    this.drop(seq);
    this.#entries.set(seq, puts);
    this.#bytes += bytesOf(puts);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= ENTRY_CACHE_MAX && this.#bytes <= ENTRY_CACHE_BYTES_MAX) break;
      this.drop(oldest);
    }
  }

  /** Nobody needs it any more. Harmless when repeated. */
  drop(seq: number): void {
    const puts = this.#entries.get(seq);
    if (puts === undefined) return;
    this.#entries.delete(seq);
    this.#bytes -= bytesOf(puts);
  }

  /** Nothing is at hand any more. */
  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}

function bytesOf(puts: readonly RelayMailPut[]): number {
  return puts.reduce((sum, { data }) => sum + data.length, 0);
}
