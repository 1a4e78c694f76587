import assert from "node:assert/strict";
import { test } from "node:test";
import { equalSecrets } from "./equal_secrets.ts";

test("equalSecrets() sees each byte and the length", () => {
  const secret = Uint8Array.from({ length: 40 }, (_, i) => i * 7);
  assert.ok(equalSecrets(secret, secret.slice()));
  assert.ok(equalSecrets(new Uint8Array(0), new Uint8Array(0)));
  for (let i = 0; i < secret.length; i++) {
    const other = secret.slice();
    other[i] ^= 1 << (i & 7);
    assert.ok(!equalSecrets(secret, other), `byte ${i}`);
    assert.ok(!equalSecrets(secret, secret.subarray(0, i)), `first ${i} bytes`);
  }
});
