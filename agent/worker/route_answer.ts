// Core. How much of a route fits the one datagram that answers a caller.

import type { HostInfo } from "../../proto/codec.ts";

/** Largest payload of a UDP datagram over IPv4. */
export const ANSWER_BYTES_MAX = 65_507;

/** Head, and modid and cmdid of up to 11 bytes each. */
const FIXED_BYTES = 8 + 11 + 11;

/** Bytes of an int32 field with a one-byte tag; 0 is not written, negative ones take ten bytes. */
function int32FieldBytes(value: number): number {
  const signed = value | 0;
  if (signed === 0) return 0;
  if (signed < 0) return 11;
  let bytes = 2;
  for (let rest = signed >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** How many nodes, from the first, one answer can hold. */
export function hostsThatFit(
  hosts: readonly Pick<HostInfo, "ip" | "port">[],
  bytesMax = ANSWER_BYTES_MAX,
): number {
  let bytes = FIXED_BYTES;
  for (let i = 0; i < hosts.length; i++) {
    // Tag and length of the inner message, then its two fields.
    bytes += 2 + int32FieldBytes(hosts[i].ip) + int32FieldBytes(hosts[i].port);
    if (bytes > bytesMax) return i;
  }
  return hosts.length;
}
