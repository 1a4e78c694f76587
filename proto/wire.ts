// Core. Protocol Buffers wire format: reader and writer below the generated code of codec.ts.
//
// Accepts and refuses exactly what protobufjs does, which property tests hold it to. It exists
// because callers import the api from a URL, where no npm package can be named, and because the
// agent answers hundreds of thousands of datagrams a second.

import { ProtocolError } from "../reactor/errors.ts";
import { HEAD_BYTES } from "../reactor/frame.ts";

export { HEAD_BYTES };

/** Groups inside groups beyond this are refused, as in other Protocol Buffers programs. */
export const GROUP_DEPTH_MAX = 100;

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_GROUP = 3;
const WIRE_GROUP_END = 4;
const WIRE_FIXED32 = 5;

/** Tag of a varint field, for a switch over {@linkcode WireReader.tag}. */
export const varintTag = (field: number): number => field << 3 | WIRE_VARINT;

/** Tag of a field with a length: text, bytes or a message. */
export const bytesTag = (field: number): number => field << 3 | WIRE_BYTES;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Up to so many characters a loop is faster than the encoder and decoder of the runtimes. */
const WRITTEN_BY_HAND_MAX = 48;
const READ_BY_HAND_MAX = 24;

/** The characters of a short text, before they become one. */
const codes: number[] = [];

/** A message that outgrows this gets a buffer of its own. */
const SCRATCH_BYTES_MAX = 128 * 1024;

/**
 * Every message is first written here and then copied out: a copy of at most 64 bytes stays on the
 * engine's own heap, which is several times cheaper than a buffer that is larger than its content.
 * Grows with the largest message, up to {@linkcode SCRATCH_BYTES_MAX}.
 */
let scratch = new Uint8Array(4096);

/** Writes fields into a buffer that grows as needed. One writer at a time may be in use. */
export class WireWriter {
  #bytes: Uint8Array = scratch;
  #length: number;

  /** `headBytes` are left free at the start, for {@linkcode WireWriter.finishFrame}. */
  constructor(headBytes = 0) {
    this.#length = headBytes;
  }

  /** Signed number from an unsigned or signed one; 0 is not written. */
  int32(field: number, value: number): void {
    const signed = value | 0;
    if (signed === 0) return;
    this.#reserve(15);
    this.#varint(varintTag(field));
    if (signed > 0) {
      this.#varint(signed);
      return;
    }
    // A negative int32 is sign-extended to 64 bits, hence always ten bytes: five with the low 35
    // bits, four full ones, and the last bit.
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = signed;
    for (let i = 0; i < 5; i++) {
      bytes[at++] = rest & 127 | 128;
      rest >>= 7;
    }
    bytes[at++] = 255;
    bytes[at++] = 255;
    bytes[at++] = 255;
    bytes[at++] = 255;
    bytes[at++] = 1;
    this.#length = at;
  }

  /** Unsigned number; 0 is not written. */
  uint32(field: number, value: number): void {
    if (value >>> 0 !== 0) this.optionalUint32(field, value);
  }

  /** Unsigned number that is told apart from its absence: 0 is written, undefined is not. */
  optionalUint32(field: number, value: number | undefined): void {
    if (value === undefined) return;
    this.#reserve(10);
    this.#varint(varintTag(field));
    this.#varint(value >>> 0);
  }

  /** Truth value; false and undefined are not written. */
  bool(field: number, value: boolean | undefined): void {
    if (value) this.optionalUint32(field, 1);
  }

  /** Whole number up to 2^53 - 1; 0 is not written. */
  uint64(field: number, value: number): void {
    if (value > 0) this.optionalUint64(field, value);
  }

