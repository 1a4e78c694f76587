import assert from "node:assert/strict";
import { test } from "node:test";
import { type PackedRoute, packRoute } from "./packed_route.ts";
import { RouteRegistry } from "./route_intake.ts";

const route = (modId: number, ...ips: number[]): PackedRoute =>
  packRoute(modId, 0, ips.map((ip) => ({ ip, port: 80 }))).route;

test("RouteRegistry gives a route to the shards that asked, and only news", () => {
  const registry = new RouteRegistry();
  assert.equal(registry.take(route(1, 5)), undefined, "nobody asked");
  registry.want(1, 0, 2);
  assert.deepEqual(registry.take(route(1, 5)), { update: [2], confirm: [], changed: true });
  assert.deepEqual(registry.take(route(1, 5)), { update: [], confirm: [2], changed: false });
  registry.want(1, 0, 0);
  assert.deepEqual(registry.take(route(1, 5)), { update: [0], confirm: [2], changed: false });
  assert.deepEqual(registry.take(route(1, 6)), { update: [0, 2], confirm: [], changed: true });
  assert.deepEqual(registry.take(route(1)), { update: [0, 2], confirm: [], changed: true });
});

test("RouteRegistry takes a first empty route for no change of the cache", () => {
  const registry = new RouteRegistry();
  registry.want(1, 0, 1);
  assert.deepEqual(registry.take(route(1)), { update: [1], confirm: [], changed: false });
  assert.deepEqual(registry.take(route(1)), { update: [], confirm: [1], changed: false });
  assert.deepEqual([...registry.routes()], []);
});

test("RouteRegistry drops a module when the last shard has forgotten it", () => {
  const registry = new RouteRegistry();
  registry.want(1, 0, 0);
  registry.want(1, 0, 1);
  registry.take(route(1, 5));
  assert.equal(registry.forget(1, 0, 0), false);
  assert.deepEqual(registry.take(route(1, 6))?.update, [1]);
  assert.equal(registry.forget(1, 0, 1), true);
  assert.equal(registry.forget(1, 0, 1), false);
  assert.equal(registry.size, 0);
  // Asked for again by a shard that had it: it has forgotten the nodes, so it needs them.
  registry.want(1, 0, 0);
  assert.deepEqual(registry.take(route(1, 6))?.update, [0]);
});

test("RouteRegistry knows what to hand to loops that start", () => {
  const registry = new RouteRegistry();
  registry.preload(route(1, 5), 2);
  registry.want(2, 0, 2);
  registry.want(3, 0, 2);
  registry.take(route(3, 7));
  assert.deepEqual([...registry.routesOf(2)].map((r) => r.modId), [1, 3]);
  assert.deepEqual([...registry.routesOf(0)], []);
  assert.deepEqual(registry.take(route(1, 5)), { update: [], confirm: [2], changed: false });
  registry.loopsRestarted();
  assert.equal(registry.size, 2, "a module without nodes is not known to new loops");
  assert.deepEqual(registry.take(route(1, 5)), { update: [2], confirm: [], changed: false });
});
