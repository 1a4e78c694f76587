// Goal: calls that are tallied beside their nodes come to what they come to when each is told at once:
// the same verdicts at the same calls, the same counts to the last digit, the same reports.
// Method: random histories, told to a balancer that tallies and to one that does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../reactor/time/rng.ts";
import type { StateChange } from "./balance_records.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { Host } from "./host.ts";
import { POLICY_NAMES } from "./module_policy.ts";
import { PRESET_NAMES } from "./module_presets.ts";
import { RouteLb } from "./routes/route_lb.ts";
import type { ModuleReport } from "./routes/route_records.ts";

const MODULES = 2;
const NODES = 3;
const TIMES = [-1, 0, 1, 1, 2, 7, 19, 20, 60, 300, 2000, 100_000_000];

type Step = {
  readonly kind: "report" | "planned" | "run" | "calls" | "fail";
  readonly module: number;
  readonly node: number;
  readonly timeMs: number;
  readonly count: number;
  readonly caller: number;
  readonly laterMs: number;
  /** What else happens before it. */
  readonly beside:
    | ""
    | "pick"
    | "tick"
    | "drain"
    | "health"
    | "route"
    | "policy"
    | "look"
    | "settings";
};

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom(
      ...[
        "report",
        "report",
        "planned",
        "planned",
        "planned",
        "run",
        "run",
        "calls",
        "fail",
      ] as const,
    ),
    module: fc.integer({ min: 1, max: MODULES }),
    node: fc.integer({ min: 1, max: NODES }),
    timeMs: fc.constantFrom(...TIMES),
    count: fc.integer({ min: 1, max: 40 }),
    caller: fc.integer({ min: 0, max: 3 }),
    laterMs: fc.constantFrom(0, 0, 0, 1, 10, 99.5, 400, 5000, 15_000),
    beside: fc.constantFrom(
      ...[
        "",
        "",
        "",
        "pick",
        "pick",
        "tick",
        "tick",
        "drain",
        "health",
        "route",
        "policy",
        "look",
      ] as const,
      "settings" as const,
    ),
  }),
  { minLength: 40, maxLength: 250 },
);

/** What of a node can differ at all. */
function countsOf(host: Host | undefined): unknown {
  if (host === undefined) return undefined;
  const { stats, ...rest } = host;
  const numbers = Object.entries(rest).filter(([, value]) =>
    typeof value === "number" || typeof value === "boolean"
  );
  const { callers, meanTime, ewma, ...others } = stats ?? {};
  const { failedBy, failedSinceMs, isBacked } = callers ?? {};
  return {
    ...Object.fromEntries(numbers),
    ...{ failedBy, failedSinceMs, isBacked, meanMs: meanTime?.ms, meanCalls: meanTime?.calls },
    ewmaMs: ewma?.at(1e9, 1e9),
    stats: Object.fromEntries(
      Object.entries(others).filter(([, value]) => typeof value !== "object"),
    ),
  };
}

class Told {
  readonly changes: StateChange[] = [];
  readonly pulls: string[] = [];
  readonly reports: unknown[] = [];
  readonly lb: RouteLb;
  readonly #policies: readonly string[];
  #round = 0;

  constructor(policies: readonly string[], tallyNodesMax: number | undefined) {
    this.#policies = policies;
    this.lb = new RouteLb({
      settings: { ...defaultBalanceSettings, updateTimeoutMs: 20_000 },
      rng: seededRng(3),
      ...(tallyNodesMax === undefined ? {} : { tallyNodesMax }),
      onPull: (modId) => this.pulls.push(`${modId}`),
      onStateChange: (change) => this.changes.push(change),
    });
    for (let module = 1; module <= MODULES; module++) {
      this.lb.use(module, 1, 0);
      this.lb.setModulePolicy(module, 1, policies[0]);
      this.#route(module, NODES, 0);
    }
  }

