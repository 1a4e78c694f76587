import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteViews } from "./byte_views.ts";

function numbered(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: 4_096 }, (_, index) => index * 7);
}

test("byte views: each is what a view made just now would be, and usually the one made before", () => {
  const bytes = numbered();
  const views = new ByteViews(bytes);
  fc.assert(fc.property(fc.nat({ max: 100 }), fc.nat({ max: 2_000 }), (start, length) => {
    const end = start + length;
    assert.deepEqual(views.of(start, end), bytes.subarray(start, end));
    assert.ok(views.holds(views.of(start, end)));
    if (start < 64 && length < 1_024) assert.equal(views.of(start, end), views.of(start, end));
  }));
  assert.equal(views.holds(bytes.slice()), false);
});

test("byte views: what is moved to the front is whole, and nothing behind it is touched", () => {
  fc.assert(fc.property(fc.nat({ max: 2_000 }), fc.nat({ max: 1_500 }), (more, length) => {
    const bytes = numbered();
    const before = bytes.slice();
    const views = new ByteViews(bytes);
    const start = 8 + more;
    assert.deepEqual(
      views.movedTo(8, start, start + length),
      before.subarray(start, start + length),
    );
    assert.deepEqual(bytes.subarray(start + length), before.subarray(start + length));
    assert.deepEqual(bytes.subarray(0, 8), before.subarray(0, 8));
  }));
});
