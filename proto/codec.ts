// Core. Generated from lars.proto by `deno task proto`, do not edit: every message, its type, its bytes.
//
// `encodeX` gives the body of a message, `frameX` a datagram, head included, both in a buffer of
// their own. `decodeX` reads a body and gives a message or throws a ProtocolError, nothing else; what
// it gives refers to nothing of what it was lent. For the rules see README.md, for the names
// generate/options.ts.

import type { ModuleKey } from "../model/module.ts";
import { MessageId, PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import { checkLength, checkSafe, HEAD_BYTES, WireReader, WireWriter } from "./wire.ts";

// ---- HostInfo

/** A node of a route. */
export interface HostInfo {
  /** IPv4 address in host order: 192.168.1.177 is 3232235953. */
  ip: number;
  /** 1 to 65535; off the wire it may be any number: whoever uses it judges. */
  port: number;
  /** 0 to 10000; absent means 100, which 0 does not. */
  weight?: number;
  /** Absent and empty mean the same. */
  zone?: string;
  /**
   * Of a route only: the node gets no new picks, but results of calls to it count. On the wire such
   * nodes are a list of their own, which old peers skip: to them the node is gone. When read, they
   * come after the others.
   */
  state?: "drain";
}

/** Numbers of the fields of {@linkcode HostInfo}. */
export const HostInfoField = {
  ip: 1,
  port: 2,
  weight: 16,
  zone: 17,
} as const;

function writeHostInfo(writer: WireWriter, field: number, message: HostInfo): void {
  const start = writer.begin(field);
  writer.int32(1, message.ip);
  writer.int32(2, message.port);
  writer.optionalUint32(16, message.weight);
  writer.text(17, message.zone);
  writer.end(start);
}

/** Reads into `message`: one that is sent twice is merged. */
function readHostInfo(reader: WireReader, message: HostInfo): HostInfo {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // ip = 1
        message.ip = reader.uint32();
        break;
      case 16: // port = 2
        message.port = reader.uint32();
        break;
      case 128: // weight = 16
        message.weight = reader.uint32();
        break;
      case 138: // zone = 17
        message.zone = reader.text();
        if (message.zone === "") delete message.zone;
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- GetRouteRequest

/**
 * Message 1: agent to dns. Also subscribes the connection to the module. 7: caller to agent; only
 * then may it carry the token.
 */
export interface GetRouteRequest {
  modId: number;
  cmdId: number;
  /** Of builds that knew no seal: neither sent nor taken any more. */
  token?: Uint8Array;
  /** Makes room for the answer to a stranger, who is sent three times as much at most. */
  padding?: Uint8Array;
  /**
   * Digest of the route that the asker has, as some dns sent it; absent: it has none. A dns that
   * has the same answers with RouteUnchanged.
   */
  digest?: Uint8Array;
}

function writeGetRouteRequest(writer: WireWriter, message: GetRouteRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.bytes(16, message.token);
  writer.bytes(17, message.padding);
  writer.bytes(18, message.digest);
}

/** Body of {@linkcode GetRouteRequest}. */
export function encodeGetRouteRequest(message: GetRouteRequest): Uint8Array {
  const writer = new WireWriter();
  writeGetRouteRequest(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode GetRouteRequest}, as message ApiGetRouteRequest. */
export function frameGetRouteRequest(message: GetRouteRequest): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeGetRouteRequest(writer, message);
  return writer.finishFrame(MessageId.ApiGetRouteRequest);
}

/**
 * {@linkcode GetRouteRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteRequest(body: Uint8Array): GetRouteRequest {
  const reader = new WireReader(body, "GetRouteRequest");
  const message: GetRouteRequest = { modId: 0, cmdId: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 130: // token = 16
        message.token = new Uint8Array(reader.bytes());
        if (message.token.length === 0) delete message.token;
        break;
      case 138: // padding = 17
        message.padding = new Uint8Array(reader.bytes());
        if (message.padding.length === 0) delete message.padding;
        break;
      case 146: // digest = 18
        message.digest = new Uint8Array(reader.bytes());
        if (message.digest.length === 0) delete message.digest;
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- GetRouteResponse

/**
 * Message 2: dns to agent, as the answer and as the push. 8: agent to caller. No host: no such
 * module.
 */
export interface GetRouteResponse {
  modId: number;
  cmdId: number;
  hosts: HostInfo[];
  /** Version of the route table the answer comes from. At most 2^53 - 1. */
  revision?: number;
  /** JSON of the module's policy; absent: none. */
  policy?: string;
  /** Somebody means this route, however many nodes it lost; absent: not known. */
  meant?: true;
  /** Changes of this module are marked when they are meant, so one without a mark is suspicious. */
  guarded?: true;
  /** Of the module, for people; absent: none. */
  name?: string;
  /**
   * What the database said when the route was read: its epoch, and RouteVersion. They grow, and may
   * be compared between two dns. Absent: not known. At most 2^53 - 1.
   */
  epoch?: number;
  version?: number;
  /** Of nodes, policy and name: 8 bytes, the same of every dns. */
  digest?: Uint8Array;
}

/** Numbers of the fields of {@linkcode GetRouteResponse}. */
export const GetRouteResponseField = {
  modId: 1,
  cmdId: 2,
  hosts: 3,
  revision: 16,
  policy: 17,
  meant: 18,
  draining: 19,
  guarded: 20,
  name: 21,
  epoch: 22,
  version: 23,
  digest: 24,
} as const;

function writeGetRouteResponse(writer: WireWriter, message: GetRouteResponse): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  for (const inner of message.hosts) {
    if (inner.state === undefined) writeHostInfo(writer, 3, inner);
  }
  writer.optionalUint64(16, message.revision);
  writer.text(17, message.policy);
  writer.bool(18, message.meant);
  for (const inner of message.hosts) {
    if (inner.state !== undefined) writeHostInfo(writer, 19, inner);
  }
  writer.bool(20, message.guarded);
  writer.text(21, message.name);
  writer.optionalUint64(22, message.epoch);
  writer.optionalUint32(23, message.version);
  writer.bytes(24, message.digest);
}

/** Body of {@linkcode GetRouteResponse}. */
export function encodeGetRouteResponse(message: GetRouteResponse): Uint8Array {
  const writer = new WireWriter();
  writeGetRouteResponse(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode GetRouteResponse}, as message ApiGetRouteResponse. */
export function frameGetRouteResponse(message: GetRouteResponse): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeGetRouteResponse(writer, message);
  return writer.finishFrame(MessageId.ApiGetRouteResponse);
}

/**
 * {@linkcode GetRouteResponse} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteResponse(body: Uint8Array): GetRouteResponse {
  const reader = new WireReader(body, "GetRouteResponse");
  const message: GetRouteResponse = { modId: 0, cmdId: 0, hosts: [] };
  const draining: HostInfo[] = [];
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // host = 3
        message.hosts.push(readHostInfo(reader, { ip: 0, port: 0 }));
        break;
      case 128: // revision = 16
        message.revision = reader.uint64();
        break;
      case 138: // policy = 17
        message.policy = reader.text();
        if (message.policy === "") delete message.policy;
        break;
      case 144: // meant = 18
        if (reader.bool()) message.meant = true;
        else delete message.meant;
        break;
      case 154: // draining = 19
        draining.push(readHostInfo(reader, { ip: 0, port: 0 }));
        break;
      case 160: // guarded = 20
        if (reader.bool()) message.guarded = true;
        else delete message.guarded;
        break;
      case 170: // name = 21
        message.name = reader.text();
        if (message.name === "") delete message.name;
        break;
      case 176: // epoch = 22
        message.epoch = reader.uint64();
        break;
      case 184: // version = 23
        message.version = reader.uint32();
        break;
      case 194: // digest = 24
        message.digest = new Uint8Array(reader.bytes());
        if (message.digest.length === 0) delete message.digest;
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.revision, "GetRouteResponse.revision");
  for (const inner of draining) {
    inner.state = "drain";
    message.hosts.push(inner);
  }
  checkSafe(message.epoch, "GetRouteResponse.epoch");
  return message;
}

// ---- CallGains

/** How much of each total of a HostCallResult is in no earlier report of the session. */
export interface CallGains {
  /** At most 2^53 - 1. */
  succ: number;
  /** At most 2^53 - 1. */
  err: number;
  /** At most 2^53 - 1. */
  timed: number;
  /** At most 2^53 - 1. */
  timeMs: number;
}

function writeCallGains(writer: WireWriter, field: number, message: CallGains): void {
  const start = writer.begin(field);
  writer.uint64(1, message.succ);
  writer.uint64(2, message.err);
  writer.uint64(3, message.timed);
  writer.uint64(4, message.timeMs);
  writer.end(start);
}

/** Reads into `message`: one that is sent twice is merged. */
function readCallGains(reader: WireReader, message: CallGains): CallGains {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // succ = 1
        message.succ = reader.uint64();
        break;
      case 16: // err = 2
        message.err = reader.uint64();
        break;
      case 24: // timed = 3
        message.timed = reader.uint64();
        break;
      case 32: // time_ms = 4
        message.timeMs = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.succ, "CallGains.succ");
  checkSafe(message.err, "CallGains.err");
  checkSafe(message.timed, "CallGains.timed");
  checkSafe(message.timeMs, "CallGains.time_ms");
  return message;
}

// ---- HostCallResult

/** Results of one node inside ReportStatusRequest. */
export interface HostCallResult {
  ip: number;
  port: number;
  /** Successful calls of the window. */
  succ: number;
  /** Failed calls of the window. */
  err: number;
  overload: boolean;
  /** Successful calls since the agent started. At most 2^53 - 1. */
  succTotal?: number;
  /** Failed calls since the agent started. At most 2^53 - 1. */
  errTotal?: number;
  /** Of both, calls whose time was told; absent: none. At most 2^53 - 1. */
  timedTotal?: number;
  /** What those took together, in milliseconds. At most 2^53 - 1. */
  timeMsTotal?: number;
  /** In a numbered report; absent: nothing. */
  gains?: CallGains;
}

function writeHostCallResult(writer: WireWriter, field: number, message: HostCallResult): void {
  const start = writer.begin(field);
  writer.int32(1, message.ip);
  writer.int32(2, message.port);
  writer.uint32(3, message.succ);
  writer.uint32(4, message.err);
  writer.bool(5, message.overload);
  writer.optionalUint64(16, message.succTotal);
  writer.optionalUint64(17, message.errTotal);
  writer.optionalUint64(18, message.timedTotal);
  writer.optionalUint64(19, message.timeMsTotal);
  if (message.gains !== undefined) writeCallGains(writer, 20, message.gains);
  writer.end(start);
}

function readHostCallResult(reader: WireReader): HostCallResult {
  const message: HostCallResult = { ip: 0, port: 0, succ: 0, err: 0, overload: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // ip = 1
        message.ip = reader.uint32();
        break;
      case 16: // port = 2
        message.port = reader.uint32();
        break;
      case 24: // succ = 3
        message.succ = reader.uint32();
        break;
      case 32: // err = 4
        message.err = reader.uint32();
        break;
      case 40: // overload = 5
        message.overload = reader.bool();
        break;
      case 128: // succ_total = 16
        message.succTotal = reader.uint64();
        break;
      case 136: // err_total = 17
        message.errTotal = reader.uint64();
        break;
      case 144: // timed_total = 18
        message.timedTotal = reader.uint64();
        break;
      case 152: // time_ms_total = 19
        message.timeMsTotal = reader.uint64();
        break;
      case 162: // gains = 20
        message.gains = readCallGains(
          reader,
          message.gains ?? { succ: 0, err: 0, timed: 0, timeMs: 0 },
        );
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.succTotal, "HostCallResult.succ_total");
  checkSafe(message.errTotal, "HostCallResult.err_total");
  checkSafe(message.timedTotal, "HostCallResult.timed_total");
  checkSafe(message.timeMsTotal, "HostCallResult.time_ms_total");
  return message;
}

// ---- RefusedCalls

/**
 * Callers of a module that asked for a node and got none; in ReportStatusRequest since the agent
 * knows the module.
 */
export interface RefusedCalls {
  /** Too few of its nodes were well. At most 2^53 - 1. */
  overload: number;
  /** It has nodes, and none of them may be called: drained, off, weight 0. At most 2^53 - 1. */
  unusable: number;
  /** It has no nodes. At most 2^53 - 1. */
  noNode: number;
  /** Its route was not known yet. At most 2^53 - 1. */
  noRoute: number;
  /** Nothing of these was told before, to nobody. */
  fresh: boolean;
}

function writeRefusedCalls(writer: WireWriter, field: number, message: RefusedCalls): void {
  const start = writer.begin(field);
  writer.uint64(1, message.overload);
  writer.uint64(2, message.unusable);
  writer.uint64(3, message.noNode);
  writer.uint64(4, message.noRoute);
  writer.bool(5, message.fresh);
  writer.end(start);
}

/** Reads into `message`: one that is sent twice is merged. */
function readRefusedCalls(reader: WireReader, message: RefusedCalls): RefusedCalls {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // overload = 1
        message.overload = reader.uint64();
        break;
      case 16: // unusable = 2
        message.unusable = reader.uint64();
        break;
      case 24: // no_node = 3
        message.noNode = reader.uint64();
        break;
      case 32: // no_route = 4
        message.noRoute = reader.uint64();
        break;
      case 40: // fresh = 5
        message.fresh = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.overload, "RefusedCalls.overload");
  checkSafe(message.unusable, "RefusedCalls.unusable");
  checkSafe(message.noNode, "RefusedCalls.no_node");
  checkSafe(message.noRoute, "RefusedCalls.no_route");
  return message;
}

// ---- ReportStatusRequest

/** Message 3: agent to reporter; no answer. Results of the nodes of a module. */
export interface ReportStatusRequest {
  modId: number;
  cmdId: number;
  /** Address of the agent's host. */
  caller: number;
  results: HostCallResult[];
  /** Unix seconds. */
  ts: number;
  /** Absent: nothing new. */
  refused?: RefusedCalls;
  /**
   * Number of the report in its session, from 1 and only growing; absent: the sender does not keep
   * it. At most 2^53 - 1.
   */
  seq?: number;
  /** Of refused, all causes together: in no earlier report of the session. At most 2^53 - 1. */
  refusedNew?: number;
}

function writeReportStatusRequest(writer: WireWriter, message: ReportStatusRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.int32(3, message.caller);
  for (const inner of message.results) writeHostCallResult(writer, 4, inner);
  writer.uint32(5, message.ts);
  if (message.refused !== undefined) writeRefusedCalls(writer, 16, message.refused);
  writer.optionalUint64(17, message.seq);
  writer.optionalUint64(18, message.refusedNew);
}

