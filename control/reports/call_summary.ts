// Core. Call results of many nodes and callers as a few lines for people.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import type { NodeCallTotals } from "../../sql/console/console_store.ts";
import type { CallSummary, ModuleCallSummary, OverloadedNode, RecentCalls } from "../schemas.ts";

/** Results of nodes that nobody reported on for longer are left out, in seconds. */
export const RESULTS_RECENT_S = 3600;

/** Modules with the most failures that a summary names. */
export const SUMMARY_MODULES_MAX = 10;

/** Overloaded nodes that a summary names. */
export const SUMMARY_NODES_MAX = 20;

interface ModuleTally extends ModuleKey {
  succ: number;
  err: number;
  overloadedNodes: number;
}

/**
 * Adds up results by module, the modules with the highest share of failures first.
 *
 * @param calls Every node with results.
 * @param recent The last minutes of each module, by its text.
 * @param sinceTs Nodes that nobody reported on since this unix second are left out: old results say
 * nothing of today.
 */
export function summariseCalls(
  calls: readonly NodeCallTotals[],
  recent: ReadonlyMap<string, RecentCalls>,
  sinceTs = 0,
): CallSummary {
  const modules = new Map<string, ModuleTally>();
  for (const [key, { refused }] of recent) {
    // Where every caller is refused there may be no result of any node.
    if (refused === 0) continue;
    const [modId, cmdId] = key.split("/").map(Number);
    modules.set(key, { modId, cmdId, succ: 0, err: 0, overloadedNodes: 0 });
  }
  const young = calls.filter(({ ts }) => ts >= sinceTs);
  for (const node of young) {
    const { modId, cmdId, succCount, errCount, overloadCount } = node;
    const key = moduleText(node);
    const module = modules.get(key) ?? { modId, cmdId, succ: 0, err: 0, overloadedNodes: 0 };
    modules.set(key, module);
    module.succ += succCount;
    module.err += errCount;
    if (overloadCount > 0) module.overloadedNodes++;
  }
  const overloaded = young.filter(({ overloadCount }) => overloadCount > 0).map(overloadedNode)
    .sort((a, b) => b.agents - a.agents);
  return {
    moduleCount: modules.size,
    lastTs: calls.reduce((last, { ts }) => Math.max(last, ts), 0),
    modules: [...modules].map(([key, module]) => moduleSummary(module, recent.get(key)))
      .sort((a, b) => badness(b, recent) - badness(a, recent) || b.err - a.err || b.succ - a.succ)
      .slice(0, SUMMARY_MODULES_MAX),
    overloadedCount: overloaded.length,
    overloaded: overloaded.slice(0, SUMMARY_NODES_MAX),
  };
}

function moduleSummary(
  module: ModuleTally,
  recent: RecentCalls | undefined,
): ModuleCallSummary {
  const count = module.succ + module.err;
  return {
    ...module,
    errorShare: count === 0 ? 0 : module.err / count,
    meanMs: recent?.meanMs ?? null,
    refused: recent?.refused ?? 0,
  };
}

/** Share of failed calls and of refused callers together. */
function badness(
  module: ModuleCallSummary,
  recent: ReadonlyMap<string, RecentCalls>,
): number {
  const { calls = 0 } = recent.get(moduleText(module)) ?? {};
  const asked = calls + module.refused;
  return module.errorShare + (asked === 0 ? 0 : module.refused / asked);
}

function overloadedNode(node: NodeCallTotals): OverloadedNode {
  const { modId, cmdId, ip, port, overloadCount, callerCount } = node;
  return {
    modId,
    cmdId,
    node: addressText({ ip, port }),
    agents: overloadCount,
    agentsTotal: callerCount,
  };
}
