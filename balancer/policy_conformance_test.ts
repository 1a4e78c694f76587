// Goal: every pick policy keeps what callers rely on. Method: one suite, run for each policy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RetCode } from "../proto/message_ids.ts";
import { Host } from "./host.ts";
import { HostList } from "./host_list.ts";
import type { PickPolicyFactory } from "./pick_policy.ts";
import { LarsPolicy } from "./policy_lars.ts";

const policies: Record<string, PickPolicyFactory> = { lars: () => new LarsPolicy() };
const owner = { settle(): void {} };

function listOf(first: number, count: number, overload: boolean): HostList<Host> {
  const list = new HostList<Host>();
  for (let ip = first; ip < first + count; ip++) {
    const host = new Host(ip, 80, owner, 0);
    host.overload = overload;
    list.pushTail(host);
  }
  return list;
}

for (const [name, create] of Object.entries(policies)) {
  const listsOf = (
    idle: number,
    overload: number,
  ): { idle: HostList<Host>; overload: HostList<Host> } => ({
    idle: listOf(0, idle, false),
    overload: listOf(100, overload, true),
  });

  test(`${name}: the name is the one configuration uses`, () => {
    assert.equal(create().name, name);
  });

  test(`${name}: without nodes the answer is NoExist`, () => {
    assert.equal(create().pick(listsOf(0, 0), 10), RetCode.NoExist);
  });

  test(`${name}: idle nodes share the calls evenly`, () => {
    const policy = create();
    const lists = listsOf(7, 0);
    const counts = new Map<Host | number, number>();
    for (let i = 0; i < 700; i++) {
      const host = policy.pick(lists, 10);
      counts.set(host, (counts.get(host) ?? 0) + 1);
    }
    assert.deepEqual([...counts.values()], new Array(7).fill(100));
  });

  test(`${name}: overload nodes get 1 call in probe_num + 1, all of them in time`, () => {
    for (const idle of [0, 1, 5]) {
      const policy = create();
      const lists = listsOf(idle, 3);
      const probed = new Set<Host>();
      let probes = 0;
      for (let i = 0; i < 330; i++) {
        const host = policy.pick(lists, 10);
        if (typeof host === "number") assert.equal(host, RetCode.Overload);
        else if (host.overload) probed.add(host), probes++;
        if (idle === 0 && typeof host !== "number") assert.ok(host.overload);
      }
      assert.deepEqual([probes, probed.size], [30, 3]);
    }
  });

  test(`${name}: nodes stay in their lists`, () => {
    const policy = create();
    const lists = listsOf(3, 2);
    for (let i = 0; i < 100; i++) policy.pick(lists, 2);
    assert.deepEqual([lists.idle.count, lists.overload.count], [3, 2]);
    for (const host of lists.idle) assert.equal(host.overload, false);
    for (const host of lists.overload) assert.equal(host.overload, true);
  });
}
