// Shell. The client that holds the routes in its own process and picks without asking anybody.

import {
  type BalanceSettings,
  parseBalanceSettings,
} from "../balancer/detection/balance_settings.ts";
import { DrainWatch } from "../balancer/routes/drain_watch.ts";
import type { Host as Node } from "../balancer/host.ts";
import { TIME_UNKNOWN_MS } from "../balancer/detection/call_outcome.ts";
import { RouteLb, TICK_MS } from "../balancer/routes/route_lb.ts";
import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import { RetCode } from "../proto/message_ids.ts";
import { encodePickKey, type PickKey, readPickKey } from "../proto/pick_key.ts";
import { formatAddress, formatIpv4, parseIpv4 } from "../reactor/address.ts";
import { backgroundClock } from "../reactor/time/background_clock.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import { ConnectError, LarsError, LimitError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { AgentUpstream } from "./agent_upstream.ts";
import { BaseClient } from "./base_client.ts";
import { DirectUpstream } from "./direct_upstream.ts";
import { ClosedError } from "./errors.ts";
import type { Host, HostAnswer } from "./host.ts";
import {
  checkMode,
  checkModulesMax,
  checkPeers,
  checkResultsMax,
  checkRules,
  type InProcessClientOptions,
  type InProcessClientStats,
} from "./in_process_options.ts";
import {
  type CallOptions,
  checkDeadline,
  checkId,
  checkPort,
  checkRetcode,
  checkTimecost,
  checkToken,
  type PickOptions,
} from "./options.ts";
import { PENDING_MAX } from "./pending.ts";
import type { Upstream, UpstreamEvents } from "./upstream.ts";
import type { RouteNode } from "../model/node.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Time that `regInit` gives a route to come. */
export const REG_INIT_MS = 250;

/** Addresses remembered as numbers, so that a report need not read their text; then forgotten. */
export const IPS_MAX = 65_536;

/** Somebody who waits for the first route of a module. */
interface Waiter {
  readonly timer: Timer;
  readonly done: () => void;
}

/**
 * A caller's side of Lars that picks by itself: the routes come over a stream, from the agent of
 * this host or, where there is none, from dns. A pick is a function call and asks nobody.
 *
 * ```ts
 * import { InProcessClient } from "./in_process_client.ts";
 *
 * const client = new InProcessClient();
 * await client.regInit(1, 1);
 * const host = client.pick(1, 1);
 * if (typeof host === "number") {
 *   console.log(`No node: ${host}`);
 * } else {
 *   console.log(`Calling ${host.ip}:${host.port}`);
 *   client.report(1, 1, host.ip, host.port, 0, 12);
 * }
 * await client.close();
 * ```
 *
 * Making a client opens nothing: the first question does. Streams and timers do not keep the
 * program alive; `close` sends the results that wait. While the stream is down the last routes
 * serve on, see `connected` and `tableAgeMs`.
 */
export class InProcessClient extends BaseClient {
  readonly #lb: RouteLb;
  readonly #drains: DrainWatch;
  readonly #upstream: Upstream;
  readonly #background: Clock;
  readonly #ips = new Map<string, number>();
  /** When modules without an answer were first asked for, oldest first. */
  readonly #askedAtMs = new Map<ModuleId, number>();
  readonly #modulesMax: number;
  readonly #givenRules: Partial<BalanceSettings>;
  readonly #givenZone: string | undefined;
  readonly #waiters = new Map<ModuleId, Set<Waiter>>();
  #waitingCount = 0;
  /** Modules with a route that has not come again since the stream was opened. */
  readonly #unconfirmed = new Set<ModuleId>();
  /** Modules that a route has come for. */
  readonly #answered = new Set<ModuleId>();
  #currentAtMs = -Infinity;
  /**
   * Time of the last tick: reading a clock would cost as much as the pick. Made optional, so that
   * the engine keeps a boxed number here, and need not box it for each pick.
   */
  #nowMs: number | undefined = undefined;
  #policiesRefused = 0;
  #running = false;
  #ticker: Timer | undefined;

