// Shell. The greeting between our own programs: who speaks our extensions, who knows the secret.

import { type Clock, setAligned, type Timer } from "../reactor/time/clock.ts";
import { equalSecrets } from "../reactor/equal_secrets.ts";
import type { Logger } from "../reactor/log.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import type { TcpClient } from "../reactor/tcp/tcp_client.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  decodeHello,
  decodeHelloProof,
  decodePing,
  encodeHello,
  encodeHelloProof,
  encodePing,
  encodePong,
} from "../proto/codec.ts";

/** Version of our extensions, sent in every Hello. */
export const HELLO_PROTOCOL = 1;

/** Time a connection has to prove the secret before it is closed, when one is required. */
export const PROOF_TIMEOUT_MS = 5000;

/**
 * Time without a ping after which a server closes a connection that did ping before: the host at
 * its other end is gone, and nobody would say so for hours.
 */
export const SILENCE_TIMEOUT_MS = 30_000;

/** Bytes of the random number that a proof answers. */
const NONCE_BYTES = 16;

/** What the gate needs of a connection. */
export interface GatedPeer {
  send(msgId: number, body: Uint8Array): boolean;
  close(reason?: string): void;
}

/** What a peer said of itself. */
export interface Greeting {
  /** At most {@linkcode SOFTWARE_LENGTH_MAX} characters of it. */
  readonly software: string;
  /** dns, reporter, agent, tool; at most as long. */
  readonly role: string;
  /** By the monotonic clock: when it said Hello, or its last ping. */
  readonly heardAtMs: number;
  /** Newest revision of the routes that came to it over this connection; undefined: none. */
  readonly revision: number | undefined;
}

/** Longest software and role that are kept of a peer, in characters. */
export const SOFTWARE_LENGTH_MAX = 128;

interface PeerState {
  software: string;
  role: string;
  heardAtMs: number;
  revision: number | undefined;
  extended: boolean;
  authenticated: boolean;
  nonce: Uint8Array | undefined;
  /** Time limit of the proof, then of silence. */
  timer: Timer | undefined;
  pingAtMs: number;
}

/** Proof that a client knows the token: HMAC-SHA256 of the server's nonce under it. */
export function proofOf(token: Uint8Array, nonce: Uint8Array): Uint8Array {
  // Not imported: only who has a token should pay for it, above all in Deno.
  return process.getBuiltinModule("node:crypto").createHmac("sha256", token).update(nonce).digest();
}

/**
 * Server side of the greeting. A peer that never says Hello stays on the original protocol; with a
 * token, such a peer is refused.
 */
