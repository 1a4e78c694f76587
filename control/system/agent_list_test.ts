import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceInstance } from "../../sql/store.ts";
import { agentState, countAgents, listAgents, withWatched } from "./agent_list.ts";
import type { SystemView } from "./system_model.ts";
import type { ServiceView } from "../schemas.ts";

function agent(address: string, values: Partial<ServiceView> = {}): ServiceView {
  return {
    kind: "agent",
    address,
    software: "lars/1",
    startedAtMs: 0,
    seenAtMs: 1_000_000,
    isSilent: false,
    revision: 7,
    revisionLag: 0,
    detail: { dns: "10.0.0.1:7778", modulesHeld: 0, zone: "East" },
    ...values,
  };
}

function viewOf(services: readonly ServiceView[]): SystemView {
  return {
    atMs: 1_000_000,
    isStale: false,
    version: 7,
    modules: [],
    services,
    nodeCount: 0,
    callerCount: 0,
  };
}

test("agentState() says what is worst", () => {
  const cases: [Partial<ServiceView>, string][] = [
    [{}, "ok"],
    [{ revisionLag: 5 }, "ok"],
    [{ revisionLag: 6 }, "behind"],
    [{ revision: null, revisionLag: null }, "ok"],
    [{ detail: { dnsConnected: 0 } }, "behind"],
    [{ detail: { dnsConnected: 1 } }, "ok"],
    [{ revisionLag: 60, detail: { modulesHeld: 1 } }, "holding"],
    // What a silent one held back when it was heard last says nothing.
    [{ isSilent: true, detail: { modulesHeld: 1 } }, "silent"],
  ];
  for (const [values, state] of cases) {
    assert.equal(agentState(agent("a:1", values)), state, JSON.stringify(values));
  }
});

test("listAgents() gives the worst first, page by page, and what is asked for", () => {
  const fleet = [
    ...Array.from({ length: 1000 }, (_, index) => agent(`10.1.${index >> 8}.${index & 255}:8888`)),
    agent("10.2.0.1:8888", { revisionLag: 9 }),
    agent("10.2.0.2:8888", { revisionLag: 90 }),
    agent("10.2.0.3:8888", { detail: { modulesHeld: 1 } }),
    agent("10.2.0.4:8888", { detail: { modulesHeld: 4, zone: "west" } }),
    agent("10.2.0.5:8888", { isSilent: true }),
    { ...agent("10.0.0.1:7778", { detail: { connectionsPlain: 3 } }), kind: "dns" },
    { ...agent("10.0.0.2:7778", { detail: { connectionsPlain: 4 }, isSilent: true }), kind: "dns" },
  ];
  const view = viewOf(fleet);
  const first = listAgents(view, {});
  assert.equal(first.total, 1005);
  assert.equal(first.plainConnections, 3);
  assert.equal(first.agents.length, 100);
  assert.deepEqual(first.agents.slice(0, 6).map(({ address }) => address), [
    "10.2.0.5:8888",
    "10.2.0.4:8888",
    "10.2.0.3:8888",
    "10.2.0.2:8888",
    "10.2.0.1:8888",
    "10.1.0.0:8888",
  ]);
  assert.deepEqual(first.counts, { all: 1005, silent: 1, holding: 2, behind: 2, ok: 1000 });
  assert.deepEqual(countAgents(view), first.counts);
  const seen = new Set<string>();
  for (let offset = 0; offset < 1005; offset += 250) {
    for (const one of listAgents(view, { offset, limit: 250 }).agents) seen.add(one.address);
  }
  assert.equal(seen.size, 1005);
  const found = (wish: Parameters<typeof listAgents>[1]): number => listAgents(view, wish).total;
  assert.equal(found({ state: "holding" }), 2);
  assert.equal(found({ search: " 10.2. " }), 5);
  assert.equal(found({ search: "WEST" }), 1);
  assert.equal(found({ search: "east" }), 1003);
  assert.equal(found({ search: "10.0.0.1:7778", state: "ok" }), 1000);
  assert.equal(found({ search: "nobody" }), 0);
});

test("withWatched() joins what dns knows of an agent and what it answers itself", () => {
  const row = (address: string, seenAt: number, detail = {}): ServiceInstance => ({
    kind: "agent",
    address,
    software: "lars/1",
    startedAt: 5,
    seenAt,
    detail,
  });
  const stored = [row("a:1", 100, { dns: "d:1", modulesHeld: 0 }), row("b:1", 90)];
  const own = { ...row("a:1", 101, { picks: 7, modulesHeld: 1 }), startedAt: 99 };
  assert.deepEqual(withWatched(stored, [own]), [
    row("a:1", 101, { dns: "d:1", picks: 7, modulesHeld: 1 }),
    stored[1],
  ]);
  // It has answered nothing since: dns, which heard it later, knows better.
  assert.deepEqual(withWatched(stored, [{ ...own, seenAt: 99 }])[0].detail, {
    dns: "d:1",
    picks: 7,
    modulesHeld: 0,
  });
  assert.deepEqual(withWatched(stored, [row("c:1", 3)]).map(({ address }) => address), [
    "a:1",
    "b:1",
    "c:1",
  ]);
});
