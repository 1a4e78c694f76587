import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeCallTotals } from "../../sql/console/console_store.ts";
import type { RouteRow, ServiceInstance } from "../../sql/store.ts";
import { type CallSample, SystemModel } from "./system_model.ts";
import { detailOf, listModules, overviewOf, problemsIn, search } from "./system_views.ts";

const IP = 0x0a000001;

function row(modId: number, port: number, values: Partial<RouteRow> = {}): RouteRow {
  return { modId, cmdId: 1, ip: IP, port, weight: 100, zone: "", state: "on", ...values };
}

function calls(modId: number, port: number, values: Partial<NodeCallTotals> = {}): NodeCallTotals {
  return {
    modId,
    cmdId: 1,
    ip: IP,
    port,
    succTotal: 0,
    errTotal: 0,
    succCount: 0,
    errCount: 0,
    callerCount: 1,
    overloadCount: 0,
    ts: 1000,
    ...values,
  };
}

/** A model with one clock for both kinds of time. */
class Bench {
  readonly model = new SystemModel();
  atMs = 1_000_000;

  sample(all: readonly NodeCallTotals[], rest: Partial<CallSample> = {}): void {
    this.atMs += 1000;
    this.model.update({
      wallMs: this.atMs,
      nowMs: this.atMs,
      version: 50,
      calls: all,
      refused: [],
      services: [],
      callerCount: 1,
      ...rest,
    });
  }
}

test("SystemModel: calls/s and error share over the last samples, with sparklines", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1), row(1, 2)], []);
  for (let second = 0; second <= 60; second++) {
    bench.sample([
      calls(1, 1, { succTotal: second * 90, errTotal: second * 10 }),
      calls(1, 2, { succTotal: second * 100 }),
    ]);
  }
  const module = bench.model.module(1, 1);
  assert.equal(module?.callsPerSecond, 200);
  assert.equal(module?.errorShare, 0.05);
  assert.equal(module?.nodes[0].errorShare, 0.1);
  assert.deepEqual(module?.nodes[1].sparkline, [100, 100, 100, 100, 100, 100]);
});

test("SystemModel: totals that start anew never make calls of their own", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1)], []);
  bench.sample([calls(1, 1, { succTotal: 1_000_000 })]);
  assert.equal(bench.model.module(1, 1)?.callsPerSecond, 0, "what was before is no rate");
  bench.sample([calls(1, 1, { succTotal: 1_000_010 })]);
  assert.equal(bench.model.module(1, 1)?.callsPerSecond, 10);
  bench.sample([calls(1, 1, { succTotal: 5 })]);
  assert.equal(bench.model.module(1, 1)?.callsPerSecond, 0);
  bench.sample([calls(1, 1, { succTotal: 25 })]);
  assert.equal(bench.model.module(1, 1)?.callsPerSecond, 20);
});

test("SystemModel: health of nodes and modules", () => {
  const out = { callerCount: 2, overloadCount: 2 };
  const cases: [string, RouteRow[], NodeCallTotals[], string][] = [
    ["no nodes", [], [], "empty"],
    ["nobody reports", [row(1, 1)], [], "idle"],
    ["all well", [row(1, 1), row(1, 2)], [calls(1, 1)], "ok"],
    ["one kept out", [row(1, 1), row(1, 2)], [calls(1, 1, out), calls(1, 2)], "degraded"],
    ["kept out by some", [row(1, 1)], [calls(1, 1, { ...out, overloadCount: 1 })], "degraded"],
    ["all kept out", [row(1, 1)], [calls(1, 1, out)], "down"],
    ["drained nodes count for nothing", [row(1, 1, { state: "drain" }), row(1, 2)], [
      calls(1, 1, out),
      calls(1, 2),
    ], "ok"],
    ["none may be called", [row(1, 1, { state: "off" })], [calls(1, 1)], "down"],
  ];
  for (const [name, rows, all, expected] of cases) {
    const bench = new Bench();
    bench.model.setRoutes(rows, [{ modId: 1, cmdId: 1, name: "m", policy: "", updatedAt: 0 }]);
    bench.sample(all);
    assert.equal(bench.model.module(1, 1)?.health, expected, name);
  }
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1)], []);
  bench.sample([calls(1, 1)]);
  bench.sample([calls(1, 1, { succTotal: 8, errTotal: 2 })]);
  assert.equal(bench.model.module(1, 1)?.health, "degraded", "a fifth fails");
  const since = bench.model.module(1, 1)?.trouble?.sinceMs;
  assert.equal(since, bench.atMs);
  bench.sample([calls(1, 1, { succTotal: 16, errTotal: 4 })]);
  assert.equal(bench.model.module(1, 1)?.trouble?.sinceMs, since, "since then");
});

