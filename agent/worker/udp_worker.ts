// Shell. A worker of the agent, with one or three ports: does the supervisor's tasks, keeps the time
// of its balancers, and notes what concerns dns, the reporter and the log.

import { RESTING_TICK_MS, type RouteLb, type StateChange, TICK_MS } from "../../balancer/mod.ts";
import { AGENT_PORT_COUNT, agentPortIndex } from "../../proto/message_ids.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import { LogRateLimiter } from "../../reactor/log.ts";
import { sleep, type Timer } from "../../reactor/time/clock.ts";
import type { DatagramServer } from "../../reactor/udp/udp_server.ts";
import {
  type AgentTask,
  mergeStatus,
  type ModuleEvent,
  type ShardStats,
  type StatusDetail,
  type WorkerInit,
} from "./messages.ts";
import { TableKeeper } from "../table/table_keeper.ts";
import { Shard, type ShardHost, type UdpWorkerOptions, type WorkerTable } from "./shard.ts";

/** Shortest time between two notes with counters. */
const STATS_MS = 1000;

/** Module events kept for the next note; when there are more they are sent at once. */
const EVENTS_MAX = 1000;

/** State changes told to the main thread in one tick; further ones are only counted. */
const CHANGES_PER_TICK_MAX = 200;

/** The table of picks is made so long after the start: the first answers have waited long enough. */
const TABLE_DELAY_MS = 100;

/**
 * A socket that was just closed by this process (to see whether the port is free, or by a loop that
 * died) may hold its port for some turns of the event loop: 20 tries of 10 ms outwait it.
 */
const BIND_TRIES = 20;
const BIND_RETRY_MS = 10;

/** One worker; runs in a thread of its own or, without threads, on the main one. */
export class UdpWorker implements ShardHost {
  readonly init: WorkerInit;
  readonly options: UdpWorkerOptions;
  readonly logLimiter: LogRateLimiter;
  readonly #shards: Shard[];
  /** By port. */
  readonly #lbs: (RouteLb | undefined)[] = Array.from({ length: AGENT_PORT_COUNT });
  readonly hasPlans: boolean;
  #table: WorkerTable | undefined;
  #keeper: TableKeeper | undefined;
  #tableDueMs = Infinity;
  #timer: Timer | undefined;
  /** The next tick is that of a loop at rest. */
  #sleepsLong = false;
  #tickedAtMs = 0;
  #statsAtMs = -Infinity;
  #statsText = "";
  #events: ModuleEvent[] = [];
  #eventsScheduled = false;
  #changes: StateChange[] = [];
  #status: StatusDetail = {};
  #allShards: ShardStats[] = [];

