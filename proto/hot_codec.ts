// Core. Messages 4, 5 and 6 read and written where they lie, without making any object.
//
// Reads what callers send in practice. Whatever is rare (groups, long lengths, text to be checked)
// or wrong is left to codec.ts: `false` means "ask there", never "refuse". So both accept and
// refuse the same bytes, and there is one place that says what is wrong.

import { MessageId, RetCode } from "./message_ids.ts";
import { bytesTag, HEAD_BYTES, readInt32, varintTag } from "./wire.ts";

/** Longest message 5 with its head: 8, seq 6, three int32 of 11, and the node 2 + 11 + 11. */
export const GET_HOST_RESPONSE_BYTES_MAX = 8 + 6 + 3 * 11 + 2 + 22;

/** Returned by {@linkcode hotMessageId} for a datagram that is no whole message. */
export const NO_MESSAGE = -1;

/**
 * Id of the message that lies in `bytes` from `start` to `end`; {@linkcode NO_MESSAGE} when it has
 * no head or is not as long as its head says.
 */
export function hotMessageId(bytes: Uint8Array, start: number, end: number): number {
  const bodyBytes = end - start - HEAD_BYTES;
  if (bodyBytes < 0 || readInt32(bytes, start + 4) !== bodyBytes) return NO_MESSAGE;
  return readInt32(bytes, start);
}

const TAG_1 = varintTag(1);
const TAG_2 = varintTag(2);
const TAG_3 = varintTag(3);
const TAG_4 = varintTag(4);
const TAG_5 = varintTag(5);
const TAG_HOST = bytesTag(3);
const TAG_ZONE = bytesTag(17);
const TAG_KEY = bytesTag(17);
const TAG_SEAL = bytesTag(31);

/** One request at a time; its fields hold the last one that was read with `true`. */
export class HotReader {
  /** Of message 4. */
  seq = 0;
  modId = 0;
  cmdId = 0;
  /** Node, outcome and time of message 6. */
  ip = 0;
  port = 0;
  retcode = 0;
  /** -1 when the message tells none. */
  timecostMs = -1;
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  #end = 0;
  /** Value of the last varint or tag. */
  #value = 0;

