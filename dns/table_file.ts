// Core. The routes of dns as the bytes of one file that says whether it is whole, and from which
// state of the database it is.

import type { CacheFormat, EncodedCache } from "../daemon/cache_file.ts";
import type { DatabaseState } from "../model/database_state.ts";
import { type ModuleId, moduleId } from "../model/module.ts";
import type { RouteRow, SeenChange } from "../sql/store.ts";
import { crc32 } from "../reactor/crc32.ts";
import type { KeptModule, ModuleExtras } from "./route_table.ts";
import type { PollerMemory } from "./version_poller.ts";

/** First bytes of the file: "LARD". */
const MAGIC = 0x4452414c;
/** Changes whenever the layout does; other versions are not read. */
export const TABLE_FILE_VERSION = 1;

/**
 * Largest file; 1,000,000 nodes in 50,000 modules take 15 MB. Modules that do not fit are left out, and
 * so are those that a foreign writer gave more zones, or longer texts, than the file can tell.
 */
export const TABLE_FILE_BYTES_MAX = 256 * 1024 * 1024;

/** Whether there is one ({@linkcode MUST_BE_THERE}: and what of it), and two numbers. */
const STATE_BYTES = 1 + 8 + 8;
/** In place of 1, of a change that must be there: those who do not know it take nothing of the file. */
const MUST_BE_THERE = 2;
/** Magic, version, time of writing, three states (the third of the change that was seen), modules. */
const HEADER_BYTES = 4 + 4 + 8 + 3 * STATE_BYTES + 4;
/** modId, cmdId, its state, whether there are extras, number of zones and of nodes. */
const MODULE_BYTES = 4 + 4 + STATE_BYTES + 1 + 2 + 4;
/** ip, port, weight, zone, whether it drains. */
const NODE_BYTES = 4 + 2 + 2 + 2 + 1;
const CRC_BYTES = 4;
/** Most zones of a module, and bytes of a text, that the file can tell. */
const ZONES_MAX = 65_535;
const TEXT_BYTES_MAX = 65_535;
/** Nodes and bytes between two steps. */
const STEP_NODES = 2_048;
const STEP_BYTES = 64 * 1024;

/** What a dns has to know after a restart. */
export interface KeptTable {
  readonly memory: PollerMemory;
  readonly modules: Iterable<KeptModule>;
}

/** Thrown for a module that has more than the file can tell; never leaves this file. */
class UnwritableError extends Error {}

/** Bytes that grow. */
class Writer {
  bytes = new Uint8Array(64 * 1024);
  at = 0;
  #view = new DataView(this.bytes.buffer);

  room(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.at + more));
    grown.set(this.bytes.subarray(0, this.at));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  uint8(value: number): void {
    this.#view.setUint8(this.at, value);
    this.at++;
  }

  uint16(value: number): void {
    this.#view.setUint16(this.at, value, true);
    this.at += 2;
  }

  uint32(value: number): void {
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  float64(value: number): void {
    this.#view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  state(first: number | undefined, second: number | undefined, kind = 1): void {
    this.uint8(first === undefined ? 0 : kind);
    this.float64(first ?? 0);
    this.float64(second ?? 0);
  }

  text(value: string): void {
    const utf8 = new TextEncoder().encode(value);
    if (utf8.length > TEXT_BYTES_MAX) throw new UnwritableError();
    this.room(2 + utf8.length);
    this.uint16(utf8.length);
    this.bytes.set(utf8, this.at);
    this.at += utf8.length;
  }
}

