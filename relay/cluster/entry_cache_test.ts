import assert from "node:assert/strict";
import { test } from "node:test";
import type { RelayMailPut } from "../../proto/codec.ts";
import { ENTRY_CACHE_BYTES_MAX, ENTRY_CACHE_MAX, EntryCache } from "./entry_cache.ts";

function puts(bytes: number): RelayMailPut[] {
  return [{ sender: "s", id: "1", sentAtMs: 0, expiresAtMs: 0, data: new Uint8Array(bytes) }];
}

test("entry cache: of too many the one used longest ago goes, and reading is a use", () => {
  const cache = new EntryCache();
  for (let seq = 1; seq <= ENTRY_CACHE_MAX; seq++) cache.keep(seq, puts(1));
  assert.notEqual(cache.get(1), undefined);
  cache.keep(ENTRY_CACHE_MAX + 1, puts(1));
  assert.notEqual(cache.get(1), undefined, "read just now");
  assert.equal(cache.get(2), undefined, "used longest ago");
  cache.keep(3, puts(2));
  cache.keep(ENTRY_CACHE_MAX + 2, puts(1));
  assert.notEqual(cache.get(3), undefined, "kept again just now");
  assert.equal(cache.get(4), undefined);
});

test("entry cache: of too many bytes those used longest ago go, until the others fit", () => {
  const cache = new EntryCache();
  for (let seq = 1; seq <= 4; seq++) cache.keep(seq, puts(ENTRY_CACHE_BYTES_MAX / 4));
  cache.get(1);
  cache.keep(5, puts(ENTRY_CACHE_BYTES_MAX / 2));
  const left = [1, 2, 3, 4, 5].filter((seq) => cache.get(seq) !== undefined);
  assert.deepEqual(left, [1, 4, 5]);
  cache.drop(1);
  cache.keep(6, puts(ENTRY_CACHE_BYTES_MAX / 4));
  assert.deepEqual([4, 5, 6].map((seq) => cache.get(seq) !== undefined), [true, true, true]);
});
