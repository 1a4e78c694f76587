// Core. What a caller needs to pick nodes of one module by itself: the turns of its nodes, and its table of keys.

import { sharesNow } from "./explain.ts";
import type { Host } from "./host.ts";
import type { ModuleState } from "./module_state.ts";
import type { KeyedTable } from "./picking/pick_policy.ts";
import { makeSchedule, type ScheduleShare } from "./picking/schedule.ts";

/** Nodes of a module that plans are made of; picks of larger modules are made here only. */
export const PLAN_NODES_MAX = 4096;

/** Entries of a table of keys that is part of a plan; with a larger one keyed picks are made here only. */
export const PLAN_KEYED_ENTRIES_MAX = 65_536;

/** Stands for a turn in which the caller gets no node. */
export const REFUSED_TURN = 0xffff;

/** How nodes of a module are picked by whoever does not ask for each. */
export interface PickPlan {
  /** Nodes of the turns. */
  readonly nodes: readonly Host[];
  /** Numbers of nodes, or {@linkcode REFUSED_TURN}, in the order of turns; then from the first again. */
  readonly turns: Uint16Array;
  /** Of a policy that heeds keys, unless keyed picks have to be made here. */
  readonly keyed: KeyedTable | undefined;
  /** The policy heeds keys and there is no table of them. */
  readonly keyedHere: boolean;
}

/**
 * The plan by which things stand now. Undefined: each pick has to be made here, since the policy
 * must see it, or there is no node, or there are too many.
 */
export function planPicks(module: ModuleState): PickPlan | undefined {
  const { hosts, router, walk } = module;
  if (module.followsCalls || hosts.size > PLAN_NODES_MAX) return undefined;
  // The mode gives each call to a node that has none: that cannot be seen from afar.
  if (walk.outCount > 0 && module.mode === "probe") return undefined;
  if (router.usable().next().done === true) return refusing(module);
  const nodes: Host[] = [];
  const shares: ScheduleShare[] = [];
  const all = sharesNow(module);
  let at = 0;
  for (const host of hosts.values()) {
    const share = all[at++];
    if (!(share > 0)) continue;
    nodes.push(host);
    shares.push({ share, isLoose: host.overload });
  }
  if (nodes.length === 0) return undefined;
  return { nodes, turns: makeSchedule(shares), ...keyedOf(module) };
}

/** Nothing is usable: of many calls one is a probe, the others are refused. */
function refusing({ walk, rules }: ModuleState): PickPlan | undefined {
  if (walk.outCount === 0) return undefined;
  const none = { keyed: undefined, keyedHere: false };
  const nodes = [...walk.overload];
  if (nodes.length === 0) return { nodes, turns: Uint16Array.of(REFUSED_TURN), ...none };
  const probes = 1 / (rules.probeNum + 1);
  const shares = nodes.map(() => ({ share: probes / nodes.length, isLoose: true }));
  const turns = makeSchedule([...shares, { share: 1 - probes, isLoose: true }]);
  return {
    nodes,
    turns: turns.map((node) => node === nodes.length ? REFUSED_TURN : node),
    ...none,
  };
}

function keyedOf({ router }: ModuleState): Pick<PickPlan, "keyed" | "keyedHere"> {
  const { keyed } = router;
  if (keyed === undefined) return { keyed, keyedHere: router.heedsKeys };
  const isLarge = keyed.owners.length > PLAN_KEYED_ENTRIES_MAX;
  return { keyed: isLarge ? undefined : keyed, keyedHere: isLarge };
}

/** True for a node that gets no ordinary call now. */
export function isOut(host: Host): boolean {
  return host.pool === undefined;
}
