import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Subscriptions } from "./subscriptions.ts";

test("Subscriptions equals a set of pairs under any history", () => {
  const step = fc.record({
    op: fc.constantFrom("subscribe", "unsubscribe", "remove"),
    peer: fc.integer({ min: 0, max: 3 }),
    key: fc.constantFrom("1,1", "1,2", "2,1", "9,9"),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const subscriptions = new Subscriptions<number>({ perPeerMax: 3, totalMax: 7 });
    const model = new Set<string>();
    const ofPeer = (peer: number) => [...model].filter((pair) => pair.startsWith(`${peer}/`));
    const ofKey = (key: string) => [...model].filter((pair) => pair.endsWith(`/${key}`));
    for (const { op, peer, key } of steps) {
      const pair = `${peer}/${key}`;
      if (op === "subscribe") {
        const expected = model.has(pair)
          ? "known"
          : ofPeer(peer).length >= 3 || model.size >= 7
          ? "refused"
          : "added";
        assert.equal(subscriptions.subscribe(peer, key), expected);
        if (expected === "added") model.add(pair);
      } else if (op === "unsubscribe") {
        const removed = model.delete(pair);
        assert.equal(
          subscriptions.unsubscribe(peer, key),
          removed && ofKey(key).length === 0,
        );
      } else {
        const own = ofPeer(peer);
        for (const one of own) model.delete(one);
        const lost = own.map((one) => one.split("/")[1]).filter((one) => ofKey(one).length === 0);
        assert.deepEqual(subscriptions.removePeer(peer).sort(), lost.sort());
      }
      assert.equal(subscriptions.count, model.size);
      assert.equal(
        subscriptions.keyCount,
        new Set([...model].map((one) => one.split("/")[1])).size,
      );
      assert.equal(
        subscriptions.peerCount,
        new Set([...model].map((one) => one.split("/")[0])).size,
      );
      for (const one of ["1,1", "9,9"]) {
        assert.equal(subscriptions.subscribers(one).size, ofKey(one).length);
      }
    }
  }));
});
