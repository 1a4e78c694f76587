// Core. Tasks and notes of a worker as bytes, for the rings of the fast path. What is long or frequent
// (routes, results) has a form of its own; the rest is JSON.

import type { HostResult, ModulePolicy, ModuleReport, RefusedTotals } from "../../balancer/mod.ts";
import type { AgentNote, AgentTask, WorkerInit } from "./messages.ts";
import type { PackedRoute } from "../routes/packed_route.ts";

/** Start value of a worker of the fast path. */
export interface RingWorkerInit {
  readonly agent: WorkerInit;
  /** Rings in shared memory. */
  readonly tasks: SharedArrayBuffer;
  readonly notes: SharedArrayBuffer;
  /**
   * Numbers of 32 bits, written by the worker: the eventfd that ends its sleep, or
   * {@linkcode NO_FAST_PATH}; then the sockets of its ports, by index of the shard. 0 before.
   */
  readonly descriptors: SharedArrayBuffer;
}

/** Place of a shard's socket among the descriptors of a worker. */
export function socketPlace(shard: number): number {
  return 1 + shard;
}

/** In place of the eventfd: this machine, or this process, has no fast path. */
export const NO_FAST_PATH = -1;

/** First byte of a message. */
const Kind = { Json: 0, Route: 1, Reports: 2, PieceMore: 3, PieceLast: 4 } as const;

/** Results in one record: 56 + 1000 × 48 bytes, and the totals of the module behind the first. */
export const RESULTS_PER_RECORD_MAX = 1000;

/** Kind, what else there is, modid, cmdid, number of results; refused calls by cause, fresh. */
const REPORT_HEAD_BYTES = 56;
const REFUSED_AT = 16;
/** Bits of what else there is: refused calls in the head, totals behind the results. */
const HAS_REFUSED = 1;
const HAS_COUNTS = 2;
const RESULT_BYTES = 48;
const NO_TOTALS: readonly number[] = [];
/** Kind, shard, modid, cmdid, number of nodes. */
const ROUTE_HEAD_BYTES = 20;
/** Address, port, weight, zone, drained. */
const NODE_BYTES = 11;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function encodeJson(value: unknown): Uint8Array {
  const text = encoder.encode(JSON.stringify(value));
  const bytes = new Uint8Array(1 + text.length);
  bytes[0] = Kind.Json;
  bytes.set(text, 1);
  return bytes;
}

/** The bytes are copied first: text cannot be read from shared memory. */
function decodeJson(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes.slice(1)));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encodeRoute(shard: number, route: PackedRoute): Uint8Array {
  const { modId, cmdId, ips, ports, weights, zones, zoneNames, drains } = route;
  const texts = [route.policy, route.parsedPolicy, ...zoneNames];
  const names = encoder.encode(JSON.stringify(texts));
  const bytes = new Uint8Array(ROUTE_HEAD_BYTES + ips.length * NODE_BYTES + names.length);
  const view = viewOf(bytes);
  [0, shard, modId, cmdId, ips.length].forEach((value, i) => view.setUint32(i * 4, value));
  let at = ROUTE_HEAD_BYTES;
  for (let i = 0; i < ips.length; i++, at += NODE_BYTES) {
    view.setUint32(at, ips[i]);
    view.setUint16(at + 4, ports[i]);
    view.setUint16(at + 6, weights[i]);
    view.setUint16(at + 8, zones[i]);
    view.setUint8(at + 10, drains[i]);
  }
  bytes.set(names, at);
  bytes[0] = Kind.Route;
  return bytes;
}

function decodeRoute(bytes: Uint8Array): AgentTask {
  const view = viewOf(bytes);
  const count = view.getUint32(16);
  const ips = new Uint32Array(count);
  const ports = new Uint16Array(count);
  const weights = new Uint16Array(count);
  const zones = new Uint16Array(count);
  const drains = new Uint8Array(count);
  let at = ROUTE_HEAD_BYTES;
  for (let i = 0; i < count; i++, at += NODE_BYTES) {
    ips[i] = view.getUint32(at);
    ports[i] = view.getUint16(at + 4);
    weights[i] = view.getUint16(at + 6);
    zones[i] = view.getUint16(at + 8);
    drains[i] = view.getUint8(at + 10);
  }
  const [policy, parsedPolicy, ...zoneNames] = JSON.parse(decoder.decode(bytes.slice(at))) as [
    string,
    ModulePolicy | null,
    ...string[],
  ];
  const [modId, cmdId] = [view.getUint32(8), view.getUint32(12)];
  const route = { modId, cmdId, ips, ports, weights, zones, zoneNames, drains, policy };
  return {
    type: "route",
    shard: view.getUint32(4),
    route: parsedPolicy === null ? route : { ...route, parsedPolicy },
  };
}

/** A task as bytes. */
export function encodeTask(task: AgentTask): Uint8Array {
  return task.type === "route" ? encodeRoute(task.shard, task.route) : encodeJson(task);
}

/** A task from its bytes, which may lie in shared memory and are free afterwards. */
export function decodeTask(bytes: Uint8Array): AgentTask {
  return bytes[0] === Kind.Route ? decodeRoute(bytes) : decodeJson(bytes) as AgentTask;
}

