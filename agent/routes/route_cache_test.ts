import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HostInfo } from "../../proto/codec.ts";
import {
  type PackedRoute,
  packRoute,
  pickableCount,
  sameRoute,
  unpackNodes,
} from "./packed_route.ts";
import { crc32 } from "../../reactor/crc32.ts";
import { decodeRouteCache, encodeRouteCache } from "./route_cache.ts";

const hostArbitrary = fc.record({
  ip: fc.integer({ min: 0, max: 0xffffffff }),
  port: fc.integer({ min: 1, max: 65535 }),
  weight: fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined }),
  zone: fc.option(fc.constantFrom("", "a", "zone two", "Zürich ⛰"), { nil: undefined }),
  state: fc.constantFrom(undefined, "drain" as const),
});
const routeArbitrary = fc.tuple(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.array(hostArbitrary, { maxLength: 20 }),
  fc.constantFrom("", "{}", '{"note":"Zürich ⛰"}'),
).map(([modId, cmdId, hosts, policy]) => packRoute(modId, cmdId, hosts, policy).route);

function decoded(bytes: Uint8Array): PackedRoute[] {
  const result = decodeRouteCache(bytes);
  assert.ok(result.ok, result.ok ? "" : result.reason);
  return result.routes;
}

test("crc32() gives the check value of the standard", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

test("packRoute() keeps every node, with defaults for what is not named", () => {
  const { route, cut } = packRoute(1, 2, [
    { ip: 0xffffffff, port: 65535, weight: 7, zone: "a" },
    { ip: 1, port: 1 },
    { ip: 2, port: 2, zone: "a" },
    { ip: 6, port: 6, state: "drain" },
    { ip: 3, port: 0 },
    { ip: 4, port: 65536 },
    { ip: 5, port: 0xffffffff },
  ]);
  assert.equal(cut, 3);
  assert.deepEqual(unpackNodes(route), [
    { ip: 0xffffffff, port: 65535, weight: 7, zone: "a" },
    { ip: 1, port: 1, weight: 100, zone: "" },
    { ip: 2, port: 2, weight: 100, zone: "a" },
    { ip: 6, port: 6, weight: 100, zone: "", state: "drain" },
  ]);
  assert.equal(pickableCount(route), 3);
  assert.deepEqual(packRoute(1, 1, [{ ip: 1, port: 1 }, { ip: 2, port: 1 }], "", 1).cut, 1);
});

test("sameRoute() sees every kind of difference", () => {
  const base: HostInfo[] = [{ ip: 1, port: 1, weight: 1, zone: "a" }, { ip: 2, port: 2 }];
  const pack = (hosts: HostInfo[]): PackedRoute => packRoute(1, 1, hosts).route;
  assert.ok(sameRoute(pack(base), pack(structuredClone(base))));
  const others: HostInfo[][] = [
    [],
    base.slice(0, 1),
    [...base].reverse(),
    [{ ...base[0], ip: 9 }, base[1]],
    [{ ...base[0], port: 9 }, base[1]],
    [{ ...base[0], weight: 9 }, base[1]],
    [{ ...base[0], zone: "b" }, base[1]],
    [{ ...base[0], zone: "" }, base[1]],
    [{ ...base[0], state: "drain" }, base[1]],
  ];
  assert.equal(sameRoute(pack(base), packRoute(1, 1, base, "{}").route), false);
  for (const other of others) assert.equal(sameRoute(pack(base), pack(other)), false);
});

test("decodeRouteCache() gives back what encodeRouteCache() was given", () => {
  fc.assert(fc.property(fc.array(routeArbitrary, { maxLength: 10 }), fc.double(), (routes, at) => {
    const { bytes, leftOut } = encodeRouteCache(routes, at);
    const result = decodeRouteCache(bytes);
    assert.equal(leftOut, 0);
    assert.ok(result.ok);
    assert.deepEqual(result.routes, routes);
    assert.ok(Object.is(result.savedAtMs, at));
  }));
});

test("decodeRouteCache() refuses a file that is cut short at any byte, or lengthened", () => {
  const { bytes } = encodeRouteCache([packRoute(1, 1, [{ ip: 1, port: 1, zone: "z" }]).route], 5);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(decodeRouteCache(bytes.slice(0, length)).ok, false);
  }
  assert.equal(decodeRouteCache(new Uint8Array([...bytes, 0])).ok, false);
  assert.equal(decoded(bytes).length, 1);
});

