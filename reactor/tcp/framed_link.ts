// Core. One framed TCP stream: frames in, gathered writes out, bounded in both directions.

import type { BufferPool } from "./buffer_pool.ts";
import type { Clock, Timer } from "../time/clock.ts";
import { type BodyBytesMaxOf, FrameDecoder, type FrameReceiver, HEAD_BYTES } from "../frame.ts";
import { OutputBuffer } from "./output_buffer.ts";
import type { Stream, StreamHandlers } from "../runtime/types.ts";

/** Output above this many bytes counts as high water: `onDrain` tells when all of it has left. */
export const HIGH_WATER_BYTES = 256 * 1024;

/**
 * Bytes that one peer may have handled before others have their turn, where a peer gives turns; a short
 * frame counts as so many, as it is work too. So it is 256 short frames, or one of the longest.
 */
export const TURN_BYTES_MAX = 65_536;
const TURN_FRAME_BYTES_MIN = 256;

/** How long a closing connection may take to send what it still holds and see the peer's end. */
export const CLOSE_FLUSH_MS = 1000;

const NOTHING = new Uint8Array(0);

/** Counters that a link adds to; a server shares one object among its links. */
export interface LinkCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
}

/** What the links of one server or client have in common: one object for all of them. */
export interface FramedLinkSettings {
  readonly clock: Clock;
  readonly pool: BufferPool;
  readonly outputBytesMax: number;
  /** Stop reading from a peer that does not read, until its output has left. */
  readonly pauseAtHighWater: boolean;
  /**
   * A peer that has had its share ({@linkcode TURN_BYTES_MAX}) waits until others have had their turn,
   * unless its stream sees to that. On Deno one that always has something to be read would keep all
   * others from being read for seconds.
   *
   * @default {false}
   */
  readonly givesTurns?: boolean;
  readonly counters: LinkCounters;
  /** See {@linkcode FrameDecoder}. */
  readonly bodyBytesMaxOf?: BodyBytesMaxOf | undefined;
}

/** What is told of a link. An object with methods, because a closure for each would cost memory. */
export interface LinkOwner {
  /** One frame; may throw, see `onFault`. */
  onFrame(msgId: number, body: Uint8Array): void;
  /** Decoding or `onFrame` failed; the owner closes the link. Must not throw. */
  onFault(error: unknown): void;
  /** Output fell to zero after it had been above {@linkcode HIGH_WATER_BYTES}. */
  onDrain(): void;
  /** A frame has begun to come, the one before it was whole: `partialSinceMs` is known now. */
  onPartial?(): void;
  /** The peer ended or lost the stream while the link was open. */
  onLost(reason: string): void;
  /** The socket is closed; always the last call. */
  onGone(): void;
}

/**
 * open: in use. finishing: output leaves, input is thrown away. ended: all has left, the end too.
 * gone: the socket is closed.
 */
type LinkState = "open" | "finishing" | "ended" | "gone";

/**
 * Glue between a {@linkcode Stream}, a {@linkcode FrameDecoder} and an {@linkcode OutputBuffer}.
 * Frames sent in one turn of the event loop leave in one write.
 */
export class FramedLink implements StreamHandlers, FrameReceiver {
  readonly stream: Stream;
  readonly output: OutputBuffer;
  readonly #settings: FramedLinkSettings;
  readonly #owner: LinkOwner;
  readonly #decoder: FrameDecoder;
  #state: LinkState = "open";
  #receiving = false;
  #flushQueued = false;
  /** Made with the first output, once, because links flush often. */
  #flushLater: (() => void) | undefined;
  #aboveHighWater = false;
  #peerEnded = false;
  #linger: Timer | undefined;
  #lastDataMs: number;
  /** Bytes came since `lastDataMs` was asked last. The clock is not read for each of them. */
  #heard = false;
  #partialSinceMs: number | undefined;
  /** Runs while nothing is read because the owner wants it so. */
  #hold: Timer | undefined;
  #holdUntilMs = -Infinity;
  /** What has been received and is to be looked at when the hold is over. */
  #rest: Uint8Array | undefined;
  /** Bytes that are handled before others have their turn; 0: this one gives none. */
  #turnBytes: number;

