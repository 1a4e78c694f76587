// Core. What the balancer of one loop is given, and what it tells of its modules.

import type { Rng } from "../../reactor/time/rng.ts";
import type {
  HostResult,
  HostSnapshot,
  ModuleModeChange,
  StateChange,
} from "../balance_records.ts";
import type { BalanceSettings } from "../detection/balance_settings.ts";
import type { ModuleView } from "../explain.ts";
import type { ModulePolicy } from "../module_policy.ts";

/** Modules one agent keeps; a new one takes the place of an old one when it is full. */
export const MODULES_MAX = 10_000;

/** Nodes one module keeps; further ones are cut and counted. */
export const NODES_MAX = 65_536;

/** Pulls of modules without a node that may be made in one go, after a quiet time; per agent. */
export const PULLS_BURST_MAX = 1000;

/**
 * Pulls of modules without a node per second, in the long run; per agent. Keeps a caller that asks
 * for made-up modules from turning each datagram into a request to dns. Modules over the rate wait
 * for their turn, oldest first.
 */
export const PULLS_PER_SECOND_MAX = 50;

/** What is known of the route of a module. */
export type RouteState =
  /** Asked for, never answered. */
  | "pulling"
  /** Has nodes. */
  | "ready"
  /** Answered: no nodes. Remembered for update_timeout. */
  | "empty";

/** Calls of one module that got no node, by cause, since the module is known. */
export interface RefusedTotals {
  /** Too few of its nodes were well: turned away as a whole, or between two probes. */
  readonly overload: number;
  /** It has nodes, and none of them may be called: drained, off, weight 0. */
  readonly unusable: number;
  /** It has no nodes. */
  readonly noNode: number;
  /** Its route was not known yet. */
  readonly noRoute: number;
  /** True when nothing of these was told before, to nobody. */
  readonly fresh: boolean;
}

/** What one module has to report. */
export interface ModuleReport {
  readonly modId: number;
  readonly cmdId: number;
  readonly results: HostResult[];
  /** Calls that got no node, where that is news. */
  readonly refused?: RefusedTotals;
  /** Totals of the module as `module_counts.ts` lays them out; absent: there was no call. */
  readonly counts?: readonly number[];
  /** Which of several balancers tells it, each of which counts what it was asked; absent: the only one. */
  readonly shard?: number;
}

/** A module and its nodes, for the cache and for status pages. */
export interface ModuleSnapshot {
  readonly modId: number;
  readonly cmdId: number;
  readonly state: RouteState;
  /** Age of the route in milliseconds; Infinity when it never came from dns in this life. */
  readonly ageMs: number;
  readonly hosts: HostSnapshot[];
}

/** One module as `RouteLb.explain` tells it. Plain data. */
export interface ModuleExplanation {
  readonly state: RouteState;
  /** Age of the route; undefined when it never came from dns in this life. Milliseconds. */
  readonly ageMs: number | undefined;
  /** Undefined while it has had no node. */
  readonly module: ModuleView | undefined;
}

/** Counters of one loop since its start. */
export const NO_COUNTS = {
  picks: 0,
  probes: 0,
  refusedOverload: 0,
  refusedNoExist: 0,
  reports: 0,
  reportsIgnored: 0,
  changesToOverload: 0,
  changesToIdle: 0,
  modulesEvicted: 0,
  nodesCut: 0,
};

/** Counters of one loop since its start, and its present sizes. */
export type RouteLbStats = typeof NO_COUNTS & {
  modules: number;
  modulesReady: number;
  hosts: number;
  hostsOverload: number;
  activeHosts: number;
  pullsPending: number;
  pullsSent: number;
};

/** How a `RouteLb` works. */
export interface RouteLbOptions {
  settings: BalanceSettings;
  /** Spreads refreshes; chance of policies and of recovery. */
  rng: Rng;
  /** Zone the agent stands in, for modules that are aware of zones. @default "" = none */
  zone?: string;
  /** @default MODULES_MAX */
  modulesMax?: number;
  /** @default NODES_MAX */
  nodesMax?: number;
  /** Burst of pulls for modules without nodes. @default PULLS_BURST_MAX */
  pullsBurstMax?: number;
  /** Rate of the same. @default PULLS_PER_SECOND_MAX */
  pullsPerSecondMax?: number;
  /** Policy of modules that have no text of their own. @default the original rules */
  modulePolicy?: ModulePolicy;
  /** Somebody takes the plans of modules, see `RouteLb.plans`. @default {false} */
  hasPlans?: boolean;
  /** Nodes whose calls are tallied, see `success_tally.ts`; 0: none. @default TALLY_NODES_MAX */
  tallyNodesMax?: number;
  /** Sends a route request; must not wait. */
  onPull(modId: number, cmdId: number): void;
  /** A node changed its state; for logs. */
  onStateChange?(change: StateChange): void;
  /** A module began, or ceased, to be without a usable node; for logs. */
  onModeChange?(change: ModuleModeChange): void;
  /** A module whose route was asked for was evicted, or one from the cache was not taken. */
  onForget?(modId: number, cmdId: number): void;
}
