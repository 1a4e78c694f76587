// Goal: an export sees what routes, list of modules and verdicts of agents say together, keeps what
// it knew last, and never loses all nodes of a module to verdicts.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleKey } from "../model/module.ts";
import type { HostInfo, NodeOut } from "../proto/codec.ts";
import { FleetView, OUT_SHARE_DEFAULT } from "./fleet_view.ts";

const KEY = { modId: 1, cmdId: 2 };

class Bench {
  readonly log: string[] = [];
  readonly view: FleetView;

  constructor(outShare = OUT_SHARE_DEFAULT) {
    this.view = new FleetView({
      outShare,
      request: (modId, cmdId) => void this.log.push(`ask ${modId},${cmdId}`),
      forget: (modId, cmdId) => void this.log.push(`end ${modId},${cmdId}`),
      onChanged: ({ modId, cmdId }) => void this.log.push(`changed ${modId},${cmdId}`),
      onListed: () => void this.log.push("listed"),
    });
  }

  route(hosts: HostInfo[] | undefined, key: ModuleKey = KEY): void {
    this.view.takeRoute({ ...key, hosts, policy: "" });
  }

  outs(agents: number, nodes: [ip: number, agents: number][], source = 0): void {
    const list = nodes.map(([ip, count]): NodeOut => ({ ip, port: 80, agents: count }));
    this.view.takeOuts(source, { ...KEY, nodes: list, agents });
  }

  states(): string {
    return (this.view.module(KEY)?.nodes ?? []).map(({ ip, state }) => `${ip}:${state}`).join(" ");
  }

  took(): string[] {
    return this.log.splice(0);
  }
}

const nodes = (...ips: number[]): HostInfo[] => ips.map((ip) => ({ ip, port: 80 }));

test("a module is known when its route has come, by address and each node once", () => {
  const bench = new Bench();
  bench.view.want(KEY);
  bench.view.want(KEY);
  assert.deepEqual(bench.took(), ["ask 1,2"]);
  assert.equal(bench.view.module(KEY), undefined);
  bench.route([
    ...nodes(9, 3, 9),
    { ip: 4, port: 80, state: "drain" },
    { ip: 5, port: 80, weight: 0 },
    { ip: 6, port: 70_000 },
  ]);
  assert.deepEqual(bench.took(), ["changed 1,2"]);
  assert.equal(bench.states(), "3:up 4:drain 5:drain 9:up");
  bench.route(undefined);
  bench.route([...nodes(3, 9), { ip: 4, port: 80, state: "drain" }, {
    ip: 5,
    port: 80,
    weight: 0,
  }]);
  assert.deepEqual(bench.took(), [], "nothing has changed");
  bench.route(nodes());
  assert.equal(bench.states(), "");
  bench.view.forget(KEY);
  bench.route(nodes(1));
  assert.deepEqual(bench.took(), ["changed 1,2", "end 1,2"]);
});

test("names find modules, and follow a change", () => {
  const bench = new Bench();
  const module = (modId: number, name: string, gone = false) => ({ modId, cmdId: 2, name, gone });
  bench.view.want(KEY);
  bench.route(nodes(1));
  bench.view.takeModules({ modules: [module(1, "login")], first: true, last: false });
  assert.equal(bench.view.byName("login"), undefined, "the list is not whole yet");
  bench.view.takeModules({ modules: [module(5, "")], first: false, last: true });
  assert.deepEqual(bench.view.byName("login"), KEY);
  assert.equal(bench.view.module(KEY)?.name, "login");
  assert.deepEqual(bench.took(), ["ask 1,2", "changed 1,2", "listed", "changed 1,2"]);
  bench.view.takeModules({ modules: [module(1, "signin")], first: false, last: false });
  assert.deepEqual([bench.view.byName("login"), bench.view.byName("signin")], [undefined, KEY]);
  bench.view.takeModules({ modules: [module(1, "", true)], first: false, last: false });
  assert.deepEqual([bench.view.has(KEY), bench.view.moduleCount], [false, 1]);
  assert.equal(bench.view.isListed, true);
  bench.view.takeModules({ modules: [], first: true, last: true });
  assert.equal(bench.view.moduleCount, 0, "a whole list takes the place of the one before");
});

const CASES: [what: string, agents: number, outs: [number, number][], states: string][] = [
  ["one of three agents", 3, [[1, 1]], "1:out 2:up 3:up 4:up"],
  ["one of ten is too few", 10, [[1, 1]], "1:up 2:up 3:up 4:up"],
  ["a quarter of ten, rounded up", 10, [[1, 3], [2, 2]], "1:out 2:up 3:up 4:up"],
  ["the only agent", 1, [[1, 1]], "1:out 2:up 3:up 4:up"],
  ["nobody is counted yet", 0, [[1, 1]], "1:out 2:up 3:up 4:up"],
  ["half may be out", 2, [[1, 2], [2, 2]], "1:out 2:out 3:up 4:up"],
  ["more than half: all stay", 2, [[1, 2], [2, 2], [3, 1]], "1:up 2:up 3:up 4:up"],
  ["a node that is not in the route", 2, [[9, 2]], "1:up 2:up 3:up 4:up"],
];

for (const [what, agents, outs, states] of CASES) {
  test(`verdicts of agents: ${what}`, () => {
    const bench = new Bench();
    bench.view.want(KEY);
    bench.route(nodes(1, 2, 3, 4));
    bench.outs(agents, outs);
    assert.equal(bench.states(), states);
  });
}

test("the last node that takes calls is never out, and several dns add up", () => {
  const bench = new Bench();
  bench.view.want(KEY);
  bench.route([...nodes(1), { ip: 2, port: 80, state: "drain" }]);
  bench.outs(1, [[1, 1]]);
  assert.equal(bench.states(), "1:up 2:drain");
  bench.route(nodes(1, 2, 3));
  bench.outs(4, [[1, 1], [2, 0]]);
  bench.outs(4, [[1, 1], [2, 1]], 1);
  assert.equal(bench.states(), "1:out 2:up 3:up");
  bench.took();
  bench.view.forgetOuts(0);
  assert.equal(bench.states(), "1:up 2:up 3:up", "2 of 3 would be out: all stay");
  assert.deepEqual(bench.took(), ["changed 1,2"]);
  bench.view.forgetOuts(1);
  bench.view.forgetOuts(7);
  assert.deepEqual(bench.took(), []);
});
