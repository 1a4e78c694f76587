// What a loop of dns says in its pongs.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pong } from "../proto/codec.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { SessionClient } from "../session/session_client.ts";
import { SimNetwork } from "../session/testing/sim_network.ts";
import { RouteLoop } from "./route_loop.ts";

test("a loop says how new its routes are, and for how long the database has not been read", async () => {
  const clock = new ManualClock();
  const network = new SimNetwork(clock);
  const loop = new RouteLoop({
    ...{ hostname: "10.0.0.1", connectionsMax: 10, software: "sim", secrets: undefined },
    ...{ subscriptionsMax: 10, subscriptionsTotalMax: 10 },
  }, { clock, log: silentLogger, sockets: network.server, note: () => {} });
  await loop.listen(7778, false);
  const pongs: Pong[] = [];
  const client = new SessionClient({
    ...{ clock, rng: seededRng(1), log: silentLogger, name: "dns", role: "agent", software: "sim" },
    ...{ addresses: [{ hostname: "10.0.0.1", port: 7778 }], secrets: undefined },
    transport: network.client("agent"),
    onReady: () => {},
    onLost: () => {},
    onPong: (pong) => void pongs.push(pong),
  });
  client.start();
  const lastAfter = async (ms: number): Promise<Partial<Pong>> => {
    pongs.length = 0;
    for (let passed = 0; passed < ms; passed += 5) {
      for (let i = 0; i < 10; i++) await Promise.resolve();
      clock.advance(5);
    }
    const { seq: _seq, spreadMs: _spreadMs, placeMs: _placeMs, ...said } = pongs.at(-1) ??
      { seq: 0 };
    return said;
  };
  assert.deepEqual(await lastAfter(4000), {});
  loop.onTask({ type: "plan", plan: { epoch: 1, version: 7 } });
  assert.deepEqual(await lastAfter(2000), { epoch: 1, version: 7 });
  loop.onTask({ type: "behind", behindMs: 12_000 });
  const { behindMs = 0, ...plan } = await lastAfter(4000);
  assert.deepEqual(plan, { epoch: 1, version: 7 });
  assert.ok(behindMs > 13_500 && behindMs <= 16_000, `it goes on: ${behindMs}`);
  loop.onTask({ type: "behind", behindMs: Infinity });
  assert.equal((await lastAfter(2000)).behindMs, 4_294_967_295);
  loop.onTask({ type: "behind", behindMs: undefined });
  assert.deepEqual(await lastAfter(2000), { epoch: 1, version: 7 });
  await client.close();
  const closed = loop.close();
  await lastAfter(2000);
  await closed;
});