test("SystemModel: a node whose calls fail is failing, its module degraded, and both are named", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1), row(1, 2)], []);
  for (let second = 0; second <= 10; second++) {
    bench.sample([
      calls(1, 1, { succTotal: 2 * second, errTotal: 8 * second }),
      calls(1, 2, { succTotal: 190 * second }),
    ]);
  }
  const module = bench.model.module(1, 1);
  assert.deepEqual(module?.nodes.map(({ health, severity }) => [health, severity]), [
    ["failing", "critical"],
    ["ok", null],
  ]);
  assert.equal(module?.health, "degraded");
  assert.deepEqual(
    problemsIn(bench.model.view).map(({ severity, text, node }) => [severity, text, node]),
    [["critical", "Module 1/1: 10.0.0.1:1 fails 80 % of its calls", "10.0.0.1:1"]],
  );
});

test("SystemModel: 7.8 % of the calls are no calm sea", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1)], []);
  for (let second = 0; second <= 10; second++) {
    bench.sample([calls(1, 1, { succTotal: 922 * second, errTotal: 78 * second })]);
  }
  const [problem] = problemsIn(bench.model.view);
  assert.deepEqual([problem?.severity, problem?.text], [
    "warning",
    "Module 1/1: 7.8 % of the calls fail",
  ]);
});

test("problemsIn(): what flips neither blinks nor changes its place", () => {
  const bench = new Bench();
  const modules = [1, 2, 3];
  bench.model.setRoutes(modules.flatMap((modId) => [row(modId, 1), row(modId, 2)]), []);
  bench.sample(modules.map((modId) => calls(modId, 1)));
  const seen = new Set<string>();
  for (let second = 0; second < 60; second++) {
    // Out for some seconds and back for three, each module at another time: as callers see it.
    bench.sample(modules.flatMap((modId) => [
      calls(modId, 1, { overloadCount: (second + 5 * modId) % 8 < 5 ? 1 : 0 }),
      calls(modId, 2),
    ]));
    if (second < 8) continue; // Until each was out once.
    seen.add(problemsIn(bench.model.view).map(({ key, sinceMs }) => `${key} ${sinceMs}`).join());
  }
  assert.equal(seen.size, 1, [...seen].join("\n"));
  for (let second = 0; second <= 10; second++) {
    bench.sample(modules.map((modId) => calls(modId, 1)));
  }
  assert.deepEqual(problemsIn(bench.model.view), [], "and it ends");
});

test("SystemModel: a module whose callers are refused is not well, and says what they met", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1)], []);
  const refused = (overload: number): CallSample["refused"] => [
    { modId: 1, cmdId: 1, overload, unusable: 0, noNode: 0, noRoute: 0, ts: 1000 },
  ];
  for (let second = 0; second <= 3; second++) {
    bench.sample([calls(1, 1, { succTotal: 30 * second })], { refused: refused(10 * second) });
  }
  const module = bench.model.module(1, 1);
  assert.deepEqual([module?.refusedPerSecond, module?.refusedShare], [10, 0.25]);
  assert.equal(module?.health, "degraded");
  const [problem] = problemsIn(bench.model.view);
  assert.match(problem.text, /25 % of the calls are refused/);
  const overview = overviewOf(bench.model.view, 0);
  assert.deepEqual([overview.refusedPerSecond, overview.refusedShare], [10, 0.25]);
});