function* encode(tables: Iterable<KeptTable>, savedAtMs: number): Generator<void, EncodedCache> {
  const [table] = tables;
  const { plan, highest, seen } = table.memory;
  const writer = new Writer();
  writer.uint32(MAGIC);
  writer.uint32(TABLE_FILE_VERSION);
  writer.float64(savedAtMs);
  writer.state(plan.epoch, plan.version);
  writer.state(highest.epoch, highest.version);
  writer.state(seen?.id, seen?.version, seen?.mustBeThere === true ? MUST_BE_THERE : 1);
  const countAt = writer.at;
  writer.uint32(0);
  let count = 0;
  let leftOut = 0;
  let nodes = 0;
  for (const module of table.modules) {
    nodes += 1 + module.rows.length;
    if (nodes >= STEP_NODES) {
      nodes = 0;
      yield;
    }
    const start = writer.at;
    const isWritten = tryModule(writer, module);
    if (isWritten && writer.at + CRC_BYTES <= TABLE_FILE_BYTES_MAX) count++;
    else {
      writer.at = start;
      leftOut++;
    }
  }
  const end = writer.at;
  writer.at = countAt;
  writer.uint32(count);
  writer.at = end;
  writer.room(CRC_BYTES);
  let crc = 0;
  for (let at = 0; at < end; at += STEP_BYTES) {
    crc = crc32(writer.bytes.subarray(at, Math.min(end, at + STEP_BYTES)), crc);
    yield;
  }
  writer.uint32(crc);
  return { bytes: writer.bytes.subarray(0, writer.at), leftOut };
}

/** @returns false when the file cannot tell it. */
function tryModule(writer: Writer, module: KeptModule): boolean {
  try {
    writeModule(writer, module);
    return true;
  } catch (error) {
    if (error instanceof UnwritableError) return false;
    throw error;
  }
}

function writeModule(writer: Writer, { modId, cmdId, rows, extras, plan }: KeptModule): void {
  const zones = [...new Set(rows.map(({ zone }) => zone))];
  if (zones.length > ZONES_MAX) throw new UnwritableError();
  const zoneOf = new Map(zones.map((zone, index) => [zone, index]));
  writer.room(MODULE_BYTES);
  writer.uint32(modId);
  writer.uint32(cmdId);
  writer.state(plan?.epoch, plan?.version);
  writer.uint8(extras === undefined ? 0 : extras.mark === undefined ? 1 : 2);
  writer.uint16(zones.length);
  writer.uint32(rows.length);
  if (extras !== undefined) {
    writer.text(extras.policy);
    writer.text(extras.name);
    writer.text(extras.mark ?? "");
  }
  for (const zone of zones) writer.text(zone);
  writer.room(rows.length * NODE_BYTES);
  for (const { ip, port, weight, zone, state } of rows) {
    writer.uint32(ip);
    writer.uint16(port);
    writer.uint16(weight);
    writer.uint16(zoneOf.get(zone) ?? 0);
    writer.uint8(Number(state === "drain"));
  }
}

/** As {@linkcode Writer.state} wrote it. */
interface KeptState {
  readonly first: number;
  readonly second: number;
  readonly kind: number;
}

/** Thrown where the bytes are not what they should be; never leaves this file. */
class UnreadableError extends Error {}

/** Trusts no number that it has not checked. */
class Reader {
  readonly #view: DataView;
  readonly #decoder = new TextDecoder();

