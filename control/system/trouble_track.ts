// Core. Trouble with hysteresis: it begins at once and is over only when all has been well for a while.

import type { TroubleSeverity } from "./severity.ts";

/**
 * Trouble is over after so much time without it, in milliseconds: a node that fails goes out and
 * comes back every few seconds, and is in trouble all the while.
 */
export const CALM_MS = 10_000;

/** What is wrong with one thing. */
export interface Trouble<Facts> {
  readonly severity: TroubleSeverity;
  /** As it was when it was last so bad. */
  readonly facts: Facts;
  /** Since when it has been so bad, by the wall clock; null: since before anybody looked. */
  readonly sinceMs: number | null;
}

/** When somebody looks. */
export interface Look {
  /** By the monotonic clock. */
  readonly nowMs: number;
  /** By the wall clock, for people. */
  readonly wallMs: number;
  /** True when nobody looked before: what is found may be old. */
  readonly isFirst: boolean;
}

interface Level<Facts> {
  facts: Facts;
  readonly sinceMs: number | null;
  /** When it was first seen to be better; undefined while it is so bad. */
  calmAtMs: number | undefined;
}

const LEVELS = ["warning", "critical"] as const;

/** Remembers the trouble of one thing, a node or a module. */
export class TroubleTrack<Facts> {
  readonly #levels = new Map<TroubleSeverity, Level<Facts>>();

  /** Takes what is found now, null for nothing; gives the worst of the last {@linkcode CALM_MS}. */
  look(
    found: { severity: TroubleSeverity; facts: Facts } | null,
    look: Look,
  ): Trouble<Facts> | null {
    const rank = found === null ? -1 : LEVELS.indexOf(found.severity);
    let worst: Trouble<Facts> | null = null;
    LEVELS.forEach((severity, index) => {
      if (found !== null && index <= rank) this.#keep(severity, found.facts, look);
      else this.#calm(severity, look.nowMs);
      const level = this.#levels.get(severity);
      if (level !== undefined) worst = { severity, facts: level.facts, sinceMs: level.sinceMs };
    });
    return worst;
  }

  #keep(severity: TroubleSeverity, facts: Facts, { wallMs, isFirst }: Look): void {
    const level = this.#levels.get(severity);
    if (level === undefined) {
      const sinceMs = isFirst ? null : wallMs;
      this.#levels.set(severity, { facts, sinceMs, calmAtMs: undefined });
      return;
    }
    level.facts = facts;
    level.calmAtMs = undefined;
  }

  #calm(severity: TroubleSeverity, nowMs: number): void {
    const level = this.#levels.get(severity);
    if (level === undefined) return;
    level.calmAtMs ??= nowMs;
    if (nowMs - level.calmAtMs >= CALM_MS) this.#levels.delete(severity);
  }
}
