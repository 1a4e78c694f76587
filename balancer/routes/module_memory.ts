// Core. What a module keeps beside its nodes once it has to.

import { DecisionLog, type ModuleMode, type PickLog } from "../explain.ts";
import type { Host } from "../host.ts";

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
