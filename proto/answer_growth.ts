// Core. How much larger than its question the answer of an agent to a stranger may be.

import { isLoopback } from "../reactor/address.ts";

/**
 * A sender that has not proved that its address is its own (it is on this machine, or has sealed its
 * datagram) is answered with so many times the bytes that it sent: more would let anybody have an
 * agent flood whom he likes.
 */
export const ANSWER_GROWTH_MAX = 3;

/** Room for 3,600 bytes of answer, in one packet. */
const PADDING_BYTES = 1_200;

/** What makes room for an answer from an agent on another host; nothing for one on this. */
export function paddingTowards(hostname: string): { padding?: Uint8Array } {
  return isLoopback(hostname) ? {} : { padding: new Uint8Array(PADDING_BYTES) };
}
