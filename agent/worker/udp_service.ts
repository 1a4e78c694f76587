// Shell. The agent's UDP loop: answers callers, and passes to the main thread what concerns dns and
// the reporter.

import {
  DrainWatch,
  type Host,
  RESTING_TICK_MS,
  RouteLb,
  type StateChange,
  TICK_MS,
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
} from "../../proto/codec.ts";
import { readDatagram } from "../../proto/wire.ts";
import { HELLO_PROTOCOL, MessageId, RetCode } from "../../proto/message_ids.ts";
import { readPickKey } from "../../proto/pick_key.ts";
import { type Address, formatAddress, isLoopback } from "../../reactor/address.ts";
import { type Clock, sleep, type Timer } from "../../reactor/time/clock.ts";
import { BindError, messageOf, ProtocolError } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import { equalSecrets } from "../../reactor/equal_secrets.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { QuickHandler } from "../../reactor/fast/batch_udp.ts";
import {
  type DatagramServer,
  UdpServer,
  type UdpServerOptions,
} from "../../reactor/udp/udp_server.ts";
import { explanationPage } from "./explanation.ts";
import { applyFeedTask } from "../loops/feed_tasks.ts";
import { HotPath } from "./hot_path.ts";
import {
  type AgentLoopInit,
  type AgentNote,
  type AgentStatus,
  type AgentTask,
  mergeStatus,
  type ModuleEvent,
  type ShardInit,
  type ShardStats,
} from "../loops/loop_messages.ts";
import { type PackedRoute, unpackNodes } from "../loops/packed_route.ts";
import { hostsThatFit } from "./route_answer.ts";

/** Shortest time between two notes with counters. */
const STATS_MS = 1000;

/** Module events kept for the next note; when there are more they are sent at once. */
const EVENTS_MAX = 1000;

/** State changes told to the main thread in one tick; further ones are only counted. */
const CHANGES_PER_TICK_MAX = 200;

/**
 * A socket that was just closed by this process (to see whether the port is free, or by a loop that
 * died) may hold its port for some turns of the event loop: 20 tries of 10 ms outwait it.
 */
const BIND_TRIES = 20;
const BIND_RETRY_MS = 10;

/** What a loop is given beside its start value. */
export interface UdpServiceOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Passes something to the main thread. */
  note(note: AgentNote): void;
  /**
   * Given for a thread that blocks in the kernel, where no timer runs: makes its sockets, and
   * whoever drives them calls {@linkcode UdpService.turn}. Default: sockets of the runtime.
   */
  readonly makeServer?: (options: UdpServerOptions, onQuick: QuickHandler) => DatagramServer;
}

/** What a shard needs of its loop. */
interface ShardHost {
  readonly init: AgentLoopInit;
  readonly options: UdpServiceOptions;
  readonly logLimiter: LogRateLimiter;
  moduleEvent(event: ModuleEvent): void;
  stateChange(change: StateChange): void;
  /** A datagram was handled: a tick may be due sooner. */
  workDone(): void;
  statusText(): string;
}

