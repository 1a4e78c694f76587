// Core. The messages between callers and their agent, by hand: bodies and whole datagrams.
//
// `encodeX` and `decodeX` do what those of messages.ts do, without any package. `frameX` gives a
// datagram, head included, in one allocation.

import { ProtocolError } from "../reactor/errors.ts";
import { MessageId, PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import type {
  ExplainRequest,
  ExplainResponse,
  GetHostRequest,
  GetHostResponse,
  GetRouteRequest,
  GetRouteResponse,
  Hello,
  HostInfo,
  ReportRequest,
} from "./message_types.ts";
import { bytesTag, HEAD_BYTES, readInt32, varintTag, WireReader, WireWriter } from "./wire.ts";

export type {
  ExplainRequest,
  ExplainResponse,
  GetHostRequest,
  GetHostResponse,
  GetRouteRequest,
  GetRouteResponse,
  Hello,
  HostInfo,
  ReportRequest,
};

/** One datagram taken apart. */
export interface Datagram {
  msgId: number;
  /** A view into the datagram. */
  body: Uint8Array;
}

/**
 * Takes a datagram apart.
 *
 * @throws {ProtocolError} when it is shorter than a head, or its length is not the one announced.
 */
export function readDatagram(datagram: Uint8Array): Datagram {
  if (datagram.length < HEAD_BYTES) {
    throw new ProtocolError(
      `Datagram must have a head of ${HEAD_BYTES} bytes: current length is ${datagram.length}`,
    );
  }
  const announced = readInt32(datagram, 4);
  if (announced !== datagram.length - HEAD_BYTES) {
    throw new ProtocolError(
      `Body must be ${datagram.length - HEAD_BYTES} bytes long: the head says ${announced}`,
    );
  }
  return { msgId: readInt32(datagram, 0), body: datagram.subarray(HEAD_BYTES) };
}

function frame<T>(
  msgId: number,
  write: (writer: WireWriter, message: T) => void,
  message: T,
  capacity?: number,
): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES, capacity);
  write(writer, message);
  return writer.finishFrame(msgId);
}

/** Body of any message, by the function that writes its fields. */
export function encode<T>(
  write: (writer: WireWriter, message: T) => void,
  message: T,
  capacity?: number,
): Uint8Array {
  const writer = new WireWriter(0, capacity);
  write(writer, message);
  return writer.finish();
}

// ---- HostInfo, inside other messages

/** An address takes 11 bytes when negative, a port 4, tag and length 2: 17, with room to spare. */
export const HOST_BYTES_TYPICAL = 24;

/** Writes a node as the inner message `field`. */
export function writeHost(writer: WireWriter, field: number, host: HostInfo): void {
  const start = writer.begin(field);
  writer.int32(1, host.ip);
  writer.int32(2, host.port);
  writer.optionalUint32(16, host.weight);
  writer.text(17, host.zone);
  writer.end(start);
}

/** Reads into `host`: a message that is sent twice is merged. */
export function readHost(reader: WireReader, host: HostInfo): HostInfo {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        host.ip = reader.uint32();
        break;
      case varintTag(2):
        host.port = reader.uint32();
        break;
      case varintTag(16):
        host.weight = reader.uint32();
        break;
      case bytesTag(17):
        host.zone = reader.text();
        if (host.zone === "") delete host.zone;
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return host;
}

/** Reads bytes that stay valid; an empty field counts as absent. */
function readToken(reader: WireReader, message: { token?: Uint8Array }): void {
  const bytes = reader.bytes();
  if (bytes.length > 0) message.token = new Uint8Array(bytes);
  else delete message.token;
}

function readKey(reader: WireReader, message: { key?: Uint8Array }): void {
  const bytes = reader.bytes();
  if (bytes.length > 0) message.key = new Uint8Array(bytes);
  else delete message.key;
}

/** Writes the nodes of a route that may be picked as the inner messages `field`. */
export function writeHosts(writer: WireWriter, field: number, hosts: readonly HostInfo[]): void {
  for (const host of hosts) if (host.state === undefined) writeHost(writer, field, host);
}

/** Writes the drained nodes of a route as the inner messages `field`. */
export function writeDraining(writer: WireWriter, field: number, hosts: readonly HostInfo[]): void {
  for (const host of hosts) if (host.state !== undefined) writeHost(writer, field, host);
}

/** Reads one drained node of a route. */
export function readDraining(reader: WireReader): HostInfo {
  return { ...readHost(reader, { ip: 0, port: 0 }), state: "drain" };
}

// ---- GetHostRequest

function writeGetHostRequest(writer: WireWriter, message: GetHostRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.bytes(16, message.token);
  writer.bytes(17, message.key);
}

