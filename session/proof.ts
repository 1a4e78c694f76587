// Shell. Random numbers and the proof of a token, by the cryptography of the machine.

import { NONCE_BYTES } from "./handshake.ts";

/** Proof that a client knows the token: HMAC-SHA256 of the server's nonce under it. */
export function proofOf(token: Uint8Array, nonce: Uint8Array): Uint8Array {
  // Not imported: only who has a token should pay for it, above all in Deno.
  return process.getBuiltinModule("node:crypto").createHmac("sha256", token).update(nonce).digest();
}

/** A number that no client can know before. */
export function newNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
}
