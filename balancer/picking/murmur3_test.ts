// Goal: keys hash as in every other language. Method: published values, and the package as oracle,
// fed with bytes as it needs them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import murmur from "murmurhash3js";
import { hashText, hashWords, tableKeyOf } from "./murmur3.ts";

function oracle(bytes: Uint8Array, seed = 0): number {
  return murmur.x86.hash32(String.fromCharCode(...bytes), seed);
}

test("hashText() gives the published values", () => {
  const cases: [string, number, number][] = [
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["test", 0x9747b28c, 0x704b81dc],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
  ];
  for (const [text, seed, expected] of cases) assert.equal(hashText(text, seed), expected, text);
});

test("hashText() hashes the UTF-8 bytes of any text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.nat(), (text, seed) => {
    assert.equal(hashText(text, seed), oracle(new TextEncoder().encode(text), seed));
  }));
  for (const text of ["é", "用户 7", "😀", "\ud83d", "a\udc00b"]) {
    assert.equal(hashText(text), oracle(new TextEncoder().encode(text)));
  }
});

test("tableKeyOf() and hashWords() hash numbers as little-endian bytes", () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(fc.property(word, word, word, word, (a, b, c, seed) => {
    const bytes = new Uint8Array(12);
    [a, b, c].forEach((value, i) => new DataView(bytes.buffer).setUint32(4 * i, value, true));
    assert.equal(hashWords(a, b, c, seed), oracle(bytes, seed));
    assert.equal(tableKeyOf(a), oracle(bytes.slice(0, 4), 0) >>> 1);
  }));
});

test("tableKeyOf() is the upper 31 bits of the hash of a number or a text", () => {
  for (const [key, word] of [[-1, 4294967295], [7.9, 7], [2 ** 32 + 5, 5]]) {
    assert.equal(tableKeyOf(key), tableKeyOf(word));
  }
  for (const key of ["", "user 7", "用户"]) assert.equal(tableKeyOf(key), hashText(key) >>> 1);
});

test("the keys of the contract of the shared table are those of the balancer", () => {
  const file = new URL("../../proto/shared_table_vectors.json", import.meta.url);
  const { keys } = JSON.parse(readFileSync(file, "utf8"));
  assert.ok(keys.length > 0);
  for (const { key, tableKey, maglevSkip } of keys) {
    assert.equal(tableKeyOf(key), tableKey, key);
    assert.equal(tableKeyOf(tableKey), maglevSkip, key);
  }
});