/** Body of message 4. */
export function encodeGetHostRequest(message: GetHostRequest): Uint8Array {
  return encode(writeGetHostRequest, message);
}

/** Datagram of message 4. */
export function frameGetHostRequest(message: GetHostRequest): Uint8Array {
  return frame(MessageId.GetHostRequest, writeGetHostRequest, message);
}

/**
 * Message 4 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostRequest(body: Uint8Array): GetHostRequest {
  const reader = new WireReader(body);
  const message: GetHostRequest = { seq: 0, modId: 0, cmdId: 0 };
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
      case bytesTag(16):
        readToken(reader, message);
        break;
      case bytesTag(17):
        readKey(reader, message);
        break;
      default:
        reader.skip(tag);
    }
  }
  if (message.key !== undefined && message.key.length > PICK_KEY_BYTES_MAX) {
    throw new ProtocolError(
      `GetHostRequest.key must be at most ${PICK_KEY_BYTES_MAX} bytes: it has ${message.key.length}`,
    );
  }
  return message;
}

// ---- GetHostResponse

function writeGetHostResponse(writer: WireWriter, message: GetHostResponse): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.int32(4, message.retcode);
  if (message.host !== undefined) writeHost(writer, 5, message.host);
}

/** Body of message 5. */
export function encodeGetHostResponse(message: GetHostResponse): Uint8Array {
  return encode(writeGetHostResponse, message);
}

/** Datagram of message 5. */
export function frameGetHostResponse(message: GetHostResponse): Uint8Array {
  return frame(MessageId.GetHostResponse, writeGetHostResponse, message);
}

/**
 * Message 5 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostResponse(body: Uint8Array): GetHostResponse {
  const reader = new WireReader(body);
  const message: GetHostResponse = { seq: 0, modId: 0, cmdId: 0, retcode: 0 };
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
        message.retcode = reader.uint32() | 0;
        break;
      case bytesTag(5):
        message.host = readHost(reader, message.host ?? { ip: 0, port: 0 });
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- ReportRequest

function writeReportRequest(writer: WireWriter, message: ReportRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writeHost(writer, 3, message.host);
  writer.int32(4, message.retcode);
  writer.optionalUint32(5, message.timecostMs);
  writer.bytes(16, message.token);
}

/** Body of message 6. */
export function encodeReportRequest(message: ReportRequest): Uint8Array {
  return encode(writeReportRequest, message);
}

/** Datagram of message 6. */
export function frameReportRequest(message: ReportRequest): Uint8Array {
  return frame(MessageId.ReportRequest, writeReportRequest, message);
}

/**
 * Message 6 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportRequest(body: Uint8Array): ReportRequest {
  const reader = new WireReader(body);
  const message: ReportRequest = { modId: 0, cmdId: 0, host: { ip: 0, port: 0 }, retcode: 0 };
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
        readHost(reader, message.host);
        break;
      case varintTag(4):
        message.retcode = reader.uint32() | 0;
        break;
      case varintTag(5):
        message.timecostMs = reader.uint32();
        break;
      case bytesTag(16):
        readToken(reader, message);
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- GetRouteRequest

function writeGetRouteRequest(writer: WireWriter, message: GetRouteRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.bytes(16, message.token);
}

/** Body of message 7. */
export function encodeGetRouteRequest(message: GetRouteRequest): Uint8Array {
  return encode(writeGetRouteRequest, message);
}

/** Datagram of message 7, from caller to agent. */
export function frameGetRouteRequest(message: GetRouteRequest): Uint8Array {
  return frame(MessageId.ApiGetRouteRequest, writeGetRouteRequest, message);
}

/**
 * Message 7 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteRequest(body: Uint8Array): GetRouteRequest {
  const reader = new WireReader(body);
  const message: GetRouteRequest = { modId: 0, cmdId: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.modId = reader.uint32();
        break;
      case varintTag(2):
        message.cmdId = reader.uint32();
        break;
      case bytesTag(16):
        readToken(reader, message);
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- GetRouteResponse

function writeGetRouteResponse(writer: WireWriter, message: GetRouteResponse): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writeHosts(writer, 3, message.hosts);
  writer.optionalUint64(16, message.revision);
  writer.text(17, message.policy);
  writer.uint32(18, message.meant ? 1 : 0);
  writeDraining(writer, 19, message.hosts);
  writer.uint32(20, message.guarded ? 1 : 0);
}

/** Body of message 8. */
export function encodeGetRouteResponse(message: GetRouteResponse): Uint8Array {
  return encode(writeGetRouteResponse, message, 64 + HOST_BYTES_TYPICAL * message.hosts.length);
}

