import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nodeId } from "../model/node.ts";
import { hasHand, isHeld } from "../model/lease.ts";
import { planLeases } from "./lease_plan.ts";
import { leaseNode, LeaseWorld, PLAIN_SPEC } from "./testing/lease_world.ts";

const A = leaseNode(1);

test("plan: an operator's off, drain and weight win over heartbeats and registrations", () => {
  for (
    const values of [{ state: "off" }, { state: "drain" }, { weight: 7 }, { zone: "b" }] as const
  ) {
    const world = new LeaseWorld();
    world.register(A, { spec: { weight: 40, zone: "a" } });
    world.database.operate(A, values);
    const expected = { ...world.database.routes.get(nodeId(A)) };
    world.register(A, { spec: { weight: 50, zone: "a" } }); // Another program, another weight.
    const route = world.database.routes.get(nodeId(A));
    for (const name of Object.keys(values) as (keyof typeof values)[]) {
      assert.deepEqual(route?.[name], expected[name], `${name} stays`);
    }
    if (!("weight" in values)) assert.equal(route?.weight, 50, "the rest is the node's");
    const row = world.database.leases.get(nodeId(A));
    world.write([{ op: "leave", node: A, incarnation: row?.incarnation ?? 0 }]);
    assert.equal(world.database.stateOf(A), "none");
    world.register(A, { spec: { weight: 60, zone: "a" } });
    const again = world.database.routes.get(nodeId(A));
    for (const name of Object.keys(values) as (keyof typeof values)[]) {
      assert.deepEqual(again?.[name], expected[name], `${name} stays after it was gone`);
    }
  }
});

test("plan: an operator takes his hand back by on, by the node's own weight, or by free", () => {
  const world = new LeaseWorld();
  world.register(A, { spec: { weight: 40 } });
  world.database.operate(A, { state: "off", weight: 7 });
  world.write([{ op: "look", node: A }]);
  assert.deepEqual(world.database.leases.get(nodeId(A))?.hand, {
    ...{ state: "off", weight: 7, zone: undefined },
  });
  world.database.operate(A, { state: "on", weight: 40 });
  world.write([{ op: "look", node: A }]);
  assert.equal(hasHand(world.database.leases.get(nodeId(A)) ?? { hand: { weight: 1 } }), false);
  world.database.operate(A, { state: "drain" });
  world.write([{ op: "look", node: A }, { op: "free", node: A }]);
  assert.equal(world.database.stateOf(A), "on");
});

test("plan: a route that an operator removes ends the registration", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A);
  world.database.routes.delete(nodeId(A));
  const [outcome] = world.write([
    { op: "renew", node: A, incarnation: row?.incarnation ?? 0, holder: 1 },
  ]);
  assert.equal(outcome.result, "unknown");
  assert.equal(world.database.stateOf(A), "none");
  assert.equal(world.table.count, 0);
});

test("plan: a node that an operator wrote into the route himself stays his", () => {
  const world = new LeaseWorld();
  const own = { ...A, weight: 3, zone: "z", state: "on" } as const;
  world.database.routes.set(nodeId(A), own);
  const { row } = world.register(A, { spec: { weight: 90 } });
  assert.deepEqual(world.database.routes.get(nodeId(A)), own);
  world.write([{ op: "leave", node: A, incarnation: row?.incarnation ?? 0 }]);
  assert.deepEqual(world.database.routes.get(nodeId(A)), own);
});

test("plan: a node that is not ready is in no route; one that is no more gets no new calls", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A, { spec: { isReady: false } });
  const incarnation = row?.incarnation ?? 0;
  const change = (isReady: boolean) =>
    void world.write([{ op: "change", node: A, incarnation, change: { isReady } }]);
  assert.equal(world.database.stateOf(A), "none");
  change(true);
  assert.equal(world.database.stateOf(A), "on");
  change(false);
  assert.equal(world.database.stateOf(A), "drain");
  change(true);
  assert.equal(world.database.stateOf(A), "on");
});

test("plan: a node that is to be checked is in no route before it answered, and drains when it fails", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A, { spec: { check: "tcp" } });
  const incarnation = row?.incarnation ?? 0;
  const check = (isGood: boolean): void =>
    void world.write([{ op: "check", node: A, incarnation, holder: 1, isGood }]);
  const change = (isReady: boolean): void =>
    void world.write([{ op: "change", node: A, incarnation, change: { isReady } }]);
  const stands = (): string[] => [
    world.database.leases.get(nodeId(A))?.phase ?? "",
    world.database.stateOf(A),
  ];
  assert.deepEqual(stands(), ["checking", "none"]);
  check(false);
  assert.deepEqual(stands(), ["checking", "none"]);
  check(true);
  assert.deepEqual(stands(), ["live", "on"]);
  check(false);
  assert.deepEqual(stands(), ["failing", "drain"]);
  world.register(A, { spec: { check: "tcp" }, previous: incarnation });
  assert.deepEqual(stands(), ["failing", "drain"], "its word alone does not bring it back");
  check(true);
  change(false);
  assert.deepEqual(stands(), ["drain", "drain"]);
  check(true);
  assert.deepEqual(stands(), ["drain", "drain"], "what wants no calls gets none");
  change(true);
  assert.deepEqual(stands(), ["failing", "drain"]);
  check(true);
  world.write([{ op: "doubt", node: A, incarnation, holder: 1 }]);
  check(true);
  assert.deepEqual(stands(), ["doubt", "drain"], "an answer is no heartbeat");
  world.write([{ op: "renew", node: A, incarnation, holder: 1 }]);
  assert.deepEqual(stands(), ["live", "on"]);
  const next = world.register(A, { spec: { check: "tcp" } });
  const [late] = world.write([{ op: "check", node: A, incarnation, holder: 1, isGood: true }]);
  assert.equal(late.result, "superseded", "what was seen of another registration");
  assert.deepEqual(world.database.leases.get(nodeId(A)), next.row);
});

