// Core. What a connection still has to send: frames of one turn gathered into few large writes.

import { BUFFER_SIZE_CLASSES, type BufferPool } from "./buffer_pool.ts";
import { checkBodyBytes, HEAD_BYTES, writeHead } from "../frame.ts";

/** Framed bytes of at least this length are queued as they are instead of being copied. */
export const BY_REFERENCE_BYTES_MIN = 2048;

const NO_BYTES = new Uint8Array(0);

const LARGEST_CHUNK_BYTES = BUFFER_SIZE_CLASSES[BUFFER_SIZE_CLASSES.length - 1];

/** What one write sends: the first `length` bytes of `bytes`. */
export interface OutputChunk {
  /** Not cut to size, because a view costs more than all else that is done for a short frame. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** True when `bytes` goes back to the pool once it has been written. */
  readonly pooled: boolean;
}

/**
 * A bounded queue of bytes to send. Every chunk holds whole frames only, so that what was not yet
 * handed to a socket can go out on the next one. When `bytesMax` would be passed, an append changes
 * nothing and returns false: the caller decides whether to close or to refuse.
 */
export class OutputBuffer {
  readonly #bytesMax: number;
  readonly #pool: BufferPool;
  /** Undefined until something is queued: few idle connections ever need one. */
  #queue: OutputChunk[] | undefined;
  #current: Uint8Array | undefined;
  #currentBytes = 0;
  #inFlight: OutputChunk | undefined;
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
    const start = this.reserveFrame(msgId, body.length);
    if (start < 0) return false;
    this.reserved.set(body, start);
    return true;
  }

  /**
   * Appends a frame whose body the caller writes next, before anything else is done with this buffer:
   * into {@linkcode OutputBuffer.reserved}, from the place that is given.
   *
   * @returns -1 when the limit would be passed; nothing was appended then.
   * @throws {RangeError} when the body is larger than a frame can carry.
   */
  reserveFrame(msgId: number, bodyBytes: number): number {
    checkBodyBytes(bodyBytes);
    const frameBytes = HEAD_BYTES + bodyBytes;
    if (this.#pendingBytes + frameBytes > this.#bytesMax) return -1;
    const start = this.#reserve(frameBytes);
    writeHead(this.reserved, start, msgId, bodyBytes);
    return start + HEAD_BYTES;
  }

  /** The same for bytes that are whole frames already, of another kind. */
  reserveBytes(bytes: number): number {
    return this.#pendingBytes + bytes > this.#bytesMax ? -1 : this.#reserve(bytes);
  }

  /** Where the body of a frame lies that was reserved last. */
  get reserved(): Uint8Array {
    return this.#current ?? NO_BYTES;
  }

  #reserve(bytes: number): number {
    this.#room(bytes);
    const start = this.#currentBytes;
    this.#currentBytes += bytes;
    this.#pendingBytes += bytes;
    return start;
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
      this.#push({ bytes, length: bytes.length, pooled: false });
    } else {
      this.#room(bytes.length).set(bytes, this.#currentBytes);
      this.#currentBytes += bytes.length;
    }
    this.#pendingBytes += bytes.length;
    return true;
  }

  /** The next bytes to write, or undefined when there are none or some are in flight. */
  take(): OutputChunk | undefined {
    if (this.#inFlight !== undefined) return undefined;
    this.#inFlight = this.#queue?.shift() ?? this.#cut();
    return this.#inFlight;
  }

  /**
   * Writes the next bytes to `sink`, whose buffer is free at once when it says true.
   *
   * @returns how many bytes; negative when they are in flight now, until `written`; 0: there were none,
   * or some are in flight.
   */
  writeNext(sink: { write(bytes: Uint8Array, length: number): boolean }): number {
    const bytes = this.#current;
    if (bytes === undefined || this.#inFlight !== undefined || (this.#queue?.length ?? 0) > 0) {
      const chunk = this.take();
      if (chunk === undefined) return 0;
      if (!sink.write(chunk.bytes, chunk.length)) return -chunk.length;
      this.written();
      return chunk.length;
    }
    // The usual case makes no object.
    const length = this.#currentBytes;
    this.#current = undefined;
    if (!sink.write(bytes, length)) {
      this.#inFlight = { bytes, length, pooled: true };
      return -length;
    }
    this.#pendingBytes -= length;
    this.#pool.release(bytes);
    return length;
  }

  /** Says that the bytes taken last have been written and their buffer is free. */
  written(): void {
    const chunk = this.#inFlight;
    if (chunk === undefined) return;
    this.#inFlight = undefined;
    this.#pendingBytes -= chunk.length;
    if (chunk.pooled) this.#pool.release(chunk.bytes);
  }

  /**
   * Gives up the bytes in flight without their buffer going back to the pool: the socket is gone,
   * but the system may still read from it.
   *
   * @returns how many bytes were in flight.
   */
  abandonInFlight(): number {
    const bytes = this.#inFlight?.length ?? 0;
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
    for (const { bytes, pooled } of this.#queue ?? []) if (pooled) this.#pool.release(bytes);
    this.#queue = undefined;
    this.#pendingBytes = 0;
    return dropped;
  }

  /** Moves what waits in `other`, which has nothing in flight, to the end of this buffer. */
  appendAllOf(other: OutputBuffer): void {
    other.#seal();
    this.#seal();
    for (const chunk of other.#queue ?? []) this.#push(chunk);
    this.#pendingBytes += other.#pendingBytes;
    other.#queue = undefined;
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

  /** The current chunk, which takes no more. */
  #cut(): OutputChunk | undefined {
    const bytes = this.#current;
    if (bytes === undefined) return undefined;
    this.#current = undefined;
    return { bytes, length: this.#currentBytes, pooled: true };
  }

  #seal(): void {
    const chunk = this.#cut();
    if (chunk !== undefined) this.#push(chunk);
  }

  #push(chunk: OutputChunk): void {
    this.#queue ??= [];
    this.#queue.push(chunk);
  }
}
