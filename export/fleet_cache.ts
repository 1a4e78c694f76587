// Core. What an export knew last as the bytes of one file, so that it goes on after a restart while
// dns is away.

import type { CacheFormat } from "../daemon/cache_file.ts";
import { CACHE_BYTES_MAX } from "../agent/routes/route_cache.ts";
import { crc32 } from "../reactor/crc32.ts";
import { decodeGetRouteResponse, encodeGetRouteResponse, type HostInfo } from "../proto/codec.ts";
import { messageOf } from "../reactor/errors.ts";
import type { ModuleKey } from "../model/module.ts";

/** First bytes of the file: "LARX". */
const MAGIC = 0x5852414c;
/** Changes whenever the layout does; other versions are not read. */
const FLEET_CACHE_VERSION = 1;
/** Magic, version, time of writing, number of modules. */
const HEADER_BYTES = 4 + 4 + 8 + 4;
/** Whether the route is known, length of the message behind it. */
const RECORD_BYTES = 1 + 4;
const CRC_BYTES = 4;

/** A module there is. */
export interface CachedModule extends ModuleKey {
  /** "" = it has none. */
  readonly name: string;
  /** As they came from dns; undefined: nobody has wanted them. */
  readonly hosts: readonly HostInfo[] | undefined;
}

/**
 * Little-endian: header, then for each module whether its route is known and a message 2 with its
 * name and nodes, then the CRC-32 of all bytes before it. Modules that do not fit are left out.
 */
function encode(
  modules: Iterable<CachedModule>,
  savedAtMs: number,
): { bytes: Uint8Array; leftOut: number } {
  const records: { isKnown: boolean; body: Uint8Array }[] = [];
  let size = HEADER_BYTES + CRC_BYTES;
  let leftOut = 0;
  for (const { modId, cmdId, name, hosts } of modules) {
    const named = name === "" ? {} : { name };
    const body = encodeGetRouteResponse({ modId, cmdId, hosts: [...hosts ?? []], ...named });
    if (size + RECORD_BYTES + body.length > CACHE_BYTES_MAX) {
      leftOut++;
      continue;
    }
    size += RECORD_BYTES + body.length;
    records.push({ isKnown: hosts !== undefined, body });
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, FLEET_CACHE_VERSION, true);
  view.setFloat64(8, savedAtMs, true);
  view.setUint32(16, records.length, true);
  let at = HEADER_BYTES;
  for (const { isKnown, body } of records) {
    view.setUint8(at, Number(isKnown));
    view.setUint32(at + 1, body.length, true);
    bytes.set(body, at + RECORD_BYTES);
    at += RECORD_BYTES + body.length;
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return { bytes, leftOut };
}

function decode(bytes: Uint8Array): ReturnType<CacheFormat<CachedModule>["decode"]> {
  const fail = (reason: string) => ({ ok: false, reason }) as const;
  const end = bytes.length - CRC_BYTES;
  if (end < HEADER_BYTES) return fail(`truncated: ${bytes.length} bytes are less than a header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) return fail("not a cache of exports");
  const version = view.getUint32(4, true);
  if (version !== FLEET_CACHE_VERSION) {
    return fail(`version ${version} is not ${FLEET_CACHE_VERSION}`);
  }
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    return fail("corrupt or truncated: the checksum does not match");
  }
  const count = view.getUint32(16, true);
  const routes: CachedModule[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const length = at + RECORD_BYTES <= end ? view.getUint32(at + 1, true) : Infinity;
    const from = at + RECORD_BYTES;
    if (from + length > end) return fail(`module ${i} of ${count} does not fit its file`);
    try {
      const message = decodeGetRouteResponse(bytes.subarray(from, from + length));
      const { modId, cmdId, hosts, name = "" } = message;
      routes.push({ modId, cmdId, name, hosts: view.getUint8(at) === 1 ? hosts : undefined });
    } catch (error) {
      return fail(`module ${i} of ${count} cannot be read: ${messageOf(error)}`);
    }
    at = from + length;
  }
  if (at !== end) return fail(`${end - at} bytes follow the last module`);
  return { ok: true, savedAtMs: view.getFloat64(8, true), routes };
}

/** The modules, names and routes that an export knew. */
export const fleetCacheFormat = {
  fileName: "exports.cache",
  bytesMax: CACHE_BYTES_MAX,
  encode,
  decode,
} as const satisfies CacheFormat<CachedModule>;
