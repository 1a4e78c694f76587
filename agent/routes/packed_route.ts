// Core. A route as a few arrays: cheap to compare, to hand to a worker and to write to disk.

import type { ModulePolicy } from "../../balancer/module_policy.ts";
import { NODES_MAX } from "../../balancer/routes/route_records.ts";
import type { RouteStamp } from "../../feed/route_subscriber.ts";
import type { HostInfo } from "../../proto/codec.ts";
import type { RouteNode } from "../../model/node.ts";

/** Weight of a node that names none. */
const WEIGHT_DEFAULT = 100;

/** Distinct zone names of one route; nodes of further ones have no zone. */
const ZONES_MAX = 65_535;

/** A module and its nodes; node i is described by element i of each array. */
export interface PackedRoute {
  readonly modId: number;
  readonly cmdId: number;
  readonly ips: Uint32Array;
  /** 1 to 65535. */
  readonly ports: Uint16Array;
  readonly weights: Uint16Array;
  /** Index into `zoneNames`. */
  readonly zones: Uint16Array;
  /** The first one is always "". */
  readonly zoneNames: readonly string[];
  /** 1: drained, no new picks; else 0. */
  readonly drains: Uint8Array;
  /** JSON of the module's policy, as the balancer reads it; "" = the rules of the configuration. */
  readonly policy: string;
  /** What came of `policy` where it was read, so that nobody reads it twice; never on disk. */
  readonly parsedPolicy?: ModulePolicy;
  /** Which route it is, and how new; undefined: nobody said. */
  readonly stamp?: RouteStamp | undefined;
}

/**
 * Packs what dns sent.
 *
 * @returns the route, and how many nodes were left out: with a port outside 1 to 65535, or more
 * than `nodesMax`.
 */
export function packRoute(
  modId: number,
  cmdId: number,
  hosts: readonly HostInfo[],
  policy = "",
  nodesMax = NODES_MAX,
): { route: PackedRoute; cut: number } {
  const usable = hosts.filter((host) => host.port >= 1 && host.port <= 65535).slice(0, nodesMax);
  const zoneNames = [""];
  const zoneIndexes = new Map([["", 0]]);
  const zoneIndex = (name = ""): number => {
    let index = zoneIndexes.get(name);
    if (index === undefined && zoneNames.length < ZONES_MAX) {
      index = zoneNames.push(name) - 1;
      zoneIndexes.set(name, index);
    }
    return index ?? 0;
  };
  const route = {
    modId,
    cmdId,
    ips: Uint32Array.from(usable, (host) => host.ip),
    ports: Uint16Array.from(usable, (host) => host.port),
    weights: Uint16Array.from(usable, (host) => Math.min(host.weight ?? WEIGHT_DEFAULT, 65535)),
    zones: Uint16Array.from(usable, (host) => zoneIndex(host.zone)),
    zoneNames,
    drains: Uint8Array.from(usable, (host) => host.state === "drain" ? 1 : 0),
    policy,
  };
  return { route, cut: hosts.length - usable.length };
}

/** The nodes as the balancer takes them. */
export function unpackNodes(route: PackedRoute): RouteNode[] {
  const { ips, ports, weights, zones, zoneNames, drains } = route;
  return Array.from(ips, (ip, i) => {
    const node = { ip, port: ports[i], weight: weights[i], zone: zoneNames[zones[i]] };
    return drains[i] === 1 ? { ...node, state: "drain" } : node;
  });
}

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** How many nodes of a route may be picked. */
export function pickableCount({ drains }: PackedRoute): number {
  return drains.reduce((count, drain) => count + 1 - drain, 0);
}

/** True when both routes name the same nodes in the same order, under the same policy. */
export function sameRoute(a: PackedRoute, b: PackedRoute): boolean {
  return sameNumbers(a.ips, b.ips) && sameNumbers(a.ports, b.ports) &&
    sameNumbers(a.weights, b.weights) && sameNumbers(a.zones, b.zones) &&
    sameNumbers(a.drains, b.drains) && a.policy === b.policy &&
    a.zoneNames.length === b.zoneNames.length &&
    a.zoneNames.every((name, i) => name === b.zoneNames[i]);
}
