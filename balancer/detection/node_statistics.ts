// Core. What a module that asks for more than the original rules keeps of each of its nodes.

import { CallsUnderWay, MeanTime, PeakEwma } from "../picking/call_load.ts";
import { Evidence } from "./evidence.ts";

/** Beside the counters of `host.ts`. Plain mutable fields; `load_balance.ts` writes them. */
export class NodeStatistics {
  readonly underWay = new CallsUnderWay();
  /** For policies that compare nodes by their time. */
  readonly ewma = new PeakEwma();
  /** For the rule `slow`. */
  readonly meanTime = new MeanTime();
  readonly evidence = new Evidence();
  /** Times the node went out, less those that decayed: what the ejection time grows with. */
  ejections = 0;
  /** When `ejections` last changed. Milliseconds. */
  ejectionsAtMs = 0;
  /** True while a node that is out gets not even probes. */
  resting = false;
  /** When the share of the node began to grow. Milliseconds. */
  rampFromMs = 0;
  /** How long it grows; 0 = it does not. Milliseconds. */
  rampMs = 0;
  /** Picks among the latest that the module remembers. */
  recentPicks = 0;
}
