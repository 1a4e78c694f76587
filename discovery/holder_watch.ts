// Core. Which other discovery is silent: by its beat in the database, so that no clocks are compared.

import type { LeaseHolder } from "../sql/leases/lease_store.ts";
import type { HearingTime } from "./hearing_time.ts";

/** A discovery whose beat has not changed for so long, while this one could read it, is silent. */
export const HOLDER_SILENT_MS = 10_000;

/** Watches the beats of all others that hold leases. */
export class HolderWatch {
  readonly #own: number;
  readonly #time: HearingTime;
  readonly #seen = new Map<number, { beat: number; sinceMs: number }>();
  #beat = 0;
  #lookedMs = -Infinity;

  constructor(own: number, time: HearingTime) {
    this.#own = own;
    this.#time = time;
  }

  /** The next sign of life of this one. */
  nextBeat(): number {
    return ++this.#beat;
  }

  /**
   * Which of those that hold leases are silent.
   *
   * @param all As read just now.
   * @param holding Those that hold leases; one that is not among `all` has ended, or was forgotten.
   */
  silent(all: readonly LeaseHolder[], holding: ReadonlySet<number>): number[] {
    const nowMs = this.#time.nowMs();
    // While nothing could be read nobody can be blamed for saying nothing.
    if (nowMs - this.#lookedMs > HOLDER_SILENT_MS / 2) this.#seen.clear();
    this.#lookedMs = nowMs;
    const silent: number[] = [];
    const known = new Map(all.map((one) => [one.id, one.beat]));
    for (const [id, beat] of known) {
      if (id === this.#own) continue;
      const seen = this.#seen.get(id);
      if (seen === undefined || seen.beat !== beat) this.#seen.set(id, { beat, sinceMs: nowMs });
      else if (nowMs - seen.sinceMs >= HOLDER_SILENT_MS) silent.push(id);
    }
    for (const id of holding) if (id !== this.#own && id !== 0 && !known.has(id)) silent.push(id);
    for (const id of this.#seen.keys()) if (!known.has(id)) this.#seen.delete(id);
    return silent;
  }
}
