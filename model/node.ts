// Core. What a node is, how it is named, and what a route may say of it.

import { formatIpv4 } from "../reactor/address.ts";
import { type ModuleKey, moduleText } from "./module.ts";

/** Largest port. */
export const PORT_MAX = 65_535;

/** Largest weight of a node; 0 keeps a node listed and gives it no calls. */
export const WEIGHT_MAX = 10_000;

/** Weight of a node whose route names none. */
export const WEIGHT_DEFAULT = 100;

/** Longest zone name, in characters (UTF-16 units). */
export const ZONE_LENGTH_MAX = 64;

/**
 * What an operator wants of a node: `on` = calls, `drain` = no new call, it is about to stop;
 * `off` = no call, it is stopped.
 */
export type NodeState = "on" | "drain" | "off";

/** Every state a node can have. */
export const NODE_STATES: readonly NodeState[] = ["on", "drain", "off"];

/**
 * True for a node that may get calls. A weight of 0 is the same as draining: the node stays in the
 * route and gets none.
 */
export function takesCalls(
  { state, weight }: { readonly state: NodeState; readonly weight: number },
): boolean {
  return state === "on" && weight > 0;
}

/** The state of a node in a word, as it works: one of weight 0 drains although it is `on`. */
export function stateWord(
  node: { readonly state: NodeState; readonly weight: number },
): NodeState | "on, drains" {
  return node.state === "on" && !takesCalls(node) ? "on, drains" : node.state;
}

/** A node, of whichever module. */
export interface NodeAddress {
  /** IPv4 address as an unsigned number in host order. */
  readonly ip: number;
  /** 1 to 65535; foreign writers may have stored any unsigned number. */
  readonly port: number;
}

/** One node of one module. */
export interface NodeKey extends ModuleKey, NodeAddress {}

/** A node as a route names it. */
export interface RouteNode extends NodeAddress {
  /** Share of the calls it should get, 0 to 10000; 0 = none. @default {100} */
  readonly weight?: number;
  /** Name of the zone it stands in, at most 64 characters. @default {""} */
  readonly zone?: string;
  /** @default {"on"} */
  readonly state?: NodeState;
}

/** A node in the route table, as stored: foreign writers may have put any unsigned number as port. */
export interface RouteRow extends NodeKey {
  /** Share of the calls against the other nodes of the module, 0 to 10000. @default {100} */
  readonly weight: number;
  /** Name of the zone the node stands in, at most 64 characters. @default {""} */
  readonly zone: string;
  /** @default {"on"} */
  readonly state: NodeState;
}

/** A row that counts, with the number of rows that name its node when there are several. */
export type CountedRow = RouteRow & { readonly copies?: number };

/**
 * Each node once. The original's table lets one node stand in several rows; of those the one stored
 * last counts, for dns and agents, the console and the command line alike.
 *
 * @param rows In the order of their ids.
 * @returns Nodes in the order of their first rows.
 */
export function rowsThatCount(rows: readonly RouteRow[]): CountedRow[] {
  const nodes = new Map<string, CountedRow>();
  for (const row of rows) {
    const key = nodeId(row);
    const known = nodes.get(key);
    nodes.set(key, known === undefined ? row : { ...row, copies: (known.copies ?? 1) + 1 });
  }
  return [...nodes.values()];
}

/** A node to be added; what is left out takes the default of {@linkcode RouteRow}. */
export interface NodeSpec extends ModuleKey, RouteNode {}

/**
 * One wish of an editor. `add` conflicts with a node that exists, `remove` and `set` with one that
 * is missing. Edits of one call are applied in their order.
 */
export type RouteEdit =
  | ({ readonly op: "add" } & NodeSpec)
  | ({ readonly op: "remove" } & NodeKey)
  | ({ readonly op: "set" } & NodeSpec);

/** True for a port that can be called. */
export function isNodePort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= PORT_MAX;
}

/** A node within its module as the key of maps; exact, as ip and port need 48 bits. */
export function addressId(ip: number, port: number): number {
  return ip * 65_536 + port;
}

/** A node of any module as the key of maps. Never shown to anybody: it has its ip as a number. */
export function nodeId(node: NodeKey): string {
  return `${moduleText(node)} ${node.ip}:${node.port}`;
}

/** The calls of one caller to one node as the key of maps. */
export function callsId(row: NodeKey & { readonly caller: number }): string {
  return `${row.modId},${row.cmdId},${row.ip},${row.port},${row.caller}`;
}

/** A node within its module, as people name it: `10.0.0.1:7777`. */
export function addressText({ ip, port }: NodeAddress): string {
  return `${formatIpv4(ip)}:${port}`;
}

/** A node as messages name it: `1/2 10.0.0.1:7777`. */
export function nodeText(node: NodeKey): string {
  return `${moduleText(node)} ${addressText(node)}`;
}