/** Body of {@linkcode ReportStatusRequest}. */
export function encodeReportStatusRequest(message: ReportStatusRequest): Uint8Array {
  const writer = new WireWriter();
  writeReportStatusRequest(writer, message);
  return writer.finish();
}

/**
 * {@linkcode ReportStatusRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportStatusRequest(body: Uint8Array): ReportStatusRequest {
  const reader = new WireReader(body, "ReportStatusRequest");
  const message: ReportStatusRequest = { modId: 0, cmdId: 0, caller: 0, results: [], ts: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 24: // caller = 3
        message.caller = reader.uint32();
        break;
      case 34: // results = 4
        message.results.push(readHostCallResult(reader));
        break;
      case 40: // ts = 5
        message.ts = reader.uint32();
        break;
      case 130: // refused = 16
        message.refused = readRefusedCalls(
          reader,
          message.refused ?? {
            overload: 0,
            unusable: 0,
            noNode: 0,
            noRoute: 0,
            fresh: false,
          },
        );
        break;
      case 136: // seq = 17
        message.seq = reader.uint64();
        break;
      case 144: // refused_new = 18
        message.refusedNew = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.seq, "ReportStatusRequest.seq");
  checkSafe(message.refusedNew, "ReportStatusRequest.refused_new");
  return message;
}

// ---- GetHostRequest

/** Message 4: caller to agent: asks for one node. */
export interface GetHostRequest {
  /** Wraps; comes back in the answer. */
  seq: number;
  modId: number;
  cmdId: number;
  token?: Uint8Array;
  /** 1 to 256 bytes: picks with one key go to one node where the policy says so. */
  key?: Uint8Array;
}

function writeGetHostRequest(writer: WireWriter, message: GetHostRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.bytes(16, message.token);
  writer.bytes(17, message.key);
}

/** Body of {@linkcode GetHostRequest}. */
export function encodeGetHostRequest(message: GetHostRequest): Uint8Array {
  const writer = new WireWriter();
  writeGetHostRequest(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode GetHostRequest}, as message GetHostRequest. */
export function frameGetHostRequest(message: GetHostRequest): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeGetHostRequest(writer, message);
  return writer.finishFrame(MessageId.GetHostRequest);
}

/**
 * {@linkcode GetHostRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostRequest(body: Uint8Array): GetHostRequest {
  const reader = new WireReader(body, "GetHostRequest");
  const message: GetHostRequest = { seq: 0, modId: 0, cmdId: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 130: // token = 16
        message.token = new Uint8Array(reader.bytes());
        if (message.token.length === 0) delete message.token;
        break;
      case 138: // key = 17
        message.key = new Uint8Array(reader.bytes());
        if (message.key.length === 0) delete message.key;
        break;
      default:
        reader.skip(tag);
    }
  }
  checkLength(message.key, PICK_KEY_BYTES_MAX, "GetHostRequest.key");
  return message;
}

// ---- GetHostResponse

/** Message 5: agent to caller: one node, or the reason why not. */
export interface GetHostResponse {
  seq: number;
  modId: number;
  cmdId: number;
  /** One of RetCode; any int32 when the peer is odd. */
  retcode: number;
  /** Present when retcode is 0. */
  host?: HostInfo;
}

function writeGetHostResponse(writer: WireWriter, message: GetHostResponse): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.int32(4, message.retcode);
  if (message.host !== undefined) writeHostInfo(writer, 5, message.host);
}

/** Body of {@linkcode GetHostResponse}. */
export function encodeGetHostResponse(message: GetHostResponse): Uint8Array {
  const writer = new WireWriter();
  writeGetHostResponse(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode GetHostResponse}, as message GetHostResponse. */
export function frameGetHostResponse(message: GetHostResponse): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeGetHostResponse(writer, message);
  return writer.finishFrame(MessageId.GetHostResponse);
}

/**
 * {@linkcode GetHostResponse} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostResponse(body: Uint8Array): GetHostResponse {
  const reader = new WireReader(body, "GetHostResponse");
  const message: GetHostResponse = { seq: 0, modId: 0, cmdId: 0, retcode: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // retcode = 4
        message.retcode = reader.uint32() | 0;
        break;
      case 42: // host = 5
        message.host = readHostInfo(reader, message.host ?? { ip: 0, port: 0 });
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- ReportRequest

/** Message 6: caller to agent; no answer. The outcome of one call. */
export interface ReportRequest {
  modId: number;
  cmdId: number;
  /** 0.0.0.0:0 when the peer left it out. */
  host: HostInfo;
  /** 0 for success; anything else, negative too, is a failure. */
  retcode: number;
  /** Time the call took, in milliseconds; absent: not known, which 0 does not mean. */
  timecostMs?: number;
  token?: Uint8Array;
}

function writeReportRequest(writer: WireWriter, message: ReportRequest): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writeHostInfo(writer, 3, message.host);
  writer.int32(4, message.retcode);
  writer.optionalUint32(5, message.timecostMs);
  writer.bytes(16, message.token);
}

/** Body of {@linkcode ReportRequest}. */
export function encodeReportRequest(message: ReportRequest): Uint8Array {
  const writer = new WireWriter();
  writeReportRequest(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode ReportRequest}, as message ReportRequest. */
export function frameReportRequest(message: ReportRequest): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeReportRequest(writer, message);
  return writer.finishFrame(MessageId.ReportRequest);
}

/**
 * {@linkcode ReportRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportRequest(body: Uint8Array): ReportRequest {
  const reader = new WireReader(body, "ReportRequest");
  const message: ReportRequest = { modId: 0, cmdId: 0, host: { ip: 0, port: 0 }, retcode: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // host = 3
        readHostInfo(reader, message.host);
        break;
      case 32: // retcode = 4
        message.retcode = reader.uint32() | 0;
        break;
      case 40: // timecost = 5
        message.timecostMs = reader.uint32();
        break;
      case 130: // token = 16
        message.token = new Uint8Array(reader.bytes());
        if (message.token.length === 0) delete message.token;
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- Hello

/** Message 64: both ways. Says that the sender speaks the extensions. */
export interface Hello {
  /** Version of the extensions: 2; 1 proved the secret in another way. */
  protocol: number;
  /** For instance lars/0.1.0 deno/2.9.6. */
  software: string;
  /** Dns, reporter, agent, tool. */
  role: string;
  /** 16 random bytes, set by whoever has a secret or, as a server, wants a proof. */
  nonce?: Uint8Array;
  /** JSON of counters, in an agent's answer over UDP. */
  status?: string;
  /** The proof of a server that was sent a nonce: 32 bytes for each of its secrets. */
  mac?: Uint8Array;
  /** With a mac: own end of the connection as the sender sees it: 10.0.0.5:7778. */
  own?: string;
  /** And the other one. */
  other?: string;
  /** With a mac: the server does not compare the ends. */
  translated?: true;
  /** Over UDP, as in GetRouteRequest. */
  padding?: Uint8Array;
}

function writeHello(writer: WireWriter, message: Hello): void {
  writer.uint32(1, message.protocol);
  writer.text(2, message.software);
  writer.text(3, message.role);
  writer.bytes(4, message.nonce);
  writer.text(5, message.status);
  writer.bytes(6, message.mac);
  writer.text(7, message.own);
  writer.text(8, message.other);
  writer.bool(9, message.translated);
  writer.bytes(10, message.padding);
}

/** Body of {@linkcode Hello}. */
export function encodeHello(message: Hello): Uint8Array {
  const writer = new WireWriter();
  writeHello(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode Hello}, as message Hello. */
export function frameHello(message: Hello): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeHello(writer, message);
  return writer.finishFrame(MessageId.Hello);
}

/**
 * {@linkcode Hello} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHello(body: Uint8Array): Hello {
  const reader = new WireReader(body, "Hello");
  const message: Hello = { protocol: 0, software: "", role: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // protocol = 1
        message.protocol = reader.uint32();
        break;
      case 18: // software = 2
        message.software = reader.text();
        break;
      case 26: // role = 3
        message.role = reader.text();
        break;
      case 34: // nonce = 4
        message.nonce = new Uint8Array(reader.bytes());
        if (message.nonce.length === 0) delete message.nonce;
        break;
      case 42: // status = 5
        message.status = reader.text();
        if (message.status === "") delete message.status;
        break;
      case 50: // mac = 6
        message.mac = new Uint8Array(reader.bytes());
        if (message.mac.length === 0) delete message.mac;
        break;
      case 58: // own = 7
        message.own = reader.text();
        if (message.own === "") delete message.own;
        break;
      case 66: // other = 8
        message.other = reader.text();
        if (message.other === "") delete message.other;
        break;
      case 72: // translated = 9
        if (reader.bool()) message.translated = true;
        else delete message.translated;
        break;
      case 82: // padding = 10
        message.padding = new Uint8Array(reader.bytes());
        if (message.padding.length === 0) delete message.padding;
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RoutePart

/** Message 65: dns to agent, instead of a GetRouteResponse that does not fit one frame. */
export interface RoutePart {
  modId: number;
  cmdId: number;
  hosts: HostInfo[];
  /** Counted from 0. */
  part: number;
  partCount: number;
  /** At most 2^53 - 1. */
  revision?: number;
  /** As in GetRouteResponse, like meant, guarded and name; in every part. */
  policy?: string;
  meant?: true;
  guarded?: true;
  name?: string;
  /** As in GetRouteResponse. At most 2^53 - 1. */
  epoch?: number;
  version?: number;
  digest?: Uint8Array;
}

/** Numbers of the fields of {@linkcode RoutePart}. */
export const RoutePartField = {
  modId: 1,
  cmdId: 2,
  hosts: 3,
  part: 4,
  partCount: 5,
  revision: 6,
  policy: 7,
  meant: 8,
  draining: 9,
  guarded: 10,
  name: 11,
  epoch: 12,
  version: 13,
  digest: 14,
} as const;

function writeRoutePart(writer: WireWriter, message: RoutePart): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  for (const inner of message.hosts) {
    if (inner.state === undefined) writeHostInfo(writer, 3, inner);
  }
  writer.uint32(4, message.part);
  writer.uint32(5, message.partCount);
  writer.optionalUint64(6, message.revision);
  writer.text(7, message.policy);
  writer.bool(8, message.meant);
  for (const inner of message.hosts) {
    if (inner.state !== undefined) writeHostInfo(writer, 9, inner);
  }
  writer.bool(10, message.guarded);
  writer.text(11, message.name);
  writer.optionalUint64(12, message.epoch);
  writer.optionalUint32(13, message.version);
  writer.bytes(14, message.digest);
}

/** Body of {@linkcode RoutePart}. */
export function encodeRoutePart(message: RoutePart): Uint8Array {
  const writer = new WireWriter();
  writeRoutePart(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RoutePart} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRoutePart(body: Uint8Array): RoutePart {
  const reader = new WireReader(body, "RoutePart");
  const message: RoutePart = { modId: 0, cmdId: 0, hosts: [], part: 0, partCount: 0 };
  const draining: HostInfo[] = [];
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // host = 3
        message.hosts.push(readHostInfo(reader, { ip: 0, port: 0 }));
        break;
      case 32: // part = 4
        message.part = reader.uint32();
        break;
      case 40: // part_count = 5
        message.partCount = reader.uint32();
        break;
      case 48: // revision = 6
        message.revision = reader.uint64();
        break;
      case 58: // policy = 7
        message.policy = reader.text();
        if (message.policy === "") delete message.policy;
        break;
      case 64: // meant = 8
        if (reader.bool()) message.meant = true;
        else delete message.meant;
        break;
      case 74: // draining = 9
        draining.push(readHostInfo(reader, { ip: 0, port: 0 }));
        break;
      case 80: // guarded = 10
        if (reader.bool()) message.guarded = true;
        else delete message.guarded;
        break;
      case 90: // name = 11
        message.name = reader.text();
        if (message.name === "") delete message.name;
        break;
      case 96: // epoch = 12
        message.epoch = reader.uint64();
        break;
      case 104: // version = 13
        message.version = reader.uint32();
        break;
      case 114: // digest = 14
        message.digest = new Uint8Array(reader.bytes());
        if (message.digest.length === 0) delete message.digest;
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.revision, "RoutePart.revision");
  for (const inner of draining) {
    inner.state = "drain";
    message.hosts.push(inner);
  }
  checkSafe(message.epoch, "RoutePart.epoch");
  return message;
}

// ---- Ping

/** Message 66: are you alive? */
export interface Ping {
  seq: number;
  /**
   * Newest revision of the routes that came over this connection; absent: none came. At most 2^53 -
   * 1.
   */
  revision?: number;
}

function writePing(writer: WireWriter, message: Ping): void {
  writer.uint32(1, message.seq);
  writer.optionalUint64(2, message.revision);
}

/** Body of {@linkcode Ping}. */
export function encodePing(message: Ping): Uint8Array {
  const writer = new WireWriter();
  writePing(writer, message);
  return writer.finish();
}

/**
 * {@linkcode Ping} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePing(body: Uint8Array): Ping {
  const reader = new WireReader(body, "Ping");
  const message: Ping = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // revision = 2
        message.revision = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.revision, "Ping.revision");
  return message;
}

// ---- Pong

/** Message 67: answer to Ping with the same seq. */
export interface Pong {
  seq: number;
  /**
   * Over how long those linked to this server spread their coming again, in milliseconds, and the
   * place of this one in it; absent: not told.
   */
  spreadMs?: number;
  placeMs?: number;
  /**
   * Of dns: all routes that it sends from now on are as new as this, see GetRouteResponse; absent:
   * not known. At most 2^53 - 1.
   */
  epoch?: number;
  version?: number;
  /**
   * Of dns: for so long it has not read the database, in milliseconds, so that its routes may be
   * older than those of another dns. Absent: it reads it.
   */
  behindMs?: number;
}

function writePong(writer: WireWriter, message: Pong): void {
  writer.uint32(1, message.seq);
  writer.optionalUint32(2, message.spreadMs);
  writer.optionalUint32(3, message.placeMs);
  writer.optionalUint64(4, message.epoch);
  writer.optionalUint32(5, message.version);
  writer.optionalUint32(6, message.behindMs);
}

/** Body of {@linkcode Pong}. */
export function encodePong(message: Pong): Uint8Array {
  const writer = new WireWriter();
  writePong(writer, message);
  return writer.finish();
}

