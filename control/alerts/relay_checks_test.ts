import assert from "node:assert/strict";
import { test } from "node:test";
import type { RelayFacts } from "../schemas.ts";
import { AlertEngine, alertText, DEFAULT_RULES, type WatchedSystem } from "./alert_engine.ts";
import { RELAY_CHECKS, RELAY_RULE_KINDS, type SeenRelay } from "./relay_checks.ts";

const FACTS: RelayFacts = {
  ...{ clients: 3, originals: 0, webSockets: 0, names: 0, workers: 2, running: 0, waiting: 0 },
  ...{ waitingBytes: 0, oldestMs: 0, timedOut: 0, lostWithWorkers: 0, requestsPerSecond: 5 },
  ...{ answersPerSecond: 5, messagesPerSecond: 0, mailWaiting: null, mailShare: null },
  ...{ isCutOff: false, drops: [] },
};

function relay(facts: Partial<RelayFacts> | null, more: Partial<SeenRelay> = {}): SeenRelay {
  const fault = facts === null ? "connection refused" : null;
  const all = facts === null ? null : { ...FACTS, ...facts };
  return { relay: "10.0.0.1:2000", fault, facts: all, isExpected: true, ...more };
}

const drop = (reason: string, perSecond: number | null, what = "requests") => ({
  ...{ what, reason, count: 9, perSecond },
});

const CASES: Readonly<
  Record<string, { bad: SeenRelay[]; good: SeenRelay[]; is: RegExp; was: RegExp }>
> = {
  relay_away: {
    bad: [relay(null), relay({ isCutOff: true })],
    // One that nobody asked for, and that has never answered, is none.
    good: [relay(null, { isExpected: false }), relay({})],
    is: /does not answer: connection refused|reaches no NATS server/,
    was: /did not answer|reached no NATS server/,
  },
  relay_no_worker: {
    bad: [
      relay({ drops: [drop("no_worker", 0.4)] }),
      relay({ workers: 0, waiting: 3, answersPerSecond: 0 }),
    ],
    good: [
      relay({ drops: [drop("no_worker", 0), drop("full", 7)] }),
      relay({ workers: 0, answersPerSecond: 0 }),
      relay({ workers: 0, waiting: 3 }),
    ],
    is: /has no worker for 0\.4 requests a second|has no worker, and requests that wait: 3/,
    was: /had no worker/,
  },
  relay_waiting: {
    bad: [relay({ oldestMs: 5_040, waiting: 2 })],
    good: [relay({ oldestMs: 5_000, waiting: 2 })],
    is: /a request that has waited 5 s for a worker, of 2 that wait/,
    was: /had a request that waited 5 s/,
  },
  relay_drops: {
    bad: [relay({ drops: [drop("full", 12.4), drop("failed", 30, "mail")] })],
    good: [relay({ drops: [drop("late", 9), drop("no_worker", 9), drop("full", null)] })],
    is: /does not take 42 messages a second \(most of them mail, failed\)/,
    was: /did not take 42 messages/,
  },
  relay_store_full: {
    bad: [relay({ mailShare: 0.91 })],
    good: [relay({ mailShare: 0.8 }), relay({ mailShare: null })],
    is: /has filled 91 % of what it may keep/,
    was: /had filled 91 %/,
  },
};

test("rules about relays: what each looks for, and what it says", () => {
  assert.deepEqual(Object.keys(CASES), [...RELAY_RULE_KINDS]);
  for (const kind of RELAY_RULE_KINDS) {
    const { bad, good, is, was } = CASES[kind];
    const { threshold } = DEFAULT_RULES.find((rule) => rule.kind === kind) ?? { threshold: -1 };
    assert.ok(threshold >= 0, kind);
    for (const one of bad) {
      const found = RELAY_CHECKS[kind]([one], threshold);
      assert.equal(found.length, 1, kind);
      assert.equal(found[0].service, "relay 10.0.0.1:2000");
      assert.match(found[0].text, is);
      assert.match(found[0].endText ?? "", was);
    }
    assert.deepEqual(RELAY_CHECKS[kind](good, threshold), [], kind);
  }
});

test("AlertEngine: an alert about a relay fires and ends like any other", () => {
  const engine = new AlertEngine();
  const rules = DEFAULT_RULES.map((rule, id) => ({ ...rule, id }));
  const system = (relays?: SeenRelay[]): WatchedSystem => ({
    ...{ atMs: 1, isStale: false, version: 1, modules: [], services: [] },
    ...{ nodeCount: 0, callerCount: 0 },
    ...relays === undefined ? {} : { relays },
  });
  let nowMs = 0;
  const looked = (relays: SeenRelay[] | undefined, seconds: number): string[] =>
    Array.from({ length: seconds }).flatMap(() => {
      nowMs += 1000;
      const news = engine.look(system(relays), rules, [], { nowMs, wallMs: nowMs });
      return news.map(({ type, alert }) => `${type} ${alertText(type, alert)}`);
    });
  const away = [relay(null), relay({}, { relay: "b:1" })];
  assert.deepEqual(looked(away, 12), []);
  assert.deepEqual(looked(away, 5), [
    "firing relay 10.0.0.1:2000 does not answer: connection refused",
  ]);
  // Relays are no longer watched, or answer again.
  assert.deepEqual(looked(undefined, 20), ["ended ended: relay 10.0.0.1:2000 did not answer"]);
});
