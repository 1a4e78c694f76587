// Core. Verdicts take effect as far as a module allows it: how many may be out, and its mode.

import type { Host } from "../host.ts";
import { isInService, type ModuleState } from "../module_state.ts";
import { ejectionsAllowed } from "./ejection.ts";
import { letWellOnesProbe } from "./recovery.ts";

/** While a module is open it goes on so until this share of its nodes is usable: none then gets
 * more than 6/5 of its fair share when the others lose theirs. */
const OPEN_UNTIL_SHARE = 5 / 6;

/**
 * Lets verdicts take effect as far as the module allows it.
 *
 * @param changed The node whose verdict is new; undefined when the route is.
 */
export function enforce(module: ModuleState, changed: Host | undefined, nowMs: number): void {
  const { overloadShareMax, whenAllOverload, dryRun } = module.policy.settings;
  // Nothing ever befell any node.
  if (module.memoryIfAny === undefined) return;
  const flipped = updateMode(module, nowMs);
  const isPlain = overloadShareMax >= 1 && whenAllOverload !== "open" && !dryRun;
  // A new route may have brought a node back into service that was judged before.
  if (!isPlain || flipped || changed === undefined) enforceAll(module);
  if (changed === undefined) return;
  if (isPlain || !changed.judged) setOut(module, changed, changed.judged);
}

/** The same for all nodes, after the mode was brought up to date. */
export function enforceAll(module: ModuleState): void {
  const { overloadShareMax, dryRun } = module.policy.settings;
  const isOpen = dryRun || module.mode === "open";
  let allowed = isOpen ? 0 : ejectionsAllowed(module.inService, overloadShareMax);
  for (const host of module.memory.judged) {
    setOut(module, host, isInService(host) && allowed-- > 0);
  }
}

function setOut(module: ModuleState, host: Host, out: boolean): void {
  host.overload = out;
  if (out && module.memory.ramping.delete(host)) host.pool?.setWeight(host, host.weight);
  module.place(host);
}

/** Number of nodes in service that the rules do not hold for overload. */
function usableCount({ hosts, inService, memory }: ModuleState): number {
  let judged = memory.judged.size;
  if (inService < hosts.size) {
    for (const host of memory.judged) if (!isInService(host)) judged--;
  }
  return inService - judged;
}

/**
 * Brings the mode of a module up to date.
 *
 * @returns true when it changed.
 */
export function updateMode(module: ModuleState, atMs: number): boolean {
  const { whenAllOverload, usableShareMin, dryRun } = module.policy.settings;
  const { memory, modId, cmdId, inService } = module;
  const count = usableCount(module);
  const usable = inService === 0 ? 1 : count / inService;
  const leastShare = whenAllOverload !== "open"
    ? 0
    : memory.mode === "open"
    ? Math.max(usableShareMin, OPEN_UNTIL_SHARE)
    : usableShareMin;
  const isWithout = !dryRun && (usable === 0 || usable < leastShare);
  const mode = isWithout ? whenAllOverload : "normal";
  if (mode === memory.mode) return false;
  if (memory.mode === "open") letWellOnesProbe(module);
  const reason = `${count} of ${inService} nodes are usable`;
  memory.mode = mode;
  memory.modeReason = reason;
  memory.modeSinceMs = atMs;
  memory.decisions.add(atMs, undefined, mode, reason);
  module.context.onModeChange({ modId, cmdId, mode, reason, atMs });
  return true;
}
