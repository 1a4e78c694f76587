// Shell. One port of the agent: answers its datagrams from the balancer of the modules behind it, and
// cuts long answers to one datagram.

import {
  DrainWatch,
  type Host,
  type ModuleExplanation,
  RouteLb,
  type StateChange,
  TIME_UNKNOWN_MS,
} from "../../balancer/mod.ts";
import {
  decodeExplainRequest,
  decodeGetHostRequest,
  decodeGetRouteRequest,
  decodeHello,
  decodeReportRequest,
  frameExplainResponse,
  frameGetHostResponse,
  frameGetRouteResponse,
  frameHello,
  type HostInfo,
} from "../../proto/codec.ts";
import { HELLO_PROTOCOL, MessageId, RetCode } from "../../proto/message_ids.ts";
import type { ModuleCalls } from "../../proto/codec.ts";
import { readPickKey } from "../../proto/pick_key.ts";
import { readDatagram } from "../../proto/wire.ts";
import { type Address, formatAddress, isLoopback } from "../../reactor/address.ts";
import { equalSecrets } from "../../reactor/equal_secrets.ts";
import { messageOf, ProtocolError } from "../../reactor/errors.ts";
import type { QuickHandler } from "../../reactor/fast/batch_udp.ts";
import type { Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { DATAGRAM_BYTES_MAX } from "../../reactor/runtime/common.ts";
import type { DatagramServer, UdpServerOptions } from "../../reactor/udp/udp_server.ts";
import { type PackedRoute, unpackNodes } from "../routes/packed_route.ts";
import { HotPath } from "./hot_path.ts";
import type { AgentNote, ModuleEvent, ShardInit, ShardStats, WorkerInit } from "./messages.ts";

/** What a worker is given beside its start value. */
export interface UdpWorkerOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Passes something to the main thread. */
  note(note: AgentNote): void;
  /** Makes the socket of a shard; one that hands on many datagrams at once gives them to `onQuick`. */
  makeServer(options: UdpServerOptions, onQuick: QuickHandler): DatagramServer;
  /**
   * The thread blocks in the kernel, where no timer runs: whoever drives the sockets calls
   * {@linkcode UdpWorker.turn}. @default {false}
   */
  readonly blocks?: boolean;
}

/** What a shard needs of its worker. */
export interface ShardHost {
  readonly init: WorkerInit;
  readonly options: UdpWorkerOptions;
  readonly logLimiter: LogRateLimiter;
  moduleEvent(event: ModuleEvent): void;
  stateChange(change: StateChange): void;
  /** A datagram was handled: a tick may be due sooner. */
  workDone(): void;
  statusText(): string;
}

/** One port and the balancer of the modules behind it. */
export class Shard {
  readonly index: number;
  readonly lb: RouteLb;
  readonly drains: DrainWatch;
  readonly server: DatagramServer;
  readonly #host: ShardHost;
  readonly #clock: Clock;
  readonly #token: Uint8Array | undefined;
  #malformed = 0;
  #unknownIds = 0;
  #refusedToken = 0;
  #answersCut = 0;

  constructor(shard: ShardInit, host: ShardHost) {
    const { init, options } = host;
    const { clock, rng, log } = options;
    this.index = shard.index;
    this.#host = host;
    this.#clock = clock;
    this.#token = init.token;
    const event = (kind: ModuleEvent["kind"], modId: number, cmdId: number): void =>
      host.moduleEvent({ kind, shard: shard.index, modId, cmdId });
    this.lb = new RouteLb({
      settings: init.settings,
      rng,
      zone: init.zone,
      modulesMax: init.modulesMax,
      pullsBurstMax: init.pullsBurstMax,
      pullsPerSecondMax: init.pullsPerSecondMax,
      onPull: (modId, cmdId) => event("pull", modId, cmdId),
      onForget: (modId, cmdId) => event("forget", modId, cmdId),
      onStateChange: (change) => host.stateChange(change),
    });
    this.drains = new DrainWatch(this.lb);
    this.lb.pausePulls();
    for (const route of shard.preload) {
      const { modId, cmdId, policy, parsedPolicy } = route;
      const nodes = unpackNodes(route);
      this.lb.preload(modId, cmdId, nodes, clock.nowMs());
      this.lb.setModulePolicy(modId, cmdId, policy, parsedPolicy);
      this.drains.routeTaken(modId, cmdId, nodes, clock.nowMs());
    }
    const hot = new HotPath(this.lb, init.token !== undefined);
    const server: UdpServerOptions = {
      hostname: init.hostname,
      port: shard.port,
      clock,
      log,
      onDatagram: (bytes, from) => {
        this.#receive(bytes, from);
        host.workDone();
      },
    };
    this.server = options.makeServer(
      server,
      (bytes, start, end, fromLoopback, nowMs, answer, answerStart) =>
        hot.handle(bytes, start, end, fromLoopback, nowMs, answer, answerStart),
    );
  }

