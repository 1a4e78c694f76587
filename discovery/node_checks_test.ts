import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckOutcome } from "../daemon/node_check.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { LossGuard } from "./loss_guard.ts";
import { NODE_CHECKS_AT_ONCE_MAX, NodeChecks } from "./node_checks.ts";
import type { LeaseWish } from "./lease_plan.ts";
import { leaseNode, LeaseWorld } from "./testing/lease_world.ts";

const GOOD: CheckOutcome = { result: "good", fault: "" };
const BAD: CheckOutcome = { result: "bad", fault: "status 503" };
const REFUSED: CheckOutcome = { result: "refused", fault: "refused" };

interface CheckWorld {
  readonly world: LeaseWorld;
  readonly guard: LossGuard;
  /** What nodes answer, by number; others are good. */
  readonly answers: Map<number, CheckOutcome>;
  readonly looks: number[];
  readonly faults: string[];
  most: number;
  /** What discovery is asked; at first it is written at once. */
  ask(wish: LeaseWish): Promise<unknown>;
  run(ms: number): Promise<void>;
}

function checkWorld(count: number, check = "tcp", looks = true): CheckWorld {
  const world = new LeaseWorld();
  const guard = new LossGuard();
  const keeper = world.table.openKeeper();
  let running = 0;
  const given: CheckWorld = {
    ...{ world, guard, answers: new Map(), looks: [], faults: [], most: 0 },
    ask: (wish) => Promise.resolve(world.write([wish])),
    async run(ms): Promise<void> {
      for (let passedMs = 0; passedMs < ms; passedMs += 100) {
        world.run(100, () => world.table.heardKeeper(keeper));
        if (passedMs % 300 === 0) checks.round();
        for (let turn = 0; turn < 8; turn++) await Promise.resolve();
      }
    },
  };
  const checks = new NodeChecks({
    ...{ clock: world.clock, rng: seededRng(1), time: world.time, table: world.table, guard },
    ...{ holder: 1, looks, ask: (wish) => given.ask(wish) },
    onFault: (error) => void given.faults.push(String(error)),
    async look({ row }): Promise<CheckOutcome> {
      if (row.check !== "tcp") throw new RangeError(row.check);
      given.looks.push(row.ip & 0xffff);
      given.most = Math.max(given.most, ++running);
      await Promise.resolve();
      running--;
      return given.answers.get(row.ip & 0xffff) ?? GOOD;
    },
  });
  for (let index = 1; index <= count; index++) {
    world.register(leaseNode(index), { keeper, spec: { check } });
  }
  return given;
}

test("checks: a node gets calls once it answers, and none after three failures in a row", async () => {
  const given = checkWorld(4);
  const state = (): string => given.world.database.stateOf(leaseNode(1));
  given.answers.set(1, BAD);
  await given.run(3_000);
  assert.equal(state(), "none", "it never answered");
  assert.equal(given.world.database.stateOf(leaseNode(2)), "on");
  given.answers.delete(1);
  await given.run(1_000);
  assert.equal(state(), "on");
  given.answers.set(1, BAD);
  await given.run(2_500);
  given.answers.delete(1);
  await given.run(1_000);
  assert.equal(state(), "on", "once or twice is nothing");
  given.answers.set(1, BAD);
  await given.run(6_000);
  assert.equal(state(), "drain");
  given.answers.delete(1);
  await given.run(1_000);
  assert.equal(state(), "on", "one good answer brings it back");
});

test("checks: nodes that do not ask, or want no calls, are left in peace", async () => {
  const none = checkWorld(3, "");
  await none.run(3_000);
  assert.deepEqual(none.looks, []);
  const given = checkWorld(1);
  await given.run(1_000);
  const { incarnation = 0 } = given.world.table.get(leaseNode(1))?.row ?? {};
  given.world.write([{
    ...{ op: "change", node: leaseNode(1), incarnation, change: { isReady: false } },
  }]);
  await given.run(1_000);
  const { length } = given.looks;
  await given.run(5_000);
  assert.equal(given.looks.length, length);
});

test("checks: when most of a module fail at once half stays, unless their hosts refuse", async () => {
  const given = checkWorld(10);
  await given.run(1_000);
  const failing = [1, 2, 3, 4, 5, 6, 7, 8];
  for (const index of failing) given.answers.set(index, BAD);
  await given.run(10_000);
  const { database } = given.world;
  const kept = failing.filter((index) => database.stateOf(leaseNode(index)) === "on");
  assert.ok(kept.length >= 3, "more likely the network broke");
  assert.equal(given.guard.held[0].heldCount, kept.length);
  given.answers.set(kept[0], REFUSED);
  await given.run(2_000);
  assert.equal(database.stateOf(leaseNode(kept[0])), "drain");
  assert.equal(database.stateOf(leaseNode(kept[1])), "on");
  given.guard.confirm({ modId: 1, cmdId: 1 });
  await given.run(1_000);
  assert.equal(database.stateOf(leaseNode(kept[1])), "drain");
});

test("checks: what a stall of discovery kept from being heard is held against nobody", async () => {
  const given = checkWorld(3);
  await given.run(1_000);
  given.answers.set(1, BAD);
  for (let round = 0; round < 5; round++) {
    given.world.stall(3_000);
    await given.run(500);
  }
  assert.equal(given.world.database.stateOf(leaseNode(1)), "on");
});

test("checks: of very many nodes each has its turn, and few are looked at at once", async () => {
  const given = checkWorld(1_000);
  await given.run(4_000);
  assert.ok(given.most <= NODE_CHECKS_AT_ONCE_MAX, `${given.most} at once`);
  assert.equal(new Set(given.looks).size, 1_000);
});

test("checks: while nothing can be written each node is asked for once, and again after", async () => {
  const given = checkWorld(4);
  await given.run(1_000);
  let asked = 0;
  let fail = (): void => {};
  const { ask } = given;
  given.ask = () => {
    asked++;
    return new Promise((_, reject) => fail = () => reject(new Error("away")));
  };
  given.answers.set(1, BAD);
  await given.run(10_000);
  assert.equal(asked, 1, "the queue is that of all");
  given.ask = ask;
  fail();
  await given.run(1_000);
  assert.equal(given.world.database.stateOf(leaseNode(1)), "drain");
  assert.deepEqual(given.faults, ["Error: away"]);
});

test("checks: one that cannot be made is said, and is one that fails", async () => {
  const given = checkWorld(2, "what a foreign hand wrote");
  await given.run(5_000);
  assert.equal(given.world.database.stateOf(leaseNode(1)), "none");
  assert.equal(given.faults[0], "RangeError: what a foreign hand wrote");
  assert.ok(given.looks.length === 0 && given.faults.length > 4, "it is tried again");
});

test("checks: where they were switched off nodes that waited for one serve by their own word", async () => {
  const given = checkWorld(3, "tcp", false);
  const node = leaseNode(1);
  assert.equal(given.world.table.get(node)?.row.phase, "checking");
  await given.run(1_000);
  assert.equal(given.world.database.stateOf(node), "on");
  const { incarnation = 0 } = given.world.table.get(node)?.row ?? {};
  given.world.write([{ op: "check", node, incarnation, holder: 1, isGood: false }]);
  assert.equal(given.world.table.get(node)?.row.phase, "failing", "by one who checks");
  await given.run(1_000);
  assert.equal(given.world.database.stateOf(node), "on");
  given.world.write([{ op: "change", node, incarnation, change: { isReady: false } }]);
  await given.run(1_000);
  assert.equal(given.world.database.stateOf(node), "drain", "and by that it leaves");
  assert.deepEqual(given.looks, []);
});
