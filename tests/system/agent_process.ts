// Shell. An agent of a simulation with its caller: subscriber, intake, worker and sender as shipped, put
// together as its service does, with its cache on a disk of memory.

import { UdpWorker } from "../../agent/worker/udp_worker.ts";
import type { AgentNote } from "../../agent/worker/messages.ts";
import type { PackedRoute } from "../../agent/routes/packed_route.ts";
import { RouteIntake } from "../../agent/routes/route_intake.ts";
import { agentSettings, balanceSettingsOf } from "../../agent/config.ts";
import { readSettings } from "../../daemon/settings/settings.ts";
import { REPORTER_HELLO_MS, ReportSender } from "../../feed/report_sender.ts";
import { type ArrivedRoute, RouteSubscriber } from "../../feed/route_subscriber.ts";
import {
  decodeGetHostResponse,
  frameGetHostRequest,
  frameReportRequest,
} from "../../proto/codec.ts";
import { AGENT_PORT_COUNT, agentPortIndex, RetCode } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { type Address, formatIpv4, parseIpv4 } from "../../reactor/address.ts";
import { setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { nextInt } from "../../reactor/time/rng.ts";
import { newUdpStats, type UdpServerOptions } from "../../reactor/udp/udp_server.ts";
import type { CountedCalls } from "./sim_database.ts";
import { openSimLink } from "./sim_link.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess, type SimWorld } from "./sim_process.ts";

/** From a change to the writing of the cache. */
const CACHE_DELAY_MS = 1_000;
const HOUSEKEEPING_MS = 1_000;
/** First of its ports. */
const FIRST_PORT = 8888;
/** Pauses of its caller, up to. */
const CALL_PAUSE_MS = 1_000;
const CALLER: Address = { hostname: "127.0.0.1", port: 40_000 };

/** What an agent tells who checks it. */
export interface AgentWatch {
  /** A route came, and the agent has taken it in. */
  onRoute(agent: AgentProcess, modId: number): void;
  /** It was started, with these routes from its disk. */
  onStart(agent: AgentProcess, modIds: readonly number[]): void;
  /** It gave a node, or none. */
  onPick(agent: AgentProcess, modId: number, node: { ip: number; port: number } | number): void;
  /** A call to a node. @returns how it went, and after how long. */
  call(ip: number): { readonly retcode: number; readonly tookMs: number };
}

/** Bugs that can be planted into its glue. */
export interface AgentBugs {
  /** It does not know how new its routes are. */
  readonly agentForgetsAge?: boolean;
  /** A route that is held back counts as one without nodes. */
  readonly agentEmptiesHeld?: boolean;
  /** It does not ask again over a new connection. */
  readonly agentAsksOnce?: boolean;
  /** What came over a connection that is lost is reported as new. */
  readonly agentCountsAnew?: boolean;
}

/** Where its servers are. */
export interface AgentServers {
  readonly dns: readonly Address[];
  readonly reporters: readonly Address[];
}

/** See the file's first line. */
export class AgentProcess extends SimProcess {
  bugs: AgentBugs = {};
  /** No calls are made. */
  isQuiet = false;
  /** Calls that this run has made to nodes that were still there when it told of them. */
  made: CountedCalls = { succ: 0, err: 0, refused: 0 };
  #runs = 0;
  #cache: readonly PackedRoute[] = [];
  #intake: RouteIntake | undefined;
  #worker: UdpWorker | undefined;

  constructor(
    world: SimWorld,
    name: string,
    host: string,
    readonly servers: AgentServers,
    readonly modIds: readonly number[],
    readonly watch: AgentWatch,
  ) {
    super(world, name, host);
  }

  /** How reports name this run: another address each time, so that each can be counted. */
  get callerIp(): number {
    return parseIpv4(this.host) + 256 * this.#runs;
  }

  /** What it has of a module. */
  routeOf(modId: number): PackedRoute | undefined {
    return this.#intake?.registry.routeOf(modId, 1);
  }

  /** Nodes of a module that it keeps out. */
  outCount(modId: number): number {
    const lb = this.#worker?.lbOf(modId, 1);
    const explained = lb?.explain(modId, 1, this.parts.clock.nowMs());
    return explained?.module?.nodes.filter(({ condition }) =>
      condition === "overload" || condition === "resting"
    ).length ?? 0;
  }

  protected begin(parts: ProcessParts): void {
    const { clock, rng } = parts;
    this.#runs++;
    this.made = { succ: 0, err: 0, refused: 0 };
    const settings = readSettings(agentSettings, {});
    let cacheTimer: Timer | undefined;
    const intake = new RouteIntake({
      send: (task) => {
        worker.onTask(task);
        return true;
      },
      onHealthCheck: () => {},
      onRoute: (_modId, _cmdId, changed) => {
        if (!changed) return;
        cacheTimer ??= clock.setTimer(CACHE_DELAY_MS, () => {
          cacheTimer = undefined;
          this.#cache = [...intake.registry.routes()];
        });
      },
      warn: () => {},
    });
    this.#intake = intake;
    intake.preload(this.#cache);
    const sender = new ReportSender({
      openLink: (events) =>
        openSimLink(parts, {
          ...{ ...events, servers: this.servers.reporters, id: this.#linkId },
          welcomeWaitMs: REPORTER_HELLO_MS,
        }),
      ...{ clock, rng, callerIp: () => this.callerIp },
    });
    const subscriber = this.#subscribe(parts, intake, settings.pushGuardMs);
    const worker = this.#makeWorker(parts, intake, (note) => {
      if (note.type === "reports") {
        if (this.bugs.agentCountsAnew === true && !sender.link.ready) sender.countersRestarted();
        sender.add(note.reports);
      } else if (note.type === "modules") {
        for (const { kind, shard, modId, cmdId } of note.events) {
          if (kind === "pull") {
            intake.registry.want(modId, cmdId, shard);
            subscriber.request(modId, cmdId);
          } else if (intake.registry.forget(modId, cmdId, shard)) subscriber.forget(modId, cmdId);
        }
      }
    });
    this.#worker = worker;
    void worker.start();
    this.watch.onStart(this, this.#cache.map(({ modId }) => modId));
    subscriber.link.start();
    sender.link.start();
    setRepeating(clock, HOUSEKEEPING_MS, () => sender.flush());
    this.#callSoon(parts);
  }

  #subscribe(
    { clock, ...rest }: ProcessParts,
    intake: RouteIntake,
    pushGuardMs: number,
  ): RouteSubscriber {
    const { registry } = intake;
    const subscriber: RouteSubscriber = new RouteSubscriber({
      openLink: (events) =>
        openSimLink({ clock, ...rest }, {
          ...{ ...events, servers: this.servers.dns, id: this.#linkId },
          revision: () => subscriber.revision,
        }),
      ...{ clock, pushGuardMs },
      pickableCount: (modId, cmdId) => registry.pickableCount(modId, cmdId),
      stampOf: (modId, cmdId) =>
        this.bugs.agentForgetsAge === true ? undefined : registry.routeOf(modId, cmdId)?.stamp,
      onReady: () => {
        if (this.bugs.agentAsksOnce !== true || subscriber.link.connectCount === 1) {
          this.#worker?.onTask({ type: "resubscribe" });
        }
      },
      onLost: () => this.#worker?.onTask({ type: "offline" }),
      onNodeUse: () => {},
      onRoute: (route) => this.#take(route, subscriber),
    });
    return subscriber;
  }

  #take(route: ArrivedRoute, subscriber: RouteSubscriber): void {
    const taken = this.bugs.agentEmptiesHeld === true
      ? { ...route, hosts: route.hosts ?? [] }
      : route;
    if (this.#intake?.take(taken) !== true) subscriber.forget(route.modId, route.cmdId);
    if (taken.hosts !== undefined) this.watch.onRoute(this, route.modId);
  }

  get #linkId(): string {
    return `${this.host}:${FIRST_PORT}`;
  }

  #makeWorker(
    { clock, rng, log }: ProcessParts,
    intake: RouteIntake,
    note: (note: AgentNote) => void,
  ): UdpWorker {
    const settings = readSettings(agentSettings, {});
    const routesOf = (shard: number): PackedRoute[] => [...intake.registry.routesOf(shard)];
    return new UdpWorker({
      hostname: "127.0.0.1",
      shards: Array.from({ length: AGENT_PORT_COUNT }, (_, index) => ({
        ...{ index, port: FIRST_PORT + index, preload: routesOf(index) },
      })),
      settings: balanceSettingsOf(settings),
      ...{ modulesMax: 100, pullsBurstMax: 100, pullsPerSecondMax: 100 },
      ...{ secrets: undefined, software: SIM_SOFTWARE, zone: "" },
    }, { clock, rng, log, note, makeServer: (options) => this.#makeServer(options) });
  }

  #makeServer(options: UdpServerOptions): SimDatagrams {
    const server = new SimDatagrams(options);
    this.#servers[options.port - FIRST_PORT] = server;
    return server;
  }

  readonly #servers: SimDatagrams[] = [];

  #callSoon(parts: ProcessParts): void {
    parts.clock.setTimer(nextInt(parts.rng, CALL_PAUSE_MS), () => {
      this.#callSoon(parts);
      if (!this.isQuiet) this.#call(parts, this.modIds[nextInt(parts.rng, this.modIds.length)]);
    });
  }

  #call({ clock }: ProcessParts, modId: number): void {
    const server = this.#servers[agentPortIndex(modId, 1)];
    const answer = server.ask(frameGetHostRequest({ seq: 1, modId, cmdId: 1 }));
    if (answer === undefined) return;
    const { host, retcode } = decodeGetHostResponse(readDatagram(answer).body);
    if (host === undefined || retcode !== RetCode.Success) {
      this.made.refused++;
      return this.watch.onPick(this, modId, retcode);
    }
    const node = { ip: host.ip >>> 0, port: host.port };
    this.watch.onPick(this, modId, node);
    const { retcode: outcome, tookMs } = this.watch.call(node.ip);
    clock.setTimer(tookMs, () => {
      // What comes late of a node that has left the route is no result of it any more.
      const isThere = this.routeOf(modId)?.ips.includes(node.ip) === true;
      if (isThere && outcome === 0) this.made.succ++;
      else if (isThere) this.made.err++;
      server.ask(frameReportRequest({
        ...{ modId, cmdId: 1, host: node, retcode: outcome, timecostMs: tookMs },
      }));
    });
  }
}

/** A socket whose one peer is the caller of the agent. */
class SimDatagrams {
  readonly stats = newUdpStats();
  readonly address: Address;
  readonly #options: UdpServerOptions;
  #answer: Uint8Array | undefined;

  constructor(options: UdpServerOptions) {
    this.#options = options;
    this.address = { hostname: options.hostname, port: options.port };
  }

  /** Gives it a datagram. @returns what is answered at once. */
  ask(datagram: Uint8Array): Uint8Array | undefined {
    this.#answer = undefined;
    this.#options.onDatagram(datagram, CALLER, this);
    return this.#answer;
  }

  bind(): Promise<Address> {
    return Promise.resolve(this.address);
  }

  send(bytes: Uint8Array): void {
    this.#answer = bytes.slice();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The host of process number `index` of a kind. */
export function hostOf(kind: number, index: number): string {
  return formatIpv4(0x0a000000 + (kind << 16) + index + 1);
}
