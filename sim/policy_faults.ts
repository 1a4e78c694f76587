// Core. What each policy costs callers in a few faults, for people who choose one.

import type { ModulePolicy } from "../balancer/mod.ts";
import { POLICIES } from "./policies.ts";
import { runPartial } from "./promises.ts";
import { makeScript, type ScriptName } from "./scripts.ts";
import { simulate } from "./simulation.ts";
import { medianAndWorst, type PolicySummary, summarize } from "./summary.ts";

/** What befalls the nodes of a module. */
export interface PolicyFault {
  readonly name: string;
  /** For people, after "while". */
  readonly about: string;
  /** One run with one seed. */
  run(policy: ModulePolicy, seed: number): PolicySummary;
}

/** Seeds of one value: it is their median. */
const SEEDS = [1, 2, 3] as const;
/** Six nodes at 20 calls/s each, for 50 s of which the fault lasts 20 s. */
const SIZES = { nodes: 6, struck: 1, agents: 2, callers: 12, rate: 10, seconds: 50 } as const;

function script(name: ScriptName, about: string): PolicyFault {
  return {
    name,
    about,
    run: (modulePolicy, seed) => {
      const made = makeScript(name, SIZES);
      return summarize("", made, simulate({ modulePolicy, script: made, ...SIZES, seed }));
    },
  };
}

/** The faults, in the order of a table. */
export const POLICY_FAULTS: readonly PolicyFault[] = [
  script("crash", "one node of six refuses every call"),
  script("errors", "one node of six fails 30 % of its calls"),
  script("flapping", "one node of six comes and goes"),
  script("slow", "one node of six takes 20 times as long"),
  script("all-sick", "all nodes refuse every call for 20 s of 50"),
  {
    name: "partial",
    about: "every node fails 20 % of its calls",
    run: (policy, seed) => runPartial(policy, seed),
  },
];

/** What one policy costs in one fault. */
export interface PolicyOutcome {
  /** Calls that failed or got no node, in per cent. */
  readonly lost: number;
  /** Of those that were refused, in per cent of all calls. */
  readonly refused: number;
  /** One call in a hundred took longer than this, in milliseconds. */
  readonly p99Ms: number;
}

function rounded(values: readonly number[]): number {
  return Math.round(medianAndWorst(values).median * 10) / 10;
}

/** Measures one policy, by its name in `POLICIES`, in one fault. */
export function measureOutcome(policy: string, fault: PolicyFault): PolicyOutcome {
  const runs = SEEDS.map((seed) => fault.run(POLICIES[policy], seed));
  return {
    lost: rounded(runs.map(({ calls, failed, refused }) => 100 * (failed + refused) / calls)),
    refused: rounded(runs.map(({ calls, refused }) => 100 * refused / calls)),
    p99Ms: rounded(runs.map(({ p99Ms }) => p99Ms)),
  };
}