test("plan: a node whose lease has ended may say twice that it is back", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A);
  const previous = row?.incarnation ?? 0;
  world.write([{ op: "expire", node: A, incarnation: previous, holder: 1 }]);
  assert.equal(world.database.stateOf(A), "none");
  // The answer to the first time was lost: it does not know that it is registered again.
  const first = world.register(A, { previous });
  const second = world.register(A, { previous });
  assert.deepEqual([first.result, second.result], ["done", "done"]);
  assert.equal(first.row?.incarnation, second.row?.incarnation);
  assert.equal(world.database.stateOf(A), "on");
  const other = world.register(A);
  assert.notEqual(other.row?.incarnation, previous, "another program is another registration");
  assert.equal(world.register(A, { previous }).result, "superseded");
  world.write([{ op: "expire", node: A, incarnation: other.row?.incarnation ?? 0, holder: 1 }]);
  assert.notEqual(world.register(A, { previous }).row?.incarnation, previous, "it was another's");
});

test("plan: a lease of somebody else is left alone by who must own it", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A, { spec: { owner: "ann/ci" } });
  const incarnation = row?.incarnation ?? 0;
  const spec = { ...PLAIN_SPEC, owner: "bob/ci" };
  const register = { op: "register", node: A, spec, previous: 0, holder: 1 } as const;
  const again = { ...register, incarnation: 99, makesModule: true };
  const outcomes = world.write([
    { ...again, owner: "bob/ci" },
    { op: "change", node: A, incarnation, owner: "bob/ci", change: { weight: 1 } },
    { op: "leave", node: A, incarnation, owner: "bob/ci" },
  ]);
  assert.deepEqual(outcomes.map(({ result }) => result), ["foreign", "foreign", "foreign"]);
  assert.deepEqual(world.database.leases.get(nodeId(A)), row, "nothing changed");
  world.write([{ op: "leave", node: A, incarnation, owner: "ann/ci" }]);
  const [taken] = world.write([{ ...again, owner: "bob/ci" }]);
  assert.equal(taken.result, "done", "one that is over is nobody's");
});

test("plan: a module that nobody has made is refused, unless it is to be made", () => {
  const world = new LeaseWorld();
  const node = leaseNode(1, 77, 1);
  assert.equal(world.register(node).result, "no-module");
  assert.equal(world.database.leases.size + world.database.routes.size, 0, "nothing changed");
  assert.equal(world.register(node, { makesModule: true }).result, "done");
  assert.equal(world.register(leaseNode(2, 77, 1)).result, "done", "now there is one");
});

test("plan: wishes for one node in one batch count in their order", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A);
  const incarnation = row?.incarnation ?? 0;
  const outcomes = world.write([
    { op: "doubt", node: A, incarnation, holder: 1 },
    { op: "renew", node: A, incarnation, holder: 1 },
    { op: "leave", node: A, incarnation },
    { op: "renew", node: A, incarnation, holder: 1 },
  ]);
  assert.deepEqual(outcomes.map(({ result }) => result), ["done", "done", "done", "unknown"]);
  assert.equal(world.database.routes.size, 0);
});

