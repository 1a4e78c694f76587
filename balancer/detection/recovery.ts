// Core. How a node that was out comes back in stages: rest, then probes, then a share that grows.

import type { Host } from "../host.ts";
import type { ModuleState } from "../module_state.ts";
import { decayedEjections, ejectionTimeMs, rampShare } from "./ejection.ts";

/** The node gets nothing for a while: longer each time it goes out. */
export function rest({ context, policy }: ModuleState, host: Host, atMs: number): void {
  const { stats } = host;
  if (stats === undefined) return;
  const { settings } = policy;
  // A node that is out already is not in use: nothing decays then.
  const inUseMs = Math.max(0, atMs - stats.ejectionsAtMs);
  const before = decayedEjections(stats.ejections, inUseMs, settings.ejectionDecayMs);
  stats.ejections = before + 1;
  stats.ejectionsAtMs = Infinity;
  stats.resting = true;
  host.continSucc = 0;
  host.dueMs = atMs + ejectionTimeMs(stats.ejections, settings, context.rng.next());
  context.active.add(host);
}

/** A probe failed: the node rests again. */
export function restAgain(module: ModuleState, host: Host, atMs: number): void {
  rest(module, host, atMs);
  module.memory.decisions.add(atMs, host, "resting", "a probe failed");
  module.place(host);
}

/** The node has rested: from now on it gets probes. */
export function endRest(module: ModuleState, host: Host, atMs: number): void {
  host.dueMs = Infinity;
  module.context.active.remove(host);
  if (host.stats !== undefined) host.stats.resting = false;
  module.place(host);
  if (host.overload) {
    module.memory.decisions.add(atMs, host, "overload", "has rested, gets probes");
  }
}

/** While all were in use some went well but not often enough: they need not rest first. */
export function letWellOnesProbe({ memory, context }: ModuleState): void {
  for (const host of memory.judged) {
    if (host.stats === undefined || host.continSucc === 0 || !host.stats.resting) continue;
    host.stats.resting = false;
    host.dueMs = Infinity;
    context.active.remove(host);
  }
}

/** The node is in use again, and well. */
export function startReturn(module: ModuleState, host: Host, atMs: number): void {
  if (!module.isStaged || module.mode === "open") return;
  startRamp(module, host, module.policy.settings.rampMs, atMs);
}

/** From now on the share of the node grows to the whole of it, over `rampMs` and some jitter. */
export function startRamp(module: ModuleState, host: Host, rampMs: number, atMs: number): void {
  const { context, policy } = module;
  const jitter = 1 + policy.settings.recoveryJitter * context.rng.next();
  if (host.stats === undefined || !(rampMs > 0)) return;
  host.stats.rampFromMs = atMs;
  host.stats.rampMs = rampMs * jitter;
  module.memory.ramping.add(host);
  growShares(module, atMs);
  module.wantTicks();
}

/** Lets the shares of returned and new nodes grow; not when most nodes are such. */
export function growShares(module: ModuleState, nowMs: number): void {
  const { router } = module;
  const { ramping } = module.memory;
  let usable = 0;
  let growing = 0;
  for (const { weight } of router.usable()) usable += weight;
  for (const host of ramping) if (host.pool !== undefined) growing += host.weight;
  // Who else should take their calls?
  const isSkipped = growing * 2 > usable || module.mode === "open";
  const { rampStartShare } = module.policy.settings;
  for (const host of ramping) {
    const { stats, pool } = host;
    const share = stats === undefined || pool === undefined
      ? 1
      : rampShare(nowMs - stats.rampFromMs, stats.rampMs, rampStartShare);
    if (share === 1) ramping.delete(host);
    const pickWeight = isSkipped ? host.weight : host.weight * share;
    if (pickWeight === host.pickWeight) continue;
    if (pool === undefined) host.pickWeight = pickWeight;
    else pool.setWeight(host, pickWeight);
    router.changed();
  }
}