/** One port. */
class Shard {
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
      const { modId, cmdId, policy } = route;
      const nodes = unpackNodes(route);
      this.lb.preload(modId, cmdId, nodes, clock.nowMs());
      this.lb.setModulePolicy(modId, cmdId, policy);
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
    this.server = options.makeServer === undefined ? new UdpServer(server) : options.makeServer(
      server,
      (bytes, start, end, fromLoopback, nowMs, answer, answerStart) =>
        hot.handle(bytes, start, end, fromLoopback, nowMs, answer, answerStart),
    );
  }

  /** Dns gave a route; the main thread has seen that the balancer takes its policy. */
  takeRoute(route: PackedRoute, nowMs: number): void {
    const { modId, cmdId, policy } = route;
    const nodes = unpackNodes(route);
    this.lb.setModulePolicy(modId, cmdId, policy);
    if (this.lb.update(modId, cmdId, nodes, nowMs) === undefined) return;
    this.drains.routeTaken(modId, cmdId, nodes, nowMs);
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

/** One loop with one or three ports; runs in a worker or on the main thread. */
export class UdpService implements ShardHost {
  readonly init: AgentLoopInit;
  readonly options: UdpServiceOptions;
  readonly logLimiter: LogRateLimiter;
  readonly #shards: Shard[];
  #timer: Timer | undefined;
  /** The next tick is that of a loop at rest. */
  #sleepsLong = false;
  #tickedAtMs = 0;
  #statsAtMs = -Infinity;
  #statsText = "";
  #events: ModuleEvent[] = [];
  #eventsScheduled = false;
  #changes: StateChange[] = [];
  #status: AgentStatus = {};
  #allShards: ShardStats[] = [];

  constructor(init: AgentLoopInit, options: UdpServiceOptions) {
    this.init = init;
    this.options = options;
    this.logLimiter = new LogRateLimiter(options.clock);
    this.#shards = init.shards.map((shard) => new Shard(shard, this));
  }

  /**
   * Binds the ports and begins to serve.
   *
   * @throws {BindError} when one of them cannot be had; the others are closed then.
   */
  async start(): Promise<void> {
    try {
      for (const shard of this.#shards) await this.#bind(shard.server);
    } catch (error) {
      for (const shard of this.#shards) await shard.server.close();
      throw error;
    }
    this.#tickedAtMs = this.options.clock.nowMs();
    if (this.options.makeServer !== undefined) return;
    this.#setTimer();
  }

  /**
   * What timers do elsewhere, for a thread where none runs: call it between two batches, with a time
   * that may be some milliseconds old.
   *
   * @returns time until it must be called again, in milliseconds.
   */
  turn(nowMs: number): number {
    if (this.#events.length > 0) this.#flushEvents();
    // Asked only of a loop that was at rest, because the answer lies in many places: one with work
    // has the next tick soon anyhow.
    if (this.#sleepsLong) this.#sleepsLong = this.#isResting;
    const waitMs = this.#tickDelayMs - (nowMs - this.#tickedAtMs);
    if (waitMs > 0) return waitMs;
    this.#tickedAtMs = nowMs;
    this.#tick();
    this.#sleepsLong = this.#isResting;
    return this.#tickDelayMs;
  }

  /** A loop at rest sleeps longer; the first call that needs a tick makes it due again. */
  get #tickDelayMs(): number {
    return this.#sleepsLong ? RESTING_TICK_MS : TICK_MS;
  }

  #setTimer(): void {
    this.#sleepsLong = this.#isResting;
    this.#timer = this.options.clock.setTimer(this.#tickDelayMs, () => {
      this.#tick();
      this.#setTimer();
    });
  }

  workDone(): void {
    if (this.#timer === undefined || !this.#sleepsLong || this.#isResting) return;
    this.#timer.cancel();
    this.#setTimer();
  }

  get #isResting(): boolean {
    if (this.#changes.length > 0) return false;
    for (const { lb } of this.#shards) if (!lb.resting) return false;
    return true;
  }

  /** Gives the ports back at once, whatever else has failed. */
  closeServers(): void {
    for (const { server } of this.#shards) void server.close();
  }

  /** Takes one task of the main thread. */
  onTask(task: AgentTask): void {
    const nowMs = this.options.clock.nowMs();
    switch (task.type) {
      case "route":
        this.#shard(task.shard)?.takeRoute(task.route, nowMs);
        break;
      case "health": {
        const { modId, cmdId, ip, port, healthy, reason } = task.verdict;
        this.#shard(task.shard)?.lb.setHealth(modId, cmdId, ip, port, healthy, reason, nowMs);
        break;
      }
      case "nodeUse": {
        const { shard, id, modId, cmdId, ip, port } = task;
        const usage = this.#shard(shard)?.drains.usage(modId, cmdId, ip, port, nowMs);
        if (usage !== undefined) this.options.note({ type: "nodeUse", shard, id, usage });
        break;
      }
      case "confirm":
        this.#shard(task.shard)?.lb.confirm(task.modId, task.cmdId, nowMs);
        break;
      case "use":
      case "calls":
        applyFeedTask(this.#shard(task.shard)?.lb, task, nowMs);
        break;
      case "offline":
        for (const { lb } of this.#shards) lb.pausePulls();
        break;
      case "resubscribe":
        for (const { lb } of this.#shards) lb.resubscribe(nowMs);
        break;
      case "settings":
        for (const { lb } of this.#shards) lb.setSettings(task.settings);
        break;
      case "status":
        this.#status = task.status;
        this.#allShards = task.shards;
    }
    this.workDone();
  }

  /** Closes the ports and hands over what is not reported yet. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const { server } of this.#shards) await server.close();
    this.#passOn(true);
    this.#noteStats(this.options.clock.nowMs());
  }

  moduleEvent(event: ModuleEvent): void {
    this.#events.push(event);
    if (this.#events.length >= EVENTS_MAX) this.#flushEvents();
    // A pull should leave at once, together with those of the same turn; to forget has time.
    if (event.kind !== "pull" || this.#eventsScheduled) return;
    if (this.options.makeServer !== undefined) return;
    this.#eventsScheduled = true;
    queueMicrotask(() => this.#flushEvents());
  }

  stateChange(change: StateChange): void {
    if (this.#changes.length < CHANGES_PER_TICK_MAX) this.#changes.push(change);
  }

  statusText(): string {
    const own = this.#shards.map((shard) => shard.stats());
    const others = this.#allShards.filter((stats) => this.#shard(stats.shard) === undefined);
    return JSON.stringify(mergeStatus(this.#status, [...own, ...others]));
  }

  async #bind(server: DatagramServer): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        await server.bind();
        return;
      } catch (error) {
        const again = error instanceof BindError && error.inUse && attempt < BIND_TRIES;
        if (!again) throw error;
        await sleep(this.options.clock, BIND_RETRY_MS);
      }
    }
  }

  #shard(index: number): Shard | undefined {
    return this.#shards.find((shard) => shard.index === index);
  }

  #tick(): void {
    const nowMs = this.options.clock.nowMs();
    for (const { lb } of this.#shards) lb.tick(nowMs);
    this.#passOn(false);
    // Ticks come a little late: without the tolerance every other second would have none.
    if (nowMs - this.#statsAtMs < STATS_MS - TICK_MS / 2) return;
    for (const { drains } of this.#shards) drains.tick(nowMs);
    this.#noteStats(nowMs);
  }

  #passOn(everything: boolean): void {
    const nowMs = this.options.clock.nowMs();
    this.#flushEvents();
    const reports = this.#shards.flatMap(({ lb }) => lb.drainReports(nowMs, everything));
    if (reports.length > 0) this.options.note({ type: "reports", reports });
    if (this.#changes.length > 0) this.options.note({ type: "changes", changes: this.#changes });
    this.#changes = [];
  }

  /** Nothing is said while nothing changes: each note wakes the main thread. */
  #noteStats(nowMs: number): void {
    this.#statsAtMs = nowMs;
    const shards = this.#shards.map((shard) => shard.stats());
    const text = JSON.stringify(shards);
    if (text === this.#statsText) return;
    this.#statsText = text;
    this.options.note({ type: "stats", shards });
  }

  #flushEvents(): void {
    this.#eventsScheduled = false;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.options.note({ type: "modules", events });
  }
}
