// Core. How the nodes are used that an operator wants to stop: may they be picked, and when were
// they used last?

import { NodeUseState } from "../../proto/message_ids.ts";
import type { NodeUsage } from "../../proto/codec.ts";
import type { Host } from "../host.ts";
import type { RouteLb } from "./route_lb.ts";
import { addressId, type RouteNode } from "../../model/node.ts";
import { type ModuleId, moduleId, moduleOf } from "../../model/module.ts";

/** Drained nodes whose last use is followed; of further ones it is not known. */
export const DRAINING_WATCHED_MAX = 10_000;

interface Watched {
  readonly ip: number;
  readonly port: number;
  /** Outcomes of calls when it was last looked at. */
  outcomes: number;
  usedAtMs: number;
}

/**
 * Follows the drained nodes of one balancer. A drained node is picked no more, so what is left are
 * outcomes of calls that were under way, and those of clients that have not heard yet: each counts
 * as a use at the next look. Counts are compared, so that picks and reports cost nothing.
 */
export class DrainWatch {
  readonly #lb: Pick<RouteLb, "findHost" | "stateOf">;
  readonly #modules = new Map<ModuleId, Map<number, Watched>>();
  #count = 0;

  constructor(lb: Pick<RouteLb, "findHost" | "stateOf">) {
    this.#lb = lb;
  }

  /** Nodes that are followed. */
  get count(): number {
    return this.#count;
  }

  /** The balancer has taken a route. */
  routeTaken(modId: number, cmdId: number, nodes: readonly RouteNode[], nowMs: number): void {
    const name = moduleId(modId >>> 0, cmdId >>> 0);
    const before = this.#modules.get(name);
    const drained = nodes.filter(({ state }) => state === "drain");
    this.#count -= before?.size ?? 0;
    this.#modules.delete(name);
    const after = new Map<number, Watched>();
    for (const { ip, port } of drained) {
      if (this.#count + after.size >= DRAINING_WATCHED_MAX) break;
      const key = addressId(ip >>> 0, port);
      const host = this.#lb.findHost(modId, cmdId, ip, port);
      if (host === undefined) continue;
      const fresh = { ip, port, outcomes: outcomesOf(host), usedAtMs: nowMs };
      after.set(key, before?.get(key) ?? fresh);
    }
    if (after.size === 0) return;
    this.#modules.set(name, after);
    this.#count += after.size;
  }

  /** Looks at every node that is followed; call it about once a second. */
  tick(nowMs: number): void {
    for (const [name, nodes] of this.#modules) {
      const { modId, cmdId } = moduleOf(name);
      for (const [key, watched] of nodes) {
        if (this.#look(modId, cmdId, watched, nowMs)) continue;
        nodes.delete(key);
        this.#count--;
      }
      if (nodes.size === 0) this.#modules.delete(name);
    }
  }

  /** How one node is used; `clients` is 0 here. */
  usage(modId: number, cmdId: number, ip: number, port: number, nowMs: number): NodeUsage {
    if (this.#lb.stateOf(modId, cmdId) === undefined) {
      return { state: NodeUseState.Unknown, clients: 0 };
    }
    const host = this.#lb.findHost(modId, cmdId, ip, port);
    if (host === undefined) return { state: NodeUseState.Absent, clients: 0 };
    if (host.state === "on") return { state: NodeUseState.Picked, clients: 0 };
    const watched = this.#modules.get(moduleId(modId >>> 0, cmdId >>> 0))?.get(
      addressId(ip >>> 0, port),
    );
    if (watched === undefined) return { state: NodeUseState.Draining, clients: 0 };
    this.#look(modId, cmdId, watched, nowMs);
    const idleMs = Math.max(0, Math.floor(nowMs - watched.usedAtMs));
    return { state: NodeUseState.Draining, idleMs, clients: 0 };
  }

  /** @returns false when the balancer does not know the node any more. */
  #look(modId: number, cmdId: number, watched: Watched, nowMs: number): boolean {
    const host = this.#lb.findHost(modId, cmdId, watched.ip, watched.port);
    if (host === undefined) return false;
    const outcomes = outcomesOf(host);
    if (outcomes !== watched.outcomes) watched.usedAtMs = nowMs;
    watched.outcomes = outcomes;
    return true;
  }
}

function outcomesOf(host: Host): number {
  return host.succTotal + host.errTotal;
}

/**
 * What several balancers say of one node: the first that may still pick it decides, and the latest
 * use counts.
 */
export function joinUsages(usages: readonly NodeUsage[]): NodeUsage {
  const order = [
    NodeUseState.Picked,
    NodeUseState.Draining,
    NodeUseState.Absent,
    NodeUseState.Unknown,
  ];
  const state = order.find((one) => usages.some((usage) => usage.state === one)) ??
    NodeUseState.Unknown;
  const idle = usages.filter((usage) => usage.state === state).map(({ idleMs }) => idleMs);
  const known = idle.filter((one) => one !== undefined);
  const clients = usages.reduce((sum, usage) => sum + usage.clients, 0);
  // Of one whose last use is not known nothing better can be said of all.
  if (known.length === 0 || known.length < idle.length) return { state, clients };
  return { state, clients, idleMs: Math.min(...known) };
}
