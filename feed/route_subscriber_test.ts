// Goal: the link to dns gives up a silent server, and not a slow one. Method: virtual time, real
// sockets; time only moves when what should have happened has happened.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { SessionClient } from "../session/session_client.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { until } from "../tests/support/until.ts";
import { ANSWER_TIMEOUT_MS, RouteSubscriber } from "./route_subscriber.ts";
import { FakeDns } from "../agent/testing/fake_upstream.ts";

interface Lab {
  clock: ManualClock;
  client: RouteSubscriber;
  first: FakeDns;
  second: FakeDns;
  routes: string[];
  /** Lines of the guard. */
  events: string[];
  counts: { ready: number; lost: number };
}

async function withLab(fn: (lab: Lab) => Promise<void>, extended = true): Promise<void> {
  const clock = new ManualClock();
  const first = await FakeDns.start({ extended });
  const second = await FakeDns.start({ extended });
  const routes: string[] = [];
  const events: string[] = [];
  const taken = new Map<string, number>();
  const counts = { ready: 0, lost: 0 };
  const client: RouteSubscriber = new RouteSubscriber({
    openLink: (events) =>
      new SessionClient({
        ...events,
        name: "dns",
        role: "agent",
        addresses: [first, second].map(({ port }) => ({ hostname: "127.0.0.1", port })),
        transport: runtimeTransport,
        clock,
        rng: seededRng(1),
        log: silentLogger,
        software: "test",
        secrets: undefined,
        revision: () => client.revision,
      }),
    clock,
    pushGuardMs: 60_000,
    pickableCount: (modId, cmdId) => taken.get(`${modId},${cmdId}`) ?? 0,
    onReady: () => void counts.ready++,
    onLost: () => void counts.lost++,
    onNodeUse: () => {},
    onRoute: ({ modId, cmdId, hosts }) => {
      const key = `${modId},${cmdId}`;
      routes.push(`${key}: ${hosts?.length}`);
      if (hosts !== undefined) taken.set(key, hosts.length);
    },
    onGuard: (event) => void events.push(event),
  });
  try {
    client.link.start();
    await until(() => client.link.ready && client.link.extended === extended, {
      what: "the connection",
    });
    await fn({ clock, client, first, second, routes, events, counts });
  } finally {
    const closed = client.close();
    clock.advance(2000);
    await closed;
    await first.close();
    await second.close();
  }
}

test("RouteSubscriber is ready once for each connection, and drops requests in between", () =>
  withLab(async ({ clock, client, first, routes, counts }) => {
    first.routes.set("1,1", [{ ip: 1, port: 80 }]);
    client.request(1, 1);
    await until(() => routes.length === 1);
    assert.deepEqual([routes[0], counts.ready, counts.lost], ["1,1: 1", 1, 0]);
    await first.close();
    await until(() => counts.lost === 1);
    client.request(2, 2);
    assert.equal(client.stats.requestsDropped, 1);
    await until(() => {
      clock.advance(100);
      return counts.ready === 2;
    }, { what: "the other dns" });
    await until(() => client.link.extended);
    assert.equal(counts.ready, 2);
  }));

test("RouteSubscriber leaves a dns that answers no request for three times two seconds", () =>
  withLab(async ({ clock, client, first, second, counts }) => {
    first.silent = true;
    client.request(1, 1);
    client.request(2, 2);
    await until(() => first.requests.length === 2);
    // Small steps, so that pongs come all the while: it is not the connection that is dead.
    const startMs = clock.nowMs();
    const untilMs = async (what: string, condition: () => boolean): Promise<number> => {
      await until(() => {
        if (!condition()) clock.advance(50);
        return condition();
      }, { what });
      return clock.nowMs() - startMs;
    };
    const times = [
      await untilMs("the first repeat", () => first.requests.length === 3),
      await untilMs("the second repeat", () => first.requests.length === 4),
      await untilMs("the end of patience", () => counts.lost === 1),
    ];
    times.forEach((ms, i) =>
      assert.ok(Math.abs(ms - (i + 1) * ANSWER_TIMEOUT_MS) < 500, `${times}`)
    );
    assert.equal(client.stats.silentFailOvers, 1);
    await until(() => {
      clock.advance(100);
      return counts.ready === 2;
    }, { what: "the other dns" });
    assert.equal(client.link.address.port, second.port);
  }));

test("RouteSubscriber ends subscriptions at a dns that takes it, and counts those that dns ended", () =>
  withLab(async ({ client, first, routes }) => {
    client.request(1, 1);
    client.request(2, 1);
    await until(() => routes.length === 2);
    client.forget(9, 1);
    first.tellTerms();
    first.endSubscription(1, 1);
    await until(() => client.stats.notPushed === 1, { what: "the word that 1 is not pushed" });
    client.forget(1, 1);
    client.forget(2, 1);
    await until(() => first.ended.length > 0, { what: "the end" });
    // What came before the terms would have been a strange message; 1 is not subscribed any more.
    assert.deepEqual([first.ended, client.stats.notPushed, client.stats.ended], [["2,1"], 0, 1]);
    first.endSubscription(3, 1);
    await until(() => client.stats.notPushed === 1);
    client.request(3, 1);
    assert.equal(client.stats.notPushed, 0, "dns says so again if it is so again");
  }));

test("RouteSubscriber stays with a dns that answers at least something", () =>
  withLab(async ({ clock, client, first, routes, counts }) => {
    first.silent = true;
    client.request(1, 1);
    for (let i = 1; i <= 8; i++) {
      clock.advance(1900);
      first.push(9, 9, []);
      await until(() => routes.length === i);
    }
    assert.equal(counts.lost, 0);
    client.forget(1, 1);
    clock.advance(60_000);
    assert.equal(counts.lost, 0, "nobody waits for anything any more");
  }, false));

test("RouteSubscriber holds back what lost too many nodes unmarked, until somebody means it", () =>
  withLab(async ({ client, first, routes, events }) => {
    const nodes = (count: number) => Array.from({ length: count }, (_, ip) => ({ ip, port: 80 }));
    first.guarded.add("1,1");
    first.routes.set("1,1", nodes(4));
    client.request(1, 1);
    await until(() => routes.length === 1);
    first.push(1, 1, nodes(1));
    await until(() => routes.length === 2);
    assert.deepEqual([routes[1], client.guard.stats.modulesHeld], ["1,1: undefined", 1]);
    first.meant.add("1,1");
    first.push(1, 1, nodes(1));
    await until(() => routes.length === 3);
    assert.deepEqual([routes[2], client.guard.stats.modulesHeld], ["1,1: 1", 0]);
    assert.equal(events.length, 2);
  }));

test("RouteSubscriber does not ask a dns of the original again at once what it ended on", () =>
  withLab(async ({ clock, client, first, second, counts }) => {
    first.silent = true;
    second.silent = true;
    client.request(0, 0);
    await until(() => first.requests.length === 1);
    await first.close();
    await until(() => counts.lost === 1);
    await until(() => {
      clock.advance(100);
      return counts.ready === 2;
    }, { what: "the other dns" });
    client.request(0, 0);
    client.request(1, 1);
    await until(() => second.requests.length === 1);
    assert.deepEqual([second.requests[0], client.stats.requestsHeld], ["1,1", 1]);
    clock.advance(2000);
    client.request(0, 0);
    await until(() => second.requests.length > 1);
  }, false));