test("decodeRouteCache() refuses a file with any one bit changed", () => {
  const { bytes } = encodeRouteCache([packRoute(1, 1, [{ ip: 1, port: 1, zone: "z" }]).route], 5);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const broken = bytes.slice();
    broken[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(decodeRouteCache(broken).ok, false);
  }
});

test("decodeRouteCache() says why, and trusts no number even under a valid checksum", () => {
  const make = (change: (view: DataView) => void): Uint8Array => {
    const { bytes } = encodeRouteCache([packRoute(1, 1, [{ ip: 1, port: 1, zone: "z" }]).route], 5);
    const view = new DataView(bytes.buffer);
    change(view);
    view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, bytes.length - 4)), true);
    return bytes;
  };
  const noCrc = encodeRouteCache([], 0).bytes;
  noCrc[21] ^= 1;
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(3), /truncated: 3 bytes/],
    [new Uint8Array(100), /not a route cache/],
    [make((view) => view.setUint32(4, 1, true)), /version 1 is not 3/],
    [noCrc, /corrupt or truncated/],
    [make((view) => view.setUint32(16, 0xffffffff, true)), /module 1 of 4294967295/],
    [make((view) => view.setUint32(16, 0, true)), /bytes follow/],
    [make((view) => view.setUint32(28, 0xffffffff, true)), /module 0 of 1/],
    [make((view) => view.setUint16(32, 0xffff, true)), /module 0 of 1/],
    [make((view) => view.setUint16(55, 0xffff, true)), /module 0 of 1/],
    // Without the name that is the policy: what follows is one name longer.
    [make((view) => view.setUint16(32, 0, true)), /module 0 of 1|bytes follow/],
    // Layout: header 20, module 14, stamp 21, policy 2, zone 2 + 1, then ip at 60, port at 64, zone
    // at 68, drained at 70.
    [make((view) => view.setUint8(34, 4)), /module 0 of 1/],
    [make((view) => view.setFloat64(35, -1, true)), /module 0 of 1/],
    [make((view) => view.setUint16(64, 0, true)), /module 0 of 1/],
    [make((view) => view.setUint16(68, 2, true)), /module 0 of 1/],
    [make((view) => view.setUint8(70, 2)), /module 0 of 1/],
  ];
  for (const [bytes, pattern] of cases) {
    const result = decodeRouteCache(bytes);
    assert.ok(!result.ok);
    assert.match(result.reason, pattern);
  }
});

test("encodeRouteCache() leaves out what does not fit, and counts it", () => {
  const routes = [1, 2, 3].map((modId) => packRoute(modId, 1, [{ ip: 1, port: 1 }]).route);
  // 24 bytes around, 48 for each module with one node.
  const { bytes, leftOut } = encodeRouteCache(routes, 0, 24 + 96);
  assert.deepEqual([bytes.length, leftOut], [120, 1]);
  assert.deepEqual(decoded(bytes).map((route) => route.modId), [1, 2]);
});

test("a cache keeps which route it has and how new it is, and one of before is read without", () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((modId) =>
    packRoute(modId, 1, [{ ip: modId, port: 1 }]).route
  );
  const digest = new Uint8Array(8).fill(7);
  const plan = { epoch: 1_700_000_000, version: 4_294_967_295 };
  const stamped = [
    { ...one, stamp: { digest, plan } },
    { ...two, stamp: { digest, plan: undefined } },
    { ...three, stamp: { digest: undefined, plan } },
    four,
  ];
  assert.deepEqual(decoded(encodeRouteCache(stamped, 0).bytes), stamped);
  const { bytes } = encodeRouteCache([one], 0);
  const before = new Uint8Array([...bytes.subarray(0, 34), ...bytes.subarray(34 + 21)]);
  const view = new DataView(before.buffer);
  view.setUint32(4, 2, true);
  view.setUint32(before.length - 4, crc32(before.subarray(0, before.length - 4)), true);
  assert.deepEqual(decoded(before), [one]);
});
