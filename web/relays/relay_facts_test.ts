import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBrokerLimits } from "../../relay/broker/broker_limits.ts";
import { Broker } from "../../relay/broker/broker.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { relayClients, relayFacts, relayMail, relayQueues, relayWorkers } from "./relay_facts.ts";

/** The counters of a real broker whose queue is full. */
function statsOfFull(refused: number): Record<string, number> {
  const clock = new ManualClock();
  const limits = { ...defaultBrokerLimits, moduleRequestsMax: 2 };
  const broker = new Broker({ clock, limits });
  const client = broker.addClient({
    ...{ label: "a", kind: "original", wantsLate: false, waitsForWorkers: true },
    takeReply: () => undefined,
    cut: () => {},
  });
  const order = { modId: 1, cmdId: 1, cpid: 0, ttlMs: 0, data: new Uint8Array(8) };
  for (let number = 0; number < 2 + refused; number++) broker.request(client, { ...order, number });
  clock.advance(1500);
  const stats = broker.stats();
  broker.close();
  return stats;
}

test("relayFacts() reads the counters of a broker: sizes, rates and drops", () => {
  const stats = statsOfFull(5);
  const facts = relayFacts(stats, { stats: statsOfFull(1), agoS: 2 });
  const { clients, waiting, waitingBytes, oldestMs, requestsPerSecond, mailWaiting } = facts;
  assert.deepEqual(
    { clients, waiting, waitingBytes, oldestMs, requestsPerSecond, mailWaiting },
    {
      ...{ clients: 1, waiting: 2, waitingBytes: 16, oldestMs: 1500, requestsPerSecond: 2 },
      mailWaiting: null,
    },
  );
  assert.deepEqual(facts.drops, [
    { what: "requests", reason: "full", count: 5, perSecond: 2 },
  ]);
});

test("relayFacts(): how full its store is, and whether it reaches other relays", () => {
  const none = relayFacts({}, undefined);
  assert.deepEqual([none.mailShare, none.isCutOff], [null, false]);
  const facts = relayFacts({ mail_share: 0.5, relays_connected: 0 }, undefined);
  assert.deepEqual([facts.mailShare, facts.isCutOff], [0.5, true]);
});

test("relayFacts() knows no rate at first, nor of a relay that started again", () => {
  assert.equal(relayFacts({ requests_sent: 5 }, undefined).requestsPerSecond, null);
  const earlier = { stats: { requests_sent: 9 }, agoS: 1 };
  const facts = relayFacts({ requests_sent: 5 }, earlier);
  assert.deepEqual([facts.requestsPerSecond, facts.messagesPerSecond], [null, 0]);
});

test("drops: what happens now comes first, then what happened most", () => {
  const names = ["mail_expired", "requests_refused_full", "replies_refused_late"];
  const of = (...counts: number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, index) => [name, counts[index]]));
  const { drops } = relayFacts(of(900, 3, 20), { stats: of(900, 1, 20), agoS: 1 });
  assert.deepEqual(
    drops.map(({ what, reason, count, perSecond }) => [what, reason, count, perSecond]),
    [
      ["requests", "full", 3, 2],
      ["mail", "expired", 900, 0],
      ["replies", "late", 20, 0],
    ],
  );
});

test("whatever a relay tells, rows have their types", () => {
  const wild = [
    {},
    { rows: null, count: "many" },
    { rows: [1, null, "x", { sid: "7", name: 5, modules: {}, waiting: -1, modid: NaN }], count: 9 },
    { rows: { 0: {} }, count: -3, waiting: Infinity },
  ];
  for (const telling of wild) {
    const { clients, total } = relayClients(telling);
    assert.ok(
      total >= clients.length && clients.every(({ sid, name }) => sid === 0 && name === ""),
    );
    assert.ok(relayWorkers(telling).workers.every(({ modules }) => modules.length === 0));
    assert.ok(relayQueues(telling).queues.every(({ modId, waiting }) => modId + waiting === 0));
    assert.equal(relayMail(telling).oldestSentAtMs, null);
    assert.equal(relayFacts(telling, { stats: telling, agoS: 1 }).waiting, 0);
  }
});

test("rows of a relay of ours are read whole", () => {
  const worker = { from: "10.0.0.1:5", modules: "1,2 3,4", credit: 5, running: 1, answered: 7 };
  assert.deepEqual(relayWorkers({ rows: [worker], count: 300 }), {
    total: 300,
    workers: [{
      ...worker,
      modules: [{ modId: 1, cmdId: 2 }, { modId: 3, cmdId: 4 }],
    }],
  });
  const box = { name: "ann", waiting: 3, waiting_bytes: 30, last: 9, taken: 6 };
  const mail = { rows: [box], waiting: 3, waiting_bytes: 30, oldest_sent_at_ms: 1_000 };
  assert.deepEqual(relayMail(mail), {
    ...{ waiting: 3, waitingBytes: 30, oldestSentAtMs: 1_000 },
    boxes: [{ name: "ann", waiting: 3, waitingBytes: 30 }],
  });
});
