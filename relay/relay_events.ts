// Core. What happens at a relay, for those who look on; it costs nothing while nobody does.

import type { Clock } from "../reactor/time/clock.ts";

/** Events of a second that one listener is told; the rest is counted in the next one. */
export const EVENTS_PER_SECOND_MAX = 200;

/** Listeners at once; a further one is refused. */
export const RELAY_LISTENERS_MAX = 16;

/** What a relay tells. */
export type RelayEventKind =
  | "client_came"
  | "client_went"
  | "worker_came"
  | "worker_went"
  | "request_refused"
  | "request_timed_out"
  | "relay_came"
  | "relay_went"
  | "bus_came"
  | "bus_went";

/** One event. */
export interface RelayEvent {
  readonly event: RelayEventKind;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Events before this one that were not told. */
  readonly heldBack?: number;
  readonly [field: string]: unknown;
}

/** Somebody who looks on. */
interface Listener {
  readonly hear: (event: RelayEvent) => void;
  windowStartMs: number;
  told: number;
  heldBack: number;
}

/** Passes events to those who look on. */
export class RelayEvents {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Tells a listener from now on.
   *
   * @returns what ends it; undefined: there are too many.
   */
  listen(hear: (event: RelayEvent) => void): (() => void) | undefined {
    if (this.#listeners.size >= RELAY_LISTENERS_MAX) return undefined;
    const listener = { hear, windowStartMs: this.#clock.nowMs(), told: 0, heldBack: 0 };
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Something has happened. */
  tell(event: RelayEventKind, fields: Readonly<Record<string, unknown>>): void {
    if (this.#listeners.size === 0) return;
    const nowMs = this.#clock.nowMs();
    for (const listener of [...this.#listeners]) {
      if (nowMs - listener.windowStartMs >= 1000) {
        listener.windowStartMs = nowMs;
        listener.told = 0;
      }
      if (listener.told >= EVENTS_PER_SECOND_MAX) {
        listener.heldBack++;
        continue;
      }
      listener.told++;
      const { heldBack } = listener;
      listener.heldBack = 0;
      const more = heldBack === 0 ? {} : { heldBack };
      listener.hear({ event, atMs: this.#clock.wallMs(), ...fields, ...more });
    }
  }
}
