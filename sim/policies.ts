// Core. The policies by the names they have on the command line.

import { checkModulePolicy, type ModulePolicy, POLICY_NAMES } from "../balancer/mod.ts";

/**
 * What we would give a module of no special kind: typed failures weighed apart, evidence at any
 * rate of calls, a limit on what may be out, and a return in stages.
 */
export const RECOMMENDED = {
  policy: "p2c_ewma",
  rules: ["errorRate", "errorRun", "window", "wilson", "slow"],
  // Two refused calls in a row put a node out, three given up, five of other kinds: the limit is 15.
  refusedWeight: 8,
  timeoutWeight: 5,
  otherWeight: 3,
  overloadShareMax: 0.5,
  whenAllOverload: "open",
  usableShareMin: 0.5,
  recovery: "staged",
  slowStartMs: 10_000,
  zoneAware: true,
} as const;

/** Every policy that can be simulated: each alone with the original rules, and all improvements. */
export const POLICIES: Readonly<Record<string, ModulePolicy>> = {
  ...Object.fromEntries(POLICY_NAMES.map((policy) => [policy, checkModulePolicy({ policy })])),
  recommended: checkModulePolicy(RECOMMENDED),
};
