// Goal: agents spread over their servers, are never long without one, and come back without a herd.
// Method: a thousand of them and the sessions of the servers as shipped, in virtual time.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerLookup, ServerOrder } from "./server_choice.ts";
import { linkServer as server, LinkWorld } from "./testing/link_world.ts";

/** Of thousands of virtual seconds of agents. */
const LONG = { timeout: 120_000 } as const;

async function threeServers(order?: ServerOrder): Promise<LinkWorld> {
  const world = new LinkWorld();
  const names = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
  for (const name of names) world.serve(name);
  world.join(1000, names.map((name) => server(name)), () => "", { order });
  await world.advance(4000);
  world.forgetTimes();
  return world;
}

test(
  "a thousand agents spread over three servers, and evenly over the others when one dies",
  LONG,
  async () => {
    const world = await threeServers();
    const before = world.spread();
    for (const count of Object.values(before)) assert.ok(count > 270 && count < 400, `${count}`);
    const diedAtMs = world.clock.nowMs();
    world.network.set("10.0.0.1", "dead");
    await world.advance(1500);
    const after = world.spread();
    assert.equal(after[""], undefined, "everybody has a server again");
    for (const name of ["10.0.0.2", "10.0.0.3"]) {
      const more = after[name] - before[name];
      assert.ok(more > before["10.0.0.1"] * 0.35, `${name} took ${more} more`);
    }
    const { p99, max } = world.longest();
    assert.ok(p99 <= 900 && max <= 1000, `without a server for ${p99} ms, at most ${max}`);
    const storm = world.busiestSecond(diedAtMs);
    assert.ok(storm <= 250, `${storm} connects in a second`);
    await world.end();
  },
);

test(
  "load returns within five seconds to a server that was away, without a herd or a moment without any",
  LONG,
  async () => {
    for (const awayMs of [300, 2_500, 7_000, 31_000]) {
      const world = await threeServers();
      const before = world.spread();
      world.network.set("10.0.0.1", "dead");
      await world.advance(awayMs);
      world.forgetTimes();
      const backAtMs = world.clock.nowMs();
      world.network.set("10.0.0.1", "up");
      await world.advance(4_500);
      assert.deepEqual(world.spread(), before, `each has its server again, after ${awayMs} ms`);
      const storm = world.busiestSecond(backAtMs);
      assert.ok(storm <= 150, `${storm} connects in a second after ${awayMs} ms`);
      // One that was tried while it was away is without a server until then.
      if (awayMs > 1_000) assert.deepEqual(world.longest(), { p99: 0, max: 0 });
      await world.end();
    }
  },
);

test("a large fleet takes longer to return, at less than two hundred a second", LONG, async () => {
  const world = new LinkWorld();
  const names = ["10.0.0.1", "10.0.0.2"];
  for (const name of names) world.serve(name);
  world.join(3000, names.map((name) => server(name)), () => "");
  await world.advance(17_000);
  const before = world.spread();
  world.network.set("10.0.0.1", "dead");
  await world.advance(12_000);
  assert.deepEqual(world.spread(), { "10.0.0.2": 3000 });
  const backAtMs = world.clock.nowMs();
  world.network.set("10.0.0.1", "up");
  await world.advance(24_000);
  assert.deepEqual(world.spread(), before);
  const storm = world.busiestSecond(backAtMs);
  assert.ok(storm <= 200, `${storm} connects in a second`);
  await world.end();
});

test("a server that is lost soon after each return is returned to ever more seldom", async () => {
  const world = new LinkWorld();
  const names = ["10.0.0.1", "10.0.0.2"];
  for (const name of names) world.serve(name);
  world.join(20, names.map((name) => server(name)), () => "", { order: "listed" });
  await world.advance(4000);
  for (let minutes = 0; minutes < 5; minutes++) {
    for (let half = 0; half < 10; half++) {
      world.network.set("10.0.0.1", "dead");
      await world.advance(3000);
      world.network.set("10.0.0.1", "up");
      await world.advance(3000);
    }
  }
  // Five minutes of it: without the longer pauses each would have returned some fifty times.
  const returns = world.agents.map(({ link }) => link.choice.returns);
  assert.ok(Math.max(...returns) <= 14, `${returns}`);
  await world.advance(61_000);
  assert.deepEqual(world.spread(), { "10.0.0.1": 20 });
  await world.end();
});

test("a server that is away for long is looked for ever more seldom", async () => {
  const world = new LinkWorld();
  const names = ["10.0.0.1", "10.0.0.2"];
  for (const name of names) world.serve(name);
  world.join(20, names.map((name) => server(name)), () => "", { order: "listed" });
  await world.advance(4000);
  world.network.set("10.0.0.1", "dead");
  await world.advance(600_000);
  const looks = world.network.refusals;
  await world.advance(600_000);
  const later = (world.network.refusals - looks) / 20;
  assert.ok(later >= 8 && later <= 11, `${later} looks of each in ten minutes`);
  await world.end();
});

test(
  "a server that stands still is left within three seconds, and not returned to until it answers",
  LONG,
  async () => {
    const world = await threeServers();
    const before = world.spread();
    world.network.set("10.0.0.2", "frozen");
    await world.advance(40_000);
    const meanwhile = world.spread();
    assert.equal(meanwhile["10.0.0.2"], undefined);
    assert.equal(meanwhile[""], undefined);
    // The time with a silent server is not one without, to them; so only the move is measured.
    assert.ok(world.longest().max <= 1000, `${world.longest().max} ms`);
    world.network.set("10.0.0.2", "up");
    await world.advance(95_000);
    assert.deepEqual(world.spread(), before);
    await world.end();
  },
);

