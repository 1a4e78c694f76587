import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseServer,
  rankServers,
  resolveServers,
  type ServerAddress,
  type ServerLookup,
  SERVERS_MAX,
} from "./server_choice.ts";

test("a server is read with its zone, and a zone that is missing is said", () => {
  assert.deepEqual(parseServer("10.0.0.1@east", 7778), {
    ...{ hostname: "10.0.0.1", port: 7778, zone: "east" },
  });
  assert.deepEqual(parseServer("[::1]:7@east"), { hostname: "::1", port: 7, zone: "east" });
  assert.deepEqual(parseServer("dns.lars", 7778), { hostname: "dns.lars", port: 7778 });
  assert.throws(() => parseServer("10.0.0.1:1@"), /^RangeError: Zone must follow the @/);
  assert.throws(() => parseServer("10.0.0.1:x@east"), /^RangeError: Port must be/);
});

const servers = (count: number): ServerAddress[] =>
  Array.from({ length: count }, (_, i) => ({ hostname: `10.0.0.${i + 1}`, port: 7778 }));

const firstOf = (list: readonly ServerAddress[], index: number): string =>
  rankServers(list, { id: `10.1.${index}.1:8888`, zone: "", order: "spread" })[0].hostname;

test("a server that is added takes its share from all, and nobody else moves", () => {
  const [before, after] = [servers(4), servers(5)];
  let moved = 0;
  for (let index = 0; index < 5000; index++) {
    const [was, is] = [firstOf(before, index), firstOf(after, index)];
    if (was === is) continue;
    moved++;
    assert.equal(is, "10.0.0.5");
  }
  assert.ok(moved > 850 && moved < 1150, `${moved} of 5000 moved`);
});

test("priorities come before shares, and shares follow weights", () => {
  const list = [
    { hostname: "a", port: 1, priority: 10, weight: 3 },
    { hostname: "b", port: 1, priority: 10, weight: 1 },
    { hostname: "c", port: 1, priority: 20, weight: 100 },
  ];
  let heavy = 0;
  for (let index = 0; index < 4000; index++) {
    const ranked = rankServers(list, { id: `${index}`, zone: "", order: "spread" });
    assert.equal(ranked[2].hostname, "c");
    if (ranked[0].hostname === "a") heavy++;
  }
  assert.ok(heavy > 2880 && heavy < 3120, `${heavy} of 4000`);
});

test("names give every address behind them, with the zone of their entry; what fails stays a name", async () => {
  const lookup: ServerLookup = {
    hosts: (name) =>
      name === "two.test"
        ? Promise.resolve(["10.0.0.1", "::1"])
        : Promise.reject(new Error("unknown")),
    services: () => Promise.resolve([{ hostname: "10.0.0.9", port: 99, priority: 1, weight: 5 }]),
  };
  const given = ["two.test:7@east", "gone.test:7", "_lars._tcp.test@west", "10.0.0.1:7"];
  const found = await resolveServers(given.map((text) => parseServer(text, 7778)), lookup);
  assert.deepEqual(found, [
    { hostname: "10.0.0.1", port: 7 },
    { hostname: "::1", port: 7, zone: "east" },
    { hostname: "gone.test", port: 7 },
    { hostname: "10.0.0.9", port: 99, priority: 1, weight: 5, zone: "west" },
  ]);
  const hosts = Array.from({ length: 200 }, (_, i) => `10.1.0.${i}`);
  const many: ServerLookup = { ...lookup, hosts: () => Promise.resolve(hosts) };
  const cut = await resolveServers([{ hostname: "many.test", port: 1 }], many);
  assert.equal(cut.length, SERVERS_MAX);
});
