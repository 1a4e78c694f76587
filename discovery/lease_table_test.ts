import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nodeId } from "../model/node.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { LeaseDatabase, leaseNode, LeaseWorld } from "./testing/lease_world.ts";

const A = leaseNode(1);

/** A world in which `count` nodes have registered, each over a connection of its own. */
function worldOf(count: number, options = {}): {
  world: LeaseWorld;
  keepers: ReturnType<LeaseWorld["table"]["openKeeper"]>[];
} {
  const world = new LeaseWorld(options);
  const keepers = Array.from({ length: count }, (_, index) => {
    const keeper = world.table.openKeeper();
    world.register(leaseNode(index + 1), { keeper });
    return keeper;
  });
  return { world, keepers };
}

test("lease: one frame of a connection renews all its leases, and silence ends them after the ttl", () => {
  const world = new LeaseWorld();
  const keeper = world.table.openKeeper();
  for (let index = 1; index <= 3; index++) world.register(leaseNode(index), { keeper });
  world.run(60_000, () => world.table.heardKeeper(keeper));
  assert.equal(world.table.liveCount({ modId: 1, cmdId: 1 }), 3);
  world.guard.setSettings({
    ...{ moduleShare: 1, totalShare: 1, moduleNodesMin: 99, totalNodesMin: 99, windowMs: 1000 },
  });
  world.run(14_500);
  assert.equal(world.table.count, 3, "not before the ttl is over");
  world.run(1_500);
  assert.equal(world.table.count, 0, "at most a second after it");
  assert.equal(world.database.routes.size, 0);
});

test("lease: a connection lost puts its nodes in doubt at once, coming again takes them back", () => {
  const { world, keepers } = worldOf(4);
  const { incarnation = 0 } = world.table.get(A)?.row ?? {};
  world.table.lose(keepers[0]);
  world.tick();
  assert.equal(world.database.stateOf(A), "drain", "known, and gets no new calls");
  const keeper = world.table.openKeeper();
  world.register(A, { keeper, previous: incarnation });
  world.tick();
  assert.equal(world.database.stateOf(A), "on");
  assert.equal(world.table.get(A)?.row.incarnation, incarnation, "the same registration");
  world.table.lose(keeper);
  world.tick();
  assert.equal(world.table.heard(A, incarnation), "heard");
  world.tick();
  assert.equal(world.database.stateOf(A), "on", "a heartbeat takes it back as well");
});

test("lease: in doubt until its time is over, then out", () => {
  const { world, keepers } = worldOf(4);
  world.table.lose(keepers[0]);
  const others = (): void => keepers.slice(1).forEach((keeper) => world.table.heardKeeper(keeper));
  world.run(14_000, others);
  assert.equal(world.database.stateOf(A), "drain");
  world.run(2_000, others);
  assert.equal(world.database.stateOf(A), "none");
  assert.equal(world.table.count, 3);
});

test("lease: the end of an old connection cannot touch a new registration", () => {
  const { world, keepers } = worldOf(4);
  const old = world.table.get(A)?.row.incarnation ?? 0;
  const keeper = world.table.openKeeper();
  const outcome = world.register(A, { keeper });
  assert.notEqual(outcome.row?.incarnation, old);
  world.table.lose(keepers[0]);
  world.tick();
  assert.equal(world.database.stateOf(A), "on");
  assert.equal(world.table.heard(A, old), "superseded");
  const [left] = world.write([{ op: "leave", node: A, incarnation: old }]);
  assert.equal(left.result, "superseded");
  const again = world.register(A, { keeper: world.table.openKeeper(), previous: old });
  assert.equal(again.result, "superseded", "the older program does not come back by itself");
  assert.equal(world.database.stateOf(A), "on");
});

test("lease: a program that was stopped for 20 s expires nobody that lives", () => {
  const { world, keepers } = worldOf(50);
  for (let round = 0; round < 20; round++) {
    world.stall(20_000);
    world.tick();
    // What they said meanwhile is read only now, connections that ended are found out now.
    for (const [index, keeper] of keepers.entries()) {
      if (index % 2 === 0) world.table.heardKeeper(keeper);
      else world.table.lose(keeper);
    }
    world.tick();
    assert.equal(world.table.liveCount(), 50, `round ${round}`);
    for (let index = 1; index < 50; index += 2) {
      const keeper = keepers[index] = world.table.openKeeper();
      const previous = world.table.get(leaseNode(index + 1))?.row.incarnation ?? 0;
      world.register(leaseNode(index + 1), { keeper, previous });
    }
    world.run(6_000, () => keepers.forEach((keeper) => world.table.heardKeeper(keeper)));
    assert.equal(world.table.liveCount(), 50, `after round ${round}`);
  }
});

