import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ActiveHosts, Host, HostList } from "./host.ts";

const owner = { settle(): void {}, stillOut(): void {} };
const makeHosts = (count: number): Host[] =>
  Array.from({ length: count }, (_, ip) => new Host(ip, 1, owner, 0));

test("HostList behaves like an array under any history", () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom("push", "remove", "rotate"), fc.nat({ max: 7 })),
    { maxLength: 100 },
  );
  fc.assert(fc.property(steps, (history) => {
    const hosts = makeHosts(8);
    const list = new HostList<Host>();
    const model: Host[] = [];
    for (const [kind, index] of history) {
      const host = hosts[index];
      const at = model.indexOf(host);
      if (kind === "push" && at < 0) {
        list.pushTail(host);
        model.push(host);
      } else if (kind === "remove" && at >= 0) {
        list.remove(host);
        model.splice(at, 1);
      } else if (kind === "rotate") {
        const head = model.shift();
        if (head !== undefined) model.push(head);
        assert.equal(list.rotate(), head);
      }
      assert.deepEqual([...list].map((h) => h.ip), model.map((h) => h.ip));
      assert.equal(list.count, model.length);
      assert.equal(list.head, model[0]);
    }
  }));
});

test("HostList refuses an item that is in a list, or is not in this one", () => {
  const [host] = makeHosts(1);
  const list = new HostList<Host>();
  assert.throws(() => list.remove(host), /Item is not in this list/);
  list.pushTail(host);
  assert.throws(() => new HostList<Host>().pushTail(host), /Item is in a list already/);
  assert.throws(() => new HostList<Host>().remove(host), /Item is not in this list/);
});

test("ActiveHosts settles what is due, also when nodes leave meanwhile", () => {
  const active = new ActiveHosts();
  const settled: number[] = [];
  const leaving = {
    settle(host: Host): void {
      settled.push(host.ip);
      active.remove(host);
    },
    stillOut(): void {},
  };
  const hosts = Array.from({ length: 6 }, (_, ip) => new Host(ip, 1, leaving, 0));
  for (const host of hosts) {
    host.dueMs = host.ip % 2 === 0 ? 10 : 20;
    active.add(host);
    active.add(host);
  }
  assert.equal(active.count, 6);
  active.settle(9);
  assert.deepEqual(settled, []);
  active.settle(10);
  assert.deepEqual(settled.sort(), [0, 2, 4]);
  active.remove(hosts[0]);
  active.settle(20);
  assert.deepEqual(settled.sort(), [0, 1, 2, 3, 4, 5]);
  assert.equal(active.count, 0);
});
