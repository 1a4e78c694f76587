// Goal: what others changed is looked at, also when the database fails while it is.
// Method: a store of functions, and time by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { HearingTime } from "./hearing_time.ts";
import { LeaseRegistry, type LeaseRegistryOptions } from "./lease_registry.ts";
import { LeaseTable } from "./lease_table.ts";
import { LOSS_GUARD_DEFAULTS, LossGuard } from "./loss_guard.ts";

test("a module whose routes could not be read is read again, though nothing is said of it any more", async () => {
  const clock = new ManualClock();
  const time = new HearingTime(clock);
  const guard = new LossGuard(LOSS_GUARD_DEFAULTS);
  const told: number[] = [];
  let fails = 2;
  const store = {
    leases: {
      beat: () => Promise.resolve([]),
      prune: () => Promise.resolve(),
      since: () => Promise.resolve({ rows: [], seq: 1, isCut: false }),
      foreignChanges: () => Promise.resolve({ changeIdMax: 1, modules: [] }),
      forgetHolder: () => Promise.resolve(),
      guard: () => Promise.resolve([]),
    },
    readModules: () =>
      fails-- > 0 ? Promise.reject(new StoreError("away", true)) : Promise.resolve([]),
  };
  const options = {
    ...{ store, clock, time, guards: [guard], rng: seededRng(1), log: silentLogger, holder: 1 },
    table: new LeaseTable({ time, guard, holder: 1 }),
    health: { succeeded: () => {}, failed: () => {} },
    address: () => "10.0.0.1:7781",
    watched: [{ modId: 7, cmdId: 1 }],
    onRoutes: ({ modId }: { modId: number }) => told.push(modId),
    pollMs: 100,
  };
  const registry = new LeaseRegistry(options as unknown as LeaseRegistryOptions);
  registry.start();
  for (let step = 0; step < 300; step++) {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    clock.advance(10);
  }
  assert.deepEqual(told, [7], "once it could be read");
  const stopped = registry.stop();
  for (let step = 0; step < 50; step++) {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    clock.advance(10);
  }
  await stopped;
});
