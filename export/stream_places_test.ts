import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { connectionBudget } from "../reactor/tcp/tcp_server.ts";
import { StreamPlaces } from "./stream_places.ts";

class FakeSocket extends EventEmitter {
  isDestroyed = false;

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.emit("close");
  }
}

function takeAll(places: StreamPlaces, count: number): (Socket & FakeSocket)[] {
  return Array.from({ length: count }, () => {
    const socket = new FakeSocket() as unknown as Socket & FakeSocket;
    assert.ok(places.take(socket));
    return socket;
  });
}

test("a crowd that asks nothing pushes out its own, not those who have asked", () => {
  const taken = connectionBudget.taken;
  const places = new StreamPlaces(4);
  const askers = takeAll(places, 2);
  for (const one of askers) places.heard(one);
  const crowd = takeAll(places, 20);
  assert.deepEqual(askers.map((one) => one.isDestroyed), [false, false]);
  assert.deepEqual(
    crowd.map((one) => one.isDestroyed),
    [...new Array(18).fill(true), false, false],
  );
  assert.equal(places.refusedCount, 18);
  assert.equal(connectionBudget.taken, taken + 4);
  places.close();
  assert.equal(connectionBudget.taken, taken);
});

test("where all have asked, who was silent for longest goes", () => {
  const places = new StreamPlaces(3);
  const [first, second, third] = takeAll(places, 3);
  for (const one of [first, second, third, first]) places.heard(one);
  takeAll(places, 1);
  assert.deepEqual([first, second, third].map((one) => one.isDestroyed), [false, true, false]);
  places.close();
});
