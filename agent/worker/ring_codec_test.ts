import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { defaultBalanceSettings, parseModulePolicy } from "../../balancer/mod.ts";
import type { AgentNote, AgentTask } from "./messages.ts";
import { type PackedRoute, packRoute } from "../routes/packed_route.ts";
import {
  cutMessage,
  decodeNote,
  decodeTask,
  encodeNote,
  encodeTask,
  PieceJoiner,
  RESULTS_PER_RECORD_MAX,
} from "./ring_codec.ts";

const uint32 = fc.integer({ min: 0, max: 0xffffffff });

/** The bytes as they come out of a ring: in shared memory, at any multiple of four. */
function shared(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(new SharedArrayBuffer(bytes.length + 8), 4, bytes.length);
  memory.set(bytes);
  return memory;
}

function throughRing(message: Uint8Array, recordBytesMax: number): Uint8Array {
  const joiner = new PieceJoiner();
  const records = cutMessage(message, recordBytesMax);
  const joined = records.map((record) => {
    assert.ok(record.length <= recordBytesMax);
    return joiner.take(shared(record));
  });
  assert.ok(joined.slice(0, -1).every((one) => one === undefined));
  const last = joined.at(-1);
  assert.ok(last !== undefined);
  return last;
}

test("routes arrive as they were, whole or in pieces", () => {
  const host = fc.record({
    ip: uint32,
    port: fc.integer({ min: 1, max: 65535 }),
    weight: fc.integer({ min: 0, max: 10_000 }),
    zone: fc.constantFrom("", "north", "süd", "\u{1f600}"),
    state: fc.constantFrom(undefined, "drain" as const),
  });
  const policy = fc.constantFrom("", "{}", '{"note":"süd"}');
  fc.assert(
    fc.property(
      uint32,
      uint32,
      fc.array(host, { maxLength: 80 }),
      policy,
      fc.integer({ min: 20, max: 2000 }),
      (modId, cmdId, hosts, policy, recordBytesMax) => {
        const { route } = packRoute(modId, cmdId, hosts, policy);
        const task: AgentTask = { type: "route", shard: 2, route };
        assert.deepEqual(decodeTask(throughRing(encodeTask(task), recordBytesMax)), task);
      },
    ),
  );
});

test("a policy that was read travels beside its text", () => {
  const text = '{"policy":"maglev","healthCheck":{}}';
  const { route } = packRoute(1, 2, [{ ip: 1, port: 80, zone: "north" }], text);
  const parsedPolicy = parseModulePolicy(text);
  const task: AgentTask = { type: "route", shard: 0, route: { ...route, parsedPolicy } };
  assert.deepEqual(decodeTask(throughRing(encodeTask(task), 100)), task);
});

test("the largest route arrives", () => {
  const count = 65_536;
  const route: PackedRoute = {
    modId: 1,
    cmdId: 2,
    ips: new Uint32Array(count).fill(0xffffffff),
    ports: new Uint16Array(count).fill(65535),
    weights: new Uint16Array(count).fill(100),
    zones: new Uint16Array(count),
    zoneNames: [""],
    drains: new Uint8Array(count).fill(1),
    policy: "{}",
  };
  const task: AgentTask = { type: "route", shard: 0, route };
  assert.deepEqual(decodeTask(throughRing(encodeTask(task), 1000)), task);
});

test("every other task arrives as it was", () => {
  const tasks: AgentTask[] = [
    { type: "confirm", shard: 1, modId: 0xffffffff, cmdId: 0 },
    { type: "offline" },
    { type: "resubscribe" },
    { type: "settings", settings: defaultBalanceSettings },
    { type: "status", status: { zone: "süd", callerIp: 1 }, shards: [] },
    { type: "use", shard: 0, keys: [{ modId: 1, cmdId: 2 }] },
  ];
  for (const task of tasks) assert.deepEqual(decodeTask(shared(encodeTask(task))), task);
});

test("results arrive as they were, in as many records as they need", () => {
  const result = fc.record({
    ip: uint32,
    port: fc.integer({ min: 1, max: 65535 }),
    succ: uint32,
    err: uint32,
    overload: fc.boolean(),
    succTotal: fc.nat(Number.MAX_SAFE_INTEGER),
    errTotal: fc.nat(Number.MAX_SAFE_INTEGER),
    timedTotal: fc.nat(Number.MAX_SAFE_INTEGER),
    timeMsTotal: fc.nat(Number.MAX_SAFE_INTEGER),
  }, { noNullPrototype: true });
  const report = fc.record({
    modId: uint32,
    cmdId: uint32,
    results: fc.array(result, { minLength: 1, maxLength: 20 }),
    shard: fc.nat(255),
  }, { noNullPrototype: true });
  fc.assert(fc.property(fc.array(report, { maxLength: 4 }), (reports) => {
    const got = [...encodeNote({ type: "reports", reports })].map((one) => decodeNote(shared(one)));
    assert.deepEqual(got, reports.map((one) => ({ type: "reports", reports: [one] })));
  }));
  const one = {
    ...{ ip: 1, port: 2, succ: 3, err: 4, overload: false },
    ...{ succTotal: 5, errTotal: 6, timedTotal: 7, timeMsTotal: 8 },
  };
  const results = new Array(2 * RESULTS_PER_RECORD_MAX + 1).fill(one);
  const note: AgentNote = { type: "reports", reports: [{ modId: 1, cmdId: 2, results }] };
  const counts = [...encodeNote(note)].map((bytes) => {
    const got = decodeNote(bytes);
    return got.type === "reports" ? got.reports[0].results.length : 0;
  });
  assert.deepEqual(counts, [RESULTS_PER_RECORD_MAX, RESULTS_PER_RECORD_MAX, 1]);
});

test("every other note arrives as it was", () => {
  const notes: AgentNote[] = [
    { type: "modules", events: [{ kind: "pull", shard: 1, modId: 0xffffffff, cmdId: 2 }] },
    { type: "log", level: "warn", message: "schön", fields: { a: 1, b: "c" } },
  ];
  for (const note of notes) {
    assert.deepEqual([...encodeNote(note)].map((one) => decodeNote(shared(one))), [note]);
  }
});

test("refused calls arrive with the results, and without any", () => {
  const refused = { overload: 2 ** 40, unusable: 1, noNode: 0, noRoute: 7, fresh: true };
  const reports = [{ modId: 0xffffffff, cmdId: 1, results: [], shard: 2, refused }];
  const messages = [...encodeNote({ type: "reports", reports })];
  assert.deepEqual(messages.map((one) => decodeNote(shared(one))), [{ type: "reports", reports }]);
});

test("totals of a module arrive with the first of its records", () => {
  const result = {
    ...{ ip: 1, port: 80, succ: 1, err: 2, overload: false, succTotal: 1, errTotal: 2 },
    ...{ timedTotal: 0, timeMsTotal: 0 },
  };
  const counts = [1, 2, 2 ** 40, 0.5];
  const results = new Array(RESULTS_PER_RECORD_MAX + 1).fill(result);
  const notes = [...encodeNote({
    type: "reports",
    reports: [{ modId: 1, cmdId: 2, results, counts }],
  })].map((one) => decodeNote(shared(one)));
  const got = notes.flatMap((note) => note.type === "reports" ? note.reports : []);
  assert.deepEqual(got.map((one) => [one.results.length, one.counts]), [
    [RESULTS_PER_RECORD_MAX, counts],
    [1, undefined],
  ]);
});