/**
 * {@linkcode Pong} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePong(body: Uint8Array): Pong {
  const reader = new WireReader(body, "Pong");
  const message: Pong = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // spread_ms = 2
        message.spreadMs = reader.uint32();
        break;
      case 24: // place_ms = 3
        message.placeMs = reader.uint32();
        break;
      case 32: // epoch = 4
        message.epoch = reader.uint64();
        break;
      case 40: // version = 5
        message.version = reader.uint32();
        break;
      case 48: // behind_ms = 6
        message.behindMs = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.epoch, "Pong.epoch");
  return message;
}

// ---- ModuleKey

function writeModuleKey(writer: WireWriter, field: number, message: ModuleKey): void {
  const start = writer.begin(field);
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.end(start);
}

function readModuleKey(reader: WireReader): ModuleKey {
  const message = { modId: 0, cmdId: 0 };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- RouteChanged

/** Message 68: whoever wrote routes to dns: look at the database now. No module: look at all. */
export interface RouteChanged {
  modules: ModuleKey[];
}

function writeRouteChanged(writer: WireWriter, message: RouteChanged): void {
  for (const inner of message.modules) writeModuleKey(writer, 1, inner);
}

/** Body of {@linkcode RouteChanged}. */
export function encodeRouteChanged(message: RouteChanged): Uint8Array {
  const writer = new WireWriter();
  writeRouteChanged(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RouteChanged} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRouteChanged(body: Uint8Array): RouteChanged {
  const reader = new WireReader(body, "RouteChanged");
  const message: RouteChanged = { modules: [] };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // module = 1
        message.modules.push(readModuleKey(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- HelloProof

/** Message 69: client to server: HMAC-SHA256 under the shared secret, see session/README.md. */
export interface HelloProof {
  mac: Uint8Array;
  /** The client's end of the connection as it sees it. */
  own?: string;
  /** And the server's. */
  other?: string;
}

function writeHelloProof(writer: WireWriter, message: HelloProof): void {
  writer.bytes(1, message.mac);
  writer.text(2, message.own);
  writer.text(3, message.other);
}

/** Body of {@linkcode HelloProof}. */
export function encodeHelloProof(message: HelloProof): Uint8Array {
  const writer = new WireWriter();
  writeHelloProof(writer, message);
  return writer.finish();
}

/**
 * {@linkcode HelloProof} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHelloProof(body: Uint8Array): HelloProof {
  const reader = new WireReader(body, "HelloProof");
  const message: HelloProof = { mac: new Uint8Array() };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // mac = 1
        message.mac = new Uint8Array(reader.bytes());
        break;
      case 18: // own = 2
        message.own = reader.text();
        if (message.own === "") delete message.own;
        break;
      case 26: // other = 3
        message.other = reader.text();
        if (message.other === "") delete message.other;
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- TableSubscribe

/**
 * Message 70: in-process client to agent: send me this route now, and again after each change.
 * Agent to dns, after SubscriptionTerms: only with end. From either server, with end: changes of
 * this module are not sent to you (any more), there are too many; ask for it again now and then.
 */
export interface TableSubscribe {
  modId: number;
  cmdId: number;
  /** True: no more of it. */
  end: boolean;
}

function writeTableSubscribe(writer: WireWriter, message: TableSubscribe): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.bool(3, message.end);
}

/** Body of {@linkcode TableSubscribe}. */
export function encodeTableSubscribe(message: TableSubscribe): Uint8Array {
  const writer = new WireWriter();
  writeTableSubscribe(writer, message);
  return writer.finish();
}

/**
 * {@linkcode TableSubscribe} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSubscribe(body: Uint8Array): TableSubscribe {
  const reader = new WireReader(body, "TableSubscribe");
  const message: TableSubscribe = { modId: 0, cmdId: 0, end: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 24: // end = 3
        message.end = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- NodeCalls

/** Calls of one node inside ModuleCalls. */
export interface NodeCalls {
  ip: number;
  port: number;
  succ: number;
  err: number;
  /** What err counts in the rules; see failureWeight of the balancer. */
  errWeight: number;
  /** Successes in a row at the end; 0 when the last call failed. */
  continSucc: number;
  /** Failures in a row at the end; 0 when the last call went well. */
  continErr: number;
  /** Of err: the node turned the call away because it is overloaded. */
  errPushback: number;
  /** Of err: the connection was refused or lost. */
  errRefused: number;
  /** Of err: given up. */
  errTimeout: number;
  /** Calls whose time was told. */
  timed: number;
  /** What those took together, in milliseconds. At most 2^53 - 1. */
  timeMs: number;
}

function writeNodeCalls(writer: WireWriter, field: number, message: NodeCalls): void {
  const start = writer.begin(field);
  writer.int32(1, message.ip);
  writer.int32(2, message.port);
  writer.uint32(3, message.succ);
  writer.uint32(4, message.err);
  writer.uint32(5, message.errWeight);
  writer.uint32(6, message.continSucc);
  writer.uint32(7, message.continErr);
  writer.uint32(8, message.errPushback);
  writer.uint32(9, message.errRefused);
  writer.uint32(10, message.errTimeout);
  writer.uint32(11, message.timed);
  writer.uint64(12, message.timeMs);
  writer.end(start);
}

function readNodeCalls(reader: WireReader): NodeCalls {
  const message: NodeCalls = {
    ip: 0,
    port: 0,
    succ: 0,
    err: 0,
    errWeight: 0,
    continSucc: 0,
    continErr: 0,
    errPushback: 0,
    errRefused: 0,
    errTimeout: 0,
    timed: 0,
    timeMs: 0,
  };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // ip = 1
        message.ip = reader.uint32();
        break;
      case 16: // port = 2
        message.port = reader.uint32();
        break;
      case 24: // succ = 3
        message.succ = reader.uint32();
        break;
      case 32: // err = 4
        message.err = reader.uint32();
        break;
      case 40: // err_weight = 5
        message.errWeight = reader.uint32();
        break;
      case 48: // contin_succ = 6
        message.continSucc = reader.uint32();
        break;
      case 56: // contin_err = 7
        message.continErr = reader.uint32();
        break;
      case 64: // err_pushback = 8
        message.errPushback = reader.uint32();
        break;
      case 72: // err_refused = 9
        message.errRefused = reader.uint32();
        break;
      case 80: // err_timeout = 10
        message.errTimeout = reader.uint32();
        break;
      case 88: // timed = 11
        message.timed = reader.uint32();
        break;
      case 96: // time_ms = 12
        message.timeMs = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.timeMs, "NodeCalls.time_ms");
  return message;
}

// ---- ModuleCalls

/** Calls of one module inside CallReports. */
export interface ModuleCalls {
  modId: number;
  cmdId: number;
  nodes: NodeCalls[];
  /** New since the batch before; absent: none. */
  refused?: RefusedCalls;
}

function writeModuleCalls(writer: WireWriter, field: number, message: ModuleCalls): void {
  const start = writer.begin(field);
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  for (const inner of message.nodes) writeNodeCalls(writer, 3, inner);
  if (message.refused !== undefined) writeRefusedCalls(writer, 4, message.refused);
  writer.end(start);
}

function readModuleCalls(reader: WireReader): ModuleCalls {
  const message: ModuleCalls = { modId: 0, cmdId: 0, nodes: [] };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // node = 3
        message.nodes.push(readNodeCalls(reader));
        break;
      case 34: // refused = 4
        message.refused = readRefusedCalls(
          reader,
          message.refused ?? {
            overload: 0,
            unusable: 0,
            noNode: 0,
            noRoute: 0,
            fresh: false,
          },
        );
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- CallReports

/**
 * Message 71: in-process client to agent: the outcomes of calls since the batch before. Sent again,
 * with the same numbers, over the next connection when no CallReportsTaken came.
 */
export interface CallReports {
  /** Number of the client, by chance. At most 2^53 - 1. */
  session: number;
  /** Number of the batch, from 1. */
  seq: number;
  modules: ModuleCalls[];
}

function writeCallReports(writer: WireWriter, message: CallReports): void {
  writer.uint64(1, message.session);
  writer.uint32(2, message.seq);
  for (const inner of message.modules) writeModuleCalls(writer, 3, inner);
}

/** Body of {@linkcode CallReports}. */
export function encodeCallReports(message: CallReports): Uint8Array {
  const writer = new WireWriter();
  writeCallReports(writer, message);
  return writer.finish();
}

/**
 * {@linkcode CallReports} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReports(body: Uint8Array): CallReports {
  const reader = new WireReader(body, "CallReports");
  const message: CallReports = { session: 0, seq: 0, modules: [] };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // session = 1
        message.session = reader.uint64();
        break;
      case 16: // seq = 2
        message.seq = reader.uint32();
        break;
      case 26: // module = 3
        message.modules.push(readModuleCalls(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.session, "CallReports.session");
  return message;
}

// ---- CallReportsTaken

/** Message 72: agent to in-process client: the batch has been counted, once. */
export interface CallReportsTaken {
  seq: number;
}

function writeCallReportsTaken(writer: WireWriter, message: CallReportsTaken): void {
  writer.uint32(1, message.seq);
}

/** Body of {@linkcode CallReportsTaken}. */
export function encodeCallReportsTaken(message: CallReportsTaken): Uint8Array {
  const writer = new WireWriter();
  writeCallReportsTaken(writer, message);
  return writer.finish();
}

/**
 * {@linkcode CallReportsTaken} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReportsTaken(body: Uint8Array): CallReportsTaken {
  const reader = new WireReader(body, "CallReportsTaken");
  const message: CallReportsTaken = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- TableSettings

/**
 * Message 78: agent to in-process client: by what rules it judges, and where it stands. Before the
 * first route, and again when it has read its configuration anew.
 */
export interface TableSettings {
  /** JSON: the numbers of [loadbalance], under the names of BalanceSettings. */
  rules: string;
  /** Of the agent; empty: none. */
  zone: string;
}

function writeTableSettings(writer: WireWriter, message: TableSettings): void {
  writer.text(1, message.rules);
  writer.text(2, message.zone);
}

/** Body of {@linkcode TableSettings}. */
export function encodeTableSettings(message: TableSettings): Uint8Array {
  const writer = new WireWriter();
  writeTableSettings(writer, message);
  return writer.finish();
}

/**
 * {@linkcode TableSettings} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSettings(body: Uint8Array): TableSettings {
  const reader = new WireReader(body, "TableSettings");
  const message: TableSettings = { rules: "", zone: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // rules = 1
        message.rules = reader.text();
        break;
      case 18: // zone = 2
        message.zone = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- NodeUseRequest

/** Message 73: tool to dns, which asks each of its agents: do you still use this node? */
export interface NodeUseRequest {
  /** Comes back in the answer. */
  seq: number;
  modId: number;
  cmdId: number;
  ip: number;
  port: number;
}

function writeNodeUseRequest(writer: WireWriter, message: NodeUseRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.int32(4, message.ip);
  writer.int32(5, message.port);
}

/** Body of {@linkcode NodeUseRequest}. */
export function encodeNodeUseRequest(message: NodeUseRequest): Uint8Array {
  const writer = new WireWriter();
  writeNodeUseRequest(writer, message);
  return writer.finish();
}

/**
 * {@linkcode NodeUseRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUseRequest(body: Uint8Array): NodeUseRequest {
  const reader = new WireReader(body, "NodeUseRequest");
  const message: NodeUseRequest = { seq: 0, modId: 0, cmdId: 0, ip: 0, port: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // ip = 4
        message.ip = reader.uint32();
        break;
      case 40: // port = 5
        message.port = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- NodeUse

/** Message 74: agent to dns: the answer to NodeUseRequest with the same seq. */
export interface NodeUse {
  seq: number;
  /** One of NodeUseState. */
  state: number;
  /** Milliseconds since it was last picked, or a result of it came; absent: not known. */
  idleMs?: number;
  /** In-process clients that have the route from this agent. */
  clients: number;
}

function writeNodeUse(writer: WireWriter, message: NodeUse): void {
  writer.uint32(1, message.seq);
  writer.uint32(2, message.state);
  writer.optionalUint32(3, message.idleMs);
  writer.uint32(4, message.clients);
}

/** Body of {@linkcode NodeUse}. */
export function encodeNodeUse(message: NodeUse): Uint8Array {
  const writer = new WireWriter();
  writeNodeUse(writer, message);
  return writer.finish();
}

/**
 * {@linkcode NodeUse} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUse(body: Uint8Array): NodeUse {
  const reader = new WireReader(body, "NodeUse");
  const message: NodeUse = { seq: 0, state: 0, clients: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // state = 2
        message.state = reader.uint32();
        break;
      case 24: // idle_ms = 3
        message.idleMs = reader.uint32();
        break;
      case 32: // clients = 4
        message.clients = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- AgentUse

/** One agent inside NodeUseReport. */
export interface AgentUse {
  /** Host:port of its connection. */
  agent: string;
  state: number;
  idleMs?: number;
  clients: number;
  /** True: did not answer in time, and nothing else is known. */
  silent: boolean;
  /** Its name, by its AgentStatus; absent: it has not told. */
  agentIp?: number;
  agentPort?: number;
}

function writeAgentUse(writer: WireWriter, field: number, message: AgentUse): void {
  const start = writer.begin(field);
  writer.text(1, message.agent);
  writer.uint32(2, message.state);
  writer.optionalUint32(3, message.idleMs);
  writer.uint32(4, message.clients);
  writer.bool(5, message.silent);
  writer.optionalUint32(6, message.agentIp);
  writer.optionalUint32(7, message.agentPort);
  writer.end(start);
}

function readAgentUse(reader: WireReader): AgentUse {
  const message: AgentUse = { agent: "", state: 0, clients: 0, silent: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // agent = 1
        message.agent = reader.text();
        break;
      case 16: // state = 2
        message.state = reader.uint32();
        break;
      case 24: // idle_ms = 3
        message.idleMs = reader.uint32();
        break;
      case 32: // clients = 4
        message.clients = reader.uint32();
        break;
      case 40: // silent = 5
        message.silent = reader.bool();
        break;
      case 48: // agent_ip = 6
        message.agentIp = reader.uint32();
        break;
      case 56: // agent_port = 7
        message.agentPort = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- NodeUseReport

/** Message 75: dns to tool: what its agents said. */
export interface NodeUseReport {
  seq: number;
  agents: AgentUse[];
  /** Peers of the original protocol subscribed to the module: they cannot be asked. */
  plain: number;
  /** True: there are more agents than fit. */
  cut: boolean;
}

function writeNodeUseReport(writer: WireWriter, message: NodeUseReport): void {
  writer.uint32(1, message.seq);
  for (const inner of message.agents) writeAgentUse(writer, 2, inner);
  writer.uint32(3, message.plain);
  writer.bool(4, message.cut);
}

/** Body of {@linkcode NodeUseReport}. */
export function encodeNodeUseReport(message: NodeUseReport): Uint8Array {
  const writer = new WireWriter();
  writeNodeUseReport(writer, message);
  return writer.finish();
}

/**
 * {@linkcode NodeUseReport} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUseReport(body: Uint8Array): NodeUseReport {
  const reader = new WireReader(body, "NodeUseReport");
  const message: NodeUseReport = { seq: 0, agents: [], plain: 0, cut: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 18: // agent = 2
        message.agents.push(readAgentUse(reader));
        break;
      case 24: // plain = 3
        message.plain = reader.uint32();
        break;
      case 32: // cut = 4
        message.cut = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- ExplainRequest

/** Message 76: caller to agent, tool to dns, and dns to that agent: why is which node picked? */
export interface ExplainRequest {
  seq: number;
  modId: number;
  cmdId: number;
  /** First node wanted, counted from 0. */
  from: number;
  token?: Uint8Array;
  /** Towards dns: the agent that is meant, by its AgentStatus. */
  agentIp?: number;
  agentPort?: number;
}

function writeExplainRequest(writer: WireWriter, message: ExplainRequest): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.from);
  writer.bytes(16, message.token);
  writer.optionalUint32(17, message.agentIp);
  writer.optionalUint32(18, message.agentPort);
}

/** Body of {@linkcode ExplainRequest}. */
export function encodeExplainRequest(message: ExplainRequest): Uint8Array {
  const writer = new WireWriter();
  writeExplainRequest(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode ExplainRequest}, as message ExplainRequest. */
export function frameExplainRequest(message: ExplainRequest): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeExplainRequest(writer, message);
  return writer.finishFrame(MessageId.ExplainRequest);
}

/**
 * {@linkcode ExplainRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainRequest(body: Uint8Array): ExplainRequest {
  const reader = new WireReader(body, "ExplainRequest");
  const message: ExplainRequest = { seq: 0, modId: 0, cmdId: 0, from: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // from = 4
        message.from = reader.uint32();
        break;
      case 130: // token = 16
        message.token = new Uint8Array(reader.bytes());
        if (message.token.length === 0) delete message.token;
        break;
      case 136: // agent_ip = 17
        message.agentIp = reader.uint32();
        break;
      case 144: // agent_port = 18
        message.agentPort = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- ExplainResponse

/** Message 77: agent to caller, agent to dns, dns to tool. */
export interface ExplainResponse {
  seq: number;
  modId: number;
  cmdId: number;
  from: number;
  /** JSON; empty: the agent does not know the module. */
  explanation: string;
  /** Of dns: one of ExplainOutcome; absent: the agent answered. */
  outcome?: number;
}

function writeExplainResponse(writer: WireWriter, message: ExplainResponse): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.from);
  writer.text(5, message.explanation);
  writer.optionalUint32(6, message.outcome);
}

/** Body of {@linkcode ExplainResponse}. */
export function encodeExplainResponse(message: ExplainResponse): Uint8Array {
  const writer = new WireWriter();
  writeExplainResponse(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode ExplainResponse}, as message ExplainResponse. */
export function frameExplainResponse(message: ExplainResponse): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeExplainResponse(writer, message);
  return writer.finishFrame(MessageId.ExplainResponse);
}

/**
 * {@linkcode ExplainResponse} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainResponse(body: Uint8Array): ExplainResponse {
  const reader = new WireReader(body, "ExplainResponse");
  const message: ExplainResponse = { seq: 0, modId: 0, cmdId: 0, from: 0, explanation: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // from = 4
        message.from = reader.uint32();
        break;
      case 42: // explanation = 5
        message.explanation = reader.text();
        break;
      case 48: // outcome = 6
        message.outcome = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- AgentStatus

/**
 * Message 79: agent to dns: who I am and how I do. After Hello, after a change, and now and then.
 */
export interface AgentStatus {
  /** Of its host; with port its name in the console. */
  ip: number;
  /** The first of its UDP ports. */
  port: number;
  /** Empty: none. */
  zone: string;
  /** Unix seconds, by its own clock. */
  startedAt: number;
  /** That callers asked it for. */
  modules: number;
  /** Modules of which it holds a change back. */
  held: number;
  /** The first of them, for people: 1,2: 0 of 3 nodes, 12 s; empty: none. */
  heldRoutes: string;
  /** Since the start. */
  policiesRefused: number;
  reporterConnected: boolean;
  /** That follow routes through it in their own processes. */
  clients?: number;
  /** That told of calls by its table in the last minute. */
  tableReaders?: number;
}

function writeAgentStatus(writer: WireWriter, message: AgentStatus): void {
  writer.int32(1, message.ip);
  writer.int32(2, message.port);
  writer.text(3, message.zone);
  writer.uint32(4, message.startedAt);
  writer.uint32(5, message.modules);
  writer.uint32(6, message.held);
  writer.text(7, message.heldRoutes);
  writer.uint32(8, message.policiesRefused);
  writer.bool(9, message.reporterConnected);
  writer.optionalUint32(10, message.clients);
  writer.optionalUint32(11, message.tableReaders);
}

/** Body of {@linkcode AgentStatus}. */
export function encodeAgentStatus(message: AgentStatus): Uint8Array {
  const writer = new WireWriter();
  writeAgentStatus(writer, message);
  return writer.finish();
}

/**
 * {@linkcode AgentStatus} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeAgentStatus(body: Uint8Array): AgentStatus {
  const reader = new WireReader(body, "AgentStatus");
  const message: AgentStatus = {
    ip: 0,
    port: 0,
    zone: "",
    startedAt: 0,
    modules: 0,
    held: 0,
    heldRoutes: "",
    policiesRefused: 0,
    reporterConnected: false,
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // ip = 1
        message.ip = reader.uint32();
        break;
      case 16: // port = 2
        message.port = reader.uint32();
        break;
      case 26: // zone = 3
        message.zone = reader.text();
        break;
      case 32: // started_at = 4
        message.startedAt = reader.uint32();
        break;
      case 40: // modules = 5
        message.modules = reader.uint32();
        break;
      case 48: // held = 6
        message.held = reader.uint32();
        break;
      case 58: // held_routes = 7
        message.heldRoutes = reader.text();
        break;
      case 64: // policies_refused = 8
        message.policiesRefused = reader.uint32();
        break;
      case 72: // reporter_connected = 9
        message.reporterConnected = reader.bool();
        break;
      case 80: // clients = 10
        message.clients = reader.uint32();
        break;
      case 88: // table_readers = 11
        message.tableReaders = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- Refusal

/**
 * Message 80: both ways, to a peer that said Hello: I do not talk to you, and close. A PeerRefusal.
 */
export interface Refusal {
  reason: number;
}

function writeRefusal(writer: WireWriter, message: Refusal): void {
  writer.uint32(1, message.reason);
}

/** Body of {@linkcode Refusal}. */
export function encodeRefusal(message: Refusal): Uint8Array {
  const writer = new WireWriter();
  writeRefusal(writer, message);
  return writer.finish();
}

/**
 * {@linkcode Refusal} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRefusal(body: Uint8Array): Refusal {
  const reader = new WireReader(body, "Refusal");
  const message: Refusal = { reason: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // reason = 1
        message.reason = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- Goodbye

/** Message 81: agent to dns: I stop because I was asked to. The last message of a connection. */
export interface Goodbye {
  /** For people; empty: none. */
  reason: string;
}

function writeGoodbye(writer: WireWriter, message: Goodbye): void {
  writer.text(1, message.reason);
}

/** Body of {@linkcode Goodbye}. */
export function encodeGoodbye(message: Goodbye): Uint8Array {
  const writer = new WireWriter();
  writeGoodbye(writer, message);
  return writer.finish();
}

/**
 * {@linkcode Goodbye} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGoodbye(body: Uint8Array): Goodbye {
  const reader = new WireReader(body, "Goodbye");
  const message: Goodbye = { reason: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // reason = 1
        message.reason = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- SubscriptionTerms

/**
 * Message 82: dns to agent, after its first AgentStatus: subscriptions may be ended, and this is
 * how many there may be.
 */
export interface SubscriptionTerms {
  /** Of one connection. */
  modulesMax: number;
  /** Of these, modules that have no nodes. */
  nodelessMax: number;
}

function writeSubscriptionTerms(writer: WireWriter, message: SubscriptionTerms): void {
  writer.uint32(1, message.modulesMax);
  writer.uint32(2, message.nodelessMax);
}

/** Body of {@linkcode SubscriptionTerms}. */
export function encodeSubscriptionTerms(message: SubscriptionTerms): Uint8Array {
  const writer = new WireWriter();
  writeSubscriptionTerms(writer, message);
  return writer.finish();
}

/**
 * {@linkcode SubscriptionTerms} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeSubscriptionTerms(body: Uint8Array): SubscriptionTerms {
  const reader = new WireReader(body, "SubscriptionTerms");
  const message: SubscriptionTerms = { modulesMax: 0, nodelessMax: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modules_max = 1
        message.modulesMax = reader.uint32();
        break;
      case 16: // nodeless_max = 2
        message.nodelessMax = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- BatchedReport

/** Message 83: caller to agent, over UDP: outcomes of many calls. See batched_reports.md. */
export interface BatchedReport {
  /** By chance, not 0. */
  sender: number;
  /** Outcomes of this sender before this batch. At most 2^53 - 1. */
  first: number;
  /** Records of 24 bytes. */
  outcomes: Uint8Array;
}

function writeBatchedReport(writer: WireWriter, message: BatchedReport): void {
  writer.uint32(1, message.sender);
  writer.uint64(2, message.first);
  writer.bytes(3, message.outcomes);
}

/** Body of {@linkcode BatchedReport}. */
export function encodeBatchedReport(message: BatchedReport): Uint8Array {
  const writer = new WireWriter();
  writeBatchedReport(writer, message);
  return writer.finish();
}

/** Datagram of {@linkcode BatchedReport}, as message BatchedReport. */
export function frameBatchedReport(message: BatchedReport): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  writeBatchedReport(writer, message);
  return writer.finishFrame(MessageId.BatchedReport);
}

