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
import { ANSWER_GROWTH_MAX } from "../../proto/answer_growth.ts";
import { HEAD_BYTES, readDatagram } from "../../proto/wire.ts";
import { type Address, formatAddress, isLoopback } from "../../reactor/address.ts";
import { messageOf, ProtocolError } from "../../reactor/errors.ts";
import type { QuickHandler } from "../../reactor/fast/batch_udp.ts";
import type { Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { SEAL_GROWTH_BYTES, SealJudge } from "../../session/datagram_seal.ts";
import { proofOf } from "../../session/proof.ts";
import { Secrets } from "../../session/secrets.ts";
import { DATAGRAM_BYTES_MAX } from "../../reactor/runtime/common.ts";
import type { DatagramServer, UdpServerOptions } from "../../reactor/udp/udp_server.ts";
import { type PackedRoute, unpackNodes } from "../routes/packed_route.ts";
import type { PlanTable } from "../table/table_keeper.ts";
import { HotPath } from "./hot_path.ts";
import type {
  AgentNote,
  ModuleEvent,
  ShardInit,
  ShardStats,
  SharedTablePlace,
  TableCounts,
  WorkerInit,
} from "./messages.ts";
import { OutcomeBatches } from "./outcome_batches.ts";

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
  /**
   * Makes the table of picks, where this thread can; to be called once the ports are taken.
   *
   * @throws {Error} when it cannot be; the message says why.
   */
  makeTable?(place: SharedTablePlace, modules: number): WorkerTable;
}

/** The table of picks as a worker writes it. */
export interface WorkerTable extends PlanTable {
  readonly stats: TableCounts;
  close(): void;
}

/** What a shard needs of its worker. */
export interface ShardHost {
  readonly init: WorkerInit;
  readonly options: UdpWorkerOptions;
  readonly logLimiter: LogRateLimiter;
  /** Somebody takes the plans of modules. */
  readonly hasPlans: boolean;
  /** The balancer of a module by its home port; undefined: of another worker. */
  lbOf(modId: number, cmdId: number): RouteLb | undefined;
  moduleEvent(event: ModuleEvent): void;
  stateChange(change: StateChange): void;
  /** A datagram was handled: a tick may be due sooner. */
  workDone(): void;
  statusText(): string;
}

/** The way back to whoever asked. */
interface Answer {
  send(frame: Uint8Array): void;
  /** Longer answers are not sent. */
  readonly bytesMax: number;
}

/** Takes one kind of message. */
type Handler = (body: Uint8Array, answer: Answer, from: Address) => void;

