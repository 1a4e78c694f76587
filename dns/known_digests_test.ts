import assert from "node:assert/strict";
import { test } from "node:test";
import { moduleId } from "../model/module.ts";
import { DIGESTS_PER_PEER_MAX, KnownDigests } from "./known_digests.ts";

const digest = (byte: number): Uint8Array => new Uint8Array(8).fill(byte);

test("what a peer says it has is compared once, and forgotten with the peer", () => {
  const known = new KnownDigests<string>();
  const key = moduleId(1, 1);
  known.note("a", key, digest(7));
  assert.equal(known.isKnown("b", key, () => digest(7)), false);
  assert.equal(known.isKnown("a", moduleId(1, 2), () => digest(7)), false);
  assert.equal(known.isKnown("a", key, () => digest(7)), true);
  assert.equal(known.isKnown("a", key, () => digest(7)), false, "only the answer to the question");
  known.note("a", key, digest(7));
  assert.equal(known.isKnown("a", key, () => digest(8)), false);
  known.note("a", key, digest(7));
  known.note("a", key, undefined);
  assert.equal(known.isKnown("a", key, () => digest(7)), false, "it has forgotten it meanwhile");
  known.note("a", key, digest(7));
  known.closed("a");
  assert.equal(known.isKnown("a", key, () => digest(7)), false);
});

test("digests that are none, and too many of them, are not kept", () => {
  const known = new KnownDigests<string>();
  for (const bad of [undefined, new Uint8Array(), new Uint8Array(9)]) {
    known.note("a", moduleId(1, 1), bad);
    assert.equal(known.isKnown("a", moduleId(1, 1), () => digest(0)), false);
  }
  for (let modId = 0; modId <= DIGESTS_PER_PEER_MAX; modId++) {
    known.note("a", moduleId(modId, 1), digest(1));
  }
  assert.equal(known.isKnown("a", moduleId(DIGESTS_PER_PEER_MAX, 1), () => digest(1)), false);
  assert.equal(known.isKnown("a", moduleId(0, 1), () => digest(1)), true);
});
