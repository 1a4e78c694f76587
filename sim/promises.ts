// Core. What the improved rules promise, measured on the same scripts as the original rules.

import { defaultBalanceSettings, type ModulePolicy, RouteLb } from "../balancer/mod.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { LatencyCounts } from "./call_meter.ts";
import { WELL } from "./node_model.ts";
import { POLICIES } from "./policies.ts";
import {
  makeScript,
  type ScriptName,
  type ScriptSizes,
  type SimScript,
  zoneOf,
} from "./scripts.ts";
import { simulate, type SimulationOptions, type SimulationOutcome } from "./simulation.ts";
import { medianAndWorst, type PolicySummary, summarize } from "./summary.ts";

/** One line of the table: a number for each seed, and the bound the improved rules keep. */
export interface Promised {
  /** What is measured, and on what. */
  readonly what: string;
  readonly unit: string;
  /** The largest value that keeps the promise. */
  readonly bound: number;
  /** Name in `POLICIES` of the policy that makes the promise. */
  readonly policy: string;
  /** The value for one seed; Infinity when what is waited for never came. */
  measure(policy: ModulePolicy, seed: number): number;
}

/** A promise of the recommended rules, unless another policy is named. */
function promise(
  what: string,
  bound: Pick<Promised, "bound" | "unit"> & { readonly policy?: string },
  measure: Promised["measure"],
): Promised {
  return { what, policy: "recommended", ...bound, measure };
}

type Sizes = ScriptSizes & Pick<SimulationOptions, "agents" | "callers" | "rate">;

interface Run {
  readonly script: SimScript;
  readonly outcome: SimulationOutcome;
  readonly summary: PolicySummary;
}

function run(name: ScriptName, sizes: Sizes, modulePolicy: ModulePolicy, seed: number): Run {
  const script = makeScript(name, sizes);
  const { nodes, seconds, agents, callers, rate } = sizes;
  const outcome = simulate({ modulePolicy, script, nodes, callers, agents, rate, seconds, seed });
  return { script, outcome, summary: summarize("", script, outcome) };
}

/** Worst time from a fault to the verdict at any agent; Infinity when one did not notice. */
function detectionSeconds({ summary }: Run): number {
  return summary.missed > 0 ? Infinity : (summary.detectionMs.worst ?? 0) / 1000;
}

/** All nodes fail some calls alike, from the beginning to the end. */
export function runPartial(
  policy: ModulePolicy,
  seed: number,
  { errorShare = 0.2, nodes = 3, rate = 100 } = {},
): PolicySummary {
  const sizes = { nodes, callers: 20, agents: 2, rate, seconds: 90 };
  const steady = makeScript("steady", sizes);
  const condition = { ...WELL, errorShare };
  const script: SimScript = {
    ...steady,
    changes: [{ atMs: 0, kind: "condition", nodes: steady.route, condition }],
  };
  return summarize("", script, simulate({ modulePolicy: policy, script, ...sizes, seed }));
}

const partialFailed = promise(
  "calls that fail or are refused while each node fails 20 % of its calls, of all: 3 nodes",
  { bound: 20.5, unit: "%" },
  (policy, seed) => {
    const { calls, failed, refused } = runPartial(policy, seed);
    return 100 * (failed + refused) / calls;
  },
);

const partialRefused = promise(
  "calls that are refused meanwhile",
  { bound: 0, unit: "calls" },
  (policy, seed) => runPartial(policy, seed).refused,
);

/** 20 nodes, of which one is struck; two agents. */
const LARGE = { nodes: 20, struck: 1, agents: 2, callers: 20 };

const failedOfCrash = promise(
  "failed calls of an agent when 1 of 20 nodes crashes for 4 s, at 1,000 calls/s",
  { bound: 3, unit: "calls" },
  (policy, seed) => {
    const { outcome } = run("crash", { ...LARGE, seconds: 10, rate: 100 }, policy, seed);
    return Math.max(...outcome.meter.failedOf);
  },
);

const slowCrash = promise(
  "time until a crashed node is out, at 1 call/s of the node",
  { bound: 10, unit: "s" },
  (policy, seed) => {
    const sizes = { nodes: 20, struck: 1, agents: 1, callers: 20, rate: 1, seconds: 150 };
    return detectionSeconds(run("crash", sizes, policy, seed));
  },
);

const errors30 = promise(
  "time until a node that fails 30 % is out: 20 callers of 1 call/s, 5 nodes",
  { bound: 30, unit: "s" },
  (policy, seed) => {
    const sizes = { nodes: 5, struck: 1, agents: 1, callers: 20, rate: 1, seconds: 300 };
    return detectionSeconds(run("errors", sizes, policy, seed));
  },
);

const DAY_SECONDS = 86_400;

/** Five nodes at one call a second each, all failing 1 % of calls from the beginning to the end. */
export function outsInADay(policy: ModulePolicy, seed: number, seconds = DAY_SECONDS): number {
  const nodes = 5;
  const all = Array.from({ length: nodes }, (_, node) => node);
  const condition = { ...WELL, errorShare: 0.01 };
  const script: SimScript = {
    ...makeScript("steady", { nodes, seconds }),
    changes: [{ atMs: 0, kind: "condition", nodes: all, condition }],
  };
  const sizes = { nodes, callers: 5, agents: 1, rate: 1, seconds, seed };
  const { marks } = simulate({ modulePolicy: policy, script, ...sizes });
  return marks.filter(({ overload }) => overload).length;
}