/** One port and the balancer of the modules behind it. */
export class Shard {
  readonly index: number;
  readonly lb: RouteLb;
  readonly drains: DrainWatch;
  readonly server: DatagramServer;
  readonly #host: ShardHost;
  readonly #clock: Clock;
  readonly #secrets: Secrets | undefined;
  readonly #judge: SealJudge | undefined;
  readonly #batches: OutcomeBatches;
  #malformed = 0;
  #unknownIds = 0;
  #refusedToken = 0;
  #answersCut = 0;
  readonly #handlers: ReadonlyMap<number, Handler> = new Map<number, Handler>([
    [MessageId.GetHostRequest, (body, answer, from) => this.#getHost(body, answer, from.port)],
    [MessageId.ReportRequest, (body, _answer, from) => this.#report(body, from.port)],
    [MessageId.ApiGetRouteRequest, (body, answer) => this.#getRoute(body, answer)],
    [MessageId.Hello, (body, answer) => this.#hello(body, answer)],
    [MessageId.ExplainRequest, (body, answer) => this.#explain(body, answer)],
    [MessageId.BatchedReport, (body, _answer, from) => this.#takeBatch(body, from.port)],
  ]);

  constructor(shard: ShardInit, host: ShardHost) {
    const { init, options } = host;
    const { clock, rng, log } = options;
    this.index = shard.index;
    this.#host = host;
    this.#clock = clock;
    if (init.secrets !== undefined) {
      this.#secrets = new Secrets(init.secrets);
      this.#judge = new SealJudge(this.#secrets, proofOf, () => clock.wallMs());
    }
    const event = (kind: ModuleEvent["kind"], modId: number, cmdId: number): void =>
      host.moduleEvent({ kind, shard: shard.index, modId, cmdId });
    this.lb = new RouteLb({
      settings: init.settings,
      rng,
      zone: init.zone,
      modulesMax: init.modulesMax,
      pullsBurstMax: init.pullsBurstMax,
      pullsPerSecondMax: init.pullsPerSecondMax,
      hasPlans: host.hasPlans,
      onPull: (modId, cmdId) => event("pull", modId, cmdId),
      onForget: (modId, cmdId) => event("forget", modId, cmdId),
      onStateChange: (change) => host.stateChange(change),
    });
    this.#batches = new OutcomeBatches((modId, cmdId) => host.lbOf(modId, cmdId) ?? this.lb);
    this.drains = new DrainWatch(this.lb);
    this.lb.pausePulls();
    for (const route of shard.preload) {
      const { modId, cmdId, policy, parsedPolicy } = route;
      const nodes = unpackNodes(route);
      this.lb.preload(modId, cmdId, nodes, clock.nowMs());
      this.lb.setModulePolicy(modId, cmdId, policy, parsedPolicy);
      this.drains.routeTaken(modId, cmdId, nodes, clock.nowMs());
    }
    const hot = new HotPath(this.lb, init.secrets !== undefined);
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
      (bytes, start, end, fromLoopback, fromPort, nowMs, answer, answerStart) =>
        hot.handle(bytes, start, end, fromLoopback, fromPort, nowMs, answer, answerStart),
    );
  }

  /** Datagrams from beyond loopback have to be sealed with one of these from now on. */
  setSecrets(all: readonly Uint8Array[]): void {
    this.#secrets?.replace(all);
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

  /** A page of the explanation of a module, from node number `from` on; "" for an unknown one. */
  explanation(modId: number, cmdId: number, from: number): string {
    const explained = this.lb.explain(modId, cmdId, this.#clock.nowMs());
    return explained === undefined ? "" : explanationPage(explained, from);
  }

  stats(): ShardStats {
    const { received, sent, dropped } = this.server.stats;
    return {
      shard: this.index,
      ...this.lb.stats(),
      datagramsIn: received,
      datagramsOut: sent,
      answersDropped: dropped,
      datagramsDropped: this.server.unreceivedCount?.() ?? 0,
      ...this.#batches.stats,
      tableReaders: this.#batches.readersAt(this.#clock.nowMs()),
      malformed: this.#malformed,
      unknownIds: this.#unknownIds,
      refusedToken: this.#refusedToken,
      answersCut: this.#answersCut,
    };
  }

  #receive(bytes: Uint8Array, from: Address): void {
    try {
      const { msgId, body } = readDatagram(bytes);
      const handle = this.#handlers.get(msgId);
      if (handle === undefined) {
        this.#unknownIds++;
        return;
      }
      const answer = this.#answerTo(bytes, from, msgId);
      if (answer !== undefined) handle(body, answer, from);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#malformed++;
      this.#complain("malformed", "Datagram is no message", from, messageOf(error));
    }
  }

  #getHost(body: Uint8Array, answer: Answer, caller: number): void {
    const { seq, modId, cmdId, key } = decodeGetHostRequest(body);
    const pickKey = key === undefined ? undefined : readPickKey(key);
    const picked = this.lb.getHost(modId, cmdId, this.#clock.nowMs(), pickKey);
    if (typeof picked !== "number") {
      this.lb.given(caller, modId, cmdId, picked.ip, picked.port);
    }
    answer.send(
      typeof picked === "number"
        ? frameGetHostResponse({ seq, modId, cmdId, retcode: picked })
        : frameGetHostResponse({
          seq,
          modId,
          cmdId,
          retcode: RetCode.Success,
          host: { ip: picked.ip, port: picked.port },
        }),
    );
  }

  #report(body: Uint8Array, caller: number): void {
    const { modId, cmdId, host, retcode, timecostMs = TIME_UNKNOWN_MS } = decodeReportRequest(body);
    const nowMs = this.#clock.nowMs();
    this.lb.report(modId, cmdId, host.ip, host.port, retcode, timecostMs, nowMs, caller);
  }

  #takeBatch(body: Uint8Array, caller: number): void {
    this.#batches.take(body, caller, this.#clock.nowMs());
  }

  #getRoute(body: Uint8Array, answer: Answer): void {
    const { modId, cmdId } = decodeGetRouteRequest(body);
    let all: readonly Host[] = this.lb.getRoute(modId, cmdId, this.#clock.nowMs());
    if (answer.bytesMax < STRANGER_BYTES_MAX) all = this.#fromAnyNode(all);
    const fixedBytes = HEAD_BYTES + int32FieldBytes(modId) + int32FieldBytes(cmdId);
    const count = hostsThatFit(all, answer.bytesMax - fixedBytes);
    if (count < all.length) this.#answersCut++;
    // An answer without any would say that there is no such module.
    if (count === 0 && all.length > 0) return;
    const hosts = all.slice(0, count).map(({ ip, port }: Host) => ({ ip, port }));
    answer.send(frameGetRouteResponse({ modId, cmdId, hosts }));
  }

  /** The nodes in turn from another one each time, so that a cut list is not always the same. */
  #fromAnyNode(all: readonly Host[]): readonly Host[] {
    const start = Math.floor(this.#host.options.rng.next() * all.length);
    return [...all.slice(start), ...all.slice(0, start)];
  }

  #hello(body: Uint8Array, answer: Answer): void {
    decodeHello(body);
    const { software } = this.#host.init;
    const short = { protocol: HELLO_PROTOCOL, software: "", role: "agent" };
    const whole = frameHello({ ...short, software, status: this.#host.statusText() });
    answer.send(whole.length <= answer.bytesMax ? whole : frameHello(short));
  }

  #explain(body: Uint8Array, answer: Answer): void {
    const { seq, modId, cmdId, from: first } = decodeExplainRequest(body);
    const explanation = this.explanation(modId, cmdId, first);
    answer.send(frameExplainResponse({ seq, modId, cmdId, from: first, explanation }));
  }

  /**
   * How to answer a datagram: as it is to senders on this machine and where no secret is wanted, else
   * under the seal of the question; undefined: not at all.
   */
  #answerTo(bytes: Uint8Array, from: Address, msgId: number): Answer | undefined {
    const isNear = isLoopback(from.hostname);
    const bytesMax = isNear ? DATAGRAM_BYTES_MAX : bytes.length * ANSWER_GROWTH_MAX;
    const plain: Answer = {
      bytesMax,
      send: (frame) => {
        if (frame.length <= bytesMax) this.server.send(frame, from);
        else this.#answersCut++;
      },
    };
    if (this.#judge === undefined) {
      // The answer is far larger than the question: never for strangers.
      if (isNear || msgId !== MessageId.ExplainRequest) return plain;
      this.#refusedToken++;
      return undefined;
    }
    const verdict = this.#judge.judge(bytes);
    if ("answer" in verdict) {
      return {
        bytesMax: DATAGRAM_BYTES_MAX - SEAL_GROWTH_BYTES,
        send: (frame) => void this.server.send(verdict.answer(frame), from),
      };
    }
    if (isNear) return plain;
    this.#refusedToken++;
    this.#complain("token", "Datagram is refused", from, verdict.refused);
    return undefined;
  }

  #complain(kind: string, message: string, from: Address, error: string | undefined): void {
    const held = this.#host.logLimiter.admit(kind);
    if (held === undefined) return;
    this.#host.options.log.warn(message, { from: formatAddress(from), error, ...held });
  }
}

/** No answer to anybody else has less room than this: a sealed one. */
const STRANGER_BYTES_MAX = DATAGRAM_BYTES_MAX - SEAL_GROWTH_BYTES;

/** Bytes of an int32 field with a one-byte tag; 0 is not written, negative ones take ten bytes. */
function int32FieldBytes(value: number): number {
  const signed = value | 0;
  if (signed === 0) return 0;
  if (signed < 0) return 11;
  let bytes = 2;
  for (let rest = signed >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** How many nodes, from the first, fit so many bytes of an answer. */
export function hostsThatFit(
  hosts: readonly Pick<HostInfo, "ip" | "port">[],
  bytesMax: number,
): number {
  let bytes = 0;
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
