import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FRAME_BODY_BYTES_MAX, FrameDecoder } from "../reactor/frame.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  decodeGetRouteResponse,
  decodeRoutePart,
  encodeGetRouteResponse,
  type HostInfo,
} from "../proto/codec.ts";
import type { RouteRow } from "../sql/store.ts";
import { RouteFrameCache, type RouteFrames, routeFrames } from "./route_frames.ts";
import { buildSnapshot } from "./route_snapshot.ts";
import { RouteTable } from "./route_table.ts";

function frameList(bytes: Uint8Array): { msgId: number; body: Uint8Array }[] {
  const frames: { msgId: number; body: Uint8Array }[] = [];
  const decoder = new FrameDecoder();
  decoder.push(bytes, (msgId, body) => frames.push({ msgId, body: body.slice() }));
  assert.equal(decoder.pendingBytes, 0);
  return frames;
}

function framesOf(
  rows: readonly RouteRow[],
  modId: number,
  cmdId: number,
  revision: number,
  extras: { policy?: string; name?: string; meant?: boolean; guarded?: boolean } = {},
): { frames: RouteFrames; cuts: number[][] } {
  const snapshot = buildSnapshot(rows);
  const cuts: number[][] = [];
  const { policy = "", name = "", meant = false, guarded = false } = extras;
  const index = snapshot.find(modId, cmdId);
  const plan = { epoch: 2 ** 52, version: 2 ** 32 - 1 };
  const view = { modId, cmdId, revision, snapshot, index, policy, name, meant, guarded, plan };
  const frames = routeFrames(() => view, (...cut) => cuts.push(cut));
  return { frames, cuts };
}

function expectedHosts(rows: readonly RouteRow[], extended: boolean): HostInfo[] {
  const sorted = [...rows].sort((a, b) => a.ip - b.ip || a.port - b.port);
  const hosts = sorted.map(({ ip, port, weight, zone, state }): HostInfo => ({
    ip,
    port,
    ...(extended && weight !== 100 ? { weight } : {}),
    ...(extended && zone !== "" ? { zone } : {}),
    ...(state === "drain" ? { state } : {}),
  }));
  const pickable = hosts.filter(({ state }) => state === undefined);
  return extended ? [...pickable, ...hosts.filter(({ state }) => state === "drain")] : pickable;
}

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);

test("both forms of any route decode to the route", () => {
  const nodes = fc.uniqueArray(
    fc.record({
      ip: uint32,
      port: fc.integer({ min: 1, max: 65_535 }),
      weight: fc.constantFrom(0, 1, 100, 127, 128, 10_000),
      zone: fc.constantFrom("", "a", "zürich", "z".repeat(64)),
      state: fc.constantFrom("on" as const, "on" as const, "drain" as const),
    }),
    { selector: ({ ip, port }) => `${ip}:${port}`, maxLength: 30 },
  );
  const extras = fc.record({
    policy: fc.constantFrom("", "{}", '{"note":"ü"}', `{"long":"${"x".repeat(4000)}"}`),
    name: fc.constantFrom("", "pay", "ü".repeat(128)),
    meant: fc.boolean(),
    guarded: fc.boolean(),
  });
  const revision = fc.integer({ min: 0, max: 2 ** 53 - 1 });
  fc.assert(
    fc.property(
      uint32,
      uint32,
      nodes,
      revision,
      extras,
      (m, c, n, r, { policy, name, meant, guarded }) => {
        const rows = n.map((node): RouteRow => ({ ...node, modId: m, cmdId: c }));
        const { frames, cuts } = framesOf(rows, m, c, r, { policy, name, meant, guarded });
        const [legacy, ...more] = frameList(frames.legacy);
        assert.equal(more.length, 0);
        assert.equal(legacy.msgId, MessageId.GetRouteResponse);
        assert.deepEqual(decodeGetRouteResponse(legacy.body), {
          modId: m,
          cmdId: c,
          hosts: expectedHosts(rows, false),
        });
        const [extended] = frameList(frames.extended);
        assert.equal(extended.msgId, MessageId.GetRouteResponse);
        assert.deepEqual(decodeGetRouteResponse(extended.body), {
          modId: m,
          cmdId: c,
          hosts: expectedHosts(rows, true),
          revision: r,
          ...{ epoch: 2 ** 52, version: 2 ** 32 - 1, digest: frames.digest },
          ...(policy === "" ? {} : { policy }),
          ...(meant ? { meant } : {}),
          ...(guarded ? { guarded } : {}),
          ...(name === "" ? {} : { name }),
        });
        assert.deepEqual(cuts, []);
      },
    ),
  );
});

