// Core. Call results of many nodes and callers as a few lines for people.

import { formatIpv4 } from "../reactor/address.ts";
import type { CallStatusRow } from "../sql/store.ts";

/** Modules with the most failures that a summary names. */
export const SUMMARY_MODULES_MAX = 10;

/** Overloaded nodes that a summary names. */
export const SUMMARY_NODES_MAX = 20;

/** Results of one module over all its nodes and callers, each in its last window. */
export interface ModuleSummary {
  readonly modid: number;
  readonly cmdid: number;
  readonly succ: number;
  readonly err: number;
  /** err / (succ + err), 0 to 1; 0 without calls. */
  readonly error_share: number;
  readonly overloaded_nodes: number;
}

/** A node that at least one agent keeps out. */
export interface OverloadedNode {
  readonly modid: number;
  readonly cmdid: number;
  /** `ip:port` */
  readonly node: string;
  /** Agents that keep it out, and agents that reported on it. */
  readonly agents: number;
  readonly agents_total: number;
}

/** What {@linkcode summariseCalls} found. */
export interface CallSummary {
  /** Modules with results. */
  readonly module_count: number;
  /** Youngest result, unix seconds; 0 when there is none. */
  readonly last_ts: number;
  /** Worst first, at most {@linkcode SUMMARY_MODULES_MAX}. */
  readonly modules: readonly ModuleSummary[];
  readonly overloaded_count: number;
  /** At most {@linkcode SUMMARY_NODES_MAX}. */
  readonly overloaded: readonly OverloadedNode[];
}

interface NodeTally {
  readonly row: CallStatusRow;
  agents: number;
  agentsTotal: number;
}

interface ModuleTally {
  readonly row: CallStatusRow;
  succ: number;
  err: number;
  readonly nodes: Map<string, NodeTally>;
}

/** Adds up results by module and node, the modules with the highest share of failures first. */
export function summariseCalls(rows: readonly CallStatusRow[]): CallSummary {
  const modules = new Map<string, ModuleTally>();
  let lastTs = 0;
  for (const row of rows) {
    lastTs = Math.max(lastTs, row.ts);
    const key = `${row.modId},${row.cmdId}`;
    const module = modules.get(key) ?? { row, succ: 0, err: 0, nodes: new Map() };
    modules.set(key, module);
    module.succ += row.succCount;
    module.err += row.errCount;
    const address = `${row.ip}:${row.port}`;
    const node = module.nodes.get(address) ?? { row, agents: 0, agentsTotal: 0 };
    module.nodes.set(address, node);
    node.agentsTotal++;
    if (row.overload) node.agents++;
  }
  const overloaded = [...modules.values()].flatMap(({ nodes }) =>
    [...nodes.values()].filter(({ agents }) => agents > 0).map(overloadedNode)
  ).sort((a, b) => b.agents - a.agents);
  return {
    module_count: modules.size,
    last_ts: lastTs,
    modules: [...modules.values()].map(moduleSummary)
      .sort((a, b) => b.error_share - a.error_share || b.err - a.err || b.succ - a.succ)
      .slice(0, SUMMARY_MODULES_MAX),
    overloaded_count: overloaded.length,
    overloaded: overloaded.slice(0, SUMMARY_NODES_MAX),
  };
}

function moduleSummary({ row, succ, err, nodes }: ModuleTally): ModuleSummary {
  const calls = succ + err;
  return {
    modid: row.modId,
    cmdid: row.cmdId,
    succ,
    err,
    error_share: calls === 0 ? 0 : err / calls,
    overloaded_nodes: [...nodes.values()].filter(({ agents }) => agents > 0).length,
  };
}

function overloadedNode({ row, agents, agentsTotal }: NodeTally): OverloadedNode {
  return {
    modid: row.modId,
    cmdid: row.cmdId,
    node: `${formatIpv4(row.ip)}:${row.port}`,
    agents,
    agents_total: agentsTotal,
  };
}
