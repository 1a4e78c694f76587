// Shell. The client: asks the agent for nodes and tells it how the calls went.

import { isLoopback, parseIpv4 } from "../reactor/address.ts";
import { sleep, type Timer } from "../reactor/time/clock.ts";
import { ConnectError, LarsError, ProtocolError, TimeoutError } from "../reactor/errors.ts";
import { connectionFault } from "../reactor/runtime/common.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import {
  decodeExplainResponse,
  decodeGetHostResponse,
  decodeGetRouteResponse,
  decodeHello,
  type ExplainResponse,
  frameExplainRequest,
  frameGetHostRequest,
  frameGetRouteRequest,
  frameHello,
  frameReportRequest,
  type GetHostResponse,
  type HostInfo,
} from "../proto/codec.ts";
import { paddingTowards } from "../proto/answer_growth.ts";
import { readDatagram } from "../proto/wire.ts";
import {
  AGENT_PORT_COUNT,
  agentPortIndex,
  HELLO_PROTOCOL,
  MessageId,
  RetCode,
} from "../proto/message_ids.ts";
import { encodePickKey } from "../proto/pick_key.ts";
import { openSealed, UdpAgentLink } from "./agent_link.ts";
import { BaseClient } from "./base_client.ts";
import { BatchLinks } from "./batch_links.ts";
import { type DirectClient, DirectFallback } from "./direct_fallback.ts";
import { ClosedError, NoAgentError } from "./errors.ts";
import {
  type ExplanationPage,
  joinExplanations,
  readExplanation,
} from "../balancer/routes/explanation_page.ts";
import { type Host, type HostAnswer, toHost } from "./host.ts";
import { InProcessClient } from "./in_process_client.ts";
import { checkPeers } from "./in_process_options.ts";
import { LastGood } from "./last_good.ts";
import type { AgentLink, AgentLinkEvents } from "./link.ts";
import {
  type CallOptions,
  checkDeadline,
  checkId,
  checkLastGood,
  checkPendingMax,
  checkPort,
  checkPorts,
  checkRetcode,
  checkTimecost,
  checkToken,
  FIRST_ROUTE_MS,
  type LarsClientOptions,
  type LarsClientStats,
  type PickOptions,
} from "./options.ts";
import { PENDING_MAX, PendingTable } from "./pending.ts";
import { SendWindow } from "./send_window.ts";
import { defaultTablePath, TableCaller } from "./table_caller.ts";

/** The original tries this often to get the first route of a module. */
const REG_INIT_TRIES = 3;
const REG_INIT_PAUSE_MS = 50;

/** Stands in the pending table for the module of a Hello, which has none. */
const HELLO_MODULE = -1;

type Reply = GetHostResponse | ExplainResponse | readonly HostInfo[];

/** What tests put in the place of the network. */
export interface LarsClientSeams extends LarsClientOptions {
  /** Makes the client that asks dns. @default {an InProcessClient of mode `direct`} */
  openDirect?: () => DirectClient;
}

/** A question and whoever waits for its answer. */
interface Question {
  readonly portIndex: number;
  readonly startedMs: number;
  readonly deadlineMs: number;
  datagram: Uint8Array;
  /** How often the datagram was sent: 0 while the window is full, at most 2. */
  sentCount: number;
  refused: boolean;
  timer: Timer | undefined;
  /** Takes the question out of the pending table. */
  forget: () => void;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: LarsError) => void;
}

/**
 * A caller's side of Lars. Ask for a node, call it, report how it went:
 *
 * ```ts
 * import { LarsClient } from "./client.ts";
 *
 * const client = new LarsClient();
 * await client.regInit(1, 1);
 * const { retcode, host } = await client.tryGetHost(1, 1);
 * if (host === undefined) {
 *   console.log(`No node: ${retcode}`);
 * } else {
 *   console.log(`Calling ${host.ip}:${host.port}`);
 *   client.report(1, 1, host.ip, host.port, 0, 12);
 * }
 * await client.close();
 * ```
 *
 * A question that gets no answer ends with a TimeoutError, or a NoAgentError when nobody listens at
 * the agent's address; one that the agent could not work on with an AgentError.
 *
 * Making a client opens nothing: sockets are opened by the first question and do not keep the
 * program alive. One client serves a whole program; its methods may be called concurrently.
 */