test("SystemModel: services, their lag, and copies of one node", () => {
  const bench = new Bench();
  bench.model.setRoutes([row(1, 1), row(1, 1)], [
    { modId: 1, cmdId: 1, name: "", policy: "spoiled", updatedAt: 0 },
  ]);
  const service = (address: string, seenAt: number, version?: number): ServiceInstance => ({
    kind: "dns",
    address,
    software: "lars",
    startedAt: 1,
    seenAt,
    detail: version === undefined ? {} : { version },
  });
  bench.sample([], { services: [service("a:1", 1000, 45), service("b:1", 900)] });
  const { services, nodeCount } = bench.model.view;
  assert.equal(nodeCount, 1);
  assert.equal(bench.model.module(1, 1)?.policy, "invalid");
  assert.deepEqual(services.map(({ isSilent, revisionLag }) => [isSilent, revisionLag]), [
    [false, 0],
    [true, null],
  ]);
  assert.match(problemsIn(bench.model.view)[0].text, /dns b:1 is silent/);
  bench.model.markStale();
  assert.match(problemsIn(bench.model.view)[0].text, /database does not answer/);
});

test("problemsIn() names few silent agents one by one, and many as one", () => {
  const textsOf = (count: number): string[] => {
    const bench = new Bench();
    const services = Array.from({ length: count }, (_, index): ServiceInstance => ({
      kind: "agent",
      address: `10.0.0.${index}:8888`,
      software: "",
      startedAt: 1,
      seenAt: 900 + index,
      detail: {},
    }));
    bench.sample([], { services });
    return problemsIn(bench.model.view).map(({ text }) => text);
  };
  assert.deepEqual(textsOf(2), [
    "agent 10.0.0.0:8888 is silent",
    "agent 10.0.0.1:8888 is silent",
  ]);
  assert.equal(textsOf(5).length, 5);
  assert.deepEqual(textsOf(6), ["6 agents are silent"]);
});

test("SystemModel: a service is behind since it was first seen so, with what it knows", () => {
  const bench = new Bench();
  const lagAt = (known: number, version: number): number | null => {
    const dns: ServiceInstance = {
      kind: "dns",
      address: "a:1",
      software: "lars",
      startedAt: 1,
      seenAt: 1000,
      detail: { version: known },
    };
    bench.sample([], { services: [dns], version });
    return bench.model.view.services[0].revisionLag;
  };
  assert.equal(lagAt(50, 50), 0);
  // A change after a quiet hour: dns has not said yet that it knows it.
  assert.deepEqual([lagAt(50, 3650), lagAt(50, 3650), lagAt(50, 3651)], [0, 1, 2]);
  assert.equal(lagAt(3650, 3651), 0, "it goes on");
  assert.deepEqual([lagAt(3650, 3652), lagAt(3650, 3653)], [1, 2]);
  assert.equal(lagAt(3653, 3653), 0);
  assert.equal(lagAt(3653, 3660), 0);
});

test("SystemModel: an agent is behind for as long as dns has said so, and when it is silent", () => {
  const bench = new Bench();
  let seenAt = 0;
  const lagAfter = (
    { known, version, isSeen }: { known: number; version: number; isSeen: boolean },
  ): number | null => {
    if (isSeen) seenAt = bench.atMs / 1000 + 1;
    const agent: ServiceInstance = {
      kind: "agent",
      address: "a:1",
      software: "lars",
      startedAt: 1,
      seenAt,
      detail: { version: known },
    };
    bench.sample([], { services: [agent], version });
    return bench.model.view.services[0].revisionLag;
  };
  assert.equal(lagAfter({ known: 50, version: 50, isSeen: true }), 0);
  // Dns has not written since the change: nothing is known.
  for (let second = 0; second < 9; second++) {
    assert.equal(lagAfter({ known: 50, version: 60, isSeen: false }), 0);
  }
  assert.equal(lagAfter({ known: 50, version: 60, isSeen: true }), 9, "it lacks the change still");
  assert.equal(lagAfter({ known: 60, version: 60, isSeen: true }), 0);
  for (let second = 0; second < 30; second++) {
    assert.equal(lagAfter({ known: 60, version: 70, isSeen: false }), 0);
  }
  assert.equal(
    lagAfter({ known: 60, version: 70, isSeen: false }),
    30,
    "silent: it cannot have it",
  );
});

