// Core. Server side of the sessions: who said Hello, who proved the token, who is still there.

import { decodeHello, decodeHelloProof, decodePing, encodePong } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { Logger } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { helloOf, isProof, PROOF_TIMEOUT_MS, type Prove, type Self } from "./handshake.ts";
import { SILENCE_TIMEOUT_MS } from "./heartbeat.ts";

/** Longest software and role that are kept of a peer, in characters. */
export const SOFTWARE_LENGTH_MAX = 128;

/**
 * Least time between two looks at all peers for those whose time is over, so that ten thousand which
 * vanish at once cost ten looks a second.
 */
const LOOK_INTERVAL_MS = 100;

/** What is needed of a connection. */
export interface SessionPeer {
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
export interface ServerSessionsOptions extends Self {
  /** The shared secret; without one nobody has to prove anything. */
  readonly token: Uint8Array | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly prove: Prove;
  /** A number that no client can know before. */
  newNonce(): Uint8Array;
}

/** One for each connection: no closure and no timer in it. */
interface PeerState {
  software: string;
  role: string;
  heardAtMs: number;
  revision: number | undefined;
  extended: boolean;
  authenticated: boolean;
  nonce: Uint8Array | undefined;
  /** When it is closed unless it has proved its token, or sent a ping, by then. */
  dueMs: number;
}

/**
 * The sessions of one server. A peer that never says Hello stays on the original protocol; with a
 * token, such a peer is refused.
 */
export class ServerSessions<P extends SessionPeer & WeakKey> {
  /** Handlers of what peers send. */
  readonly router: MessageRouter<P>;
  readonly #options: ServerSessionsOptions;
  readonly #peers = new Map<P, PeerState>();
  #refusedCount = 0;
  #silentCount = 0;
  #extendedCount = 0;
  /** Runs out when the first peer is due. */
  #timer: Timer | undefined;
  #timerDueMs = Infinity;

  constructor(options: ServerSessionsOptions) {
    const { token, clock, log } = options;
    this.#options = options;
    this.router = new MessageRouter<P>({ log, clock })
      .add(MessageId.Hello, (body, peer) => this.#hello(body, peer))
      .add(MessageId.HelloProof, (body, peer) => this.#proof(body, peer))
      .add(MessageId.Ping, (body, peer) => this.#ping(body, peer));
    if (token !== undefined) this.router.setGuard((peer, msgId) => this.#guard(peer, msgId));
  }

  /** Connections that were closed because they did not prove the secret. */
  get refusedCount(): number {
    return this.#refusedCount;
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

  /** What a peer said of itself; undefined when it never said Hello, or has not proved the token. */
  sessionOf(peer: P): PeerSession | undefined {
    const state = this.#peers.get(peer);
    return state?.extended === true && state.authenticated ? state : undefined;
  }

  /** Call for each accepted connection: starts the time limit for the proof. */
  accept(peer: P): void {
    const { token, clock } = this.#options;
    const authenticated = token === undefined;
    const dueMs = authenticated ? Infinity : clock.nowMs() + PROOF_TIMEOUT_MS;
    this.#peers.set(peer, {
      software: "",
      role: "",
      heardAtMs: 0,
      revision: undefined,
      extended: false,
      authenticated,
      nonce: undefined,
      dueMs,
    });
    this.#wakeAt(dueMs);
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    if (this.#peers.get(peer)?.extended === true) this.#extendedCount--;
    this.#peers.delete(peer);
    if (this.#peers.size > 0) return;
    this.#timer?.cancel();
    this.#timerDueMs = Infinity;
  }

  #guard(peer: P, msgId: number): string | undefined {
    if (msgId === MessageId.Hello || msgId === MessageId.HelloProof) return undefined;
    if (this.#peers.get(peer)?.authenticated === true) return undefined;
    this.#refusedCount++;
    return "not authenticated";
  }

  #hello(body: Uint8Array, peer: P): void {
    const { software, role } = decodeHello(body);
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    if (!state.extended) this.#extendedCount++;
    state.extended = true;
    state.software = software.slice(0, SOFTWARE_LENGTH_MAX);
    state.role = role.slice(0, SOFTWARE_LENGTH_MAX);
    state.heardAtMs = this.#options.clock.nowMs();
    state.nonce = state.authenticated ? undefined : this.#options.newNonce();
    peer.send(MessageId.Hello, helloOf(this.#options, state.nonce));
  }

  #proof(body: Uint8Array, peer: P): void {
    const message = decodeHelloProof(body);
    const state = this.#peers.get(peer);
    const { token, prove } = this.#options;
    if (state === undefined || token === undefined || state.authenticated) return;
    const { nonce } = state;
    state.nonce = undefined;
    if (isProof(message, token, nonce, prove)) {
      state.authenticated = true;
      state.dueMs = Infinity;
    } else {
      this.#refusedCount++;
      peer.close("wrong token");
    }
  }

  #ping(body: Uint8Array, peer: P): void {
    const { seq, revision } = decodePing(body);
    peer.send(MessageId.Pong, encodePong({ seq }));
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.heardAtMs = this.#options.clock.nowMs();
    state.revision = revision;
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
        this.#refusedCount++;
        peer.close("no proof of the token in time");
      }
    }
    this.#wakeAt(Math.max(nextMs, nowMs + LOOK_INTERVAL_MS));
  }
}
