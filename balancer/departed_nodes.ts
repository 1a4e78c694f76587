// Core. Totals of nodes that left the routes of their modules, for when they return; bounded.

import { type Host, HostList, type Linked } from "./host.ts";

/** Nodes of a module that left its route whose totals are kept; beyond it the first that left are forgotten. */
export const DEPARTED_NODES_MAX = 1_000;

/** The same of all modules of a loop together, 4 to 5 MB: those that change most must not take it all. */
export const DEPARTED_NODES_LOOP_MAX = 20_000;

/** What is known of the calls of a node, as it is told outside: sums that only grow. */
export type NodeTotals = Pick<Host, "succTotal" | "errTotal" | "timedTotal" | "timeMsTotal">;

/** A node that left its module. */
export class DepartedNode implements Linked<DepartedNode> {
  next: DepartedNode = this;
  prev: DepartedNode = this;
  list: HostList<DepartedNode> | undefined = undefined;
  /** All that left the same module. */
  readonly siblings: DepartedOfModule;
  /** The `addressId` of the node. */
  readonly key: number;
  readonly totals: NodeTotals;

  constructor(siblings: DepartedOfModule, key: number, totals: NodeTotals) {
    this.siblings = siblings;
    this.key = key;
    this.totals = totals;
  }
}

/** Nodes that left one module by their `addressId`, the first that left first. The module has it. */
export type DepartedOfModule = Map<number, DepartedNode>;

/**
 * The nodes that left the modules of one loop, the first that left first. A module keeps
 * {@linkcode DEPARTED_NODES_MAX}, all of them {@linkcode DEPARTED_NODES_LOOP_MAX}; beyond either the
 * first that left is forgotten: when it returns its totals begin anew, as those of a node that was
 * never there. Whoever compares them with those from before takes that for a program that began
 * anew if they are less; if the new ones are as many already, the difference is all that counts.
 *
 * Only routes that change come here, no call; each node costs O(1).
 */
export class DepartedNodes {
  readonly #nodes = new HostList<DepartedNode>();
  readonly #max: number;

  /** @param max Of all modules together, at least 1. */
  constructor(max = DEPARTED_NODES_LOOP_MAX) {
    this.#max = max;
  }

  /** Nodes whose totals are kept. */
  get count(): number {
    return this.#nodes.count;
  }

  /** A node leaves; none of that key may be among `siblings`. */
  add(siblings: DepartedOfModule, key: number, totals: NodeTotals): void {
    if (siblings.size >= DEPARTED_NODES_MAX) {
      const [first] = siblings.values();
      this.#forget(first);
    }
    const { head } = this.#nodes;
    if (head !== undefined && this.#nodes.count >= this.#max) this.#forget(head);
    const node = new DepartedNode(siblings, key, totals);
    siblings.set(key, node);
    this.#nodes.pushTail(node);
  }

  /** A node returns: what is kept of it, from now on the module's to keep; undefined: nothing is. */
  take(siblings: DepartedOfModule, key: number): NodeTotals | undefined {
    const node = siblings.get(key);
    if (node !== undefined) this.#forget(node);
    return node?.totals;
  }

  /** A module is no more: its nodes take no place here, and stay in `siblings` for its last results. */
  release(siblings: DepartedOfModule): void {
    for (const node of siblings.values()) if (node.list !== undefined) this.#nodes.remove(node);
  }

  #forget(node: DepartedNode): void {
    node.siblings.delete(node.key);
    this.#nodes.remove(node);
  }
}
