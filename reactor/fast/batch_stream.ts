// Shell. One TCP connection on a batch loop.
//
// It is watched by the edge: the kernel tells of each arrival once, so that nothing has to be switched
// on and off. What was told and not yet taken is remembered here.

import type { Address } from "../address.ts";
import type { ByteViews } from "../byte_views.ts";
import { messageOf } from "../errors.ts";
import { connectionFault } from "../runtime/common.ts";
import type { Libc, Stream, StreamHandlers } from "../runtime/mod.ts";
import {
  type BatchLoop,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  type LoopSocket,
  MSG_DONTWAIT,
} from "./batch_loop.ts";
import { MSG_NOSIGNAL, type RingSender, type SendRing } from "./send_ring.ts";

/** Bytes taken from one connection in one turn; the rest waits for the next. */
export const RECEIVE_BYTES_MAX = 65_536;

const SHUT_WR = 1;

const STREAM_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/** Reasons for which a connection may be lost. */
export const LOSS_CODES: Readonly<Record<number, string>> = {
  32: "EPIPE",
  104: "ECONNRESET",
  110: "ETIMEDOUT",
  113: "EHOSTUNREACH",
};

/** What a stream remembers of the kernel's news and its owner's wishes. */
const PAUSED = 1;
const READABLE = 2;
const QUEUED = 4;
const HUNG_UP = 8;
const ENDED = 16;
const FIN_SENT = 32;
/** FIN follows once what is kept has left. */
const FIN_WANTED = 64;

/** What the kernel would not take yet. */
interface Kept {
  readonly bytes: Uint8Array;
  from: number;
  readonly end: number;
}

/** What the connections of one loop have in common. */
export interface StreamHost {
  readonly loop: BatchLoop;
  readonly libc: Libc;
  /** Where received bytes lie. */
  readonly received: Uint8Array;
  readonly views: ByteViews;
  /** Undefined: each send is a call of its own. */
  readonly ring: SendRing | undefined;
  /** True when nothing can come or go any more. */
  isDead(fd: number): boolean;
}

/** One connection. */
export class BatchStream implements Stream, LoopSocket, RingSender {
  readonly remote: Address;
  readonly local: Address;
  readonly #tcp: StreamHost;
  #handlers: StreamHandlers | undefined;
  #fd: number;
  #slot = -1;
  /** First what the kernel refused of a send of the ring, then what `write` could not send. */
  #kept: Kept | undefined;
  #behind: Kept | undefined;
  /** Of the ring, when it was given something last. */
  #round = 0;
  #flags = 0;

  constructor(tcp: StreamHost, fd: number, remote: Address, local: Address) {
    this.#tcp = tcp;
    this.#fd = fd;
    this.remote = remote;
    this.local = local;
  }

  get copyBelowBytes(): number {
    return 0;
  }

  get views(): ByteViews {
    return this.#tcp.views;
  }

  get canStartAgain(): boolean {
    return true;
  }

