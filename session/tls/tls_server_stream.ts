// Shell. The stream of one caller: over TLS, or as it comes where that is allowed.

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Address } from "../../reactor/address.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { PeerCertificate, Stream, StreamHandlers } from "../../reactor/runtime/types.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { beliefFault, type CertificateFacts, isSignedBy, peerFacts } from "./certificate_check.ts";
import type { HandshakeServers } from "./handshake_servers.ts";
import { TLS_FIRST_BYTE, type TlsMaterial } from "./tls_identity.ts";

/** Time after a handshake in which a caller may be on its way to say something. */
const FIRST_WORD_MS = 1_000;

/** What a stream is given by its door. */
export interface TlsStreamHost {
  readonly clock: Clock;
  /** Time for the first bytes and the handshake. */
  readonly handshakeMs: number;
  /** True: no limit before the first byte. */
  readonly mayBeSilent: boolean;
  mayBePlain(): boolean;
  servers(): HandshakeServers;
  /** Calls `begin` when the handshake may begin. @returns what is called when it is over, or given up. */
  turn(begin: () => void): () => void;
  /** Why a certificate is not believed; undefined: it is. */
  judge(facts: PeerCertificate): string | undefined;
  /** It is ended: before it said anything of use (`plain`: not even TLS), or later. */
  ended(reason: string, when: "plain" | "shaking" | "later"): void;
  gone(): void;
}

/**
 * A stream below as one of node: it reads when it is asked to, and not while it is held. A paused
 * socket of node:tls holds nobody in Deno, so the hold is put here.
 */
class Below extends Duplex {
  readonly #stream: Stream;
  readonly #onIdle: () => void;
  #written: ((error?: Error | null) => void) | undefined;
  #held = false;
  #wanted = true;

