import assert from "node:assert/strict";
import { test } from "node:test";
import { EventFollower, FOLLOW_OVERLAP } from "./event_follower.ts";

test("EventFollower passes each row on once, late ones too, and none from before", () => {
  const follower = new EventFollower();
  const ids = (list: readonly number[]): number[] =>
    follower.take(list.map((id) => ({ id }))).map(({ id }) => id);
  assert.equal(follower.afterId, 0);
  assert.deepEqual(ids([10, 12]), [10, 12]);
  follower.skipBefore(10);
  assert.equal(follower.afterId, 9);
  assert.deepEqual(ids([9, 10, 11, 12, 13]), [11, 13], "11 was stored late");
  assert.deepEqual(ids([11, 12, 13]), []);
  assert.deepEqual(ids([1000]), [1000]);
  assert.equal(follower.afterId, 1000 - FOLLOW_OVERLAP);
});