  #route(module: number, count: number, nowMs: number): void {
    const nodes = Array.from({ length: count }, (_, i) => ({ ip: i + 1, port: 80 }));
    this.lb.update(module, 1, nodes, nowMs);
  }

  beside({ beside, module, node, count }: Step, nowMs: number): void {
    const { lb } = this;
    if (beside === "pick") { for (let i = 0; i < 4; i++) lb.getHost(module, 1, nowMs); }
    else if (beside === "tick") lb.tick(nowMs);
    else if (beside === "drain") this.drain(nowMs, count === 1);
    else if (beside === "health") {
      lb.setHealth(module, 1, node, 80, count % 3 > 0, "probe", nowMs);
    } else if (beside === "route") {
      this.#route(module, count % 5 === 0 ? NODES - 1 : NODES, nowMs);
    } else if (beside === "policy" && count % 4 === 0) {
      lb.setModulePolicy(module, 1, this.#policies[++this.#round % this.#policies.length]);
    } else if (beside === "settings" && count % 4 === 0) {
      lb.setSettings({ ...defaultBalanceSettings, idleTimeoutMs: 1000 * count });
    } else if (beside === "look" && count === 7) lb.explain(module, 1, nowMs);
  }

  call({ kind, module, node, timeMs, count, caller }: Step, nowMs: number): void {
    const { lb } = this;
    if (kind === "report") lb.report(module, 1, node, 80, 0, timeMs, nowMs, caller);
    else if (kind === "fail") {
      for (let i = 0; i < 1 + count % 6; i++) {
        lb.reportPlanned(module, 1, node, 80, [1, 110, 111][count % 3], timeMs, nowMs, caller);
      }
    } else if (kind === "planned") {
      const place = lb.seek(module, 1, node, 80);
      lb.reportPlanned(module, 1, node, 80, 0, timeMs, nowMs, caller, place);
    } else if (kind === "run") lb.reportRun(module, 1, node, 80, count, timeMs, nowMs, caller);
    else {
      const calls = { succ: count, err: 0, errWeight: 0, continSucc: count, continErr: 0 };
      lb.reportCalls(module, 1, node, 80, { ...calls, timed: 0, timeMs: 0 }, nowMs);
    }
  }

  drain(nowMs: number, force: boolean): void {
    const byModule = (one: ModuleReport, other: ModuleReport): number => one.modId - other.modId;
    for (const report of this.lb.drainReports(nowMs, force).sort(byModule)) {
      const results = report.results.toSorted((one, other) => one.ip - other.ip);
      this.reports.push({ nowMs, ...report, results });
    }
  }

  /** What has come of it so far, without looking at any node: a look would tell them all. */
  seen(): unknown {
    const { changes, pulls, reports, lb } = this;
    return { changes, pulls, reports, stats: lb.stats(), resting: lb.resting };
  }

  all(nowMs: number): unknown {
    const nodes = [];
    for (let module = 1; module <= MODULES; module++) {
      for (let node = 1; node <= NODES; node++) {
        nodes.push(countsOf(this.lb.findHost(module, 1, node, 80)));
      }
    }
    this.drain(nowMs, true);
    const explained = [1, 2].map((module) => this.lb.explain(module, 1, nowMs));
    return { ...this.seen() as object, nodes, explained, snapshot: [...this.lb.snapshot(nowMs)] };
  }
}

/** Of all calls that went well, how many were tallied at last, to see that any are. */
function play(
  policies: readonly string[],
  history: readonly Step[],
  nodesMax?: number,
): StateChange[] {
  const [tallied, told] = [new Told(policies, nodesMax), new Told(policies, 0)];
  let nowMs = 1;
  for (const step of history) {
    nowMs += step.laterMs;
    for (const one of [tallied, told]) {
      one.beside(step, nowMs);
      one.call(step, nowMs);
    }
    assert.deepEqual(tallied.lb.stats(), told.lb.stats());
  }
  assert.deepEqual(tallied.seen(), told.seen());
  assert.deepEqual(tallied.all(nowMs), told.all(nowMs));
  return told.changes;
}

for (const name of ["", ...PRESET_NAMES, ...POLICY_NAMES]) {
  test(`${name || "no policy"}: calls that are tallied come to what each comes to alone`, () => {
    let changes = 0;
    const text = name === "" ? "" : JSON.stringify({ policy: name });
    const others = [
      JSON.stringify({ policy: "recommended", evidenceMs: 7000, slowMsMin: 5 }),
      JSON.stringify({ policy: "lars", rules: ["errorRate", "slow"], callerOutsMax: 1 }),
    ];
    fc.assert(
      fc.property(steps, fc.boolean(), (history, isScarce) => {
        changes += play([text, ...others, ""], history, isScarce ? 2 : undefined).length;
      }),
      { numRuns: 60, seed: 11 },
    );
    assert.ok(changes > 0, "no node ever changed its state");
  });
}
