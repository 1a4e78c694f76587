// Core. The key of a keyed pick: what callers give, what goes over the wire, what the balancer takes.

import { PICK_KEY_BYTES_MAX } from "./message_ids.ts";

/** A key as callers give it; a text counts by its UTF-8 bytes. */
export type PickKey = string | Uint8Array;

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The bytes of a key.
 *
 * @throws {RangeError} when it is empty or longer than `PICK_KEY_BYTES_MAX` bytes.
 */
export function encodePickKey(key: PickKey): Uint8Array {
  const bytes = typeof key === "string" ? encoder.encode(key) : key;
  if (bytes.length >= 1 && bytes.length <= PICK_KEY_BYTES_MAX) return bytes;
  throw new RangeError(
    `Key must be 1 to ${PICK_KEY_BYTES_MAX} bytes long: current length is ${bytes.length}`,
  );
}

/**
 * A key as the balancer takes it: the same for a text and for its bytes, so that an agent and an
 * in-process client agree. Bytes that are no text are read one by one, so none of them is lost.
 */
export function readPickKey(bytes: Uint8Array): string {
  return textOfPickKey(bytes) ?? String.fromCharCode(...bytes);
}

/** A key that is text; undefined: its bytes are no UTF-8, and only the agent says what it means. */
export function textOfPickKey(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}
