// Core. A lasting session with a service of ours or of the original: connects, shakes hands, pings,
// fails over.

import { decodePing, encodePing, encodePong } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { TcpClient } from "../reactor/tcp/tcp_client.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { helloOf, readWelcome, type Self, type SessionTransport } from "./handshake.ts";
import {
  Heartbeat,
  type HeartbeatSettings,
  PING_INTERVAL_MS,
  PINGS_MISSED_MAX,
  SILENT_REASON,
} from "./heartbeat.ts";
import type { Link, LinkEvents } from "./link.ts";

/** What is needed to reach a service. */
export interface SessionClientOptions extends LinkEvents, Self {
  /** What the other side is, for logs: `dns`. */
  readonly name: string;
  /** Tried in turn. */
  readonly addresses: readonly Address[];
  readonly transport: SessionTransport;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly token: Uint8Array | undefined;
  /**
   * For how long a server may leave Hello unanswered before it counts as one of the original, in
   * milliseconds. Default 0: messages may be sent at once. Infinity: it must be one of ours, and is
   * left when it does not answer in the time of three pings, if there are pings. With a token it
   * must be, too, and is waited for.
   */
  readonly welcomeWaitMs?: number;
  readonly heartbeat?: HeartbeatSettings;
  /**
   * Why a server that wants a token is left, when there is none. Default: it is not left but logged,
   * and refuses what it is sent.
   */
  readonly tokenMissingReason?: string;
  /** As {@linkcode TcpClient} has them. */
  readonly outputBytesMax?: number;
  readonly awaitPeerEnd?: boolean;
  /** An attempt failed, or a connection has ended: another one follows, unless this call closes. */
  onFault?(reason: string): void;
  /** Said in each ping: newest revision of the routes that came over this connection, if any. */
  revision?(): number | undefined;
}

/** Nothing is kept while it is not connected. Add handlers to `router` before `start`. */
export class SessionClient implements Link {
  /** Handlers of what the service sends. */
  readonly router: MessageRouter<TcpClient>;
  readonly #options: SessionClientOptions;
  readonly #client: TcpClient;
  readonly #heartbeat: Heartbeat;
  #ready = false;
  #extended = false;
  #proved = false;
  #fault: string | undefined;
  /** Ends the wait for the welcome. */
  #welcomeTimer: Timer | undefined;

  constructor(options: SessionClientOptions) {
    const { clock, log, onHeard } = options;
    this.#options = options;
    this.router = new MessageRouter<TcpClient>({ log, clock })
      .add(MessageId.Hello, (body) => this.#welcomed(body))
      .add(MessageId.Pong, () => {})
      .add(MessageId.Ping, (body, client) => {
        client.send(MessageId.Pong, encodePong({ seq: decodePing(body).seq }));
      });
    this.#client = new TcpClient({
      ...options,
      router: this.router,
      bufferWhileDisconnected: false,
      isAccepted: () => this.#ready,
      onConnect: () => this.#connected(),
      onDisconnect: (_client, reason) => this.#lost(reason),
      onFault: (_client, reason) => {
        this.#fault = reason;
        options.onFault?.(reason);
      },
      onFrame: (_client, msgId) => {
        this.#heartbeat.heard();
        if (msgId !== MessageId.Hello) onHeard?.(msgId);
      },
    });
    this.#heartbeat = new Heartbeat(options.heartbeat ?? {}, {
      clock,
      framesOut: () => this.#client.stats.framesOut,
      ping: (seq) => {
        const revision = options.revision?.();
        const ping = { seq, ...(revision === undefined ? {} : { revision }) };
        this.#client.send(MessageId.Ping, encodePing(ping));
      },
      leave: (reason) => this.#client.failOver(reason),
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get extended(): boolean {
    return this.#extended;
  }

  /** True when the token was proved over the latest connection; whether rightly the server knows. */
  get proved(): boolean {
    return this.#proved;
  }

  get address(): Address {
    return this.#client.address;
  }

  get local(): Address | undefined {
    return this.#client.local;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  get connectCount(): number {
    return this.#client.stats.connects;
  }

  get pendingBytes(): number {
    return this.#client.pendingBytes;
  }

  start(): void {
    this.#client.start();
  }

  send(msgId: number, body: Uint8Array): boolean {
    return this.#ready && this.#client.send(msgId, body);
  }

  failOver(reason: string): void {
    this.#client.failOver(reason);
  }

  setAddresses(addresses: readonly Address[]): void {
    this.#client.setAddresses(addresses);
  }

  async close(): Promise<void> {
    this.#reset();
    await this.#client.close();
  }

  /** Ends the connection at once; what waits is lost. */
  destroy(): void {
    this.#reset();
    this.#client.destroy();
  }

  #connected(): void {
    const { clock, token, welcomeWaitMs = 0, heartbeat } = this.#options;
    this.#proved = false;
    this.#client.send(MessageId.Hello, helloOf(this.#options));
    if (welcomeWaitMs === Infinity) {
      const { intervalMs = PING_INTERVAL_MS } = heartbeat ?? {};
      const waitMs = (PINGS_MISSED_MAX + 1) * intervalMs;
      if (waitMs === Infinity) return;
      this.#welcomeTimer = clock.setTimer(waitMs, () => this.#client.failOver(SILENT_REASON));
    } else if (token !== undefined) {
      // A server that knows nothing of Hello wants no token either, and one that wants it must ask.
      return;
    } else if (welcomeWaitMs > 0) {
      this.#welcomeTimer = clock.setTimer(welcomeWaitMs, () => this.#becomeReady());
    } else {
      this.#becomeReady();
    }
  }

  #welcomed(body: Uint8Array): void {
    const { token, transport, log, tokenMissingReason } = this.#options;
    const { wantsProof, proof } = readWelcome(body, token, transport.prove);
    if (proof !== undefined) {
      this.#client.send(MessageId.HelloProof, proof);
      this.#proved = true;
    } else if (wantsProof) {
      if (tokenMissingReason !== undefined) return this.#client.failOver(tokenMissingReason);
      log.error("Server asks for a token and none is configured: set [auth] token_file");
      return;
    }
    this.#extended = true;
    this.#heartbeat.start();
    if (this.#ready) this.#options.onExtended?.();
    else this.#becomeReady();
  }

  #becomeReady(): void {
    this.#welcomeTimer?.cancel();
    this.#ready = true;
    this.#fault = undefined;
    this.#options.onReady();
  }

  #lost(reason: string): void {
    const wasReady = this.#ready;
    this.#reset();
    this.#fault = reason;
    if (wasReady) this.#options.onLost();
  }

  #reset(): void {
    this.#ready = false;
    this.#extended = false;
    this.#heartbeat.stop();
    this.#welcomeTimer?.cancel();
  }
}
