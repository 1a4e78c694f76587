// Core. What a pick policy is. Each has a file `policy_<name>.ts`; `pick_policies.ts` has them all.

import type { Dice } from "./dice.ts";
import type { Host, HostList } from "../host.ts";
import type { PolicyName } from "../module_policy.ts";
import type { ModuleSettings } from "../module_settings.ts";
import type { TurnRing } from "./turn_table.ts";

/** Stands for "the caller gave no key". */
export const NO_KEY = -1;

/** Sums over the usable nodes. */
export interface PickTotals {
  /** Calls under way; kept for policies that follow calls. */
  readonly underWay: number;
  /** Sum of the nodes' `pickWeight`. */
  readonly pickWeight: number;
}

/** What a policy chooses from, and how. */
export interface PickContext {
  /** The usable nodes, in the order in which they became usable. A policy may rotate the list. */
  readonly usable: HostList<Host>;
  readonly totals: PickTotals;
  readonly settings: ModuleSettings;
  readonly dice: Dice;
}

/** Which node each key belongs to, for callers that find it by themselves. */
export interface KeyedTable {
  /** Of a ring each entry has a hash, ascending; of Maglev the number of the entry tells. */
  readonly kind: "ring" | "maglev";
  readonly hosts: readonly Host[];
  /** Number of the node of each entry, whether the node is usable or not. */
  readonly owners: Int32Array;
  readonly hashes: Uint32Array | undefined;
}

/**
 * Chooses the next of the usable nodes of one module (or of one zone of it). One instance for each,
 * so it may keep state. Whether a node is usable, and when an unusable one is probed, is not its
 * business: a node that is out, draining or of weight 0 has been removed.
 *
 * Times are milliseconds of the clock the balancer is given. Nothing of a policy throws; `pick`,
 * `began` and `ended` are O(1) or O(log n) and allocate nothing.
 */
export interface PickPolicy {
  /** Name as written in configuration. */
  readonly name: PolicyName;
  /** True for a policy that wants `began` and `ended`, and the nodes' `stats` kept. */
  readonly followsCalls: boolean;
  /** Of a policy that knows its coming picks: each is the next of these. */
  readonly inTurn?: TurnRing;
  /** A node became usable; it is the tail of `usable`. */
  add(host: Host): void;
  /** A node is no longer usable, for a while at least; it is still in `usable`. */
  remove(host: Host): void;
  /** A node that was removed has left the route. */
  forget?(host: Host): void;
  /** The route gives a node another weight, whether it is usable or not. */
  reweighed?(host: Host): void;
  /** The `pickWeight` of a usable node, which was `before`, changed: it keeps its place. */
  weightChanged?(host: Host, before: number): void;
  /** Tells of each usable node which part of a turn is left until its next pick. 0 to 1. */
  turnsLeft?(left: Map<Host, number>): void;
  /** Gives usable nodes the parts of turns that were told of them before they came here. */
  keepTurns?(left: ReadonlyMap<Host, number>): void;
  /** The table of keys as it is now, the same object until the route changes; without nodes none. */
  keyedTable?(): KeyedTable | undefined;
  /**
   * The next node; undefined only when none is usable.
   *
   * @param key Of 31 bits, evenly spread, for what is to stay on one node; or {@linkcode NO_KEY}.
   */
  pick(nowMs: number, key: number): Host | undefined;
  /** A call of a usable node began: it was picked, or probed before. Its `stats` knows already. */
  began?(host: Host, nowMs: number): void;
  /** A call of a usable node ended, with an outcome of `call_outcome.ts`. */
  ended?(host: Host, outcome: number, nowMs: number): void;
}