test("the legacy form has the very bytes of the plain codec when nothing is zero", () => {
  const rows = [1, 200, 2 ** 32 - 2].map((ip): RouteRow => ({
    modId: 1,
    cmdId: 2 ** 31,
    ip,
    port: 8080,
    weight: 7,
    zone: "a",
    state: "on",
  }));
  const { frames } = framesOf(rows, 1, 2 ** 31, 9);
  const plain = encodeGetRouteResponse({
    modId: 1,
    cmdId: 2 ** 31,
    hosts: expectedHosts(rows, false),
  });
  assert.deepEqual([...frames.legacy.subarray(8)], [...plain]);
});

function manyRows(count: number, zone: string): RouteRow[] {
  return Array.from({ length: count }, (_, i) => ({
    modId: 1,
    cmdId: 1,
    ip: 0xc0a80000 + i,
    port: 20_000 + i % 1000,
    weight: 100 + i % 2,
    zone,
    state: "on" as const,
  }));
}

test("20,000 nodes reach an extended peer whole in parts, and a legacy peer as one legal frame", () => {
  const rows = manyRows(20_000, "east");
  const { frames, cuts } = framesOf(rows, 1, 1, 77);
  const parts = frameList(frames.extended);
  const hosts: HostInfo[] = [];
  for (const [index, { msgId, body }] of parts.entries()) {
    assert.equal(msgId, MessageId.RoutePart);
    assert.ok(body.length <= FRAME_BODY_BYTES_MAX);
    const part = decodeRoutePart(body);
    assert.deepEqual(
      [part.modId, part.cmdId, part.part, part.partCount, part.revision],
      [1, 1, index, parts.length, 77],
    );
    hosts.push(...part.hosts);
  }
  assert.deepEqual(hosts, expectedHosts(rows, true));
  assert.deepEqual(cuts, []);
  const legacy = frameList(frames.legacy);
  assert.equal(legacy.length, 1);
  assert.ok(legacy[0].body.length <= FRAME_BODY_BYTES_MAX);
  assert.ok(legacy[0].body.length > FRAME_BODY_BYTES_MAX - 100);
  const { hosts: cutHosts } = decodeGetRouteResponse(legacy[0].body);
  assert.deepEqual(cutHosts, expectedHosts(rows, false).slice(0, cutHosts.length));
  assert.deepEqual(cuts, [[1, 1, cutHosts.length, 20_000]]);
});

test("every part of a long route has policy, name and mark, and drained nodes are told apart", () => {
  const rows = manyRows(20_000, "east").map((row, i): RouteRow => ({
    ...row,
    state: i % 10 === 0 ? "drain" : "on",
  }));
  const policy = `{"long":"${"x".repeat(4000)}"}`;
  // Foreign hands may have stored a longer one than there can be.
  const stored = "€".repeat(300);
  const name = "€".repeat(170);
  const { frames, cuts } = framesOf(rows, 1, 1, 77, {
    policy,
    name: stored,
    meant: true,
    guarded: true,
  });
  const hosts: HostInfo[] = [];
  for (const { body } of frameList(frames.extended)) {
    assert.ok(body.length <= FRAME_BODY_BYTES_MAX);
    const part = decodeRoutePart(body);
    assert.deepEqual([part.policy, part.name, part.meant, part.guarded], [
      policy,
      name,
      true,
      true,
    ]);
    hosts.push(...part.hosts);
  }
  const byIp = (a: HostInfo, b: HostInfo): number => a.ip - b.ip;
  assert.deepEqual(hosts.sort(byIp), expectedHosts(rows, true).sort(byIp));
  const [legacy] = frameList(frames.legacy);
  const cutHosts = decodeGetRouteResponse(legacy.body).hosts;
  assert.deepEqual(cutHosts, expectedHosts(rows, false).slice(0, cutHosts.length));
  assert.deepEqual(cuts, [[1, 1, cutHosts.length, 18_000]]);
});