  /** Dns gave a route; the main thread has seen that the balancer takes its policy. */
  takeRoute(route: PackedRoute, nowMs: number): void {
    const { modId, cmdId, policy, parsedPolicy } = route;
    const nodes = unpackNodes(route);
    this.lb.setModulePolicy(modId, cmdId, policy, parsedPolicy);
    if (this.lb.update(modId, cmdId, nodes, nowMs) === undefined) return;
    this.drains.routeTaken(modId, cmdId, nodes, nowMs);
  }

  /** In-process clients made these calls. */
  takeCalls(modules: readonly ModuleCalls[], nowMs: number): void {
    for (const { modId, cmdId, nodes, refused } of modules) {
      if (refused !== undefined) this.lb.reportRefused(modId, cmdId, refused, nowMs);
      for (const node of nodes) this.lb.reportCalls(modId, cmdId, node.ip, node.port, node, nowMs);
    }
  }

  stats(): ShardStats {
    const { received, sent, dropped } = this.server.stats;
    return {
      shard: this.index,
      ...this.lb.stats(),
      datagramsIn: received,
      datagramsOut: sent,
      answersDropped: dropped,
      malformed: this.#malformed,
      unknownIds: this.#unknownIds,
      refusedToken: this.#refusedToken,
      answersCut: this.#answersCut,
    };
  }

