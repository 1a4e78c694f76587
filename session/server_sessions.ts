// Core. Server side of the sessions: who said Hello, who proved the secret, who is still there.

import {
  decodeGoodbye,
  decodeHello,
  decodeHelloProof,
  decodePing,
  decodeRefusal,
  encodeLeaving,
  encodePong,
  encodeRefusal,
  type Hello,
  type Pong,
} from "../proto/codec.ts";
import { MessageId, PeerRefusal } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { PeerCertificate } from "../reactor/runtime/types.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import {
  type Conversation,
  endsOf,
  judgeProof,
  MUTUAL_PROTOCOL,
  NONCE_BYTES,
  plainWelcome,
  PROOF_TIMEOUT_MS,
  type Prove,
  provingWelcome,
  refusalText,
  type Self,
} from "./handshake.ts";
import { ConnectionPlaces } from "./connection_places.ts";
import { SILENCE_TIMEOUT_MS } from "./heartbeat.ts";
import { RefusedHosts } from "./refused_hosts.ts";
import type { Secrets } from "./secrets.ts";
import { mayBe, maySend } from "./tls/peer_roles.ts";

/** Longest software and role that are kept of a peer, in characters. */
export const SOFTWARE_LENGTH_MAX = 128;

/**
 * Least time between two looks at all peers for those whose time is over, so that ten thousand which
 * vanish at once cost ten looks a second.
 */
const LOOK_INTERVAL_MS = 100;

/** Longest time over which the peers of a service that stops go elsewhere. */
export const LEAVE_SPREAD_MS_MAX = 5_000;

/** Time that the last of them has to connect elsewhere and to end the connection here. */
export const LEAVE_GRACE_MS = 1_000;

/** What one that never says Hello counts as where certificates are looked at. */
const ORIGINAL_ROLE = "agent";

/** What is needed of a connection. */
export interface SessionPeer {
  readonly remote: Address;
  readonly local: Address;
  /** What it has proved to be over TLS; undefined or absent: nothing. */
  readonly peerCertificate?: PeerCertificate | undefined;
  /** Its connection asks by itself whether it is there, so that its silence means nothing. */
  readonly asksPeer?: boolean;
  send(msgId: number, body: Uint8Array): boolean;
  close(reason?: string): void;
}

/** What a peer said of itself. */
export interface PeerSession extends Readonly<Self> {
  /** By the monotonic clock: when it said Hello, or its last ping. */
  readonly heardAtMs: number;
  /** Newest revision of the routes that came to it over this connection; undefined: none. */
  readonly revision: number | undefined;
}

/** What {@linkcode ServerSessions} are given. */
export interface ServerSessionsOptions<P> extends Self {
  /** What peers have to prove; without any nobody has to prove anything. */
  readonly secrets: Secrets | undefined;
  /** False: the service proves itself to those who ask, and serves everybody. @default {true} */
  readonly wantsProof?: boolean;
  /** True: peers may have certificates, whose roles say what they may send. @default {false} */
  readonly hasCertificates?: boolean;
  /** True: the ends of connections are not compared. @default {false} */
  readonly translated?: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly prove: Prove;
  /** A number that no client can know before. */
  newNonce(): Uint8Array;
  /** Loops that share the connections of this service. @default {1} */
  readonly loopCount?: number;
  /** What is said in each Pong besides. @default nothing */
  pongDetail?(): Partial<Pong>;
  /**
   * A peer said Hello for the first time, and the answer is on its way: what is sent to it now comes
   * right behind. Where secrets are asked for it has proved none yet.
   */
  onWelcomed?(peer: P): void;
  /** A peer takes its leave: it stops because it was asked to. */
  onGoodbye?(peer: P, reason: string): void;
  /**
   * True for ids of a foreign protocol that this service speaks as well: those who use it cannot
   * prove anything, and are served all the same. They reach no other message.
   *
   * @default none
   */
  isForeign?(msgId: number): boolean;
}

/** One for each connection: no closure and no timer in it. */
interface PeerState {
  software: string;
  role: string;
  heardAtMs: number;
  revision: number | undefined;
  extended: boolean;
  authenticated: boolean;
  /** What its proof has to answer; undefined when none is awaited. */
  talk: Conversation | undefined;
  /** The secret it has proved. */
  secret: Uint8Array | undefined;
  /** When it is closed unless it has proved a secret, or sent a ping, by then. */
  dueMs: number;
}

