// Goal: a policy is read where its route comes in, and every shard is given what came of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModulePolicy } from "../../balancer/mod.ts";
import type { ShardTask } from "../worker/messages.ts";
import { packRoute } from "./packed_route.ts";
import { RouteIntake } from "./route_intake.ts";

const hosts = [{ ip: 1, port: 80 }];
const text = '{"policy":"maglev","healthCheck":{"kind":"ping"}}';

function makeIntake(): { intake: RouteIntake; tasks: ShardTask[]; kinds: unknown[] } {
  const tasks: ShardTask[] = [];
  const kinds: unknown[] = [];
  const intake = new RouteIntake({
    send: (task) => tasks.push(task) > 0,
    onHealthCheck: (_route, health) => void kinds.push(health?.kind),
    onRoute: () => {},
    warn: (kind) => void kinds.push(kind),
  });
  return { intake, tasks, kinds };
}

test("RouteIntake reads a policy once, for all shards and for the health checks", () => {
  const { intake, tasks, kinds } = makeIntake();
  intake.registry.want(1, 1, 2);
  intake.take({ modId: 1, cmdId: 1, hosts, policy: text });
  const { route } = packRoute(1, 1, hosts, text);
  const parsedPolicy = parseModulePolicy(text);
  assert.deepEqual(tasks, [{
    type: "route",
    shard: 2,
    route: { ...route, parsedPolicy, stamp: undefined },
  }]);
  assert.deepEqual(kinds, ["ping"]);
  intake.registry.want(1, 1, 0);
  intake.take({ modId: 1, cmdId: 1, hosts, policy: text });
  assert.deepEqual(tasks.slice(1).map(({ type, shard }) => [type, shard]), [
    ["route", 0],
    ["confirm", 2],
  ]);
  assert.ok(tasks[1].type === "route" && tasks[0].type === "route");
  assert.equal(tasks[1].route.parsedPolicy, tasks[0].route.parsedPolicy);
});

test("RouteIntake keeps the policy before one that cannot be used, also for the health checks", () => {
  const { intake, tasks, kinds } = makeIntake();
  intake.registry.want(1, 1, 2);
  intake.take({ modId: 1, cmdId: 1, hosts, policy: text });
  for (const bad of ['{"policy":"none"}', '{"healthCheck":{"kind":"none"}}']) {
    intake.take({ modId: 1, cmdId: 1, hosts, policy: bad });
  }
  assert.deepEqual(tasks.map(({ type }) => type), ["route", "confirm", "confirm"]);
  assert.deepEqual(kinds, ["ping", "policy", "policy"]);
  assert.equal(intake.policiesRefused, 2);
  assert.equal(intake.registry.routeOf(1, 1)?.policy, text);
});

test("RouteIntake goes without the policy of a cached route that cannot be used", () => {
  const { intake } = makeIntake();
  intake.preload([packRoute(1, 1, hosts, "{").route, packRoute(2, 1, hosts, text).route]);
  assert.equal(intake.registry.routeOf(1, 1)?.policy, "");
  assert.deepEqual(intake.registry.routeOf(2, 1)?.parsedPolicy, parseModulePolicy(text));
  assert.equal(intake.policiesRefused, 1);
});

test("RouteIntake keeps the name that dns tells, bounded, and bothers no shard with it", () => {
  const { intake, tasks } = makeIntake();
  const { registry } = intake;
  registry.want(1, 1, 2);
  const route = { modId: 1, cmdId: 1, hosts, policy: "" };
  const steps: [name: string | undefined, shown: string][] = [
    ["pay", "pay"],
    [undefined, "pay"],
    ["x".repeat(5_000), "x".repeat(128)],
    ["", ""],
    ["pay", "pay"],
  ];
  for (const [name, shown] of steps) {
    intake.take({ ...route, name });
    assert.equal(registry.nameOf(1, 1), shown);
  }
  intake.take({ ...route, hosts: undefined, name: "held back" });
  assert.equal(registry.nameOf(1, 1), "held back", "also while its nodes are held back");
  assert.deepEqual(tasks.map(({ type }) => type), ["route", ...Array(5).fill("confirm")]);
  intake.take({ ...route, modId: 2, name: "nobody asked" });
  assert.deepEqual([registry.nameOf(2, 1), registry.size], ["", 1]);
  registry.forget(1, 1, 2);
  assert.equal(registry.nameOf(1, 1), "");
});
