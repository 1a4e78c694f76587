import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentStatus } from "../../proto/codec.ts";
import { STATUS_PAUSE_MS, STATUS_REPEAT_MS, StatusNotifier } from "./agent_status.ts";

const status: AgentStatus = {
  ip: 1,
  port: 8888,
  zone: "a",
  startedAt: 1,
  modules: 0,
  held: 0,
  heldRoutes: "",
  policiesRefused: 0,
  reporterConnected: true,
};

test("StatusNotifier tells at once, then seldom, sooner when something changed", () => {
  const teller = new StatusNotifier();
  const told: string[] = [];
  let isLinked = false;
  const offer = (nowMs: number, modules: number): void =>
    teller.offer({ ...status, modules }, nowMs, (sent) => {
      if (isLinked) told.push(`${nowMs} ${sent.modules}`);
      return isLinked;
    });
  offer(0, 0);
  assert.deepEqual(told, []);
  isLinked = true;
  offer(1, 0);
  offer(2, 1);
  offer(STATUS_PAUSE_MS, 2);
  offer(STATUS_PAUSE_MS + 1, 3);
  assert.deepEqual(told, ["1 0", `${STATUS_PAUSE_MS + 1} 3`]);
  offer(STATUS_PAUSE_MS + STATUS_REPEAT_MS, 3);
  assert.equal(told.length, 2);
  offer(STATUS_PAUSE_MS + STATUS_REPEAT_MS + 1, 3);
  assert.equal(told.length, 3);
  teller.reset();
  offer(STATUS_PAUSE_MS + STATUS_REPEAT_MS + 2, 3);
  assert.equal(told.length, 4);
});