test("lease: while the database is away nothing ends, and who was heard meanwhile stays", () => {
  const { world, keepers } = worldOf(5);
  world.database.up = false;
  world.run(60_000, () => keepers.slice(1).forEach((keeper) => world.table.heardKeeper(keeper)));
  assert.equal(world.database.stateOf(A), "on");
  world.table.heardKeeper(keepers[0]);
  world.database.up = true;
  world.run(1_000, () => keepers.forEach((keeper) => world.table.heardKeeper(keeper)));
  assert.equal(world.table.liveCount(), 5);
});

test("lease: a restart expires nobody before a full ttl has passed under it", () => {
  const { world } = worldOf(3);
  world.stall(14_000);
  const next = new LeaseWorld({ moduleNodesMin: 9 }, {
    database: world.database,
    clock: world.clock,
    holder: 2,
  });
  next.write(next.table.adoptions(1, 100));
  next.run(14_000);
  assert.equal(next.table.count, 3);
  next.run(2_000);
  assert.equal(next.table.count, 0);
});

test("lease: of two discoveries the one that hears a node holds it", () => {
  const database = new LeaseDatabase();
  const clock = new ManualClock();
  const [one, two] = [1, 2].map((holder) =>
    new LeaseWorld({ moduleNodesMin: 9 }, { database, clock, holder })
  );
  const keeper = one.table.openKeeper();
  const { row } = one.register(A, { keeper });
  two.table.apply(database.leases.values());
  one.table.lose(keeper);
  assert.equal(two.table.heard(A, row?.incarnation ?? 0, two.table.openKeeper()), "heard");
  two.write(two.table.wishes(10));
  one.tick(); // It has not yet read that the other one holds it.
  assert.equal(database.stateOf(A), "on");
  one.table.apply(database.leases.values());
  assert.deepEqual(one.table.wishes(10), []);
});

test("lease: one that is heard here while another discovery has taken it over is taken back", () => {
  const database = new LeaseDatabase();
  const clock = new ManualClock();
  const [one, two] = [1, 2].map((holder) =>
    new LeaseWorld({ moduleNodesMin: 9 }, { database, clock, holder })
  );
  const keeper = one.table.openKeeper();
  one.register(A, { keeper });
  two.table.apply(database.leases.values());
  two.write(two.table.adoptions(1, 100)); // It was silent in the database, and heard nodes all along.
  one.table.apply(database.leases.values());
  assert.deepEqual(one.table.wishes(10), [], "not before something is heard");
  const run = (ms: number, isHeard: boolean): void => {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      two.run(100);
      one.time.tick();
      if (isHeard) one.table.heardKeeper(keeper);
      one.tick();
      for (const world of [one, two]) world.table.apply(database.leases.values());
    }
  };
  run(60_000, true);
  assert.equal(database.stateOf(A), "on");
  assert.equal([...database.leases.values()][0].holder, 1);
  run(16_000, false);
  assert.equal(database.stateOf(A), "none", "silence ends it as ever");
});

test("lease: taken over before the database went away, it lives on when that is back", () => {
  const database = new LeaseDatabase();
  const clock = new ManualClock();
  const [one, two] = [1, 2].map((holder) =>
    new LeaseWorld({ moduleNodesMin: 9 }, { database, clock, holder })
  );
  const keeper = one.table.openKeeper();
  one.register(A, { keeper });
  two.table.apply(database.leases.values());
  two.write(two.table.adoptions(1, 100));
  database.up = false;
  const pass = (ms: number): void => {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      two.run(100);
      one.time.tick();
      one.table.heardKeeper(keeper);
      one.tick();
    }
  };
  pass(60_000); // The first one does not know that another holds it.
  database.up = true;
  for (const world of [two, one]) world.table.databaseBack();
  two.tick();
  assert.equal(database.stateOf(A), "on", "whoever writes first");
  one.table.apply(database.leases.values());
  pass(1_000);
  two.table.apply(database.leases.values());
  pass(60_000);
  assert.equal(database.stateOf(A), "on");
  assert.equal([...database.leases.values()][0].holder, 1);
});

test("guard: too many at once are held, and go when their hosts refuse, or somebody confirms", () => {
  const { world, keepers } = worldOf(10);
  for (const keeper of keepers.slice(0, 6)) world.table.lose(keeper);
  const others = (): void => keepers.slice(6).forEach((keeper) => world.table.heardKeeper(keeper));
  world.run(30_000, others);
  assert.equal(world.table.liveCount(), 10, "six of ten stay");
  assert.equal(world.guard.held[0].heldCount, 6);
  for (const lease of world.table.seemingLost().slice(0, 2)) lease.isProved = true;
  world.tick();
  assert.equal(world.table.liveCount(), 4, "the other four are no more than may be lost");
  assert.deepEqual(world.guard.held, []);
});

