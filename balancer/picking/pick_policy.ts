// Core. What a pick policy is. Each has a file `policy_<name>.ts`; `pick_policies.ts` has them all.

import type { Dice } from "./dice.ts";
import type { Host, HostList } from "../host.ts";
import type { PolicyName } from "../module_policy.ts";
import type { ModuleSettings } from "../module_settings.ts";

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
  /** The list of a policy whose every pick is the head of it, which becomes the tail. */
  readonly inTurn?: HostList<Host>;
  /** A node became usable; it is the tail of `usable`. */
  add(host: Host): void;
  /** A node is no longer usable, for a while at least; it is still in `usable`. */
  remove(host: Host): void;
  /** A node that was removed has left the route, or its weight there changed. */
  forget?(host: Host): void;
  /** The `pickWeight` of a usable node changed. */
  weightChanged?(host: Host): void;
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