  /**
   * Whole number up to 2^53 - 1, told apart from its absence. What is larger is written as that: sums of
   * what strangers tell grow beyond it, and whoever reads more ends the connection.
   */
  optionalUint64(field: number, value: number | undefined): void {
    if (value === undefined) return;
    this.#reserve(15);
    this.#varint(varintTag(field));
    let rest = Math.min(value, Number.MAX_SAFE_INTEGER);
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = rest % 128 | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** Bytes; empty and undefined are not written. */
  bytes(field: number, value: Uint8Array | undefined): void {
    if (value === undefined || value.length === 0) return;
    this.#reserve(10 + value.length);
    this.#varint(bytesTag(field));
    this.#varint(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Text; empty and undefined are not written. */
  text(field: number, value: string | undefined): void {
    if (!value) return;
    const start = this.begin(field);
    this.#reserve(3 * value.length);
    if (value.length > WRITTEN_BY_HAND_MAX || !this.#ascii(value)) {
      this.#length = start + textEncoder.encodeInto(value, this.#bytes.subarray(start)).written;
    }
    this.end(start);
  }

  /** Starts an inner message. Returns what {@linkcode WireWriter.end} wants. */
  begin(field: number): number {
    this.#reserve(6);
    this.#varint(bytesTag(field));
    return ++this.#length;
  }

  /** Ends the inner message that `begin` started, and puts its length in front of it. */
  end(start: number): void {
    const length = this.#length - start;
    if (length > 127) {
      // One byte was kept for the length; move the content when it takes more.
      this.#reserve(4);
      const extra = varintBytes(length) - 1;
      this.#bytes.copyWithin(start + extra, start, this.#length);
    }
    this.#length = start - 1;
    this.#varint(length);
    this.#length += length;
  }

  /** The body written so far, without head. */
  finish(): Uint8Array {
    return this.#bytes === scratch
      ? this.#bytes.slice(0, this.#length)
      : this.#bytes.subarray(0, this.#length);
  }

  /** Head and body; the writer must have been made with {@linkcode HEAD_BYTES}. */
  finishFrame(msgId: number): Uint8Array {
    writeInt32(this.#bytes, 0, msgId);
    writeInt32(this.#bytes, 4, this.#length - HEAD_BYTES);
    return this.finish();
  }

  /** False: it has other characters, and nothing of it counts as written. */
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 127) return false;
      bytes[start + i] = code;
    }
    this.#length = start + value.length;
    return true;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#length++] = rest & 127 | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    if (grown.length <= SCRATCH_BYTES_MAX) scratch = grown;
    this.#bytes = grown;
  }
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

/** Signed 32-bit number, little-endian, as in the head of a message. */
export function readInt32(bytes: Uint8Array, at: number): number {
  return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
}

function varintBytes(value: number): number {
  let count = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) count++;
  return count;
}

/** Fills {@linkcode codes}; false: there are other characters. */
function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  codes.length = end - start;
  for (let at = start; at < end; at++) {
    const code = bytes[at];
    if (code > 127) return false;
    codes[at - start] = code;
  }
  return true;
}

/** One datagram taken apart. */
export interface Datagram {
  msgId: number;
  /** A view into the datagram. */
  body: Uint8Array;
}

/**
 * Takes a datagram apart.
 *
 * @throws {ProtocolError} when it is shorter than a head, or its length is not the one announced.
 */
export function readDatagram(datagram: Uint8Array): Datagram {
  if (datagram.length < HEAD_BYTES) {
    throw new ProtocolError(
      `Datagram must have a head of ${HEAD_BYTES} bytes: current length is ${datagram.length}`,
    );
  }
  const announced = readInt32(datagram, 4);
  if (announced !== datagram.length - HEAD_BYTES) {
    throw new ProtocolError(
      `Body must be ${datagram.length - HEAD_BYTES} bytes long: the head says ${announced}`,
    );
  }
  return { msgId: readInt32(datagram, 0), body: datagram.subarray(HEAD_BYTES) };
}

/** @throws {ProtocolError} when a number of 64 bits came and is not exact. */
export function checkSafe(value: number | undefined, field: string): void {
  if (value === undefined || Number.isSafeInteger(value)) return;
  throw new ProtocolError(`${field} must be at most 2^53 - 1: current value is ${value}`);
}

/** @throws {ProtocolError} when bytes came that are longer than they may be. */
export function checkLength(bytes: Uint8Array | undefined, bytesMax: number, field: string): void {
  if (bytes === undefined || bytes.length <= bytesMax) return;
  throw new ProtocolError(`${field} must be at most ${bytesMax} bytes: it has ${bytes.length}`);
}

/** Reads fields; every fault of the bytes is a ProtocolError that names the message. */
export class WireReader {
  readonly #name: string;
  readonly #bytes: Uint8Array;
  #at = 0;
  #end: number;
  #depth = 0;