  /** Reads the body of message 4. A key and a seal are for codec.ts. */
  readGetHost(bytes: Uint8Array, start: number, end: number): boolean {
    this.#begin(bytes, start, end);
    this.seq = 0;
    while (this.#at < this.#end) {
      if (!this.#tag()) return false;
      const tag = this.#value;
      if (tag === TAG_1) {
        if (!this.#varint()) return false;
        this.seq = this.#value;
      } else if (tag === TAG_2) {
        if (!this.#varint()) return false;
        this.modId = this.#value;
      } else if (tag === TAG_3) {
        if (!this.#varint()) return false;
        this.cmdId = this.#value;
      } else if (tag === TAG_KEY || tag === TAG_SEAL || !this.#skip(tag)) return false;
    }
    return true;
  }

  /** Reads the body of message 6. A seal is for codec.ts. */
  readReport(bytes: Uint8Array, start: number, end: number): boolean {
    this.#begin(bytes, start, end);
    this.ip = 0;
    this.port = 0;
    this.retcode = 0;
    this.timecostMs = -1;
    while (this.#at < this.#end) {
      if (!this.#tag()) return false;
      const tag = this.#value;
      if (tag === TAG_1) {
        if (!this.#varint()) return false;
        this.modId = this.#value;
      } else if (tag === TAG_2) {
        if (!this.#varint()) return false;
        this.cmdId = this.#value;
      } else if (tag === TAG_HOST) {
        if (!this.#host()) return false;
      } else if (tag === TAG_4) {
        if (!this.#varint()) return false;
        this.retcode = this.#value | 0;
      } else if (tag === TAG_5) {
        if (!this.#varint()) return false;
        this.timecostMs = this.#value;
      } else if (tag === TAG_SEAL || !this.#skip(tag)) return false;
    }
    return true;
  }

  #begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.modId = 0;
    this.cmdId = 0;
  }

  #host(): boolean {
    if (!this.#length()) return false;
    const outerEnd = this.#end;
    this.#end = this.#at + this.#value;
    while (this.#at < this.#end) {
      if (!this.#tag()) return false;
      const tag = this.#value;
      if (tag === TAG_1) {
        if (!this.#varint()) return false;
        this.ip = this.#value;
      } else if (tag === TAG_2) {
        if (!this.#varint()) return false;
        this.port = this.#value;
      } else if (tag === TAG_ZONE || !this.#skip(tag)) return false;
    }
    this.#end = outerEnd;
    return true;
  }

  /** A tag of one or two bytes: fields up to 2047. */
  #tag(): boolean {
    const bytes = this.#bytes;
    const first = bytes[this.#at++];
    if (first < 128) {
      this.#value = first;
      return first > 7;
    }
    if (this.#at >= this.#end) return false;
    const second = bytes[this.#at++];
    this.#value = first & 127 | second << 7;
    return second < 128 && this.#value > 7;
  }

  /** Low 32 bits of a varint, unsigned. */
  #varint(): boolean {
    const bytes = this.#bytes;
    const end = Math.min(this.#end, this.#at + 10);
    let value = 0;
    let shift = 0;
    for (let at = this.#at; at < end; at++) {
      const byte = bytes[at];
      if (shift < 32) value |= (byte & 127) << shift;
      shift += 7;
      if (byte >= 128) continue;
      this.#at = at + 1;
      this.#value = value >>> 0;
      return true;
    }
    return false;
  }

  /** A length of one or two bytes that is not beyond the end. */
  #length(): boolean {
    if (this.#at >= this.#end) return false;
    let length = this.#bytes[this.#at++];
    if (length >= 128) {
      if (this.#at >= this.#end) return false;
      const second = this.#bytes[this.#at++];
      if (second >= 128) return false;
      length = length & 127 | second << 7;
    }
    this.#value = length;
    return length <= this.#end - this.#at;
  }

  #skip(tag: number): boolean {
    switch (tag & 7) {
      case 0:
        return this.#varint();
      case 1:
        this.#at += 8;
        break;
      case 2:
        if (!this.#length()) return false;
        this.#at += this.#value;
        break;
      case 5:
        this.#at += 4;
        break;
      default:
        return false;
    }
    return this.#at <= this.#end;
  }
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest > 127) {
    bytes[at++] = rest & 127 | 128;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Writes an int32 field; 0 is not written, negative numbers take ten bytes. */
function writeInt32Field(bytes: Uint8Array, at: number, tag: number, value: number): number {
  let rest = value | 0;
  if (rest === 0) return at;
  bytes[at++] = tag;
  if (rest > 0) return writeVarint(bytes, at, rest);
  for (let i = 0; i < 5; i++) {
    bytes[at++] = rest & 127 | 128;
    rest >>= 7;
  }
  bytes[at] =
    bytes[at + 1] =
    bytes[at + 2] =
    bytes[at + 3] =
      255;
  bytes[at + 4] = 1;
  return at + 5;
}

function writeHead(bytes: Uint8Array, start: number, msgId: number, bodyBytes: number): void {
  bytes[start] = msgId;
  bytes[start + 1] = bytes[start + 2] = bytes[start + 3] = 0;
  bytes[start + 4] = bodyBytes;
  bytes[start + 5] = bytes[start + 6] = bytes[start + 7] = 0;
}

/**
 * Writes message 5 with its head, of at most {@linkcode GET_HOST_RESPONSE_BYTES_MAX} bytes. The
 * node is written only with {@linkcode RetCode.Success}.
 *
 * @returns its length.
 */
export function writeGetHostResponse(
  bytes: Uint8Array,
  start: number,
  seq: number,
  modId: number,
  cmdId: number,
  retcode: number,
  ip: number,
  port: number,
): number {
  let at = start + HEAD_BYTES;
  if (seq >>> 0 !== 0) {
    bytes[at++] = TAG_1;
    at = writeVarint(bytes, at, seq >>> 0);
  }
  at = writeInt32Field(bytes, at, TAG_2, modId);
  at = writeInt32Field(bytes, at, TAG_3, cmdId);
  at = writeInt32Field(bytes, at, TAG_4, retcode);
  if (retcode === RetCode.Success) {
    bytes[at] = bytesTag(5);
    const inner = at + 2;
    const end = writeInt32Field(bytes, writeInt32Field(bytes, inner, TAG_1, ip), TAG_2, port);
    // At most 22, so the length always takes one byte.
    bytes[at + 1] = end - inner;
    at = end;
  }
  // At most 63, which is one byte of the head as well.
  writeHead(bytes, start, MessageId.GetHostResponse, at - start - HEAD_BYTES);
  return at - start;
}
