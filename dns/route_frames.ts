// Core. A route as ready frames: the original's answer, and ours with weights, zones and parts.

import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { GetRouteResponseField, HostInfoField, RoutePartField } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { HEAD_BYTES, WireWriter } from "../proto/wire.ts";
import { MODULE_POLICY_BYTES_MAX, type ModuleId, moduleId } from "../model/module.ts";
import { hashText, hashWords } from "../balancer/picking/murmur3.ts";
import type { DatabaseState } from "../model/database_state.ts";
import type { RouteTable, RouteView } from "./route_table.ts";
import { WEIGHT_DEFAULT } from "../model/node.ts";

/**
 * Largest share of a body that is neither hosts nor policy: modId and cmdId (1 + 10 bytes each),
 * part and partCount (1 + 5 each), a revision (2 + 8), tags of the policy (2 + 3) and both marks (3),
 * epoch (2 + 8), version (2 + 5) and digest (3 + 8).
 */
const FIELDS_BYTES_MAX = 11 + 11 + 6 + 6 + 10 + 5 + 3 + 3 + 10 + 7 + 11;

/** Bytes left for hosts in one frame. */
const HOSTS_BYTES_MAX = FRAME_BODY_BYTES_MAX - FIELDS_BYTES_MAX;

/**
 * Longest zone name on the wire, in bytes; a longer one is cut. The column holds 64 characters, so
 * this only guards against foreign tables.
 */
const ZONE_BYTES_MAX = 255;

/** The same of a module: its column holds 128 characters of up to four bytes. */
const NAME_BYTES_MAX = 512;

/** Tag and length of a name. */
const NAME_HEAD_BYTES = 2 + 2;

/** Bytes of encoded routes kept for the next one who asks; beyond it the oldest are dropped. */
export const FRAME_CACHE_BYTES_MAX = 64 * 1024 * 1024;

/** What one entry of the cache costs beside its frames: key, object and map slot. */
const CACHE_ENTRY_BYTES = 256;

/** One route at one revision, framed and ready to send to any number of connections. */
export interface RouteFrames {
  readonly revision: number;
  /** True when the module has no nodes. */
  readonly nodeless: boolean;
  /** Exactly the original's message 2: only the first nodes when not all fit one frame. */
  readonly legacy: Uint8Array;
  /** Message 2 with our fields, or several of message 65 when one frame does not hold the route. */
  readonly extended: Uint8Array;
  /** 8 bytes of nodes, policy and name, the same of every dns. */
  readonly digest: Uint8Array;
  readonly plan: DatabaseState | undefined;
}

/** What the encoder tells of legacy frames that had to leave nodes out. */
export type CutListener = (modId: number, cmdId: number, sent: number, total: number) => void;

/**
 * Encodes each form of a route when it is first asked for, from the route as it is then: an object
 * that is kept for long must not keep an old snapshot of all routes alive. A form that is newer than
 * `revision` does no harm, because the change that made it so is about to be sent to everyone.
 */
class LazyRouteFrames implements RouteFrames {
  readonly revision: number;
  readonly nodeless: boolean;
  readonly #look: () => RouteView;
  readonly #onCut: CutListener | undefined;
  #legacy: Uint8Array | undefined;
  #extended: Uint8Array | undefined;
  #digest: Uint8Array | undefined;

  constructor(look: () => RouteView, onCut: CutListener | undefined) {
    const { revision, index } = look();
    this.revision = revision;
    this.nodeless = index < 0;
    this.#look = look;
    this.#onCut = onCut;
  }

  get legacy(): Uint8Array {
    if (this.#legacy === undefined) {
      const view = this.#look();
      const { frame, sent, total } = encodeLegacy(view);
      this.#legacy = frame;
      if (sent < total) this.#onCut?.(view.modId, view.cmdId, sent, total);
    }
    return this.#legacy;
  }

  get extended(): Uint8Array {
    this.#extended ??= encodeExtended(this.#look());
    return this.#extended;
  }

  get digest(): Uint8Array {
    this.#digest ??= routeDigest(this.#look());
    return this.#digest;
  }

  /** That of the route as it is now. */
  get plan(): DatabaseState | undefined {
    return this.#look().plan;
  }
}

/** Those of a module without nodes: of these there are many, asked for once, so nothing is kept. */
class NodelessFrames implements RouteFrames {
  readonly revision: number;
  readonly nodeless = true;
  readonly #table: RouteTable;
  readonly #modId: number;
  readonly #cmdId: number;

  constructor(table: RouteTable, { revision, modId, cmdId }: RouteView) {
    this.revision = revision;
    this.#table = table;
    this.#modId = modId;
    this.#cmdId = cmdId;
  }

