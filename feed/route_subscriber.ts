// Core. Routes over a link to dns: asks for them, takes answers and pushes, holds back what nobody
// can have meant, and goes on to the next dns when one is silent.

import { NODES_MAX } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import {
  decodeNodeUseRequest,
  encodeGetRouteRequest,
  encodeNodeUse,
  type GetRouteResponse,
  type HostInfo,
  type NodeUse,
  type NodeUseRequest,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { PushGuard } from "./push_guard.ts";
import { RouteParts } from "./route_parts.ts";

/** Time without any answer while requests are open that counts as one silence. */
export const ANSWER_TIMEOUT_MS = 2000;

/** Silences in a row after which the next dns is tried. */
export const SILENCES_MAX = 3;

/** A whole route as dns sent it, in one message or in parts. */
export interface ArrivedRoute extends ModuleKey {
  /** Undefined: held back, the last good nodes stay. */
  readonly hosts: HostInfo[] | undefined;
  /** JSON of the module's policy; "" = none, undefined = this dns tells of no policies. */
  readonly policy: string | undefined;
}

/** What a {@linkcode RouteSubscriber} is given. */
export interface RouteSubscriberOptions {
  /** Makes the link to dns, which is told of nothing before it is started. */
  openLink(events: LinkEvents): Link;
  readonly clock: Clock;
  /** See {@linkcode PushGuard}, in milliseconds. */
  readonly pushGuardMs: number;
  /** Nodes that may be picked by the last good route of a module; 0 when there is none. */
  pickableCount(modId: number, cmdId: number): number;
  /** Requests may be sent over a new connection, which knows of no subscription yet. */
  onReady(): void;
  /** The connection is lost; requests are dropped until `onReady`. */
  onLost(): void;
  /** Anything came, so that what came before is still true. */
  onHeard?(): void;
  /** Dns asks whether a node is still used; see {@linkcode RouteSubscriber.answerNodeUse}. */
  onNodeUse(request: NodeUseRequest): void;
  /** A whole route came, asked for or not. */
  onRoute(route: ArrivedRoute): void;
  /** One line for the log: the guard has begun or ended to hold a route back. */
  onGuard?(event: string): void;
}

/** Requests made while the link is down are dropped: those who made them repeat them. */
export class RouteSubscriber {
  readonly link: Link;
  readonly guard: PushGuard;
  readonly #options: RouteSubscriberOptions;
  readonly #parts = new RouteParts();
  /** Modules asked for over this connection and not answered yet, oldest first. */
  readonly #open = new Map<ModuleId, ModuleKey>();
  #quietSinceMs = 0;
  /** Newest one that came over this connection; revisions of two dns cannot be compared. */
  #revision: number | undefined;
  #routeAtMs: number | undefined;
  #silences = 0;
  #timer: Timer | undefined;
  readonly #counts = { requests: 0, requestsDropped: 0, routes: 0, silentFailOvers: 0 };

  constructor(options: RouteSubscriberOptions) {
    this.#options = options;
    this.guard = new PushGuard(options.pushGuardMs);
    this.link = options.openLink({
      onReady: () => options.onReady(),
      onLost: () => this.#lost(),
      onHeard: () => options.onHeard?.(),
    });
    for (const msgId of [MessageId.GetRouteResponse, MessageId.RoutePart]) {
      this.link.router.add(msgId, (body) => this.#answered(this.#parts.read(msgId, body)));
    }
    this.link.router.add(
      MessageId.NodeUseRequest,
      (body) => options.onNodeUse(decodeNodeUseRequest(body)),
    );
  }

  /** Newest revision of the routes that came over this connection, to be told in pings. */
  get revision(): number | undefined {
    return this.#revision;
  }

  /** Time since dns last gave a route, in milliseconds; undefined when it never has. */
  get routeAgeMs(): number | undefined {
    const nowMs = this.#options.clock.nowMs();
    return this.#routeAtMs === undefined ? undefined : nowMs - this.#routeAtMs;
  }

  /** Counters since the start, and the number of open requests. */
  get stats(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      open: this.#open.size,
      partsDropped: this.#parts.droppedCount,
      connects: this.link.connectCount,
    };
  }

  /** Asks for a route, and for its changes from now on. */
  request(modId: number, cmdId: number): void {
    if (!this.link.ready || !this.#send(modId, cmdId)) {
      this.#counts.requestsDropped++;
      return;
    }
    if (this.#open.size === 0) this.#quietSinceMs = this.#options.clock.nowMs();
    this.#open.set(moduleId(modId, cmdId), { modId, cmdId });
    this.#watch();
  }

  /** Nobody waits for this route any more. */
  forget(modId: number, cmdId: number): void {
    this.#open.delete(moduleId(modId, cmdId));
    this.guard.forget(modId, cmdId);
  }

  /** Answers a question of the dns in use; when it has changed, the new one asks for itself. */
  answerNodeUse(message: NodeUse): void {
    if (this.link.extended) this.link.send(MessageId.NodeUse, encodeNodeUse(message));
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.link.close();
  }

  #send(modId: number, cmdId: number): boolean {
    this.#counts.requests++;
    return this.link.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId, cmdId }));
  }

  #lost(): void {
    this.#options.onLost();
    this.#silences = 0;
    this.#revision = undefined;
    this.#open.clear();
    this.#parts.clear();
  }

  /** `route`: undefined when more parts of it are to come. */
  #answered(route: GetRouteResponse | undefined): void {
    const nowMs = this.#options.clock.nowMs();
    this.#silences = 0;
    this.#quietSinceMs = nowMs;
    if (route === undefined) return;
    const { modId, cmdId, revision } = route;
    // Every route of a dns of ours has a revision, once it has heard Hello.
    const policy = revision === undefined ? undefined : route.policy ?? "";
    if (revision !== undefined) this.#revision = Math.max(this.#revision ?? 0, revision);
    this.#open.delete(moduleId(modId, cmdId));
    this.#counts.routes++;
    this.#routeAtMs = nowMs;
    const hosts = this.#isTaken(route, nowMs) ? route.hosts : undefined;
    this.#options.onRoute({ modId, cmdId, hosts, policy });
  }

  #isTaken({ modId, cmdId, hosts, meant, guarded }: GetRouteResponse, nowMs: number): boolean {
    const before = this.#options.pickableCount(modId, cmdId);
    if (before === 0) return true;
    // Where nobody marks what is meant, nothing can be held back for want of a mark.
    const isMeant = meant === true || guarded !== true;
    const after = pickableCount(hosts);
    const { take, event } = this.guard.judge(modId, cmdId, before, after, isMeant, nowMs);
    if (event !== undefined) this.#options.onGuard?.(event);
    return take;
  }

  /** Looks for silence when there could be one; who is at rest has no timer for it. */
  #watch(): void {
    if (this.#timer !== undefined || this.#open.size === 0) return;
    const { clock } = this.#options;
    const dueMs = this.#quietSinceMs + ANSWER_TIMEOUT_MS;
    this.#timer = clock.setTimer(Math.max(0, dueMs - clock.nowMs()), () => {
      this.#timer = undefined;
      this.#check();
      this.#watch();
    });
  }

  /** A dns may be connected, even answer pings, and yet give no routes: it may hang, or have none. */
  #check(): void {
    const [oldest] = this.#open.values();
    const nowMs = this.#options.clock.nowMs();
    if (oldest === undefined || nowMs - this.#quietSinceMs < ANSWER_TIMEOUT_MS) return;
    this.#quietSinceMs = nowMs;
    this.#silences++;
    if (this.#silences < SILENCES_MAX) {
      this.#send(oldest.modId, oldest.cmdId);
      return;
    }
    this.#silences = 0;
    this.#counts.silentFailOvers++;
    const seconds = (SILENCES_MAX * ANSWER_TIMEOUT_MS) / 1000;
    this.link.failOver(`no answer to route requests for ${seconds} s`);
  }
}

/** How many of these nodes may be picked. */
function pickableCount(hosts: readonly HostInfo[]): number {
  let usable = 0;
  let count = 0;
  for (const { port, state } of hosts) {
    if (port < 1 || port > 65_535) continue;
    if (++usable > NODES_MAX) break;
    if (state !== "drain") count++;
  }
  return count;
}
