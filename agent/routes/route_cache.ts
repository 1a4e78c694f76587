// Core. Routes as the bytes of one file that says whether it is whole.

import type { RouteStamp } from "../../feed/route_subscriber.ts";
import type { CacheFormat } from "../../daemon/cache_file.ts";
import { crc32 } from "../../reactor/crc32.ts";
import type { PackedRoute } from "./packed_route.ts";

const DIGEST_BYTES = 8;

/** First bytes of the file: "LARS". */
const MAGIC = 0x5352414c;
/** Changes whenever the layout does; other versions are not read. */
export const CACHE_VERSION = 3;
/** The layout before, without stamps, which is read too. */
const UNSTAMPED_VERSION = 2;
/**
 * Largest file that is written or read; 10,000 modules of 20 nodes take 2.4 MB. Modules that do not
 * fit are left out and counted.
 */
export const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Magic, version, time of writing, number of modules. */
const HEADER_BYTES = 4 + 4 + 8 + 4;
/** modId, cmdId, number of nodes, number of names: the policy, and the zones but the first. */
const MODULE_BYTES = 4 + 4 + 4 + 2;
/** What of it there is (1 the digest, 2 the plan), epoch, version, digest. */
const STAMP_BYTES = 1 + 8 + 4 + DIGEST_BYTES;
/** ip, port, weight, zone, drained. */
const NODE_BYTES = 4 + 2 + 2 + 2 + 1;
const CRC_BYTES = 4;

/** What a file held, or why it cannot be used. */
export type DecodedCache =
  | { readonly ok: true; readonly savedAtMs: number; readonly routes: PackedRoute[] }
  | { readonly ok: false; readonly reason: string };

function nameBytes(route: PackedRoute): Uint8Array[] {
  const encoder = new TextEncoder();
  const names = [route.policy, ...route.zoneNames.slice(1)];
  return names.map((name) => encoder.encode(name).slice(0, 65535));
}

function routeBytes(route: PackedRoute, zones: readonly Uint8Array[]): number {
  const names = zones.reduce((sum, name) => sum + 2 + name.length, 0);
  return MODULE_BYTES + STAMP_BYTES + names + NODE_BYTES * route.ips.length;
}

/**
 * Routes as a file. Little-endian: header, then for each module its policy, zone names and nodes, then the
 * CRC-32 of all bytes before it.
 *
 * @param savedAtMs Wall clock, milliseconds since 1970.
 */
export function encodeRouteCache(
  routes: Iterable<PackedRoute>,
  savedAtMs: number,
  bytesMax = CACHE_BYTES_MAX,
): { bytes: Uint8Array; leftOut: number } {
  const kept: { route: PackedRoute; zones: Uint8Array[] }[] = [];
  let size = HEADER_BYTES + CRC_BYTES;
  let leftOut = 0;
  for (const route of routes) {
    const zones = nameBytes(route);
    const more = routeBytes(route, zones);
    if (size + more > bytesMax) {
      leftOut++;
      continue;
    }
    size += more;
    kept.push({ route, zones });
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, CACHE_VERSION, true);
  view.setFloat64(8, savedAtMs, true);
  view.setUint32(16, kept.length, true);
  let at = HEADER_BYTES;
  for (const { route, zones } of kept) at = writeRoute(bytes, view, at, route, zones);
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return { bytes, leftOut };
}

function writeRoute(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  route: PackedRoute,
  zones: readonly Uint8Array[],
): number {
  view.setUint32(start, route.modId, true);
  view.setUint32(start + 4, route.cmdId, true);
  view.setUint32(start + 8, route.ips.length, true);
  view.setUint16(start + 12, zones.length, true);
  let at = start + MODULE_BYTES;
  writeStamp(bytes, view, at, route.stamp);
  at += STAMP_BYTES;
  for (const name of zones) {
    view.setUint16(at, name.length, true);
    bytes.set(name, at + 2);
    at += 2 + name.length;
  }
  for (let i = 0; i < route.ips.length; i++, at += NODE_BYTES) {
    view.setUint32(at, route.ips[i], true);
    view.setUint16(at + 4, route.ports[i], true);
    view.setUint16(at + 6, route.weights[i], true);
    view.setUint16(at + 8, route.zones[i], true);
    view.setUint8(at + 10, route.drains[i]);
  }
  return at;
}

