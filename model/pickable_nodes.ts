// Core. A short name for the nodes of a route that may be picked, and the mark that such a state is meant.

import { isNodePort, type NodeState } from "./node.ts";

/**
 * Names a set of nodes, in any order: `4-9f02b1c4a0d37e55`, their number and 64 bits made of them.
 * Two sets that differ share a name as seldom as one in 2^64, unless somebody works at it.
 */
export class PickableNodes {
  #count = 0;
  #high = 0;
  #low = 0;

  /** Adds a node, which must not be in it already; `ip` signed or unsigned. */
  add(ip: number, port: number): void {
    this.#count++;
    this.#high = (this.#high + mixed(ip, port, 0x9e3779b1)) >>> 0;
    this.#low = (this.#low + mixed(port, ip, 0x85ebca6b)) >>> 0;
  }

  /** How many nodes were added. */
  get count(): number {
    return this.#count;
  }

  get name(): string {
    return `${this.#count}-${hex(this.#high)}${hex(this.#low)}`;
  }
}

/** A node as it is stored, as far as its being picked goes. */
export interface StoredNode {
  readonly ip: number;
  readonly port: number;
  readonly state: NodeState;
}

/**
 * The nodes that dns lets callers pick of the rows of one module, in order of their ids: rows that
 * are off or have no port of a node count as absent, of two rows of one node the later one counts.
 */
export function pickableNodes(rows: Iterable<StoredNode>): PickableNodes {
  const states = new Map<string, StoredNode>();
  for (const row of rows) {
    if (isNodePort(row.port)) states.set(`${row.ip >>> 0}:${row.port}`, row);
  }
  const nodes = new PickableNodes();
  for (const { ip, port, state } of states.values()) if (state === "on") nodes.add(ip, port);
  return nodes;
}

/**
 * The mark of a change that is meant, as stored with its module: which version meant which nodes.
 * The version makes each mark another one, so that one that was honoured is not honoured again.
 */
export function meantMark(version: number, nodesName: string): string {
  return `${version}:${nodesName}`;
}

/** True when the mark names these nodes; the empty mark names none. */
export function markNames(mark: string, nodesName: string): boolean {
  return mark !== "" && mark.slice(mark.indexOf(":") + 1) === nodesName;
}

function mixed(first: number, second: number, seed: number): number {
  let hash = Math.imul(first ^ seed, 0xcc9e2d51) ^ Math.imul(second + seed, 0x1b873593);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}
