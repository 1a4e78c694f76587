// Shell. Connections of callers over TLS, around those of any transport: who speaks no TLS shows in
// the first byte.

import { formatAddress } from "../../reactor/address.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Listener, ListenOptions, TcpTransport } from "../../reactor/runtime/types.ts";
import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { beliefFault, losesRoots } from "./certificate_check.ts";
import { HandshakeServers } from "./handshake_servers.ts";
import { mayCallPlain, type TlsMaterial } from "./tls_identity.ts";
import { TlsServerStream } from "./tls_server_stream.ts";

/** Time for a handshake, from the connection on, where a caller must speak TLS. */
export const TLS_HANDSHAKE_MS = 5_000;

/**
 * Handshakes under way at once; further ones wait for their turn. When many callers come together the
 * first are served before they give up, where all of them would otherwise be served too late.
 */
export const TLS_HANDSHAKES_MAX = 64;

/** A handshake that takes longer goes on, and holds up the next one no more: its caller is slow, or bad. */
export const TLS_TURN_MS = 200;

/** Time between two looks at the certificates of those who are connected. */
const LOOK_MS = 10_000;

/** Connections whose certificate has ended that one look closes, so that they do not all come back at once. */
const ENDED_PER_LOOK_MAX = 100;

/** What a {@linkcode TlsDoor} is given. */
export interface TlsDoorOptions {
  /** Where connections come from. */
  readonly transport: TcpTransport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly material: TlsMaterial;
}

/** A transport that takes callers over TLS, and others where the material allows it. */
export class TlsDoor implements TcpTransport {
  readonly #options: TlsDoorOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #open = new Set<TlsServerStream>();
  readonly #timer: Timer;
  #turns = 0;
  /** Those that wait for their turn; as many as there are connections at the most. */
  readonly #waiting = new Set<() => void>();
  readonly #counts = { handshakes: 0, refused: 0, plainRefused: 0 };
  #material: TlsMaterial;
  #servers: HandshakeServers;

  constructor(options: TlsDoorOptions) {
    this.#options = options;
    this.#material = options.material;
    this.#logLimiter = new LogRateLimiter(options.clock);
    this.#servers = new HandshakeServers(options.material);
    this.#timer = setRepeating(options.clock, LOOK_MS, () => this.#look());
  }

  /** Counters since the start, and present numbers. */
  get stats(): Record<string, number> {
    const { handshakes, refused, plainRefused } = this.#counts;
    let encrypted = 0;
    for (const stream of this.#open) if (stream.peerCertificate !== undefined) encrypted++;
    return {
      connections_tls: encrypted,
      tls_handshakes: handshakes,
      tls_refused: refused,
      tls_plain_refused: plainRefused,
    };
  }

  /** @throws {BindError} naming host:port. */
  listenTcp(options: ListenOptions): Listener {
    const { clock } = this.#options;
    return this.#options.transport.listenTcp({
      ...options,
      onConnection: (inner) => {
        const stream: TlsServerStream = new TlsServerStream(inner, {
          clock,
          handshakeMs: TLS_HANDSHAKE_MS,
          mayBeSilent: mayCallPlain(this.#material, inner.remote),
          mayBePlain: () => mayCallPlain(this.#material, inner.remote),
          servers: () => this.#servers,
          turn: (begin) => this.#turn(begin),
          judge: (facts) => {
            this.#counts.handshakes++;
            return beliefFault(facts, this.#material, clock.wallMs());
          },
          ended: (reason, when) => this.#ended(stream, reason, when),
          gone: () => void this.#open.delete(stream),
        });
        this.#open.add(stream);
        options.onConnection(stream);
      },
    });
  }

  /**
   * Takes this from now on. Connections stay, but for those whose certificate is believed no more,
   * and those without TLS where it is wanted now.
   */
  setMaterial(material: TlsMaterial): void {
    const before = this.#material;
    this.#material = material;
    if (before.ca !== material.ca || before.cert !== material.cert || before.key !== material.key) {
      this.#servers = new HandshakeServers(material);
    }
    const asksRoots = losesRoots(before.ca, material.ca);
    for (const stream of [...this.#open]) {
      if (stream.isPlain) {
        if (!mayCallPlain(material, stream.remote)) stream.refuse("TLS is wanted now");
        continue;
      }
      if (asksRoots && stream.isShaking) {
        stream.refuse("[tls] ca has lost a root during its handshake");
        continue;
      }
      const fault = stream.beliefFault(material, this.#options.clock.wallMs(), asksRoots);
      if (fault !== undefined) stream.refuse(fault);
    }
  }

  /** Looks at nobody any more; whoever listens closes the connections. */
  close(): void {
    this.#timer.cancel();
  }

  /** Has a handshake begin when it is its turn. @returns what ends the turn, or the wait for it. */
  #turn(begin: () => void): () => void {
    let limit: Timer | undefined;
    const end = (): void => {
      if (this.#waiting.delete(take) || limit === undefined) return;
      limit.cancel();
      limit = undefined;
      this.#turns--;
      const [next] = this.#waiting;
      next?.();
    };
    const take = (): void => {
      this.#waiting.delete(take);
      this.#turns++;
      limit = this.#options.clock.setTimer(TLS_TURN_MS, end);
      begin();
    };
    if (this.#turns < TLS_HANDSHAKES_MAX) take();
    else this.#waiting.add(take);
    return end;
  }

  #look(): void {
    const nowMs = this.#options.clock.wallMs();
    let ended = 0;
    for (const stream of [...this.#open]) {
      if (ended >= ENDED_PER_LOOK_MAX) return;
      const fault = stream.beliefFault(this.#material, nowMs, false);
      if (fault === undefined) continue;
      ended++;
      stream.refuse(fault);
    }
  }

  #ended(stream: TlsServerStream, reason: string, when: "plain" | "shaking" | "later"): void {
    if (when === "plain") this.#counts.plainRefused++;
    else this.#counts.refused++;
    const held = this.#logLimiter.admit(when);
    if (held === undefined) return;
    const who = stream.peerCertificate === undefined
      ? {}
      : { certificate: stream.peerCertificate.subject };
    this.#options.log.warn(when === "later" ? "Connection ended" : "Connection refused", {
      ...{ peer: formatAddress(stream.remote), ...who, reason },
      ...held,
    });
  }
}
