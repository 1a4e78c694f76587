// Core. A lasting session with a service of ours or of the original: connects, shakes hands, pings,
// fails over.

import {
  decodeHello,
  decodeLeaving,
  decodePing,
  decodePong,
  decodeRefusal,
  encodeGoodbye,
  encodeHelloProof,
  encodePing,
  encodePong,
  encodeRefusal,
  type Pong,
} from "../proto/codec.ts";
import { MessageId, PeerRefusal } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { CLOSE_FLUSH_MS } from "../reactor/tcp/framed_link.ts";
import { TcpClient } from "../reactor/tcp/tcp_client.ts";
import type { PeerCertificate } from "../reactor/runtime/types.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import {
  clientHello,
  endsOf,
  judgeWelcome,
  refusalText,
  type Self,
  type SessionTransport,
} from "./handshake.ts";
import {
  Heartbeat,
  type HeartbeatSettings,
  PING_INTERVAL_MS,
  PINGS_MISSED_MAX,
  SILENT_REASON,
} from "./heartbeat.ts";
import type { Link, LinkEvents } from "./link.ts";
import { ReconnectPace } from "./reconnect_pace.ts";
import type { Secrets } from "./secrets.ts";
import { holdsRole, neededRole } from "./tls/peer_roles.ts";

/** Time that a server has to prove itself to a client with a secret, in milliseconds. */
export const WELCOME_TIMEOUT_MS = 10_000;

/**
 * Time in which a server that is silent may hear that it is left, in milliseconds: TCP repeats what was
 * lost ever more seldom, and a socket that is closed answers what comes then by a reset.
 */
export const GOODBYE_MS = 10_000;

/** Why a server is left that has said that it stops. */
export const LEAVING_REASON = "the server stops";

