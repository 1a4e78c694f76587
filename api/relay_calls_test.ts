import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { Link } from "../session/link.ts";
import { LimitError } from "../reactor/errors.ts";
import { RelayCalls } from "./relay_calls.ts";

/** Takes so many messages until it is emptied. */
class NarrowLink {
  ready = false;
  readonly sent: number[] = [];
  room = 3;

  send(_msgId: number, body: Uint8Array): boolean {
    if (!this.ready || this.room === 0) return false;
    this.room--;
    this.sent.push(body[0]);
    return true;
  }
}

interface Bench {
  readonly calls: RelayCalls<number>;
  readonly link: NarrowLink;
  readonly clock: ManualClock;
  /** Starts a call; its outcome is of no interest. */
  start(): void;
}

function newBench(): Bench {
  const link = new NarrowLink();
  const clock = new ManualClock();
  const calls = new RelayCalls<number>(link as unknown as Link, clock);
  const call = { msgId: 1, timeoutMs: 1e6, repeatable: true };
  const start = (): void => {
    calls.start({ ...call, encode: (number) => new Uint8Array([number]) }).catch(() => {});
  };
  return { calls, link, clock, start };
}

test("relay calls: more than a new link takes at once goes out in its order, and what comes later behind it", () => {
  const { calls, link, clock, start } = newBench();
  for (let i = 0; i < 8; i++) start();
  link.ready = true;
  calls.sendAll();
  assert.deepEqual(link.sent, [1, 2, 3]);
  link.room = 1;
  // It has room now, and must not overtake.
  start();
  assert.deepEqual(link.sent, [1, 2, 3]);
  clock.advance(20);
  link.room = 10;
  clock.advance(20);
  assert.deepEqual(link.sent, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  start();
  assert.deepEqual(link.sent.at(-1), 10);
});

test("relay calls: what waits for room is sent over the next link when this one is lost or to be left", () => {
  for (const end of ["lost", "leave"] as const) {
    const { calls, link, clock, start } = newBench();
    for (let i = 0; i < 5; i++) start();
    link.ready = true;
    calls.sendAll();
    if (end === "leave") calls.leave(() => {});
    link.room = 10;
    if (end === "lost") {
      link.ready = false;
      calls.lost();
    }
    clock.advance(1_000);
    assert.deepEqual(link.sent, [1, 2, 3], end);
    if (end === "leave") calls.lost();
    link.ready = true;
    calls.sendAll();
    assert.deepEqual(link.sent.slice(3), [1, 2, 3, 4, 5], end);
  }
});

test("relay calls: a link that is full refuses a call, and none waits after the end", async () => {
  const { calls, link, clock, start } = newBench();
  link.ready = true;
  for (let i = 0; i < 3; i++) start();
  const refused = calls.start({
    ...{ msgId: 1, timeoutMs: 1_000, repeatable: true },
    encode: (number) => new Uint8Array([number]),
  });
  await assert.rejects(refused, LimitError);
  calls.lost();
  link.room = 1;
  calls.sendAll();
  calls.close();
  link.room = 10;
  clock.advance(1_000);
  assert.deepEqual(link.sent, [1, 2, 3, 1]);
});
