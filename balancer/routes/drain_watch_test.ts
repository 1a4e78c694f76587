import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeUseState } from "../../proto/message_ids.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { defaultBalanceSettings } from "../detection/balance_settings.ts";
import { DRAINING_WATCHED_MAX, DrainWatch, joinUsages } from "./drain_watch.ts";
import type { RouteNode } from "../../model/node.ts";
import { RouteLb } from "./route_lb.ts";

class Bench {
  readonly lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
  });
  readonly watch = new DrainWatch(this.lb);

  route(nodes: readonly RouteNode[], nowMs: number): void {
    this.lb.use(1, 1, nowMs);
    this.lb.update(1, 1, nodes, nowMs);
    this.watch.routeTaken(1, 1, nodes, nowMs);
  }

  usage(ip: number, nowMs: number): unknown {
    const { clients: _, ...usage } = this.watch.usage(1, 1, ip, 80, nowMs);
    return usage;
  }
}

const on = (ip: number): RouteNode => ({ ip, port: 80 });
const drained = (ip: number): RouteNode => ({ ip, port: 80, state: "drain" });

test("DrainWatch tells nodes that are picked, drained, gone and unknown apart", () => {
  const bench = new Bench();
  assert.deepEqual(bench.usage(1, 0), { state: NodeUseState.Unknown });
  bench.route([on(1), drained(2)], 1000);
  assert.deepEqual(bench.usage(1, 1000), { state: NodeUseState.Picked });
  assert.deepEqual(bench.usage(2, 1000), { state: NodeUseState.Draining, idleMs: 0 });
  assert.deepEqual(bench.usage(3, 1000), { state: NodeUseState.Absent });
});

test("DrainWatch counts from the drain, and anew from each outcome of a call", () => {
  const bench = new Bench();
  bench.route([on(1), on(2)], 0);
  bench.lb.report(1, 1, 2, 80, 0, 1, 10);
  bench.route([on(1), drained(2)], 1000);
  bench.watch.tick(2000);
  assert.deepEqual(bench.usage(2, 4000), { state: NodeUseState.Draining, idleMs: 3000 });
  bench.lb.report(1, 1, 2, 80, 0, 1, 4500);
  bench.watch.tick(5000);
  assert.deepEqual(bench.usage(2, 6000), { state: NodeUseState.Draining, idleMs: 1000 });
  bench.lb.report(1, 1, 2, 80, 1, 1, 6500);
  assert.deepEqual(bench.usage(2, 7000), { state: NodeUseState.Draining, idleMs: 0 });
  // The same route again changes nothing.
  bench.route([on(1), drained(2)], 8000);
  assert.deepEqual(bench.usage(2, 9000), { state: NodeUseState.Draining, idleMs: 2000 });
  bench.route([on(1), on(2)], 9000);
  assert.deepEqual([bench.usage(2, 9000), bench.watch.count], [{ state: NodeUseState.Picked }, 0]);
});

test("DrainWatch forgets nodes with their route, and follows so many and no more", () => {
  const bench = new Bench();
  const many = Array.from({ length: DRAINING_WATCHED_MAX + 5 }, (_, i) => drained(i + 1));
  bench.route(many, 0);
  assert.equal(bench.watch.count, DRAINING_WATCHED_MAX);
  assert.deepEqual(bench.usage(1, 9), { state: NodeUseState.Draining, idleMs: 9 });
  assert.deepEqual(bench.usage(many.length, 9), { state: NodeUseState.Draining });
  bench.lb.update(1, 1, [on(1)], 10);
  bench.watch.tick(20);
  assert.equal(bench.watch.count, 1);
  bench.route([on(1)], 30);
  assert.equal(bench.watch.count, 0);
});

test("joinUsages() takes the worst, and the latest use", () => {
  const { Unknown, Picked, Draining, Absent } = NodeUseState;
  const one = (state: number, idleMs?: number): Parameters<typeof joinUsages>[0][number] => ({
    state,
    clients: 1,
    ...(idleMs === undefined ? {} : { idleMs }),
  });
  assert.deepEqual(joinUsages([]), { state: Unknown, clients: 0 });
  assert.deepEqual(joinUsages([one(Unknown), one(Absent)]), { state: Absent, clients: 2 });
  assert.deepEqual(joinUsages([one(Draining, 7), one(Draining, 5), one(Absent)]), {
    state: Draining,
    clients: 3,
    idleMs: 5,
  });
  assert.deepEqual(joinUsages([one(Draining, 7), one(Draining)]), { state: Draining, clients: 2 });
  assert.deepEqual(joinUsages([one(Draining, 7), one(Picked)]), { state: Picked, clients: 2 });
});
