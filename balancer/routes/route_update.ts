// Core. A new route of a module: which nodes stay, come and go, and what becomes of each.

import { addressId, type RouteNode, WEIGHT_DEFAULT } from "../../model/node.ts";
import type { RouteUpdate } from "../balance_records.ts";
import { enforce } from "../detection/enforcement.ts";
import { resetIdle } from "../detection/overload_policy.ts";
import { growShares, startRamp } from "../detection/recovery.ts";
import { Host } from "../host.ts";
import { isInService, type ModuleState } from "../module_state.ts";

/**
 * Takes a new route: nodes kept by it keep their counters and their place, new ones join those
 * in use, the others are dropped with all that was known of them. Duplicates count once.
 */
export function updateRoute(
  module: ModuleState,
  nodes: readonly RouteNode[],
  nowMs: number,
): RouteUpdate {
  const { hosts, context } = module;
  const wanted = new Map<number, RouteNode>();
  let cut = 0;
  for (const node of nodes) {
    const key = addressId(node.ip >>> 0, node.port);
    if (wanted.has(key)) continue;
    if (!(node.port >= 1 && node.port <= 65535) || wanted.size >= context.nodesMax) cut++;
    else wanted.set(key, node);
  }
  const before = hosts.size;
  for (const [key, host] of hosts) if (!wanted.has(key)) dropNode(module, key, host);
  const kept = hosts.size;
  for (const [key, node] of wanted) keepOrAdd(module, key, node, before === 0, nowMs);
  module.inService = 0;
  for (const host of hosts.values()) if (isInService(host)) module.inService++;
  enforce(module, undefined, nowMs);
  if ((module.memoryIfAny?.ramping.size ?? 0) > 0) growShares(module, nowMs);
  return { added: hosts.size - kept, kept, removed: before - kept, cut };
}

/** Drops a node with all that was known of it. */
export function dropNode(module: ModuleState, key: number, host: Host): void {
  const { hosts, router, context, memoryIfAny } = module;
  hosts.delete(key);
  module.take(host);
  router.forget(host);
  context.active.remove(host);
  if (memoryIfAny === undefined) return;
  memoryIfAny.judged.delete(host);
  memoryIfAny.ramping.delete(host);
  memoryIfAny.underWay -= host.stats?.underWay.count ?? 0;
}

function keepOrAdd(
  module: ModuleState,
  key: number,
  node: RouteNode,
  isFirst: boolean,
  nowMs: number,
): void {
  const known = module.hosts.get(key);
  const host = known ?? new Host(node.ip >>> 0, node.port, module, nowMs);
  const { weight = WEIGHT_DEFAULT, zone = "", state = "on" } = node;
  if (known === undefined) {
    resetIdle(host, module.rules);
    module.hosts.set(key, host);
    module.fitStatistics(host);
  } else if (host.weight !== weight || host.zone !== zone || host.state !== state) {
    module.take(host);
    module.router.forget(host);
    module.memoryIfAny?.ramping.delete(host);
  } else {
    return;
  }
  host.weight = weight;
  host.pickWeight = weight;
  host.zone = zone;
  host.state = state;
  module.place(host);
  const { slowStartMs } = module.policy.settings;
  if (known !== undefined || isFirst || !(slowStartMs > 0)) return;
  startRamp(module, host, slowStartMs, nowMs);
}
