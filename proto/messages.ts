// Core. Every message as bytes and back, on the generated protobufjs code.
//
// Decoding follows the rules of Protocol Buffers 3: unknown fields are skipped, a known number with
// an unexpected wire type counts as unknown, the last of a repeated scalar wins. Whatever the
// bytes are, a decode function returns a message or throws a ProtocolError, nothing else.

import { messageOf, ProtocolError } from "../reactor/errors.ts";
import { lars, protobuf } from "./lars_pb.js";
import { PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import type {
  AgentStatus,
  AgentUse,
  CallReports,
  CallReportsTaken,
  ExplainRequest,
  ExplainResponse,
  GetHostRequest,
  GetHostResponse,
  GetRouteRequest,
  GetRouteResponse,
  Hello,
  HelloProof,
  HostCallResult,
  HostInfo,
  NodeCalls,
  NodeUsage,
  NodeUse,
  NodeUseReport,
  NodeUseRequest,
  Ping,
  Pong,
  ReportRequest,
  ReportStatusRequest,
  RouteChanged,
  RoutePart,
  TableSettings,
  TableSubscribe,
} from "./message_types.ts";
import type { ModuleKey } from "../model/module.ts";

export type {
  AgentStatus,
  AgentUse,
  CallReports,
  CallReportsTaken,
  ExplainRequest,
  ExplainResponse,
  GetHostRequest,
  GetHostResponse,
  GetRouteRequest,
  GetRouteResponse,
  Hello,
  HelloProof,
  HostCallResult,
  HostInfo,
  ModuleKey,
  NodeCalls,
  NodeUse,
  NodeUseReport,
  NodeUseRequest,
  Ping,
  Pong,
  ReportRequest,
  ReportStatusRequest,
  RouteChanged,
  RoutePart,
  TableSettings,
  TableSubscribe,
};

/** The reader of protobufjs skips varints of any length; the format allows ten bytes. */
class StrictReader extends protobuf.Reader {
  override skip(length?: number): this {
    if (length !== undefined) return super.skip(length) as this;
    this.uint32();
    return this;
  }
}

/** Runs a generated decoder so that nothing but a ProtocolError gets out. */
function decodeWith<T>(
  name: string,
  type: { decode(reader: protobuf.Reader): T },
  body: Uint8Array,
): T {
  try {
    return type.decode(new StrictReader(body));
  } catch (error) {
    throw new ProtocolError(`${name} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** A plain view; it may share its buffer with other messages, so it must not be transferred. */
function finish(writer: protobuf.Writer): Uint8Array {
  const bytes = writer.finish();
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The generated types say number, but 64-bit fields arrive as objects of the `long` package. */
function safeInteger(value: number | { toNumber(): number }, field: string): number {
  const number = typeof value === "number" ? value : value.toNumber();
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new ProtocolError(`${field} must be at most 2^53 - 1: current value is ${number}`);
}

/** Bytes of their own: a received body is only lent for the time of the call. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function toWireHost(host: HostInfo): lars.HostInfo.$Properties {
  return { ip: host.ip, port: host.port, weight: host.weight, zone: host.zone };
}

function fromWireHost(wire: lars.HostInfo.$Properties): HostInfo {
  const host: HostInfo = { ip: (wire.ip ?? 0) >>> 0, port: (wire.port ?? 0) >>> 0 };
  if (wire.weight !== undefined && wire.weight !== null) host.weight = wire.weight;
  if (wire.zone) host.zone = wire.zone;
  return host;
}

/** Nodes that may be picked, and those that are drained: two lists on the wire. */
function toWireHosts(
  hosts: readonly HostInfo[],
): { host: lars.HostInfo.$Properties[]; draining: lars.HostInfo.$Properties[] } {
  return {
    host: hosts.filter(({ state }) => state === undefined).map(toWireHost),
    draining: hosts.filter(({ state }) => state !== undefined).map(toWireHost),
  };
}

function fromWireHosts(
  hosts: readonly lars.HostInfo.$Properties[],
  draining: readonly lars.HostInfo.$Properties[],
): HostInfo[] {
  const drained = draining.map((wire): HostInfo => ({ ...fromWireHost(wire), state: "drain" }));
  return [...hosts.map(fromWireHost), ...drained];
}

/** Message 1 or 7 as bytes. */
export function encodeGetRouteRequest(message: GetRouteRequest): Uint8Array {
  return finish(lars.GetRouteRequest.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    token: message.token?.length ? message.token : undefined,
  }));
}

/**
 * Message 1 or 7 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteRequest(body: Uint8Array): GetRouteRequest {
  const wire = decodeWith("GetRouteRequest", lars.GetRouteRequest, body);
  const message: GetRouteRequest = { modId: wire.modid >>> 0, cmdId: wire.cmdid >>> 0 };
  if (wire.token.length > 0) message.token = ownBytes(wire.token);
  return message;
}

/** Message 2 or 8 as bytes. */
export function encodeGetRouteResponse(message: GetRouteResponse): Uint8Array {
  return finish(lars.GetRouteResponse.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    ...toWireHosts(message.hosts),
    revision: message.revision,
    policy: message.policy || undefined,
    meant: message.meant,
    guarded: message.guarded,
  }));
}

/**
 * Message 2 or 8 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetRouteResponse(body: Uint8Array): GetRouteResponse {
  const wire = decodeWith("GetRouteResponse", lars.GetRouteResponse, body);
  const message: GetRouteResponse = {
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    hosts: fromWireHosts(wire.host, wire.draining),
  };
  if (wire.revision !== undefined && wire.revision !== null) {
    message.revision = safeInteger(wire.revision, "GetRouteResponse.revision");
  }
  if (wire.policy !== "") message.policy = wire.policy;
  if (wire.meant) message.meant = true;
  if (wire.guarded) message.guarded = true;
  return message;
}

/** Message 3 as bytes. */
export function encodeReportStatusRequest(message: ReportStatusRequest): Uint8Array {
  return finish(lars.ReportStatusRequest.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    caller: message.caller,
    results: message.results.map((result) => ({
      ip: result.ip,
      port: result.port,
      succ: result.succ,
      err: result.err,
      overload: result.overload,
      succ_total: result.succTotal,
      err_total: result.errTotal,
      timed_total: result.timedTotal,
      time_ms_total: result.timeMsTotal,
    })),
    ts: message.ts,
  }));
}

function fromWireResult(wire: lars.HostCallResult.$Properties): HostCallResult {
  const result: HostCallResult = {
    ip: (wire.ip ?? 0) >>> 0,
    port: (wire.port ?? 0) >>> 0,
    succ: wire.succ ?? 0,
    err: wire.err ?? 0,
    overload: wire.overload ?? false,
  };
  if (wire.succ_total !== undefined && wire.succ_total !== null) {
    result.succTotal = safeInteger(wire.succ_total, "HostCallResult.succ_total");
  }
  if (wire.err_total !== undefined && wire.err_total !== null) {
    result.errTotal = safeInteger(wire.err_total, "HostCallResult.err_total");
  }
  if (wire.timed_total !== undefined && wire.timed_total !== null) {
    result.timedTotal = safeInteger(wire.timed_total, "HostCallResult.timed_total");
  }
  if (wire.time_ms_total !== undefined && wire.time_ms_total !== null) {
    result.timeMsTotal = safeInteger(wire.time_ms_total, "HostCallResult.time_ms_total");
  }
  return result;
}

/**
 * Message 3 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportStatusRequest(body: Uint8Array): ReportStatusRequest {
  const wire = decodeWith("ReportStatusRequest", lars.ReportStatusRequest, body);
  return {
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    caller: wire.caller >>> 0,
    results: wire.results.map(fromWireResult),
    ts: wire.ts,
  };
}

/** Message 4 as bytes. */
export function encodeGetHostRequest(message: GetHostRequest): Uint8Array {
  return finish(lars.GetHostRequest.encode({
    seq: message.seq,
    modid: message.modId,
    cmdid: message.cmdId,
    token: message.token?.length ? message.token : undefined,
    key: message.key?.length ? message.key : undefined,
  }));
}

/**
 * Message 4 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostRequest(body: Uint8Array): GetHostRequest {
  const wire = decodeWith("GetHostRequest", lars.GetHostRequest, body);
  const message: GetHostRequest = {
    seq: wire.seq,
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
  };
  if (wire.token.length > 0) message.token = ownBytes(wire.token);
  if (wire.key.length > 0) message.key = ownBytes(checkedKey(wire.key));
  return message;
}

/** @throws {ProtocolError} when a key is too long. */
function checkedKey(key: Uint8Array): Uint8Array {
  if (key.length <= PICK_KEY_BYTES_MAX) return key;
  throw new ProtocolError(
    `GetHostRequest.key must be at most ${PICK_KEY_BYTES_MAX} bytes: it has ${key.length}`,
  );
}

/** Message 5 as bytes. */
export function encodeGetHostResponse(message: GetHostResponse): Uint8Array {
  return finish(lars.GetHostResponse.encode({
    seq: message.seq,
    modid: message.modId,
    cmdid: message.cmdId,
    retcode: message.retcode,
    host: message.host === undefined ? undefined : toWireHost(message.host),
  }));
}

/**
 * Message 5 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeGetHostResponse(body: Uint8Array): GetHostResponse {
  const wire = decodeWith("GetHostResponse", lars.GetHostResponse, body);
  const message: GetHostResponse = {
    seq: wire.seq,
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    retcode: wire.retcode,
  };
  if (wire.host) message.host = fromWireHost(wire.host);
  return message;
}

/** Message 6 as bytes. */
export function encodeReportRequest(message: ReportRequest): Uint8Array {
  return finish(lars.ReportRequest.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    host: toWireHost(message.host),
    retcode: message.retcode,
    timecost: message.timecostMs,
    token: message.token?.length ? message.token : undefined,
  }));
}

/**
 * Message 6 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeReportRequest(body: Uint8Array): ReportRequest {
  const wire = decodeWith("ReportRequest", lars.ReportRequest, body);
  const message: ReportRequest = {
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    host: fromWireHost(wire.host ?? {}),
    retcode: wire.retcode,
  };
  if (wire.timecost !== undefined && wire.timecost !== null) message.timecostMs = wire.timecost;
  if (wire.token.length > 0) message.token = ownBytes(wire.token);
  return message;
}

/** Message 64 as bytes. */
export function encodeHello(message: Hello): Uint8Array {
  return finish(lars.Hello.encode({
    protocol: message.protocol,
    software: message.software,
    role: message.role,
    nonce: message.nonce?.length ? message.nonce : undefined,
    status: message.status,
  }));
}

/**
 * Message 64 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHello(body: Uint8Array): Hello {
  const wire = decodeWith("Hello", lars.Hello, body);
  const message: Hello = { protocol: wire.protocol, software: wire.software, role: wire.role };
  if (wire.nonce.length > 0) message.nonce = ownBytes(wire.nonce);
  if (wire.status !== "") message.status = wire.status;
  return message;
}

/** Message 65 as bytes. */
export function encodeRoutePart(message: RoutePart): Uint8Array {
  return finish(lars.RoutePart.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    ...toWireHosts(message.hosts),
    part: message.part,
    part_count: message.partCount,
    revision: message.revision,
    policy: message.policy || undefined,
    meant: message.meant,
    guarded: message.guarded,
  }));
}

/**
 * Message 65 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRoutePart(body: Uint8Array): RoutePart {
  const wire = decodeWith("RoutePart", lars.RoutePart, body);
  const message: RoutePart = {
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    hosts: fromWireHosts(wire.host, wire.draining),
    part: wire.part,
    partCount: wire.part_count,
  };
  if (wire.revision !== undefined && wire.revision !== null) {
    message.revision = safeInteger(wire.revision, "RoutePart.revision");
  }
  if (wire.policy !== "") message.policy = wire.policy;
  if (wire.meant) message.meant = true;
  if (wire.guarded) message.guarded = true;
  return message;
}

/** Message 66 as bytes. */
export function encodePing(message: Ping): Uint8Array {
  return finish(lars.Ping.encode({ seq: message.seq, revision: message.revision }));
}

/**
 * Message 66 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePing(body: Uint8Array): Ping {
  const wire = decodeWith("Ping", lars.Ping, body);
  const message: Ping = { seq: wire.seq };
  if (wire.revision !== undefined && wire.revision !== null) {
    message.revision = safeInteger(wire.revision, "Ping.revision");
  }
  return message;
}

/** Message 67 as bytes. */
export function encodePong(message: Pong): Uint8Array {
  return finish(lars.Pong.encode({ seq: message.seq }));
}

/**
 * Message 67 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodePong(body: Uint8Array): Pong {
  return { seq: decodeWith("Pong", lars.Pong, body).seq };
}

/** Message 68 as bytes. */
export function encodeRouteChanged(message: RouteChanged): Uint8Array {
  return finish(lars.RouteChanged.encode({
    module: message.modules.map((key) => ({ modid: key.modId, cmdid: key.cmdId })),
  }));
}

/**
 * Message 68 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeRouteChanged(body: Uint8Array): RouteChanged {
  const wire = decodeWith("RouteChanged", lars.RouteChanged, body);
  return {
    modules: wire.module.map((key) => ({
      modId: (key.modid ?? 0) >>> 0,
      cmdId: (key.cmdid ?? 0) >>> 0,
    })),
  };
}

/** Message 69 as bytes. */
export function encodeHelloProof(message: HelloProof): Uint8Array {
  return finish(lars.HelloProof.encode({ mac: message.mac }));
}

/**
 * Message 69 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeHelloProof(body: Uint8Array): HelloProof {
  return { mac: ownBytes(decodeWith("HelloProof", lars.HelloProof, body).mac) };
}

/** Message 70 as bytes. */
export function encodeTableSubscribe(message: TableSubscribe): Uint8Array {
  return finish(lars.TableSubscribe.encode({
    modid: message.modId,
    cmdid: message.cmdId,
    end: message.end,
  }));
}

/**
 * Message 70 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSubscribe(body: Uint8Array): TableSubscribe {
  const { modid, cmdid, end } = decodeWith("TableSubscribe", lars.TableSubscribe, body);
  return { modId: modid >>> 0, cmdId: cmdid >>> 0, end };
}

/** Message 78 as bytes. */
export function encodeTableSettings(message: TableSettings): Uint8Array {
  return finish(lars.TableSettings.encode({ rules: message.rules, zone: message.zone }));
}

/**
 * Message 78 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeTableSettings(body: Uint8Array): TableSettings {
  const { rules, zone } = decodeWith("TableSettings", lars.TableSettings, body);
  return { rules, zone };
}

/** Message 71 as bytes. */
export function encodeCallReports(message: CallReports): Uint8Array {
  return finish(lars.CallReports.encode({
    session: message.session,
    seq: message.seq,
    module: message.modules.map(({ modId, cmdId, nodes }) => ({
      modid: modId,
      cmdid: cmdId,
      node: nodes.map((node) => ({
        ip: node.ip,
        port: node.port,
        succ: node.succ,
        err: node.err,
        err_weight: node.errWeight,
        contin_succ: node.continSucc,
        contin_err: node.continErr,
        err_pushback: node.errPushback,
        err_refused: node.errRefused,
        err_timeout: node.errTimeout,
        timed: node.timed,
        time_ms: node.timeMs,
      })),
    })),
  }));
}

function fromWireCalls(wire: lars.NodeCalls.$Properties): NodeCalls {
  return {
    ip: (wire.ip ?? 0) >>> 0,
    port: (wire.port ?? 0) >>> 0,
    succ: wire.succ ?? 0,
    err: wire.err ?? 0,
    errWeight: wire.err_weight ?? 0,
    continSucc: wire.contin_succ ?? 0,
    continErr: wire.contin_err ?? 0,
    errPushback: wire.err_pushback ?? 0,
    errRefused: wire.err_refused ?? 0,
    errTimeout: wire.err_timeout ?? 0,
    timed: wire.timed ?? 0,
    timeMs: safeInteger(wire.time_ms ?? 0, "NodeCalls.time_ms"),
  };
}

/**
 * Message 71 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReports(body: Uint8Array): CallReports {
  const wire = decodeWith("CallReports", lars.CallReports, body);
  return {
    session: safeInteger(wire.session, "CallReports.session"),
    seq: wire.seq,
    modules: wire.module.map((module) => ({
      modId: (module.modid ?? 0) >>> 0,
      cmdId: (module.cmdid ?? 0) >>> 0,
      nodes: (module.node ?? []).map(fromWireCalls),
    })),
  };
}

/** Message 72 as bytes. */
export function encodeCallReportsTaken(message: CallReportsTaken): Uint8Array {
  return finish(lars.CallReportsTaken.encode({ seq: message.seq }));
}

/**
 * Message 72 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeCallReportsTaken(body: Uint8Array): CallReportsTaken {
  return { seq: decodeWith("CallReportsTaken", lars.CallReportsTaken, body).seq };
}

/** Message 73 as bytes. */
export function encodeNodeUseRequest(message: NodeUseRequest): Uint8Array {
  return finish(lars.NodeUseRequest.encode({
    seq: message.seq,
    modid: message.modId,
    cmdid: message.cmdId,
    ip: message.ip,
    port: message.port,
  }));
}

/**
 * Message 73 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUseRequest(body: Uint8Array): NodeUseRequest {
  const wire = decodeWith("NodeUseRequest", lars.NodeUseRequest, body);
  return {
    seq: wire.seq,
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    ip: wire.ip >>> 0,
    port: wire.port >>> 0,
  };
}

function fromWireUsage(wire: lars.NodeUse.$Properties): NodeUsage {
  const usage: NodeUsage = { state: wire.state ?? 0, clients: wire.clients ?? 0 };
  if (wire.idle_ms !== undefined && wire.idle_ms !== null) usage.idleMs = wire.idle_ms;
  return usage;
}

/** Message 74 as bytes. */
export function encodeNodeUse(message: NodeUse): Uint8Array {
  return finish(lars.NodeUse.encode({
    seq: message.seq,
    state: message.state,
    idle_ms: message.idleMs,
    clients: message.clients,
  }));
}

/**
 * Message 74 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUse(body: Uint8Array): NodeUse {
  const wire = decodeWith("NodeUse", lars.NodeUse, body);
  return { seq: wire.seq, ...fromWireUsage(wire) };
}

/** Message 75 as bytes. */
export function encodeNodeUseReport(message: NodeUseReport): Uint8Array {
  return finish(lars.NodeUseReport.encode({
    seq: message.seq,
    agent: message.agents.map((use) => ({
      agent: use.agent,
      state: use.state,
      idle_ms: use.idleMs,
      clients: use.clients,
      silent: use.silent,
    })),
    plain: message.plain,
    cut: message.cut,
  }));
}

/**
 * Message 75 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeNodeUseReport(body: Uint8Array): NodeUseReport {
  const wire = decodeWith("NodeUseReport", lars.NodeUseReport, body);
  return {
    seq: wire.seq,
    agents: wire.agent.map((use) => ({
      agent: use.agent ?? "",
      ...fromWireUsage(use),
      silent: use.silent ?? false,
    })),
    plain: wire.plain,
    cut: wire.cut,
  };
}

/** Message 76 as bytes. */
export function encodeExplainRequest(message: ExplainRequest): Uint8Array {
  return finish(lars.ExplainRequest.encode({
    seq: message.seq,
    modid: message.modId,
    cmdid: message.cmdId,
    from: message.from,
    token: message.token?.length ? message.token : undefined,
  }));
}

/**
 * Message 76 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainRequest(body: Uint8Array): ExplainRequest {
  const wire = decodeWith("ExplainRequest", lars.ExplainRequest, body);
  const message: ExplainRequest = {
    seq: wire.seq,
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    from: wire.from,
  };
  if (wire.token.length > 0) message.token = ownBytes(wire.token);
  return message;
}

/** Message 77 as bytes. */
export function encodeExplainResponse(message: ExplainResponse): Uint8Array {
  return finish(lars.ExplainResponse.encode({
    seq: message.seq,
    modid: message.modId,
    cmdid: message.cmdId,
    from: message.from,
    explanation: message.explanation,
  }));
}

/**
 * Message 77 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeExplainResponse(body: Uint8Array): ExplainResponse {
  const wire = decodeWith("ExplainResponse", lars.ExplainResponse, body);
  return {
    seq: wire.seq,
    modId: wire.modid >>> 0,
    cmdId: wire.cmdid >>> 0,
    from: wire.from,
    explanation: wire.explanation,
  };
}

/** Message 79 as bytes. */
export function encodeAgentStatus(message: AgentStatus): Uint8Array {
  return finish(lars.AgentStatus.encode({
    ip: message.ip,
    port: message.port,
    zone: message.zone,
    started_at: message.startedAt,
    modules: message.modules,
    held: message.held,
    held_routes: message.heldRoutes,
    policies_refused: message.policiesRefused,
    reporter_connected: message.reporterConnected,
  }));
}

/**
 * Message 79 from bytes.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decodeAgentStatus(body: Uint8Array): AgentStatus {
  const wire = decodeWith("AgentStatus", lars.AgentStatus, body);
  return {
    ip: wire.ip >>> 0,
    port: wire.port >>> 0,
    zone: wire.zone,
    startedAt: wire.started_at,
    modules: wire.modules,
    held: wire.held,
    heldRoutes: wire.held_routes,
    policiesRefused: wire.policies_refused,
    reporterConnected: wire.reporter_connected,
  };
}
