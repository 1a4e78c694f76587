// Shell. The agent's link to dns: asks for routes, takes answers and pushes, goes on to the next
// dns when one is silent.

import { HelloPeer } from "../daemon/hello.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { HostInfo } from "../proto/message_types.ts";
import {
  decodeGetRouteResponse,
  decodeRoutePart,
  encodeGetRouteRequest,
} from "../proto/messages.ts";
import type { Address } from "../reactor/address.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/clock.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { Rng } from "../reactor/rng.ts";
import { TcpClient } from "../reactor/tcp_client.ts";
import { RouteParts } from "./route_parts.ts";

/** Time without any answer while requests are open that counts as one silence. */
export const ANSWER_TIMEOUT_MS = 2000;

/** Silences in a row after which the next dns is tried. */
export const SILENCES_MAX = 3;

/** How often silence is looked for. */
const CHECK_MS = 250;

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
  /** A whole route came, asked for or not. */
  onRoute(modId: number, cmdId: number, hosts: HostInfo[]): void;
}

/** The link. Requests made while it is down are dropped: those who made them repeat them. */
export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #client: TcpClient;
  readonly #hello: HelloPeer;
  readonly #parts = new RouteParts();
  /** Modules asked for over this connection and not answered yet, oldest first. */
  readonly #open = new Map<string, { modId: number; cmdId: number }>();
  #ready = false;
  #quietSinceMs = 0;
  #routeAtMs: number | undefined;
  #silences = 0;
  #timer: Timer | undefined;
  readonly #counts = { requests: 0, requestsDropped: 0, routes: 0, silentFailOvers: 0 };

  constructor(options: DnsClientOptions) {
    const { addresses, clock, rng, log, software, token } = options;
    this.#options = options;
    const router = new MessageRouter<TcpClient>({ log, clock });
    router.add(MessageId.GetRouteResponse, (body) => {
      const { modId, cmdId, hosts } = decodeGetRouteResponse(body);
      this.#answered(modId, cmdId, hosts);
    });
    router.add(MessageId.RoutePart, (body) => {
      const part = decodeRoutePart(body);
      const hosts = this.#parts.take(part);
      if (hosts === undefined) this.#heard();
      else this.#answered(part.modId, part.cmdId, hosts);
    });
    this.#hello = new HelloPeer({
      client: () => this.#client,
      router,
      software,
      role: "agent",
      token,
      clock,
      log,
      onReady: () => this.#becomeReady(),
    });
    this.#client = new TcpClient({
      addresses,
      router,
      clock,
      rng,
      log,
      name: "dns",
      bufferWhileDisconnected: false,
      onConnect: () => this.#hello.onConnect(),
      onDisconnect: () => this.#disconnected(),
      onFrame: () => this.#hello.onFrame(),
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** True when requests may be sent. */
  get ready(): boolean {
    return this.#ready;
  }

  /** The dns in use, or tried next. */
  get address(): Address {
    return this.#client.address;
  }

  /** This side of the connection. */
  get local(): Address | undefined {
    return this.#client.local;
  }

  /** True while connected to a dns that speaks our extensions. */
  get extended(): boolean {
    return this.#hello.extended;
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
      connects: this.#client.stats.connects,
    };
  }

  /** Begins to connect. */
  start(): void {
    this.#client.start();
    this.#timer = setRepeating(this.#options.clock, CHECK_MS, () => this.#check());
  }

  /** Asks for a route, and for its changes from now on. */
  request(modId: number, cmdId: number): void {
    if (!this.#ready || !this.#send(modId, cmdId)) {
      this.#counts.requestsDropped++;
      return;
    }
    if (this.#open.size === 0) this.#quietSinceMs = this.#options.clock.nowMs();
    this.#open.set(`${modId},${cmdId}`, { modId, cmdId });
  }

  /** Nobody waits for this route any more. */
  forget(modId: number, cmdId: number): void {
    this.#open.delete(`${modId},${cmdId}`);
  }

  /** Replaces the list of servers; see {@linkcode TcpClient.setAddresses}. */
  setAddresses(addresses: readonly Address[]): void {
    this.#client.setAddresses(addresses);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#ready = false;
    this.#hello.close();
    await this.#client.close();
  }

  #send(modId: number, cmdId: number): boolean {
    this.#counts.requests++;
    const body = encodeGetRouteRequest({ modId, cmdId });
    return this.#client.send(MessageId.GetRouteRequest, body);
  }

  #becomeReady(): void {
    // Without a token this is called twice: at once, and when dns has answered Hello. Dns handles
    // Hello before the requests behind it, so nothing needs to be asked twice.
    if (this.#ready) return;
    this.#ready = true;
    this.#options.onReady();
  }

  #disconnected(): void {
    this.#ready = false;
    this.#options.onLost();
    this.#silences = 0;
    this.#open.clear();
    this.#parts.clear();
    this.#hello.onDisconnect();
  }

  #answered(modId: number, cmdId: number, hosts: HostInfo[]): void {
    this.#open.delete(`${modId},${cmdId}`);
    this.#counts.routes++;
    this.#routeAtMs = this.#options.clock.nowMs();
    this.#heard();
    this.#options.onRoute(modId, cmdId, hosts);
  }

  #heard(): void {
    this.#silences = 0;
    this.#quietSinceMs = this.#options.clock.nowMs();
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
    this.#client.failOver(`no answer to route requests for ${seconds} s`);
  }
}
