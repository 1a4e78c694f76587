// Core. The registry of pick policies: a new one is a file, a name and a line here.

import type { PolicyName } from "../module_policy.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { BoundedRingHashPolicy, RingHashPolicy } from "./policy_ring_hash.ts";
import { LarsPolicy } from "./policy_lars.ts";
import { LeastConnectionsPolicy } from "./policy_least_connections.ts";
import { MaglevPolicy } from "./policy_maglev.ts";
import { P2cEwmaPolicy } from "./policy_p2c_ewma.ts";
import { RandomWeightedPolicy } from "./policy_random_weighted.ts";
import { SmoothWeightedRoundRobinPolicy } from "./policy_smooth_weighted_round_robin.ts";
import { WeightMinusConnectionsPolicy } from "./policy_weight_minus_connections.ts";

const MAKERS: Readonly<Record<PolicyName, (context: PickContext) => PickPolicy>> = {
  lars: (context) => new LarsPolicy(context),
  smooth_weighted_round_robin: (context) => new SmoothWeightedRoundRobinPolicy(context),
  random_weighted: (context) => new RandomWeightedPolicy(context),
  least_connections: (context) => new LeastConnectionsPolicy(context),
  weight_minus_connections: (context) => new WeightMinusConnectionsPolicy(context),
  p2c_ewma: (context) => new P2cEwmaPolicy(context),
  ring_hash: (context) => new RingHashPolicy(context),
  bounded_ring_hash: (context) => new BoundedRingHashPolicy(context),
  maglev: (context) => new MaglevPolicy(context),
};

/** Makes a policy for one pool of nodes. */
export function createPickPolicy(name: PolicyName, context: PickContext): PickPolicy {
  return MAKERS[name](context);
}