export class LarsClient extends BaseClient {
  readonly #ports: readonly number[];
  readonly #hostname: string;
  readonly #token: Uint8Array | undefined;
  readonly #openLink: NonNullable<LarsClientOptions["openLink"]>;
  readonly #pending: PendingTable<Question>;
  readonly #windows: readonly SendWindow<Question>[];
  readonly #lastGood: LastGood;
  /** Undefined where no dns is configured. */
  readonly #direct: DirectFallback | undefined;
  /** Undefined where the agent is not on this host, or the table is not wanted. */
  readonly #table: TableCaller | undefined;
  /** Ports of the agent that have said Hello. */
  readonly #greeted = new Set<number>();
  #link: AgentLink | undefined;
  /** To the agent of a table that names another address. */
  readonly #batchLinks = new BatchLinks((hostname, port) => {
    const nothing = (): void => {}; // no answer is waited for, and what is lost is counted by the agent
    return this.#linkTo(hostname, [port, port, port], {
      ...{ onDatagram: nothing, onRefused: nothing, onFault: nothing },
    });
  });
  #resentCount = 0;
  #lateCount = 0;
  #garbageCount = 0;
  #staleCount = 0;

  /** @throws {RangeError} when an option is out of range. */
  constructor(options: LarsClientSeams = {}) {
    super(options, options.clock ?? systemClock);
    this.#ports = checkPorts(options.port);
    this.#hostname = options.hostname ?? "127.0.0.1";
    if (this.#hostname === "" || /[\s:]/.test(this.#hostname)) {
      throw new RangeError(
        `Hostname must be a name or an IPv4 address: current value is "${this.#hostname}"`,
      );
    }
    this.#token = checkToken(options.token);
    this.#lastGood = new LastGood(checkLastGood(options.lastGoodMs ?? Infinity));
    this.#direct = openDirect(options);
    this.#pending = new PendingTable(checkPendingMax(options.pendingMax ?? PENDING_MAX));
    this.#windows = Array.from({ length: AGENT_PORT_COUNT }, () => new SendWindow<Question>());
    this.#table = this.#openTable(options);
    this.#openLink = options.openLink ??
      ((hostname, ports, events) => new UdpAgentLink(hostname, ports, events, this.clock));
  }

  /** The agent that is asked is that of this very host. */
  get #isLocal(): boolean {
    return this.#hostname === "localhost" || isLoopback(this.#hostname);
  }

  /** Counters for whoever watches the program. */
  get stats(): LarsClientStats {
    return {
      pending: this.#pending.size,
      resent: this.#resentCount,
      late: this.#lateCount,
      garbage: this.#garbageCount,
      foreign: this.#link?.foreignCount ?? 0,
      dropped: (this.#link?.droppedCount ?? 0) + this.#batchLinks.droppedCount,
      stale: this.#staleCount,
      tablePicks: this.#table?.pickCount ?? 0,
      ...this.retryStats,
    };
  }

  /**
   * The question is sent a second time at half the deadline. When the agent does not answer at
   * all, a node is given, marked `stale`: one that it named earlier and that has not failed a moment
   * ago, else one that dns names, where `dns` is given, else one that has failed, in turn.
   */
  async tryGetHost(modId: number, cmdId: number, options: PickOptions = {}): Promise<HostAnswer> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const key = options.key === undefined ? undefined : encodePickKey(options.key);
    const deadlineMs = checkDeadline(options.deadlineMs ?? this.deadlineMs);
    if (!this.closed) {
      const picked = this.#table?.pick(module, command, key) ??
        this.#pickInSilence(module, command);
      if (picked !== undefined) return picked;
    }
    let reply: GetHostResponse;
    try {
      reply = await this.#askHost(module, command, deadlineMs, key);
    } catch (error) {
      if (!(error instanceof LarsError)) throw error;
      const unanswered = error instanceof TimeoutError || error instanceof ConnectError;
      if (unanswered) this.#agentSilent(module, command);
      const host = unanswered ? await this.#pickAlone(module, command, options) : undefined;
      if (host === undefined) return { retcode: RetCode.SystemError, error };
      this.#staleCount++;
      return { retcode: RetCode.Success, host: { ...host, stale: true }, error };
    }
    this.#direct?.agentAnswered();
    this.#table?.heard(true);
    // That there is no node takes nothing away: an agent that has just started says so of every
    // module whose route has not come yet.
    const host = reply.retcode === RetCode.Success && reply.host !== undefined
      ? toHost(reply.host)
      : undefined;
    if (host === undefined) return { retcode: reply.retcode };
    this.#lastGood.remember(module, command, host, this.clock.nowMs());
    return { retcode: RetCode.Success, host };
  }

  /** The agent was silent a moment ago: a node of its last table, at once. */
  #pickInSilence(modId: number, cmdId: number): HostAnswer | undefined {
    if (this.#table?.isSilent !== true) return undefined;
    const host = this.#lastGood.next(modId, cmdId, this.clock.nowMs());
    if (host === undefined) return undefined;
    this.#staleCount++;
    return { retcode: RetCode.Success, host: { ...host, stale: true } };
  }

  /** What the last table says is the best memory of what the agent would answer. */
  #agentSilent(modId: number, cmdId: number): void {
    this.#table?.heard(false);
    const hosts = this.#table?.latestHosts(modId, cmdId) ?? [];
    this.#lastGood.fill(modId, cmdId, hosts, this.clock.nowMs());
  }

  #openTable({ sharedTable = true, openLink, clock }: LarsClientSeams): TableCaller | undefined {
    const isHere = this.#isLocal || typeof sharedTable === "string";
    if (sharedTable === false || !isHere || openLink !== undefined) return undefined;
    const [port] = this.#ports;
    return new TableCaller({
      path: typeof sharedTable === "string" ? sharedTable : defaultTablePath(port),
      port,
      clock: clock ?? systemClock,
      rng: systemRng,
      send: (datagram, hostname, port) => this.#batchLink(hostname, port).send(0, datagram),
      onLeave: (modId, cmdId, hosts) =>
        this.#lastGood.fill(modId, cmdId, hosts, this.clock.nowMs()),
    });
  }

  /** A node without the agent, the best of what there is. */
  async #pickAlone(modId: number, cmdId: number, options: PickOptions): Promise<Host | undefined> {
    const host = this.#lastGood.next(modId, cmdId, this.clock.nowMs()) ??
      (this.closed ? undefined : await this.#direct?.pick(modId, cmdId, options));
    return host ?? this.#lastGood.nextOfAll(modId, cmdId, this.clock.nowMs());
  }

  /** Goes out in the background; the agent does not answer. */
  report(
    modId: number,
    cmdId: number,
    ip: string,
    port: number,
    retcode: number,
    timecostMs?: number,
  ): void {
    const message = {
      modId: checkId("modId", modId),
      cmdId: checkId("cmdId", cmdId),
      host: { ip: parseIpv4(ip), port: checkPort(port) },
      retcode: checkRetcode(retcode),
      timecostMs: checkTimecost(timecostMs),
    };
    if (this.closed) throw new ClosedError();
    const isWell = retcode === RetCode.Success;
    this.#lastGood.judge(message.modId, message.cmdId, ip, port, isWell, this.clock.nowMs());
    if (this.#direct?.report(modId, cmdId, ip, port, retcode, timecostMs) === true) return;
    const { timecostMs: timeMs } = message;
    if (this.#table?.report({ ...message, ...message.host, timeMs }) === true) return;
    const portIndex = agentPortIndex(message.modId, message.cmdId);
    this.#openedLink().send(portIndex, frameReportRequest(message));
  }

  /**
   * No node may also mean that the route has not reached the agent yet.
   *
   * Answers of this kind carry no number. Concurrent questions for one module are answered in the
   * order they were asked; an answer for another module is never taken.
   */
  async getRoute(modId: number, cmdId: number, options: CallOptions = {}): Promise<Host[]> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const deadlineMs = checkDeadline(options.deadlineMs ?? this.deadlineMs);
    const reply = await this.#ask(module, command, deadlineMs, (question) => {
      this.#pending.addRoute(module, command, question);
      question.forget = () => this.#pending.dropRoute(module, command, question);
      return frameGetRouteRequest({ modId: module, cmdId: command, ...this.#padding() });
    });
    const hosts: Host[] = [];
    for (const info of reply as readonly HostInfo[]) {
      const host = toHost(info);
      if (host !== undefined) hosts.push(host);
    }
    return hosts;
  }

  /**
   * @throws {ProtocolError} when the answer makes no sense.
   * @throws what {@linkcode LarsApi.getRoute} throws; TimeoutError also when the agent speaks the
   *   original protocol only.
   */
  async explain(
    modId: number,
    cmdId: number,
    options: CallOptions = {},
  ): Promise<ModuleExplanation | undefined> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const deadlineMs = checkDeadline(options.deadlineMs ?? this.deadlineMs);
    await this.#greet(module, command, deadlineMs);
    const pages: ModuleExplanation[] = [];
    for (let from = 0;;) {
      const page = await this.#askPage(module, command, from, deadlineMs);
      if (page === undefined) return undefined;
      pages.push(page.explanation);
      from += page.nodesHere;
      // The route may shrink between two pages; then the next one is empty.
      if (page.nodesHere === 0 || from >= page.nodeCount) return joinExplanations(pages);
    }
  }

  /** Three tries at the route, 50 ms apart, as the original does. */
  async regInit(modId: number, cmdId: number): Promise<RetCode> {
    let answered = false;
    for (let attempt = 0; attempt < REG_INIT_TRIES; attempt++) {
      if (attempt > 0) await sleep(this.clock, REG_INIT_PAUSE_MS);
      try {
        if ((await this.getRoute(modId, cmdId)).length > 0) return RetCode.Success;
        answered = true;
      } catch (error) {
        if (!(error instanceof LarsError) || error instanceof ClosedError) throw error;
      }
    }
    return answered ? RetCode.NoExist : RetCode.SystemError;
  }

  async close(): Promise<void> {
    this.#table?.close();
    this.closed = true;
    for (const question of this.#pending.waiters()) {
      this.#settle(question);
      question.reject(new ClosedError());
    }
    await Promise.all([this.#link?.close(), this.#batchLinks.close(), this.#direct?.close()]);
  }

  async #askHost(
    modId: number,
    cmdId: number,
    deadlineMs: number,
    key: Uint8Array | undefined,
  ): Promise<GetHostResponse> {
    const reply = await this.#ask(modId, cmdId, deadlineMs, (question) => {
      const seq = this.#pending.addHost(modId, cmdId, question);
      question.forget = () => this.#pending.dropHost(seq);
      return frameGetHostRequest({ seq, modId, cmdId, key });
    });
    return reply as GetHostResponse;
  }

  /** Our own messages are for an agent that has said Hello; it is asked once for each port. */
  async #greet(modId: number, cmdId: number, deadlineMs: number): Promise<void> {
    const portIndex = agentPortIndex(modId, cmdId);
    if (this.#greeted.has(portIndex)) return;
    await this.#ask(modId, cmdId, deadlineMs, (question) => {
      // Answers to Hello name nothing: the first one will do.
      this.#pending.addRoute(HELLO_MODULE, 0, question);
      question.forget = () => this.#pending.dropRoute(HELLO_MODULE, 0, question);
      return frameHello({ protocol: HELLO_PROTOCOL, software: "lars-api", role: "client" });
    });
    this.#greeted.add(portIndex);
  }

  async #askPage(
    modId: number,
    cmdId: number,
    from: number,
    deadlineMs: number,
  ): Promise<ExplanationPage | undefined> {
    const reply = await this.#ask(modId, cmdId, deadlineMs, (question) => {
      const seq = this.#pending.addHost(modId, cmdId, question);
      question.forget = () => this.#pending.dropHost(seq);
      return frameExplainRequest({ seq, modId, cmdId, from });
    });
    if (!("explanation" in reply)) throw new ProtocolError("Answer must be an explanation");
    return readExplanation(reply.explanation);
  }

  /** `register` puts the question into the pending table and gives its datagram. */
  #ask(
    modId: number,
    cmdId: number,
    deadlineMs: number,
    register: (question: Question) => Uint8Array,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.closed) throw new ClosedError();
      const question: Question = {
        portIndex: agentPortIndex(modId, cmdId),
        startedMs: this.clock.nowMs(),
        deadlineMs,
        datagram: new Uint8Array(),
        sentCount: 0,
        refused: false,
        timer: undefined,
        forget: () => {},
        resolve,
        reject,
      };
      question.datagram = register(question);
      question.timer = this.clock.setTimer(deadlineMs / 2, () => this.#onHalfTime(question));
      if (this.#windows[question.portIndex].add(question)) this.#send(question);
    });
  }

  #send(question: Question): void {
    question.sentCount++;
    this.#openedLink().send(question.portIndex, question.datagram);
  }

  /** An agent on another host that wants no secret answers with three times what it was sent. */
  #padding(): { padding?: Uint8Array } {
    return this.#token === undefined ? paddingTowards(this.#hostname) : {};
  }

  #openedLink(): AgentLink {
    this.#link ??= this.#linkTo(this.#hostname, this.#ports, {
      onDatagram: (datagram) => this.#onDatagram(datagram),
      onRefused: (portIndex) => this.#onRefused(portIndex),
      onFault: (portIndex, error) => this.#onFault(portIndex, error),
    });
    return this.#link;
  }

  #linkTo(hostname: string, ports: readonly number[], events: AgentLinkEvents): AgentLink {
    const open = (told: AgentLinkEvents): AgentLink => this.#openLink(hostname, ports, told);
    return openSealed(open, events, hostname, this.#token, this.clock);
  }

  /** The way to the agent that a table names, which may listen elsewhere than the one that is asked. */
  #batchLink(hostname: string, port: number): AgentLink {
    const isSame = hostname === this.#hostname || (this.#isLocal && isLoopback(hostname));
    if (isSame && port === this.#ports[0]) return this.#openedLink();
    return this.#batchLinks.to(hostname, port);
  }

  #onHalfTime(question: Question): void {
    const leftMs = question.deadlineMs - (this.clock.nowMs() - question.startedMs);
    question.timer = this.clock.setTimer(Math.max(0, leftMs), () => this.#onDeadline(question));
    if (question.sentCount === 0) return;
    this.#resentCount++;
    this.#send(question);
  }

  #onDeadline(question: Question): void {
    const address = this.#addressOf(question.portIndex);
    this.#settle(question);
    if (question.refused) {
      question.reject(new NoAgentError(address));
      return;
    }
    const waitedMs = Math.round(this.clock.nowMs() - question.startedMs);
    question.reject(
      new TimeoutError(
        `No answer in ${waitedMs} ms from the agent at ${address}: is it running?`,
        waitedMs,
      ),
    );
  }

  /** The first refusal is forgiven: an agent that restarts may be there for the second try. */
  #onRefused(portIndex: number): void {
    for (const question of [...this.#windows[portIndex].active]) {
      question.refused = true;
      if (question.sentCount < 2) continue;
      this.#settle(question);
      question.reject(new NoAgentError(this.#addressOf(portIndex)));
    }
  }

  #onFault(portIndex: number, cause: unknown): void {
    const address = this.#addressOf(portIndex);
    const message = `the socket towards the agent failed: ${connectionFault(cause)}`;
    for (const question of [...this.#windows[portIndex].active]) {
      this.#settle(question);
      question.reject(new ConnectError(address, message, { cause }));
    }
  }

  #onDatagram(datagram: Uint8Array): void {
    try {
      const { msgId, body } = readDatagram(datagram);
      if (msgId === MessageId.GetHostResponse) this.#onHostResponse(body);
      else if (msgId === MessageId.ApiGetRouteResponse) this.#onRouteResponse(body);
      else if (msgId === MessageId.ExplainResponse) this.#onExplainResponse(body);
      else if (msgId === MessageId.Hello) this.#onHello(body);
      else this.#garbageCount++;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#garbageCount++;
    }
  }

  #onHostResponse(body: Uint8Array): void {
    const reply = decodeGetHostResponse(body);
    const named = reply.host !== undefined && toHost(reply.host) !== undefined;
    if (reply.retcode === RetCode.Success && !named) {
      throw new ProtocolError("GetHostResponse must name a node when its code is 0");
    }
    this.#answer(this.#pending.takeHost(reply.seq, reply.modId, reply.cmdId), reply);
  }

  #onRouteResponse(body: Uint8Array): void {
    const reply = decodeGetRouteResponse(body);
    this.#answer(this.#pending.takeRoute(reply.modId, reply.cmdId), reply.hosts);
  }

  #onExplainResponse(body: Uint8Array): void {
    const reply = decodeExplainResponse(body);
    this.#answer(this.#pending.takeHost(reply.seq, reply.modId, reply.cmdId), reply);
  }

  #onHello(body: Uint8Array): void {
    decodeHello(body);
    this.#answer(this.#pending.takeRoute(HELLO_MODULE, 0), []);
  }

  #answer(question: Question | undefined, reply: Reply): void {
    if (question === undefined) {
      this.#lateCount++;
      return;
    }
    this.#settle(question);
    question.resolve(reply);
  }

  /** Takes a question out of every table, and sends the one that waited for its place. */
  #settle(question: Question): void {
    question.timer?.cancel();
    question.forget();
    const next = this.#windows[question.portIndex].remove(question);
    if (next !== undefined && !this.closed) this.#send(next);
  }

  #addressOf(portIndex: number): string {
    return `${this.#hostname}:${this.#ports[portIndex]}`;
  }
}

/** The client that asks dns where the agent does not answer; undefined where none is named. */
function openDirect(options: LarsClientSeams): DirectFallback | undefined {
  const { dns, reporters, token, tls, clock, deadlineMs } = options;
  if (dns === undefined || dns.length === 0) return undefined;
  const own = {
    mode: "direct",
    dns,
    ...(reporters === undefined ? {} : { reporters }),
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
    ...(clock === undefined ? {} : { clock }),
    // A first connection takes longer than an agent on this host.
    deadlineMs: deadlineMs ?? FIRST_ROUTE_MS,
  } as const;
  checkPeers(own);
  return new DirectFallback(options.openDirect ?? (() => new InProcessClient(own)));
}