export class HelloGate<P extends GatedPeer & WeakKey> {
  readonly #options: {
    readonly software: string;
    readonly role: string;
    readonly token?: Uint8Array;
    readonly clock: Clock;
    readonly log: Logger;
  };
  readonly #peers = new WeakMap<P, PeerState>();
  #refusedCount = 0;
  #silentCount = 0;
  #extendedCount = 0;

  /** `token` is the shared secret; without one nobody has to prove anything. */
  constructor(
    options: { software: string; role: string; token?: Uint8Array; clock: Clock; log: Logger },
  ) {
    this.#options = options;
  }

  /** Connections that were closed because they did not prove the secret. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Connections that were closed because they stopped sending pings. */
  get silentCount(): number {
    return this.#silentCount;
  }

  /** Registers Hello, HelloProof and Ping, and the guard that keeps strangers out. */
  install(router: MessageRouter<P>): void {
    router.add(MessageId.Hello, (body, peer) => this.#hello(body, peer));
    router.add(MessageId.HelloProof, (body, peer) => this.#proof(body, peer));
    router.add(MessageId.Ping, (body, peer) => this.#ping(body, peer));
    if (this.#options.token === undefined) return;
    router.setGuard((peer, msgId) => {
      if (msgId === MessageId.Hello || msgId === MessageId.HelloProof) return undefined;
      if (this.#peers.get(peer)?.authenticated === true) return undefined;
      this.#refusedCount++;
      return "not authenticated";
    });
  }

  /** Call for each accepted connection: starts the time limit for the proof. */
  accept(peer: P): void {
    const state: PeerState = {
      software: "",
      role: "",
      heardAtMs: 0,
      revision: undefined,
      extended: false,
      authenticated: this.#options.token === undefined,
      nonce: undefined,
      timer: undefined,
      pingAtMs: 0,
    };
    this.#peers.set(peer, state);
    if (state.authenticated) return;
    state.timer = this.#options.clock.setTimer(PROOF_TIMEOUT_MS, () => {
      this.#refusedCount++;
      peer.close("no proof of the token in time");
    });
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    const state = this.#peers.get(peer);
    state?.timer?.cancel();
    if (state?.extended === true) this.#extendedCount--;
    this.#peers.delete(peer);
  }

  /** Connections that said Hello; the others are of the original, or have not said anything yet. */
  get extendedCount(): number {
    return this.#extendedCount;
  }

  /** What a peer said of itself; undefined when it never said Hello, or has not proved the token. */
  greetingOf(peer: P): Greeting | undefined {
    const state = this.#peers.get(peer);
    return state?.extended === true && state.authenticated ? state : undefined;
  }

  /** True when the peer said Hello and so may be sent our own messages and fields. */
  isExtended(peer: P): boolean {
    return this.#peers.get(peer)?.extended ?? false;
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
    state.nonce = state.authenticated
      ? undefined
      : crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    peer.send(
      MessageId.Hello,
      encodeHello({
        protocol: HELLO_PROTOCOL,
        software: this.#options.software,
        role: this.#options.role,
        ...(state.nonce === undefined ? {} : { nonce: state.nonce }),
      }),
    );
  }

  #ping(body: Uint8Array, peer: P): void {
    const { seq, revision } = decodePing(body);
    peer.send(MessageId.Pong, encodePong({ seq }));
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.pingAtMs = this.#options.clock.nowMs();
    state.heardAtMs = state.pingAtMs;
    state.revision = revision;
    state.timer ??= this.#watch(peer, state);
  }

  /** One timer that is set again only when it has run out: a ping costs a number. */
  #watch(peer: P, state: PeerState): Timer {
    const { clock } = this.#options;
    const leftMs = state.pingAtMs + SILENCE_TIMEOUT_MS - clock.nowMs();
    return clock.setTimer(leftMs, () => {
      if (clock.nowMs() - state.pingAtMs < SILENCE_TIMEOUT_MS) {
        state.timer = this.#watch(peer, state);
        return;
      }
      this.#silentCount++;
      peer.close(`no ping for ${SILENCE_TIMEOUT_MS / 1000} s`);
    });
  }

  #proof(body: Uint8Array, peer: P): void {
    const { mac } = decodeHelloProof(body);
    const state = this.#peers.get(peer);
    const { token } = this.#options;
    if (state === undefined || token === undefined || state.authenticated) return;
    const expected = state.nonce === undefined ? undefined : proofOf(token, state.nonce);
    state.nonce = undefined;
    if (
      expected === undefined || mac === undefined || !equalSecrets(mac, expected)
    ) {
      this.#refusedCount++;
      peer.close("wrong token");
      return;
    }
    state.authenticated = true;
    state.timer?.cancel();
    state.timer = undefined;
  }
}

/**
 * Time between two pings while they are answered. Seldom, because each wakes a host that is at rest;
 * one that is not answered is followed by others sooner. So a silent server is left within
 * 1.6 + 2 * 0.6 s, and the next one is asked before 3 s are over.
 */
export const PING_INTERVAL_MS = 1600;

/**
 * Time between two pings on a link that only brings the server something, while nothing is sent: then
 * a silent server takes nothing away, and what is sent next is followed by a ping within
 * {@linkcode PING_INTERVAL_MS}.
 */
export const PING_UNUSED_INTERVAL_MS = 10 * PING_INTERVAL_MS;

/** Default time in which an answer to a ping should come. */
export const PING_ANSWER_MS = 600;

/** Pings in a row without any answer after which the connection counts as dead. */
export const PINGS_MISSED_MAX = 2;

/** What {@linkcode HelloPeer} is given. */
export interface HelloPeerOptions {
  readonly client: () => TcpClient;
  readonly router: MessageRouter<TcpClient>;
  readonly software: string;
  readonly role: string;
  readonly token?: Uint8Array;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds between pings; default {@linkcode PING_INTERVAL_MS}. */
  readonly pingIntervalMs?: number;
  /**
   * Milliseconds between pings while nothing is sent; default `pingIntervalMs`, which is right when
   * the server is to send something unasked.
   */
  readonly pingUnusedIntervalMs?: number;
  /** Milliseconds for an answer; default {@linkcode PING_ANSWER_MS}. */
  readonly pingAnswerMs?: number;
  /** Said in each ping: newest revision of the routes that came over this connection, if any. */
  revision?(): number | undefined;
  /**
   * Requests may be sent now. Called at once on connect when no token is set, and again (or, with a
   * token, for the first time) with `true` when the server answered Hello.
   */
  onReady(extended: boolean): void;
}