/** Name of a service of which is only known that it is above: agent, dns or reporter. */
export const UPSTREAM_NAME = "upstream";

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
  /** With secrets the server has to prove one before anything is believed or sent. */
  readonly secrets: Secrets | undefined;
  /**
   * For how long a server may leave Hello unanswered before it counts as one of the original, in
   * milliseconds. Default 0: messages may be sent at once. Infinity: it must be one of ours, and is
   * left when it does not answer in the time of three pings, if there are pings. With secrets it
   * must be, too, and has {@linkcode WELCOME_TIMEOUT_MS}.
   */
  readonly welcomeWaitMs?: number;
  readonly heartbeat?: HeartbeatSettings;
  /** Said of a server that wants a secret when there is none, instead of what fits a service. */
  readonly secretMissingReason?: string;
  /**
   * True: a server that is left, for its silence or by wish, is told so, and has {@linkcode GOODBYE_MS} to hear it:
   * to it the end of a connection is the end of the program otherwise. @default false
   */
  readonly saysGoodbye?: boolean;
  /** As {@linkcode TcpClient} has them. */
  readonly outputBytesMax?: number;
  readonly awaitPeerEnd?: boolean;
  /** An attempt failed, or a connection has ended: another one follows, unless this call closes. */
  onFault?(reason: string): void;
  /**
   * The server stops soon; called when it is the turn of this client to go elsewhere. Default: it
   * fails over.
   */
  onLeaving?(): void;
  /** The server has answered a ping. */
  onPong?(pong: Pong): void;
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
  readonly #pace: ReconnectPace;
  #ready = false;
  #extended = false;
  #secret: Uint8Array | undefined;
  #nonce: Uint8Array | undefined;
  #fault: string | undefined;
  #secretFault: string | undefined;
  readonly #stopListening: () => void;
  /** Ends the wait for the welcome. */
  #welcomeTimer: Timer | undefined;
  /** Runs from the server's word that it stops to the turn of this client. */
  #leavingTimer: Timer | undefined;

  constructor(options: SessionClientOptions) {
    const { clock, log, onHeard, secrets } = options;
    this.#options = options;
    this.#pace = new ReconnectPace(options.rng);
    this.router = new MessageRouter<TcpClient>({ log, clock })
      .add(MessageId.Hello, (body) => this.#welcomed(body))
      .add(MessageId.Refusal, (body) => this.#refused(decodeRefusal(body).reason))
      .add(MessageId.Pong, (body) => this.#ponged(decodePong(body)))
      .add(MessageId.Leaving, (body) => this.#leave(decodeLeaving(body).spreadMs))
      .add(MessageId.Ping, (body, client) => {
        client.send(MessageId.Pong, encodePong({ seq: decodePing(body).seq }));
      });
    this.#client = new TcpClient({
      ...options,
      router: this.router,
      bufferWhileDisconnected: false,
      pauseMs: (failures, addressCount) => this.#pace.pauseMs(failures, addressCount),
      isAccepted: () => this.#ready,
      onConnect: () => this.#connected(),
      onDisconnect: (_client, reason) => this.#lost(reason),
      onFault: (_client, reason) => {
        this.#fault = reason;
        options.onFault?.(reason);
      },
      onFrame: (_client, msgId) => {
        this.#heartbeat.heard();
        if (msgId === MessageId.Hello || msgId === MessageId.Refusal) return;
        this.#secretFault = undefined;
        onHeard?.(msgId);
      },
    });
    this.#stopListening = secrets?.onChange(() => this.#secretsChanged()) ?? (() => {});
    this.#heartbeat = new Heartbeat(options.heartbeat ?? {}, {
      clock,
      framesOut: () => this.#client.stats.framesOut,
      ping: (seq) => {
        const revision = options.revision?.();
        const ping = { seq, ...(revision === undefined ? {} : { revision }) };
        this.#client.send(MessageId.Ping, encodePing(ping));
      },
      leave: (reason) => {
        this.#pace.notedSilence();
        this.failOver(reason);
      },
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

  /** True when both sides have proved a secret over this connection. */
  get proved(): boolean {
    return this.#secret !== undefined;
  }

  get secretFault(): string | undefined {
    return this.#secretFault;
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

  sayGoodbye(reason: string): void {
    // A server that is not extended does not know the message.
    if (this.#extended) this.send(MessageId.Goodbye, encodeGoodbye({ reason }));
  }

  failOver(reason: string): void {
    this.#goElsewhere(reason, 0);
  }

  /** Leaves a server that may be well, and is to know that this program goes on. */
  #goElsewhere(reason: string, flushMs: number): void {
    const { saysGoodbye = false } = this.#options;
    if (saysGoodbye) this.sayGoodbye(reason);
    this.#client.failOver(reason, saysGoodbye ? GOODBYE_MS : flushMs);
  }

  setAddresses(addresses: readonly Address[]): void {
    this.#client.setAddresses(addresses, (reason) => this.failOver(reason));
  }

  async close(): Promise<void> {
    this.#stopListening();
    this.#reset();
    await this.#client.close();
  }

  /** Ends the connection at once; what waits is lost. */
  destroy(): void {
    this.#stopListening();
    this.#reset();
    this.#client.destroy();
  }

  #connected(): void {
    const { clock, secrets, transport, welcomeWaitMs = 0, heartbeat, name } = this.#options;
    const { peerCertificate } = this.#client;
    if (peerCertificate !== undefined && !this.#isPeer(peerCertificate)) {
      this.#client.send(MessageId.Hello, clientHello(this.#options, undefined));
      return this.#refuse(PeerRefusal.WrongRole, refusalText(PeerRefusal.WrongRole, "us", name));
    }
    this.#nonce = secrets === undefined ? undefined : transport.newNonce();
    this.#client.send(MessageId.Hello, clientHello(this.#options, this.#nonce));
    if (welcomeWaitMs === Infinity) {
      const { intervalMs = PING_INTERVAL_MS } = heartbeat ?? {};
      const waitMs = (PINGS_MISSED_MAX + 1) * intervalMs;
      if (waitMs !== Infinity) this.#leaveAfter(waitMs, SILENT_REASON);
    } else if (secrets !== undefined) {
      this.#leaveAfter(WELCOME_TIMEOUT_MS, refusalText(PeerRefusal.NoSecret, "us"));
    } else if (welcomeWaitMs > 0) {
      this.#welcomeTimer = clock.setTimer(welcomeWaitMs, () => this.#becomeReady());
    } else {
      this.#becomeReady();
    }
  }

  #ponged(pong: Pong): void {
    const { spreadMs, placeMs } = pong;
    if (spreadMs !== undefined) this.#pace.told(spreadMs, placeMs ?? 0);
    this.#options.onPong?.(pong);
  }

  /** The server stops within this time, and has so many clients that each waits for its turn. */
  #leave(spreadMs: number): void {
    if (this.#leavingTimer !== undefined || !this.#extended) return;
    this.#leavingTimer = this.#options.clock.setTimer(this.#pace.placeMs(spreadMs), () => {
      if (this.#options.onLeaving !== undefined) this.#options.onLeaving();
      else this.#goElsewhere(LEAVING_REASON, CLOSE_FLUSH_MS);
    });
  }

  /** In-process clients do not know whether they talk to an agent, a dns or a reporter. */
  #isPeer(certificate: PeerCertificate): boolean {
    const { name } = this.#options;
    const roles = name === UPSTREAM_NAME ? ["agent", "dns", "reporter"] : [name];
    return roles.some((role) => holdsRole(certificate, neededRole(role)));
  }

  #leaveAfter(waitMs: number, reason: string): void {
    const { clock } = this.#options;
    this.#welcomeTimer = clock.setTimer(waitMs, () => this.#client.failOver(reason));
  }

  #welcomed(body: Uint8Array): void {
    const hello = decodeHello(body);
    const { secrets, transport, secretMissingReason, role } = this.#options;
    if (secrets === undefined) {
      if (hello.nonce !== undefined) {
        return this.#refuse(
          PeerRefusal.NoSecret,
          secretMissingReason ?? refusalText(PeerRefusal.NoSecret, "them"),
        );
      }
    } else {
      const clientNonce = this.#nonce;
      // Said twice: the first one counts.
      if (clientNonce === undefined) return;
      this.#nonce = undefined;
      const ends = endsOf(this.#client.local, this.#client.remote);
      const mine = { clientNonce, role, ends };
      const verdict = judgeWelcome(hello, mine, secrets, transport.prove);
      if ("refused" in verdict) {
        return this.#refuse(verdict.refused, refusalText(verdict.refused, "us"));
      }
      this.#client.send(MessageId.HelloProof, encodeHelloProof(verdict.proof));
      this.#secret = verdict.secret;
    }
    this.#extended = true;
    this.#secretFault = undefined;
    this.#heartbeat.start();
    if (this.#ready) this.#options.onExtended?.();
    else this.#becomeReady();
  }

  /** Tells the server why it is left. */
  #refuse(reason: PeerRefusal, text: string): void {
    this.#client.send(MessageId.Refusal, encodeRefusal({ reason }));
    this.#leaveRefused(text);
  }

  #refused(reason: number): void {
    const { secrets, secretMissingReason, role } = this.#options;
    const isMissing = reason === PeerRefusal.NoSecret && secrets === undefined;
    this.#leaveRefused(
      (isMissing ? secretMissingReason : undefined) ?? refusalText(reason, "them", role),
    );
  }

  #leaveRefused(text: string): void {
    this.#secretFault = text;
    this.#client.failOver(text, CLOSE_FLUSH_MS);
  }

  #secretsChanged(): void {
    const secret = this.#secret;
    const isValid = secret === undefined || this.#options.secrets?.has(secret) === true;
    if (isValid && this.#secretFault === undefined) return;
    this.failOver("the secret was changed");
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
    this.#secret = undefined;
    this.#nonce = undefined;
    this.#heartbeat.stop();
    this.#welcomeTimer?.cancel();
    this.#leavingTimer?.cancel();
    this.#leavingTimer = undefined;
  }
}