function manyModules(): Bench {
  const bench = new Bench();
  const rows = Array.from(
    { length: 1000 },
    (_, modId) =>
      Array.from({ length: 20 }, (_, index) => row(modId, 1 + index, { ip: IP + index })),
  )
    .flat();
  const texts = [{ modId: 7, cmdId: 1, name: "Shop basket", policy: "", updatedAt: 0 }];
  bench.model.setRoutes(rows, texts);
  const all = rows.map((one) => calls(one.modId, one.port, { ip: one.ip }));
  bench.sample(all);
  const later = all.map((one) => ({
    ...one,
    succTotal: 10,
    overloadCount: one.modId === 500 && one.port === 3 ? 1 : 0,
  }));
  bench.sample(later);
  return bench;
}

test("views of 1000 modules of 20 nodes: sorted, found, paged, and small", () => {
  const { view } = manyModules().model;
  const overview = overviewOf(view, 3);
  assert.deepEqual(overview.health, { ok: 999, degraded: 1, down: 0, idle: 0, empty: 0 });
  assert.equal(overview.callsPerSecond, 200_000);
  assert.deepEqual(overview.worst.map(({ modId }) => modId), [500]);
  assert.match(overview.problems[0].text, /Module 500\/1: 1 of 20 nodes kept out/);
  assert.ok(JSON.stringify(overview).length < 20_000);
  const list = listModules(view, { limit: 50 });
  assert.deepEqual([list.total, list.modules.length, list.modules[0].modId], [1000, 50, 500]);
  assert.ok(JSON.stringify(list).length < 40_000, "a list of 50 fits the budget of a stream");
  assert.equal(listModules(view, { search: "shop" }).modules[0].modId, 7);
  assert.equal(listModules(view, { search: "(42, 1)" }).total, 1);
  assert.equal(listModules(view, { search: "10.0.0.5:" }).total, 1000);
  assert.equal(listModules(view, { health: "degraded" }).total, 1);
  assert.deepEqual(listModules(view, { sort: "id", offset: 998 }).modules.map((one) => one.modId), [
    998,
    999,
  ]);
  assert.deepEqual(listModules(view, { sort: "name", limit: 1 }).modules[0].name, "Shop basket");
});

test("search() finds modules by number and name, nodes, and hosts with their modules", () => {
  const { view } = manyModules().model;
  assert.deepEqual(search(view, "bask", 5).hits.map(({ text }) => text), ["Shop basket 7/1"]);
  assert.equal(search(view, "42/1", 5).hits[0].modId, 42);
  const [host, node] = search(view, "10.0.0.3", 5).hits;
  assert.deepEqual([host.kind, host.text, host.moduleCount], ["host", "10.0.0.3", 1000]);
  assert.deepEqual([node.kind, node.node], ["node", "10.0.0.3:3"]);
  assert.deepEqual(search(view, "nothing", 5).hits, []);
  const part = search(view, ".0.0.3", 5).hits;
  assert.deepEqual([part[0].kind, part[0].text], ["host", "10.0.0.3"]);
  assert.deepEqual([part[1].kind, part[1].node], ["node", "10.0.0.3:3"]);
  const port = search(view, "3:3", 5).hits;
  assert.deepEqual(new Set(port.map(({ kind }) => kind)), new Set(["node"]), "no host has a port");
  assert.equal(listModules(view, { search: "0.0.5:" }).total, 1000);
});

test("detailOf() shows what is stored, with what was last seen of it", () => {
  const { model } = manyModules();
  const stored = model.stored(3, 1);
  assert.ok(stored !== undefined);
  const changed = { ...stored, nodes: [row(3, 1, { weight: 7 }), row(3, 99)] };
  const detail = detailOf(changed, model.module(3, 1));
  assert.deepEqual(detail.nodes.map(({ weight, callsPerSecond }) => [weight, callsPerSecond]), [
    [7, 10],
    [100, 0],
  ]);
  assert.notEqual(detail.revision, detailOf(stored, undefined).revision);
});
