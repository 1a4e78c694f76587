import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { createPrivateKey, sign } from "node:crypto";
import { test } from "node:test";
import { ed25519Proof } from "./ed25519_auth.ts";

test("ed25519Proof() is a signature of Ed25519, where the password is as long as a key of it", () => {
  const head = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]);
  for (const letter of ["a", "0", "~"]) {
    const password = letter.repeat(32);
    const der = Buffer.concat([head, new TextEncoder().encode(password)]);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    const challenge = Uint8Array.from({ length: 32 }, (_, at) => at * 7 + letter.charCodeAt(0));
    assert.deepEqual(ed25519Proof(password, challenge), new Uint8Array(sign(null, challenge, key)));
  }
});