const healthyDay = promise(
  "times that nodes failing 1 % are put out in 24 h: 5 nodes at 1 call/s each",
  { bound: 0, unit: "times" },
  (policy, seed) => outsInADay(policy, seed),
);

function percentile99(
  { outcome: { meter }, script }: Run,
  endMs = script.toMs,
): number {
  const during = meter.latencyOf.filter((_, index) => {
    const atMs = index * meter.bucketMs;
    return atMs >= script.fromMs && atMs < endMs;
  });
  return new LatencyCounts().addAll(during).percentile(0.99);
}

const slowNode = promise(
  "p99 of calls while 1 of 20 nodes is 10 times as slow, as a multiple of that without",
  { bound: 1.2, unit: "times", policy: "recommended_ewma" },
  (policy, seed) => {
    const sizes = { ...LARGE, seconds: 60, rate: 50, slowness: 10 };
    const well = run("steady", sizes, policy, seed);
    const slow = run("slow", sizes, policy, seed);
    return percentile99(slow) / percentile99(well, slow.script.toMs);
  },
);

/** All nodes refuse from 30 s to 90 s. */
const ALL_SICK = { nodes: 20, agents: 2, callers: 20, rate: 50, seconds: 150 };

/** Calls of each node in each bucket from `fromMs` on, as a multiple of a fair share of all calls. */
function sharesFrom({ outcome: { meter } }: Run, fromMs: number): number[][] {
  const nodes = meter.picks.length;
  return meter.buckets.flatMap(({ calls }, bucket) => {
    if (bucket * meter.bucketMs < fromMs) return [];
    const picks = [...meter.picksIn.subarray(bucket * nodes, (bucket + 1) * nodes)];
    return [picks.map((count) => count / calls * nodes)];
  });
}

const herd = promise(
  "largest share of a node, of its fair one, after all were sick for 60 s, each 1.5 s",
  { bound: 120, unit: "%" },
  (policy, seed) => {
    const sick = run("all-sick", ALL_SICK, policy, seed);
    return 100 * Math.max(...sharesFrom(sick, sick.script.toMs).flat());
  },
);

const fullCapacity = promise(
  "time until every node has 80 % of its fair share for good, after all were sick for 60 s",
  { bound: 30, unit: "s" },
  (policy, seed) => {
    const sick = run("all-sick", ALL_SICK, policy, seed);
    const shares = sharesFrom(sick, sick.script.toMs);
    const lastShort = shares.findLastIndex((nodes) => nodes.some((share) => share < 0.8));
    const seconds = (lastShort + 1) * sick.outcome.meter.bucketMs / 1000;
    return lastShort === shares.length - 1 ? Infinity : seconds;
  },
);

/** One zone of three, 7 of 20 nodes, refuses from 20 s to 60 s. Buckets of 1 s. */
const ZONE_LOSS = { nodes: 20, agents: 6, callers: 60, rate: 20, seconds: 100 };

const zoneErrors = promise(
  "largest error share of any second from 5 s after one of three zones is lost",
  { bound: 1, unit: "%" },
  (policy, seed) => {
    const { summary, script } = run("zone-loss", ZONE_LOSS, policy, seed);
    const shares = summary.buckets
      .filter(({ atMs }) => atMs >= script.fromMs + 5000)
      .map(({ calls, failed, refused }) => calls === 0 ? 0 : (failed + refused) / calls);
    return 100 * Math.max(...shares);
  },
);

const zoneReturn = promise(
  "largest rise from one second to the next of the share of a zone that comes back",
  { bound: 10, unit: "points" },
  (policy, seed) => {
    const { summary, script } = run("zone-loss", ZONE_LOSS, policy, seed);
    const after = summary.buckets.filter(({ atMs }) => atMs >= script.toMs - 1000);
    const rises = after.slice(1).map(({ struckShare }, index) =>
      struckShare - after[index].struckShare
    );
    return 100 * Math.max(...rises);
  },
);

/** Nodes of one zone that crash, of the seven it has; the two others have 13. */
const ZONE_STRUCK = [0, 3, 6, 9, 12];

