// Core. The wire frame: an 8-byte head (message id, body length) and a body, cut from any stream.

import type { ByteViews } from "./byte_views.ts";
import { ProtocolError } from "./errors.ts";

/** Bytes before every body: int32 message id, int32 body length, both little-endian. */
export const HEAD_BYTES = 8;

/**
 * Largest body of a TCP frame: the 65,535 bytes of the original's read buffer minus the head. A head
 * that announces more ends the connection.
 */
export const FRAME_BODY_BYTES_MAX = 65_527;

/** A buffer for a split frame is kept for the next one only up to this size; idle links stay small. */
const KEPT_BUFFER_BYTES_MAX = 4096;

/** First buffer for a split frame. It doubles as bytes arrive, never because a length was announced. */
const FIRST_BUFFER_BYTES = 256;

const EMPTY = new Uint8Array(0);

/** The two numbers of a frame head, both as signed 32-bit values. */
export interface FrameHead {
  readonly msgId: number;
  readonly bodyBytes: number;
}

/** Reads an int32, little-endian. */
function readInt32(bytes: Uint8Array, offset: number): number {
  return bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) |
    (bytes[offset + 3] << 24);
}

/** Writes an int32, little-endian. */
function writeInt32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >> 8;
  bytes[offset + 2] = value >> 16;
  bytes[offset + 3] = value >> 24;
}

/** Writes a head at `offset`; the caller has checked that eight bytes fit. */
export function writeHead(
  target: Uint8Array,
  offset: number,
  msgId: number,
  bodyBytes: number,
): void {
  writeInt32(target, offset, msgId);
  writeInt32(target, offset + 4, bodyBytes);
}

/**
 * Reads a head at `offset` (default 0) without judging it: the length may be negative or too large.
 *
 * @throws {RangeError} when fewer than eight bytes are there.
 */
export function readHead(bytes: Uint8Array, offset = 0): FrameHead {
  if (offset < 0 || offset + HEAD_BYTES > bytes.length) {
    throw new RangeError(
      `Head must have ${HEAD_BYTES} bytes: current value is ${Math.max(0, bytes.length - offset)}`,
    );
  }
  return { msgId: readInt32(bytes, offset), bodyBytes: readInt32(bytes, offset + 4) };
}

/**
 * Refuses a body that no frame can carry.
 *
 * @throws {RangeError} when the body is larger than {@linkcode FRAME_BODY_BYTES_MAX}.
 */
export function checkBodyBytes(bodyBytes: number): void {
  if (bodyBytes > FRAME_BODY_BYTES_MAX) {
    throw new RangeError(
      `Frame body must be at most ${FRAME_BODY_BYTES_MAX} bytes: current value is ${bodyBytes}`,
    );
  }
}

/**
 * One frame in a buffer of its own: what a UDP datagram holds, and what can be sent unchanged to
 * many TCP connections.
 *
 * @throws {RangeError} when the body is larger than {@linkcode FRAME_BODY_BYTES_MAX}.
 */
export function encodeFrame(msgId: number, body: Uint8Array): Uint8Array {
  checkBodyBytes(body.length);
  const frame = new Uint8Array(HEAD_BYTES + body.length);
  writeHead(frame, 0, msgId, body.length);
  frame.set(body, HEAD_BYTES);
  return frame;
}

/** Receives one frame; `body` is a view that is valid only during the call. */
export type FrameSink = (msgId: number, body: Uint8Array) => void;

/** Largest body that a message id may have; never above {@linkcode FRAME_BODY_BYTES_MAX}. */
export type BodyBytesMaxOf = (msgId: number) => number;

/** The same as an object, for those of whom there are too many to have a closure each. */
export interface FrameReceiver {
  onFrame(msgId: number, body: Uint8Array): void;
}

/**
 * Cuts frames from a byte stream that arrives in pieces of any size. A frame that lies whole in one
 * piece is handed on without a copy (where a view of a fresh piece costs more than copying a short
 * body, it is copied instead); a split one is gathered in a buffer that grows with the bytes
 * received, so that an announced length alone costs nothing.
 */
export class FrameDecoder {
  readonly #copyBelowBytes: number;
  readonly #bodyBytesMaxOf: BodyBytesMaxOf | undefined;
  readonly #views: ByteViews | undefined;
  #held: Uint8Array = EMPTY;
  #heldBytes = 0;
  /** Goes up on reset, so that a push notices that its frames were disowned by a handler. */
  #epoch = 0;

