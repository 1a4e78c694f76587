import assert from "node:assert/strict";
import { test } from "node:test";
import { PushGuard } from "../../../feed/route_subscriber.ts";
import { heldRoutes } from "./held_routes.ts";
import type { ServiceView } from "../../../control/schemas.ts";

const agent: ServiceView = {
  kind: "agent",
  address: "127.0.0.1:8888",
  software: "",
  startedAtMs: 0,
  seenAtMs: 0,
  isSilent: false,
  revision: null,
  revisionLag: null,
  detail: {},
};

test("heldRoutes() reads what an agent says of itself", () => {
  const guard = new PushGuard(600_000);
  guard.judge(1, 2, 4, 0, false, 1000);
  guard.judge(4_294_967_295, 0, 20, 9, false, 3000);
  const detail = { routesHeldBack: guard.describe(13_000), modulesHeld: 2 };
  assert.deepEqual(heldRoutes([{ ...agent, detail }]), [
    {
      agent: "127.0.0.1:8888",
      modId: 1,
      cmdId: 2,
      nodesAfter: 0,
      nodesBefore: 4,
      heldMs: 12_000,
    },
    {
      agent: "127.0.0.1:8888",
      modId: 4_294_967_295,
      cmdId: 0,
      nodesAfter: 9,
      nodesBefore: 20,
      heldMs: 10_000,
    },
  ]);
  for (let modId = 10; modId < 20; modId++) guard.judge(modId, 1, 4, 1, false, 3000);
  const many = { routesHeldBack: guard.describe(13_000) };
  assert.match(many.routesHeldBack, /and 7 more$/);
  assert.equal(heldRoutes([{ ...agent, detail: many }]).length, 5);
});

test("heldRoutes() passes over silent agents, other services and other text", () => {
  const detail = { routesHeldBack: "1,2: 0 of 4 nodes, 12 s" };
  assert.equal(heldRoutes([{ ...agent, detail }]).length, 1);
  assert.deepEqual(heldRoutes([{ ...agent, isSilent: true, detail }]), []);
  assert.deepEqual(heldRoutes([{ ...agent, kind: "dns", detail }]), []);
  for (const text of ["", "1,2", "x,y: 0 of 4 nodes, 12 s", "and 3 more", 7]) {
    assert.deepEqual(heldRoutes([{ ...agent, detail: { routesHeldBack: text } }]), []);
  }
});