  constructor(init: WorkerInit, options: UdpWorkerOptions) {
    this.init = init;
    this.options = options;
    this.logLimiter = new LogRateLimiter(options.clock);
    this.hasPlans = init.sharedTable !== undefined && options.makeTable !== undefined;
    this.#shards = init.shards.map((shard) => new Shard(shard, this));
    for (const { index, lb } of this.#shards) this.#lbs[index] = lb;
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
    if (this.hasPlans) this.#tableDueMs = this.#tickedAtMs + TABLE_DELAY_MS;
    if (this.options.blocks) return;
    this.#setTimer();
  }

  /**
   * What timers do elsewhere, for a thread where none runs: call it between two batches, with a time
   * that may be some milliseconds old.
   *
   * @returns time until it must be called again, in milliseconds.
   */
  turn(nowMs: number): number {
    const waitMs = this.#waitAfterTick(nowMs);
    if (nowMs >= this.#tableDueMs) this.#makeTable();
    // Last, so that what a tick changed is in the table too.
    if (this.#keeper?.turn(nowMs) === true) return 0;
    return Math.min(waitMs, this.#tableDueMs - nowMs);
  }

  #waitAfterTick(nowMs: number): number {
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

  /** The table is a further way to pick: without it callers ask as ever. */
  #makeTable(): void {
    const { sharedTable } = this.init;
    this.#tableDueMs = Infinity;
    if (sharedTable === undefined) return;
    try {
      const modules = this.#shards.reduce((sum, { lb }) => sum + lb.stats().modules, 0);
      const table = this.options.makeTable?.(sharedTable, modules);
      if (table === undefined) return;
      this.#table = table;
      this.#keeper = new TableKeeper(table, this.#shards);
    } catch (error) {
      for (const { lb } of this.#shards) lb.plans?.close();
      this.options.log.warn("Shared table is not kept, callers ask by UDP", {
        path: sharedTable.path,
        reason: messageOf(error),
      });
    }
  }

  /** Gives the ports back at once, whatever else has failed. */
  closeServers(): void {
    this.#closeTable();
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
      case "explain": {
        const { shard, id, modId, cmdId, from } = task;
        const explanation = this.#shard(shard)?.explanation(modId, cmdId, from) ?? "";
        this.options.note({ type: "explained", id, explanation });
        break;
      }
      case "confirm":
        this.#shard(task.shard)?.lb.confirm(task.modId, task.cmdId, nowMs);
        break;
      case "use":
        for (const { modId, cmdId } of task.keys) {
          this.#shard(task.shard)?.lb.use(modId, cmdId, nowMs);
        }
        break;
      case "calls":
        this.#shard(task.shard)?.takeCalls(task.modules, nowMs);
        break;
      case "watch":
        // Taken by who drives the sockets; where that is the runtime, nobody can watch.
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
      case "secrets":
        for (const shard of this.#shards) {
          shard.setSecrets(task.secrets.map((secret) => Uint8Array.from(secret)));
        }
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
    // Before the ports, which the next agent waits for.
    this.#closeTable();
    for (const { server } of this.#shards) await server.close();
    this.#passOn(true);
    this.#noteStats(this.options.clock.nowMs());
  }

  #closeTable(): void {
    this.#tableDueMs = Infinity;
    this.#keeper = undefined;
    this.#table?.close();
    this.#table = undefined;
  }

  lbOf(modId: number, cmdId: number): RouteLb | undefined {
    return this.#lbs[agentPortIndex(modId, cmdId)];
  }

  moduleEvent(event: ModuleEvent): void {
    this.#events.push(event);
    if (this.#events.length >= EVENTS_MAX) this.#flushEvents();
    // A pull should leave at once, together with those of the same turn; to forget has time.
    if (event.kind !== "pull" || this.#eventsScheduled) return;
    if (this.options.blocks) return;
    this.#eventsScheduled = true;
    queueMicrotask(() => this.#flushEvents());
  }

  stateChange(change: StateChange): void {
    if (this.#changes.length < CHANGES_PER_TICK_MAX) this.#changes.push(change);
  }

  statusText(): string {
    const own = this.#stats();
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
    const reports = this.#shards.flatMap(({ lb, index: shard }) =>
      lb.drainReports(nowMs, everything).map((report) => ({ ...report, shard }))
    );
    if (reports.length > 0) this.options.note({ type: "reports", reports });
    if (this.#changes.length > 0) this.options.note({ type: "changes", changes: this.#changes });
    this.#changes = [];
  }

  /** Nothing is said while nothing changes: each note wakes the main thread. */
  #noteStats(nowMs: number): void {
    this.#statsAtMs = nowMs;
    const shards = this.#stats();
    const text = JSON.stringify(shards);
    if (text === this.#statsText) return;
    this.#statsText = text;
    this.options.note({ type: "stats", shards });
  }

  #stats(): ShardStats[] {
    const stats = this.#shards.map((shard) => shard.stats());
    if (this.#table !== undefined) Object.assign(stats[0], this.#table.stats);
    return stats;
  }

  #flushEvents(): void {
    this.#eventsScheduled = false;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.options.note({ type: "modules", events });
  }
}
