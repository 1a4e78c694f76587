// Core. The message of the QPS programs: proto3 `EchoMessage { string content = 1; int32 id = 2; }`.

import { ProtocolError } from "../errors.ts";

/** Longest content this example reads or writes: its length fits one varint byte. */
const CONTENT_BYTES_MAX = 127;

/** Content (as UTF-8) and a running number from 0 to 2 ** 31 - 1. */
export interface EchoMessage {
  readonly content: Uint8Array;
  readonly id: number;
}

/**
 * The bytes of a message.
 *
 * @throws {RangeError} when the content is longer than 127 bytes.
 */
export function encodeEchoMessage({ content, id }: EchoMessage): Uint8Array {
  if (content.length > CONTENT_BYTES_MAX) {
    throw new RangeError(
      `Content must be at most ${CONTENT_BYTES_MAX} bytes: current value is ${content.length}`,
    );
  }
  const bytes = [0x0a, content.length, ...content, 0x10];
  let rest = id;
  for (; rest > 127; rest >>>= 7) bytes.push(rest & 127 | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/**
 * Reads a message as `encodeEchoMessage` and every protobuf library write it; the content is a view.
 *
 * @throws {ProtocolError} when the bytes are anything else.
 */
export function decodeEchoMessage(bytes: Uint8Array): EchoMessage {
  const contentBytes = bytes[1];
  const idAt = 2 + contentBytes;
  if (bytes[0] !== 0x0a || !(contentBytes <= CONTENT_BYTES_MAX) || idAt > bytes.length) {
    throw new ProtocolError("Echo message must begin with its content");
  }
  const content = bytes.subarray(2, idAt);
  // Protobuf leaves out a zero.
  if (idAt === bytes.length) return { content, id: 0 };
  let id = 0;
  let at = idAt + 1;
  for (let shift = 0; shift < 32; shift += 7) {
    const byte = bytes[at++];
    id |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  if (bytes[idAt] !== 0x10 || at !== bytes.length || id < 0) {
    throw new ProtocolError("Echo message must end with its id");
  }
  return { content, id };
}
