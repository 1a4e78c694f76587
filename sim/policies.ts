// Core. The policies by the names they have on the command line.

import { checkModulePolicy, type ModulePolicy, POLICY_NAMES } from "../balancer/mod.ts";

/**
 * What we would give a module of no special kind: typed failures weighed apart, evidence at any
 * rate of calls, a limit on what may be out, and a return in stages.
 */
export const RECOMMENDED = {
  policy: "smooth_weighted_round_robin",
  rules: ["errorRate", "errorRun", "window", "wilson", "slow"],
  // Two refused calls in a row put a node out, three given up, five of other kinds: the limit is 15.
  refusedWeight: 8,
  timeoutWeight: 5,
  otherWeight: 3,
  overloadShareMax: 0.5,
  whenAllOverload: "open",
  usableShareMin: 0.5,
  recovery: "staged",
  // Nodes of a lost zone went out together; their probes should not come together.
  recoveryJitter: 1,
  slowStartMs: 10_000,
  zoneAware: true,
} as const;

/** Every policy that can be simulated: each alone with the original rules, and all improvements. */
export const POLICIES: Readonly<Record<string, ModulePolicy>> = {
  ...Object.fromEntries(POLICY_NAMES.map((policy) => [policy, checkModulePolicy({ policy })])),
  recommended: checkModulePolicy(RECOMMENDED),
  // For modules whose nodes differ in speed. Its picks shun a node that fails or is slow at once, so
  // that the node is judged later, for want of calls.
  recommended_ewma: checkModulePolicy({ ...RECOMMENDED, policy: "p2c_ewma" }),
};