/**
 * {@linkcode BatchedReport} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeBatchedReport(body: Uint8Array): BatchedReport {
  const reader = new WireReader(body, "BatchedReport");
  const message: BatchedReport = { sender: 0, first: 0, outcomes: new Uint8Array() };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // sender = 1
        message.sender = reader.uint32();
        break;
      case 16: // first = 2
        message.first = reader.uint64();
        break;
      case 26: // outcomes = 3
        message.outcomes = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.first, "BatchedReport.first");
  return message;
}

// ---- LeaseTerms

/** What few registrations say. */
export interface LeaseTerms {
  /** What discovery is to check: tcp, or http:/path; empty: nothing. */
  check?: string;
  /** Name of the module, instead of its numbers; empty: the numbers count. */
  module?: string;
  /** On whose behalf a console asks: leases of others are left alone; empty: none. */
  owner?: string;
  /** Then: where that one asks from. */
  forHost?: string;
}

function writeLeaseTerms(writer: WireWriter, field: number, message: LeaseTerms): void {
  const start = writer.begin(field);
  writer.text(1, message.check);
  writer.text(2, message.module);
  writer.text(3, message.owner);
  writer.text(4, message.forHost);
  writer.end(start);
}

/** Reads into `message`: one that is sent twice is merged. */
function readLeaseTerms(reader: WireReader, message: LeaseTerms): LeaseTerms {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // check = 1
        message.check = reader.text();
        break;
      case 18: // module = 2
        message.module = reader.text();
        break;
      case 26: // owner = 3
        message.owner = reader.text();
        break;
      case 34: // for_host = 4
        message.forHost = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- LeaseRegister

/** Message 90: node to discovery: here I am. */
export interface LeaseRegister {
  /** Comes back in the answer. */
  seq: number;
  modId: number;
  cmdId: number;
  ip: number;
  port: number;
  /** 1000 to 86400000. */
  ttlMs: number;
  /** 0 to 10000. */
  weight: number;
  /** Empty: none. */
  zone: string;
  /** Tags and metadata, a JSON object of at most 4096 bytes; empty: none. */
  note: string;
  /** True: not ready yet. */
  waiting: boolean;
  /** The registration that it goes on from; 0: a new program. At most 2^53 - 1. */
  incarnation: number;
  /** True: the module may be one that nobody has made. */
  makesModule: boolean;
  /** True: the end of this connection says nothing of the node. */
  detached: boolean;
  terms?: LeaseTerms;
}

function writeLeaseRegister(writer: WireWriter, message: LeaseRegister): void {
  writer.uint32(1, message.seq);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.int32(4, message.ip);
  writer.int32(5, message.port);
  writer.uint32(6, message.ttlMs);
  writer.uint32(7, message.weight);
  writer.text(8, message.zone);
  writer.text(9, message.note);
  writer.bool(10, message.waiting);
  writer.uint64(11, message.incarnation);
  writer.bool(12, message.makesModule);
  writer.bool(13, message.detached);
  if (message.terms !== undefined) writeLeaseTerms(writer, 14, message.terms);
}

/** Body of {@linkcode LeaseRegister}. */
export function encodeLeaseRegister(message: LeaseRegister): Uint8Array {
  const writer = new WireWriter();
  writeLeaseRegister(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseRegister} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseRegister(body: Uint8Array): LeaseRegister {
  const reader = new WireReader(body, "LeaseRegister");
  const message: LeaseRegister = {
    seq: 0,
    modId: 0,
    cmdId: 0,
    ip: 0,
    port: 0,
    ttlMs: 0,
    weight: 0,
    zone: "",
    note: "",
    waiting: false,
    incarnation: 0,
    makesModule: false,
    detached: false,
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // ip = 4
        message.ip = reader.uint32();
        break;
      case 40: // port = 5
        message.port = reader.uint32();
        break;
      case 48: // ttl_ms = 6
        message.ttlMs = reader.uint32();
        break;
      case 56: // weight = 7
        message.weight = reader.uint32();
        break;
      case 66: // zone = 8
        message.zone = reader.text();
        break;
      case 74: // note = 9
        message.note = reader.text();
        break;
      case 80: // waiting = 10
        message.waiting = reader.bool();
        break;
      case 88: // incarnation = 11
        message.incarnation = reader.uint64();
        break;
      case 96: // makes_module = 12
        message.makesModule = reader.bool();
        break;
      case 104: // detached = 13
        message.detached = reader.bool();
        break;
      case 114: // terms = 14
        message.terms = readLeaseTerms(reader, message.terms ?? {});
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.incarnation, "LeaseRegister.incarnation");
  return message;
}

// ---- LeaseRegistered

/** Message 91: discovery to node: what came of it. */
export interface LeaseRegistered {
  seq: number;
  /** One of LeaseCode. */
  code: number;
  /** For people. */
  reason: string;
  /** Names this registration from now on. At most 2^53 - 1. */
  incarnation: number;
  /** The module that it is of. */
  modId: number;
  cmdId: number;
}

function writeLeaseRegistered(writer: WireWriter, message: LeaseRegistered): void {
  writer.uint32(1, message.seq);
  writer.uint32(2, message.code);
  writer.text(3, message.reason);
  writer.uint64(4, message.incarnation);
  writer.int32(5, message.modId);
  writer.int32(6, message.cmdId);
}

/** Body of {@linkcode LeaseRegistered}. */
export function encodeLeaseRegistered(message: LeaseRegistered): Uint8Array {
  const writer = new WireWriter();
  writeLeaseRegistered(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseRegistered} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseRegistered(body: Uint8Array): LeaseRegistered {
  const reader = new WireReader(body, "LeaseRegistered");
  const message: LeaseRegistered = {
    seq: 0,
    code: 0,
    reason: "",
    incarnation: 0,
    modId: 0,
    cmdId: 0,
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // code = 2
        message.code = reader.uint32();
        break;
      case 26: // reason = 3
        message.reason = reader.text();
        break;
      case 32: // incarnation = 4
        message.incarnation = reader.uint64();
        break;
      case 40: // modid = 5
        message.modId = reader.uint32();
        break;
      case 48: // cmdid = 6
        message.cmdId = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.incarnation, "LeaseRegistered.incarnation");
  return message;
}

// ---- LeaseName

/** A registration. */
export interface LeaseName {
  modId: number;
  cmdId: number;
  ip: number;
  port: number;
  /** At most 2^53 - 1. */
  incarnation: number;
}

function writeLeaseName(writer: WireWriter, field: number, message: LeaseName): void {
  const start = writer.begin(field);
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.int32(3, message.ip);
  writer.int32(4, message.port);
  writer.uint64(5, message.incarnation);
  writer.end(start);
}

/** Reads into `message`: one that is sent twice is merged. */
function readLeaseName(reader: WireReader, message: LeaseName): LeaseName {
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 24: // ip = 3
        message.ip = reader.uint32();
        break;
      case 32: // port = 4
        message.port = reader.uint32();
        break;
      case 40: // incarnation = 5
        message.incarnation = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.incarnation, "LeaseName.incarnation");
  return message;
}

// ---- LeaseChange

/** Message 92: node to discovery: I am different now. What is absent or empty stays. */
export interface LeaseChange {
  seq: number;
  lease?: LeaseName;
  weight?: number;
  zone?: string;
  note?: string;
  /** 1: it is, 0: no new calls. */
  ready?: number;
  /** As in LeaseTerms. */
  owner: string;
}

function writeLeaseChange(writer: WireWriter, message: LeaseChange): void {
  writer.uint32(1, message.seq);
  if (message.lease !== undefined) writeLeaseName(writer, 2, message.lease);
  writer.optionalUint32(3, message.weight);
  writer.text(4, message.zone);
  writer.text(5, message.note);
  writer.optionalUint32(6, message.ready);
  writer.text(7, message.owner);
}

/** Body of {@linkcode LeaseChange}. */
export function encodeLeaseChange(message: LeaseChange): Uint8Array {
  const writer = new WireWriter();
  writeLeaseChange(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseChange} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseChange(body: Uint8Array): LeaseChange {
  const reader = new WireReader(body, "LeaseChange");
  const message: LeaseChange = { seq: 0, owner: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 18: // lease = 2
        message.lease = readLeaseName(
          reader,
          message.lease ?? { modId: 0, cmdId: 0, ip: 0, port: 0, incarnation: 0 },
        );
        break;
      case 24: // weight = 3
        message.weight = reader.uint32();
        break;
      case 34: // zone = 4
        message.zone = reader.text();
        break;
      case 42: // note = 5
        message.note = reader.text();
        break;
      case 48: // ready = 6
        message.ready = reader.uint32();
        break;
      case 58: // owner = 7
        message.owner = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseLeave

/** Message 93: node to discovery: I am no more. */
export interface LeaseLeave {
  seq: number;
  lease?: LeaseName;
  /** As in LeaseTerms. */
  owner: string;
}

function writeLeaseLeave(writer: WireWriter, message: LeaseLeave): void {
  writer.uint32(1, message.seq);
  if (message.lease !== undefined) writeLeaseName(writer, 2, message.lease);
  writer.text(3, message.owner);
}

/** Body of {@linkcode LeaseLeave}. */
export function encodeLeaseLeave(message: LeaseLeave): Uint8Array {
  const writer = new WireWriter();
  writeLeaseLeave(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseLeave} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseLeave(body: Uint8Array): LeaseLeave {
  const reader = new WireReader(body, "LeaseLeave");
  const message: LeaseLeave = { seq: 0, owner: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 18: // lease = 2
        message.lease = readLeaseName(
          reader,
          message.lease ?? { modId: 0, cmdId: 0, ip: 0, port: 0, incarnation: 0 },
        );
        break;
      case 26: // owner = 3
        message.owner = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseDone

/** Message 94: discovery to node: what came of a change, or of leaving. */
export interface LeaseDone {
  seq: number;
  /** One of LeaseCode. */
  code: number;
  /** For people. */
  reason: string;
}

function writeLeaseDone(writer: WireWriter, message: LeaseDone): void {
  writer.uint32(1, message.seq);
  writer.uint32(2, message.code);
  writer.text(3, message.reason);
}

/** Body of {@linkcode LeaseDone}. */
export function encodeLeaseDone(message: LeaseDone): Uint8Array {
  const writer = new WireWriter();
  writeLeaseDone(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseDone} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseDone(body: Uint8Array): LeaseDone {
  const reader = new WireReader(body, "LeaseDone");
  const message: LeaseDone = { seq: 0, code: 0, reason: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // code = 2
        message.code = reader.uint32();
        break;
      case 26: // reason = 3
        message.reason = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseBeat

/**
 * Message 95: node or host to discovery: all that registered over this connection live, and these.
 */
export interface LeaseBeat {
  seq: number;
  lease: LeaseName[];
  /** As in LeaseTerms. */
  owner: string;
}

function writeLeaseBeat(writer: WireWriter, message: LeaseBeat): void {
  writer.uint32(1, message.seq);
  for (const inner of message.lease) writeLeaseName(writer, 2, inner);
  writer.text(3, message.owner);
}

/** Body of {@linkcode LeaseBeat}. */
export function encodeLeaseBeat(message: LeaseBeat): Uint8Array {
  const writer = new WireWriter();
  writeLeaseBeat(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseBeat} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseBeat(body: Uint8Array): LeaseBeat {
  const reader = new WireReader(body, "LeaseBeat");
  const message: LeaseBeat = { seq: 0, lease: [], owner: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 18: // lease = 2
        message.lease.push(
          readLeaseName(reader, { modId: 0, cmdId: 0, ip: 0, port: 0, incarnation: 0 }),
        );
        break;
      case 26: // owner = 3
        message.owner = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseBeaten

/**
 * Message 96: discovery to node or host: so many are known of this connection, and of those that
 * were named these are not.
 */
export interface LeaseBeaten {
  seq: number;
  count: number;
  lost: LeaseName[];
}

function writeLeaseBeaten(writer: WireWriter, message: LeaseBeaten): void {
  writer.uint32(1, message.seq);
  writer.uint32(2, message.count);
  for (const inner of message.lost) writeLeaseName(writer, 3, inner);
}

/** Body of {@linkcode LeaseBeaten}. */
export function encodeLeaseBeaten(message: LeaseBeaten): Uint8Array {
  const writer = new WireWriter();
  writeLeaseBeaten(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseBeaten} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseBeaten(body: Uint8Array): LeaseBeaten {
  const reader = new WireReader(body, "LeaseBeaten");
  const message: LeaseBeaten = { seq: 0, count: 0, lost: [] };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // count = 2
        message.count = reader.uint32();
        break;
      case 26: // lost = 3
        message.lost.push(
          readLeaseName(reader, { modId: 0, cmdId: 0, ip: 0, port: 0, incarnation: 0 }),
        );
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseSafeRequest

/** Message 97: node to discovery, after it said that it wants no new calls: may I stop? */
export interface LeaseSafeRequest {
  seq: number;
  lease?: LeaseName;
  /** Time without any use that makes it safe. */
  quietMs: number;
}

function writeLeaseSafeRequest(writer: WireWriter, message: LeaseSafeRequest): void {
  writer.uint32(1, message.seq);
  if (message.lease !== undefined) writeLeaseName(writer, 2, message.lease);
  writer.uint32(3, message.quietMs);
}

/** Body of {@linkcode LeaseSafeRequest}. */
export function encodeLeaseSafeRequest(message: LeaseSafeRequest): Uint8Array {
  const writer = new WireWriter();
  writeLeaseSafeRequest(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseSafeRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseSafeRequest(body: Uint8Array): LeaseSafeRequest {
  const reader = new WireReader(body, "LeaseSafeRequest");
  const message: LeaseSafeRequest = { seq: 0, quietMs: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 18: // lease = 2
        message.lease = readLeaseName(
          reader,
          message.lease ?? { modId: 0, cmdId: 0, ip: 0, port: 0, incarnation: 0 },
        );
        break;
      case 24: // quiet_ms = 3
        message.quietMs = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- LeaseSafe

/** Message 98: discovery to node: whether any agent may still use it. */
export interface LeaseSafe {
  seq: number;
  safe: boolean;
  /** For people; empty when safe. */
  waitsFor: string;
}

function writeLeaseSafe(writer: WireWriter, message: LeaseSafe): void {
  writer.uint32(1, message.seq);
  writer.bool(2, message.safe);
  writer.text(3, message.waitsFor);
}

/** Body of {@linkcode LeaseSafe}. */
export function encodeLeaseSafe(message: LeaseSafe): Uint8Array {
  const writer = new WireWriter();
  writeLeaseSafe(writer, message);
  return writer.finish();
}

/**
 * {@linkcode LeaseSafe} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaseSafe(body: Uint8Array): LeaseSafe {
  const reader = new WireReader(body, "LeaseSafe");
  const message: LeaseSafe = { seq: 0, safe: false, waitsFor: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint32();
        break;
      case 16: // safe = 2
        message.safe = reader.bool();
        break;
      case 26: // waits_for = 3
        message.waitsFor = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- FleetSubscribe

/**
 * Message 120: to dns, from who follows the whole system (exports): tell me which modules there
 * are, and which nodes agents keep out; now, and each change of it. Answered with 121 and 122.
 */
export interface FleetSubscribe {
  /** True: no more of it. */
  end: boolean;
}

function writeFleetSubscribe(writer: WireWriter, message: FleetSubscribe): void {
  writer.bool(1, message.end);
}

/** Body of {@linkcode FleetSubscribe}. */
export function encodeFleetSubscribe(message: FleetSubscribe): Uint8Array {
  const writer = new WireWriter();
  writeFleetSubscribe(writer, message);
  return writer.finish();
}

/**
 * {@linkcode FleetSubscribe} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeFleetSubscribe(body: Uint8Array): FleetSubscribe {
  const reader = new WireReader(body, "FleetSubscribe");
  const message: FleetSubscribe = { end: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // end = 1
        message.end = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- FleetModule

export interface FleetModule {
  modId: number;
  cmdId: number;
  /** Empty: it has none. */
  name: string;
  /** There is no such module any more. */
  gone: boolean;
}

function writeFleetModule(writer: WireWriter, field: number, message: FleetModule): void {
  const start = writer.begin(field);
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.text(3, message.name);
  writer.bool(4, message.gone);
  writer.end(start);
}

function readFleetModule(reader: WireReader): FleetModule {
  const message: FleetModule = { modId: 0, cmdId: 0, name: "", gone: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // name = 3
        message.name = reader.text();
        break;
      case 32: // gone = 4
        message.gone = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- FleetModules

/**
 * Message 121: dns to who follows the whole system: modules that are new, have another name, or are
 * gone.
 */
export interface FleetModules {
  modules: FleetModule[];
  /** What was told before on this connection is void: a whole list begins. */
  first: boolean;
  /** The list is whole now; later messages are changes. */
  last: boolean;
}

function writeFleetModules(writer: WireWriter, message: FleetModules): void {
  for (const inner of message.modules) writeFleetModule(writer, 1, inner);
  writer.bool(2, message.first);
  writer.bool(3, message.last);
}

/** Body of {@linkcode FleetModules}. */
export function encodeFleetModules(message: FleetModules): Uint8Array {
  const writer = new WireWriter();
  writeFleetModules(writer, message);
  return writer.finish();
}

/**
 * {@linkcode FleetModules} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeFleetModules(body: Uint8Array): FleetModules {
  const reader = new WireReader(body, "FleetModules");
  const message: FleetModules = { modules: [], first: false, last: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // module = 1
        message.modules.push(readFleetModule(reader));
        break;
      case 16: // first = 2
        message.first = reader.bool();
        break;
      case 24: // last = 3
        message.last = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- NodeOut

export interface NodeOut {
  ip: number;
  port: number;
  /** From dns: how many of its agents keep the node out. */
  agents: number;
}

function writeNodeOut(writer: WireWriter, field: number, message: NodeOut): void {
  const start = writer.begin(field);
  writer.int32(1, message.ip);
  writer.int32(2, message.port);
  writer.uint32(3, message.agents);
  writer.end(start);
}

function readNodeOut(reader: WireReader): NodeOut {
  const message: NodeOut = { ip: 0, port: 0, agents: 0 };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // ip = 1
        message.ip = reader.uint32();
        break;
      case 16: // port = 2
        message.port = reader.uint32();
        break;
      case 24: // agents = 3
        message.agents = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- NodesOut

/**
 * Message 122: agent to dns: all nodes of this module that I keep out now; none: no more. Dns to
 * who follows the whole system: the same of all its agents.
 */
export interface NodesOut {
  modId: number;
  cmdId: number;
  nodes: NodeOut[];
  /** From dns: how many of its agents use the module. */
  agents: number;
}

function writeNodesOut(writer: WireWriter, message: NodesOut): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  for (const inner of message.nodes) writeNodeOut(writer, 3, inner);
  writer.uint32(4, message.agents);
}

/** Body of {@linkcode NodesOut}. */
export function encodeNodesOut(message: NodesOut): Uint8Array {
  const writer = new WireWriter();
  writeNodesOut(writer, message);
  return writer.finish();
}

/**
 * {@linkcode NodesOut} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodesOut(body: Uint8Array): NodesOut {
  const reader = new WireReader(body, "NodesOut");
  const message: NodesOut = { modId: 0, cmdId: 0, nodes: [], agents: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 26: // node = 3
        message.nodes.push(readNodeOut(reader));
        break;
      case 32: // agents = 4
        message.agents = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayJoin

/** Message 100: client to relay: I am here. */
export interface RelayJoin {
  /** By which others reach this client; empty: it has none. */
  name: string;
  /** Answers that come after their time are wanted. */
  late: boolean;
  /** Messages kept while this client was away are wanted; it needs a name. */
  mail: boolean;
  /** Of the mailbox it knows; 0: none. At most 2^53 - 1. */
  epoch: number;
  /** Everything up to this place in that mailbox was taken. At most 2^53 - 1. */
  after: number;
}

function writeRelayJoin(writer: WireWriter, message: RelayJoin): void {
  writer.text(1, message.name);
  writer.bool(2, message.late);
  writer.bool(3, message.mail);
  writer.uint64(4, message.epoch);
  writer.uint64(5, message.after);
}

/** Body of {@linkcode RelayJoin}. */
export function encodeRelayJoin(message: RelayJoin): Uint8Array {
  const writer = new WireWriter();
  writeRelayJoin(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayJoin} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayJoin(body: Uint8Array): RelayJoin {
  const reader = new WireReader(body, "RelayJoin");
  const message: RelayJoin = { name: "", late: false, mail: false, epoch: 0, after: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // name = 1
        message.name = reader.text();
        break;
      case 16: // late = 2
        message.late = reader.bool();
        break;
      case 24: // mail = 3
        message.mail = reader.bool();
        break;
      case 32: // epoch = 4
        message.epoch = reader.uint64();
        break;
      case 40: // after = 5
        message.after = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.epoch, "RelayJoin.epoch");
  checkSafe(message.after, "RelayJoin.after");
  return message;
}

// ---- RelayJoined

/** Message 101: relay to client: this is your number. */
export interface RelayJoined {
  /** From 1, never used again while the relay lives. */
  sid: number;
  /** RELAY_OK, or why there is no name or no mailbox. */
  status: number;
  /** Of the mailbox; 0: there is none. At most 2^53 - 1. */
  epoch: number;
  /** Messages from behind this place follow. At most 2^53 - 1. */
  after: number;
  /** Messages that the client has not taken and that will not come. At most 2^53 - 1. */
  missing: number;
  /** The mailbox is the one the client knows, and nothing is missing. */
  recovered: boolean;
}

function writeRelayJoined(writer: WireWriter, message: RelayJoined): void {
  writer.uint32(1, message.sid);
  writer.uint32(2, message.status);
  writer.uint64(3, message.epoch);
  writer.uint64(4, message.after);
  writer.uint64(5, message.missing);
  writer.bool(6, message.recovered);
}

/** Body of {@linkcode RelayJoined}. */
export function encodeRelayJoined(message: RelayJoined): Uint8Array {
  const writer = new WireWriter();
  writeRelayJoined(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayJoined} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayJoined(body: Uint8Array): RelayJoined {
  const reader = new WireReader(body, "RelayJoined");
  const message: RelayJoined = {
    sid: 0,
    status: 0,
    epoch: 0,
    after: 0,
    missing: 0,
    recovered: false,
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // sid = 1
        message.sid = reader.uint32();
        break;
      case 16: // status = 2
        message.status = reader.uint32();
        break;
      case 24: // epoch = 3
        message.epoch = reader.uint64();
        break;
      case 32: // after = 4
        message.after = reader.uint64();
        break;
      case 40: // missing = 5
        message.missing = reader.uint64();
        break;
      case 48: // recovered = 6
        message.recovered = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.epoch, "RelayJoined.epoch");
  checkSafe(message.after, "RelayJoined.after");
  checkSafe(message.missing, "RelayJoined.missing");
  return message;
}

// ---- RelayRequest

/** Message 102: client to relay: have a worker answer this. */
export interface RelayRequest {
  /** Of this client, comes back in the answer. */
  number: number;
  modId: number;
  cmdId: number;
  /** For the answer to come; 0: what the relay has for all. */
  ttlMs: number;
  /** Requests of one key go to one worker where it can be; absent: none. */
  key?: Uint8Array;
  data: Uint8Array;
}

function writeRelayRequest(writer: WireWriter, message: RelayRequest): void {
  writer.uint32(1, message.number);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.ttlMs);
  writer.bytes(5, message.key);
  writer.bytes(6, message.data);
}

/** Body of {@linkcode RelayRequest}. */
export function encodeRelayRequest(message: RelayRequest): Uint8Array {
  const writer = new WireWriter();
  writeRelayRequest(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayRequest} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayRequest(body: Uint8Array): RelayRequest {
  const reader = new WireReader(body, "RelayRequest");
  const message: RelayRequest = {
    number: 0,
    modId: 0,
    cmdId: 0,
    ttlMs: 0,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // ttl_ms = 4
        message.ttlMs = reader.uint32();
        break;
      case 42: // key = 5
        message.key = new Uint8Array(reader.bytes());
        if (message.key.length === 0) delete message.key;
        break;
      case 50: // data = 6
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkLength(message.key, PICK_KEY_BYTES_MAX, "RelayRequest.key");
  return message;
}

// ---- RelayReply

/** Message 103: relay to client: the answer, or why there is none. */
export interface RelayReply {
  number: number;
  /** One of RelayStatus. */
  status: number;
  /** After its time; only to clients that said so. */
  late: boolean;
  data: Uint8Array;
}

function writeRelayReply(writer: WireWriter, message: RelayReply): void {
  writer.uint32(1, message.number);
  writer.uint32(2, message.status);
  writer.bool(3, message.late);
  writer.bytes(4, message.data);
}

/** Body of {@linkcode RelayReply}. */
export function encodeRelayReply(message: RelayReply): Uint8Array {
  const writer = new WireWriter();
  writeRelayReply(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayReply} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayReply(body: Uint8Array): RelayReply {
  const reader = new WireReader(body, "RelayReply");
  const message: RelayReply = {
    number: 0,
    status: 0,
    late: false,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 16: // status = 2
        message.status = reader.uint32();
        break;
      case 24: // late = 3
        message.late = reader.bool();
        break;
      case 34: // data = 4
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayWork

/** Message 104: worker to relay: I serve these modules, give me so many requests. */
export interface RelayWork {
  /** All of them; none: as before. */
  modules: ModuleKey[];
  /** Further requests that may be sent. */
  credit: number;
  /** No more requests of any module. */
  leaving: boolean;
}

function writeRelayWork(writer: WireWriter, message: RelayWork): void {
  for (const inner of message.modules) writeModuleKey(writer, 1, inner);
  writer.uint32(2, message.credit);
  writer.bool(3, message.leaving);
}

/** Body of {@linkcode RelayWork}. */
export function encodeRelayWork(message: RelayWork): Uint8Array {
  const writer = new WireWriter();
  writeRelayWork(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayWork} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayWork(body: Uint8Array): RelayWork {
  const reader = new WireReader(body, "RelayWork");
  const message: RelayWork = { modules: [], credit: 0, leaving: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // module = 1
        message.modules.push(readModuleKey(reader));
        break;
      case 16: // credit = 2
        message.credit = reader.uint32();
        break;
      case 24: // leaving = 3
        message.leaving = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayTask

/** Message 105: relay to worker: answer this. */
export interface RelayTask {
  /** Comes back in the answer. */
  task: number;
  modId: number;
  cmdId: number;
  /** The client, as the relay numbers them. */
  sid: number;
  /** Process of a client of the original; else 0. */
  cpid: number;
  /** After this nobody waits for the answer. */
  ttlMs: number;
  key?: Uint8Array;
  data: Uint8Array;
}

function writeRelayTask(writer: WireWriter, message: RelayTask): void {
  writer.uint32(1, message.task);
  writer.int32(2, message.modId);
  writer.int32(3, message.cmdId);
  writer.uint32(4, message.sid);
  writer.int32(5, message.cpid);
  writer.uint32(6, message.ttlMs);
  writer.bytes(7, message.key);
  writer.bytes(8, message.data);
}

/** Body of {@linkcode RelayTask}. */
export function encodeRelayTask(message: RelayTask): Uint8Array {
  const writer = new WireWriter();
  writeRelayTask(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayTask} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayTask(body: Uint8Array): RelayTask {
  const reader = new WireReader(body, "RelayTask");
  const message: RelayTask = {
    task: 0,
    modId: 0,
    cmdId: 0,
    sid: 0,
    cpid: 0,
    ttlMs: 0,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // task = 1
        message.task = reader.uint32();
        break;
      case 16: // modid = 2
        message.modId = reader.uint32();
        break;
      case 24: // cmdid = 3
        message.cmdId = reader.uint32();
        break;
      case 32: // sid = 4
        message.sid = reader.uint32();
        break;
      case 40: // cpid = 5
        message.cpid = reader.uint32() | 0;
        break;
      case 48: // ttl_ms = 6
        message.ttlMs = reader.uint32();
        break;
      case 58: // key = 7
        message.key = new Uint8Array(reader.bytes());
        if (message.key.length === 0) delete message.key;
        break;
      case 66: // data = 8
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkLength(message.key, PICK_KEY_BYTES_MAX, "RelayTask.key");
  return message;
}

// ---- RelayDone

/** Message 106: worker to relay: the answer, and room for further ones. */
export interface RelayDone {
  task: number;
  /** RELAY_OK or RELAY_FAILED. */
  status: number;
  /** Further requests that may be sent. */
  credit: number;
  data: Uint8Array;
}

function writeRelayDone(writer: WireWriter, message: RelayDone): void {
  writer.uint32(1, message.task);
  writer.uint32(2, message.status);
  writer.uint32(3, message.credit);
  writer.bytes(4, message.data);
}

/** Body of {@linkcode RelayDone}. */
export function encodeRelayDone(message: RelayDone): Uint8Array {
  const writer = new WireWriter();
  writeRelayDone(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayDone} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayDone(body: Uint8Array): RelayDone {
  const reader = new WireReader(body, "RelayDone");
  const message: RelayDone = { task: 0, status: 0, credit: 0, data: new Uint8Array() };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // task = 1
        message.task = reader.uint32();
        break;
      case 16: // status = 2
        message.status = reader.uint32();
        break;
      case 24: // credit = 3
        message.credit = reader.uint32();
        break;
      case 34: // data = 4
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelaySend

/** Message 107: client to relay: take this to another client, or to a group. */
export interface RelaySend {
  /** Of this client, comes back in RelaySent. */
  number: number;
  /** Name of a client, or of a group. */
  to: string;
  /** To all members that are here, but for the sender. */
  group: boolean;
  /** Keep it until the client takes it; not for groups. */
  stored: boolean;
  /** Of what is kept, in seconds; 0: what the relay has for all. */
  ttlS: number;
  /** Of what is kept: the same one of the same sender is kept once. */
  id: string;
  data: Uint8Array;
}

function writeRelaySend(writer: WireWriter, message: RelaySend): void {
  writer.uint32(1, message.number);
  writer.text(2, message.to);
  writer.bool(3, message.group);
  writer.bool(4, message.stored);
  writer.uint32(5, message.ttlS);
  writer.text(6, message.id);
  writer.bytes(7, message.data);
}

/** Body of {@linkcode RelaySend}. */
export function encodeRelaySend(message: RelaySend): Uint8Array {
  const writer = new WireWriter();
  writeRelaySend(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelaySend} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelaySend(body: Uint8Array): RelaySend {
  const reader = new WireReader(body, "RelaySend");
  const message: RelaySend = {
    number: 0,
    to: "",
    group: false,
    stored: false,
    ttlS: 0,
    id: "",
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // to = 2
        message.to = reader.text();
        break;
      case 24: // group = 3
        message.group = reader.bool();
        break;
      case 32: // stored = 4
        message.stored = reader.bool();
        break;
      case 40: // ttl_s = 5
        message.ttlS = reader.uint32();
        break;
      case 50: // id = 6
        message.id = reader.text();
        break;
      case 58: // data = 7
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelaySent

/** Message 108: relay to client: it has been taken, or why not. What is kept is on disk by then. */
export interface RelaySent {
  number: number;
  /** One of RelayStatus. */
  status: number;
  /** Of a group: to how many it went. */
  receivers: number;
}

function writeRelaySent(writer: WireWriter, message: RelaySent): void {
  writer.uint32(1, message.number);
  writer.uint32(2, message.status);
  writer.uint32(3, message.receivers);
}

/** Body of {@linkcode RelaySent}. */
export function encodeRelaySent(message: RelaySent): Uint8Array {
  const writer = new WireWriter();
  writeRelaySent(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelaySent} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelaySent(body: Uint8Array): RelaySent {
  const reader = new WireReader(body, "RelaySent");
  const message: RelaySent = { number: 0, status: 0, receivers: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 16: // status = 2
        message.status = reader.uint32();
        break;
      case 24: // receivers = 3
        message.receivers = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayMessage

/** Message 109: relay to client: somebody has sent you this. */
export interface RelayMessage {
  /** Empty: the sender has no name. */
  from: string;
  /** Empty: to this client alone. */
  group: string;
  /** Place in the mailbox, from 1; 0: it was not kept. At most 2^53 - 1. */
  seq: number;
  id: string;
  /** Unix milliseconds, by the clock of the relay. At most 2^53 - 1. */
  sentAtMs: number;
  data: Uint8Array;
}

function writeRelayMessage(writer: WireWriter, message: RelayMessage): void {
  writer.text(1, message.from);
  writer.text(2, message.group);
  writer.uint64(3, message.seq);
  writer.text(4, message.id);
  writer.uint64(5, message.sentAtMs);
  writer.bytes(6, message.data);
}

/** Body of {@linkcode RelayMessage}. */
export function encodeRelayMessage(message: RelayMessage): Uint8Array {
  const writer = new WireWriter();
  writeRelayMessage(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayMessage} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayMessage(body: Uint8Array): RelayMessage {
  const reader = new WireReader(body, "RelayMessage");
  const message: RelayMessage = {
    from: "",
    group: "",
    seq: 0,
    id: "",
    sentAtMs: 0,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // from = 1
        message.from = reader.text();
        break;
      case 18: // group = 2
        message.group = reader.text();
        break;
      case 24: // seq = 3
        message.seq = reader.uint64();
        break;
      case 34: // id = 4
        message.id = reader.text();
        break;
      case 40: // sent_at_ms = 5
        message.sentAtMs = reader.uint64();
        break;
      case 50: // data = 6
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.seq, "RelayMessage.seq");
  checkSafe(message.sentAtMs, "RelayMessage.sent_at_ms");
  return message;
}

// ---- RelayTaken

/** Message 110: client to relay: I have all up to this, also should I die now. */
export interface RelayTaken {
  /** At most 2^53 - 1. */
  seq: number;
}

function writeRelayTaken(writer: WireWriter, message: RelayTaken): void {
  writer.uint64(1, message.seq);
}

/** Body of {@linkcode RelayTaken}. */
export function encodeRelayTaken(message: RelayTaken): Uint8Array {
  const writer = new WireWriter();
  writeRelayTaken(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayTaken} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayTaken(body: Uint8Array): RelayTaken {
  const reader = new WireReader(body, "RelayTaken");
  const message: RelayTaken = { seq: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.seq, "RelayTaken.seq");
  return message;
}

// ---- RelayGroup

/** Message 111: client to relay: I belong to this group, or no more. Ends with the connection. */
export interface RelayGroup {
  /** Answered with RelaySent. */
  number: number;
  group: string;
  leave: boolean;
}

function writeRelayGroup(writer: WireWriter, message: RelayGroup): void {
  writer.uint32(1, message.number);
  writer.text(2, message.group);
  writer.bool(3, message.leave);
}

/** Body of {@linkcode RelayGroup}. */
export function encodeRelayGroup(message: RelayGroup): Uint8Array {
  const writer = new WireWriter();
  writeRelayGroup(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayGroup} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayGroup(body: Uint8Array): RelayGroup {
  const reader = new WireReader(body, "RelayGroup");
  const message: RelayGroup = { number: 0, group: "", leave: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // group = 2
        message.group = reader.text();
        break;
      case 24: // leave = 3
        message.leave = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayWho

/** Message 112: client to relay: who is here? */
export interface RelayWho {
  /** Comes back in RelayHere. */
  number: number;
  /** Of names; empty: all. */
  prefix: string;
  /** Tell changes as well, in place of those watched before. */
  watch: boolean;
}

function writeRelayWho(writer: WireWriter, message: RelayWho): void {
  writer.uint32(1, message.number);
  writer.text(2, message.prefix);
  writer.bool(3, message.watch);
}

/** Body of {@linkcode RelayWho}. */
export function encodeRelayWho(message: RelayWho): Uint8Array {
  const writer = new WireWriter();
  writeRelayWho(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayWho} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayWho(body: Uint8Array): RelayWho {
  const reader = new WireReader(body, "RelayWho");
  const message: RelayWho = { number: 0, prefix: "", watch: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // prefix = 2
        message.prefix = reader.text();
        break;
      case 24: // watch = 3
        message.watch = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayMember

/** One client inside RelayHere. */
export interface RelayMember {
  name: string;
  sid: number;
  /** Unix seconds. */
  since: number;
  /** In a change: it is here no more. */
  gone: boolean;
  /** Where it is: host:port; empty: where the message says. */
  relay: string;
}

function writeRelayMember(writer: WireWriter, field: number, message: RelayMember): void {
  const start = writer.begin(field);
  writer.text(1, message.name);
  writer.uint32(2, message.sid);
  writer.uint32(3, message.since);
  writer.bool(4, message.gone);
  writer.text(5, message.relay);
  writer.end(start);
}

function readRelayMember(reader: WireReader): RelayMember {
  const message: RelayMember = { name: "", sid: 0, since: 0, gone: false, relay: "" };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // name = 1
        message.name = reader.text();
        break;
      case 16: // sid = 2
        message.sid = reader.uint32();
        break;
      case 24: // since = 3
        message.since = reader.uint32();
        break;
      case 32: // gone = 4
        message.gone = reader.bool();
        break;
      case 42: // relay = 5
        message.relay = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- RelayHere

/** Message 113: relay to client: these are here; or, with the number 0, have come or gone. */
export interface RelayHere {
  number: number;
  members: RelayMember[];
  /** There are more than fit. */
  cut: boolean;
  /** Where they are: host:port. */
  relay: string;
}

function writeRelayHere(writer: WireWriter, message: RelayHere): void {
  writer.uint32(1, message.number);
  for (const inner of message.members) writeRelayMember(writer, 2, inner);
  writer.bool(3, message.cut);
  writer.text(4, message.relay);
}

/** Body of {@linkcode RelayHere}. */
export function encodeRelayHere(message: RelayHere): Uint8Array {
  const writer = new WireWriter();
  writeRelayHere(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayHere} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayHere(body: Uint8Array): RelayHere {
  const reader = new WireReader(body, "RelayHere");
  const message: RelayHere = { number: 0, members: [], cut: false, relay: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // member = 2
        message.members.push(readRelayMember(reader));
        break;
      case 24: // cut = 3
        message.cut = reader.bool();
        break;
      case 34: // relay = 4
        message.relay = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayAsk

/** Message 115: tool to relay: how are you, or do this. */
export interface RelayAsk {
  /** Comes back in RelayTold. */
  number: number;
  /** JSON, see relay/README.md. */
  question: string;
}

function writeRelayAsk(writer: WireWriter, message: RelayAsk): void {
  writer.uint32(1, message.number);
  writer.text(2, message.question);
}

/** Body of {@linkcode RelayAsk}. */
export function encodeRelayAsk(message: RelayAsk): Uint8Array {
  const writer = new WireWriter();
  writeRelayAsk(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayAsk} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayAsk(body: Uint8Array): RelayAsk {
  const reader = new WireReader(body, "RelayAsk");
  const message: RelayAsk = { number: 0, question: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // question = 2
        message.question = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayTold

/** Message 116: relay to tool: that is how, or what happens; of a tail one for each event. */
export interface RelayTold {
  number: number;
  /** JSON. */
  answer: string;
}

function writeRelayTold(writer: WireWriter, message: RelayTold): void {
  writer.uint32(1, message.number);
  writer.text(2, message.answer);
}

/** Body of {@linkcode RelayTold}. */
export function encodeRelayTold(message: RelayTold): Uint8Array {
  const writer = new WireWriter();
  writeRelayTold(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayTold} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayTold(body: Uint8Array): RelayTold {
  const reader = new WireReader(body, "RelayTold");
  const message: RelayTold = { number: 0, answer: "" };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // number = 1
        message.number = reader.uint32();
        break;
      case 18: // answer = 2
        message.answer = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RelayMailPut

/** One message of RelayMailEntry that was put into the mailbox. */
export interface RelayMailPut {
  sender: string;
  id: string;
  /** At most 2^53 - 1. */
  sentAtMs: number;
  /** At most 2^53 - 1. */
  expiresAtMs: number;
  data: Uint8Array;
}

function writeRelayMailPut(writer: WireWriter, field: number, message: RelayMailPut): void {
  const start = writer.begin(field);
  writer.text(1, message.sender);
  writer.text(2, message.id);
  writer.uint64(3, message.sentAtMs);
  writer.uint64(4, message.expiresAtMs);
  writer.bytes(5, message.data);
  writer.end(start);
}

function readRelayMailPut(reader: WireReader): RelayMailPut {
  const message: RelayMailPut = {
    sender: "",
    id: "",
    sentAtMs: 0,
    expiresAtMs: 0,
    data: new Uint8Array(),
  };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // sender = 1
        message.sender = reader.text();
        break;
      case 18: // id = 2
        message.id = reader.text();
        break;
      case 24: // sent_at_ms = 3
        message.sentAtMs = reader.uint64();
        break;
      case 32: // expires_at_ms = 4
        message.expiresAtMs = reader.uint64();
        break;
      case 42: // data = 5
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.sentAtMs, "RelayMailPut.sent_at_ms");
  checkSafe(message.expiresAtMs, "RelayMailPut.expires_at_ms");
  return message;
}

// ---- RelayMailEnd

/** One message that is in the mailbox no more; its id stays known for a while. */
export interface RelayMailEnd {
  /** At most 2^53 - 1. */
  seq: number;
  sender: string;
  id: string;
  /** At most 2^53 - 1. */
  sentAtMs: number;
  /** Else it was taken. */
  expired: boolean;
}

function writeRelayMailEnd(writer: WireWriter, field: number, message: RelayMailEnd): void {
  const start = writer.begin(field);
  writer.uint64(1, message.seq);
  writer.text(2, message.sender);
  writer.text(3, message.id);
  writer.uint64(4, message.sentAtMs);
  writer.bool(5, message.expired);
  writer.end(start);
}

function readRelayMailEnd(reader: WireReader): RelayMailEnd {
  const message: RelayMailEnd = { seq: 0, sender: "", id: "", sentAtMs: 0, expired: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // seq = 1
        message.seq = reader.uint64();
        break;
      case 18: // sender = 2
        message.sender = reader.text();
        break;
      case 26: // id = 3
        message.id = reader.text();
        break;
      case 32: // sent_at_ms = 4
        message.sentAtMs = reader.uint64();
        break;
      case 40: // expired = 5
        message.expired = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.seq, "RelayMailEnd.seq");
  checkSafe(message.sentAtMs, "RelayMailEnd.sent_at_ms");
  return message;
}

// ---- RelayMailEntry

/**
 * One entry of the log that relays share: what was done to one mailbox, and where it stands then.
 */
export interface RelayMailEntry {
  /** Of the mailbox. */
  name: string;
  /** The relay and its attempt, never used again. */
  writer: string;
  /** Place of the newest message that was ever put. At most 2^53 - 1. */
  last: number;
  /** Everything up to this was taken. At most 2^53 - 1. */
  taken: number;
  /** The last one has the place `last`, those before it come before. */
  puts: RelayMailPut[];
  ends: RelayMailEnd[];
  /**
   * Entry of this mailbox that was the newest; void where another came between. At most 2^53 - 1.
   */
  after: number;
}

function writeRelayMailEntry(writer: WireWriter, message: RelayMailEntry): void {
  writer.text(1, message.name);
  writer.text(2, message.writer);
  writer.uint64(3, message.last);
  writer.uint64(4, message.taken);
  for (const inner of message.puts) writeRelayMailPut(writer, 5, inner);
  for (const inner of message.ends) writeRelayMailEnd(writer, 6, inner);
  writer.uint64(7, message.after);
}

/** Body of {@linkcode RelayMailEntry}. */
export function encodeRelayMailEntry(message: RelayMailEntry): Uint8Array {
  const writer = new WireWriter();
  writeRelayMailEntry(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayMailEntry} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayMailEntry(body: Uint8Array): RelayMailEntry {
  const reader = new WireReader(body, "RelayMailEntry");
  const message: RelayMailEntry = {
    name: "",
    writer: "",
    last: 0,
    taken: 0,
    puts: [],
    ends: [],
    after: 0,
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // name = 1
        message.name = reader.text();
        break;
      case 18: // writer = 2
        message.writer = reader.text();
        break;
      case 24: // last = 3
        message.last = reader.uint64();
        break;
      case 32: // taken = 4
        message.taken = reader.uint64();
        break;
      case 42: // put = 5
        message.puts.push(readRelayMailPut(reader));
        break;
      case 50: // end = 6
        message.ends.push(readRelayMailEnd(reader));
        break;
      case 56: // after = 7
        message.after = reader.uint64();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.last, "RelayMailEntry.last");
  checkSafe(message.taken, "RelayMailEntry.taken");
  checkSafe(message.after, "RelayMailEntry.after");
  return message;
}

// ---- RelayPresent

/** One client inside RelayPresence. */
export interface RelayPresent {
  name: string;
  sid: number;
  /** Unix milliseconds. At most 2^53 - 1. */
  sinceMs: number;
  /** Of several that have this name the one with the highest claim keeps it. At most 2^53 - 1. */
  claim: number;
  /** It is here no more. */
  gone: boolean;
}

function writeRelayPresent(writer: WireWriter, field: number, message: RelayPresent): void {
  const start = writer.begin(field);
  writer.text(1, message.name);
  writer.uint32(2, message.sid);
  writer.uint64(3, message.sinceMs);
  writer.uint64(4, message.claim);
  writer.bool(5, message.gone);
  writer.end(start);
}

function readRelayPresent(reader: WireReader): RelayPresent {
  const message: RelayPresent = { name: "", sid: 0, sinceMs: 0, claim: 0, gone: false };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // name = 1
        message.name = reader.text();
        break;
      case 16: // sid = 2
        message.sid = reader.uint32();
        break;
      case 24: // since_ms = 3
        message.sinceMs = reader.uint64();
        break;
      case 32: // claim = 4
        message.claim = reader.uint64();
        break;
      case 40: // gone = 5
        message.gone = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  checkSafe(message.sinceMs, "RelayPresent.since_ms");
  checkSafe(message.claim, "RelayPresent.claim");
  return message;
}

// ---- RelayGroupSize

/** Members of one group at one relay. */
export interface RelayGroupSize {
  group: string;
  /** 0: none any more. */
  members: number;
}

function writeRelayGroupSize(writer: WireWriter, field: number, message: RelayGroupSize): void {
  const start = writer.begin(field);
  writer.text(1, message.group);
  writer.uint32(2, message.members);
  writer.end(start);
}

function readRelayGroupSize(reader: WireReader): RelayGroupSize {
  const message: RelayGroupSize = { group: "", members: 0 };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // group = 1
        message.group = reader.text();
        break;
      case 16: // members = 2
        message.members = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- RelayPresence

/** Relay to all relays: I am here, and what has changed since the version before. */
export interface RelayPresence {
  /** Number of the relay, by chance at its start. */
  relay: string;
  /** Host:port. */
  address: string;
  /** One more with each message that changes something. At most 2^53 - 1. */
  version: number;
  /** What was told before is void: a whole list begins. */
  whole: boolean;
  /** Tell me everything. */
  ask: boolean;
  /** I stop. */
  leaving: boolean;
  /** Nothing has changed: the version is that of the newest change. */
  quiet: boolean;
  clients: RelayPresent[];
  groups: RelayGroupSize[];
  /** Modules that have workers here. */
  served: ModuleKey[];
  /** Modules that have none any more. */
  unserved: ModuleKey[];
}

function writeRelayPresence(writer: WireWriter, message: RelayPresence): void {
  writer.text(1, message.relay);
  writer.text(2, message.address);
  writer.uint64(3, message.version);
  writer.bool(4, message.whole);
  writer.bool(5, message.ask);
  writer.bool(6, message.leaving);
  writer.bool(7, message.quiet);
  for (const inner of message.clients) writeRelayPresent(writer, 8, inner);
  for (const inner of message.groups) writeRelayGroupSize(writer, 9, inner);
  for (const inner of message.served) writeModuleKey(writer, 10, inner);
  for (const inner of message.unserved) writeModuleKey(writer, 11, inner);
}

/** Body of {@linkcode RelayPresence}. */
export function encodeRelayPresence(message: RelayPresence): Uint8Array {
  const writer = new WireWriter();
  writeRelayPresence(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayPresence} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayPresence(body: Uint8Array): RelayPresence {
  const reader = new WireReader(body, "RelayPresence");
  const message: RelayPresence = {
    relay: "",
    address: "",
    version: 0,
    whole: false,
    ask: false,
    leaving: false,
    quiet: false,
    clients: [],
    groups: [],
    served: [],
    unserved: [],
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // relay = 1
        message.relay = reader.text();
        break;
      case 18: // address = 2
        message.address = reader.text();
        break;
      case 24: // version = 3
        message.version = reader.uint64();
        break;
      case 32: // whole = 4
        message.whole = reader.bool();
        break;
      case 40: // ask = 5
        message.ask = reader.bool();
        break;
      case 48: // leaving = 6
        message.leaving = reader.bool();
        break;
      case 56: // quiet = 7
        message.quiet = reader.bool();
        break;
      case 66: // client = 8
        message.clients.push(readRelayPresent(reader));
        break;
      case 74: // group = 9
        message.groups.push(readRelayGroupSize(reader));
        break;
      case 82: // served = 10
        message.served.push(readModuleKey(reader));
        break;
      case 90: // unserved = 11
        message.unserved.push(readModuleKey(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.version, "RelayPresence.version");
  return message;
}

// ---- RelayPass

/**
 * Relay to relay: a message for a client or a group, or a request for a worker, of a client here.
 */
export interface RelayPass {
  /** Who passes it on. */
  relay: string;
  /** Comes back in RelayPassed. At most 2^53 - 1. */
  number: number;
  /** Name of the client. */
  from: string;
  /** Name of a client or a group; empty: it is a request. */
  to: string;
  group: boolean;
  id: string;
  /** At most 2^53 - 1. */
  sentAtMs: number;
  modId: number;
  cmdId: number;
  /** For the answer to come. */
  ttlMs: number;
  key?: Uint8Array;
  data: Uint8Array;
}

function writeRelayPass(writer: WireWriter, message: RelayPass): void {
  writer.text(1, message.relay);
  writer.uint64(2, message.number);
  writer.text(3, message.from);
  writer.text(4, message.to);
  writer.bool(5, message.group);
  writer.text(6, message.id);
  writer.uint64(7, message.sentAtMs);
  writer.int32(8, message.modId);
  writer.int32(9, message.cmdId);
  writer.uint32(10, message.ttlMs);
  writer.bytes(11, message.key);
  writer.bytes(12, message.data);
}

/** Body of {@linkcode RelayPass}. */
export function encodeRelayPass(message: RelayPass): Uint8Array {
  const writer = new WireWriter();
  writeRelayPass(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayPass} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayPass(body: Uint8Array): RelayPass {
  const reader = new WireReader(body, "RelayPass");
  const message: RelayPass = {
    relay: "",
    number: 0,
    from: "",
    to: "",
    group: false,
    id: "",
    sentAtMs: 0,
    modId: 0,
    cmdId: 0,
    ttlMs: 0,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // relay = 1
        message.relay = reader.text();
        break;
      case 16: // number = 2
        message.number = reader.uint64();
        break;
      case 26: // from = 3
        message.from = reader.text();
        break;
      case 34: // to = 4
        message.to = reader.text();
        break;
      case 40: // group = 5
        message.group = reader.bool();
        break;
      case 50: // id = 6
        message.id = reader.text();
        break;
      case 56: // sent_at_ms = 7
        message.sentAtMs = reader.uint64();
        break;
      case 64: // modid = 8
        message.modId = reader.uint32();
        break;
      case 72: // cmdid = 9
        message.cmdId = reader.uint32();
        break;
      case 80: // ttl_ms = 10
        message.ttlMs = reader.uint32();
        break;
      case 90: // key = 11
        message.key = new Uint8Array(reader.bytes());
        if (message.key.length === 0) delete message.key;
        break;
      case 98: // data = 12
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.number, "RelayPass.number");
  checkSafe(message.sentAtMs, "RelayPass.sent_at_ms");
  checkLength(message.key, PICK_KEY_BYTES_MAX, "RelayPass.key");
  return message;
}

// ---- RelayPassed

/** Relay to relay: what became of it. */
export interface RelayPassed {
  /** Who answers. */
  relay: string;
  /** At most 2^53 - 1. */
  number: number;
  /** One of RelayStatus. */
  status: number;
  /** Of a group: to how many it went. */
  receivers: number;
  data: Uint8Array;
}

function writeRelayPassed(writer: WireWriter, message: RelayPassed): void {
  writer.text(1, message.relay);
  writer.uint64(2, message.number);
  writer.uint32(3, message.status);
  writer.uint32(4, message.receivers);
  writer.bytes(5, message.data);
}

/** Body of {@linkcode RelayPassed}. */
export function encodeRelayPassed(message: RelayPassed): Uint8Array {
  const writer = new WireWriter();
  writeRelayPassed(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RelayPassed} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRelayPassed(body: Uint8Array): RelayPassed {
  const reader = new WireReader(body, "RelayPassed");
  const message: RelayPassed = {
    relay: "",
    number: 0,
    status: 0,
    receivers: 0,
    data: new Uint8Array(),
  };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // relay = 1
        message.relay = reader.text();
        break;
      case 16: // number = 2
        message.number = reader.uint64();
        break;
      case 24: // status = 3
        message.status = reader.uint32();
        break;
      case 32: // receivers = 4
        message.receivers = reader.uint32();
        break;
      case 42: // data = 5
        message.data = new Uint8Array(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.number, "RelayPassed.number");
  return message;
}

// ---- ReportSession

/**
 * Message 86: agent to reporter, after Hello: I keep reports until they are stored. How far are
 * they?
 */
export interface ReportSession {
  /** Number of the sender, by chance, up to 2^53. At most 2^53 - 1. */
  session: number;
  /** Reports up to this number it knows to be stored, and keeps no more. At most 2^53 - 1. */
  stored: number;
  /** It ends soon, and waits until all that it has sent is stored. */
  leaving: boolean;
}

function writeReportSession(writer: WireWriter, message: ReportSession): void {
  writer.uint64(1, message.session);
  writer.uint64(2, message.stored);
  writer.bool(3, message.leaving);
}

/** Body of {@linkcode ReportSession}. */
export function encodeReportSession(message: ReportSession): Uint8Array {
  const writer = new WireWriter();
  writeReportSession(writer, message);
  return writer.finish();
}

/**
 * {@linkcode ReportSession} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportSession(body: Uint8Array): ReportSession {
  const reader = new WireReader(body, "ReportSession");
  const message: ReportSession = { session: 0, stored: 0, leaving: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // session = 1
        message.session = reader.uint64();
        break;
      case 16: // stored = 2
        message.stored = reader.uint64();
        break;
      case 24: // leaving = 3
        message.leaving = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.session, "ReportSession.session");
  checkSafe(message.stored, "ReportSession.stored");
  return message;
}

// ---- ReportsStored

/**
 * Message 87: reporter to agent: right behind its Hello and again when it is asked without numbers,
 * which says that it knows ReportSession; then how far the session is, before the first of its
 * reports is sent over this connection; then again after each COMMIT.
 */
export interface ReportsStored {
  /**
   * Reports up to this number are durable: forget them; absent: not known yet. At most 2^53 - 1.
   */
  stored?: number;
  /** Reports up to this number have arrived: do not send them again. At most 2^53 - 1. */
  held: number;
  /** True: nothing will be told of this connection; send without numbers. */
  plain: boolean;
}

function writeReportsStored(writer: WireWriter, message: ReportsStored): void {
  writer.optionalUint64(1, message.stored);
  writer.uint64(2, message.held);
  writer.bool(3, message.plain);
}

/** Body of {@linkcode ReportsStored}. */
export function encodeReportsStored(message: ReportsStored): Uint8Array {
  const writer = new WireWriter();
  writeReportsStored(writer, message);
  return writer.finish();
}

/**
 * {@linkcode ReportsStored} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportsStored(body: Uint8Array): ReportsStored {
  const reader = new WireReader(body, "ReportsStored");
  const message: ReportsStored = { held: 0, plain: false };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // stored = 1
        message.stored = reader.uint64();
        break;
      case 16: // held = 2
        message.held = reader.uint64();
        break;
      case 24: // plain = 3
        message.plain = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.stored, "ReportsStored.stored");
  checkSafe(message.held, "ReportsStored.held");
  return message;
}

// ---- FollowWay

/** One way in which programs follow through an export. */
export interface FollowWay {
  /** Xds, names, haproxy, agent-check, nginx, file. */
  way: string;
  /** Where it listens, or what it writes. */
  at: string;
  /** Programs that follow: streams, askers of the last minute, targets. */
  followers: number;
  /** Of them, those that have not taken what they were sent last. */
  behind: number;
  /** For how long the first of them. */
  behindMs: number;
  /** Why it cannot do its work; empty: nothing is wrong. */
  fault: string;
}

function writeFollowWay(writer: WireWriter, field: number, message: FollowWay): void {
  const start = writer.begin(field);
  writer.text(1, message.way);
  writer.text(2, message.at);
  writer.uint32(3, message.followers);
  writer.uint32(4, message.behind);
  writer.uint32(5, message.behindMs);
  writer.text(6, message.fault);
  writer.end(start);
}

function readFollowWay(reader: WireReader): FollowWay {
  const message: FollowWay = {
    way: "",
    at: "",
    followers: 0,
    behind: 0,
    behindMs: 0,
    fault: "",
  };
  const outerEnd = reader.enter();
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // way = 1
        message.way = reader.text();
        break;
      case 18: // at = 2
        message.at = reader.text();
        break;
      case 24: // followers = 3
        message.followers = reader.uint32();
        break;
      case 32: // behind = 4
        message.behind = reader.uint32();
        break;
      case 40: // behind_ms = 5
        message.behindMs = reader.uint32();
        break;
      case 50: // fault = 6
        message.fault = reader.text();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outerEnd);
  return message;
}

// ---- ExportStatus

/** Message 140: export to dns, after Hello: who follows through me, about every five seconds. */
export interface ExportStatus {
  /** The same as long as it runs where it runs. */
  name: string;
  /** Unix seconds, by its own clock. */
  startedAt: number;
  /** Whose routes it follows. */
  modules: number;
  ways: FollowWay[];
}

function writeExportStatus(writer: WireWriter, message: ExportStatus): void {
  writer.text(1, message.name);
  writer.uint32(2, message.startedAt);
  writer.uint32(3, message.modules);
  for (const inner of message.ways) writeFollowWay(writer, 4, inner);
}

/** Body of {@linkcode ExportStatus}. */
export function encodeExportStatus(message: ExportStatus): Uint8Array {
  const writer = new WireWriter();
  writeExportStatus(writer, message);
  return writer.finish();
}

/**
 * {@linkcode ExportStatus} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExportStatus(body: Uint8Array): ExportStatus {
  const reader = new WireReader(body, "ExportStatus");
  const message: ExportStatus = { name: "", startedAt: 0, modules: 0, ways: [] };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 10: // name = 1
        message.name = reader.text();
        break;
      case 16: // started_at = 2
        message.startedAt = reader.uint32();
        break;
      case 24: // modules = 3
        message.modules = reader.uint32();
        break;
      case 34: // way = 4
        message.ways.push(readFollowWay(reader));
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

// ---- RouteUnchanged

/**
 * Message 145: dns to agent, in place of the route that GetRouteRequest asks for: it is the one
 * whose digest was named.
 */
export interface RouteUnchanged {
  modId: number;
  cmdId: number;
  /** This one, and all others as in GetRouteResponse. At most 2^53 - 1. */
  revision?: number;
  /** At most 2^53 - 1. */
  epoch?: number;
  version?: number;
}

function writeRouteUnchanged(writer: WireWriter, message: RouteUnchanged): void {
  writer.int32(1, message.modId);
  writer.int32(2, message.cmdId);
  writer.optionalUint64(3, message.revision);
  writer.optionalUint64(4, message.epoch);
  writer.optionalUint32(5, message.version);
}

/** Body of {@linkcode RouteUnchanged}. */
export function encodeRouteUnchanged(message: RouteUnchanged): Uint8Array {
  const writer = new WireWriter();
  writeRouteUnchanged(writer, message);
  return writer.finish();
}

/**
 * {@linkcode RouteUnchanged} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRouteUnchanged(body: Uint8Array): RouteUnchanged {
  const reader = new WireReader(body, "RouteUnchanged");
  const message: RouteUnchanged = { modId: 0, cmdId: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // modid = 1
        message.modId = reader.uint32();
        break;
      case 16: // cmdid = 2
        message.cmdId = reader.uint32();
        break;
      case 24: // revision = 3
        message.revision = reader.uint64();
        break;
      case 32: // epoch = 4
        message.epoch = reader.uint64();
        break;
      case 40: // version = 5
        message.version = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  checkSafe(message.revision, "RouteUnchanged.revision");
  checkSafe(message.epoch, "RouteUnchanged.epoch");
  return message;
}

// ---- Leaving

/**
 * Message 146: server to client: I stop soon. Go elsewhere, each at its place (see Pong) in this
 * time.
 */
export interface Leaving {
  spreadMs: number;
}

function writeLeaving(writer: WireWriter, message: Leaving): void {
  writer.uint32(1, message.spreadMs);
}

/** Body of {@linkcode Leaving}. */
export function encodeLeaving(message: Leaving): Uint8Array {
  const writer = new WireWriter();
  writeLeaving(writer, message);
  return writer.finish();
}

/**
 * {@linkcode Leaving} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeLeaving(body: Uint8Array): Leaving {
  const reader = new WireReader(body, "Leaving");
  const message: Leaving = { spreadMs: 0 };
  while (reader.more) {
    const tag = reader.tag();
    switch (tag) {
      case 8: // spread_ms = 1
        message.spreadMs = reader.uint32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return message;
}

/** How one agent, or one part of it, uses a node. */
export type NodeUsage = Omit<NodeUse, "seq">;