test(
  "the only server is away: all are back in five seconds, at two hundred a second",
  LONG,
  async () => {
    for (const awayMs of [0, 300, 2_500, 7_000, 31_000]) {
      const world = new LinkWorld();
      world.serve("10.0.0.1");
      world.join(1000, [server("10.0.0.1")], () => "");
      await world.advance(8000);
      world.network.set("10.0.0.1", "dead");
      await world.advance(awayMs);
      const backAtMs = world.clock.nowMs();
      world.network.set("10.0.0.1", "up");
      await world.advance(5100);
      assert.deepEqual(world.spread(), { "10.0.0.1": 1000 }, `after ${awayMs} ms`);
      const storm = world.busiestSecond(backAtMs);
      assert.ok(storm <= 210, `${storm} connects in a second after ${awayMs} ms`);
      await world.end();
    }
  },
);

test("a few agents of a server that restarts are back at once", async () => {
  const world = new LinkWorld();
  world.serve("10.0.0.1");
  world.join(4, [server("10.0.0.1")], () => "");
  await world.advance(8000);
  world.network.set("10.0.0.1", "dead");
  await world.advance(20);
  world.network.set("10.0.0.1", "up");
  await world.advance(700);
  assert.deepEqual(world.spread(), { "10.0.0.1": 4 });
  await world.end();
});

test(
  "agents keep to their zone, leave it when all of it is away, and come back",
  LONG,
  async () => {
    const world = new LinkWorld();
    const list = [
      ...["10.1.0.1", "10.1.0.2"].map((name) => server(name, "east")),
      ...["10.2.0.1", "10.2.0.2"].map((name) => server(name, "west")),
    ];
    for (const { hostname } of list) world.serve(hostname);
    world.join(400, list, (index) => index % 2 === 0 ? "east" : "west");
    const of = (zone: string): Record<string, number> =>
      world.spread(world.agents.filter((agent) => agent.zone === zone));
    await world.advance(4000);
    const home = { east: of("east"), west: of("west") };
    assert.deepEqual(Object.keys(home.east).sort(), ["10.1.0.1", "10.1.0.2"]);
    assert.deepEqual(Object.keys(home.west).sort(), ["10.2.0.1", "10.2.0.2"]);
    for (const name of ["10.1.0.1", "10.1.0.2"]) world.network.set(name, "dead");
    await world.advance(4000);
    const spilled = of("east");
    assert.deepEqual(Object.keys(spilled).sort(), ["10.2.0.1", "10.2.0.2"]);
    assert.ok(Math.min(...Object.values(spilled)) > 60, JSON.stringify(spilled));
    for (const name of ["10.1.0.1", "10.1.0.2"]) world.network.set(name, "up");
    await world.advance(95_000);
    assert.deepEqual({ east: of("east"), west: of("west") }, home);
    await world.end();
  },
);

test(
  "a server that stops in good order sends its clients elsewhere before it ends",
  LONG,
  async () => {
    const world = await threeServers();
    const stopping = world.servers.get("10.0.0.3");
    const left = stopping?.leave();
    let gone = false;
    void left?.then(() => (gone = true));
    const stopsAtMs = world.clock.nowMs();
    await world.advance(3000);
    assert.ok(gone, "it may end");
    assert.equal(world.spread()["10.0.0.3"], undefined);
    assert.deepEqual(world.longest(), { p99: 0, max: 0 }, "nobody was without a server");
    const storm = world.busiestSecond(stopsAtMs);
    assert.ok(storm <= 200, `${storm} connects in a second`);
    await world.end();
  },
);

test("connections are made anew when they are old, so that a name's new servers get their share", async () => {
  const world = new LinkWorld();
  for (const name of ["10.0.0.1", "10.0.0.2"]) world.serve(name);
  let known = ["10.0.0.1"];
  const lookup: ServerLookup = {
    hosts: () => Promise.resolve(known),
    services: () => Promise.reject(new Error("none")),
  };
  world.join(100, [server("dns.lars.test")], () => "", { lookup, ageMs: 20_000 });
  await world.advance(4000);
  assert.deepEqual(world.spread(), { "10.0.0.1": 100 });
  world.forgetTimes();
  known = ["10.0.0.1", "10.0.0.2"];
  await world.advance(60_000);
  const counts = world.spread();
  assert.ok(counts["10.0.0.2"] > 30 && counts["10.0.0.1"] > 30, JSON.stringify(counts));
  assert.deepEqual(world.longest(), { p99: 0, max: 0 });
  await world.end();
});

test("in listed order the first server is taken, and returned to", LONG, async () => {
  const world = await threeServers("listed");
  assert.deepEqual(world.spread(), { "10.0.0.1": 1000 });
  world.network.set("10.0.0.1", "dead");
  await world.advance(3000);
  assert.deepEqual(world.spread(), { "10.0.0.2": 1000 });
  world.network.set("10.0.0.1", "up");
  await world.advance(30_000);
  assert.deepEqual(world.spread(), { "10.0.0.1": 1000 });
  await world.end();
});
