// Core. What other rooms use of the simulator.

export { type Capacity, UNLIMITED } from "./node_model.ts";
export { POLICIES } from "./policies.ts";
export { measurePromise, type PromiseRow, PROMISES } from "./promises.ts";
export { parseRecording, replay, REPLAY_REPORTS_MAX, type ReplayOutcome } from "./replay.ts";
export { type ChartedScaling, drawScaling } from "./scaling_chart.ts";
export {
  ruleForWave,
  SCALING_WAVES,
  type ScalingOutcome,
  scalingTable,
  simulateScaling,
} from "./scaling_waves.ts";
export { makeScript, SCRIPT_NAMES, type ScriptName, type SimScript } from "./scripts.ts";
export { type ChartedRun, drawSimulation } from "./sim_chart.ts";
export { simulate, type SimulationOptions, type SimulationOutcome } from "./simulation.ts";
export { type PolicySummary, seedsTable, summarize, summaryTable } from "./summary.ts";
