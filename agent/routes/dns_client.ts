// Shell. The agent's link to dns: asks for routes, takes answers and pushes, goes on to the next
// dns when one is silent.

import { RouteParts } from "../../feed/route_parts.ts";
import { GreetingClient } from "../../session/greeting_client.ts";
import { MessageId } from "../../proto/message_ids.ts";
import type { AgentStatus, HostInfo, NodeUse, NodeUseRequest } from "../../proto/message_types.ts";
import {
  decodeGetRouteResponse,
  decodeNodeUseRequest,
  decodeRoutePart,
  encodeAgentStatus,
  encodeGetRouteRequest,
  encodeNodeUse,
} from "../../proto/messages.ts";
import type { Address } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";

/** Time without any answer while requests are open that counts as one silence. */
export const ANSWER_TIMEOUT_MS = 2000;

/** Silences in a row after which the next dns is tried. */
export const SILENCES_MAX = 3;

/** A whole route as dns sent it, in one message or in parts. */
export interface ArrivedRoute extends ModuleKey {
  readonly hosts: HostInfo[];
  /** JSON of the module's policy; "" = none, undefined = this dns tells of no policies. */
  readonly policy: string | undefined;
  /** Somebody means this route, however many nodes it lost. */
  readonly meant: boolean;
  /** Changes of this module are marked when they are meant. */
  readonly guarded: boolean;
}

/** What a {@linkcode DnsClient} is given. */
export interface DnsClientOptions {
  readonly addresses: readonly Address[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly software: string;
  readonly token: Uint8Array | undefined;
  /** Requests may be sent over a new connection, which knows of no subscription yet. */
  onReady(): void;
  /** The connection is lost; requests are dropped until `onReady`. */
  onLost(): void;
  /** Dns asks whether a node is still used; answer with {@linkcode DnsClient.answerNodeUse}. */
  onNodeUse(request: NodeUseRequest): void;
  /** A whole route came, asked for or not. */
  onRoute(route: ArrivedRoute): void;
}

/** The link. Requests made while it is down are dropped: those who made them repeat them. */
export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #link: GreetingClient;
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

  constructor(options: DnsClientOptions) {
    this.#options = options;
    this.#link = new GreetingClient({
      name: "dns",
      role: "agent",
      addresses: options.addresses,
      clock: options.clock,
      rng: options.rng,
      log: options.log,
      software: options.software,
      token: options.token,
      onReady: () => options.onReady(),
      onLost: () => this.#lost(),
      revision: () => this.#revision,
    });
    this.#link.router.add(MessageId.GetRouteResponse, (body) => {
      const message = decodeGetRouteResponse(body);
      this.#answered(message, message.hosts);
    });
    this.#link.router.add(MessageId.NodeUseRequest, (body) => {
      this.#options.onNodeUse(decodeNodeUseRequest(body));
    });
    this.#link.router.add(MessageId.RoutePart, (body) => {
      const part = decodeRoutePart(body);
      const hosts = this.#parts.take(part);
      if (hosts === undefined) this.#heard();
      else this.#answered(part, hosts);
    });
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  /** True when requests may be sent. */
  get ready(): boolean {
    return this.#link.ready;
  }

  /** The dns in use, or tried next. */
  get address(): Address {
    return this.#link.address;
  }

  /** This side of the connection. */
  get local(): Address | undefined {
    return this.#link.local;
  }

  /** True while connected to a dns that speaks our extensions. */
  get extended(): boolean {
    return this.#link.extended;
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
      connects: this.#link.connectCount,
    };
  }

  /** Begins to connect. */
  start(): void {
    this.#link.start();
  }

  /** Asks for a route, and for its changes from now on. */
  request(modId: number, cmdId: number): void {
    if (!this.#link.ready || !this.#send(modId, cmdId)) {
      this.#counts.requestsDropped++;
      return;
    }
    if (this.#open.size === 0) this.#quietSinceMs = this.#options.clock.nowMs();
    this.#open.set(moduleId(modId, cmdId), { modId, cmdId });
    this.#watch();
  }

  /** Answers a question of the dns in use; when it has changed, the new one asks for itself. */
  answerNodeUse(message: NodeUse): void {
    if (this.#link.extended) this.#link.send(MessageId.NodeUse, encodeNodeUse(message));
  }

  /** Tells the dns in use who this agent is; false when there is none that wants to know. */
  tellStatus(status: AgentStatus): boolean {
    return this.#link.extended && this.#link.send(MessageId.AgentStatus, encodeAgentStatus(status));
  }

  /** Nobody waits for this route any more. */
  forget(modId: number, cmdId: number): void {
    this.#open.delete(moduleId(modId, cmdId));
  }

  /** Replaces the list of servers; see {@linkcode TcpClient.setAddresses}. */
  setAddresses(addresses: readonly Address[]): void {
    this.#link.setAddresses(addresses);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#link.close();
  }

  #send(modId: number, cmdId: number): boolean {
    this.#counts.requests++;
    const body = encodeGetRouteRequest({ modId, cmdId });
    return this.#link.send(MessageId.GetRouteRequest, body);
  }

  #lost(): void {
    this.#options.onLost();
    this.#silences = 0;
    this.#revision = undefined;
    this.#open.clear();
    this.#parts.clear();
  }

  #answered(
    message: ModuleKey & {
      readonly policy?: string;
      readonly revision?: number;
      readonly meant?: true;
      readonly guarded?: true;
    },
    hosts: HostInfo[],
  ): void {
    const { modId, cmdId, meant = false, guarded = false } = message;
    // Every route of a dns of ours has a revision, once it has heard Hello.
    const policy = message.revision === undefined ? undefined : message.policy ?? "";
    if (message.revision !== undefined) {
      this.#revision = Math.max(this.#revision ?? 0, message.revision);
    }
    this.#open.delete(moduleId(modId, cmdId));
    this.#counts.routes++;
    this.#routeAtMs = this.#options.clock.nowMs();
    this.#heard();
    this.#options.onRoute({ modId, cmdId, hosts, policy, meant, guarded });
  }

  #heard(): void {
    this.#silences = 0;
    this.#quietSinceMs = this.#options.clock.nowMs();
  }

  /** Looks for silence when there could be one; an agent at rest has no timer for it. */
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
    this.#link.failOver(`no answer to route requests for ${seconds} s`);
  }
}
