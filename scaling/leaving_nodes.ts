// Core. Which nodes a module can spare.

import type { ModuleKey } from "../model/module.ts";
import type { NodeAddress } from "../model/node.ts";

/** A node as scaling sees it. */
export interface FleetNode extends ModuleKey, NodeAddress {
  /** `ip:port`. */
  readonly name: string;
  /** What its route says. */
  readonly state: "on" | "drain" | "off";
  /** Callers keep it out. */
  readonly isKeptOut: boolean;
  readonly callsPerSecond: number;
  /** When it registered, by the clock of the database; null: it did not, an operator made it. */
  readonly sinceMs: number | null;
  /** True when scaling may stop it: it registered itself, for this module alone, and no operator
   * wants anything of it. */
  readonly canLeave: boolean;
}

/** A node with fewer calls/s than this share of the mean of all is idle. */
const IDLE_SHARE = 0.05;

/** The nodes to take first: idle ones, then the youngest. At most `most`. */
export function pickLeaving(nodes: readonly FleetNode[], most: number): FleetNode[] {
  const mean = nodes.reduce((sum, one) => sum + one.callsPerSecond, 0) / Math.max(1, nodes.length);
  const isIdle = ({ callsPerSecond }: FleetNode): boolean => callsPerSecond <= mean * IDLE_SHARE;
  return nodes.filter(({ state, canLeave }) => state === "on" && canLeave)
    .toSorted((a, b) =>
      Number(isIdle(b)) - Number(isIdle(a)) || (b.sinceMs ?? 0) - (a.sinceMs ?? 0) ||
      a.ip - b.ip || a.port - b.port
    ).slice(0, Math.max(0, most));
}
