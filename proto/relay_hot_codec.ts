// Core. Messages 102 to 106 of the relay read and written where they lie.
//
// Reads and writes what clients and workers send in practice. Whatever is rare (a key, a negative
// number, a field that is unknown) or wrong is left to codec.ts: `false` and -1 mean "ask there",
// never "refuse". So both accept and refuse the same bytes.

import type { ByteViews } from "../reactor/byte_views.ts";
import { bytesTag, varintTag } from "./wire.ts";

const TAG_1 = varintTag(1);
const TAG_2 = varintTag(2);
const TAG_3 = varintTag(3);
const TAG_4 = varintTag(4);
const TAG_5 = varintTag(5);
const TAG_6 = varintTag(6);
const TAG_DATA_4 = bytesTag(4);
const TAG_DATA_6 = bytesTag(6);
const TAG_DATA_8 = bytesTag(8);

const NO_DATA = new Uint8Array();

/** Largest value that one, two and three bytes of a varint hold. */
const ONE_BYTE_MAX = 0x7f;
const TWO_BYTES_MAX = 0x3fff;
const THREE_BYTES_MAX = 0x1f_ffff;
const FOUR_BYTES_MAX = 0xfff_ffff;

/** One message at a time; the fields hold the last one that was read with `true`. */
export class RelayHotReader {
  /** Of message 102. */
  number = 0;
  modId = 0;
  cmdId = 0;
  ttlMs = 0;
  /** What such a request does not have. */
  readonly cpid = 0;
  readonly key = undefined;
  /** Of message 106. */
  task = 0;
  status = 0;
  credit = 0;
  /** Of both: a view of the body that was read, valid as long as that. */
  data: Uint8Array = NO_DATA;
  readonly #views: ByteViews | undefined;
  #bytes: Uint8Array = NO_DATA;
  #at = 0;
  /** Value of the last varint. */
  #value = 0;

  /** `views`: of the buffer in which most bodies lie. */
  constructor(views?: ByteViews) {
    this.#views = views;
  }

  /** Reads message 102, a request without a key. */
  readRequest(body: Uint8Array): boolean {
    this.#begin(body);
    this.number = 0;
    this.modId = 0;
    this.cmdId = 0;
    this.ttlMs = 0;
    while (this.#at < body.length) {
      const tag = body[this.#at++];
      if (tag === TAG_DATA_6) {
        if (!this.#data()) return false;
        continue;
      }
      if (!this.#varint()) return false;
      if (tag === TAG_1) this.number = this.#value;
      else if (tag === TAG_2) this.modId = this.#value;
      else if (tag === TAG_3) this.cmdId = this.#value;
      else if (tag === TAG_4) this.ttlMs = this.#value;
      else return false;
    }
    return true;
  }

  /** Reads message 106, an answer. */
  readDone(body: Uint8Array): boolean {
    this.#begin(body);
    this.task = 0;
    this.status = 0;
    this.credit = 0;
    while (this.#at < body.length) {
      const tag = body[this.#at++];
      if (tag === TAG_DATA_4) {
        if (!this.#data()) return false;
        continue;
      }
      if (!this.#varint()) return false;
      if (tag === TAG_1) this.task = this.#value;
      else if (tag === TAG_2) this.status = this.#value;
      else if (tag === TAG_3) this.credit = this.#value;
      else return false;
    }
    return true;
  }

  #begin(body: Uint8Array): void {
    this.#bytes = body;
    this.#at = 0;
    this.data = NO_DATA;
  }

  #data(): boolean {
    if (!this.#varint()) return false;
    const end = this.#at + this.#value;
    if (end > this.#bytes.length) return false;
    const bytes = this.#bytes;
    const { byteOffset } = bytes;
    this.data = this.#views?.holds(bytes) === true
      ? this.#views.of(byteOffset + this.#at, byteOffset + end)
      : bytes.subarray(this.#at, end);
    this.#at = end;
    return true;
  }

  /** A varint of at most four bytes, and one of five that fits 32 bits. */
  #varint(): boolean {
    const bytes = this.#bytes;
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at >= bytes.length) return false;
      const byte = bytes[this.#at++];
      if (shift === 28 && byte > 15) return false;
      value |= (byte & 127) << shift;
      if (byte > 127) continue;
      this.#value = value >>> 0;
      return true;
    }
    return false;
  }
}

function varintBytes(value: number): number {
  if (value <= ONE_BYTE_MAX) return 1;
  if (value <= TWO_BYTES_MAX) return 2;
  if (value <= THREE_BYTES_MAX) return 3;
  return value <= FOUR_BYTES_MAX ? 4 : 5;
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest > ONE_BYTE_MAX) {
    bytes[at++] = rest & 127 | 128;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Bytes of a field of one varint; 0 is not written. */
function fieldBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

function writeField(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}

function dataBytes(length: number): number {
  return length === 0 ? 0 : 1 + varintBytes(length) + length;
}

function writeData(bytes: Uint8Array, at: number, tag: number, data: Uint8Array): number {
  if (data.length === 0) return at;
  bytes[at] = tag;
  const start = writeVarint(bytes, at + 1, data.length);
  bytes.set(data, start);
  return start + data.length;
}

/** What of message 105 is written here. */
export interface HotTask {
  readonly task: number;
  readonly modId: number;
  readonly cmdId: number;
  readonly sid: number;
  readonly cpid: number;
  readonly ttlMs: number;
  readonly key?: Uint8Array | undefined;
  readonly data: Uint8Array;
}

/** Bytes of message 105; -1: it is for codec.ts. */
export function hotTaskBytes(task: HotTask): number {
  const { modId, cmdId, cpid } = task;
  // Negative ones are ten bytes long, and ids above 2^31 are such.
  if (task.key !== undefined || modId > 0x7fff_ffff || cmdId > 0x7fff_ffff || cpid < 0) return -1;
  return fieldBytes(task.task) + fieldBytes(modId) + fieldBytes(cmdId) + fieldBytes(task.sid) +
    fieldBytes(cpid) + fieldBytes(task.ttlMs) + dataBytes(task.data.length);
}

/** Writes a message 105 of which {@linkcode hotTaskBytes} has told the length. */
export function writeHotTask(bytes: Uint8Array, at: number, task: HotTask): void {
  at = writeField(bytes, at, TAG_1, task.task);
  at = writeField(bytes, at, TAG_2, task.modId);
  at = writeField(bytes, at, TAG_3, task.cmdId);
  at = writeField(bytes, at, TAG_4, task.sid);
  at = writeField(bytes, at, TAG_5, task.cpid);
  at = writeField(bytes, at, TAG_6, task.ttlMs);
  writeData(bytes, at, TAG_DATA_8, task.data);
}

/** What of message 103 is written here. */
export interface HotReply {
  readonly number: number;
  readonly status: number;
  readonly late: boolean;
  readonly data: Uint8Array;
}

/** Bytes of message 103. */
export function hotReplyBytes({ number, status, late, data }: HotReply): number {
  return fieldBytes(number >>> 0) + fieldBytes(status) + (late ? 2 : 0) + dataBytes(data.length);
}

/** Writes a message 103. */
export function writeHotReply(bytes: Uint8Array, at: number, reply: HotReply): void {
  at = writeField(bytes, at, TAG_1, reply.number >>> 0);
  at = writeField(bytes, at, TAG_2, reply.status);
  at = writeField(bytes, at, TAG_3, reply.late ? 1 : 0);
  writeData(bytes, at, TAG_DATA_4, reply.data);
}
