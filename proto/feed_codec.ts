// Core. The messages of an in-process client on its streams, by hand: bodies only.
//
// As in host_codec.ts, `encodeX` and `decodeX` do what those of messages.ts do, without any package.

import { ProtocolError } from "../reactor/errors.ts";
import {
  encode,
  finishRoute,
  HOST_BYTES_TYPICAL,
  readDraining,
  readHost,
  writeDraining,
  writeHosts,
} from "./host_codec.ts";
import type {
  CallReports,
  CallReportsTaken,
  HelloProof,
  HostCallResult,
  HostInfo,
  ModuleCalls,
  NodeCalls,
  NodeUse,
  NodeUseRequest,
  Ping,
  Pong,
  ReportStatusRequest,
  RoutePart,
  TableSettings,
  TableSubscribe,
} from "./message_types.ts";
import { bytesTag, varintTag, WireReader, WireWriter } from "./wire.ts";

/** Bytes of a node with its calls: ip 11, port 4, and up to seven counters; rarely as many. */
const CALLS_BYTES_TYPICAL = 40;

/** @throws {ProtocolError} when a 64-bit number is not exact. */
function safe(value: number, field: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw new ProtocolError(`${field} must be at most 2^53 - 1: current value is ${value}`);
}

// ---- TableSubscribe

function writeTableSubscribe(writer: WireWriter, message: TableSubscribe): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.uint32(3, message.end ? 1 : 0);
}

/** Body of message 70. */
export function encodeTableSubscribe(message: TableSubscribe): Uint8Array {
  return encode(writeTableSubscribe, message);
}

/**
 * Message 70 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSubscribe(body: Uint8Array): TableSubscribe {
  const reader = new WireReader(body);
  const message: TableSubscribe = { modId: 0, cmdId: 0, end: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.modId = reader.uint32();
        break;
      case varintTag(2):
        message.cmdId = reader.uint32();
        break;
      case varintTag(3):
        message.end = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- TableSettings

function writeTableSettings(writer: WireWriter, message: TableSettings): void {
  if (message.rules !== "") writer.text(1, message.rules);
  if (message.zone !== "") writer.text(2, message.zone);
}

/** Body of message 78. */
export function encodeTableSettings(message: TableSettings): Uint8Array {
  return encode(writeTableSettings, message);
}

/**
 * Message 78 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSettings(body: Uint8Array): TableSettings {
  const reader = new WireReader(body);
  const message: TableSettings = { rules: "", zone: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case bytesTag(1):
        message.rules = reader.text();
        break;
      case bytesTag(2):
        message.zone = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- CallReports

function writeNodeCalls(writer: WireWriter, node: NodeCalls): void {
  const start = writer.begin(3);
  writer.int32(1, node.ip);
  writer.int32(2, node.port);
  writer.uint32(3, node.succ);
  writer.uint32(4, node.err);
  writer.uint32(5, node.errWeight);
  writer.uint32(6, node.continSucc);
  writer.uint32(7, node.continErr);
  writer.uint32(8, node.errPushback);
  writer.uint32(9, node.errRefused);
  writer.uint32(10, node.errTimeout);
  writer.uint32(11, node.timed);
  if (node.timeMs > 0) writer.optionalUint64(12, node.timeMs);
  writer.end(start);
}

function writeCallReports(writer: WireWriter, message: CallReports): void {
  if (message.session > 0) writer.optionalUint64(1, message.session);
  writer.uint32(2, message.seq);
  for (const module of message.modules) {
    const start = writer.begin(3);
    writer.int32(1, module.modId);
    writer.int32(2, module.cmdId);
    for (const node of module.nodes) writeNodeCalls(writer, node);
    writer.end(start);
  }
}

/** Body of message 71. */
export function encodeCallReports(message: CallReports): Uint8Array {
  const nodes = message.modules.reduce((count, module) => count + 1 + module.nodes.length, 0);
  return encode(writeCallReports, message, 64 + CALLS_BYTES_TYPICAL * nodes);
}

function emptyNodeCalls(): NodeCalls {
  const counts = { succ: 0, err: 0, errWeight: 0, continSucc: 0, continErr: 0 };
  const kinds = { errPushback: 0, errRefused: 0, errTimeout: 0 };
  return { ip: 0, port: 0, ...counts, ...kinds, timed: 0, timeMs: 0 };
}

function readNodeCalls(reader: WireReader): NodeCalls {
  const node = emptyNodeCalls();
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        node.ip = reader.uint32();
        break;
      case varintTag(2):
        node.port = reader.uint32();
        break;
      case varintTag(3):
        node.succ = reader.uint32();
        break;
      case varintTag(4):
        node.err = reader.uint32();
        break;
      case varintTag(5):
        node.errWeight = reader.uint32();
        break;
      case varintTag(6):
        node.continSucc = reader.uint32();
        break;
      case varintTag(7):
        node.continErr = reader.uint32();
        break;
      case varintTag(8):
        node.errPushback = reader.uint32();
        break;
      case varintTag(9):
        node.errRefused = reader.uint32();
        break;
      case varintTag(10):
        node.errTimeout = reader.uint32();
        break;
      case varintTag(11):
        node.timed = reader.uint32();
        break;
      case varintTag(12):
        node.timeMs = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  safe(node.timeMs, "NodeCalls.time_ms");
  return node;
}