test("guard: confirmed by somebody, all that are held go", () => {
  const { world, keepers } = worldOf(10);
  for (const keeper of keepers) world.table.lose(keeper);
  world.run(20_000);
  assert.equal(world.table.liveCount(), 10);
  world.guard.confirm({ modId: 1, cmdId: 1 });
  world.run(500);
  assert.equal(world.table.count, 0);
});

test("guard: it ends by itself when the nodes come back", () => {
  const { world, keepers } = worldOf(10);
  for (const keeper of keepers) world.table.lose(keeper);
  world.run(3_000);
  assert.equal(world.guard.held[0].heldCount, 10);
  for (let index = 1; index <= 10; index++) {
    const previous = world.table.get(leaseNode(index))?.row.incarnation ?? 0;
    world.register(leaseNode(index), { keeper: world.table.openKeeper(), previous });
  }
  world.tick();
  assert.deepEqual(world.guard.held, []);
  assert.equal(world.table.liveCount(), 10);
});

test("guard: one of two, and two of three, may always go", () => {
  for (const [count, lost] of [[2, 1], [3, 2], [1, 1], [2, 2]]) {
    const { world, keepers } = worldOf(count);
    for (const keeper of keepers.slice(0, lost)) world.table.lose(keeper);
    world.tick();
    assert.equal(world.table.liveCount(), count - lost, `${lost} of ${count}`);
  }
});

test("guard: nodes that fail the checks of another discovery count with those that fail here", () => {
  const database = new LeaseDatabase();
  const clock = new ManualClock();
  const [one, two] = [1, 2].map((holder) => new LeaseWorld({}, { database, clock, holder }));
  const nodes = Array.from({ length: 8 }, (_, index) => leaseNode(index + 1));
  for (const [index, node] of nodes.entries()) {
    const by = index < 4 ? one : two;
    const { row } = by.register(node, { spec: { check: "tcp" } });
    const { incarnation = 0 } = row ?? {};
    by.write([{ op: "check", node, incarnation, holder: by.holder, isGood: true }]);
    for (const world of [one, two]) world.table.apply(database.leases.values());
  }
  const fails = ({ holder, table }: LeaseWorld, node: (typeof nodes)[number]) => {
    const { row: { incarnation } } = table.get(node) ?? { row: { incarnation: 0 } };
    return { op: "check", node, incarnation, holder, isGood: false } as const;
  };
  one.write(nodes.slice(0, 3).map((node) => fails(one, node)));
  two.table.apply(database.leases.values());
  const lost = nodes.slice(4, 6).map((node) => ({
    module: node,
    id: nodeId(node),
    isProved: false,
  }));
  const count = (): number => two.table.liveCount({ modId: 1, cmdId: 1 });
  assert.equal(count(), 5);
  const judge = (): number => two.checkGuard.split(lost, count, clock.nowMs()).go.length;
  assert.equal(judge(), 0, "with the three there it would be five of eight");
  one.write([{ ...fails(one, nodes[0]), isGood: true }]);
  two.table.apply(database.leases.values());
  assert.equal(judge(), 2, "one of them answers again");
});

const beat = fc.record({
  kind: fc.constantFrom("beat", "reconnect", "restart", "stall", "away", "back", "wait"),
  node: fc.integer({ min: 1, max: 4 }),
  ms: fc.integer({ min: 100, max: 30_000 }),
});

test("lease: whatever happens, a node that beats in time never leaves the route for good", () => {
  fc.assert(
    fc.property(fc.array(beat, { maxLength: 60 }), (steps) => {
      const { world, keepers } = worldOf(4, { moduleShare: 1, totalShare: 1 });
      const beatAll = (): void => keepers.forEach((keeper) => world.table.heardKeeper(keeper));
      for (const { kind, node, ms } of steps) {
        const lease = world.table.get(leaseNode(node));
        assert.ok(lease !== undefined, `node ${node} has expired`);
        if (kind === "beat") beatAll();
        else if (kind === "away") world.database.up = false;
        else if (kind === "back") world.database.up = true;
        else if (kind === "stall") world.stall(ms);
        else if (kind === "wait") world.run(Math.min(ms, 5_000), beatAll);
        else if (kind === "reconnect" || kind === "restart") {
          const previous = kind === "reconnect" ? lease.row.incarnation : 0;
          const old = keepers[node - 1];
          keepers[node - 1] = world.table.openKeeper();
          if (!world.database.up) world.database.up = true;
          world.register(leaseNode(node), { keeper: keepers[node - 1], previous });
          world.table.lose(old); // The old connection may end late.
        }
      }
      world.database.up = true;
      world.run(8_000, beatAll);
      for (let node = 1; node <= 4; node++) {
        assert.equal(world.database.stateOf(leaseNode(node)), "on");
      }
    }),
    { numRuns: 200 },
  );
});
