// Core. What a module keeps beside its nodes once it has to.

import { addressText } from "../model/node.ts";
import type { Host } from "./host.ts";
import type { ModuleMode } from "./module_settings.ts";

/** Decisions a module remembers; older ones are forgotten. */
export const DECISIONS_MAX = 32;

/** Picks a module remembers while somebody watches; older ones are forgotten. */
export const RECENT_PICKS_MAX = 1000;

/** Something a module decided. */
export interface Decision {
  /** By the clock the balancer is given. Milliseconds. */
  readonly atMs: number;
  /** The node as "ip:port"; undefined for a decision about the whole module. */
  readonly node: string | undefined;
  /** What the node or the module is from then on. */
  readonly became: string;
  readonly reason: string;
}

/** The latest decisions. Takes memory only once there is one. */
export class DecisionLog {
  #decisions: Decision[] = [];

  /** Keeps a decision in mind. */
  add(atMs: number, host: Host | undefined, became: string, reason: string): void {
    const node = host === undefined ? undefined : addressText(host);
    if (this.#decisions.length >= DECISIONS_MAX) this.#decisions.shift();
    this.#decisions.push({ atMs, node, became, reason });
  }

  /** The latest decision about a node. */
  latestOf(host: Host): Decision | undefined {
    const node = addressText(host);
    return this.#decisions.findLast((decision) => decision.node === node);
  }

  /** All that are remembered, latest first. */
  latestFirst(): Decision[] {
    return this.#decisions.toReversed();
  }
}

/** The latest picks of one module, counted in the `stats` of their nodes. */
export class PickLog {
  readonly #picks: Host[] = [];
  #at = 0;

  /** Number of picks that are remembered. */
  get count(): number {
    return this.#picks.length;
  }

  /** Keeps a pick in mind. O(1). */
  add(host: Host): void {
    if (host.stats !== undefined) host.stats.recentPicks++;
    if (this.#picks.length < RECENT_PICKS_MAX) {
      this.#picks.push(host);
      return;
    }
    const oldest = this.#picks[this.#at];
    if (oldest.stats !== undefined) oldest.stats.recentPicks--;
    this.#picks[this.#at] = host;
    this.#at = (this.#at + 1) % RECENT_PICKS_MAX;
  }

  /** Forgets all picks. */
  clear(): void {
    for (const { stats } of this.#picks) if (stats !== undefined) stats.recentPicks = 0;
    this.#picks.length = 0;
    this.#at = 0;
  }
}

/** What a module needs only once something befell it, it asks for more, or somebody looks. */
export class ModuleMemory {
  /** Nodes held for overload, the longest first. */
  readonly judged = new Set<Host>();
  /** Nodes whose share grows. */
  readonly ramping = new Set<Host>();
  readonly decisions = new DecisionLog();
  mode: ModuleMode = "normal";
  modeReason = "";
  modeSinceMs = -Infinity;
  /** Set while somebody watches. */
  picks: PickLog | undefined = undefined;
  watchUntilMs = -Infinity;
  /** Calls under way, of all nodes. */
  underWay = 0;
  expiryDueMs = -Infinity;
}