  /** @throws {RangeError} when an option is out of range. */
  constructor(options: InProcessClientOptions = {}) {
    super(options, options.clock ?? systemClock);
    this.#background = options.clock ?? backgroundClock;
    this.#modulesMax = checkModulesMax(options.modulesMax);
    this.#nowMs = this.clock.nowMs();
    this.#givenRules = { ...options.rules };
    this.#givenZone = options.zone;
    const rng = options.rng ?? systemRng;
    this.#lb = new RouteLb({
      settings: checkRules(options.rules),
      rng,
      zone: options.zone ?? "",
      modulesMax: this.#modulesMax,
      onPull: (modId, cmdId) => this.#upstream.ask(modId, cmdId),
      onForget: (modId, cmdId) => this.#forget(modId, cmdId),
    });
    this.#drains = new DrainWatch(this.#lb);
    this.#lb.pausePulls();
    const events: UpstreamEvents = {
      onReady: () => this.#ready(),
      onLost: () => this.#lb.pausePulls(),
      onHeard: () => this.#heard(),
      onNodeUse: ({ modId, cmdId, ip, port }) =>
        this.#drains.usage(modId, cmdId, ip, port, this.clock.nowMs()),
      onSettings: (rules, zone) => this.#takeSettings(rules, zone),
      pickableCount: (modId, cmdId) => this.#lb.pickableCount(modId, cmdId),
      onRoute: (modId, cmdId, nodes, policy) => this.#takeRoute(modId, cmdId, nodes, policy),
    };
    const mode = checkMode(options.mode);
    const peers = checkPeers(options);
    const shared = {
      token: checkToken(options.token),
      tls: options.tls,
      resultsMax: checkResultsMax(options.resultsMax),
      clock: this.clock,
      background: this.#background,
      rng,
      events,
    };
    this.#upstream = options.openUpstream?.(events) ??
      (mode === "local"
        ? new AgentUpstream(peers.agents, shared)
        : new DirectUpstream(peers, shared));
  }

  /** True while routes come; false: the last ones serve on. */
  get connected(): boolean {
    return this.#upstream.source.ready;
  }

  /**
   * Time since the routes held here were last known to be those of the agent (or dns), in
   * milliseconds: about a second or less while connected, growing while not, Infinity before the
   * first connection.
   */
  get tableAgeMs(): number {
    return Math.max(0, this.clock.nowMs() - this.#currentAtMs);
  }

  /** Counters for whoever watches the program. Walks the modules: not for each call. */
  get stats(): InProcessClientStats {
    const lb = this.#lb.stats();
    return {
      modules: lb.modules,
      hosts: lb.hosts,
      hostsOverload: lb.hostsOverload,
      picks: lb.picks,
      probes: lb.probes,
      refusedOverload: lb.refusedOverload,
      refusedNoExist: lb.refusedNoExist,
      reports: lb.reports,
      reportsIgnored: lb.reportsIgnored,
      modulesEvicted: lb.modulesEvicted,
      policiesRefused: this.#policiesRefused,
      waiting: this.#waitingCount,
      ...this.retryStats,
      ...this.#upstream.stats,
    };
  }

  /**
   * The next node of a module, at once: a node, or the return code 1 (overload) or 3 (no node, or
   * no route yet; it is asked for). Allocates nothing; a node is the same object each time, for as
   * long as the route has it. Ids are taken as numbers of 32 bits.
   *
   * @param key Calls of one key stay on one node, where the policy of the module heeds keys; 1 to
   * 256 bytes, of which a longer one is not refused here.
   * @throws {ClosedError} when the client is closed.
   */
  pick(modId: number, cmdId: number, key?: PickKey): Host | RetCode {
    if (!this.#running) this.#start();
    const text = typeof key === "object" ? readPickKey(key) : key;
    const picked = this.#lb.getHost(modId, cmdId, this.#nowMs as number, text);
    if (typeof picked === "number") return picked as RetCode;
    return (picked.attached as Host | undefined) ?? attachView(picked);
  }

  /**
   * {@linkcode InProcessClient.pick} as a promise; waits for the first route of a module, until the
   * deadline after it was first asked for.
   */
  async tryGetHost(modId: number, cmdId: number, options: PickOptions = {}): Promise<HostAnswer> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const key = options.key === undefined ? undefined : encodePickKey(options.key);
    const deadlineMs = checkDeadline(options.deadlineMs ?? this.deadlineMs);
    try {
      await this.#wantRoute(module, command, deadlineMs);
      const picked = this.pick(module, command, key);
      if (typeof picked !== "number") return { retcode: RetCode.Success, host: picked };
      if (picked === RetCode.NoExist) this.#needConnection(module, command);
      return { retcode: picked };
    } catch (error) {
      if (!(error instanceof LarsError)) throw error;
      return { retcode: RetCode.SystemError, error };
    }
  }

  /** The first connection comes before the first route. */
  protected override mayComeYet(answer: HostAnswer): boolean {
    return super.mayComeYet(answer) || answer.error instanceof ConnectError;
  }

  /** Judged here at once, and passed on at most a second later, added up. */
  report(
    modId: number,
    cmdId: number,
    ip: string,
    port: number,
    retcode: number,
    timecostMs?: number,
  ): void {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const address = this.#ips.get(ip) ?? this.#readIp(ip);
    checkPort(port);
    checkRetcode(retcode);
    const costMs = checkTimecost(timecostMs) ?? TIME_UNKNOWN_MS;
    if (!this.#running) this.#start();
    this.#lb.report(module, command, address, port, retcode, costMs, this.clock.nowMs());
    this.#upstream.calls?.add(module, command, address, port, retcode, costMs);
  }

  async getRoute(modId: number, cmdId: number, options: CallOptions = {}): Promise<Host[]> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    const deadlineMs = checkDeadline(options.deadlineMs ?? this.deadlineMs);
    await this.#wantRoute(module, command, deadlineMs);
    const nodes = this.#lb.getRoute(module, command, this.clock.nowMs());
    if (nodes.length === 0) this.#needConnection(module, command);
    return nodes.map((node) => (node.attached as Host | undefined) ?? attachView(node));
  }

  /** As this client picks, which nobody need be asked for. */
  explain(modId: number, cmdId: number): Promise<ModuleExplanation | undefined> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    return Promise.resolve(this.#lb.explain(module, command, this.clock.nowMs()));
  }

  /** Waits for the route a quarter of a second. */
  async regInit(modId: number, cmdId: number): Promise<RetCode> {
    const module = checkId("modId", modId);
    const command = checkId("cmdId", cmdId);
    await this.#wantRoute(module, command, REG_INIT_MS);
    const state = this.#lb.stateOf(module, command);
    if (state === "ready") return RetCode.Success;
    return state === "empty" || this.connected ? RetCode.NoExist : RetCode.SystemError;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#running = false;
    this.#ticker?.cancel();
    for (const waiters of [...this.#waiters.values()]) for (const { done } of [...waiters]) done();
    this.#upstream.addReports(this.#lb.drainReports(this.clock.nowMs(), true));
    await this.#upstream.close();
  }

  #start(): void {
    if (this.closed) throw new ClosedError();
    this.#running = true;
    this.#nowMs = this.clock.nowMs();
    this.#ticker = setRepeating(this.#background, TICK_MS, () => this.#tick());
    this.#upstream.start();
  }

  #tick(): void {
    const nowMs = this.clock.nowMs();
    this.#nowMs = nowMs;
    this.#lb.tick(nowMs);
    if (this.#drains.count > 0) this.#drains.tick(nowMs);
    this.#upstream.addReports(this.#lb.drainReports(nowMs));
    this.#upstream.tick(nowMs, this.#unconfirmed.size === 0);
  }

  #ready(): void {
    // Pushes come for what is asked for over this connection only.
    for (const key of this.#answered) this.#unconfirmed.add(key);
    this.#lb.resubscribe(this.clock.nowMs());
    this.#lb.tick(this.clock.nowMs());
    this.#heard();
  }

  #heard(): void {
    if (this.#unconfirmed.size === 0) this.#currentAtMs = this.clock.nowMs();
  }

  #takeRoute(
    modId: number,
    cmdId: number,
    nodes: readonly RouteNode[] | undefined,
    policy: string | undefined,
  ): void {
    try {
      if (policy !== undefined) this.#lb.setModulePolicy(modId, cmdId, policy);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#policiesRefused++;
    }
    const nowMs = this.clock.nowMs();
    if (nodes === undefined) {
      this.#lb.confirm(modId, cmdId, nowMs);
    } else {
      if (this.#lb.update(modId, cmdId, nodes, nowMs) === undefined) return;
      this.#drains.routeTaken(modId, cmdId, nodes, nowMs);
    }
    const key = moduleId(modId, cmdId);
    this.#answered.add(key);
    this.#askedAtMs.delete(key);
    this.#unconfirmed.delete(key);
    this.#heard();
    for (const { done } of [...this.#waiters.get(key) ?? []]) done();
  }

  /** What this client was told itself stands above what the agent says. */
  #takeSettings(rules: string, zone: string): void {
    if (this.#givenZone === undefined) this.#lb.setZone(zone);
    try {
      this.#lb.setSettings({ ...parseBalanceSettings(rules), ...this.#givenRules });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#policiesRefused++;
    }
  }

  #forget(modId: number, cmdId: number): void {
    const key = moduleId(modId, cmdId);
    this.#answered.delete(key);
    this.#unconfirmed.delete(key);
    this.#askedAtMs.delete(key);
    this.#upstream.forget(modId, cmdId);
  }

  /** Resolves when the module has its first route, or `deadlineMs` after it was first asked for. */
  async #wantRoute(modId: number, cmdId: number, deadlineMs: number): Promise<void> {
    if (!this.#running) this.#start();
    this.#lb.use(modId, cmdId, this.clock.nowMs());
    if (this.#lb.stateOf(modId, cmdId) !== "pulling") return;
    const key = moduleId(modId, cmdId);
    const nowMs = this.clock.nowMs();
    let askedAtMs = this.#askedAtMs.get(key);
    if (askedAtMs === undefined) {
      askedAtMs = nowMs;
      this.#askedAtMs.set(key, nowMs);
      if (this.#askedAtMs.size > this.#modulesMax) {
        const [oldest] = this.#askedAtMs.keys();
        this.#askedAtMs.delete(oldest);
      }
    }
    const leftMs = askedAtMs + deadlineMs - nowMs;
    if (leftMs <= 0) return;
    await this.#wait(key, leftMs);
    if (this.closed) throw new ClosedError();
  }

  #wait(key: ModuleId, waitMs: number): Promise<void> {
    if (this.#waitingCount >= PENDING_MAX) {
      throw new LimitError(
        "PENDING_MAX",
        `Questions that wait must be at most ${PENDING_MAX}: a further one is refused`,
      );
    }
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(key) ?? new Set();
      this.#waiters.set(key, waiters);
      const done = (): void => {
        if (!waiters.delete(waiter)) return;
        if (waiters.size === 0) this.#waiters.delete(key);
        waiter.timer.cancel();
        this.#waitingCount--;
        resolve();
      };
      // Of the clock that keeps the program alive: somebody waits.
      const waiter: Waiter = { timer: this.clock.setTimer(waitMs, done), done };
      waiters.add(waiter);
      this.#waitingCount++;
    });
  }

  /** @throws {ConnectError} when nothing is known of the module because nobody could be asked. */
  #needConnection(modId: number, cmdId: number): void {
    if (this.connected || this.#lb.stateOf(modId, cmdId) !== "pulling") return;
    const { address, fault = "no connection yet" } = this.#upstream.source;
    throw new ConnectError(formatAddress(address), `${fault}: is it running?`);
  }

  #readIp(ip: string): number {
    const address = parseIpv4(ip);
    if (this.#ips.size >= IPS_MAX) this.#ips.clear();
    this.#ips.set(ip, address);
    return address;
  }
}

/** The node as callers see it, made once. */
function attachView(node: Node): Host {
  const view: Host = Object.freeze({ ip: formatIpv4(node.ip), port: node.port });
  node.attached = view;
  return view;
}