function writeStamp(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  { digest, plan }: Partial<RouteStamp> = {},
): void {
  const hasDigest = digest?.length === DIGEST_BYTES;
  view.setUint8(start, Number(hasDigest) + 2 * Number(plan !== undefined));
  view.setFloat64(start + 1, plan?.epoch ?? 0, true);
  view.setUint32(start + 9, plan?.version ?? 0, true);
  if (hasDigest) bytes.set(digest, start + 13);
}

/** Undefined: there is none; null: it is none. */
function readStamp(
  bytes: Uint8Array,
  view: DataView,
  start: number,
): RouteStamp | undefined | null {
  const has = view.getUint8(start);
  const epoch = view.getFloat64(start + 1, true);
  if (has > 3 || !Number.isSafeInteger(epoch) || epoch < 0) return null;
  if (has === 0) return undefined;
  const plan = has >= 2 ? { epoch, version: view.getUint32(start + 9, true) } : undefined;
  const digest = has % 2 === 1 ? bytes.slice(start + 13, start + STAMP_BYTES) : undefined;
  return { digest, plan };
}

/** Reads a file. Whatever the bytes are, it returns; it never trusts a number it has not checked. */
export function decodeRouteCache(bytes: Uint8Array): DecodedCache {
  const fail = (reason: string): DecodedCache => ({ ok: false, reason });
  if (bytes.length < HEADER_BYTES + CRC_BYTES) {
    return fail(`truncated: ${bytes.length} bytes are less than a header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) return fail("not a route cache");
  const version = view.getUint32(4, true);
  if (version !== CACHE_VERSION && version !== UNSTAMPED_VERSION) {
    return fail(`version ${version} is not ${CACHE_VERSION}`);
  }
  const end = bytes.length - CRC_BYTES;
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    return fail("corrupt or truncated: the checksum does not match");
  }
  const count = view.getUint32(16, true);
  const routes: PackedRoute[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const read = readRoute(bytes, view, at, end, version === CACHE_VERSION);
    if (read === undefined) return fail(`module ${i} of ${count} does not fit its file`);
    routes.push(read.route);
    at = read.at;
  }
  if (at !== end) return fail(`${end - at} bytes follow the last module`);
  return { ok: true, savedAtMs: view.getFloat64(8, true), routes };
}

function readRoute(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  isStamped: boolean,
): { route: PackedRoute; at: number } | undefined {
  const headBytes = MODULE_BYTES + (isStamped ? STAMP_BYTES : 0);
  if (start + headBytes > end) return undefined;
  const stamp = isStamped ? readStamp(bytes, view, start + MODULE_BYTES) : undefined;
  if (stamp === null) return undefined;
  const nodeCount = view.getUint32(start + 8, true);
  const zoneCount = view.getUint16(start + 12, true);
  const decoder = new TextDecoder();
  const names: string[] = [];
  let at = start + headBytes;
  for (let i = 0; i < zoneCount; i++) {
    const length = at + 2 <= end ? view.getUint16(at, true) : Infinity;
    if (at + 2 + length > end) return undefined;
    names.push(decoder.decode(bytes.subarray(at + 2, at + 2 + length)));
    at += 2 + length;
  }
  const [policy, ...otherZones] = names;
  if (policy === undefined || at + nodeCount * NODE_BYTES > end) return undefined;
  const zoneNames = ["", ...otherZones];
  const ips = new Uint32Array(nodeCount);
  const ports = new Uint16Array(nodeCount);
  const weights = new Uint16Array(nodeCount);
  const zones = new Uint16Array(nodeCount);
  const drains = new Uint8Array(nodeCount);
  for (let i = 0; i < nodeCount; i++, at += NODE_BYTES) {
    ips[i] = view.getUint32(at, true);
    ports[i] = view.getUint16(at + 4, true);
    weights[i] = view.getUint16(at + 6, true);
    zones[i] = view.getUint16(at + 8, true);
    drains[i] = view.getUint8(at + 10);
    if (ports[i] === 0 || zones[i] >= zoneNames.length || drains[i] > 1) return undefined;
  }
  const modId = view.getUint32(start, true);
  const cmdId = view.getUint32(start + 4, true);
  const plain = { modId, cmdId, ips, ports, weights, zones, zoneNames, drains, policy };
  const route = stamp === undefined ? plain : { ...plain, stamp };
  return { route, at };
}

/** Name of the file in `cache_dir`. */
export const CACHE_FILE_NAME = "routes.cache";

/** The routes of an agent. */
export const agentCacheFormat: CacheFormat<PackedRoute> = {
  fileName: CACHE_FILE_NAME,
  bytesMax: CACHE_BYTES_MAX,
  encode: encodeRouteCache,
  decode: decodeRouteCache,
};
