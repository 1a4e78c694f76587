import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { CallHistory, CallHistoryQuery } from "../../sql/results/call_history.ts";
import type { Store } from "../../sql/store.ts";
import { CounterService } from "./counter_service.ts";

test("CounterService: the last minute ends where the history is whole, whatever the second", async () => {
  // A module with ten calls a second; the bucket of now is not written yet.
  const clock = new ManualClock();
  const readCallHistory = (query: CallHistoryQuery): Promise<CallHistory> => {
    const { fromSeconds, toSeconds } = query;
    const wholeS = Math.floor(clock.wallMs() / 10_000) * 10;
    const points = [];
    for (let at = Math.floor(fromSeconds / 10) * 10; at < Math.min(toSeconds, wholeS); at += 10) {
      points.push({
        ...{ atSeconds: at, module: { modId: 1, cmdId: 2 }, succCount: 90, errCount: 10 },
        ...{ overloadShare: 0, timedCount: 0, timeMsSum: 0, refusedCount: 0 },
      });
    }
    const from = Math.floor(fromSeconds / 10) * 10;
    return Promise.resolve({
      ...{ stepSeconds: 10, fromSeconds: from, toSeconds, points, truncated: false },
    });
  };
  const node = {
    ...{ modId: 1, cmdId: 2, ip: 1, port: 1, succTotal: 1, errTotal: 0, succCount: 1, errCount: 0 },
    ...{ callerCount: 1, overloadCount: 0, ts: 1 },
  };
  const store = {
    label: "",
    readCallHistory,
    routeMark: () => Promise.resolve({ version: 1, changeIdMax: 1, changeCount: 1 }),
    instances: () => Promise.resolve([]),
    refusedTotals: () => Promise.resolve([]),
    console: { nodeCalls: () => Promise.resolve([node]) },
  } as unknown as Store;
  for (let second = 0; second < 20; second++) {
    clock.advance(1000);
    const reading = new CounterService({ store, clock }).read();
    const pauses = setInterval(() => clock.advance(0));
    const { modules, recentSeconds } = await reading.finally(() => clearInterval(pauses));
    assert.equal((modules[0].recent?.calls ?? 0) / recentSeconds, 10, `second ${second}`);
  }
});
