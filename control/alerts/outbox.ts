// Core. What one receiver of alerts still has to be told: the difference between what fires and what
// it has confirmed to know.

import type { AlertState } from "./alert_engine.ts";

/** One thing to tell a receiver. */
export interface Delivery {
  readonly state: "firing" | "ended";
  readonly alert: AlertState;
}

/**
 * Told means confirmed: an alert that begins waits until the receiver has taken it, however often
 * that is tried, and one that ended before that is never told. As large as what fires and fired.
 */
export class Outbox {
  /** What the receiver knows as firing, by key. */
  readonly #told: Map<string, AlertState>;
  #current: ReadonlyMap<string, AlertState> | undefined;

  constructor(told: readonly AlertState[]) {
    this.#told = new Map(told.map((alert) => [alert.key, alert]));
  }

  /** What the receiver knows as firing. */
  get told(): AlertState[] {
    return [...this.#told.values()];
  }

  /** What fires now, silenced ones too: those are not told, and have not ended. */
  update(firing: readonly AlertState[]): void {
    this.#current = new Map(firing.map((alert) => [alert.key, alert]));
  }

  /** Everything that waits: ends first, then beginnings, each in the order of their time. */
  waiting(): Delivery[] {
    if (this.#current === undefined) return [];
    const current = this.#current;
    const deliveries: Delivery[] = [];
    for (const [key, alert] of this.#told) {
      if (!current.has(key)) deliveries.push({ state: "ended", alert });
    }
    for (const alert of current.values()) {
      if (!alert.isSilenced && !this.#knows(alert)) deliveries.push({ state: "firing", alert });
    }
    return deliveries;
  }

  /** What the receiver knows and what still fires, for those who want it repeated. */
  standing(): Delivery[] {
    return this.told.map((alert): Delivery => ({
      state: "firing",
      alert: this.#current?.get(alert.key) ?? alert,
    }));
  }

  /** True while a delivery is still to be made: an alert may have ended since it was put together. */
  isDue({ state, alert }: Delivery): boolean {
    const now = this.#current?.get(alert.key);
    if (state === "ended") return now === undefined && this.#told.has(alert.key);
    return now !== undefined && !now.isSilenced && !this.#knows(now);
  }

  /** The receiver has taken these. */
  confirm(deliveries: readonly Delivery[]): void {
    for (const { state, alert } of deliveries) {
      if (state === "firing") this.#told.set(alert.key, alert);
      else this.#told.delete(alert.key);
    }
  }

  /** The same alert, and not a later one under its key. */
  #knows({ key, firedAtMs }: AlertState): boolean {
    return this.#told.get(key)?.firedAtMs === firedAtMs;
  }
}
