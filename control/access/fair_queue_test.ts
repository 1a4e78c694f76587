// Goal: strangers, however many, keep nobody out who was here before, and no address keeps out another.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FairQueue } from "./fair_queue.ts";

const limits = { atOnceMax: 1, waitingMax: 4, waitingPerAddressMax: 2 };

/** Names in the order in which they are let in; refused ones with a minus. */
function bench(): {
  order: string[];
  come(name: string, isKnown?: boolean): void;
  queue: FairQueue;
} {
  const queue = new FairQueue(limits);
  const order: string[] = [];
  return {
    order,
    queue,
    come(name, isKnown = false): void {
      void queue.enter({ address: name[0], isKnown })
        .then((isIn) => order.push(isIn ? name : `-${name}`));
    },
  };
}

async function drain(queue: FairQueue, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await Promise.resolve();
    queue.leave();
    await Promise.resolve();
    await Promise.resolve();
  }
}

test("addresses take turns, and one has only so many places", async () => {
  const { order, come, queue } = bench();
  for (const name of ["a1", "a2", "a3", "a4", "b1", "c1"]) come(name);
  await drain(queue, 4);
  assert.deepEqual(order, ["a1", "-a4", "b1", "c1", "a2", "a3"]);
});

test("a known one goes before strangers and takes the place of one when all are taken", async () => {
  const { order, come, queue } = bench();
  for (const name of ["a1", "b1", "c1", "d1", "e1", "f1"]) come(name);
  come("k1", true);
  await drain(queue, 5);
  assert.deepEqual(order, ["a1", "-f1", "-e1", "k1", "b1", "c1", "d1"]);
  const full = bench();
  for (const name of ["a1", "k1", "k2", "l1", "l2"]) full.come(name, true);
  full.come("m1", true);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(full.order, ["a1", "-m1"], "no stranger is there to go");
});
