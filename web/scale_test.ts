import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { CallStatusRow, RouteEdit } from "../sql/store.ts";
import { withConsole } from "../tests/support/console_bench.ts";
import { until } from "../tests/support/until.ts";
import type { ResponseOf } from "./contract.ts";

const MODULES = 1000;
const NODES = 20;
const LIVE_BYTES_PER_SECOND_MAX = 50_000;

const keys = Array.from({ length: MODULES * NODES }, (_, index) => ({
  modId: 1 + Math.floor(index / NODES),
  cmdId: 1,
  ip: 0x0a000000 + index % NODES,
  port: 7000,
}));

function results(round: number): CallStatusRow[] {
  return keys.map((key) => ({
    ...key,
    caller: 1,
    succCount: 10,
    errCount: 1,
    ts: Math.trunc(systemClock.wallMs() / 1000),
    overload: false,
    succTotal: 10 * round,
    errTotal: round,
  }));
}

test("1000 modules of 20 nodes under traffic: streams and pages stay small", {
  timeout: 240_000,
}, async () => {
  await withConsole(async ({ store, clients: { viewer }, base }) => {
    await store.editRoutes(keys.map((key): RouteEdit => ({ op: "add", ...key })));
    let isOver = false;
    const writing = (async () => {
      for (let round = 1; !isOver; round++) {
        await store.writeCallStatus(results(round));
        await sleep(systemClock, 1000);
      }
    })();
    await until(
      async () => (await viewer.get<ResponseOf<"getOverview">>("GET /overview")).callsPerSecond > 0,
      {
        timeoutMs: 60_000,
        what: "traffic",
      },
    );
    const overview = await viewer.get<ResponseOf<"getOverview">>("GET /overview");
    assert.equal(overview.moduleCount, MODULES);
    for (const view of ["overview", "modules", "module&modId=1&cmdId=1"]) {
      const abort = new AbortController();
      const response = await fetch(`${base}/api/v1/live?view=${view}`, {
        headers: viewer.headers,
        signal: abort.signal,
      });
      let bytes = 0;
      const startMs = systemClock.nowMs();
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (systemClock.nowMs() - startMs > 3000) break;
      }
      abort.abort();
      const perSecond = bytes / (systemClock.nowMs() - startMs) * 1000;
      assert.ok(perSecond < LIVE_BYTES_PER_SECOND_MAX, `${view}: ${perSecond} bytes/s`);
    }
    const page = JSON.stringify(await viewer.get("GET /modules/1/1"));
    assert.ok(page.length < 20_000, `module: ${page.length} bytes`);
    const counters = JSON.stringify(await viewer.get("GET /counters"));
    assert.ok(counters.length < 200 * MODULES * NODES, `counters: ${counters.length} bytes`);
    isOver = true;
    await writing;
  });
});