function readModuleCalls(reader: WireReader): ModuleCalls {
  const module: ModuleCalls = { modId: 0, cmdId: 0, nodes: [] };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        module.modId = reader.uint32();
        break;
      case varintTag(2):
        module.cmdId = reader.uint32();
        break;
      case bytesTag(3):
        module.nodes.push(readNodeCalls(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return module;
}

/**
 * Message 71 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReports(body: Uint8Array): CallReports {
  const reader = new WireReader(body);
  const message: CallReports = { session: 0, seq: 0, modules: [] };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.session = reader.uint64();
        break;
      case varintTag(2):
        message.seq = reader.uint32();
        break;
      case bytesTag(3):
        message.modules.push(readModuleCalls(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  safe(message.session, "CallReports.session");
  return message;
}

// ---- CallReportsTaken, Pong: a number each; Ping: one more

function writeSeq(writer: WireWriter, message: { seq: number }): void {
  writer.uint32(1, message.seq);
}

function decodeSeq(body: Uint8Array): { seq: number } {
  const reader = new WireReader(body);
  const message = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    if (tag === varintTag(1)) message.seq = reader.uint32();
    else reader.skip(tag);
  }
  return message;
}

/** Body of message 72. */
export function encodeCallReportsTaken(message: CallReportsTaken): Uint8Array {
  return encode(writeSeq, message);
}

/**
 * Message 72 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReportsTaken(body: Uint8Array): CallReportsTaken {
  return decodeSeq(body);
}

function writePing(writer: WireWriter, message: Ping): void {
  writer.uint32(1, message.seq);
  writer.optionalUint64(2, message.revision);
}

/** Body of message 66. */
export function encodePing(message: Ping): Uint8Array {
  return encode(writePing, message);
}

/**
 * Message 66 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePing(body: Uint8Array): Ping {
  const reader = new WireReader(body);
  const message: Ping = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    if (tag === varintTag(1)) message.seq = reader.uint32();
    else if (tag === varintTag(2)) message.revision = reader.uint64();
    else reader.skip(tag);
  }
  if (message.revision !== undefined) safe(message.revision, "Ping.revision");
  return message;
}

/** Body of message 67. */
export function encodePong(message: Pong): Uint8Array {
  return encode(writeSeq, message);
}

/**
 * Message 67 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePong(body: Uint8Array): Pong {
  return decodeSeq(body);
}

// ---- HelloProof

function writeHelloProof(writer: WireWriter, message: HelloProof): void {
  writer.bytes(1, message.mac);
}

/** Body of message 69. */
export function encodeHelloProof(message: HelloProof): Uint8Array {
  return encode(writeHelloProof, message);
}

/**
 * Message 69 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHelloProof(body: Uint8Array): HelloProof {
  const reader = new WireReader(body);
  const message: HelloProof = { mac: new Uint8Array() };
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) message.mac = new Uint8Array(reader.bytes());
    else reader.skip(tag);
  }
  return message;
}

// ---- RoutePart

function writeRoutePart(writer: WireWriter, message: RoutePart): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writeHosts(writer, 3, message.hosts);
  writer.uint32(4, message.part);
  writer.uint32(5, message.partCount);
  writer.optionalUint64(6, message.revision);
  writer.text(7, message.policy);
  writer.uint32(8, message.meant ? 1 : 0);
  writeDraining(writer, 9, message.hosts);
  writer.uint32(10, message.guarded ? 1 : 0);
}

/** Body of message 65. */
export function encodeRoutePart(message: RoutePart): Uint8Array {
  return encode(writeRoutePart, message, 64 + HOST_BYTES_TYPICAL * message.hosts.length);
}

/**
 * Message 65 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRoutePart(body: Uint8Array): RoutePart {
  const reader = new WireReader(body);
  const message: RoutePart = { modId: 0, cmdId: 0, hosts: [], part: 0, partCount: 0 };
  const draining: HostInfo[] = [];
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.modId = reader.uint32();
        break;
      case varintTag(2):
        message.cmdId = reader.uint32();
        break;
      case bytesTag(3):
        message.hosts.push(readHost(reader, { ip: 0, port: 0 }));
        break;
      case varintTag(4):
        message.part = reader.uint32();
        break;
      case varintTag(5):
        message.partCount = reader.uint32();
        break;
      case varintTag(6):
        message.revision = reader.uint64();
        break;
      case bytesTag(7):
        message.policy = reader.text();
        break;
      case varintTag(8):
        message.meant = reader.bool() || undefined;
        break;
      case bytesTag(9):
        draining.push(readDraining(reader));
        break;
      case varintTag(10):
        message.guarded = reader.bool() || undefined;
        break;
      default:
        reader.skip(tag);
    }
  }
  finishRoute(message, draining);
  if (message.revision !== undefined) safe(message.revision, "RoutePart.revision");
  return message;
}

// ---- ReportStatusRequest

function writeReportStatusRequest(writer: WireWriter, message: ReportStatusRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.int32(3, message.caller);
  for (const result of message.results) {
    const start = writer.begin(4);
    writer.int32(1, result.ip);
    writer.int32(2, result.port);
    writer.uint32(3, result.succ);
    writer.uint32(4, result.err);
    writer.uint32(5, result.overload ? 1 : 0);
    writer.optionalUint64(16, result.succTotal);
    writer.optionalUint64(17, result.errTotal);
    writer.optionalUint64(18, result.timedTotal);
    writer.optionalUint64(19, result.timeMsTotal);
    writer.end(start);
  }
  writer.uint32(5, message.ts);
}

/** Body of message 3. */
export function encodeReportStatusRequest(message: ReportStatusRequest): Uint8Array {
  const capacity = 64 + CALLS_BYTES_TYPICAL * message.results.length;
  return encode(writeReportStatusRequest, message, capacity);
}

function readCallResult(reader: WireReader): HostCallResult {
  const result: HostCallResult = { ip: 0, port: 0, succ: 0, err: 0, overload: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        result.ip = reader.uint32();
        break;
      case varintTag(2):
        result.port = reader.uint32();
        break;
      case varintTag(3):
        result.succ = reader.uint32();
        break;
      case varintTag(4):
        result.err = reader.uint32();
        break;
      case varintTag(5):
        result.overload = reader.bool();
        break;
      case varintTag(16):
        result.succTotal = reader.uint64();
        break;
      case varintTag(17):
        result.errTotal = reader.uint64();
        break;
      case varintTag(18):
        result.timedTotal = reader.uint64();
        break;
      case varintTag(19):
        result.timeMsTotal = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  if (result.succTotal !== undefined) safe(result.succTotal, "HostCallResult.succ_total");
  if (result.errTotal !== undefined) safe(result.errTotal, "HostCallResult.err_total");
  if (result.timedTotal !== undefined) safe(result.timedTotal, "HostCallResult.timed_total");
  if (result.timeMsTotal !== undefined) safe(result.timeMsTotal, "HostCallResult.time_ms_total");
  return result;
}

/**
 * Message 3 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportStatusRequest(body: Uint8Array): ReportStatusRequest {
  const reader = new WireReader(body);
  const message: ReportStatusRequest = { modId: 0, cmdId: 0, caller: 0, results: [], ts: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.modId = reader.uint32();
        break;
      case varintTag(2):
        message.cmdId = reader.uint32();
        break;
      case varintTag(3):
        message.caller = reader.uint32();
        break;
      case bytesTag(4):
        message.results.push(readCallResult(reader));
        break;
      case varintTag(5):
        message.ts = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- NodeUseRequest, NodeUse

function writeNodeUseRequest(writer: WireWriter, message: NodeUseRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.int32(4, message.ip);
  writer.int32(5, message.port);
}

/** Body of message 73. */
export function encodeNodeUseRequest(message: NodeUseRequest): Uint8Array {
  return encode(writeNodeUseRequest, message);
}

/**
 * Message 73 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUseRequest(body: Uint8Array): NodeUseRequest {
  const reader = new WireReader(body);
  const message: NodeUseRequest = { seq: 0, modId: 0, cmdId: 0, ip: 0, port: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.seq = reader.uint32();
        break;
      case varintTag(2):
        message.modId = reader.uint32();
        break;
      case varintTag(3):
        message.cmdId = reader.uint32();
        break;
      case varintTag(4):
        message.ip = reader.uint32();
        break;
      case varintTag(5):
        message.port = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

function writeNodeUse(writer: WireWriter, message: NodeUse): void {
  writer.uint32(1, message.seq);
  writer.uint32(2, message.state);
  writer.optionalUint32(3, message.idleMs);
  writer.uint32(4, message.clients);
}

/** Body of message 74. */
export function encodeNodeUse(message: NodeUse): Uint8Array {
  return encode(writeNodeUse, message);
}

/**
 * Message 74 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUse(body: Uint8Array): NodeUse {
  const reader = new WireReader(body);
  const message: NodeUse = { seq: 0, state: 0, clients: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.seq = reader.uint32();
        break;
      case varintTag(2):
        message.state = reader.uint32();
        break;
      case varintTag(3):
        message.idleMs = reader.uint32();
        break;
      case varintTag(4):
        message.clients = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}