  constructor(stream: Stream, onIdle: () => void) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    this.#onIdle = onIdle;
    // Whatever happens below is told by the stream.
    this.on("error", () => {});
  }

  /** True when everything that was to be written is with the stream below. */
  get isIdle(): boolean {
    return this.#written === undefined && this.writableLength === 0;
  }

  receive(chunk: Uint8Array): void {
    this.#wanted = this.push(Buffer.from(chunk));
    if (!this.#wanted) this.#stream.pause();
  }

  drained(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
    if (this.isIdle) this.#onIdle();
  }

  hold(): void {
    this.#held = true;
    this.#stream.pause();
  }

  go(): void {
    this.#held = false;
    if (this.#wanted) this.#stream.resume();
  }

  override _read(): void {
    this.#wanted = true;
    if (!this.#held) this.#stream.resume();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    if (this.#stream.write(chunk)) done();
    else this.#written = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.close();
    done(error);
  }
}

/** new: nothing has come yet. shaking: the handshake is under way. */
type Mode = "new" | "plain" | "shaking" | "tls" | "gone";

/** One connection; whoever listens has it before it is known what it speaks. */
export class TlsServerStream implements Stream, StreamHandlers {
  readonly copyBelowBytes = 0;
  readonly #inner: Stream;
  readonly #host: TlsStreamHost;
  #mode: Mode = "new";
  #handlers: StreamHandlers | undefined;
  #limit: Timer | undefined;
  #below: Below | undefined;
  #socket: TLSSocket | undefined;
  #certificate: (CertificateFacts & { readonly der: Uint8Array }) | undefined;
  #endTurn = (): void => {};
  #securedAtMs = -Infinity;
  #isHeld = false;
  /** Where what was written last is. */
  #writing: "done" | "above" | "below" = "done";
  #isEnding = false;

  constructor(inner: Stream, host: TlsStreamHost) {
    this.#inner = inner;
    this.#host = host;
  }

  get remote(): Address {
    return this.#inner.remote;
  }

  get local(): Address {
    return this.#inner.local;
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#certificate;
  }

  get isOpening(): boolean {
    if (this.#mode === "shaking") return true;
    return this.#host.clock.nowMs() - this.#securedAtMs < FIRST_WORD_MS;
  }

  /** It speaks no TLS. */
  get isPlain(): boolean {
    return this.#mode === "plain";
  }

  /** A handshake is under way: who it is will be judged by what was believed when that began. */
  get isShaking(): boolean {
    return this.#mode === "shaking";
  }

  /** Why it would be refused now; undefined: it would not, or has shown no certificate. */
  beliefFault(material: TlsMaterial, nowMs: number, asksRoots: boolean): string | undefined {
    const certificate = this.#certificate;
    if (certificate === undefined) return undefined;
    if (asksRoots && !isSignedBy(certificate.der, material.ca)) {
      return "its certificate is signed by none of [tls] ca any more";
    }
    return beliefFault(certificate, material, nowMs);
  }

  /** Ends it, and says why. */
  refuse(reason: string): void {
    const mode = this.#mode;
    if (mode === "gone") return;
    this.#host.ended(reason, mode === "tls" ? "later" : mode === "shaking" ? mode : "plain");
    this.#lost(reason);
  }

  defer(action: () => void): void {
    this.#inner.defer(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    if (!this.#host.mayBeSilent) this.#limit = this.#newLimit();
    this.#inner.start(this);
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    const socket = this.#socket;
    if (this.#mode === "plain") return this.#inner.write(chunk, length);
    if (socket === undefined) {
      this.refuse("it is spoken to before it has said anything");
      return false;
    }
    this.#writing = "above";
    const bytes = length === chunk.length ? chunk : chunk.subarray(0, length);
    socket.write(bytes, () => {
      this.#writing = "below";
      this.#wrote();
    });
    return false;
  }

  pause(): void {
    this.#isHeld = true;
    if (this.#below === undefined) return this.#inner.pause();
    this.#socket?.pause();
    this.#below.hold();
  }

  resume(): void {
    this.#isHeld = false;
    if (this.#below === undefined) return this.#inner.resume();
    this.#socket?.resume();
    this.#below.go();
  }

  end(): void {
    this.#isEnding = true;
    if (this.#socket === undefined) this.#inner.end();
    else this.#socket.end();
  }

  close(): void {
    if (this.#mode === "gone") return;
    this.#mode = "gone";
    this.#limit?.cancel();
    this.#endTurn();
    this.#host.gone();
    this.#socket?.destroy();
    this.#below?.destroy();
    this.#inner.close();
  }

  /** Called by the stream below. */
  onData(chunk: Uint8Array): void {
    if (this.#mode === "new" && chunk.length > 0) this.#begin(chunk[0]);
    if (this.#mode === "plain") this.#handlers?.onData(chunk);
    else if (this.#mode !== "gone") this.#below?.receive(chunk);
  }

  /** Called by the stream below. */
  onDrain(): void {
    if (this.#mode === "plain") this.#handlers?.onDrain();
    else this.#below?.drained();
  }

  /** Called by the stream below. */
  onEnd(): void {
    if (this.#mode === "new" || this.#mode === "plain") return this.#handlers?.onEnd();
    this.#below?.push(null);
    if (this.#mode === "shaking") this.#lost("the other side closed the connection");
  }

  /** Called by the stream below. */
  onClose(reason: string): void {
    if (this.#mode !== "gone") this.#lost(reason);
  }

  #newLimit(): Timer {
    const { clock, handshakeMs } = this.#host;
    return clock.setTimer(handshakeMs, () => {
      this.refuse(`no handshake of TLS within ${handshakeMs} ms`);
    });
  }

  #begin(firstByte: number): void {
    if (firstByte !== TLS_FIRST_BYTE) {
      if (!this.#host.mayBePlain()) {
        return this.refuse("it speaks no TLS: set [tls] cert, key and ca there");
      }
      this.#limit?.cancel();
      this.#mode = "plain";
      return;
    }
    this.#mode = "shaking";
    // Who may be silent may not stop in the middle.
    this.#limit ??= this.#newLimit();
    const below = this.#below = new Below(this.#inner, () => this.#wrote());
    this.#endTurn = this.#host.turn(() =>
      this.#host.servers().handshake(below, {
        onSecure: (socket) => this.#secured(socket),
        onFailed: (reason) => this.refuse(reason),
      })
    );
  }

  #secured(socket: TLSSocket): void {
    if (this.#mode !== "shaking") return void socket.destroy();
    this.#socket = socket;
    this.#securedAtMs = this.#host.clock.nowMs();
    this.#limit?.cancel();
    this.#endTurn();
    // From here on faults of the socket are those of the connection.
    socket.on("error", (error) => this.#lost(messageOf(error)))
      .on("close", () => this.#lost("the other side closed the connection"));
    const fault = this.#judge(socket);
    if (fault !== undefined) return this.refuse(fault);
    this.#mode = "tls";
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#mode === "tls") this.#handlers?.onData(chunk);
    }).on("end", () => {
      if (this.#mode === "tls") this.#handlers?.onEnd();
    });
    if (this.#isHeld) this.pause();
    if (this.#isEnding) socket.end();
  }

  #judge(socket: TLSSocket): string | undefined {
    const { raw } = socket.getPeerCertificate();
    if (!socket.authorized || raw === undefined) return "its certificate is not believed";
    const der = new Uint8Array(raw);
    try {
      this.#certificate = { ...peerFacts(der), der };
    } catch (error) {
      return `its certificate cannot be read: ${messageOf(error)}`;
    }
    return this.#host.judge(this.#certificate);
  }

  /** What is written is with the stream below: a runtime may say so of the socket long before. */
  #wrote(): void {
    if (this.#writing !== "below" || this.#mode !== "tls" || !this.#below?.isIdle) return;
    this.#writing = "done";
    this.#handlers?.onDrain();
  }

  #lost(reason: string): void {
    if (this.#mode === "gone") return;
    this.close();
    this.#handlers?.onClose(reason);
  }
}
