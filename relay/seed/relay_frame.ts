// Core. The frame of 200 bytes that clients of the original speak: written, read, cut from a stream.

/** Bytes of every frame. */
export const RELAY_FRAME_BYTES = 200;

/** Bytes of data in a frame; what is shorter is filled with NUL. */
export const RELAY_DATA_BYTES = 184;

/** Bytes of `ip[:port1]` at the start of the data of a frame from client to client. */
export const TRANSIT_ADDRESS_BYTES = 24;

/** What a frame is. */
export const RelayFrameKind = {
  /** From a client to a worker, and the answer. */
  Request: 1,
  /** From a client to another one. */
  Transit: 2,
} as const;

/** One frame. All four numbers are signed; `data` is a view of what it was read from. */
export interface RelayFrame {
  readonly kind: number;
  /** Process of the caller on its host. */
  readonly cpid: number;
  /** Link of the caller, as the relay numbers them; what a client says here is not believed. */
  readonly sid: number;
  /** The caller's number for this request. */
  readonly msgid: number;
  readonly data: Uint8Array;
}

const DATA_OFFSET = RELAY_FRAME_BYTES - RELAY_DATA_BYTES;

function readInt32(bytes: Uint8Array, at: number): number {
  return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

/** Reads the frame that begins at `at`; the caller has checked that it is whole. */
export function readRelayFrame(bytes: Uint8Array, at = 0): RelayFrame {
  return {
    kind: readInt32(bytes, at),
    cpid: readInt32(bytes, at + 4),
    sid: readInt32(bytes, at + 8),
    msgid: readInt32(bytes, at + 12),
    data: bytes.subarray(at + DATA_OFFSET, at + RELAY_FRAME_BYTES),
  };
}

/**
 * Writes a frame at `at`. Data that is shorter is filled with NUL.
 *
 * @throws {RangeError} when there is more data than a frame carries.
 */
export function writeRelayFrame(bytes: Uint8Array, frame: RelayFrame, at = 0): void {
  if (frame.data.length > RELAY_DATA_BYTES) {
    throw new RangeError(
      `Data of a relay frame must be at most ${RELAY_DATA_BYTES} bytes: ` +
        `current value is ${frame.data.length}`,
    );
  }
  writeInt32(bytes, at, frame.kind);
  writeInt32(bytes, at + 4, frame.cpid);
  writeInt32(bytes, at + 8, frame.sid);
  writeInt32(bytes, at + 12, frame.msgid);
  bytes.set(frame.data, at + DATA_OFFSET);
  bytes.fill(0, at + DATA_OFFSET + frame.data.length, at + RELAY_FRAME_BYTES);
}

/** One frame in bytes of its own. @throws {RangeError} as {@linkcode writeRelayFrame} does. */
export function encodeRelayFrame(frame: RelayFrame): Uint8Array {
  const bytes = new Uint8Array(RELAY_FRAME_BYTES);
  writeRelayFrame(bytes, frame);
  return bytes;
}

/**
 * Cuts frames of 200 bytes from a stream that comes in pieces of any size. A frame that lies whole in
 * a piece is not copied; of a split one at most 199 bytes are kept.
 */
export class RelayFrameCutter {
  #held: Uint8Array | undefined;
  #heldBytes = 0;

  /** Bytes of a frame that has begun and not ended. */
  get pendingBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Takes the next piece and calls `onFrame` for every frame it completes; the frame is valid only
   * during the call.
   *
   * @param onFrame False: no more of this piece is wanted, the stream is given up.
   */
  push(chunk: Uint8Array, onFrame: (frame: RelayFrame) => boolean): void {
    let at = 0;
    if (this.#heldBytes > 0) {
      at = Math.min(chunk.length, RELAY_FRAME_BYTES - this.#heldBytes);
      this.#hold(chunk.subarray(0, at));
      if (this.#held === undefined || this.#heldBytes < RELAY_FRAME_BYTES) return;
      const whole = this.#held;
      this.#held = undefined;
      this.#heldBytes = 0;
      if (!onFrame(readRelayFrame(whole))) return;
    }
    for (; chunk.length - at >= RELAY_FRAME_BYTES; at += RELAY_FRAME_BYTES) {
      if (!onFrame(readRelayFrame(chunk, at))) return;
    }
    if (at < chunk.length) this.#hold(chunk.subarray(at));
  }

  #hold(bytes: Uint8Array): void {
    this.#held ??= new Uint8Array(RELAY_FRAME_BYTES);
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes += bytes.length;
  }
}

const ADDRESS_PATTERN = /^(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?$/;

/** Whom a frame from client to client is for: an address, or the link to one port of it. */
export interface TransitTarget {
  readonly hostname: string;
  /** The first port its L0 named; undefined: any link of the address. */
  readonly port1: number | undefined;
}

/** The target in the data of a frame from client to client; undefined: there is none. */
export function readTransitTarget(data: Uint8Array): TransitTarget | undefined {
  const end = data.subarray(0, TRANSIT_ADDRESS_BYTES).indexOf(0);
  const bytes = data.subarray(0, end < 0 ? TRANSIT_ADDRESS_BYTES : end);
  const match = ADDRESS_PATTERN.exec(String.fromCharCode(...bytes));
  if (match === null) return undefined;
  return { hostname: match[1], port1: match[2] === undefined ? undefined : Number(match[2]) };
}

/** Data of a frame from client to client as the receiver gets it: the sender's address in front. */
export function transitData(sender: Required<TransitTarget>, data: Uint8Array): Uint8Array {
  const moved = new Uint8Array(RELAY_DATA_BYTES);
  const text = `${sender.hostname}:${sender.port1}`;
  moved.set(new TextEncoder().encode(text).subarray(0, TRANSIT_ADDRESS_BYTES));
  moved.set(data.subarray(TRANSIT_ADDRESS_BYTES), TRANSIT_ADDRESS_BYTES);
  return moved;
}
