// Shell. Random numbers and the proof of a secret, by the cryptography of the machine.

import { NONCE_BYTES } from "./handshake.ts";

/** HMAC-SHA256 of `bytes` under a secret. */
export function proofOf(secret: Uint8Array, bytes: Uint8Array): Uint8Array {
  // Not imported: only who has a secret should pay for it, above all in Deno.
  const { createHmac } = process.getBuiltinModule("node:crypto");
  return createHmac("sha256", secret).update(bytes).digest();
}

/** A number that nobody can know before. */
export function newNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
}
