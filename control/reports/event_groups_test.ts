import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventView } from "../schemas.ts";
import { FLIP_PAUSE_MAX_MS, groupEvents } from "./event_groups.ts";

let id = 0;

function event(atS: number, kind: string, values: Partial<EventView> = {}): EventView {
  const about = { modId: 1, cmdId: 2, node: "10.0.0.1:80", host: "10.9.0.1" };
  return { id: ++id, atMs: atS * 1000, kind, severity: "info", ...about, text: kind, ...values };
}

/** A node that goes out and comes back each 18 s. */
function flips(count: number, values: Partial<EventView> = {}): EventView[] {
  return Array.from(
    { length: count },
    (_, at) => event(at * 9, at % 2 === 0 ? "node.overload" : "node.idle", values),
  );
}

test("groupEvents(): the flips of one node are one line, and each is still there", () => {
  const all = flips(40).reverse();
  const [group, ...rest] = groupEvents(all);
  assert.deepEqual(rest, []);
  assert.deepEqual(group.events, all);
  assert.equal(
    group.text,
    "10.0.0.1:80 was kept out 20 times and came back 20 times within 6 min; it came back last",
  );
});

test("groupEvents(): what is between them stays, and two nodes are two stories", () => {
  const other = { node: "10.0.0.2:80", host: "10.9.0.2" };
  const mixed = [
    ...flips(6),
    event(60, "alert.firing"),
    ...flips(6, other),
    event(80, "route.set"),
  ];
  mixed.sort((a, b) => b.atMs - a.atMs);
  mixed.forEach((one, index) => Object.assign(one, { id: 1000 - index }));
  const groups = groupEvents(mixed);
  assert.deepEqual(groups.map(({ event, events }) => [event.kind, event.node, events.length]), [
    ["route.set", "10.0.0.1:80", 1],
    ["alert.firing", "10.0.0.1:80", 1],
    ["node.idle", "10.0.0.1:80", 6],
    ["node.idle", "10.0.0.2:80", 6],
  ]);
  assert.equal(groups.flatMap(({ events }) => events).length, mixed.length, "none is lost");
});

test("groupEvents(): out and back once are two lines, and a long pause parts two stories", () => {
  assert.equal(groupEvents(flips(2).reverse()).length, 2);
  const late = flips(4).map((one) => ({ ...one, atMs: one.atMs + FLIP_PAUSE_MAX_MS + 60_000 }));
  const groups = groupEvents([...late.reverse(), ...flips(4).reverse()]);
  assert.deepEqual(groups.map(({ events }) => events.length), [4, 4]);
});

test("groupEvents(): one node at many hosts is one story", () => {
  const hosts = Array.from(
    { length: 30 },
    (_, at) => event(at, "node.overload", { host: `h${at}` }),
  );
  const [group] = groupEvents(hosts.reverse());
  assert.match(group.text, /kept out 30 times at 30 hosts and came back 0 times within 29 s/);
});
