// Core. What a pick policy is; `policy_lars.ts` is the original one.

import type { Host } from "./host.ts";
import type { HostList } from "./host_list.ts";

/** What a policy chooses from. */
export interface PickLists {
  readonly idle: HostList<Host>;
  readonly overload: HostList<Host>;
}

/**
 * Chooses the next node of one module. One instance per module, so it may keep state.
 *
 * A policy is told of route changes and state changes only by what the lists hold at the next
 * pick. It must not move nodes between the lists; rotating a list is allowed.
 */
export interface PickPolicy {
  /** Name as written in configuration. */
  readonly name: string;
  /**
   * The next node, or a return code when there is none to give: NoExist when both lists are empty,
   * Overload to refuse the call. Called for every request: O(1), no allocation, never throws.
   */
  pick(lists: PickLists, probeNum: number): Host | number;
}

/** Makes the policy of a new module. */
export type PickPolicyFactory = () => PickPolicy;
