import { test } from "node:test";
import assert from "node:assert/strict";
import { ProtocolError } from "./errors.ts";
import { type Logger, silentLogger } from "./log.ts";
import { ManualClock } from "./time/manual_clock.ts";
import { MessageRouter } from "./message_router.ts";

const body = Uint8Array.of(1, 2);

test("dispatch() calls the handler with body, peer and id", () => {
  const calls: unknown[] = [];
  const router = new MessageRouter<string>()
    .add(7, (...args) => void calls.push(args))
    .add(8, () => assert.fail("wrong handler"));
  assert.equal(router.dispatch(7, body, "peer"), "handled");
  assert.deepEqual(calls, [[body, "peer", 7]]);
});

test("add() refuses a second handler for an id", () => {
  const router = new MessageRouter<string>().add(7, () => {});
  assert.throws(() => router.add(7, () => {}), /Message id 7 already has a handler/);
});

test("dispatch() counts unknown ids and limits the rate of their log lines", () => {
  const clock = new ManualClock();
  const fields: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (_message, more) => void fields.push(more) };
  const router = new MessageRouter<string>({ log, clock });
  for (let index = 0; index < 50; index++) {
    assert.equal(router.dispatch(99, body, "peer"), "unknown");
  }
  assert.equal(router.unknownCount, 50);
  assert.equal(fields.length, 10);
  clock.advance(1000);
  router.dispatch(99, body, "peer");
  assert.deepEqual(fields.at(-1), { msgId: 99, bodyBytes: 2, heldBack: 40 });
});

test("dispatch() asks the guard first, also for unknown ids", () => {
  let handled = 0;
  const router = new MessageRouter<string>({
    guard: (peer, msgId) => peer === "stranger" ? `no ${msgId} for you` : undefined,
  }).add(1, () => void handled++);
  assert.deepEqual(router.dispatch(1, body, "stranger"), { closeReason: "no 1 for you" });
  assert.deepEqual(router.dispatch(99, body, "stranger"), { closeReason: "no 99 for you" });
  assert.equal(router.unknownCount, 0);
  assert.equal(router.dispatch(1, body, "friend"), "handled");
  router.setGuard(undefined);
  assert.equal(router.dispatch(1, body, "stranger"), "handled");
  assert.equal(handled, 2);
});

test("dispatch() turns a ProtocolError into a reason to close and lets others pass", () => {
  const router = new MessageRouter<string>()
    .add(1, () => {
      throw new ProtocolError("Body must be a route request");
    })
    .add(2, () => {
      throw new TypeError("our own fault");
    });
  assert.deepEqual(router.dispatch(1, body, "peer"), {
    closeReason: "Body must be a route request",
  });
  assert.throws(() => router.dispatch(2, body, "peer"), TypeError);
});
