// Shell. A connection to a service of ours or of the original: connects, greets, pings, fails over.

import type { Address } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { TcpClient } from "../reactor/tcp/tcp_client.ts";
import { HelloPeer } from "./hello.ts";

/** What is needed to reach a service. */
export interface GreetingClientOptions {
  /** What the other side is, for logs: `dns`. */
  readonly name: string;
  /** What this side is, said in Hello: `agent`. */
  readonly role: string;
  /** Tried in turn. */
  readonly addresses: readonly Address[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly software: string;
  readonly token: Uint8Array | undefined;
  /** Once for each connection: messages may be sent. */
  onReady(): void;
  /** The service turns out to speak our extensions, after messages had been sent to it. */
  onExtended?(): void;
  /** The connection is lost, ready or not. */
  onLost(): void;
  /** See `HelloPeerOptions`; default: as often as ever. */
  readonly pingUnusedIntervalMs?: number;
  /** Said in each ping: newest revision of the routes that came over this connection, if any. */
  revision?(): number | undefined;
}

/**
 * A {@linkcode TcpClient} that keeps nothing while it is disconnected, with the greeting done. Add
 * handlers to `router` before `start`.
 */
export class GreetingClient {
  /** Handlers of what the service sends. */
  readonly router: MessageRouter<TcpClient>;
  readonly #options: GreetingClientOptions;
  readonly #client: TcpClient;
  readonly #hello: HelloPeer;
  #ready = false;

  constructor(options: GreetingClientOptions) {
    const { name, role, addresses, clock, rng, log, software, token } = options;
    this.#options = options;
    this.router = new MessageRouter<TcpClient>({ log, clock });
    this.#hello = new HelloPeer({
      client: () => this.#client,
      router: this.router,
      software,
      role,
      ...(token === undefined ? {} : { token }),
      clock,
      log,
      onReady: () => this.#becomeReady(),
      pingUnusedIntervalMs: options.pingUnusedIntervalMs,
      revision: () => options.revision?.(),
    });
    this.#client = new TcpClient({
      addresses,
      router: this.router,
      clock,
      rng,
      log,
      name,
      bufferWhileDisconnected: false,
      onConnect: () => this.#hello.onConnect(),
      onDisconnect: () => this.#disconnected(),
      onFrame: () => this.#hello.onFrame(),
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** True when messages may be sent. */
  get ready(): boolean {
    return this.#ready;
  }

  /** True while connected to a service that speaks our extensions. */
  get extended(): boolean {
    return this.#hello.extended;
  }

  /** The service in use, or tried next. */
  get address(): Address {
    return this.#client.address;
  }

  /** This side of the connection. */
  get local(): Address | undefined {
    return this.#client.local;
  }

  /** Not known here. */
  get fault(): undefined {
    return undefined;
  }

  /** Connections made since the start. */
  get connectCount(): number {
    return this.#client.stats.connects;
  }

  /** Bytes that wait to be taken by the system. */
  get pendingBytes(): number {
    return this.#client.pendingBytes;
  }

  /** Begins to connect. */
  start(): void {
    this.#client.start();
  }

  /** Sends a message; false when not connected, or when too much waits already. */
  send(msgId: number, body: Uint8Array): boolean {
    return this.#client.send(msgId, body);
  }

  /** Leaves this service for the next one. */
  failOver(reason: string): void {
    this.#client.failOver(reason);
  }

  /** Replaces the list of services; see {@linkcode TcpClient.setAddresses}. */
  setAddresses(addresses: readonly Address[]): void {
    this.#client.setAddresses(addresses);
  }

  /** Ends the connection after what waits has left, at most a second. */
  async close(): Promise<void> {
    this.#ready = false;
    this.#hello.close();
    await this.#client.close();
  }

  #becomeReady(): void {
    // Without a token HelloPeer calls twice: at once, and when the service has answered Hello.
    if (this.#ready) return this.#options.onExtended?.();
    this.#ready = true;
    this.#options.onReady();
  }

  #disconnected(): void {
    this.#ready = false;
    this.#hello.onDisconnect();
    this.#options.onLost();
  }
}
