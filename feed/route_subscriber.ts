// Core. Routes over a link to dns: asks for them, puts together what comes in parts, holds back what
// nobody can have meant, and goes on to the next dns when one is silent.

import { NODES_MAX } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleOf, modulePair } from "../model/module.ts";
import { type DatabaseState, isOlderState, laterState } from "../model/database_state.ts";
import {
  decodeExplainRequest,
  decodeGetRouteResponse,
  decodeNodeUseRequest,
  decodeRoutePart,
  decodeRouteUnchanged,
  decodeTableSubscribe,
  encodeExplainResponse,
  encodeGetRouteRequest,
  encodeNodeUse,
  encodeTableSubscribe,
  type ExplainRequest,
  type ExplainResponse,
  type GetRouteResponse,
  type HostInfo,
  type NodeUse,
  type NodeUseRequest,
  type Pong,
  type RoutePart,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { encodePlainRouteRequest } from "../proto/plain_request.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { SuspectQuestions } from "./suspect_questions.ts";
import { UnsentQuestions } from "./unsent_questions.ts";

/** Time without any answer while requests are open that counts as one silence. */
export const ANSWER_TIMEOUT_MS = 2000;

/** Silences in a row after which the next dns is tried. */
const SILENCES_MAX = 3;

/** Modules kept of those whose changes are not pushed; of further ones it is not counted. */
const NOT_PUSHED_MAX = 100_000;

/**
 * A module whose changes are not pushed is asked for so long after dns has said so, unless it was
 * meanwhile. Until then agents have forgotten what somebody made up and nobody asks for again.
 */
export const ASK_AGAIN_MS = 40_000;

/** Of these so many at once, and then no more for a second. */
const ASK_AGAIN_BURST = 50;
const ASK_AGAIN_PAUSE_MS = 1000;

/** Of a route that somebody has: which one it is, and from what state of the database. */
export interface RouteStamp {
  /** As dns made it; undefined: it made none. */
  readonly digest: Uint8Array | undefined;
  /** Undefined: not known, so that any route may take its place. */
  readonly plan: DatabaseState | undefined;
}

/** A whole route as dns sent it, in one message or in parts. */
export interface ArrivedRoute extends ModuleKey {
  /** Undefined: held back, or the same as before: the last good nodes stay. */
  readonly hosts: HostInfo[] | undefined;
  /** Of the route that counts from now on; undefined: that of before. */
  readonly stamp?: RouteStamp | undefined;
  /** JSON of the module's policy; "" = none, undefined = this dns tells of no policies. */
  readonly policy: string | undefined;
  /** What the module is called; "" = it has no name, undefined = this dns tells of no names. */
  readonly name?: string | undefined;
}

/** What a {@linkcode RouteSubscriber} is given. */
export interface RouteSubscriberOptions {
  /** Makes the link to dns, which is told of nothing before it is started. */
  openLink(events: LinkEvents & { onPong(pong: Pong): void }): Link;
  readonly clock: Clock;
  /** Of the last good route of a module. @default {undefined}, so that any may take its place */
  stampOf?(modId: number, cmdId: number): RouteStamp | undefined;
  /** A dns gives an older route than the last good one, which stays; said once for a connection. */
  onOlder?(event: string): void;
  /** See {@linkcode PushGuard}, in milliseconds. */
  readonly pushGuardMs: number;
  /** @default {ASK_AGAIN_MS} */
  readonly askAgainMs?: number;
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
  /** Dns asks for somebody why which node is picked; see {@linkcode RouteSubscriber.answerExplain}. */
  onExplain?(request: ExplainRequest): void;
  /** A whole route came, asked for or not. */
  onRoute(route: ArrivedRoute): void;
  /** One line for the log: the guard has begun or ended to hold a route back. */
  onGuard?(event: string): void;
}

/**
 * Requests made while the link is down are dropped: those who made them repeat them. What only found
 * no room in the connection is asked for again.
 */
export class RouteSubscriber {
  readonly link: Link;
  readonly guard: PushGuard;
  readonly #options: RouteSubscriberOptions;
  readonly #parts = new RouteParts();
  /** Modules asked for over this connection and not answered yet, oldest first. */
  readonly #open = new Map<ModuleId, ModuleKey>();
  /**
   * Modules whose changes dns does not send over this connection, and when it said so: the latest
   * last. They are asked for again.
   */
  readonly #notPushed = new Map<ModuleId, number>();
  #askTimer: Timer | undefined;
  readonly #unsent: UnsentQuestions;
  /** What a dns of the original may have ended on. */
  readonly #suspects = new SuspectQuestions();
  /** The dns of this connection speaks our extensions. */
  #isExtended = false;
  /** This dns lets subscriptions end. */
  #endsTaken = false;
  #quietSinceMs = 0;
  /** Newest one that came over this connection; revisions of two dns cannot be compared. */
  #revision: number | undefined;
  #routeAtMs: number | undefined;
  /** All that comes over this connection is as new as this; undefined: not known. */
  #floor: DatabaseState | undefined;
  /** Modules of which dns gave an older route than there is. They are asked for again. */
  readonly #older = new Map<ModuleId, ModuleKey>();
  #isOlderTold = false;
  #silences = 0;
  #timer: Timer | undefined;
  readonly #counts = {
    requests: 0,
    requestsDropped: 0,
    routes: 0,
    silentFailOvers: 0,
    ended: 0,
    requestsHeld: 0,
    routesUnchanged: 0,
    routesOlder: 0,
  };

  constructor(options: RouteSubscriberOptions) {
    this.#options = options;
    this.guard = new PushGuard(options.pushGuardMs);
    this.#unsent = new UnsentQuestions(options.clock, (key) => this.request(key.modId, key.cmdId));
    this.link = options.openLink({
      onReady: () => {
        if (this.link.extended) this.#nowExtended();
        options.onReady();
      },
      onExtended: () => this.#nowExtended(),
      onLost: () => this.#lost(),
      onHeard: () => options.onHeard?.(),
      onPong: (pong) => this.#noteFloor(planOf(pong)),
    });
    for (const msgId of [MessageId.GetRouteResponse, MessageId.RoutePart]) {
      this.link.router.add(msgId, (body) => this.#answered(this.#parts.read(msgId, body)));
    }
    this.link.router.add(MessageId.RouteUnchanged, (body) => this.#unchanged(body));
    this.link.router.add(
      MessageId.NodeUseRequest,
      (body) => options.onNodeUse(decodeNodeUseRequest(body)),
    );
    this.link.router.add(
      MessageId.ExplainRequest,
      (body) => options.onExplain?.(decodeExplainRequest(body)),
    );
    this.link.router.add(MessageId.SubscriptionTerms, () => (this.#endsTaken = true));
    this.link.router.add(MessageId.TableSubscribe, (body) => {
      const { modId, cmdId, end } = decodeTableSubscribe(body);
      if (end) this.#noteNotPushed(moduleId(modId, cmdId));
    });
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
      notPushed: this.#notPushed.size,
      partsDropped: this.#parts.droppedCount,
      connects: this.link.connectCount,
    };
  }

  /**
   * Asks for a route, and for its changes from now on.
   *
   * @returns false when it was not asked: there is no connection; too much waits in it, and then it is
   * asked in a second; or the question may end the peer and waits for its time.
   */
  request(modId: number, cmdId: number): boolean {
    const id = moduleId(modId, cmdId);
    if (!this.link.ready) return this.#dropped();
    if (!this.#suspects.admit(modId, cmdId, this.#options.clock.nowMs())) {
      this.#counts.requestsHeld++;
      return false;
    }
    if (!this.#send(modId, cmdId)) {
      this.#unsent.note({ modId, cmdId });
      return this.#dropped();
    }
    if (this.#open.size === 0) this.#quietSinceMs = this.#options.clock.nowMs();
    this.#open.set(id, { modId, cmdId });
    this.#notPushed.delete(id);
    this.#unsent.forget(modId, cmdId);
    this.#watch();
    return true;
  }

  #dropped(): false {
    this.#counts.requestsDropped++;
    return false;
  }

  /** Nobody wants this route any more: dns is told, where it can be. */
  forget(modId: number, cmdId: number): void {
    const id = moduleId(modId, cmdId);
    this.#open.delete(id);
    this.#older.delete(id);
    this.#unsent.forget(modId, cmdId);
    this.#suspects.forget(modId, cmdId);
    this.guard.forget(modId, cmdId);
    if (this.#notPushed.delete(id) || !this.#endsTaken || !this.link.ready) return;
    const end = encodeTableSubscribe({ modId, cmdId, end: true });
    if (this.link.send(MessageId.TableSubscribe, end)) this.#counts.ended++;
  }

  /** Answers a question of the dns in use; when it has changed, the new one asks for itself. */
  answerNodeUse(message: NodeUse): void {
    if (this.link.extended) this.link.send(MessageId.NodeUse, encodeNodeUse(message));
  }

  /** The same, of an explanation. */
  answerExplain(message: ExplainResponse): void {
    if (this.link.extended) {
      this.link.send(MessageId.ExplainResponse, encodeExplainResponse(message));
    }
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#askTimer?.cancel();
    this.#unsent.clear();
    await this.link.close();
  }

  #send(modId: number, cmdId: number): boolean {
    this.#counts.requests++;
    const digest = this.link.extended ? this.#options.stampOf?.(modId, cmdId)?.digest : undefined;
    const body = this.link.extended
      ? encodeGetRouteRequest({ modId, cmdId, ...(digest === undefined ? {} : { digest }) })
      : encodePlainRouteRequest(modId, cmdId);
    return this.link.send(MessageId.GetRouteRequest, body);
  }

  #nowExtended(): void {
    this.#isExtended = true;
    this.#suspects.clear();
  }

  #lost(): void {
    if (!this.#isExtended) {
      this.#suspects.ended(this.#open.values(), this.#options.clock.nowMs());
    }
    this.#isExtended = false;
    this.#options.onLost();
    this.#silences = 0;
    this.#revision = undefined;
    this.#floor = undefined;
    this.#older.clear();
    this.#isOlderTold = false;
    this.#open.clear();
    this.#notPushed.clear();
    this.#unsent.clear();
    this.#endsTaken = false;
    this.#parts.clear();
  }

  /** `route`: undefined when more parts of it are to come. */
  #answered(route: GetRouteResponse | undefined): void {
    this.#silences = 0;
    this.#quietSinceMs = this.#options.clock.nowMs();
    if (route === undefined) return;
    const { modId, cmdId, revision, digest } = route;
    this.#settle(modId, cmdId, revision);
    this.#counts.routes++;
    // Every route of a dns of ours has a revision, once it has heard Hello.
    const isOurs = revision !== undefined;
    const policy = isOurs ? route.policy ?? "" : undefined;
    const name = isOurs ? route.name ?? "" : undefined;
    const plan = laterState(planOf(route), this.#floor);
    if (this.#isOlder(modId, cmdId, plan, digest)) return this.#keep(modId, cmdId);
    this.#older.delete(moduleId(modId, cmdId));
    const isTaken = this.#isTaken(route, this.#quietSinceMs);
    const hosts = isTaken ? route.hosts : undefined;
    const stamp = isTaken ? { digest: digest?.slice(), plan } : undefined;
    this.#options.onRoute({ modId, cmdId, hosts, policy, name, stamp });
  }

  /** Dns says that the route which it was told of is still the one. */
  #unchanged(body: Uint8Array): void {
    const message = decodeRouteUnchanged(body);
    const { modId, cmdId, revision } = message;
    this.#silences = 0;
    this.#quietSinceMs = this.#options.clock.nowMs();
    this.#settle(modId, cmdId, revision);
    this.#counts.routesUnchanged++;
    this.#older.delete(moduleId(modId, cmdId));
    const known = this.#options.stampOf?.(modId, cmdId);
    const said = laterState(planOf(message), this.#floor);
    const stamp = known && { ...known, plan: known.plan && laterState(known.plan, said) };
    this.#options.onRoute({ modId, cmdId, hosts: undefined, policy: undefined, stamp });
  }

  /** A question is answered. */
  #settle(modId: number, cmdId: number, revision: number | undefined): void {
    if (revision !== undefined) this.#revision = Math.max(this.#revision ?? 0, revision);
    this.#open.delete(moduleId(modId, cmdId));
    const next = this.#suspects.answered(modId, cmdId);
    if (next !== undefined) this.request(next.modId, next.cmdId);
    this.#routeAtMs = this.#options.clock.nowMs();
  }

  /**
   * True for a route that is read from an older state of the database than the last good one, and
   * differs from it: this dns, or the server it reads from, lags, or was set back.
   */
  #isOlder(
    modId: number,
    cmdId: number,
    plan: DatabaseState | undefined,
    digest: Uint8Array | undefined,
  ): boolean {
    const known = this.#options.stampOf?.(modId, cmdId);
    if (plan === undefined || known?.plan === undefined) return false;
    const isSame = digest !== undefined && known.digest?.every((byte, at) => byte === digest[at]);
    return isOlderState(plan, known.plan) && isSame !== true;
  }

  /** The last good route stays, and is asked for again once dns has caught up. */
  #keep(modId: number, cmdId: number): void {
    this.#counts.routesOlder++;
    this.#older.set(moduleId(modId, cmdId), { modId, cmdId });
    this.#options.onRoute({ modId, cmdId, hosts: undefined, policy: undefined });
    if (this.#isOlderTold) return;
    this.#isOlderTold = true;
    this.#options.onOlder?.(
      `Dns gives older routes than there are, as of module ${modulePair({ modId, cmdId })}: the ` +
        "newer ones stay. Its database lags, or was set back (`lars sql accept-restored`)",
    );
  }

  /** All that comes is as new as this from now on: what was older may be newer now. */
  #noteFloor(plan: DatabaseState | undefined): void {
    this.#floor = laterState(this.#floor, plan);
    for (const [id, { modId, cmdId }] of this.#older) {
      const known = this.#options.stampOf?.(modId, cmdId)?.plan;
      if (known !== undefined && this.#floor !== undefined && isOlderState(this.#floor, known)) {
        continue;
      }
      // What finds no room now is asked for with the next pong.
      if (this.request(modId, cmdId)) this.#older.delete(id);
    }
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

  #noteNotPushed(id: ModuleId): void {
    // A dns that makes up more than there can be asked for is not listened to.
    if (!this.#notPushed.delete(id) && this.#notPushed.size >= NOT_PUSHED_MAX) return;
    this.#notPushed.set(id, this.#options.clock.nowMs());
    this.#watchNotPushed(0);
  }

  #watchNotPushed(pauseMs: number): void {
    const [oldestMs] = this.#notPushed.values();
    if (this.#askTimer !== undefined || oldestMs === undefined) return;
    const { clock, askAgainMs = ASK_AGAIN_MS } = this.#options;
    const delayMs = Math.max(pauseMs, oldestMs + askAgainMs - clock.nowMs());
    this.#askTimer = clock.setTimer(delayMs, () => {
      this.#askTimer = undefined;
      this.#askAgain(clock.nowMs() - askAgainMs);
      this.#watchNotPushed(ASK_AGAIN_PAUSE_MS);
    });
  }

  /** Asks for what dns said of until then that it does not push it. */
  #askAgain(untilMs: number): void {
    for (const [id, saidMs] of [...this.#notPushed.entries().take(ASK_AGAIN_BURST)]) {
      if (saidMs > untilMs) return;
      const { modId, cmdId } = moduleOf(id);
      // It stays until it was asked for: when too much waits already, it is tried again.
      if (!this.request(modId, cmdId)) return;
    }
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

/** The state of the database that a message names, if it does. */
function planOf(
  { epoch, version }: { epoch?: number; version?: number },
): DatabaseState | undefined {
  return version === undefined ? undefined : { epoch: epoch ?? 0, version };
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

/** Parts of one route: 65,536 nodes of 290 bytes, the largest our dns writes, take 291. */
export const ROUTE_PARTS_MAX = 512;

/** Routes that may be incomplete at once; dns sends the parts of a route in one go. */
export const ROUTES_INCOMPLETE_MAX = 16;

interface Assembly {
  readonly partCount: number;
  readonly revision: number | undefined;
  readonly hosts: HostInfo[];
  nextPart: number;
}

/** One connection's incomplete routes. Parts come in order, from 0; anything else is dropped. */
export class RouteParts {
  readonly #assemblies = new Map<ModuleId, Assembly>();
  #dropped = 0;

  /** Parts that fitted nothing, and routes given up, since the start. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /**
   * Takes the body of a message that holds a route or a part of one.
   *
   * @returns the route when it is complete, else undefined.
   * @throws {ProtocolError} when the body cannot be read.
   */
  read(msgId: number, body: Uint8Array): GetRouteResponse | undefined {
    if (msgId === MessageId.GetRouteResponse) return decodeGetRouteResponse(body);
    const part = decodeRoutePart(body);
    const hosts = this.take(part);
    return hosts === undefined ? undefined : { ...part, hosts };
  }

  /**
   * Takes one part.
   *
   * @returns all nodes when the route is complete, else undefined. Nodes beyond `NODES_MAX` are
   * kept out of memory.
   */
  take(part: RoutePart): HostInfo[] | undefined {
    const key = moduleId(part.modId, part.cmdId);
    const assembly = part.part === 0 ? this.#begin(key, part) : this.#assemblies.get(key);
    if (
      assembly === undefined || part.part !== assembly.nextPart ||
      part.partCount !== assembly.partCount || part.revision !== assembly.revision
    ) {
      this.#assemblies.delete(key);
      this.#dropped++;
      return undefined;
    }
    // One node over the limit is kept, so that the one who cuts the route sees that it was cut.
    const room = NODES_MAX + 1 - assembly.hosts.length;
    for (const host of part.hosts.slice(0, Math.max(0, room))) assembly.hosts.push(host);
    assembly.nextPart++;
    if (assembly.nextPart < assembly.partCount) return undefined;
    this.#assemblies.delete(key);
    return assembly.hosts;
  }

  /** The connection ended: what is incomplete stays so. */
  clear(): void {
    this.#dropped += this.#assemblies.size;
    this.#assemblies.clear();
  }

  #begin(key: ModuleId, part: RoutePart): Assembly | undefined {
    if (part.partCount < 1 || part.partCount > ROUTE_PARTS_MAX) return undefined;
    if (this.#assemblies.delete(key)) this.#dropped++;
    if (this.#assemblies.size >= ROUTES_INCOMPLETE_MAX) {
      const [oldest] = this.#assemblies.keys();
      this.#assemblies.delete(oldest);
      this.#dropped++;
    }
    const { partCount, revision } = part;
    const assembly = { partCount, revision, hosts: [], nextPart: 0 };
    this.#assemblies.set(key, assembly);
    return assembly;
  }
}

/** For how long, unless told otherwise. */
export const PUSH_GUARD_MS = 600_000;

/** What is held back of one module. */
interface Held {
  /** Since when, without a pause. */
  readonly sinceMs: number;
  /** Nodes that may be picked, of the last good route and of the one held back. */
  readonly nodesBefore: number;
  nodesAfter: number;
}

/** What {@linkcode PushGuard.judge} says of a route. */
export interface Verdict {
  /** False: keep the last good route. */
  readonly take: boolean;
  /** One line for the log, when something began or ended; else undefined. */
  readonly event: string | undefined;
}

/** Counters and state of a {@linkcode PushGuard}, under the names of the status. */
export interface PushGuardStats {
  /** Pushes and answers that were held back. */
  readonly pushesHeld: number;
  /** Modules of which the last good route is kept. */
  readonly modulesHeld: number;
  /** Routes that were taken after all because nobody contradicted them for long enough. */
  readonly heldTakenByTime: number;
}

const QUIET: Verdict = { take: true, event: undefined };

/**
 * Judges each route before it takes the place of the one before. A route that leaves no node, or
 * less than half of those of the last good one, is held back unless it is marked as meant. It is
 * taken after all when every route that came for `holdMs` was such a one: whoever really meant it
 * and could not say so gets his way, while a table that was emptied by accident and filled again
 * never reaches a caller.
 *
 * Bounded by the modules whose routes are judged: `forget` those that are not used any more.
 */
export class PushGuard {
  readonly #held = new Map<string, Held>();
  #holdMs: number;
  #pushesHeld = 0;
  #takenByTime = 0;

  /**
   * @param holdMs How long such routes are held back, in milliseconds; 0 = not at all, as in the
   * original.
   * @throws {RangeError} when it is negative or no number.
   */
  constructor(holdMs: number) {
    this.#holdMs = checkHold(holdMs);
  }

  get stats(): PushGuardStats {
    return {
      pushesHeld: this.#pushesHeld,
      modulesHeld: this.#held.size,
      heldTakenByTime: this.#takenByTime,
    };
  }

  /** Another time, from the next route on. */
  setHold(holdMs: number): void {
    this.#holdMs = checkHold(holdMs);
  }

  /** A route came: take it? Counts are of the nodes that may be picked. */
  judge(
    modId: number,
    cmdId: number,
    nodesBefore: number,
    nodesAfter: number,
    meant: boolean,
    nowMs: number,
  ): Verdict {
    const key = modulePair({ modId, cmdId });
    const held = this.#held.get(key);
    const shrinks = nodesAfter * 2 < nodesBefore;
    if (this.#holdMs === 0 || meant || !shrinks) {
      if (!this.#held.delete(key)) return QUIET;
      const why = meant ? "it is meant" : "enough of its nodes are back";
      return { take: true, event: `Route of module ${key} is taken: ${why}` };
    }
    if (held !== undefined && nowMs - held.sinceMs >= this.#holdMs) {
      this.#held.delete(key);
      this.#takenByTime++;
      const seconds = Math.round((nowMs - held.sinceMs) / 1000);
      const event = `Route of module ${key} is taken with ${nodesAfter} of ${nodesBefore} nodes: ` +
        `it has stayed so for ${seconds} s`;
      return { take: true, event };
    }
    this.#pushesHeld++;
    if (held !== undefined) {
      held.nodesAfter = nodesAfter;
      return { take: false, event: undefined };
    }
    this.#held.set(key, { sinceMs: nowMs, nodesBefore, nodesAfter });
    const event = `Route of module ${key} is held back: it would keep ${nodesAfter} of ` +
      `${nodesBefore} nodes, and nobody says that this is meant`;
    return { take: false, event };
  }

  /** The module is not used any more. */
  forget(modId: number, cmdId: number): void {
    this.#held.delete(modulePair({ modId, cmdId }));
  }

  /** What is held back now, in a line for the status; "" = nothing. The oldest first. */
  describe(nowMs: number, modulesMax = 5): string {
    const lines = [...this.#held].slice(0, modulesMax).map(([key, held]) =>
      `${key}: ${held.nodesAfter} of ${held.nodesBefore} nodes, ` +
      `${Math.round((nowMs - held.sinceMs) / 1000)} s`
    );
    const more = this.#held.size - lines.length;
    return lines.join("; ") + (more > 0 ? `; and ${more} more` : "");
  }
}

function checkHold(holdMs: number): number {
  if (holdMs >= 0) return holdMs;
  throw new RangeError(`holdMs must be at least 0: current value is ${holdMs}`);
}
