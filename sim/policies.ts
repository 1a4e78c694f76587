// Core. The policies by the names they have on the command line.

import {
  checkModulePolicy,
  type ModulePolicy,
  POLICY_NAMES,
  PRESET_NAMES,
} from "../balancer/mod.ts";

/** Every policy that can be simulated: each alone with the original rules, and the presets. */
export const POLICIES: Readonly<Record<string, ModulePolicy>> = Object.fromEntries(
  [...POLICY_NAMES, ...PRESET_NAMES].map((policy) => [policy, checkModulePolicy({ policy })]),
);
