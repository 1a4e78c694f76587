import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { NO_SERVER } from "./seed_frames.ts";
import { SeedServers } from "./seed_servers.ts";

function servers(
  clock = new ManualClock(),
  options: { connectionAgeMs?: number; serversMax?: number } = {},
): SeedServers {
  return new SeedServers({ nowMs: () => clock.nowMs(), ...options });
}

test("seed servers: at the most there is no room, but for who is known", () => {
  const all = servers(undefined, { serversMax: 2 });
  assert.equal(all.register({ ip: 1, port: 1 }), 0);
  assert.equal(all.register({ ip: 1, port: 2 }), 1);
  assert.equal(all.register({ ip: 1, port: 3 }), NO_SERVER);
  assert.equal(all.register({ ip: 1, port: 2 }), 1);
  all.remove({ ip: 1, port: 1 });
  assert.equal(all.register({ ip: 1, port: 3 }), 2, "ids are not used again");
});

test("seed servers: ten thousand and more find room", () => {
  const all = servers();
  for (let index = 0; index < 10_001; index++) all.register({ ip: 7, port: 1 + index });
  assert.equal(all.count, 10_001);
  assert.equal(all.choose()?.id, 0);
});

test("seed servers: one that may not be used is given to nobody", () => {
  const all = servers();
  all.register({ ip: 1, port: 1 });
  all.register({ ip: 1, port: 2 });
  all.setUsable({ ip: 1, port: 1 }, false);
  assert.equal(all.choose()?.port, 2);
  all.setUsable({ ip: 1, port: 1 }, true);
  assert.equal(all.choose()?.port, 1);
});

test("seed servers: connections of clients that never say goodbye are forgotten with age", () => {
  const clock = new ManualClock();
  const all = servers(clock, { connectionAgeMs: 60_000 });
  const id = all.register({ ip: 1, port: 1 });
  for (let index = 0; index < 5; index++) {
    all.connected(id, true);
    clock.advance(10_000);
  }
  assert.equal(all.byId(id)?.connections, 5);
  all.unconnected(id); // The oldest.
  clock.advance(11_000);
  assert.equal(all.list()[0].connections, 4, "the second one is not yet a minute old");
  clock.advance(10_000);
  assert.equal(all.list()[0].connections, 3);
  clock.advance(600_000);
  assert.equal(all.list()[0].connections, 0);
  all.unconnected(id);
  assert.equal(all.list()[0].connections, 0, "never negative");
});

test("seed servers: counts are those of the connections younger than the age, whatever happens", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant("connect" as const), id: fc.nat(3) }),
      fc.record({ kind: fc.constant("leave" as const), id: fc.nat(3) }),
      fc.record({ kind: fc.constant("wait" as const), id: fc.nat(40) }),
    ),
    { maxLength: 80 },
  );
  fc.assert(fc.property(steps, (all) => {
    const clock = new ManualClock();
    const table = servers(clock, { connectionAgeMs: 60_000 });
    const model: number[][] = [[], [], []];
    for (let port = 1; port <= 3; port++) table.register({ ip: 1, port });
    for (const { kind, id } of all) {
      // Whole slots of a second, so that the model needs no rounding.
      if (kind === "wait") clock.advance(id * 1000);
      const nowMs = clock.nowMs();
      for (const times of model) {
        while (times.length > 0 && nowMs - times[0] >= 60_000) times.shift();
      }
      if (kind === "connect") {
        table.connected(id, true);
        model[id]?.push(nowMs);
      } else if (kind === "leave") {
        table.unconnected(id);
        model[id]?.shift();
      }
      assert.deepEqual(
        table.list().map(({ connections }) => connections),
        model.map((times) => times.length),
      );
    }
  }));
});
