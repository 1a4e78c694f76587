// Goal: an agent whose dns has lost its database goes to one that has it, and nothing else is upset:
// no herd, no moment without a server, no going back and forth, no move when all are behind.
// Method: hundreds of agents and the sessions of the servers as shipped, in virtual time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { BEHIND_SPREAD_MS_MAX, BehindServer } from "./behind_server.ts";
import { linkServer, LinkWorld } from "./testing/link_world.ts";

/** Of thousands of virtual seconds of agents. */
const LONG = { timeout: 120_000 } as const;

const NAMES = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

async function threeServers(): Promise<LinkWorld> {
  const world = new LinkWorld();
  for (const name of NAMES) world.serve(name);
  world.join(300, NAMES.map((name) => linkServer(name)), () => "");
  await world.advance(4000);
  world.forgetTimes();
  return world;
}

function setBehind(world: LinkWorld, names: readonly string[]): void {
  world.behindSinceMs.clear();
  for (const name of names) world.behindSinceMs.set(name, world.clock.nowMs() - 10_000);
}

const changes = (world: LinkWorld): number =>
  world.agents.reduce((sum, { link }) => sum + link.choice.fresher + link.choice.returns, 0);

test(
  "agents leave a server that is behind, one after the other, and come back when it is not",
  LONG,
  async () => {
    const world = await threeServers();
    const before = world.spread();
    const beganMs = world.clock.nowMs();
    setBehind(world, ["10.0.0.1"]);
    await world.advance(4500);
    assert.deepEqual(world.spread(), before, "a short while hurts nobody");
    await world.advance(45_000);
    const meanwhile = world.spread();
    assert.equal(meanwhile["10.0.0.1"], undefined, "all have left");
    for (const name of ["10.0.0.2", "10.0.0.3"]) {
      assert.ok(
        meanwhile[name] - before[name] > before["10.0.0.1"] * 0.35,
        JSON.stringify(meanwhile),
      );
    }
    assert.ok(world.busiestSecond(beganMs) <= 15, `${world.busiestSecond(beganMs)} in a second`);
    await world.advance(200_000);
    assert.deepEqual(world.spread(), meanwhile, "nobody returns to it meanwhile");
    assert.equal(changes(world), before["10.0.0.1"], "each has moved once");
    setBehind(world, []);
    await world.advance(95_000);
    assert.deepEqual(world.spread(), before, "each has the server that it had before");
    assert.deepEqual(world.longest(), { p99: 0, max: 0 }, "nobody was without a server");
    await world.end();
  },
);

test("when all servers are behind nobody moves, and ever fewer look", LONG, async () => {
  const world = await threeServers();
  const before = world.spread();
  setBehind(world, NAMES);
  const beganMs = world.clock.nowMs();
  await world.advance(600_000);
  assert.deepEqual(world.spread(), before);
  assert.equal(changes(world), 0);
  assert.ok(world.busiestSecond(beganMs) <= 30, `${world.busiestSecond(beganMs)} in a second`);
  const lateMs = world.clock.nowMs();
  await world.advance(120_000);
  const late = world.network.connects.filter(({ atMs }) => atMs >= lateMs).length;
  assert.ok(late <= 300 * 2, `${late} connects of 300 agents in two minutes`);
  // One that is well again takes all of them, in their turn.
  setBehind(world, ["10.0.0.1", "10.0.0.2"]);
  await world.advance(600_000);
  assert.deepEqual(world.spread(), { "10.0.0.3": 300 });
  assert.deepEqual(world.longest(), { p99: 0, max: 0 });
  await world.end();
});

test("agents look in their own zone alone, and from another one in any", LONG, async () => {
  const world = new LinkWorld();
  const list = [
    ...["10.1.0.1", "10.1.0.2"].map((name) => linkServer(name, "east")),
    ...["10.2.0.1", "10.2.0.2"].map((name) => linkServer(name, "west")),
  ];
  for (const { hostname } of list) world.serve(hostname);
  world.join(40, list, () => "east");
  await world.advance(4000);
  const home = world.spread();
  setBehind(world, ["10.1.0.1"]);
  await world.advance(60_000);
  assert.deepEqual(world.spread(), { "10.1.0.2": 40 });
  setBehind(world, ["10.1.0.1", "10.1.0.2"]);
  await world.advance(400_000);
  const spread = world.spread();
  assert.equal((spread["10.2.0.1"] ?? 0) + (spread["10.2.0.2"] ?? 0), 0, JSON.stringify(spread));
  setBehind(world, []);
  await world.advance(120_000);
  assert.deepEqual(world.spread(), home);
  for (const name of ["10.1.0.1", "10.1.0.2"]) world.network.set(name, "dead");
  setBehind(world, ["10.2.0.1"]);
  await world.advance(90_000);
  assert.deepEqual(world.spread(), { "10.2.0.2": 40 });
  await world.end();
});

test("a search in vain does not end the looks for a better server", LONG, async () => {
  const world = await threeServers();
  const before = world.spread();
  world.network.set("10.0.0.1", "frozen");
  setBehind(world, ["10.0.0.2", "10.0.0.3"]);
  // A search that meets the silent one takes seconds: looks fall due meanwhile.
  await world.advance(120_000);
  assert.equal(world.spread()["10.0.0.1"], undefined);
  setBehind(world, []);
  await world.advance(10_000);
  world.network.set("10.0.0.1", "up");
  await world.advance(120_000);
  assert.deepEqual(world.spread(), before);
  await world.end();
});

test(
  "a server that is behind now and then does not send its agents back and forth",
  LONG,
  async () => {
    const world = await threeServers();
    for (let round = 0; round < 20; round++) {
      setBehind(world, round % 2 === 0 ? ["10.0.0.1"] : []);
      await world.advance(20_000);
    }
    const moves = Math.max(
      ...world.agents.map(({ link }) => link.choice.fresher + link.choice.returns),
    );
    assert.ok(moves <= 10, `${moves} moves of one agent in 400 s`);
    assert.deepEqual(world.longest(), { p99: 0, max: 0 });
    await world.end();
  },
);

test("BehindServer waits no longer than its bound, whatever it is told", () => {
  const clock = new ManualClock(0);
  let searches = 0;
  const behind = new BehindServer({
    ...{ clock, rng: { next: () => 0.99 }, pauseMs: 10_000 },
    search: () => searches++,
  });
  const told = { seq: 0, behindMs: 1, spreadMs: 4_294_967_295, placeMs: 4_294_967_295 };
  behind.told(told);
  behind.told(told);
  clock.advance(15_000 + BEHIND_SPREAD_MS_MAX);
  assert.equal(searches, 1);
  for (let search = 0; search < 50; search++) behind.searchedInVain();
  behind.told({ seq: 0, behindMs: 1 });
  clock.advance(500_000);
  assert.equal(searches, 2);
  behind.told({ seq: 0, behindMs: 1 });
  behind.told({ seq: 0 });
  clock.advance(1_000_000);
  assert.deepEqual([searches, behind.behindMs], [2, undefined], "it has its data again");
});
