// Core. The pick policies by the names they have on the command line.

import { LarsPolicy, type PickPolicyFactory } from "../balancer/mod.ts";

/** Every policy that can be simulated. */
export const POLICIES: Readonly<Record<string, PickPolicyFactory>> = {
  lars: () => new LarsPolicy(),
};
