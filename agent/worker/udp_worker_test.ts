// Goal: a loop whose timers run beside others wakes seldom while it has nothing to do, and in time
// when it has.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBalanceSettings, RESTING_TICK_MS, TICK_MS } from "../../balancer/mod.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";
import type { AgentNote, AgentTask } from "./messages.ts";
import { packRoute } from "../routes/packed_route.ts";
import { UdpWorker } from "./udp_worker.ts";

interface Fixture {
  service: UdpWorker;
  clock: ManualClock;
  notes: AgentNote[];
  /** Delays of the timers that were set since it was last asked. */
  takeDelays(): number[];
}

/** A loop with module 1,1 of one node, and virtual time. */
async function startService(): Promise<Fixture> {
  const clock = new ManualClock(1000);
  const notes: AgentNote[] = [];
  let delays: number[] = [];
  const watched: Clock = {
    nowMs: () => clock.nowMs(),
    wallMs: () => clock.wallMs(),
    setTimer: (delayMs, action) => {
      delays.push(delayMs);
      return clock.setTimer(delayMs, action);
    },
  };
  const service = new UdpWorker({
    hostname: "127.0.0.1",
    shards: [{ index: 0, port: 0, preload: [packRoute(1, 1, [{ ip: 1, port: 80 }]).route] }],
    settings: defaultBalanceSettings,
    modulesMax: 10,
    pullsBurstMax: 10,
    pullsPerSecondMax: 10,
    secrets: undefined,
    software: "test",
    zone: "",
  }, {
    clock: watched,
    rng: seededRng(1),
    log: silentLogger,
    note: (note) => void notes.push(note),
    makeServer: (options) => new UdpServer(options),
  });
  await service.start();
  const takeDelays = (): number[] => {
    const taken = delays;
    delays = [];
    return taken;
  };
  return { service, clock, notes, takeDelays };
}

/** One good call of the node, as an in-process client tells it. */
const calls: AgentTask = {
  type: "calls",
  shard: 0,
  modules: [{
    modId: 1,
    cmdId: 1,
    nodes: [{
      ip: 1,
      port: 80,
      succ: 1,
      err: 0,
      errWeight: 0,
      errPushback: 0,
      errRefused: 0,
      errTimeout: 0,
      continSucc: 1,
      continErr: 0,
      timed: 0,
      timeMs: 0,
    }],
  }],
};

test("a loop at rest has one tick a second, and the next at once when there is work", async () => {
  const { service, clock, notes, takeDelays } = await startService();
  assert.deepEqual(takeDelays(), [RESTING_TICK_MS]);
  clock.advance(10 * RESTING_TICK_MS);
  assert.deepEqual(takeDelays(), Array(10).fill(RESTING_TICK_MS));
  notes.length = 0;
  service.onTask(calls);
  assert.deepEqual(takeDelays(), [TICK_MS]);
  assert.equal(clock.pendingCount, 1, "the long timer is gone");
  clock.advance(TICK_MS);
  assert.ok(notes.some(({ type }) => type === "reports"));
  // While the window of the call runs there is something to wait for.
  assert.deepEqual(takeDelays(), [TICK_MS]);
  clock.advance(2 * defaultBalanceSettings.idleTimeoutMs);
  assert.equal(takeDelays().at(-1), RESTING_TICK_MS);
  await service.stop();
});

test("a task that is no work leaves a loop at rest, and nothing runs on after its end", async () => {
  const { service, clock, takeDelays } = await startService();
  takeDelays();
  service.onTask({ type: "settings", settings: defaultBalanceSettings });
  assert.deepEqual(takeDelays(), []);
  await service.stop();
  service.onTask(calls);
  assert.deepEqual(takeDelays(), []);
  assert.equal(clock.pendingCount, 0);
});
