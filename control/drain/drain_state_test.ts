import assert from "node:assert/strict";
import { test } from "node:test";
import { DrainState } from "./drain_state.ts";
import type { DnsAnswer, NodeUseAnswers } from "../schemas.ts";

type Report = NonNullable<DnsAnswer["report"]>;
type AgentUse = Report["agents"][number];

function use(agent: string, state: AgentUse["state"], idleMs: number | null = null): AgentUse {
  return { agent, name: null, state, clientCount: 0, isSilent: false, idleMs };
}

function asked(
  answers: readonly DnsAnswer[],
  unlinked: NodeUseAnswers["unlinked"] = [],
): Pick<NodeUseAnswers, "answers" | "unlinked"> {
  return { answers, unlinked };
}

function answer(agents: AgentUse[], more: Partial<Report> = {}): DnsAnswer {
  const report = { agents, plainCount: 0, isCut: false, ...more };
  return { dns: "d:1", modId: 1, cmdId: 1, report };
}

test("DrainState is safe when nobody picks the node and all have been quiet for long enough", () => {
  const state = new DrainState(3000, 0);
  const early = state.judge(asked([answer([use("a", "draining", 500), use("b", "picked")])]), 500);
  assert.deepEqual([early.safe, early.agents, early.stopped, early.quietMs], [
    false,
    2,
    1,
    undefined,
  ]);
  assert.match(early.waitsFor.join(), /agent b may still pick it for \(1,1\)/);
  const later = state.judge(
    asked([answer([use("a", "draining", 3500), use("b", "draining", 2000)])]),
    3500,
  );
  assert.deepEqual([later.safe, later.quietMs], [false, 2000]);
  assert.match(later.waitsFor.join(), /quiet for 2\.0 of 3\.0 s/);
  const safe = state.judge(
    asked([answer([use("a", "draining", 4500), use("b", "draining", 3000)])]),
    4500,
  );
  assert.deepEqual([safe.safe, safe.waitsFor], [true, []]);
  const used = state.judge(
    asked([answer([use("a", "draining", 10), use("b", "draining", 3100)])]),
    4600,
  );
  assert.equal(used.safe, false, "the result of a call that was under way");
});

test("DrainState waits for agents and dns that do not answer", () => {
  const state = new DrainState(1000, 0);
  const silent = { ...use("a", "unknown"), isSilent: true };
  assert.match(
    state.judge(asked([answer([silent])]), 9000).waitsFor.join(),
    /agent a does not answer/,
  );
  const dead = { dns: "d:2", modId: 1, cmdId: 1, report: null };
  assert.match(state.judge(asked([dead]), 9000).waitsFor.join(), /dns d:2 does not answer/);
  assert.match(
    state.judge(asked([answer([], { isCut: true })]), 9000).waitsFor.join(),
    /more agents/,
  );
  assert.equal(state.judge(asked([answer([])]), 9000).safe, true);
});

test("DrainState counts from when an agent was first heard to have dropped the node", () => {
  const state = new DrainState(1000, 0);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 5000).quietMs, 0);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 5900).safe, false);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 6000).safe, true);
  // It came back in between.
  state.judge(asked([answer([use("a", "picked")])]), 6100);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 6200).quietMs, 0);
});

test("DrainState leaves agents out that do not use the module, and counts the original's peers", () => {
  const state = new DrainState(1000, 4000);
  const early = state.judge(asked([answer([use("a", "unknown")], { plainCount: 2 })]), 4900);
  assert.deepEqual([early.safe, early.agents, early.plain], [false, 0, 2]);
  assert.equal(state.judge(asked([answer([], { plainCount: 2 })]), 5000).safe, true);
  const many = Array.from({ length: 9 }, (_, i) => use(`a${i}`, "picked"));
  const { waitsFor } = state.judge(asked([answer(many)]), 5000);
  assert.deepEqual([waitsFor.length, waitsFor.at(-1)], [6, "4 more"]);
});

test("DrainState begins anew after a round that could not be asked", () => {
  const state = new DrainState(1000, 0);
  state.judge(asked([answer([use("a", "absent")])]), 5000);
  const unheard = state.unheard("the console is away");
  assert.deepEqual([unheard.safe, unheard.waitsFor], [false, ["the console is away"]]);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 6000).quietMs, 0);
  assert.equal(state.judge(asked([answer([use("a", "absent")])]), 7000).safe, true);
});

test("DrainState waits for agents that were seen lately and that no dns can ask", () => {
  const state = new DrainState(1000, 0);
  const cutOff = [{ name: "10.1.1.1:8888", seenS: 14 }];
  const waiting = state.judge(asked([answer([])], cutOff), 5000);
  assert.equal(waiting.safe, false);
  assert.match(
    waiting.waitsFor.join(),
    /agent 10\.1\.1\.1:8888, seen 14 s ago, is linked to no dns/,
  );
  assert.equal(state.judge(asked([answer([])]), 6000).safe, true);
  const told = new DrainState(1000, 0, ["10.1.1.1:8888"]);
  assert.equal(
    told.judge(asked([answer([])], cutOff), 5000).safe,
    true,
    "somebody says it is gone",
  );
});

test("DrainState does not forget an agent that goes before it said that it had stopped", () => {
  const named = (one: AgentUse): AgentUse => ({ ...one, name: "10.1.1.1:8888" });
  const state = new DrainState(1000, 0);
  const silent = named({ ...use("a:1", "unknown"), isSilent: true });
  assert.equal(state.judge(asked([answer([silent])]), 1000).safe, false);
  const after = state.judge(asked([answer([])]), 9000);
  assert.equal(after.safe, false);
  assert.match(after.waitsFor.join(), /10\.1\.1\.1:8888 has gone before it said .* for \(1,1\)/);
  // It is back, by another connection, and has the change.
  assert.equal(
    state.judge(asked([answer([named(use("a:2", "draining", 5000))])]), 9500).safe,
    true,
  );
  assert.equal(
    state.judge(asked([answer([])]), 12_000).safe,
    true,
    "it had stopped before it went",
  );
});
