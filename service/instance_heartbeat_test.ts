import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { Logger } from "../reactor/log.ts";
import {
  HEARTBEAT_INTERVAL_MS,
  HEARTBEAT_REFUSED_MS,
  HEARTBEAT_STOP_MS,
  InstanceHeartbeat,
} from "./instance_heartbeat.ts";
import type { ServiceInstance } from "../sql/store.ts";

/** A store that takes, refuses, or hangs. */
class FakeStore {
  readonly beats: ServiceInstance[] = [];
  readonly forgotten: string[] = [];
  tries = 0;
  fault: Error | undefined;
  hang = false;

  async heartbeat(instance: ServiceInstance): Promise<void> {
    this.tries++;
    if (this.hang) await new Promise(() => undefined);
    if (this.fault !== undefined) throw this.fault;
    this.beats.push(instance);
  }

  forgetInstance(kind: string, address: string): Promise<void> {
    this.forgotten.push(`${kind} ${address}`);
    return Promise.resolve();
  }
}

interface Setup {
  clock: ManualClock;
  store: FakeStore;
  heartbeat: InstanceHeartbeat;
  warnings: string[];
}

function setUp(): Setup {
  const clock = new ManualClock();
  const store = new FakeStore();
  const warnings: string[] = [];
  const ignore = (): void => undefined;
  const log: Logger = {
    debug: ignore,
    info: ignore,
    warn: (message) => void warnings.push(message),
    error: ignore,
  };
  const heartbeat = new InstanceHeartbeat({
    store,
    clock,
    log,
    kind: "dns",
    address: "127.0.0.1:1",
    software: "lars/test",
    detail: () => ({ beats: store.beats.length }),
  });
  return { clock, store, heartbeat, warnings };
}

async function advance(clock: ManualClock, byMs: number): Promise<void> {
  clock.advance(byMs);
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test("InstanceHeartbeat beats at once and on time, and is forgotten on stop", async () => {
  const { clock, store, heartbeat } = setUp();
  heartbeat.start();
  await advance(clock, 0);
  for (let i = 0; i < 3; i++) await advance(clock, HEARTBEAT_INTERVAL_MS);
  assert.deepEqual(store.beats.map(({ detail }) => detail.beats), [0, 1, 2, 3]);
  const [first, , , last] = store.beats;
  assert.equal(first.startedAt, last.startedAt);
  assert.equal(last.seenAt - first.seenAt, 3 * HEARTBEAT_INTERVAL_MS / 1000);
  await heartbeat.stop();
  await advance(clock, 10 * HEARTBEAT_INTERVAL_MS);
  assert.deepEqual([store.beats.length, store.forgotten], [4, ["dns 127.0.0.1:1"]]);
});

test("InstanceHeartbeat says once that it is refused, and tries rarely", async () => {
  const { clock, store, heartbeat, warnings } = setUp();
  store.fault = new StoreError("no such table", false);
  heartbeat.start();
  await advance(clock, 0);
  for (let i = 0; i < 3; i++) await advance(clock, HEARTBEAT_REFUSED_MS);
  assert.deepEqual([store.tries, warnings.length], [4, 1]);
  await advance(clock, HEARTBEAT_INTERVAL_MS);
  assert.equal(store.tries, 4);
  store.fault = undefined;
  await advance(clock, HEARTBEAT_REFUSED_MS);
  await advance(clock, HEARTBEAT_INTERVAL_MS);
  assert.equal(store.beats.length, 2);
  await heartbeat.stop();
});

test("InstanceHeartbeat says nothing of a database that is away, and goes on", async () => {
  const { clock, store, heartbeat, warnings } = setUp();
  store.fault = new StoreError("away", true);
  heartbeat.start();
  await advance(clock, 0);
  for (let i = 0; i < 3; i++) await advance(clock, HEARTBEAT_INTERVAL_MS);
  assert.deepEqual([store.tries, warnings.length], [4, 0]);
  await heartbeat.stop();
});

test("InstanceHeartbeat stop() does not wait for a database that hangs", async () => {
  const { clock, store, heartbeat } = setUp();
  store.hang = true;
  heartbeat.start();
  let stopped = false;
  const stop = heartbeat.stop().then(() => (stopped = true));
  await advance(clock, HEARTBEAT_STOP_MS - 1);
  assert.equal(stopped, false);
  await advance(clock, 1);
  await stop;
  assert.deepEqual(store.forgotten, []);
});
