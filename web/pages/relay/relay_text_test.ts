import assert from "node:assert/strict";
import { test } from "node:test";
import type { RelayFacts } from "../../../control/schemas.ts";
import { REFUSALS } from "../../../relay/broker/ledger.ts";
import { droppedPerSecond, dropWords, relayLook, waitText } from "./relay_text.ts";

const facts: RelayFacts = {
  ...{ clients: 3, originals: 0, webSockets: 0, names: 0, workers: 2, running: 0 },
  ...{ waiting: 0, waitingBytes: 0, oldestMs: 0, timedOut: 0, lostWithWorkers: 0 },
  ...{ requestsPerSecond: 5, answersPerSecond: 5, messagesPerSecond: 0, mailWaiting: null },
  ...{ mailShare: null, isCutOff: false },
  drops: [],
};

test("relayLook() says the worst of a relay", () => {
  const full = { what: "requests", reason: "full", count: 9, perSecond: 2 };
  const rows: [Partial<RelayFacts> | null, string, string][] = [
    [null, "crit", "away"],
    [{ workers: 0, answersPerSecond: 0 }, "crit", "no worker"],
    [{ workers: 0, waiting: 1, requestsPerSecond: 0, answersPerSecond: 0 }, "crit", "no worker"],
    [{ workers: 0, requestsPerSecond: null, answersPerSecond: null }, "idle", "no worker"],
    // Its requests are answered at another relay.
    [{ workers: 0, waiting: 1 }, "ok", "ok"],
    [{ workers: 0, drops: [full] }, "warn", "drops"],
    [{ drops: [full], oldestMs: 9000 }, "warn", "drops"],
    [{ drops: [{ ...full, perSecond: 0 }] }, "ok", "ok"],
    [{ drops: [{ ...full, perSecond: null }] }, "ok", "ok"],
    [{ oldestMs: 5000 }, "warn", "slow"],
    [{ oldestMs: 4999 }, "ok", "ok"],
  ];
  for (const [more, tone, text] of rows) {
    const row = { fault: null, facts: more === null ? null : { ...facts, ...more } };
    const look = relayLook(row);
    assert.deepEqual([look.tone, look.text], [tone, text], JSON.stringify(more));
  }
  assert.equal(relayLook({ fault: "refused", facts: null }).title, "refused");
});

test("what was sent twice is no drop", () => {
  const row = { what: "mail", count: 1, perSecond: 1 };
  const drops = [{ ...row, reason: "repeated" }, { ...row, reason: "full", perSecond: 2 }];
  assert.equal(droppedPerSecond({ drops }), 2);
});

test("every reason has words, and one of a newer relay is shown as it is", () => {
  for (const reason of [...REFUSALS, "expired"]) {
    assert.notEqual(dropWords({ what: "mail", reason }).why, reason);
  }
  assert.deepEqual(dropWords({ what: "letters", reason: "too_old" }), {
    what: "letters",
    why: "too old",
  });
});

test("waitText() writes short and long waits", () => {
  const rows: [number, string | undefined][] = [
    [0, undefined],
    [40, "40 ms"],
    [1_240, "1.2 s"],
    [59_900, "59.9 s"],
    [185_000, "3 min"],
  ];
  for (const [ms, text] of rows) assert.equal(waitText(ms), text);
});