  get takesTurns(): boolean {
    return true;
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    if (this.#slot >= 0) return;
    try {
      this.#slot = this.#tcp.loop.watch(this.#fd, this, STREAM_EVENTS);
    } catch (error) {
      this.defer(() => this.#lose(messageOf(error)));
    }
  }

  defer(action: () => void): void {
    this.#tcp.loop.defer(action);
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    if (this.#fd < 0) return true;
    // Of two sends of the ring the second one could find room that the first one did not.
    if (this.settle() > 0) {
      this.#behind = { bytes: chunk, from: 0, end: length };
      return false;
    }
    const { ring, loop } = this.#tcp;
    if (ring !== undefined && loop.turning && ring.add(this.#fd, chunk, length, this)) {
      this.#round = ring.round;
      return true;
    }
    const sent = this.#tcp.libc.send(this.#fd, chunk, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent === length) return true;
    // A connection that is broken says so by an event.
    this.#kept = { bytes: chunk, from: Math.max(0, sent), end: length };
    return false;
  }

  pause(): void {
    this.#flags |= PAUSED;
  }

  resume(): void {
    this.#flags &= ~PAUSED;
    if ((this.#flags & READABLE) !== 0) this.#queue();
  }

  settle(): number {
    const { ring } = this.#tcp;
    if (ring !== undefined && this.#round === ring.round) ring.flush();
    return this.#kept === undefined ? 0 : this.#kept.end - this.#kept.from;
  }

  /** Called by the ring. */
  onUnsent(bytes: Uint8Array): void {
    // A connection that is broken says so by an event.
    if (this.#fd >= 0) this.#kept = { bytes: bytes.slice(), from: 0, end: bytes.length };
  }

  end(): void {
    if (this.#fd < 0) return;
    this.#flags |= this.settle() > 0 ? FIN_WANTED : FIN_SENT;
    if ((this.#flags & FIN_SENT) !== 0) this.#tcp.libc.shutdown(this.#fd, SHUT_WR);
  }

  close(): void {
    if (this.#fd < 0) return;
    // Its number may be that of another connection when the others leave.
    this.settle();
    if (this.#slot >= 0) this.#tcp.loop.forget(this.#slot);
    this.#tcp.libc.close(this.#fd);
    this.#fd = -1;
    this.#kept = undefined;
    this.#behind = undefined;
  }

  /** Called by the loop. */
  onReady(events: number): number {
    if (events === 0) this.#flags &= ~QUEUED;
    if (this.#fd < 0) return 0;
    try {
      return this.#serve(events);
    } catch (error) {
      this.#lose(connectionFault(error));
      return 1;
    }
  }

  #serve(events: number): number {
    let handled = 0;
    if ((events & EPOLLOUT) !== 0 && this.#kept !== undefined) handled += this.#drain();
    if ((events & ~EPOLLOUT) !== 0) this.#flags |= READABLE;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) this.#flags |= HUNG_UP;
    if (this.#fd < 0 || (this.#flags & READABLE) === 0) return handled;
    if ((this.#flags & ENDED) !== 0) return handled + this.#afterEnd();
    if ((this.#flags & PAUSED) !== 0) {
      // Its output can leave no more, so its owner would wait for ever to resume it.
      const broken = (this.#flags & HUNG_UP) !== 0 && this.#tcp.isDead(this.#fd);
      return broken ? this.#lose(this.#lossReason()) : handled;
    }
    // One that waits for its next share has had the present one.
    return (this.#flags & QUEUED) !== 0 ? handled : handled + this.#receive();
  }

  #receive(): number {
    const { libc, received } = this.#tcp;
    const count = libc.receiveInto(this.#fd, received, MSG_DONTWAIT);
    if (count > RECEIVE_BYTES_MAX) return this.#lose(`${count} bytes in one receive`);
    if (count > 0) {
      // Less than asked for was all there is, unless the end comes behind it.
      if (count === RECEIVE_BYTES_MAX || (this.#flags & HUNG_UP) !== 0) this.#queue();
      else this.#flags &= ~READABLE;
      const handlers = this.#handlers;
      const chunk = this.#tcp.views.of(0, count);
      handlers?.onData(chunk);
      if (this.#handlers !== handlers && this.#fd >= 0) this.#handlers?.onData(chunk);
      return 1;
    }
    if (count === 0) {
      this.#flags |= ENDED;
      this.#handlers?.onEnd();
      return 1;
    }
    if (this.#tcp.isDead(this.#fd)) return this.#lose(this.#lossReason());
    this.#flags &= ~READABLE;
    return 0;
  }

  /** The peer has ended its side; it may still break the connection. */
  #afterEnd(): number {
    this.#flags &= ~READABLE;
    const over = (this.#flags & FIN_SENT) !== 0;
    return !over && this.#tcp.isDead(this.#fd) ? this.#lose(this.#lossReason()) : 0;
  }

  #drain(): number {
    const kept = this.#kept;
    if (kept === undefined) return 0;
    const rest = kept.bytes.subarray(kept.from, kept.end);
    const sent = this.#tcp.libc.send(this.#fd, rest, rest.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    kept.from += Math.max(0, sent);
    if (kept.from < kept.end) return sent > 0 ? 1 : 0;
    this.#kept = this.#behind;
    this.#behind = undefined;
    // Room that is left shows in no further event.
    if (this.#kept !== undefined) return this.#drain();
    if ((this.#flags & FIN_WANTED) !== 0) {
      this.#flags ^= FIN_WANTED;
      this.end();
    }
    this.#handlers?.onDrain();
    return 1;
  }

  #queue(): void {
    if ((this.#flags & (QUEUED | PAUSED)) !== 0 || this.#fd < 0) return;
    this.#flags |= QUEUED;
    this.#tcp.loop.again(this);
  }

  #lossReason(): string {
    const code = LOSS_CODES[this.#tcp.libc.errno()] ?? "ECONNRESET";
    return connectionFault({ code });
  }

  #lose(reason: string): number {
    if (this.#fd < 0) return 0;
    this.close();
    this.#handlers?.onClose(reason);
    return 1;
  }
}
