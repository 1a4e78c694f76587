// Core. How many nodes may be out, for how long, and how their share grows again.

import type { ModuleSettings } from "../module_settings.ts";

/**
 * Nodes of a module that may be out at once. With a share of 1 all of them, as in the original;
 * below 1 at least one (unless the share is 0) but never the last:
 *
 * | share | n = 1 | 2 | 3 | 4 | 5 | 6 |
 * | ----- | ----- | - | - | - | - | - |
 * | 1     | 1     | 2 | 3 | 4 | 5 | 6 |
 * | 0.5   | 0     | 1 | 1 | 2 | 2 | 3 |
 * | 0.3   | 0     | 1 | 1 | 1 | 1 | 1 |
 * | 0     | 0     | 0 | 0 | 0 | 0 | 0 |
 */
export function ejectionsAllowed(nodes: number, shareMax: number): number {
  if (shareMax >= 1) return nodes;
  if (shareMax <= 0) return 0;
  // Shares are decimal fractions, whose product may fall a hair short of the whole number.
  return Math.max(0, Math.min(nodes - 1, Math.max(1, Math.floor(nodes * shareMax + 1e-9))));
}

/** What is left of a count of ejections after some time in use: one less for each decay time. */
export function decayedEjections(ejections: number, inUseMs: number, decayMs: number): number {
  return Math.max(0, ejections - Math.floor(inUseMs / decayMs));
}

/**
 * How long a node rests that goes out for the `ejections`th time: twice as long each time, up to a
 * cap, plus a random part so that nodes which went out together do not come back together.
 *
 * @param chance 0 to 1.
 */
export function ejectionTimeMs(
  ejections: number,
  { ejectionMs, ejectionMaxMs, recoveryJitter }: ModuleSettings,
  chance: number,
): number {
  // 2^30 times the shortest time is beyond any cap.
  const timeMs = Math.min(
    ejectionMaxMs,
    ejectionMs * 2 ** Math.min(30, Math.max(0, ejections - 1)),
  );
  return timeMs * (1 + recoveryJitter * chance);
}

/** Steps in which a share grows: finer ones would only make work. */
const RAMP_STEPS = 50;

/** Share of its weight a node has `sinceMs` after its share began to grow. */
export function rampShare(sinceMs: number, rampMs: number, startShare: number): number {
  if (sinceMs >= rampMs) return 1;
  const step = Math.floor(Math.max(0, sinceMs) / rampMs * RAMP_STEPS) / RAMP_STEPS;
  // A share of 0 would never get a call that shows that the node is well.
  return Math.max(1 / RAMP_STEPS, startShare + (1 - startShare) * step);
}
