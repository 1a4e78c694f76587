import assert from "node:assert/strict";
import { test } from "node:test";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { decideScale, type DecisionInput, type ScaleDecision } from "./scale_decision.ts";

const NOW_MS = 1_000_000;

function ruleOf(values: Partial<ScaleRule>): ScaleRule {
  const usual = { metric: "calls", target: 100, max: 20, windowS: 10, stabilisationS: 60 };
  return ScaleRuleShape.parse({ ...usual, ...values });
}

/** Samples of every second of a window. */
function steady(load: number, errorShare = 0, seconds = 10): DecisionInput["samples"] {
  return Array.from({ length: seconds }, (_, index) => ({
    atMs: NOW_MS - (seconds - 1 - index) * 1000,
    ...{ load, errorShare },
  }));
}

function decide(
  values: Partial<ScaleRule>,
  input: Omit<Partial<DecisionInput>, "rule" | "counts"> & {
    readonly counts?: Partial<DecisionInput["counts"]>;
  },
): ScaleDecision {
  return decideScale({
    ...{ samples: steady(400), floor: 0, advice: [], watchedSinceMs: 0 },
    ...{ grownAtMs: -Infinity, shrunkAtMs: -Infinity, nowMs: NOW_MS },
    ...input,
    rule: ruleOf(values),
    counts: { on: 4, keptOut: 0, cold: 0, pending: 0, ...input.counts },
  });
}

const CASES: readonly (readonly [
  what: string,
  values: Partial<ScaleRule>,
  input: Parameters<typeof decide>[1],
  expected: string,
  reason: RegExp,
])[] = [
  ["as much as wanted", {}, {}, "hold 4", /within 10\.0 %/],
  ["a little more", {}, { samples: steady(439) }, "hold 4", /within/],
  ["more", {}, { samples: steady(500) }, "up 5", /500 calls\/s over 10 s, 125 for each of 4/],
  ["much more, by steps", { stepUp: 3 }, { samples: steady(1900) }, "up 7", /target 100/],
  ["more than max", {}, { samples: steady(9000), counts: { on: 18 } }, "up 20", /max is 20/],
  ["at max", {}, { samples: steady(9000), counts: { on: 20 } }, "hold 20", /max is 20/],
  ["less", {}, { samples: steady(200) }, "down 3", /50\.0 for each of 4/],
  ["less, by steps", { stepDown: 5 }, { samples: steady(100) }, "down 1", /for each of 4/],
  ["idle, not below min", { min: 3, stepDown: 9 }, { samples: steady(0) }, "down 3", /least is 3/],
  ["idle at min", { min: 4 }, { samples: steady(0) }, "hold 4", /least is 4/],
  ["a floor", { min: 1 }, { floor: 6 }, "up 6", /scheduled floor, 6/],
  ["a floor above max", { max: 5 }, { floor: 9 }, "up 5", /floor, 5/],
  ["a floor keeps", {}, { floor: 4, samples: steady(10) }, "hold 4", /least is 4/],
  ["below min without data", { min: 5 }, { samples: [] }, "up 5", /fewer than min, 5/],
  ["no data", {}, { samples: [] }, "hold 4", /no data of the last 10 s/],
  [
    "stale data",
    { windowS: 30 },
    { samples: steady(9000, 0, 28).slice(0, 8) },
    "hold 4",
    /newest data is 20 s old/,
  ],
  ["too short data", {}, { samples: steady(9000, 0, 3) }, "hold 4", /only 2 s of the window/],
  ["cool-down up", {}, { samples: steady(900), grownAtMs: NOW_MS - 5000 }, "hold 4", /grew less/],
  ["cool-down up over", {}, { samples: steady(900), grownAtMs: NOW_MS - 15_000 }, "up 9", /225/],
  ["cool-down down", {}, { samples: steady(9), grownAtMs: NOW_MS - 30_000 }, "hold 4", /changed/],
  ["cool-down down", {}, { samples: steady(9), shrunkAtMs: NOW_MS - 30_000 }, "hold 4", /changed/],
  [
    "needed lately",
    {},
    { samples: steady(9), advice: [{ atMs: NOW_MS - 30_000, nodes: 4 }] },
    "hold 4",
    /4 nodes were needed within the last 60 s/,
  ],
  [
    "needed less lately",
    { stepDown: 4 },
    { samples: steady(9), advice: [{ atMs: NOW_MS - 30_000, nodes: 2 }] },
    "down 2",
    /./,
  ],
  [
    "not watched",
    {},
    { samples: steady(9), watchedSinceMs: NOW_MS - 9000 },
    "hold 4",
    /for 9 of 60/,
  ],
  ["calls fail", {}, { samples: steady(9, 0.2) }, "hold 4", /20\.0 % of the calls fail/],
  ["ordered do", {}, { samples: steady(600), counts: { pending: 2 } }, "hold 6", /within/],
  ["ordered, less", {}, { samples: steady(9), counts: { pending: 2 } }, "hold 6", /still starting/],
  ["one kept out", {}, { samples: steady(400), counts: { keptOut: 1 } }, "up 5", /each of 3/],
  ["most kept out", {}, { samples: steady(900), counts: { keptOut: 3 } }, "hold 4", /not cure/],
  ["kept out, less", {}, { samples: steady(9), counts: { keptOut: 1 } }, "hold 4", /keep 1 nodes/],
  ["no node", {}, { samples: [], counts: { on: 0 } }, "up 1", /fewer than min, 1/],
  ["in flight", { metric: "inflight", target: 2 }, { samples: steady(12) }, "up 6", /in flight/],
  ["latency", { metric: "latency", target: 20 }, { samples: steady(40) }, "up 8", /40.0 ms a call/],
  ["fast", { metric: "latency", target: 20 }, { samples: steady(10) }, "down 3", /10.0 ms/],
  [
    "slow, with cold nodes",
    { metric: "latency", target: 20 },
    { samples: steady(40), counts: { cold: 2 } },
    "hold 4",
    /2 nodes are still starting/,
  ],
];

for (const [what, values, input, expected, reason] of CASES) {
  test(`Decision: ${what}: ${expected}`, () => {
    const decision = decide(values, input);
    assert.equal(`${decision.kind} ${decision.to}`, expected, decision.reason);
    assert.match(decision.reason, reason);
  });
}

test("Decision stays between the limits and takes one step at most, whatever it is told", () => {
  for (let seed = 1; seed < 4000; seed++) {
    const pick = (salt: number, count: number): number =>
      (seed * 2_654_435_761 * salt >>> 8) % count;
    const min = 1 + pick(3, 5);
    const max = min + pick(5, 12);
    const on = pick(7, 20);
    const values = { min, max, stepUp: 1 + pick(11, 5), stepDown: 1 + pick(13, 3) };
    const decision = decide(values, {
      samples: pick(17, 4) === 0 ? [] : steady(pick(19, 3000)),
      counts: { on, pending: pick(23, 3), keptOut: Math.min(on, pick(29, 4)) },
      floor: pick(31, 8),
    });
    const { kind, from, to } = decision;
    if (kind === "up") assert.ok(to > from && to <= max && to - from <= values.stepUp);
    if (kind === "down") assert.ok(to < from && to >= min && from - to <= values.stepDown);
    if (kind === "hold") assert.equal(to, from);
  }
});
