// Core. The modules of one loop: what is kept of each, how many there are, and who goes first.

import type { RouteUpdate } from "../balance_records.ts";
import { HostList, type Linked } from "../host_list.ts";
import type { LoadBalance } from "../load_balance.ts";
import type { ModulePolicy } from "../module_policy.ts";
import type { TurnTable } from "../picking/turn_table.ts";
import { type ModuleKeyed, ModuleTable } from "./module_table.ts";
import type { Pullable } from "./pull_schedule.ts";
import type { RouteState } from "./route_records.ts";

/** A module of one loop: its route and, once it had a node, its balancer. */
export class ModuleEntry implements Pullable, ModuleKeyed, Linked<ModuleEntry> {
  readonly modId: number;
  readonly cmdId: number;
  /** Made when the first node comes, so that made-up modules cost little. */
  balance: LoadBalance | undefined = undefined;
  /** Text that `policy` was read from. */
  policyText = "";
  policy: ModulePolicy;
  state: RouteState = "pulling";
  /** Latest use but for turns that were lent. */
  usedAtMs: number;
  updatedAtMs = -Infinity;
  /** When the route is old enough to be pulled on the next use; Infinity while it is pulled. */
  refreshDueMs = Infinity;
  pullDueMs = 0;
  pullRetryMs = 0;
  next: ModuleEntry = this;
  prev: ModuleEntry = this;
  list: HostList<ModuleEntry> | undefined = undefined;

  constructor(modId: number, cmdId: number, policy: ModulePolicy, usedAtMs: number) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.policy = policy;
    this.usedAtMs = usedAtMs;
  }

  get hasNodes(): boolean {
    return this.balance !== undefined && this.balance.hostCount > 0;
  }
}

/** The table of modules, with what is counted of them. */
export class ModuleRegistry extends ModuleTable<ModuleEntry> {
  /** Modules that have no node and never had one, oldest first: the first to be evicted. */
  readonly nodeless = new HostList<ModuleEntry>();
  /** Modules with nodes. */
  readyCount = 0;
  /** Nodes of all modules. */
  hostCount = 0;

  /** Adds a module that has no node yet. */
  insert(entry: ModuleEntry): void {
    this.add(entry);
    this.nodeless.pushTail(entry);
  }

  /** Forgets a module with its nodes. */
  evict(entry: ModuleEntry): void {
    this.remove(entry);
    if (entry.list !== undefined) this.nodeless.remove(entry);
    this.hostCount -= entry.balance?.hostCount ?? 0;
    entry.balance?.clear();
    if (entry.state === "ready") this.readyCount--;
  }

  /** A module has taken a route. */
  routeTaken(entry: ModuleEntry, { added, removed }: RouteUpdate): void {
    this.hostCount += added - removed;
    if (entry.state === "ready") this.readyCount--;
    entry.state = entry.hasNodes ? "ready" : "empty";
    if (entry.state === "ready") this.readyCount++;
    // A module that once had nodes stays out of the list: it was real, and goes by its last use.
    if (entry.hasNodes && entry.list !== undefined) this.nodeless.remove(entry);
  }

  /** The module whose place a new one may take. `turns` knows of uses too. */
  firstToGo(turns: TurnTable): ModuleEntry | undefined {
    return this.nodeless.head ?? this.#leastRecentlyUsed(turns);
  }

  /**
   * Walks all modules, but only when every one of them has had nodes: the module that takes the
   * place has none yet, and so is the next to go.
   */
  #leastRecentlyUsed(turns: TurnTable): ModuleEntry | undefined {
    let oldest: ModuleEntry | undefined;
    let oldestMs = Infinity;
    for (const entry of this) {
      const lentMs = turns.usedAtMs(entry.modId, entry.cmdId);
      const usedAtMs = Math.max(entry.usedAtMs, lentMs);
      if (oldest !== undefined && usedAtMs >= oldestMs) continue;
      oldest = entry;
      oldestMs = usedAtMs;
    }
    return oldest;
  }
}