/**
 * The sessions of one server. A peer that never says Hello stays on the original protocol; with
 * secrets, such a peer is refused.
 */
export class ServerSessions<P extends SessionPeer & WeakKey> {
  /** Handlers of what peers send. */
  readonly router: MessageRouter<P>;
  readonly #options: ServerSessionsOptions<P>;
  readonly #peers = new Map<P, PeerState>();
  readonly #places: ConnectionPlaces<P>;
  readonly #logLimiter: LogRateLimiter;
  readonly #refusedHosts: RefusedHosts;
  readonly #stopListening: () => void;
  #refusedCount = 0;
  #silentCount = 0;
  #extendedCount = 0;
  /** Runs out when the first peer is due. */
  #timer: Timer | undefined;
  #timerDueMs = Infinity;
  /** While this service stops: the last peer that said Hello is gone. */
  #onLeft: (() => void) | undefined;
  /** While this service stops: until when its peers have time to go elsewhere. */
  #leavesAtMs: number | undefined;

  constructor(options: ServerSessionsOptions<P>) {
    const { secrets, wantsProof = true, clock, log } = options;
    this.#options = options;
    this.#places = new ConnectionPlaces<P>(options.loopCount);
    this.#logLimiter = new LogRateLimiter(clock);
    this.#refusedHosts = new RefusedHosts(clock);
    this.router = new MessageRouter<P>({ log, clock })
      .add(MessageId.Hello, (body, peer) => this.#hello(body, peer))
      .add(MessageId.HelloProof, (body, peer) => this.#proof(body, peer))
      .add(MessageId.Refusal, (body, peer) => this.#refusedBy(body, peer))
      .add(MessageId.Goodbye, (body, peer) => this.#goodbye(body, peer))
      .add(MessageId.Ping, (body, peer) => this.#ping(body, peer));
    const wants = secrets !== undefined && wantsProof;
    if (wants || options.hasCertificates === true) {
      this.router.setGuard((peer, msgId) =>
        this.#guardRole(peer, msgId) ?? (wants ? this.#guard(peer, msgId) : undefined)
      );
    }
    this.#stopListening = secrets?.onChange(() => this.#closeOutdated()) ?? (() => {});
  }

  /** Connections that were closed because they did not prove the secret, or asked us in vain to. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Hosts of which one was refused within the last minute. */
  get refusedHostCount(): number {
    return this.#refusedHosts.count;
  }

  /**
   * Says that this service stops soon, so that each peer that said Hello goes elsewhere, at its place
   * in as much time as all of them need, at most {@linkcode LEAVE_SPREAD_MS_MAX}. Who says Hello, or
   * proves itself, only then is told as well.
   *
   * @returns when they are gone, or have had that time and {@linkcode LEAVE_GRACE_MS}.
   */
  leave(): Promise<void> {
    const spreadMs = Math.min(this.#places.spreadMs, LEAVE_SPREAD_MS_MAX);
    this.#leavesAtMs = this.#options.clock.nowMs() + spreadMs;
    for (const [peer, state] of this.#peers) this.#tellLeaving(peer, state);
    if (this.#extendedCount === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(spreadMs + LEAVE_GRACE_MS, resolve);
      this.#onLeft = (): void => {
        timer.cancel();
        resolve();
      };
    });
  }

  #tellLeaving(peer: P, { extended, authenticated }: PeerState): void {
    if (this.#leavesAtMs === undefined || !extended || !authenticated) return;
    const spreadMs = Math.max(0, Math.ceil(this.#leavesAtMs - this.#options.clock.nowMs()));
    peer.send(MessageId.Leaving, encodeLeaving({ spreadMs }));
  }

  /** Secrets are listened to no more. */
  stopListening(): void {
    this.#stopListening();
  }

  /** Connections that were closed because they stopped sending pings. */
  get silentCount(): number {
    return this.#silentCount;
  }

  /** Connections that said Hello; the others are of the original, or have not said anything yet. */
  get extendedCount(): number {
    return this.#extendedCount;
  }

  /** True when the peer said Hello and so may be sent our own messages and fields. */
  isExtended(peer: P): boolean {
    return this.#peers.get(peer)?.extended ?? false;
  }

  /** What a peer said of itself; undefined when it never said Hello, or has not proved a secret. */
  sessionOf(peer: P): PeerSession | undefined {
    const state = this.#peers.get(peer);
    return state?.extended === true && state.authenticated ? state : undefined;
  }

  /** Call for each accepted connection: starts the time limit for the proof. */
  accept(peer: P): void {
    const { secrets, wantsProof = true, clock } = this.#options;
    const authenticated = secrets === undefined || !wantsProof;
    const dueMs = authenticated ? Infinity : clock.nowMs() + PROOF_TIMEOUT_MS;
    this.#peers.set(peer, {
      software: "",
      role: "",
      heardAtMs: 0,
      revision: undefined,
      extended: false,
      authenticated,
      talk: undefined,
      secret: undefined,
      dueMs,
    });
    this.#wakeAt(dueMs);
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    if (this.#peers.get(peer)?.extended === true) this.#extendedCount--;
    this.#peers.delete(peer);
    this.#places.delete(peer);
    if (this.#extendedCount === 0) this.#onLeft?.();
    if (this.#peers.size > 0) return;
    this.#timer?.cancel();
    this.#timerDueMs = Infinity;
  }

  #guard(peer: P, msgId: number): string | undefined {
    if (msgId === MessageId.Hello || msgId === MessageId.HelloProof) return undefined;
    if (msgId === MessageId.Refusal) return undefined;
    const state = this.#peers.get(peer);
    if (state?.authenticated === true) return undefined;
    if (state !== undefined && this.#options.isForeign?.(msgId) === true) {
      state.dueMs = Infinity; // Nothing is to be proved any more.
      return undefined;
    }
    return this.#noteRefusal(peer, PeerRefusal.NoSecret);
  }

  /** Who has shown a certificate may send what its role lets it; one of the original is an agent. */
  #guardRole(peer: P, msgId: number): string | undefined {
    const { peerCertificate } = peer;
    if (peerCertificate === undefined || msgId === MessageId.Hello) return undefined;
    const state = this.#peers.get(peer);
    const said = state?.extended === true ? state.role : ORIGINAL_ROLE;
    const may = state?.extended === true || mayBe(this.#options.role, said, peerCertificate);
    if (may && maySend(said, msgId)) return undefined;
    return this.#noteRefusal(peer, PeerRefusal.WrongRole);
  }

  #hello(body: Uint8Array, peer: P): void {
    const hello = decodeHello(body);
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    const role = hello.role.slice(0, SOFTWARE_LENGTH_MAX);
    const { peerCertificate } = peer;
    if (state.extended && role !== state.role && peerCertificate !== undefined) {
      return this.#refuse(peer, PeerRefusal.WrongRole);
    }
    const isFirst = !state.extended;
    if (isFirst) this.#extendedCount++;
    state.extended = true;
    this.#places.add(peer);
    state.software = hello.software.slice(0, SOFTWARE_LENGTH_MAX);
    state.role = role;
    state.heardAtMs = this.#options.clock.nowMs();
    if (peerCertificate !== undefined && !mayBe(this.#options.role, role, peerCertificate)) {
      return this.#refuse(peer, PeerRefusal.WrongRole);
    }
    if (!this.#welcome(hello, peer, state)) return;
    if (isFirst) this.#options.onWelcomed?.(peer);
    this.#tellLeaving(peer, state);
  }

  /** @returns false when the peer is refused. */
  #welcome({ protocol, role, nonce }: Hello, peer: P, state: PeerState): boolean {
    const { secrets, translated = false, prove, newNonce } = this.#options;
    if (secrets === undefined || (nonce === undefined && state.authenticated)) {
      peer.send(MessageId.Hello, plainWelcome(this.#options));
    } else if (nonce?.length === NONCE_BYTES && protocol >= MUTUAL_PROTOCOL) {
      state.talk = {
        clientNonce: nonce,
        serverNonce: newNonce(),
        clientRole: role,
        serverRole: this.#options.role,
        translated,
      };
      const ends = endsOf(peer.local, peer.remote);
      const welcome = provingWelcome(this.#options, state.talk, ends, secrets, prove);
      peer.send(MessageId.Hello, welcome);
    } else {
      // So that it knows what is wanted, whatever its build makes of the refusal.
      peer.send(MessageId.Hello, plainWelcome(this.#options, newNonce()));
      const isOld = protocol < MUTUAL_PROTOCOL;
      this.#refuse(peer, isOld ? PeerRefusal.OldProof : PeerRefusal.NoSecret);
      return false;
    }
    return true;
  }

  #proof(body: Uint8Array, peer: P): void {
    const message = decodeHelloProof(body);
    const state = this.#peers.get(peer);
    const { secrets, wantsProof = true, prove } = this.#options;
    if (state === undefined || secrets === undefined) return;
    const { talk } = state;
    state.talk = undefined;
    if (talk === undefined) {
      if (!state.authenticated) this.#refuse(peer, PeerRefusal.NoSecret);
      return;
    }
    const verdict = judgeProof(message, talk, endsOf(peer.local, peer.remote), secrets, prove);
    if ("secret" in verdict) {
      state.authenticated = true;
      state.secret = verdict.secret;
      state.dueMs = Infinity;
      this.#tellLeaving(peer, state);
    } else if (wantsProof) {
      this.#refuse(peer, verdict.refused);
    }
  }

  /** Tells the peer and the log why, and closes. */
  #refuse(peer: P, reason: PeerRefusal): void {
    peer.close(this.#noteRefusal(peer, reason));
  }

  /** @returns why the connection is to be closed. */
  #noteRefusal(peer: P, reason: PeerRefusal): string {
    if (this.#peers.get(peer)?.extended === true) {
      peer.send(MessageId.Refusal, encodeRefusal({ reason }));
    }
    return this.#tell(peer, "Peer is refused", refusalText(reason, "us", this.#roleOf(peer)));
  }

  #roleOf(peer: P): string {
    const state = this.#peers.get(peer);
    return state?.extended === true ? state.role : ORIGINAL_ROLE;
  }

  #refusedBy(body: Uint8Array, peer: P): void {
    const { reason } = decodeRefusal(body);
    const { role } = this.#options;
    peer.close(this.#tell(peer, "Peer refuses this service", refusalText(reason, "them", role)));
  }

  #tell(peer: P, what: string, reason: string): string {
    const state = this.#peers.get(peer);
    this.#refusedCount++;
    this.#refusedHosts.add(peer.remote.hostname);
    if (state !== undefined) state.dueMs = Infinity;
    const held = this.#logLimiter.admit("refusal");
    if (held === undefined) return reason;
    const peerText = formatAddress(peer.remote);
    const who = state?.extended === true ? { role: state.role, software: state.software } : {};
    const { peerCertificate } = peer;
    const shown = peerCertificate === undefined ? {} : { certificate: peerCertificate.subject };
    this.#options.log.warn(what, { peer: peerText, ...who, ...shown, reason, ...held });
    return reason;
  }

  /** Those who proved a secret that is none any more have to come again. */
  #closeOutdated(): void {
    const { secrets } = this.#options;
    for (const [peer, { secret }] of this.#peers) {
      if (secret === undefined || secrets?.has(secret) === true) continue;
      this.#refuse(peer, PeerRefusal.WrongSecret);
    }
  }

  #goodbye(body: Uint8Array, peer: P): void {
    const { reason } = decodeGoodbye(body);
    if (this.sessionOf(peer) !== undefined) this.#options.onGoodbye?.(peer, reason);
  }

  #ping(body: Uint8Array, peer: P): void {
    const { seq, revision } = decodePing(body);
    const detail = { ...this.#options.pongDetail?.(), ...this.#places.placeOf(peer) };
    peer.send(MessageId.Pong, encodePong({ seq, ...detail }));
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.heardAtMs = this.#options.clock.nowMs();
    state.revision = revision;
    if (peer.asksPeer === true) return;
    state.dueMs = state.heardAtMs + SILENCE_TIMEOUT_MS;
    this.#wakeAt(state.dueMs);
  }

  /** One timer for all, set again only when it has run out: a ping costs a number. */
  #wakeAt(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    const { clock } = this.#options;
    this.#timer = clock.setTimer(dueMs - clock.nowMs(), () => this.#closeDue());
  }

  #closeDue(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#timerDueMs = Infinity;
    let nextMs = Infinity;
    for (const [peer, state] of this.#peers) {
      if (state.dueMs > nowMs) {
        nextMs = Math.min(nextMs, state.dueMs);
        continue;
      }
      state.dueMs = Infinity;
      if (state.authenticated) {
        this.#silentCount++;
        peer.close(`no ping for ${SILENCE_TIMEOUT_MS / 1000} s`);
      } else {
        this.#refuse(peer, PeerRefusal.NoSecret);
      }
    }
    this.#wakeAt(Math.max(nextMs, nowMs + LOOK_INTERVAL_MS));
  }
}