  /** Starts `stream`; `owner` hears nothing before this returns. */
  constructor(stream: Stream, settings: FramedLinkSettings, owner: LinkOwner) {
    this.stream = stream;
    this.#settings = settings;
    this.#owner = owner;
    this.#decoder = new FrameDecoder(
      stream.copyBelowBytes,
      settings.bodyBytesMaxOf,
      stream.views,
    );
    this.output = new OutputBuffer(settings.outputBytesMax, settings.pool);
    this.#lastDataMs = settings.clock.nowMs();
    const givesTurns = settings.givesTurns === true && stream.takesTurns !== true;
    this.#turnBytes = givesTurns ? TURN_BYTES_MAX : 0;
    stream.start(this);
  }

  /** False from `finish`, `destroy` or the loss of the peer on. */
  get open(): boolean {
    return this.#state === "open";
  }

  /**
   * Time of the last bytes received, as far as it is known from asking now and then: when bytes have
   * come since the last call, that is `nowMs`.
   */
  lastDataMs(nowMs: number): number {
    if (this.#heard) this.#lastDataMs = nowMs;
    this.#heard = false;
    return this.#lastDataMs;
  }

  /** When the frame that is still incomplete began; undefined between frames and while paused. */
  get partialSinceMs(): number | undefined {
    return this.#isPaused ? undefined : this.#partialSinceMs;
  }

  /** Queues one frame; false when closed or over the limit (nothing is queued then). */
  send(msgId: number, body: Uint8Array): boolean {
    if (this.#state !== "open" || !this.output.appendFrame(msgId, body)) return false;
    this.#settings.counters.framesOut++;
    this.#scheduleFlush();
    return true;
  }

  /**
   * Queues one frame whose body the caller writes at once, into {@linkcode FramedLink.reserved} from
   * the place given; -1 when closed or over the limit (nothing is queued then).
   */
  reserve(msgId: number, bodyBytes: number): number {
    if (this.#state !== "open") return -1;
    const start = this.output.reserveFrame(msgId, bodyBytes);
    return start < 0 ? start : this.#reserved(start);
  }

  /** The same for bytes that are whole frames of another kind. */
  reserveBytes(bytes: number): number {
    if (this.#state !== "open") return -1;
    const start = this.output.reserveBytes(bytes);
    return start < 0 ? start : this.#reserved(start);
  }

  /** Where what was reserved last is to be written. */
  get reserved(): Uint8Array {
    return this.output.reserved;
  }

  #reserved(start: number): number {
    this.#settings.counters.framesOut++;
    this.#scheduleFlush();
    return start;
  }

  /** Queues encoded frames; false when closed or over the limit (nothing is queued then). */
  sendFrames(bytes: Uint8Array): boolean {
    if (this.#state !== "open" || !this.output.appendBytes(bytes)) return false;
    this.#settings.counters.framesOut++;
    this.#scheduleFlush();
    return true;
  }

  /**
   * Gives no further frame for so long, and reads nothing, so that the peer has to wait. Its end is
   * not seen meanwhile. Of several holds the last to end counts.
   */
  hold(holdMs: number): void {
    if (this.#state !== "open") return;
    this.#holdUntilMs = Math.max(this.#holdUntilMs, this.#settings.clock.nowMs() + holdMs);
    if (this.#hold !== undefined) return;
    this.stream.pause();
    this.#decoder.stop();
    this.#awaitHold(holdMs);
  }

  /** Writes what waits at the end of this turn. */
  flushSoon(): void {
    this.#scheduleFlush();
  }

  /**
   * Closes after the output has left, or after `flushMs`. With nothing to send it
   * closes at once, unless the peer's end is awaited: to close while the peer still sends could cost
   * it what it has not read.
   */
  finish(awaitPeerEnd = false, flushMs = CLOSE_FLUSH_MS): void {
    if (this.#state !== "open") return;
    this.#state = "finishing";
    this.#decoder.reset();
    if (this.#isSent && !awaitPeerEnd) return this.destroy();
    this.#linger = this.#settings.clock.setTimer(flushMs, () => this.destroy());
    // A paused stream would not show the peer's end.
    this.#endHold();
    this.stream.resume();
    this.#flush();
  }

  /** Closes at once; what was not sent stays in `output`, except what was in flight. */
  destroy(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#linger?.cancel();
    this.#endHold();
    this.#decoder.reset();
    this.stream.close();
    this.output.abandonInFlight();
    this.#owner.onGone();
  }

  /** Called by the stream. */
  onData(chunk: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#settings.counters.bytesIn += chunk.length;
    this.#heard = true;
    if (this.#hold === undefined) this.#decode(chunk);
    else this.#keep(chunk);
  }

  /** A stream may give what it had read before it was paused. */
  #keep(chunk: Uint8Array): void {
    const before = this.#rest ?? NOTHING;
    const rest = new Uint8Array(before.length + chunk.length);
    rest.set(before);
    rest.set(chunk, before.length);
    this.#rest = rest;
  }

  /** @param isOwn The bytes stay as they are after this call. */
  #decode(chunk: Uint8Array, isOwn = false): void {
    const framesBefore = this.#settings.counters.framesIn;
    this.#receiving = true;
    try {
      const taken = this.#decoder.pushTo(chunk, this);
      if (taken < chunk.length && this.#hold !== undefined) {
        this.#rest = isOwn ? chunk.subarray(taken) : chunk.slice(taken);
      }
    } catch (error) {
      this.#owner.onFault(error);
    } finally {
      this.#receiving = false;
    }
    if (this.#decoder.pendingBytes === 0) this.#partialSinceMs = undefined;
    else if (
      this.#partialSinceMs === undefined || this.#settings.counters.framesIn > framesBefore
    ) {
      this.#partialSinceMs = this.#settings.clock.nowMs();
      this.#owner.onPartial?.();
    }
    this.#flush();
  }

  /** Called by the decoder. */
  onFrame(msgId: number, body: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#settings.counters.framesIn++;
    const { length } = body;
    this.#owner.onFrame(msgId, body);
    if (this.#turnBytes > 0) this.#spendTurn(HEAD_BYTES + length);
  }

  #spendTurn(frameBytes: number): void {
    this.#turnBytes -= Math.max(TURN_FRAME_BYTES_MIN, frameBytes);
    if (this.#turnBytes > 0) return;
    this.#turnBytes = TURN_BYTES_MAX;
    this.hold(0);
  }

  /** Called by the stream. */
  onDrain(): void {
    if (this.#state === "gone") return;
    this.output.written();
    this.#flush();
  }

  /** Called by the stream. */
  onEnd(): void {
    this.#peerEnded = true;
    if (this.#state !== "open") {
      if (this.#isSent) this.destroy();
    } else if (this.#hold === undefined) this.#endByPeer();
    // Else what came before the end is handled first.
  }

  #endByPeer(): void {
    this.#owner.onLost("peer closed");
    this.finish();
  }

  /** Called by the stream. */
  onClose(reason: string): void {
    if (this.#state === "gone") return;
    const wasOpen = this.#state === "open";
    if (wasOpen) this.#owner.onLost(reason);
    this.destroy();
  }

  /** True when the kernel has all that was sent. */
  get #isSent(): boolean {
    return this.output.pendingBytes === 0 && (this.stream.settle?.() ?? 0) === 0;
  }

  #scheduleFlush(): void {
    if (!this.#aboveHighWater && this.output.pendingBytes > HIGH_WATER_BYTES) {
      this.#aboveHighWater = true;
      if (this.#settings.pauseAtHighWater) this.stream.pause();
    }
    // While frames are dispatched the end of the dispatch flushes; in flight, its end does.
    if (this.#receiving || this.#flushQueued || this.output.inFlight) return;
    this.#flushQueued = true;
    this.#flushLater ??= (): void => {
      this.#flushQueued = false;
      this.#flush();
    };
    this.stream.defer(this.#flushLater);
  }

  #flush(): void {
    while (this.#state !== "gone") {
      const bytes = this.output.writeNext(this.stream);
      this.#settings.counters.bytesOut += Math.abs(bytes);
      if (bytes < 0) return;
      if (bytes === 0) break;
    }
    if (this.output.pendingBytes === 0) this.#emptied();
  }

  #emptied(): void {
    if (this.#state === "finishing") {
      if (this.#peerEnded) return this.destroy();
      this.#state = "ended";
      return this.stream.end();
    }
    if (this.#state === "ended" || !this.#aboveHighWater) return;
    this.#aboveHighWater = false;
    if (this.#settings.pauseAtHighWater) this.#goOnReading();
    this.#owner.onDrain();
  }

  /** True while nothing is read, whatever the peer sends. */
  get #isPaused(): boolean {
    return this.#hold !== undefined || (this.#aboveHighWater && this.#settings.pauseAtHighWater);
  }

  #goOnReading(): void {
    if (this.#isPaused) return;
    if (this.#partialSinceMs !== undefined) this.#partialSinceMs = this.#settings.clock.nowMs();
    this.stream.resume();
  }

  #awaitHold(holdMs: number): void {
    this.#hold = this.#settings.clock.setTimer(holdMs, () => {
      this.#hold = undefined;
      const leftMs = this.#holdUntilMs - this.#settings.clock.nowMs();
      if (leftMs > 0) this.#awaitHold(leftMs);
      else if (this.#state === "open") this.#endOfHold();
    });
  }

  #endOfHold(): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#decode(rest, true);
    if (this.#state !== "open" || this.#hold !== undefined) return;
    if (this.#peerEnded) this.#endByPeer();
    else this.#goOnReading();
  }

  #endHold(): void {
    this.#hold?.cancel();
    this.#hold = undefined;
    this.#rest = undefined;
  }
}