test("plan: routes are always what the leases want, or what an operator does", () => {
  const step = fc.record({
    kind: fc.constantFrom(
      "register",
      "again",
      "leave",
      "doubt",
      "expire",
      "off",
      "on",
      "remove",
      "ready",
    ),
    node: fc.integer({ min: 1, max: 3 }),
    weight: fc.integer({ min: 1, max: 5 }),
    flag: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new LeaseWorld();
      const { database } = world;
      /** What the operator wants, kept by the test. */
      const off = new Set<string>();
      for (const { kind, node: index, weight, flag } of steps) {
        const node = leaseNode(index);
        const id = nodeId(node);
        const row = database.leases.get(id);
        const incarnation = row?.incarnation ?? 0;
        if (kind === "register") world.register(node, { spec: { weight, isReady: flag } });
        else if (kind === "again") {
          world.register(node, { previous: incarnation, spec: { weight } });
        } else if (kind === "leave") world.write([{ op: "leave", node, incarnation }]);
        else if (kind === "ready") {
          world.write([{ op: "change", node, incarnation, change: { isReady: flag } }]);
        } else if (kind === "doubt" || kind === "expire") {
          world.write([{ op: kind, node, incarnation, holder: 1 }]);
        } else if (database.routes.has(id)) {
          if (kind === "remove") database.routes.delete(id);
          else database.operate(node, { state: kind });
          if (kind === "off") off.add(id);
          else off.delete(id);
          world.write([{ op: "look", node }]);
        }
        for (const lease of database.leases.values()) {
          const route = database.routes.get(nodeId(lease));
          const isListed = isHeld(lease) && lease.phase !== "waiting";
          assert.equal(route !== undefined, isListed, `${lease.phase} has ${route?.state}`);
          if (route === undefined) continue;
          const expected = off.has(nodeId(lease)) ? "off" : lease.phase === "live" ? "on" : "drain";
          assert.equal(route.state, expected);
        }
        assert.equal(world.table.count, [...database.leases.values()].filter(isHeld).length);
      }
    }),
    { numRuns: 300 },
  );
});

test("plan: a node that registered after the state to which the database was set back goes on", () => {
  const world = new LeaseWorld();
  const { row: old } = world.register(A);
  const backup = new Map(world.database.leases);
  const { row: newer } = world.register(A);
  const [was, is] = [old?.incarnation ?? 0, newer?.incarnation ?? 0];
  world.database.leases.clear();
  for (const [id, row] of backup) world.database.leases.set(id, row);
  // A discovery that knows no more than the database does.
  const restarted = new LeaseWorld({}, { database: world.database, clock: world.clock, holder: 2 });
  const [changed] = restarted.write([
    { op: "change", node: A, incarnation: is, change: { weight: 7 } },
  ]);
  assert.equal(changed.result, "unknown", "it is to register again");
  const again = restarted.register(A, { previous: is });
  assert.deepEqual([again.result, again.row?.incarnation], ["done", is]);
  assert.equal(restarted.register(A, { previous: is }).row?.incarnation, is, "also twice");
  assert.equal(restarted.register(A, { previous: was }).result, "superseded", "the older does not");
  assert.equal(world.database.stateOf(A), "on");
});

test("plan: a number that no discovery can have given does not win over a registration", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A);
  assert.equal(world.register(A, { previous: 2 ** 52 }).result, "superseded");
  assert.equal(world.database.leases.get(nodeId(A))?.incarnation, row?.incarnation);
});

test("plan: a registration is above the one whose place it takes, though its clock is behind", () => {
  const world = new LeaseWorld();
  const spec = PLAIN_SPEC;
  const register = { op: "register", node: A, spec, previous: 0, holder: 1 } as const;
  const [first] = world.write([{ ...register, incarnation: 900, makesModule: false }]);
  const [second] = world.write([{ ...register, incarnation: 500, makesModule: false }]);
  assert.deepEqual([first.row?.incarnation, second.row?.incarnation], [900, 901]);
});

test("plan: a lease that is written again does not undo what was written since it was looked at", () => {
  for (const isSame of [true, false]) {
    const world = new LeaseWorld();
    const { row: known } = world.register(A);
    assert.ok(known !== undefined);
    // As the database has it after it was set back.
    const seen = { ...known, weight: 3 };
    world.database.leases.set(nodeId(A), seen);
    const { incarnation } = known;
    const other = new LeaseWorld({}, { database: world.database, holder: 2 });
    if (!isSame) other.write([{ op: "change", node: A, incarnation, change: { isReady: false } }]);
    const [outcome] = world.write([{ op: "restore", node: A, row: known, seen }]);
    assert.equal(outcome.result, isSame ? "done" : "superseded");
    const stored = world.database.leases.get(nodeId(A));
    assert.equal(stored?.weight, isSame ? known.weight : 3);
    assert.equal(world.database.stateOf(A), isSame ? "on" : "drain", "what its node said stays");
  }
});

test("plan: a loss is late when others wrote before, and not when the node is another's", () => {
  const world = new LeaseWorld();
  const { row } = world.register(A, { spec: { check: "tcp" } });
  assert.ok(row !== undefined);
  const { incarnation } = row;
  const results = (holder: number, isCurrent: boolean): string[] => {
    const ground = { leases: [row], routes: [], named: [], nowS: 1000, isCurrent };
    const wish = { node: A, incarnation, holder } as const;
    return planLeases(ground, [
      { ...wish, op: "doubt" },
      { ...wish, op: "check", isGood: false },
      { ...wish, op: "expire" },
    ]).outcomes.map(({ result }) => result);
  };
  assert.deepEqual(results(1, false), ["late", "late", "late"]);
  assert.deepEqual(results(2, false), ["not-held", "not-held", "not-held"]);
  assert.deepEqual(results(2, true), ["not-held", "not-held", "not-held"]);
});
