// Goal: of two services on one database one leads, and the other takes over when it is gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { LeaderLease, LEASE_MS, type LeaseStore } from "./leader_lease.ts";

class FakeStore implements LeaseStore {
  isAway = false;
  #holder = "";
  #untilMs = 0;

  takeLease(_name: string, holder: string, nowMs: number, untilMs: number): Promise<boolean> {
    if (this.isAway) return Promise.reject(new Error("away"));
    if (this.#holder !== holder && this.#untilMs > nowMs) return Promise.resolve(false);
    [this.#holder, this.#untilMs] = [holder, untilMs];
    return Promise.resolve(true);
  }
}

/** Lets what has been promised happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test("LeaderLease: one leads, another takes over when it no longer renews", async () => {
  const clock = new ManualClock();
  const store = new FakeStore();
  const led: string[] = [];
  const leaseOf = (holder: string): LeaderLease => {
    const onLead = (): Promise<void> => Promise.resolve(void led.push(holder));
    return new LeaderLease({ store, clock, log: silentLogger, name: "x", holder, onLead });
  };
  const [a, b] = [leaseOf("a"), leaseOf("b")];
  await a.start();
  await b.start();
  assert.deepEqual([a.leads, b.leads, led], [true, false, ["a"]]);
  for (let i = 0; i < 6; i++) {
    clock.advance(LEASE_MS / 3);
    await settle();
  }
  assert.deepEqual([a.leads, b.leads, led], [true, false, ["a"]], "kept, and taken over once");
  store.isAway = true;
  clock.advance(LEASE_MS / 3);
  await settle();
  assert.equal(a.leads, true, "without a database nobody else can lead either");
  store.isAway = false;
  a.stop();
  for (let i = 0; i < 4; i++) {
    clock.advance(LEASE_MS / 3);
    await settle();
  }
  assert.deepEqual([b.leads, led], [true, ["a", "b"]]);
  b.stop();
});
