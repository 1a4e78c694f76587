// Core. What other rooms use of the balancer.

export {
  describeStateChange,
  type HostResult,
  type HostSnapshot,
  type ModuleModeChange,
  type RouteUpdate,
  type StateChange,
} from "./balance_records.ts";
export {
  type BalanceSettings,
  checkBalanceSettings,
  defaultBalanceSettings,
} from "./detection/balance_settings.ts";
export {
  CallOutcome,
  callOutcomeOf,
  ReportCode,
  TIME_COUNTED_MS_MAX,
  TIME_UNKNOWN_MS,
} from "./detection/call_outcome.ts";
export { DRAINING_WATCHED_MAX, DrainWatch, joinUsages } from "./routes/drain_watch.ts";
export type { ModuleView, NodeCondition, NodeView } from "./explain.ts";
export type { Decision } from "./module_state.ts";
export { Host } from "./host.ts";
export {
  checkModulePolicy,
  DEFAULT_MODULE_POLICY,
  type ModulePolicy,
  parseModulePolicy,
  POLICY_NAMES,
  type PolicyName,
  policyNameOf,
} from "./module_policy.ts";
export { PRESET_NAMES, type PresetName, PRESETS, RECOMMENDED_TEXT } from "./module_presets.ts";
export { MODULE_SETTINGS, type ModuleMode, type ModuleSettings } from "./module_settings.ts";
export { type CallCounts, smallWindowCallsMax } from "./detection/outlier_detector.ts";
export { REPORT_INTERVAL_MS, RESTING_TICK_MS, RouteLb, TICK_MS } from "./routes/route_lb.ts";
export {
  type ModuleExplanation,
  type ModuleReport,
  MODULES_MAX,
  type ModuleSnapshot,
  NODES_MAX,
  PULLS_BURST_MAX,
  PULLS_PER_SECOND_MAX,
  type RefusedTotals,
  type RouteLbOptions,
  type RouteLbStats,
} from "./routes/route_records.ts";
export { COUNTS_AT, COUNTS_LENGTH, LATENCY_BOUNDS_MS } from "./module_counts.ts";
export { REFUSED_NODELESS_MAX, refusedSum } from "./routes/refused_calls.ts";
export { isOut, type PickPlan, PLAN_NODES_MAX, REFUSED_TURN } from "./pick_plan.ts";
export type { KeyedTable } from "./picking/pick_policy.ts";
export { NO_TURN } from "./picking/turn_table.ts";
