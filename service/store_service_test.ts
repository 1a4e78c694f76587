// Goal: a service stops in reverse order, and a part that fails neither hides nor hurries the others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { LogList } from "../tests/support/log_list.ts";
import { StoreService } from "./store_service.ts";

class Parts extends StoreService<undefined> {
  readonly name = "parts";
  start(): Promise<void> {
    return Promise.resolve();
  }
  stats(): Record<string, number> {
    return {};
  }
  readiness(): undefined {}
  reload(): void {}
  part(limitMs: number, ...stops: readonly (() => unknown)[]): void {
    this.onStop(limitMs, ...stops);
  }
}

/** Lets what has been promised happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function newParts(): { parts: Parts; log: LogList; clock: ManualClock } {
  const [log, clock] = [new LogList(), new ManualClock()];
  const shared = { log, clock, rng: seededRng(1), software: "test", secrets: undefined };
  const none = { tls: undefined, transport: runtimeTransport };
  return { parts: new Parts({ ...shared, ...none }), log, clock };
}

test("StoreService.stop() says that a part failed, and still waits for those beside it", async () => {
  const { parts, log } = newParts();
  const stopped: string[] = [];
  let finish: () => void = () => {};
  const slow = (): Promise<void> =>
    new Promise((resolve) => {
      finish = (): void => {
        stopped.push("slow");
        resolve();
      };
    });
  parts.part(1000, () => void stopped.push("store"));
  parts.part(1000, () => Promise.reject(new Error("cannot close")), slow);
  const stop = parts.stop();
  await settle();
  assert.deepEqual(stopped, [], "the store may not close before what uses it");
  finish();
  await stop;
  assert.deepEqual(stopped, ["slow", "store"]);
  assert.deepEqual(log.lines, ['warn Part of the service failed to stop {"error":"cannot close"}']);
});

test("StoreService.stop() waits no longer than a part may take", async () => {
  const { parts, clock } = newParts();
  const stopped: string[] = [];
  parts.part(1000, () => void stopped.push("store"));
  parts.part(500, () => new Promise(() => {}));
  const stop = parts.stop();
  await settle();
  clock.advance(500);
  await stop;
  assert.deepEqual(stopped, ["store"]);
});