const zoneLoad = promise(
  "largest load of a zone, of its fair one, while 5 of 7 nodes of one of three zones are down",
  { bound: 1.1, unit: "times" },
  (modulePolicy, seed) => {
    const { nodes, seconds, ...sizes } = ZONE_LOSS;
    const plan = makeScript("zone-loss", { nodes, seconds });
    const changes = plan.changes.map((change) => ({ ...change, nodes: ZONE_STRUCK }));
    const script: SimScript = { ...plan, struck: ZONE_STRUCK, changes };
    const { meter } = simulate({ modulePolicy, script, nodes, seconds, ...sizes, seed });
    const load = new Array(plan.zones).fill(0);
    for (let bucket = 0; bucket < meter.buckets.length; bucket++) {
      const atMs = bucket * meter.bucketMs;
      if (atMs < script.fromMs + 5000 || atMs >= script.toMs) continue;
      for (let node = 0; node < nodes; node++) {
        // Probes of the nodes that are down are no load of the others.
        if (ZONE_STRUCK.includes(node)) continue;
        load[zoneOf(node, plan.zones)] += meter.picksIn[bucket * nodes + node];
      }
    }
    const total = load.reduce((sum, calls) => sum + calls, 0);
    const usable = new Array(plan.zones).fill(0);
    for (let node = 0; node < nodes; node++) {
      if (!ZONE_STRUCK.includes(node)) usable[zoneOf(node, plan.zones)]++;
    }
    const left = nodes - ZONE_STRUCK.length;
    return Math.max(...load.map((calls, zone) => calls / total / (usable[zone] / left)));
  },
);

/** A balancer with one module of nodes of these weights. */
function moduleOf(policy: ModulePolicy, weights: readonly number[], seed: number): RouteLb {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(seed),
    modulePolicy: policy,
    onPull: () => {},
  });
  lb.use(1, 1, 0);
  lb.update(1, 1, weights.map((weight, index) => ({ ip: index + 1, port: 80, weight })), 0);
  return lb;
}

function ownerOf(lb: RouteLb, key?: number): number {
  const host = lb.getHost(1, 1, 0, key);
  return typeof host === "number" ? 0 : host.ip;
}

const weightedShares = promise(
  "largest error of a node's share, of its ideal one, over 10,000 weighted picks",
  { bound: 2, unit: "%" },
  (policy, seed) => {
    const rng = seededRng(seed);
    const weights = Array.from({ length: 10 }, () => 50 + Math.floor(rng.next() * 200));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const lb = moduleOf(policy, weights, seed);
    const picks = weights.map(() => 0);
    for (let i = 0; i < 10_000; i++) picks[ownerOf(lb) - 1]++;
    const errors = picks.map((count, index) => {
      const ideal = 10_000 * weights[index] / total;
      return Math.abs(count - ideal) / ideal;
    });
    return 100 * Math.max(...errors);
  },
);

const movedKeys = promise(
  "keys that move when 1 of 20 nodes leaves, of the even share 1/20",
  { bound: 1.3, unit: "times", policy: "ring_hash" },
  (policy, seed) => {
    const keys = 10_000;
    const weights = new Array(20).fill(100);
    const lb = moduleOf(policy, weights, seed);
    const owners = (): number[] =>
      Array.from({ length: keys }, (_, key) => ownerOf(lb, seed * keys + key));
    const before = owners();
    const left = seed % 20 + 1;
    const rest = weights.map((_, index) => ({ ip: index + 1, port: 80 }));
    lb.update(1, 1, rest.filter(({ ip }) => ip !== left), 1);
    const moved = owners().filter((owner, key) => owner !== before[key]).length;
    return moved / keys * 20;
  },
);

const boundedLoad = promise(
  "calls under way of the most loaded of 10 nodes, of its bound 1.25 times fair, hot key",
  { bound: 1, unit: "times", policy: "bounded_ring_hash" },
  (policy, seed) => {
    const lb = moduleOf(policy, new Array(10).fill(100), seed);
    const rng = seededRng(seed);
    const underWay = new Array(11).fill(0);
    let worst = 0;
    for (let begun = 1; begun <= 2000; begun++) {
      const key = rng.next() < 0.5 ? 42 : Math.floor(rng.next() * 1e6);
      underWay[ownerOf(lb, key)]++;
      worst = Math.max(worst, Math.max(...underWay) / Math.ceil(1.25 * begun / 10));
    }
    return worst;
  },
);

/** Every promise, in the order of the table. */
export const PROMISES: readonly Promised[] = [
  failedOfCrash,
  slowCrash,
  errors30,
  healthyDay,
  partialFailed,
  partialRefused,
  weightedShares,
  movedKeys,
  boundedLoad,
  slowNode,
  herd,
  fullCapacity,
  zoneErrors,
  zoneReturn,
  zoneLoad,
];

/** Median and worst over the seeds. */
export interface Measured {
  readonly median: number;
  readonly worst: number;
}

/** One promise, measured with the policy that makes it and with the original rules. */
export interface PromiseRow {
  readonly promise: Promised;
  readonly seeds: number;
  readonly ours: Measured;
  readonly original: Measured;
  readonly isKept: boolean;
}

/** Measures one promise with the seeds `firstSeed`, `firstSeed` + 1, and so on. */
export function measurePromise(
  promise: Promised,
  firstSeed: number,
  seeds: number,
  original = POLICIES.lars,
): PromiseRow {
  const count = seeds;
  const values = (policy: ModulePolicy): number[] =>
    Array.from({ length: count }, (_, index) => promise.measure(policy, firstSeed + index));
  const ours = medianAndWorst(values(POLICIES[promise.policy]));
  return {
    promise,
    seeds: count,
    ours,
    original: medianAndWorst(values(original)),
    isKept: ours.worst <= promise.bound,
  };
}