/** One record of a report: results from number `from` on, as many as one may have; what else there is first. */
function encodeResults(report: ModuleReport, from: number): Uint8Array {
  const { results, refused, counts = NO_TOTALS } = report;
  const end = Math.min(results.length, from + RESULTS_PER_RECORD_MAX);
  const resultsEnd = REPORT_HEAD_BYTES + (end - from) * RESULT_BYTES;
  const isFirst = from === 0;
  const countsLength = isFirst ? counts.length : 0;
  const bytes = new Uint8Array(resultsEnd + countsLength * 8);
  const view = viewOf(bytes);
  bytes[0] = Kind.Reports;
  bytes[2] = report.shard ?? 0;
  view.setUint32(4, report.modId);
  view.setUint32(8, report.cmdId);
  view.setUint32(12, end - from);
  if (isFirst && refused !== undefined) {
    bytes[1] |= HAS_REFUSED;
    encodeRefused(view, refused);
  }
  if (countsLength > 0) bytes[1] |= HAS_COUNTS;
  for (let i = 0; i < countsLength; i++) view.setFloat64(resultsEnd + i * 8, counts[i]);
  let at = REPORT_HEAD_BYTES;
  for (let i = from; i < end; i++) {
    const result = results[i];
    view.setUint32(at, result.ip);
    view.setUint16(at + 4, result.port);
    view.setUint16(at + 6, Number(result.overload));
    view.setUint32(at + 8, result.succ);
    view.setUint32(at + 12, result.err);
    view.setFloat64(at + 16, result.succTotal);
    view.setFloat64(at + 24, result.errTotal);
    view.setFloat64(at + 32, result.timedTotal);
    view.setFloat64(at + 40, result.timeMsTotal);
    at += RESULT_BYTES;
  }
  return bytes;
}

function encodeRefused(view: DataView, refused: RefusedTotals): void {
  const { overload, unusable, noNode, noRoute, fresh } = refused;
  [overload, unusable, noNode, noRoute, Number(fresh)].forEach((value, i) =>
    view.setFloat64(REFUSED_AT + i * 8, value)
  );
}

function decodeResults(bytes: Uint8Array): ModuleReport {
  const view = viewOf(bytes);
  const results: HostResult[] = [];
  const resultsEnd = REPORT_HEAD_BYTES + view.getUint32(12) * RESULT_BYTES;
  for (let at = REPORT_HEAD_BYTES; at < resultsEnd; at += RESULT_BYTES) {
    results.push({
      ip: view.getUint32(at),
      port: view.getUint16(at + 4),
      succ: view.getUint32(at + 8),
      err: view.getUint32(at + 12),
      overload: view.getUint16(at + 6) === 1,
      succTotal: view.getFloat64(at + 16),
      errTotal: view.getFloat64(at + 24),
      timedTotal: view.getFloat64(at + 32),
      timeMsTotal: view.getFloat64(at + 40),
    });
  }
  const counts: number[] = [];
  for (let at = resultsEnd; at < bytes.length; at += 8) counts.push(view.getFloat64(at));
  return {
    ...{ modId: view.getUint32(4), cmdId: view.getUint32(8), results, shard: bytes[2] },
    ...((bytes[1] & HAS_REFUSED) === 0 ? {} : { refused: decodeRefused(view) }),
    ...((bytes[1] & HAS_COUNTS) === 0 ? {} : { counts }),
  };
}

function decodeRefused(view: DataView): RefusedTotals {
  const [overload, unusable, noNode, noRoute, fresh] = Array.from(
    { length: 5 },
    (_, i) => view.getFloat64(REFUSED_AT + i * 8),
  );
  return { overload, unusable, noNode, noRoute, fresh: fresh === 1 };
}

/** A note as one or more messages; one for each module and thousand results. */
export function* encodeNote(note: AgentNote): IterableIterator<Uint8Array> {
  if (note.type !== "reports") {
    yield encodeJson(note);
    return;
  }
  for (const report of note.reports) {
    // One without results says at least what was refused.
    for (let from = 0; from === 0 || from < report.results.length; from += RESULTS_PER_RECORD_MAX) {
      yield encodeResults(report, from);
    }
  }
}

/** A note from one message, which may lie in shared memory and is free afterwards. */
export function decodeNote(bytes: Uint8Array): AgentNote {
  return bytes[0] === Kind.Reports
    ? { type: "reports", reports: [decodeResults(bytes)] }
    : decodeJson(bytes) as AgentNote;
}

/** Cuts a message into records of at most `recordBytesMax`; one that fits stays whole. */
export function cutMessage(message: Uint8Array, recordBytesMax: number): Uint8Array[] {
  if (message.length <= recordBytesMax) return [message];
  const pieces: Uint8Array[] = [];
  const size = recordBytesMax - 1;
  for (let from = 0; from < message.length; from += size) {
    const part = message.subarray(from, from + size);
    const piece = new Uint8Array(1 + part.length);
    piece[0] = from + size < message.length ? Kind.PieceMore : Kind.PieceLast;
    piece.set(part, 1);
    pieces.push(piece);
  }
  return pieces;
}

/** Puts together what {@linkcode cutMessage} cut. */
export class PieceJoiner {
  #pieces: Uint8Array[] = [];

  /** A whole message, or undefined when more records are to come. */
  take(record: Uint8Array): Uint8Array | undefined {
    if (record[0] < Kind.PieceMore) return record;
    this.#pieces.push(record.slice(1));
    if (record[0] === Kind.PieceMore) return undefined;
    const pieces = this.#pieces;
    this.#pieces = [];
    const message = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      message.set(piece, at);
      at += piece.length;
    }
    return message;
  }
}
