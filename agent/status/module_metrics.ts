// Core. The metrics of single modules: what each loop told last of calls, times and refusals.

import { COUNTS_AT, LATENCY_BOUNDS_MS } from "../../balancer/module_counts.ts";
import type { ModuleReport, RefusedTotals } from "../../balancer/routes/route_records.ts";
import type { Metric, MetricSample } from "../../daemon/monitor/metrics_text.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";

/** Modules with series of their own, some 22 each; further ones are in the counters of the agent alone. */
export const METRIC_MODULES_MAX = 200;

/** What one balancer told last. */
interface Totals {
  counts: readonly number[] | undefined;
  refused: RefusedTotals | undefined;
}

/** A module may be asked for on any port: each balancer counts what it was asked. */
interface Told extends ModuleKey {
  /** By balancer; there are as many as ports. */
  readonly totals: Map<number, Totals>;
}

/** All counts of a module; undefined when there is none. */
function countsOf({ totals }: Told): readonly number[] | undefined {
  let sum: number[] | undefined;
  for (const { counts } of totals.values()) {
    if (counts !== undefined) sum = counts.map((count, index) => count + (sum?.[index] ?? 0));
  }
  return sum;
}

/** Refused callers by the reasons of the series; undefined when there is none. */
function refusedOf({ totals }: Told): Readonly<Record<string, number>> | undefined {
  let sum: { overload: number; unusable: number; no_node: number; no_route: number } | undefined;
  for (const { refused } of totals.values()) {
    if (refused === undefined) continue;
    sum ??= { overload: 0, unusable: 0, no_node: 0, no_route: 0 };
    sum.overload += refused.overload;
    sum.unusable += refused.unusable;
    sum.no_node += refused.noNode;
    sum.no_route += refused.noRoute;
  }
  return sum;
}

/** Remembers the totals of the first {@linkcode METRIC_MODULES_MAX} modules with any. */
export class ModuleMetrics {
  readonly #told = new Map<ModuleId, Told>();
  readonly #nameOf: (modId: number, cmdId: number) => string;
  readonly #modulesMax: number;

  /** `nameOf` says what a module is called now; "" = it has no name. */
  constructor(
    nameOf: (modId: number, cmdId: number) => string,
    modulesMax = METRIC_MODULES_MAX,
  ) {
    this.#nameOf = nameOf;
    this.#modulesMax = modulesMax;
  }

  /** A loop tells of its modules. */
  take(reports: readonly ModuleReport[]): void {
    for (const { modId, cmdId, counts, refused, shard = 0 } of reports) {
      if (counts === undefined && refused === undefined) continue;
      const key = moduleId(modId, cmdId);
      let told = this.#told.get(key);
      if (told === undefined) {
        if (this.#told.size >= this.#modulesMax) continue;
        this.#told.set(key, told = { modId, cmdId, totals: new Map() });
      }
      const before = told.totals.get(shard);
      told.totals.set(shard, {
        counts: counts ?? before?.counts,
        refused: refused ?? before?.refused,
      });
    }
  }

  /** The agent has forgotten the module. */
  forget(modId: number, cmdId: number): void {
    this.#told.delete(moduleId(modId, cmdId));
  }

  metrics(): Metric[] {
    const calls: MetricSample[] = [];
    const refusals: MetricSample[] = [];
    const times: MetricSample[] = [];
    for (const told of this.#told.values()) {
      const { modId, cmdId } = told;
      const counts = countsOf(told);
      const byReason = refusedOf(told);
      const name = this.#nameOf(modId, cmdId);
      const labels = { modid: String(modId), cmdid: String(cmdId), name };
      if (counts !== undefined) {
        calls.push(
          { labels: { ...labels, result: "success" }, value: counts[COUNTS_AT.succ] },
          { labels: { ...labels, result: "failure" }, value: counts[COUNTS_AT.err] },
        );
        times.push(...histogramOf(labels, counts));
      }
      if (byReason === undefined) continue;
      for (const [reason, value] of Object.entries(byReason)) {
        refusals.push({ labels: { ...labels, reason }, value });
      }
    }
    return [{
      name: "lars_agent_module_calls_total",
      help: "Calls that callers of this agent told the outcome of, by module.",
      type: "counter",
      samples: calls,
    }, {
      name: "lars_agent_module_refused_total",
      help: "Callers that asked this agent for a node of the module and got none, by cause.",
      type: "counter",
      samples: refusals,
    }, {
      name: "lars_agent_module_call_duration_seconds",
      help: "What calls took, where callers told; of in-process clients the mean of each batch.",
      type: "histogram",
      samples: times,
    }];
  }
}

function histogramOf(
  labels: Readonly<Record<string, string>>,
  counts: readonly number[],
): MetricSample[] {
  let count = 0;
  const buckets = [...LATENCY_BOUNDS_MS, Infinity].map((boundMs, index): MetricSample => {
    count += counts[COUNTS_AT.buckets + index];
    const le = boundMs === Infinity ? "+Inf" : String(boundMs / 1000);
    return { labels: { ...labels, le }, value: count, suffix: "_bucket" };
  });
  if (count === 0) return [];
  return [
    ...buckets,
    { labels, value: counts[COUNTS_AT.timeMs] / 1000, suffix: "_sum" },
    { labels, value: count, suffix: "_count" },
  ];
}
