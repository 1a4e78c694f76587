import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { endsWithin, StoreHealth } from "./store_health.ts";

test("StoreHealth tells a loss and a return once each, with the time away", () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const ignore = (): void => undefined;
  const log: Logger = {
    debug: ignore,
    warn: ignore,
    info: (message, fields) => void lines.push(`${message} ${fields?.awaySeconds}`),
    error: (message, fields) => void lines.push(`${message}: ${fields?.reason}`),
  };
  const health = new StoreHealth({ clock, log, label: "x", meanwhile: "dreaming" });
  health.succeeded();
  assert.deepEqual([health.up, health.stats(), lines], [true, {
    store: "up",
    store_losses: 0,
  }, []]);
  health.failed(new Error("refused"));
  health.failed(new Error("still refused"));
  assert.equal(health.up, false);
  assert.deepEqual(health.stats(), {
    store: "away",
    store_losses: 1,
    store_away_since: new Date(clock.wallMs()).toISOString(),
    store_reason: "still refused",
  });
  clock.advance(2500);
  health.succeeded();
  health.succeeded();
  assert.deepEqual(lines, ["Database is away, dreaming: refused", "Database is back 2.5"]);
});

test("endsWithin() gives up on what takes too long and drops late failures", async () => {
  const clock = new ManualClock();
  assert.equal(await endsWithin(clock, 100, Promise.resolve()), true);
  assert.equal(await endsWithin(clock, 100, Promise.reject(new Error("x"))), false);
  assert.equal(clock.pendingCount, 0);
  const late = endsWithin(clock, 100, new Promise(() => undefined));
  clock.advance(100);
  assert.equal(await late, false);
});

test("StoreHealth says of a database that answers and refuses that it refuses, not that it is away", () => {
  const lines: string[] = [];
  const error = (message: string): void => void lines.push(message);
  const log = { ...silentLogger, error };
  const health = new StoreHealth({
    clock: new ManualClock(),
    log,
    label: "x",
    meanwhile: "waiting",
  });
  health.failed(new StoreError("no such grant", false));
  assert.deepEqual([health.up, health.stats().store], [false, "refuses"]);
  health.succeeded();
  health.failed(new StoreError("connection lost", true));
  assert.equal(health.stats().store, "away");
  for (const transient of [false, false, true, false]) {
    health.failed(new StoreError("no such grant", transient));
    assert.deepEqual([health.stats().store, health.lossCount], ["refuses", 2]);
  }
  assert.deepEqual(lines, [
    "Database refuses what is asked, waiting",
    "Database is away, waiting",
    "Database refuses what is asked, waiting",
  ]);
});