  /** `name` is that of the message, for errors. */
  constructor(bytes: Uint8Array, name: string) {
    this.#name = name;
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  /** True until the message (or inner message) has been read to its end. */
  get more(): boolean {
    return this.#at < this.#end;
  }

  /** Number and wire type of the next field. */
  tag(): number {
    let tag = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      tag |= (byte & 127) << shift;
      if (byte < 128) return tag;
    }
    const last = this.#byte();
    if (last > 15) throw this.#fault("Tag must fit 32 bits");
    return (tag | last << 28) >>> 0;
  }

  /** Low 32 bits of a varint, unsigned. */
  uint32(): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      if (i < 5) value |= (byte & 127) << 7 * i;
      if (byte < 128) return value >>> 0;
    }
    throw this.#fault("Varint must end within 10 bytes");
  }

  /** A varint as a truth value: any bit of it makes it true. */
  bool(): boolean {
    return this.uint64() !== 0;
  }

  /** A varint of up to 64 bits; not exact above 2^53 - 1. */
  uint64(): number {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      const bits = byte & 127;
      if (i < 5) low |= bits << 7 * i;
      if (i === 4) high |= bits >> 4;
      if (i > 4) high |= bits << 7 * i - 32;
      if (byte < 128) return (high >>> 0) * 4294967296 + (low >>> 0);
    }
    throw this.#fault("Varint must end within 10 bytes");
  }

  /** A view of a bytes field. */
  bytes(): Uint8Array {
    const end = this.#sizedEnd();
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  /** A text field; must be valid UTF-8. */
  text(): string {
    const end = this.#sizedEnd();
    const start = this.#at;
    this.#at = end;
    if (end - start <= READ_BY_HAND_MAX && isAscii(this.#bytes, start, end)) {
      return String.fromCharCode.apply(undefined, codes);
    }
    try {
      return textDecoder.decode(this.#bytes.subarray(start, end));
    } catch (error) {
      throw this.#fault("Text must be valid UTF-8", error);
    }
  }

  /** Enters an inner message. Returns what {@linkcode WireReader.leave} wants. */
  enter(): number {
    const outerEnd = this.#end;
    this.#end = this.#sizedEnd();
    this.#depth++;
    return outerEnd;
  }

  /** Leaves the inner message once `more` is false. */
  leave(outerEnd: number): void {
    this.#end = outerEnd;
    this.#depth--;
  }

  /** Passes over the content of a field nobody here knows. */
  skip(tag: number): void {
    this.#skip(tag, this.#depth);
  }

  #skip(tag: number, depth: number): void {
    if (tag >>> 3 === 0) throw this.#fault("Field number must not be 0");
    if (depth > GROUP_DEPTH_MAX) {
      throw this.#fault(`Groups must nest at most ${GROUP_DEPTH_MAX} deep`);
    }
    switch (tag & 7) {
      case WIRE_VARINT:
        this.uint32();
        return;
      case WIRE_FIXED64:
        this.#pass(8);
        return;
      case WIRE_BYTES:
        this.#at = this.#sizedEnd();
        return;
      case WIRE_GROUP:
        this.#skipGroup(tag, depth);
        return;
      case WIRE_FIXED32:
        this.#pass(4);
        return;
      default:
        throw this.#fault(`Wire type must be 0, 1, 2, 3 or 5: current value is ${tag & 7}`);
    }
  }

  #skipGroup(groupTag: number, depth: number): void {
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) !== WIRE_GROUP_END) {
        this.#skip(tag, depth + 1);
      } else if (tag >>> 3 === groupTag >>> 3) {
        return;
      } else {
        throw this.#fault("Group must end with its own number");
      }
    }
  }

  /** Reads a length and gives the place where what it announces ends. */
  #sizedEnd(): number {
    let size = 0;
    let shift = 0;
    for (; shift < 28; shift += 7) {
      const byte = this.#byte();
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (shift === 28) {
      const last = this.#byte();
      if (last > 7) throw this.#fault("Length must fit 31 bits");
      size |= last << 28;
    }
    if (size > this.#end - this.#at) {
      throw this.#fault(
        `Length must be at most the ${this.#end - this.#at} bytes left: current value is ${size}`,
      );
    }
    return this.#at + size;
  }

  #pass(count: number): void {
    if (count > this.#end - this.#at) throw this.#fault("Message ends inside a field");
    this.#at += count;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw this.#fault("Message ends inside a field");
    return this.#bytes[this.#at++];
  }

  #fault(what: string, cause?: unknown): ProtocolError {
    return new ProtocolError(`${this.#name} cannot be read: ${what}`, { cause });
  }
}