test("a policy that is too long to be ours is not sent", () => {
  const { frames } = framesOf(manyRows(1, ""), 1, 1, 1, { policy: "x".repeat(5000) });
  assert.equal(decodeGetRouteResponse(frameList(frames.extended)[0].body).policy, undefined);
});

test("frames around the size of one frame never exceed it and lose nothing", () => {
  for (let count = 3500; count < 3700; count += 1) {
    const rows = manyRows(count, "");
    const { frames } = framesOf(rows, 1, 1, 2 ** 53 - 1);
    let hosts = 0;
    for (const { msgId, body } of frameList(frames.extended)) {
      assert.ok(body.length <= FRAME_BODY_BYTES_MAX);
      hosts += msgId === MessageId.RoutePart
        ? decodeRoutePart(body).hosts.length
        : decodeGetRouteResponse(body).hosts.length;
    }
    assert.equal(hosts, count);
  }
});

test("a zone name that is too long is cut between characters", () => {
  const { frames } = framesOf([{ ...manyRows(1, "ä".repeat(300))[0], ip: 3 }], 1, 1, 1);
  const [{ body }] = frameList(frames.extended);
  assert.equal(decodeGetRouteResponse(body).hosts[0].zone, "ä".repeat(127));
});

test("RouteFrameCache encodes once per revision and stays within its bytes", () => {
  const table = new RouteTable(0);
  table.beginReload();
  const rows = manyRows(100, "").flatMap((one, modId) => [{ ...one, modId }]);
  const steps = table.install(buildSnapshot(rows));
  while (!steps.next().done);
  const cache = new RouteFrameCache(table, undefined, 3000);
  const first = cache.get(5, 1);
  assert.equal(cache.get(5, 1), first);
  assert.equal(cache.get(5, 1).legacy, first.legacy);
  for (let modId = 0; modId < 100; modId++) cache.get(modId, 1);
  assert.ok(cache.heldBytes <= 3000);
  assert.notEqual(cache.get(5, 1), first);
  const before = cache.get(5, 1);
  table.replaceModules([{ modId: 5, cmdId: 1 }], []);
  assert.notEqual(cache.get(5, 1).revision, before.revision);
  for (let modId = 200; modId < 1000; modId++) cache.get(modId, 1);
  assert.ok(cache.heldBytes <= 3000);
});

test("a form first asked for after a change is the newest, so that no old routes are kept", () => {
  const table = new RouteTable(0);
  const cache = new RouteFrameCache(table);
  const [one, two] = manyRows(2, "");
  const keys = [{ modId: 1, cmdId: 1 }];
  table.replaceModules(keys, [one]);
  const frames = cache.get(1, 1);
  const hostsOf = (bytes: Uint8Array): number =>
    decodeGetRouteResponse(frameList(bytes)[0].body).hosts.length;
  assert.equal(hostsOf(frames.legacy), 1);
  table.replaceModules(keys, [one, two]);
  assert.deepEqual([hostsOf(frames.legacy), hostsOf(frames.extended)], [1, 2]);
  assert.equal(hostsOf(cache.get(1, 1).legacy), 2);
});

test("a digest is that of nodes, policy and name, and of nothing else", () => {
  const node: RouteRow = {
    modId: 1,
    cmdId: 1,
    ip: 1,
    port: 80,
    weight: 100,
    zone: "a",
    state: "on",
  };
  const other = { ...node, ip: 2, zone: "" };
  const digestOf = (rows: readonly RouteRow[], extras = {}, revision = 1): string =>
    String(framesOf(rows, 1, 1, revision, extras).frames.digest);
  const base = digestOf([node, other]);
  assert.equal(
    digestOf([other, node], {}, 99),
    base,
    "the order of rows and the revision are not told",
  );
  assert.equal(digestOf([node, other], { meant: true, guarded: true }), base);
  const differing = [
    digestOf([]),
    digestOf([node]),
    digestOf([{ ...node, port: 81 }, other]),
    digestOf([{ ...node, weight: 99 }, other]),
    digestOf([{ ...node, zone: "b" }, other]),
    digestOf([{ ...node, state: "drain" }, other]),
    digestOf([node, other], { policy: "{}" }),
    digestOf([node, other], { name: "{}" }),
  ];
  assert.equal(new Set([base, ...differing]).size, differing.length + 1);
});