  get legacy(): Uint8Array {
    return encodeLegacy(this.#table.route(this.#modId, this.#cmdId)).frame;
  }

  get extended(): Uint8Array {
    return encodeExtended(this.#table.route(this.#modId, this.#cmdId));
  }

  get digest(): Uint8Array {
    return routeDigest(this.#table.route(this.#modId, this.#cmdId));
  }

  get plan(): DatabaseState | undefined {
    return this.#table.route(this.#modId, this.#cmdId).plan;
  }
}

/** The frames of the route that `look` gives. */
export function routeFrames(look: () => RouteView, onCut?: CutListener): RouteFrames {
  return new LazyRouteFrames(look, onCut);
}

/**
 * Frames by module and revision, so that a route is encoded once however many ask. The size of an
 * entry is counted by its number of nodes, at most 40 bytes each in both forms together unless zones
 * are long.
 */
export class RouteFrameCache {
  readonly #table: RouteTable;
  readonly #onCut: CutListener | undefined;
  readonly #bytesMax: number;
  readonly #entries = new Map<ModuleId, { frames: RouteFrames; bytes: number }>();
  #bytes = 0;

  constructor(table: RouteTable, onCut?: CutListener, bytesMax = FRAME_CACHE_BYTES_MAX) {
    this.#table = table;
    this.#onCut = onCut;
    this.#bytesMax = bytesMax;
  }

  /** Bytes held, by estimate. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** Frames of the module as it is now. */
  get(modId: number, cmdId: number): RouteFrames {
    const look = (): RouteView => this.#table.route(modId, cmdId);
    const view = look();
    // Modules without nodes are not kept: anyone can ask for any number of them.
    if (view.index < 0) return new NodelessFrames(this.#table, view);
    const id = moduleId(modId, cmdId);
    const known = this.#entries.get(id);
    if (known !== undefined) {
      if (known.frames.revision === view.revision) return known.frames;
      this.#drop(id, known.bytes);
    }
    const frames = routeFrames(look, this.#onCut);
    const bytes = CACHE_ENTRY_BYTES + view.policy.length + view.name.length +
      view.snapshot.nodeCountOf(view.index) * 40;
    this.#entries.set(id, { frames, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldest, entry.bytes);
    }
    return frames;
  }

  #drop(id: ModuleId, bytes: number): void {
    this.#entries.delete(id);
    this.#bytes -= bytes;
  }
}

function encodeLegacy(view: RouteView): { frame: Uint8Array; sent: number; total: number } {
  const nodes = new NodeReader(view, false);
  const end = nodes.fitting(nodes.start, HOSTS_BYTES_MAX);
  const pickable = (from: number, to: number): number => nodes.pickableCount(from, to);
  const writer = new WireWriter(HEAD_BYTES);
  writer.int32(GetRouteResponseField.modId, view.modId);
  writer.int32(GetRouteResponseField.cmdId, view.cmdId);
  nodes.write(writer, nodes.start, end, GetRouteResponseField);
  const frame = writer.finishFrame(MessageId.GetRouteResponse);
  return { frame, sent: pickable(nodes.start, end), total: pickable(nodes.start, nodes.end) };
}

function encodeExtended(view: RouteView): Uint8Array {
  const nodes = new NodeReader(view, true);
  const policy = policyBytes(view.policy);
  const name = utf8AtMost(view.name, NAME_BYTES_MAX);
  const digest = routeDigest(view);
  const bytesMax = HOSTS_BYTES_MAX - policy.length -
    (name.length === 0 ? 0 : NAME_HEAD_BYTES + name.length);
  const cuts = [nodes.start];
  do {
    cuts.push(nodes.fitting(cuts[cuts.length - 1], bytesMax));
  } while (cuts[cuts.length - 1] < nodes.end);
  const partCount = cuts.length - 1;
  const isSingle = partCount === 1;
  const fields = isSingle ? GetRouteResponseField : RoutePartField;
  const frames = Array.from({ length: partCount }, (_, part) => {
    const writer = new WireWriter(HEAD_BYTES);
    writer.int32(fields.modId, view.modId);
    writer.int32(fields.cmdId, view.cmdId);
    nodes.write(writer, cuts[part], cuts[part + 1], fields);
    writer.bytes(fields.policy, policy);
    writer.bool(fields.meant, view.meant);
    writer.bool(fields.guarded, view.guarded);
    writer.bytes(fields.name, name);
    writer.bytes(fields.digest, digest);
    if (view.plan !== undefined) {
      writer.optionalUint64(fields.epoch, view.plan.epoch);
      writer.optionalUint32(fields.version, view.plan.version);
    }
    if (isSingle) {
      writer.optionalUint64(fields.revision, view.revision);
      return writer.finishFrame(MessageId.GetRouteResponse);
    }
    writer.uint32(RoutePartField.part, part);
    writer.uint32(RoutePartField.partCount, partCount);
    writer.uint64(fields.revision, view.revision);
    return writer.finishFrame(MessageId.RoutePart);
  });
  return frames.length === 1 ? frames[0] : joined(frames);
}

/**
 * Two hashes of the route as peers of ours are sent it, whatever dns made it. Not of its marks: they
 * say how it came about.
 */
export function routeDigest(view: RouteView): Uint8Array {
  const digest = new Uint8Array(8);
  const words = new DataView(digest.buffer);
  words.setUint32(0, routeHash(view, 0x5bd1e995), true);
  words.setUint32(4, routeHash(view, 0x1b873593), true);
  return digest;
}

function routeHash(
  { modId, cmdId, snapshot, index, policy, name }: RouteView,
  seed: number,
): number {
  const { starts, ips, ports, weights, zones, zoneNames, drains } = snapshot.columns;
  const zoneHashes = new Map<number, number>([[0, 0]]);
  let hash = hashWords(modId, cmdId, snapshot.nodeCountOf(index), seed);
  const [start, end] = index < 0 ? [0, 0] : [starts[index], starts[index + 1]];
  for (let at = start; at < end; at++) {
    const zone = zones[at];
    let zoneHash = zoneHashes.get(zone);
    if (zoneHash === undefined) {
      zoneHash = hashText(zoneNames[zone], seed);
      zoneHashes.set(zone, zoneHash);
    }
    hash = hashWords(ips[at], ports[at] * 2 + drains[at], weights[at], hash);
    hash = hashWords(zoneHash, 0, 0, hash);
  }
  return hashText(name, hashText(policy, hash));
}

/** A policy too long to be one of ours is not sent: half of it would say something else. */
function policyBytes(policy: string): Uint8Array {
  const bytes = new TextEncoder().encode(policy);
  return bytes.length > MODULE_POLICY_BYTES_MAX ? new Uint8Array() : bytes;
}

function joined(frames: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    all.set(frame, at);
    at += frame.length;
  }
  return all;
}

/** Sizes and writes the nodes of one route. */
class NodeReader {
  readonly start: number;
  readonly end: number;
  readonly #view: RouteView;
  readonly #extended: boolean;
  readonly #zones = new Map<number, Uint8Array>();

  constructor(view: RouteView, extended: boolean) {
    const { snapshot, index } = view;
    this.#view = view;
    this.#extended = extended;
    this.start = index < 0 ? 0 : snapshot.columns.starts[index];
    this.end = index < 0 ? 0 : snapshot.columns.starts[index + 1];
  }

  /** How far one gets from `from` with `bytesMax` bytes. */
  fitting(from: number, bytesMax: number): number {
    let bytes = 0;
    let at = from;
    for (; at < this.end; at++) {
      const drains = this.#drains(at);
      if (drains && !this.#extended) continue;
      const size = this.#size(at);
      bytes += (drains ? 2 : 1) + varintSize(size) + size;
      if (bytes > bytesMax) break;
    }
    return at;
  }

  /** How many of the nodes may be picked. */
  pickableCount(from: number, end: number): number {
    let count = 0;
    for (let at = from; at < end; at++) if (!this.#drains(at)) count++;
    return count;
  }

  /** `fields`: those of the message; the original's form leaves drained nodes out. */
  write(
    writer: WireWriter,
    from: number,
    end: number,
    fields: { readonly hosts: number; readonly draining: number },
  ): void {
    const { ips, ports, weights } = this.#view.snapshot.columns;
    for (let at = from; at < end; at++) {
      const drains = this.#drains(at);
      if (drains && !this.#extended) continue;
      const start = writer.begin(drains ? fields.draining : fields.hosts);
      writer.int32(HostInfoField.ip, ips[at]);
      writer.int32(HostInfoField.port, ports[at]);
      if (this.#extended) {
        const weight = weights[at];
        if (weight !== WEIGHT_DEFAULT) writer.optionalUint32(HostInfoField.weight, weight);
        writer.bytes(HostInfoField.zone, this.#zone(at));
      }
      writer.end(start);
    }
  }

  #drains(at: number): boolean {
    return this.#view.snapshot.columns.drains[at] === 1;
  }

  #size(at: number): number {
    const { ips, ports, weights } = this.#view.snapshot.columns;
    let size = int32Size(ips[at]) + 1 + varintSize(ports[at]);
    if (!this.#extended) return size;
    if (weights[at] !== WEIGHT_DEFAULT) size += 2 + varintSize(weights[at]);
    const zone = this.#zone(at);
    return zone === undefined ? size : size + 2 + varintSize(zone.length) + zone.length;
  }

  #zone(at: number): Uint8Array | undefined {
    const { zones, zoneNames } = this.#view.snapshot.columns;
    const id = zones[at];
    if (id === 0) return undefined;
    let bytes = this.#zones.get(id);
    if (bytes === undefined) {
      bytes = utf8AtMost(zoneNames[id], ZONE_BYTES_MAX);
      this.#zones.set(id, bytes);
    }
    return bytes;
  }
}

/** UTF-8 of a text, cut between two characters when it is too long. */
function utf8AtMost(text: string, bytesMax: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= bytesMax) return bytes;
  let end = bytesMax;
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.slice(0, end);
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Bytes of an int32 field whose tag takes one byte; 0 when it is left out. */
function int32Size(value: number): number {
  if (value === 0) return 0;
  return value < 0x8000_0000 ? 1 + varintSize(value) : 11;
}
