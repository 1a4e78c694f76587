// Goal: the rules hold what they promise under random traffic, and a seed says everything.
// Method: twenty seeds for each promise; every bound is derived in a comment, and none is of time
// that a clock on the wall would show.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { defaultBalanceSettings } from "../balancer/mod.ts";
import { POLICIES } from "./policies.ts";
import { makeScript, SCRIPT_NAMES, type ScriptName } from "./scripts.ts";
import { drawSimulation } from "./sim_chart.ts";
import { simulate, type SimulationOutcome } from "./simulation.ts";
import { type PolicySummary, summarize } from "./summary.ts";

const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

interface Sizes {
  readonly agents?: number;
  /** Calls of one agent in a second. */
  readonly perAgent: number;
  readonly seconds: number;
  readonly nodes?: number;
  readonly policy?: string;
}

function run(
  name: ScriptName,
  seed: number,
  { agents = 2, perAgent, seconds, nodes = 20, policy = "lars" }: Sizes,
): { outcome: SimulationOutcome; summary: PolicySummary } {
  const script = makeScript(name, { nodes, seconds });
  // Ten callers for each agent; together they call as one stream of that rate.
  const callers = agents * 10;
  const rate = perAgent / 10;
  const modulePolicy = POLICIES[policy];
  const sizes = { script, nodes, callers, agents, rate, seconds, seed };
  const outcome = simulate({ modulePolicy, ...sizes });
  return { outcome, summary: summarize(policy, script, outcome) };
}

test("lars: a crashed node costs an agent of 1,000 calls/s exactly 15 calls, in 0.3 s", () => {
  for (const seed of SEEDS) {
    // Four of twenty nodes refuse from 2 s to 6 s.
    const { outcome, summary } = run("crash", seed, { perAgent: 1000, seconds: 10 });
    // From the crash on every outcome of the node is a failure, that of calls under way too, so
    // the 15th is the 15th in a row: contin_err_limit. err_rate does not come first: it needs more
    // than 20 failures of weight 1 beside vsucc of at least 180, and calls under way take at most
    // 100 ms, so that each weighs 1. Nor is any other call under way at that moment: a refusal
    // takes 1 ms and the node's next turn is about 20 ms away. No window ends before 15 s.
    assert.equal(outcome.faults.views.length, 4 * 2);
    for (const { failed } of outcome.faults.views) assert.equal(failed, 15);
    // The node is one pick in 20 (later in 16 to 19), so 15 of its calls are at most 300 picks,
    // 0.3 s with a standard deviation of 0.017 s. A call under way at the crash fails up to 100 ms
    // later but does not delay the others.
    assert.ok((summary.detectionMs.worst ?? Infinity) < 400, `${summary.detectionMs.worst}`);
    assert.ok((summary.detectionMs.median ?? 0) > 200, `${summary.detectionMs.median}`);
    // Then 1 pick in 11 is a probe, which fails: 4,000 ± 250 picks of each agent in 4 s, and a few
    // that were under way.
    const most = 4 * 15 + 4250 / 11 + 5;
    assert.ok(
      (summary.failedPerAgent.worst ?? Infinity) <= most,
      `${summary.failedPerAgent.worst}`,
    );
    // 15 good probes in a row bring a node back: with four nodes in turn the last of them after
    // 15 * 4 * 11 = 660 picks, 0.66 s with a standard deviation of 0.026 s; fewer nodes are faster.
    assert.ok((summary.recoveryMs.worst ?? Infinity) < 800, `${summary.recoveryMs.worst}`);
    assert.equal(summary.recoveryMs.count, 4 * 2);
    assert.deepEqual([summary.missed, summary.notBack, summary.falseOuts], [0, 0, 0]);
  }
});

test("lars: an end of window in the run of failures costs 14 calls more, never further", () => {
  for (const seed of SEEDS) {
    // 5 calls/s and node: 15 failures take 3 s, and the window of 15 s ends 3 s after the crash at
    // 12 s. Its error share is far below window_err_rate, so it forgets up to 14 failures.
    const { outcome, summary } = run("crash", seed, { perAgent: 100, seconds: 60 });
    assert.equal(outcome.faults.views.length, 4 * 2);
    for (const { failed } of outcome.faults.views) {
      assert.ok(failed >= 15 && failed <= 14 + 15, `${failed}`);
    }
    assert.equal(summary.missed, 0);
  }
});

test("lars: a node that is well again is idle within overload_timeout, however few probes", () => {
  for (const seed of SEEDS) {
    // Of 30 calls/s 2.7 are probes, which go round four nodes: 15 of one node would take 22 s, so
    // the clock ends it. The last verdict is at most 1 ms after the end of the fault: a refusal
    // that was under way.
    const { summary } = run("crash", seed, { perAgent: 30, seconds: 60 });
    assert.ok(summary.recoveryMs.count > 0, "some node was out at the end of the fault");
    const limitMs = defaultBalanceSettings.overloadTimeoutMs + 1;
    assert.ok((summary.recoveryMs.worst ?? Infinity) <= limitMs, `${summary.recoveryMs.worst}`);
    assert.equal(summary.notBack, 0);
  }
});

test("lars: silent nodes are out by the time their calls take, not by their number", () => {
  for (const seed of SEEDS) {
    // Each failure of 1,000 ms weighs 10. The crash is at 2 s: a node has had 50 calls/s * 2 s, so
    // vsucc is 280 ± 10, and k failures fire when 10 k / (vsucc + 10 k) > 0.1, that is at
    // k > vsucc / 90: the 4th. It is known 1 s and 3 to 4 calls, 20 ms each, after the fault.
    const { summary } = run("timeout", seed, { perAgent: 1000, seconds: 10 });
    const { median, worst } = summary.detectionMs;
    assert.ok((median ?? 0) > 1000 && (worst ?? Infinity) < 1200, `${median} ${worst}`);
    // By then the calls of 1 s are under way and lost: 50 to 63 at 16 to 20 nodes in use, 4 more.
    assert.ok((summary.failedUntilOut.worst ?? Infinity) <= 75, `${summary.failedUntilOut.worst}`);
  }
});