/** Datagram of message 8; too large to send when it exceeds 65,507 bytes. */
export function frameGetRouteResponse(message: GetRouteResponse): Uint8Array {
  const capacity = 64 + HOST_BYTES_TYPICAL * message.hosts.length;
  return frame(MessageId.ApiGetRouteResponse, writeGetRouteResponse, message, capacity);
}

/**
 * Message 8 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteResponse(body: Uint8Array): GetRouteResponse {
  const reader = new WireReader(body);
  const message: GetRouteResponse = { modId: 0, cmdId: 0, hosts: [] };
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
      case varintTag(16):
        message.revision = reader.uint64();
        break;
      case bytesTag(17):
        message.policy = reader.text();
        break;
      case varintTag(18):
        message.meant = reader.bool() || undefined;
        break;
      case bytesTag(19):
        draining.push(readDraining(reader));
        break;
      case varintTag(20):
        message.guarded = reader.bool() || undefined;
        break;
      default:
        reader.skip(tag);
    }
  }
  finishRoute(message, draining);
  if (message.revision !== undefined && !Number.isSafeInteger(message.revision)) {
    throw new ProtocolError(
      `GetRouteResponse.revision must be at most 2^53 - 1: current value is ${message.revision}`,
    );
  }
  return message;
}

/** What the end of a route's bytes settles: the drained nodes come last, empty is absent. */
export function finishRoute(
  route: { hosts: HostInfo[]; policy?: string; meant?: true; guarded?: true },
  draining: readonly HostInfo[],
): void {
  for (const host of draining) route.hosts.push(host);
  if (route.policy === "") delete route.policy;
  if (route.meant === undefined) delete route.meant;
  if (route.guarded === undefined) delete route.guarded;
}

// ---- Hello

function writeHello(writer: WireWriter, message: Hello): void {
  writer.uint32(1, message.protocol);
  writer.text(2, message.software);
  writer.text(3, message.role);
  writer.bytes(4, message.nonce);
  writer.text(5, message.status);
}

/** Body of message 64. */
export function encodeHello(message: Hello): Uint8Array {
  return encode(writeHello, message);
}

/** Datagram of message 64. */
export function frameHello(message: Hello): Uint8Array {
  return frame(MessageId.Hello, writeHello, message);
}

/**
 * Message 64 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHello(body: Uint8Array): Hello {
  const reader = new WireReader(body);
  const message: Hello = { protocol: 0, software: "", role: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case varintTag(1):
        message.protocol = reader.uint32();
        break;
      case bytesTag(2):
        message.software = reader.text();
        break;
      case bytesTag(3):
        message.role = reader.text();
        break;
      case bytesTag(4):
        message.nonce = new Uint8Array(reader.bytes());
        break;
      case bytesTag(5):
        message.status = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  if (message.nonce?.length === 0) delete message.nonce;
  if (message.status === "") delete message.status;
  return message;
}

// ---- ExplainRequest, ExplainResponse

function writeExplainRequest(writer: WireWriter, message: ExplainRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.from);
  writer.bytes(16, message.token);
}

/** Body of message 76. */
export function encodeExplainRequest(message: ExplainRequest): Uint8Array {
  return encode(writeExplainRequest, message);
}

/** Datagram of message 76. */
export function frameExplainRequest(message: ExplainRequest): Uint8Array {
  return frame(MessageId.ExplainRequest, writeExplainRequest, message);
}

/**
 * Message 76 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainRequest(body: Uint8Array): ExplainRequest {
  const reader = new WireReader(body);
  const message: ExplainRequest = { seq: 0, modId: 0, cmdId: 0, from: 0 };
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
        message.from = reader.uint32();
        break;
      case bytesTag(16):
        readToken(reader, message);
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

function writeExplainResponse(writer: WireWriter, message: ExplainResponse): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.from);
  writer.text(5, message.explanation);
}

/** Body of message 77. */
export function encodeExplainResponse(message: ExplainResponse): Uint8Array {
  return encode(writeExplainResponse, message);
}

/** Datagram of message 77; too large to send when it exceeds 65,507 bytes. */
export function frameExplainResponse(message: ExplainResponse): Uint8Array {
  return frame(MessageId.ExplainResponse, writeExplainResponse, message);
}

/**
 * Message 77 from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainResponse(body: Uint8Array): ExplainResponse {
  const reader = new WireReader(body);
  const message: ExplainResponse = { seq: 0, modId: 0, cmdId: 0, from: 0, explanation: "" };
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
        message.from = reader.uint32();
        break;
      case bytesTag(5):
        message.explanation = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}
