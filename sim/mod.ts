// Core. What other rooms use of the simulator.

export { POLICIES } from "./policies.ts";
export { makeScript, type Script, SCRIPT_NAMES, type ScriptName } from "./scripts.ts";
export { type ChartedRun, drawSimulation } from "./sim_chart.ts";
export { simulate, type SimulationOptions, type SimulationOutcome } from "./simulation.ts";
export { type PolicySummary, summarize, summaryTable } from "./summary.ts";
