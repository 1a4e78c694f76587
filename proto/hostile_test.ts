// The codec and protobufjs against bytes from a peer that errs or means harm: the outcome is a message or a
// ProtocolError, always the same from both.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../reactor/errors.ts";
import * as messages from "./codec.ts";
import { oracleOf } from "./testing/codecs.ts";

type Decode = (body: Uint8Array) => unknown;
type Outcome = { message: unknown } | { refused: true };

const names = Object.keys(messages).filter((name) => name.startsWith("decode"));

function outcomeOf(decode: Decode, body: Uint8Array): Outcome {
  try {
    return { message: decode(body) };
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error}`);
    return { refused: true };
  }
}

/** Decodes with both codecs, checks that they agree, and gives the outcome. */
function outcome(name: string, body: Uint8Array): Outcome {
  const result = outcomeOf((messages as Record<string, unknown>)[name] as Decode, body);
  const { decode } = oracleOf(name.slice("decode".length));
  assert.deepEqual(outcomeOf(decode, body), result);
  return result;
}

const LEASE_NAME = {
  ...{ modId: 4294967295, cmdId: 1, ip: 4294967295, port: 80, incarnation: 2 ** 52 },
};

const filled: Record<string, Uint8Array> = {
  decodeGetRouteRequest: messages.encodeGetRouteRequest({
    modId: 4294967295,
    cmdId: 300,
    token: new Uint8Array([1, 2, 3]),
    digest: new Uint8Array(8).fill(7),
  }),
  decodeGetRouteResponse: messages.encodeGetRouteResponse({
    modId: 1,
    cmdId: 2,
    hosts: [{ ip: 3232235953, port: 80, weight: 5, zone: "é" }, { ip: 1, port: 1, state: "drain" }],
    revision: 9007199254740991,
    policy: '{"policy":"maglev"}',
    meant: true,
    guarded: true,
    name: "é",
    ...{ epoch: 2 ** 52, version: 4294967295, digest: new Uint8Array(8).fill(7) },
  }),
  decodeNodeUseRequest: messages.encodeNodeUseRequest({
    seq: 300,
    modId: 4294967295,
    cmdId: 1,
    ip: 3232235953,
    port: 80,
  }),
  decodeNodeUse: messages.encodeNodeUse({ seq: 300, state: 2, idleMs: 0, clients: 3 }),
  decodeNodeUseReport: messages.encodeNodeUseReport({
    seq: 300,
    agents: [{ agent: "10.0.0.1:5", state: 2, idleMs: 900, clients: 1, silent: true }],
    plain: 3,
    cut: true,
  }),
  decodeExplainRequest: messages.encodeExplainRequest({
    seq: 1,
    modId: 4294967295,
    cmdId: 2,
    from: 300,
    token: new Uint8Array([1, 2]),
  }),
  decodeExplainResponse: messages.encodeExplainResponse({
    seq: 1,
    modId: 4294967295,
    cmdId: 2,
    from: 300,
    explanation: "{}é",
  }),
  decodeReportStatusRequest: messages.encodeReportStatusRequest({
    modId: 1,
    cmdId: 2,
    caller: 3232235953,
    results: [
      {
        ...{ ip: 1, port: 1, succ: 1, err: 200, overload: true },
        ...{ succTotal: 5000000000, errTotal: 1, timedTotal: 300, timeMsTotal: 6000000000 },
        gains: { succ: 300, err: 1, timed: 0, timeMs: 9007199254740991 },
      },
    ],
    ts: 1700000000,
    seq: 300,
    refusedNew: 5000000000,
  }),
  decodeGetHostRequest: messages.encodeGetHostRequest({
    seq: 4294967295,
    modId: 4294967295,
    cmdId: 1,
    token: new Uint8Array(200),
    key: new Uint8Array([7, 8]),
  }),
  decodeGetHostResponse: messages.encodeGetHostResponse({
    seq: 1,
    modId: 1,
    cmdId: 2,
    retcode: 1,
    host: { ip: 4294967295, port: 65535, weight: 0, zone: "z" },
  }),
  decodeReportRequest: messages.encodeReportRequest({
    modId: 1,
    cmdId: 2,
    host: { ip: 4294967295, port: 65535 },
    retcode: -1,
    timecostMs: 100,
    token: new Uint8Array([9]),
  }),
  decodeHello: messages.encodeHello({
    protocol: 1,
    software: "lars",
    role: "dns",
    nonce: new Uint8Array(16),
    status: "{}",
  }),
  decodeRoutePart: messages.encodeRoutePart({
    modId: 1,
    cmdId: 2,
    hosts: [{ ip: 4294967295, port: 65535 }, { ip: 1, port: 2, weight: 0, state: "drain" }],
    part: 0,
    partCount: 2,
    revision: 1,
    policy: "{}",
    meant: true,
    guarded: true,
    name: "é",
    ...{ epoch: 2 ** 52, version: 4294967295, digest: new Uint8Array(8).fill(7) },
  }),
  decodePing: messages.encodePing({ seq: 300, revision: 1795253004123 }),
  decodeAgentStatus: messages.encodeAgentStatus({
    ip: 4294967295,
    port: 8888,
    zone: "é",
    startedAt: 4294967295,
    modules: 300,
    held: 1,
    heldRoutes: "1,2: 0 of 3 nodes, 0 s",
    policiesRefused: 1,
    reporterConnected: true,
  }),
  decodePong: messages.encodePong({
    ...{ seq: 300, spreadMs: 5000, placeMs: 4995, epoch: 2 ** 52, version: 4294967295 },
  }),
  decodeRouteUnchanged: messages.encodeRouteUnchanged({
    ...{ modId: 4294967295, cmdId: 1, revision: 2 ** 52, epoch: 2 ** 52, version: 4294967295 },
  }),
  decodeLeaving: messages.encodeLeaving({ spreadMs: 5000 }),
  decodeRouteChanged: messages.encodeRouteChanged({ modules: [{ modId: 4294967295, cmdId: 1 }] }),
  decodeHelloProof: messages.encodeHelloProof({ mac: new Uint8Array(32).fill(7) }),
  decodeTableSubscribe: messages.encodeTableSubscribe({ modId: 4294967295, cmdId: 1, end: true }),
  decodeLeaseRegister: messages.encodeLeaseRegister({
    ...{ seq: 300, modId: 4294967295, cmdId: 1, ip: 4294967295, port: 80, ttlMs: 15000 },
    ...{ weight: 100, zone: "é", note: "{}", waiting: true, incarnation: 2 ** 52 },
    ...{ makesModule: true, detached: true },
    terms: { check: "tcp", owner: "é", forHost: "a", module: "é" },
  }),
  decodeLeaseRegistered: messages.encodeLeaseRegistered({
    ...{ seq: 300, code: 5, reason: "é", incarnation: 2 ** 52, modId: 4294967295, cmdId: 1 },
  }),
  decodeLeaseChange: messages.encodeLeaseChange({
    ...{ seq: 300, lease: LEASE_NAME, weight: 0, zone: "", note: "", ready: 1, owner: "é" },
  }),
  decodeLeaseLeave: messages.encodeLeaseLeave({ seq: 300, lease: LEASE_NAME, owner: "é" }),
  decodeLeaseDone: messages.encodeLeaseDone({ seq: 300, code: 1, reason: "é" }),
  decodeLeaseSafeRequest: messages.encodeLeaseSafeRequest({
    ...{ seq: 300, lease: LEASE_NAME, quietMs: 1000 },
  }),
  decodeLeaseSafe: messages.encodeLeaseSafe({ seq: 300, safe: true, waitsFor: "é" }),
  decodeLeaseBeat: messages.encodeLeaseBeat({
    ...{ seq: 300, lease: [LEASE_NAME, LEASE_NAME], owner: "é" },
  }),
  decodeLeaseBeaten: messages.encodeLeaseBeaten({ seq: 300, count: 2, lost: [LEASE_NAME] }),
  decodeRefusal: messages.encodeRefusal({ reason: 300 }),
  decodeGoodbye: messages.encodeGoodbye({ reason: "stopped" }),
  decodeRelayJoin: messages.encodeRelayJoin({
    ...{ name: "é", late: true, mail: true, epoch: 4294967295, after: 9007199254740991 },
  }),
  decodeRelayJoined: messages.encodeRelayJoined({
    ...{ sid: 300, status: 9, epoch: 4294967295, after: 300, missing: 1, recovered: true },
  }),
  decodeRelaySend: messages.encodeRelaySend({
    ...{ number: 300, to: "é", group: true, stored: true, ttlS: 300, id: "x" },
    data: new Uint8Array([1, 2]),
  }),
  decodeRelayAsk: messages.encodeRelayAsk({ number: 300, question: "é" }),
  decodeRelayTold: messages.encodeRelayTold({ number: 300, answer: "é" }),
  decodeRelaySent: messages.encodeRelaySent({ number: 300, status: 1, receivers: 300 }),
  decodeRelayMessage: messages.encodeRelayMessage({
    ...{ from: "é", group: "g", seq: 9007199254740991, id: "x", sentAtMs: 1_700_000_000_000 },
    data: new Uint8Array([1, 2]),
  }),
  decodeRelayTaken: messages.encodeRelayTaken({ seq: 9007199254740991 }),
  decodeRelayGroup: messages.encodeRelayGroup({ number: 300, group: "é", leave: true }),
  decodeRelayWho: messages.encodeRelayWho({ number: 300, prefix: "é", watch: true }),
  decodeRelayHere: messages.encodeRelayHere({
    members: [{ name: "é", sid: 300, since: 1_700_000_000, gone: true, relay: "[::1]:2000" }],
    ...{ number: 300, cut: true, relay: "127.0.0.1:2000" },
  }),
  decodeRelayMailEntry: messages.encodeRelayMailEntry({
    ...{ name: "é", writer: "w", last: 9007199254740991, taken: 300, after: 300 },
    puts: [{
      ...{ sender: "é", id: "x", sentAtMs: 1_700_000_000_000, expiresAtMs: 1_700_000_000_001 },
      data: new Uint8Array([1, 2]),
    }],
    ends: [{ seq: 300, sender: "é", id: "y", sentAtMs: 1_700_000_000_000, expired: true }],
  }),
  decodeRelayPresence: messages.encodeRelayPresence({
    ...{ relay: "r", address: "[::1]:2000", version: 300, whole: true, ask: true },
    ...{ leaving: true, quiet: true },
    clients: [{ name: "é", sid: 300, sinceMs: 1_700_000_000_000, claim: 300, gone: true }],
    groups: [{ group: "é", members: 300 }],
    served: [{ modId: 4294967295, cmdId: 1 }],
    unserved: [{ modId: 1, cmdId: 4294967295 }],
  }),
  decodeRelayPass: messages.encodeRelayPass({
    ...{ relay: "r", number: 9007199254740991, from: "é", to: "t", group: true, id: "x" },
    ...{ sentAtMs: 1_700_000_000_000, modId: 4294967295, cmdId: 2, ttlMs: 300 },
    key: new Uint8Array([7, 8]),
    data: new Uint8Array([1, 2]),
  }),
  decodeRelayPassed: messages.encodeRelayPassed({
    ...{ relay: "r", number: 300, status: 4, receivers: 300, data: new Uint8Array([1, 2]) },
  }),
  decodeRelayRequest: messages.encodeRelayRequest({
    ...{ number: 300, modId: 4294967295, cmdId: 2, ttlMs: 20_000 },
    key: new Uint8Array([7, 8]),
    data: new Uint8Array(200),
  }),
  decodeRelayReply: messages.encodeRelayReply({
    ...{ number: 300, status: 4, late: true, data: new Uint8Array([1, 2]) },
  }),
  decodeRelayWork: messages.encodeRelayWork({
    modules: [{ modId: 4294967295, cmdId: 1 }],
    ...{ credit: 300, leaving: true },
  }),
  decodeRelayTask: messages.encodeRelayTask({
    ...{ task: 300, modId: 4294967295, cmdId: 2, sid: 3, cpid: -1, ttlMs: 20_000 },
    key: new Uint8Array([7, 8]),
    data: new Uint8Array(200),
  }),
  decodeRelayDone: messages.encodeRelayDone({
    ...{ task: 300, status: 1, credit: 1, data: new Uint8Array([1, 2]) },
  }),
  decodeReportSession: messages.encodeReportSession({
    ...{ session: 9007199254740991, stored: 300, leaving: true },
  }),
  decodeReportsStored: messages.encodeReportsStored({ stored: 300, held: 301, plain: true }),
  decodeSubscriptionTerms: messages.encodeSubscriptionTerms({ modulesMax: 300, nodelessMax: 1 }),
  decodeBatchedReport: messages.encodeBatchedReport({
    sender: 300,
    first: 9007199254740991,
    outcomes: new Uint8Array(48),
  }),
  decodeFleetSubscribe: messages.encodeFleetSubscribe({ end: true }),
  decodeFleetModules: messages.encodeFleetModules({
    modules: [{ modId: 4294967295, cmdId: 1, name: "é", gone: true }],
    first: true,
    last: true,
  }),
  decodeNodesOut: messages.encodeNodesOut({
    modId: 1,
    cmdId: 4294967295,
    nodes: [{ ip: 4294967295, port: 80, agents: 300 }],
    agents: 300,
  }),
  decodeExportStatus: messages.encodeExportStatus({
    ...{ name: "é", startedAt: 4294967295, modules: 300 },
    ways: [{ way: "xds", at: "a:1", followers: 300, behind: 1, behindMs: 4294967295, fault: "é" }],
  }),
  decodeTableSettings: messages.encodeTableSettings({ rules: "{}", zone: "east" }),
  decodeCallReports: messages.encodeCallReports({
    session: 9007199254740991,
    seq: 300,
    modules: [{
      modId: 1,
      cmdId: 4294967295,
      nodes: [
        {
          ip: 4294967295,
          port: 80,
          succ: 9,
          err: 2,
          errWeight: 7,
          continSucc: 0,
          continErr: 2,
          errPushback: 0,
          errRefused: 1,
          errTimeout: 1,
          timed: 11,
          timeMs: 6000000000,
        },
      ],
    }],
  }),
  decodeCallReportsTaken: messages.encodeCallReportsTaken({ seq: 300 }),
};

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const groups = (depth: number): Uint8Array =>
  Uint8Array.from({ length: 2 * depth }, (_, i) => i < depth ? 0x7b : 0x7c);

/** Bytes every decoder must refuse. Field 15 is known to none of the messages. */
const refused: Record<string, Uint8Array> = {
  "a tag without a value": bytes(0x78),
  "a varint that never ends": new Uint8Array(1000).fill(0xff),
  "an unknown varint of eleven bytes": bytes(0x78, ...new Array(10).fill(0x80), 0),
  "a known varint of eleven bytes": bytes(0x08, ...new Array(10).fill(0x80), 0),
  "a tag of six bytes": bytes(0xf8, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01),
  "a tag above 32 bits": bytes(0xf8, 0xff, 0xff, 0xff, 0x1f, 0x01),
  "field number 0": bytes(0x00, 0x01),
  "field number 0 in a group": bytes(0x7b, 0x00, 0x01, 0x7c),
  "a length beyond the end": bytes(0x7a, 0x05, 1, 2, 3, 4),
  "a length of 2^31 - 1": bytes(0x7a, 0xff, 0xff, 0xff, 0xff, 0x07),
  "a length of 2^32 - 1": bytes(0x7a, 0xff, 0xff, 0xff, 0xff, 0x0f),
  "a length of 2^63": bytes(0x7a, ...new Array(9).fill(0x80), 0x01),
  "four bytes that are three": bytes(0x7d, 1, 2, 3),
  "eight bytes that are seven": bytes(0x79, 1, 2, 3, 4, 5, 6, 7),
  "a group that never ends": bytes(0x7b, 0x08, 0x01),
  "an end without a group": bytes(0x7c),
  "a group ended by another number": bytes(0x7b, 0x74),
  "groups 102 deep": groups(102),
  "groups a million deep": new Uint8Array(1_000_000).fill(0x7b),
  "wire type 6": bytes(0x7e, 0x01),
  "wire type 7": bytes(0x7f, 0x01),
};

/** Unknown fields every decoder must pass over. */
const skipped: Record<string, Uint8Array> = {
  "a varint": bytes(0x78, 0x05),
  "a varint of ten bytes": bytes(0x78, ...new Array(9).fill(0xff), 0x01),
  "four bytes": bytes(0x7d, 1, 2, 3, 4),
  "eight bytes": bytes(0x79, 1, 2, 3, 4, 5, 6, 7, 8),
  "text": bytes(0x7a, 0x03, 0xff, 0xff, 0xff),
  "an empty group": bytes(0x7b, 0x7c),
  "a group with fields": bytes(0x7b, 0x08, 0x01, 0x12, 0x01, 0xff, 0x7c),
  "groups 100 deep": groups(100),
  "the highest field number": bytes(0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01),
  "field 1 as four bytes": bytes(0x0d, 1, 2, 3, 4),
  "field 1 as a group": bytes(0x0b, 0x0c),
};

for (const name of names) {
  const body = filled[name];

  test(`${name}() survives truncation at every byte`, () => {
    assert.ok(!("refused" in outcome(name, body)));
    for (let length = 0; length < body.length; length++) outcome(name, body.subarray(0, length));
  });

  test(`${name}() survives any change of any byte`, () => {
    for (let i = 0; i < body.length; i++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff, body[i] ^ 1, body[i] ^ 2, body[i] ^ 4]) {
        const changed = body.slice();
        changed[i] = value;
        outcome(name, changed);
      }
    }
  });

  test(`${name}() refuses what no writer writes`, () => {
    for (const [what, bad] of Object.entries(refused)) {
      assert.deepEqual(outcome(name, bad), { refused: true }, what);
      const appended = new Uint8Array([...body, ...bad.subarray(0, 2000)]);
      assert.deepEqual(outcome(name, appended), { refused: true }, `${what}, after good fields`);
    }
  });

  test(`${name}() passes over fields it does not know`, () => {
    const plain = outcome(name, body);
    for (const [what, extra] of Object.entries(skipped)) {
      assert.deepEqual(outcome(name, new Uint8Array([...extra, ...body])), plain, what);
      assert.deepEqual(outcome(name, new Uint8Array([...body, ...extra])), plain, what);
    }
  });

  test(`${name}() survives random bytes and random damage`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        outcome(name, noise);
      }),
      { numRuns: 2000 },
    );
    const damage = fc.record({
      at: fc.nat(body.length),
      removed: fc.nat(4),
      inserted: fc.uint8Array({ maxLength: 12 }),
    });
    fc.assert(
      fc.property(damage, ({ at, removed, inserted }) => {
        const tail = body.subarray(at + removed);
        outcome(name, new Uint8Array([...body.subarray(0, at), ...inserted, ...tail]));
      }),
      { numRuns: 2000 },
    );
  });

  test(`${name}() gives bytes of its own, not a view of what it was lent`, () => {
    const lent = body.slice();
    const message = outcomeOf((messages as Record<string, unknown>)[name] as Decode, lent);
    const before = structuredClone(message);
    lent.fill(0);
    assert.deepEqual(message, before);
  });
}

test("a known varint may be longer than needed, up to ten bytes", () => {
  const long = bytes(0x08, 0x85, ...new Array(8).fill(0x80), 0x00);
  assert.deepEqual(messages.decodePing(long), { seq: 5 });
  assert.deepEqual(messages.decodeGetHostRequest(long), { seq: 5, modId: 0, cmdId: 0 });
});

test("text that is not UTF-8 is refused", () => {
  assert.deepEqual(outcome("decodeHello", bytes(0x12, 0x02, 0xc3, 0x28)), { refused: true });
  const host = bytes(0x1a, 0x05, 0x8a, 0x01, 0x02, 0xc3, 0x28);
  assert.deepEqual(outcome("decodeGetRouteResponse", host), { refused: true });
});

test("a node may not reach past the message it stands in", () => {
  // The node says 4 bytes but its inner field wants 5 of the bytes that follow.
  const body = bytes(0x2a, 0x02, 0x08, 0x80, 0x01);
  assert.deepEqual(outcome("decodeGetHostResponse", body), { refused: true });
});

test("numbers of 64 bits above 2^53 - 1 are refused", () => {
  const tooLarge = bytes(0x80, 0x01, ...new Array(9).fill(0xff), 0x01);
  assert.deepEqual(outcome("decodeGetRouteResponse", tooLarge), { refused: true });
});

test("a node sent twice is merged and the last of a number wins", () => {
  const body = bytes(0x08, 1, 0x08, 2, 0x2a, 2, 0x08, 9, 0x2a, 2, 0x10, 8);
  assert.deepEqual(outcome("decodeGetHostResponse", body), {
    message: { seq: 2, modId: 0, cmdId: 0, retcode: 0, host: { ip: 9, port: 8 } },
  });
});

test("a report without a node reads as 0.0.0.0:0", () => {
  assert.deepEqual(outcome("decodeReportRequest", bytes(0x08, 1)), {
    message: { modId: 1, cmdId: 0, host: { ip: 0, port: 0 }, retcode: 0 },
  });
});