  #receive(bytes: Uint8Array, from: Address): void {
    try {
      const { msgId, body } = readDatagram(bytes);
      if (msgId === MessageId.GetHostRequest) this.#getHost(body, from);
      else if (msgId === MessageId.ReportRequest) this.#report(body, from);
      else if (msgId === MessageId.ApiGetRouteRequest) this.#getRoute(body, from);
      else if (msgId === MessageId.Hello) this.#hello(body, from);
      else if (msgId === MessageId.ExplainRequest) this.#explain(body, from);
      else this.#unknownIds++;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#malformed++;
      this.#complain("malformed", "Datagram is no message", from, messageOf(error));
    }
  }

  #getHost(body: Uint8Array, from: Address): void {
    const { seq, modId, cmdId, token, key } = decodeGetHostRequest(body);
    if (this.#token !== undefined && !this.#isTrusted(token, from)) return;
    const pickKey = key === undefined ? undefined : readPickKey(key);
    const picked = this.lb.getHost(modId, cmdId, this.#clock.nowMs(), pickKey);
    this.server.send(
      typeof picked === "number"
        ? frameGetHostResponse({ seq, modId, cmdId, retcode: picked })
        : frameGetHostResponse({
          seq,
          modId,
          cmdId,
          retcode: RetCode.Success,
          host: { ip: picked.ip, port: picked.port },
        }),
      from,
    );
  }

  #report(body: Uint8Array, from: Address): void {
    const { modId, cmdId, host, retcode, token, timecostMs = TIME_UNKNOWN_MS } =
      decodeReportRequest(body);
    if (this.#token !== undefined && !this.#isTrusted(token, from)) return;
    const nowMs = this.#clock.nowMs();
    this.lb.report(modId, cmdId, host.ip, host.port, retcode, timecostMs, nowMs);
  }

  #getRoute(body: Uint8Array, from: Address): void {
    const { modId, cmdId, token } = decodeGetRouteRequest(body);
    if (this.#token !== undefined && !this.#isTrusted(token, from)) return;
    const all = this.lb.getRoute(modId, cmdId, this.#clock.nowMs());
    const count = hostsThatFit(all);
    if (count < all.length) this.#answersCut++;
    const hosts = all.slice(0, count).map(({ ip, port }: Host) => ({ ip, port }));
    this.server.send(frameGetRouteResponse({ modId, cmdId, hosts }), from);
  }

  #hello(body: Uint8Array, from: Address): void {
    decodeHello(body);
    // Hello has no token, and its answer is larger than the question: with a token it is for
    // callers on this machine only.
    if (this.#token !== undefined && !this.#isTrusted(undefined, from)) return;
    const { software } = this.#host.init;
    const status = this.#host.statusText();
    this.server.send(
      frameHello({ protocol: HELLO_PROTOCOL, software, role: "agent", status }),
      from,
    );
  }

  #explain(body: Uint8Array, from: Address): void {
    const { seq, modId, cmdId, from: first, token } = decodeExplainRequest(body);
    // The answer is far larger than the question: never for strangers, with or without a token.
    if (!isLoopback(from.hostname) && this.#token === undefined) {
      this.#refusedToken++;
      return;
    }
    if (!this.#isTrusted(token, from)) return;
    const explained = this.lb.explain(modId, cmdId, this.#clock.nowMs());
    const explanation = explained === undefined ? "" : explanationPage(explained, first);
    this.server.send(frameExplainResponse({ seq, modId, cmdId, from: first, explanation }), from);
  }

  /** True for senders on this machine, and for those that know the token. */
  #isTrusted(token: Uint8Array | undefined, from: Address): boolean {
    if (isLoopback(from.hostname)) return true;
    const wanted = this.#token;
    if (
      wanted !== undefined && token !== undefined && equalSecrets(token, wanted)
    ) return true;
    this.#refusedToken++;
    this.#complain("token", "Datagram without the right token", from, undefined);
    return false;
  }

  #complain(kind: string, message: string, from: Address, error: string | undefined): void {
    const held = this.#host.logLimiter.admit(kind);
    if (held === undefined) return;
    this.#host.options.log.warn(message, { from: formatAddress(from), error, ...held });
  }
}

/** Head, and modid and cmdid of up to 11 bytes each. */
const FIXED_BYTES = 8 + 11 + 11;

/** Bytes of an int32 field with a one-byte tag; 0 is not written, negative ones take ten bytes. */
function int32FieldBytes(value: number): number {
  const signed = value | 0;
  if (signed === 0) return 0;
  if (signed < 0) return 11;
  let bytes = 2;
  for (let rest = signed >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** How many nodes, from the first, one answer can hold. */
export function hostsThatFit(
  hosts: readonly Pick<HostInfo, "ip" | "port">[],
  bytesMax = DATAGRAM_BYTES_MAX,
): number {
  let bytes = FIXED_BYTES;
  for (let i = 0; i < hosts.length; i++) {
    // Tag and length of the inner message, then its two fields.
    bytes += 2 + int32FieldBytes(hosts[i].ip) + int32FieldBytes(hosts[i].port);
    if (bytes > bytesMax) return i;
  }
  return hosts.length;
}

/** Bytes of JSON in one answer: with the fields around it below the 65,507 of a datagram. */
export const EXPLANATION_BYTES_MAX = 60_000;

/**
 * The explanation with as many nodes from number `from` on as fit, and the number of all nodes as
 * `nodeCount` beside them. At least one node is in it, if there is one from there on.
 */
export function explanationPage(
  explained: ModuleExplanation,
  from: number,
  bytesMax = EXPLANATION_BYTES_MAX,
): string {
  const { module } = explained;
  if (module === undefined) return JSON.stringify(explained);
  const encoder = new TextEncoder();
  const nodes: unknown[] = [];
  const page = { ...explained, module: { ...module, nodes, nodeCount: module.nodes.length } };
  let bytes = encoder.encode(JSON.stringify(page)).length;
  for (const node of module.nodes.slice(from)) {
    bytes += 1 + encoder.encode(JSON.stringify(node)).length;
    if (bytes > bytesMax && nodes.length > 0) break;
    nodes.push(node);
  }
  return JSON.stringify(page);
}
