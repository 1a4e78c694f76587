import assert from "node:assert/strict";
import { test } from "node:test";
import { BEHIND_REST_MS, HostChoice, LOOK_BACK_MS } from "./host_choice.ts";

test("HostChoice keeps to who served last, then tries the order of the url", () => {
  const hosts = new HostChoice(3);
  assert.deepEqual([hosts.current, hosts.order], [0, [0, 1, 2]]);
  assert.equal(hosts.use(1), true);
  assert.equal(hosts.use(1), false, "nothing has changed");
  assert.deepEqual([hosts.current, hosts.order], [1, [1, 0, 2]]);
  hosts.leave(false, 0);
  assert.deepEqual(hosts.order, [2, 0, 1]);
  hosts.leave(false, 0);
  assert.deepEqual(hosts.order, [0, 1, 2], "after the last comes the first");
});

test("HostChoice looks back at earlier hosts alone, now and then", () => {
  const hosts = new HostChoice(3);
  assert.deepEqual(hosts.toLookAt(0), [], "the first one serves");
  hosts.use(2);
  assert.deepEqual(hosts.toLookAt(0), [0, 1]);
  assert.deepEqual(hosts.toLookAt(LOOK_BACK_MS - 1), []);
  hosts.use(1);
  assert.deepEqual(hosts.toLookAt(LOOK_BACK_MS), [0]);
  hosts.use(0);
  assert.deepEqual(hosts.toLookAt(2 * LOOK_BACK_MS), []);
});

test("HostChoice lets a host rest that lacked what was read before", () => {
  const hosts = new HostChoice(2);
  hosts.leave(true, 1000);
  assert.equal(hosts.current, 1);
  assert.deepEqual(hosts.toLookAt(1000 + BEHIND_REST_MS - 1), []);
  assert.deepEqual(hosts.toLookAt(1000 + BEHIND_REST_MS + LOOK_BACK_MS), [0]);
});
