import assert from "node:assert/strict";
import { test } from "node:test";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { ServiceManager } from "./service_manager.ts";

function managed(
  env: Record<string, string>,
  fault?: Error,
): { manager: ServiceManager; clock: ManualClock; sent: string[]; warned: string[] } {
  const sent: string[] = [];
  const warned: string[] = [];
  const clock = new ManualClock();
  const log: Logger = { ...silentLogger, warn: (message) => void warned.push(message) };
  const send = (socket: string, text: string): void => {
    if (fault !== undefined) throw fault;
    sent.push(`${socket} ${text}`);
  };
  return {
    manager: new ServiceManager({ env, processId: 7, clock, log, send }),
    clock,
    sent,
    warned,
  };
}

test("a process that no manager asked says nothing", () => {
  const { manager, clock, sent } = managed({ WATCHDOG_USEC: "1000000" });
  manager.ready("ready");
  clock.advance(60_000);
  manager.stopping();
  assert.deepEqual(sent, []);
  assert.equal(manager.watchdogMs, undefined);
});

test("ready, signs of life at half of the time, stopping, and nothing after that", () => {
  const { manager, clock, sent } = managed({ NOTIFY_SOCKET: "@n", WATCHDOG_USEC: "10000000" });
  manager.ready("dns ready\non 127.0.0.1:7778");
  clock.advance(10_000);
  manager.stopping();
  clock.advance(60_000);
  assert.deepEqual(sent, [
    "@n READY=1\nSTATUS=dns ready on 127.0.0.1:7778\n",
    "@n WATCHDOG=1\n",
    "@n WATCHDOG=1\n",
    "@n STOPPING=1\n",
  ]);
});

test("the watchdog of another process, or a wrong one, is none", () => {
  const socket = { NOTIFY_SOCKET: "/run/n" };
  const cases: [Record<string, string>, number | undefined][] = [
    [{ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "7" }, 1500],
    [{ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "8" }, undefined],
    [{ WATCHDOG_USEC: "1" }, 1],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "-5" }, undefined],
    [{ WATCHDOG_USEC: "soon" }, undefined],
    [{}, undefined],
  ];
  for (const [env, wanted] of cases) {
    assert.equal(managed({ ...socket, ...env }).manager.watchdogMs, wanted, JSON.stringify(env));
  }
});

test("a manager that cannot be told is said once, and ends nothing", () => {
  const { manager, clock, warned } = managed(
    { NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "2000000" },
    new Error("errno 111"),
  );
  manager.ready("ready");
  clock.advance(10_000);
  manager.stopping();
  assert.deepEqual(warned, ["The service manager could not be told"]);
});