test("lars: nodes that are well are never put out, and share the calls evenly", () => {
  for (const seed of SEEDS) {
    const { outcome, summary } = run("steady", seed, { perAgent: 1000, seconds: 5, agents: 3 });
    assert.equal(outcome.marks.length, 0);
    assert.deepEqual([summary.failed, summary.refused, summary.falseOuts], [0, 0, 0]);
    // Each agent goes round: its counts differ by one at most, those of three agents by three.
    const { least, most } = summary.callsPerNode ?? { least: 0, most: Infinity };
    assert.ok(most - least <= 3, `${least} to ${most}`);
    assert.ok(least > 0);
  }
});

test("lars: a node that leaves the route gets no call once the agents know, and comes back", () => {
  const { summary } = run("route-change", 1, { perAgent: 1000, seconds: 10 });
  assert.deepEqual([summary.failed, summary.refused, summary.falseOuts], [0, 0, 0]);
  // Buckets of 100 ms: the route changes at 2 s and 6 s, and is known 50 ms later.
  for (const { atMs, struckShare } of summary.buckets) {
    if (atMs > 2000 && atMs < 6000) assert.equal(struckShare, 0, `${atMs}`);
    if (atMs < 2000 || atMs > 6000) assert.ok(struckShare > 0.1, `${atMs}: ${struckShare}`);
  }
});

test("lars: with every node sick 10 calls in 11 are refused, and all is well after it", () => {
  const { summary } = run("all-sick", 1, { perAgent: 1000, seconds: 60 });
  // From 14 s to 26 s all 20 nodes are out: each lasted 15 calls, 300 picks in all, from 12 s.
  const sick = summary.buckets.filter(({ atMs }) => atMs >= 14_000 && atMs < 26_000);
  for (const { calls, refused, failed } of sick) {
    assert.equal(failed + refused, calls);
    // Each of the two agents may be anywhere in its round of 11 at either end.
    assert.ok(Math.abs(refused - calls * 10 / 11) <= 2, `${refused} of ${calls}`);
  }
  const { failed, refused } = summary.buckets[summary.buckets.length - 1];
  assert.deepEqual([failed, refused, summary.notBack], [0, 0, 0]);
});

test("the counts of a run add up, whatever the script", () => {
  for (const name of SCRIPT_NAMES) {
    const { summary } = run(name, 5, { perAgent: 200, seconds: 10 });
    const picks = summary.picks.reduce((sum, count) => sum + count, 0);
    assert.equal(picks + summary.refused, summary.calls, name);
    assert.ok(summary.failed + summary.refused <= summary.calls, name);
    assert.ok(summary.calls > 3500 && summary.calls < 4500, `${name}: ${summary.calls}`);
  }
});

test("every policy gets every call somewhere when nothing is wrong", () => {
  for (const policy of Object.keys(POLICIES)) {
    const { outcome, summary } = run("steady", 3, { perAgent: 500, seconds: 10, policy });
    assert.deepEqual([outcome.marks.length, summary.failed, summary.refused], [0, 0, 0], policy);
    assert.ok((summary.callsPerNode?.least ?? 0) > 0, policy);
  }
});

test("every policy sends a crashed node little, and takes it back", () => {
  for (const policy of Object.keys(POLICIES)) {
    const { summary } = run("crash", 3, { perAgent: 1000, seconds: 20, policy });
    // By the original rules 15 calls until out and 1 call in 11 then, of 8 s; ours lose fewer.
    assert.ok(summary.failed <= 2 * (4 * 16 + 8250 / 11), `${policy}: ${summary.failed}`);
    assert.deepEqual([summary.refused, summary.falseOuts], [0, 0], policy);
    const { struckShare } = summary.buckets[summary.buckets.length - 1];
    // A fifth of the nodes; their shares may still grow, and hashes and latencies are uneven.
    assert.ok(struckShare > 0.02, `${policy}: ${struckShare}`);
  }
});

test("a seed gives the same run to the last byte, on every runtime", () => {
  const digests = (seed: number, policy: string): string => {
    const hash = createHash("sha256");
    for (const name of SCRIPT_NAMES) {
      const { outcome, summary } = run(name, seed, { perAgent: 200, seconds: 10, policy });
      hash.update(JSON.stringify(summary));
      const script = makeScript(name, { nodes: 20, seconds: 10 });
      hash.update(drawSimulation([{ summary, outcome }], script, `seed ${seed}`, 10_000));
    }
    return hash.digest("hex");
  };
  assert.notEqual(digests(1, "lars"), digests(2, "lars"));
  // Both runtimes are held to these values. They change with the rules, the scripts, the measures
  // and the picture: look at what changed, then put the new values here.
  const expected: Record<string, string> = {
    lars: "f2af0c704d6631cfe25b67dd9b501c737e851afc82061b968e66f015b83d29c7",
    recommended: "b43542d7b3223bb5358b08fc1c21d313a1e619fc7d4f33a9eaab5a73241f1b2b",
    recommended_ewma: "eae99cb76d14b4ba22e3276df431438d817b11df190f335aa34b5a046b969ddb",
    bounded_ring_hash: "7c4791088ac9ce2a6fb766ac39c6bc56bea080bb69cb2870300ca210c912e87f",
  };
  for (const [policy, digest] of Object.entries(expected)) {
    assert.equal(digests(1, policy), digest, policy);
  }
});