/**
 * Client side of the greeting: says Hello on each connection, proves the token when asked, and pings
 * so that a silent partition is noticed in time. An original
 * server never answers Hello and is never pinged.
 */
export class HelloPeer {
  readonly #options: HelloPeerOptions;
  readonly #pingIntervalMs: number;
  readonly #pingAnswerMs: number;
  #extended = false;
  #missed = 0;
  #seq = 0;
  /** When the latest ping left, and how many frames had been sent by then. */
  #pingedAtMs = 0;
  #framesAtPing = 0;
  #timer: Timer | undefined;
  /** Runs out when a ping is not answered. */
  #answerTimer: Timer | undefined;

  constructor(options: HelloPeerOptions) {
    this.#options = options;
    this.#pingAnswerMs = options.pingAnswerMs ?? PING_ANSWER_MS;
    this.#pingIntervalMs = options.pingIntervalMs ?? PING_INTERVAL_MS;
    options.router.add(MessageId.Hello, (body) => this.#hello(body));
    options.router.add(MessageId.Pong, () => this.onFrame());
  }

  /** True while connected to a server that answered Hello. */
  get extended(): boolean {
    return this.#extended;
  }

  /** Call when the client has connected. */
  onConnect(): void {
    const { software, role, token } = this.#options;
    this.#reset();
    this.#options.client().send(
      MessageId.Hello,
      encodeHello({ protocol: HELLO_PROTOCOL, software, role }),
    );
    if (token === undefined) this.#options.onReady(false);
  }

  /** Call when the client has lost its connection. */
  onDisconnect(): void {
    this.#reset();
  }

  /** Call for any frame received: a busy link needs no pong to be alive. */
  onFrame(): void {
    this.#missed = 0;
    this.#answerTimer?.cancel();
    this.#answerTimer = undefined;
  }

  /** Stops pinging. */
  close(): void {
    this.#reset();
  }

  #reset(): void {
    this.#extended = false;
    this.onFrame();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #hello(body: Uint8Array): void {
    const { nonce } = decodeHello(body);
    const { token, log } = this.#options;
    const client = this.#options.client();
    if (nonce !== undefined && nonce.length > 0) {
      if (token === undefined) {
        log.error("Server asks for a token and none is configured: set [auth] token_file");
        return;
      }
      client.send(MessageId.HelloProof, encodeHelloProof({ mac: proofOf(token, nonce) }));
    }
    this.#extended = true;
    this.#missed = 0;
    this.#timer?.cancel();
    this.#timer = setAligned(this.#options.clock, this.#pingIntervalMs, () => this.#pingIfUseful());
    this.#pingedAtMs = -Infinity;
    this.#options.onReady(true);
  }

  #pingIfUseful(): void {
    const { clock, pingUnusedIntervalMs = 0 } = this.#options;
    const unused = this.#options.client().stats.framesOut === this.#framesAtPing;
    if (unused && clock.nowMs() - this.#pingedAtMs < pingUnusedIntervalMs) return;
    this.#ping();
  }

  #ping(): void {
    if (this.#answerTimer !== undefined) return;
    this.#seq = (this.#seq + 1) >>> 0;
    const revision = this.#options.revision?.();
    const client = this.#options.client();
    client.send(
      MessageId.Ping,
      encodePing({ seq: this.#seq, ...(revision === undefined ? {} : { revision }) }),
    );
    this.#pingedAtMs = this.#options.clock.nowMs();
    this.#framesAtPing = client.stats.framesOut;
    this.#answerTimer = this.#options.clock.setTimer(this.#pingAnswerMs, () => this.#miss());
  }

  #miss(): void {
    this.#answerTimer = undefined;
    this.#missed++;
    if (this.#missed < PINGS_MISSED_MAX) return this.#ping();
    this.#missed = 0;
    this.#options.client().failOver(`no answer to ${PINGS_MISSED_MAX} pings`);
  }
}