  /**
   * Bodies shorter than `copyBelowBytes` are handed on as copies; default 0, none.
   *
   * @param bodyBytesMaxOf Narrower limits of single ids. @default {@linkcode FRAME_BODY_BYTES_MAX}
   * @param views Of the buffer at whose start most pieces lie. What was taken of these may be written over.
   */
  constructor(copyBelowBytes = 0, bodyBytesMaxOf?: BodyBytesMaxOf, views?: ByteViews) {
    this.#copyBelowBytes = copyBelowBytes;
    this.#bodyBytesMaxOf = bodyBytesMaxOf;
    this.#views = views;
  }

  /** Bytes of a frame that has begun and not ended. */
  get pendingBytes(): number {
    return this.#heldBytes;
  }

  /** Forgets a frame that has begun: for a new connection. Ends a push that is under way. */
  reset(): void {
    this.#held = EMPTY;
    this.#heldBytes = 0;
    this.#epoch++;
  }

  /**
   * Takes the next piece of the stream and calls `onFrame` for every frame it completes. When this
   * throws (also because `onFrame` threw) the rest of the piece is lost: reset or drop the decoder.
   *
   * @throws {ProtocolError} when a head announces a negative or too large body.
   */
  push(chunk: Uint8Array, onFrame: FrameSink): void {
    this.pushTo(chunk, { onFrame });
  }

  /** Ends a push that is under way once the present frame is handed on. */
  stop(): void {
    this.#epoch++;
  }

  /**
   * What {@linkcode FrameDecoder.push} does.
   *
   * @returns how many bytes of the piece it took: all, but for those left by {@linkcode FrameDecoder.stop}.
   * @throws {ProtocolError} as there.
   */
  pushTo(chunk: Uint8Array, receiver: FrameReceiver): number {
    const epoch = this.#epoch;
    const views = this.#views?.holds(chunk) === true ? this.#views : undefined;
    let offset = this.#heldBytes === 0 ? 0 : this.#complete(chunk, receiver);
    while (epoch === this.#epoch && chunk.length - offset >= HEAD_BYTES) {
      const bodyBytes = announcedBytes(chunk, offset, this.#bodyBytesMaxOf);
      const end = offset + HEAD_BYTES + bodyBytes;
      if (end > chunk.length) break;
      const start = offset + HEAD_BYTES;
      offset = end;
      const msgId = readInt32(chunk, start - HEAD_BYTES);
      const body = bodyBytes < this.#copyBelowBytes
        ? chunk.slice(start, end)
        : views?.movedTo(HEAD_BYTES, start, end) ?? chunk.subarray(start, end);
      receiver.onFrame(msgId, body);
    }
    if (epoch !== this.#epoch || offset === chunk.length) return offset;
    this.#hold(chunk, offset, chunk.length);
    return chunk.length;
  }

  /** Goes on with the held frame; returns how many bytes of `chunk` it took. */
  #complete(chunk: Uint8Array, receiver: FrameReceiver): number {
    let offset = 0;
    if (this.#heldBytes < HEAD_BYTES) {
      offset = Math.min(HEAD_BYTES - this.#heldBytes, chunk.length);
      this.#hold(chunk, 0, offset);
      if (this.#heldBytes < HEAD_BYTES) return offset;
    }
    const frameBytes = HEAD_BYTES + announcedBytes(this.#held, 0, this.#bodyBytesMaxOf);
    const end = Math.min(chunk.length, offset + frameBytes - this.#heldBytes);
    this.#hold(chunk, offset, end);
    if (this.#heldBytes < frameBytes) return end;
    const frame = this.#held.subarray(0, frameBytes);
    this.#heldBytes = 0;
    if (this.#held.length > KEPT_BUFFER_BYTES_MAX) this.#held = EMPTY;
    receiver.onFrame(readInt32(frame, 0), frame.subarray(HEAD_BYTES));
    return end;
  }

  #hold(chunk: Uint8Array, start: number, end: number): void {
    const needBytes = this.#heldBytes + end - start;
    if (needBytes > this.#held.length) {
      const grown = new Uint8Array(Math.max(FIRST_BUFFER_BYTES, needBytes, this.#held.length * 2));
      grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(chunk.subarray(start, end), this.#heldBytes);
    this.#heldBytes = needBytes;
  }
}

/** Body length of the head at `offset`, checked. */
function announcedBytes(
  bytes: Uint8Array,
  offset: number,
  bodyBytesMaxOf: BodyBytesMaxOf | undefined,
): number {
  const bodyBytes = readInt32(bytes, offset + 4);
  const bodyBytesMax = bodyBytesMaxOf === undefined
    ? FRAME_BODY_BYTES_MAX
    : bodyBytesMaxOf(readInt32(bytes, offset));
  if (bodyBytes < 0 || bodyBytes > bodyBytesMax) {
    throw new ProtocolError(
      `Frame length must be 0 to ${bodyBytesMax}: current value is ${bodyBytes} ` +
        `(message id ${readInt32(bytes, offset)})`,
    );
  }
  return bodyBytes;
}
