import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import { encodePickKey, readPickKey } from "./pick_key.ts";

test("a text is the same key by itself and by its bytes", () => {
  const texts = fc.string({ unit: "binary", minLength: 1, maxLength: 60 });
  fc.assert(fc.property(texts, (text) => {
    assert.equal(readPickKey(encodePickKey(text)), text);
    assert.equal(readPickKey(encodePickKey(new TextEncoder().encode(text))), text);
  }));
});

test("different bytes are different keys, also where they are no text", () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 8 });
  fc.assert(fc.property(bytes, (one) => {
    const more = [...one, 0xff, 0xfe];
    const other = more.with(-1, 0xfd);
    assert.notEqual(
      readPickKey(Uint8Array.from(more)),
      readPickKey(Uint8Array.from(other)),
    );
  }));
  assert.equal(readPickKey(Uint8Array.of(0xff)), "\u00ff");
  assert.equal(readPickKey(Uint8Array.of(0xef, 0xbb, 0xbf)), "\ufeff");
});

test("encodePickKey() refuses a key that is empty or too long", () => {
  assert.equal(encodePickKey("x".repeat(PICK_KEY_BYTES_MAX)).length, PICK_KEY_BYTES_MAX);
  for (const key of ["", new Uint8Array(), "x".repeat(257), "€".repeat(86), new Uint8Array(257)]) {
    assert.throws(() => encodePickKey(key), /Key must be 1 to 256 bytes long/);
  }
});
