// Core. The metrics of single modules that the console shows, with their names.

import type { SystemView } from "../control/system/system_model.ts";
import type { Metric, MetricSample } from "../daemon/monitor/metrics_text.ts";

/** Modules with series of their own, in order of their numbers; of further ones there are none. */
export const CONSOLE_METRIC_MODULES_MAX = 1_000;

/** Health, rates and nodes by module, as the pages show them; of a stale view nothing. */
export function consoleModuleMetrics({ modules, isStale }: SystemView): Metric[] {
  const shown = isStale ? [] : modules.slice(0, CONSOLE_METRIC_MODULES_MAX);
  const gauge = (
    name: string,
    help: string,
    valueOf: (module: SystemView["modules"][number]) => number,
  ): Metric => ({
    name: `lars_web_module_${name}`,
    help,
    type: "gauge",
    samples: shown.map((module): MetricSample => ({
      labels: {
        modid: String(module.modId),
        cmdid: String(module.cmdId),
        name: module.name,
      },
      value: valueOf(module),
    })),
  });
  return [
    gauge("info", "1 for each module: to give series of others its name.", () => 1),
    gauge("calls_per_second", "Calls of the last 10 s, by module.", (one) => one.callsPerSecond),
    gauge("error_ratio", "Share of those calls that failed.", (one) => one.errorShare),
    gauge(
      "refused_per_second",
      "Callers of the last 10 s that asked for a node and got none.",
      (one) => one.refusedPerSecond,
    ),
    gauge("nodes", "Nodes of the module.", (one) => one.nodes.length),
    gauge("nodes_usable", "Nodes with state on.", (one) => one.onCount),
    gauge("nodes_out", "Nodes that at least one caller keeps out.", (one) => one.overloadCount),
    gauge(
      "down",
      "1 while no node of the module can be called.",
      (one) => Number(one.health === "down"),
    ),
  ];
}
