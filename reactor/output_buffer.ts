// Core. What a connection still has to send: frames of one turn gathered into few large writes.

import { BUFFER_SIZE_CLASSES, type BufferPool } from "./buffer_pool.ts";
import { checkBodyBytes, HEAD_BYTES, writeHead } from "./frame.ts";

/** Framed bytes of at least this length are queued as they are instead of being copied. */
export const BY_REFERENCE_BYTES_MIN = 2048;

const LARGEST_CHUNK_BYTES = BUFFER_SIZE_CLASSES[BUFFER_SIZE_CLASSES.length - 1];

interface Chunk {
  /** The bytes to send. */
  readonly bytes: Uint8Array;
  /** The pool's buffer behind them, if it is to go back. */
  readonly pooled: Uint8Array | undefined;
}

/**
 * A bounded queue of bytes to send. Every chunk holds whole frames only, so that what was not yet
 * handed to a socket can go out on the next one. When `bytesMax` would be passed, an append changes
 * nothing and returns false: the caller decides whether to close or to refuse.
 */
export class OutputBuffer {
  readonly #bytesMax: number;
  readonly #pool: BufferPool;
  #queue: Chunk[] = [];
  #current: Uint8Array | undefined;
  #currentBytes = 0;
  #inFlight: Chunk | undefined;
  #pendingBytes = 0;

  constructor(bytesMax: number, pool: BufferPool) {
    this.#bytesMax = bytesMax;
    this.#pool = pool;
  }

  /** Bytes appended and not yet reported as written, those in flight included. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** True between `take` and `written`. */
  get inFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /**
   * Appends one frame, copying the body.
   *
   * @returns false when the limit would be passed; nothing was appended then.
   * @throws {RangeError} when the body is larger than a frame can carry.
   */
  appendFrame(msgId: number, body: Uint8Array): boolean {
    checkBodyBytes(body.length);
    const frameBytes = HEAD_BYTES + body.length;
    if (this.#pendingBytes + frameBytes > this.#bytesMax) return false;
    const target = this.#room(frameBytes);
    writeHead(target, this.#currentBytes, msgId, body.length);
    target.set(body, this.#currentBytes + HEAD_BYTES);
    this.#currentBytes += frameBytes;
    this.#pendingBytes += frameBytes;
    return true;
  }

  /**
   * Appends whole frames that are encoded already. Long ones are queued without a copy: the caller
   * must not change them afterwards, and may append the same bytes to many buffers.
   *
   * @returns false when the limit would be passed; nothing was appended then.
   */
  appendBytes(bytes: Uint8Array): boolean {
    if (this.#pendingBytes + bytes.length > this.#bytesMax) return false;
    if (bytes.length === 0) return true;
    if (bytes.length >= BY_REFERENCE_BYTES_MIN) {
      this.#seal();
      this.#queue.push({ bytes, pooled: undefined });
    } else {
      this.#room(bytes.length).set(bytes, this.#currentBytes);
      this.#currentBytes += bytes.length;
    }
    this.#pendingBytes += bytes.length;
    return true;
  }

  /** The next bytes to write, or undefined when there are none or some are in flight. */
  take(): Uint8Array | undefined {
    if (this.#inFlight !== undefined) return undefined;
    if (this.#queue.length === 0) this.#seal();
    this.#inFlight = this.#queue.shift();
    return this.#inFlight?.bytes;
  }

  /** Says that the bytes taken last have been written and their buffer is free. */
  written(): void {
    const chunk = this.#inFlight;
    if (chunk === undefined) return;
    this.#inFlight = undefined;
    this.#pendingBytes -= chunk.bytes.length;
    if (chunk.pooled !== undefined) this.#pool.release(chunk.pooled);
  }

  /**
   * Gives up the bytes in flight without their buffer going back to the pool: the socket is gone,
   * but the system may still read from it.
   *
   * @returns how many bytes were in flight.
   */
  abandonInFlight(): number {
    const bytes = this.#inFlight?.bytes.length ?? 0;
    this.#inFlight = undefined;
    this.#pendingBytes -= bytes;
    return bytes;
  }

  /**
   * Drops everything.
   *
   * @returns how many bytes were dropped.
   */
  clear(): number {
    const dropped = this.#pendingBytes;
    this.abandonInFlight();
    this.#seal();
    for (const { pooled } of this.#queue) if (pooled !== undefined) this.#pool.release(pooled);
    this.#queue = [];
    this.#pendingBytes = 0;
    return dropped;
  }

  /** Moves what waits in `other`, which has nothing in flight, to the end of this buffer. */
  appendAllOf(other: OutputBuffer): void {
    other.#seal();
    this.#seal();
    this.#queue.push(...other.#queue);
    this.#pendingBytes += other.#pendingBytes;
    other.#queue = [];
    other.#pendingBytes = 0;
  }

  /** A current chunk with room for `bytes`; sizes grow so that a busy link makes few writes. */
  #room(bytes: number): Uint8Array {
    const current = this.#current;
    if (current !== undefined && current.length - this.#currentBytes >= bytes) return current;
    const wanted = current === undefined
      ? bytes
      : Math.min(LARGEST_CHUNK_BYTES, current.length * 4);
    this.#seal();
    this.#currentBytes = 0;
    return (this.#current = this.#pool.acquire(Math.max(bytes, wanted)));
  }

  #seal(): void {
    const pooled = this.#current;
    if (pooled === undefined) return;
    this.#current = undefined;
    this.#queue.push({ bytes: pooled.subarray(0, this.#currentBytes), pooled });
  }
}
