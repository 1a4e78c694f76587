import { test } from "node:test";
import assert from "node:assert/strict";
import * as errors from "./errors.ts";
import { LOG_KINDS_MAX, LogRateLimiter, silentLogger } from "./log.ts";
import { ManualClock } from "./time/manual_clock.ts";

test("LogRateLimiter lets some lines of a second through and counts the rest", () => {
  const clock = new ManualClock();
  const logLimiter = new LogRateLimiter(clock, 2);
  const admitted = (): ({ heldBack?: number } | undefined)[] =>
    Array.from({ length: 5 }, () => logLimiter.admit("bad frame"));
  assert.deepEqual(admitted(), [{}, {}, undefined, undefined, undefined]);
  assert.deepEqual(logLimiter.admit("other kind"), {});
  clock.advance(999);
  assert.equal(logLimiter.admit("bad frame"), undefined);
  clock.advance(1);
  assert.deepEqual(admitted(), [{ heldBack: 4 }, {}, undefined, undefined, undefined]);
});

test("LogRateLimiter remembers a bounded number of kinds", () => {
  const logLimiter = new LogRateLimiter(new ManualClock(), 1);
  for (let kind = 0; kind < LOG_KINDS_MAX; kind++) {
    assert.deepEqual(logLimiter.admit(`kind ${kind}`), {});
  }
  assert.deepEqual(logLimiter.admit("one more"), {});
  assert.equal(logLimiter.admit("and another"), undefined, "further kinds share one count");
});

test("silentLogger takes everything", () => {
  for (const level of ["debug", "info", "warn", "error"] as const) silentLogger[level]("x", {});
});

test("error classes carry their name, their data and their cause", () => {
  const cause = new Error("cause");
  const made: errors.LarsError[] = [
    new errors.LarsError("m", { cause }),
    new errors.ConfigError("m", { cause }),
    new errors.ConnectError("h:1", "m", { cause }),
    new errors.BindError("h:1", true, "m", { cause }),
    new errors.TimeoutError("m", 5, { cause }),
    new errors.ProtocolError("m", { cause }),
    new errors.LimitError("queue", "m", { cause }),
    new errors.StoreError("m", true, { cause }),
    new errors.ConflictError("m", { cause }),
  ];
  for (const error of made) {
    assert.equal(error.name, error.constructor.name);
    assert.ok(error instanceof errors.LarsError && error instanceof Error);
    assert.equal(error.cause, cause);
    assert.match(error.message, /m$/);
  }
  assert.equal(new errors.ConfigError(["a", "b"]).message, "a\nb");
  assert.equal(errors.messageOf(cause), "cause");
  assert.equal(errors.messageOf("text"), "text");
});
