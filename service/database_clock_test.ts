import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { LogList } from "../tests/support/log_list.ts";
import { DatabaseClock } from "./database_clock.ts";

/** Lets what was asked for be answered. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

test("DatabaseClock tells the time of the database, and says once that this host's differs", async () => {
  const clock = new ManualClock();
  const log = new LogList();
  let behindMs = 120_000;
  let answer = (): Promise<number | undefined> => Promise.resolve(clock.wallMs() - behindMs);
  const store = { label: "mysql://db/lars", wallMs: () => answer() };
  const its = new DatabaseClock({ clock, store, log });
  assert.equal(its.wallMs(), clock.wallMs(), "nothing is known yet");
  await its.start();
  assert.equal(its.aheadMs, 120_000);
  assert.equal(its.wallMs(), clock.wallMs() - 120_000);
  assert.equal(its.nowMs(), clock.nowMs());
  assert.match(log.lines.join(), /clock of this host differs.*"aheadS":120.*mysql:\/\/db\/lars/);
  // While the database is away, and when an answer takes long, what is known holds.
  answer = () => Promise.reject(new Error("away"));
  clock.advance(10_000);
  await settle();
  assert.equal(its.aheadMs, 120_000);
  const late = Promise.withResolvers<number>();
  answer = () => late.promise;
  clock.advance(10_000);
  clock.advance(3_000);
  late.resolve(0);
  await settle();
  assert.equal(its.aheadMs, 120_000);
  answer = () => Promise.resolve(clock.wallMs() - behindMs);
  behindMs = 300;
  clock.advance(10_000);
  await settle();
  assert.equal(its.aheadMs, 0, "such a difference is none");
  assert.equal(its.wallMs(), clock.wallMs());
  behindMs = -60_000;
  clock.advance(10_000);
  await settle();
  assert.equal(its.wallMs(), clock.wallMs() + 60_000);
  assert.equal(log.count("differs"), 2);
  assert.equal(log.count("agree again"), 1);
  its.stop();
  behindMs = 0;
  clock.advance(60_000);
  await settle();
  assert.equal(its.aheadMs, -60_000, "stopped");
});

test("DatabaseClock is this host's where the database is a file of it", async () => {
  const clock = new ManualClock();
  const log = new LogList();
  const store = { label: "sqlite:x", wallMs: () => Promise.resolve(undefined) };
  const its = new DatabaseClock({ clock, store, log });
  await its.start();
  assert.deepEqual([its.aheadMs, its.wallMs(), log.lines], [0, clock.wallMs(), []]);
  its.stop();
});