  constructor(readonly bytes: Uint8Array, public at: number, readonly end: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(count: number): number {
    const { at } = this;
    if (at + count > this.end) throw new UnreadableError("a number is beyond its end");
    this.at += count;
    return at;
  }

  uint8(max: number): number {
    const value = this.#view.getUint8(this.#take(1));
    if (value > max) throw new UnreadableError(`${value} is more than ${max}`);
    return value;
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  state(kindMax = 1): KeptState | undefined {
    const kind = this.uint8(kindMax);
    const [first, second] = [this.float64(), this.float64()];
    if ([first, second].some((one) => !Number.isSafeInteger(one) || one < 0)) {
      throw new UnreadableError("a state is none");
    }
    return kind === 0 ? undefined : { first, second, kind };
  }

  text(): string {
    const length = this.uint16();
    const from = this.#take(length);
    return this.#decoder.decode(this.bytes.subarray(from, from + length));
  }
}

function stateOf(kept: KeptState | undefined): DatabaseState | undefined {
  return kept && { epoch: kept.first, version: kept.second };
}

function seenOf(kept: KeptState | undefined): SeenChange | undefined {
  if (kept === undefined) return undefined;
  const { first: id, second: version, kind } = kept;
  return { id, version, ...(kind === MUST_BE_THERE ? { mustBeThere: true } : {}) };
}

function decode(bytes: Uint8Array): ReturnType<CacheFormat<KeptTable>["decode"]> {
  const fail = (reason: string) => ({ ok: false, reason }) as const;
  const end = bytes.length - CRC_BYTES;
  if (end < HEADER_BYTES) return fail(`truncated: ${bytes.length} bytes are less than a header`);
  const reader = new Reader(bytes, 0, end);
  if (reader.uint32() !== MAGIC) return fail("not a route table");
  const version = reader.uint32();
  if (version !== TABLE_FILE_VERSION) {
    return fail(`version ${version} is not ${TABLE_FILE_VERSION}`);
  }
  const crc = new DataView(bytes.buffer, bytes.byteOffset).getUint32(end, true);
  if (crc !== crc32(bytes.subarray(0, end))) {
    return fail("corrupt or truncated: the checksum does not match");
  }
  try {
    const savedAtMs = reader.float64();
    const [plan, highest, seen] = [reader.state(), reader.state(), reader.state(MUST_BE_THERE)];
    const count = reader.uint32();
    const modules = new Map<ModuleId, KeptModule>();
    for (let i = 0; i < count; i++) {
      const module = readModule(reader);
      modules.set(moduleId(module.modId, module.cmdId), module);
    }
    if (reader.at !== end) return fail(`${end - reader.at} bytes follow the last module`);
    const [all, most] = [stateOf(plan), stateOf(highest)];
    if (all === undefined || most === undefined) return fail("it does not say how new it is");
    const memory = { plan: all, highest: most, seen: seenOf(seen) };
    return { ok: true, savedAtMs, routes: [{ memory, modules: [...modules.values()] }] };
  } catch (error) {
    if (error instanceof UnreadableError) return fail(error.message);
    throw error;
  }
}

function readModule(reader: Reader): KeptModule {
  const [modId, cmdId] = [reader.uint32(), reader.uint32()];
  const plan = stateOf(reader.state());
  const kind = reader.uint8(2);
  const [zoneCount, nodeCount] = [reader.uint16(), reader.uint32()];
  let extras: ModuleExtras | undefined;
  if (kind > 0) {
    const [policy, name, mark] = [reader.text(), reader.text(), reader.text()];
    extras = { policy, name, mark: kind === 2 ? mark : undefined };
  }
  const zones = Array.from({ length: zoneCount }, () => reader.text());
  if (reader.at + nodeCount * NODE_BYTES > reader.end) {
    throw new UnreadableError(`the nodes of module ${modId},${cmdId} do not fit`);
  }
  const rows: RouteRow[] = [];
  for (let i = 0; i < nodeCount; i++) {
    const [ip, port, weight] = [reader.uint32(), reader.uint16(), reader.uint16()];
    const zone = zones[reader.uint16()];
    if (zone === undefined) throw new UnreadableError("a node has a zone that is none");
    const state = reader.uint8(1) === 1 ? "drain" : "on";
    rows.push({ modId, cmdId, ip, port, weight, zone, state });
  }
  return { modId, cmdId, rows, extras, plan };
}

/** The routes of a dns: one table in a file. */
export const tableFileFormat: CacheFormat<KeptTable> = {
  fileName: "dns.cache",
  bytesMax: TABLE_FILE_BYTES_MAX,
  count: ([table]) => table === undefined ? 0 : [...table.modules].length,
  encode,
  decode,
};
