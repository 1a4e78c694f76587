import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeUseState } from "../proto/message_ids.ts";
import type { AgentUse } from "../proto/message_types.ts";
import { type DnsAnswer, DrainState } from "./drain_state.ts";

const { Picked, Draining, Absent, Unknown } = NodeUseState;

function use(agent: string, state: number, idleMs?: number): AgentUse {
  return { agent, state, clients: 0, silent: false, ...(idleMs === undefined ? {} : { idleMs }) };
}

function answer(agents: AgentUse[], more: { plain?: number; cut?: boolean } = {}): DnsAnswer {
  return { dns: "d:1", module: "(1,1)", report: { agents, plain: 0, cut: false, ...more } };
}

test("DrainState is safe when nobody picks the node and all have been quiet for long enough", () => {
  const state = new DrainState(3000, 0);
  const early = state.judge([answer([use("a", Draining, 500), use("b", Picked)])], 500);
  assert.deepEqual([early.safe, early.agents, early.stopped, early.quietMs], [
    false,
    2,
    1,
    undefined,
  ]);
  assert.match(early.waitsFor.join(), /agent b may still pick it for \(1,1\)/);
  const later = state.judge([answer([use("a", Draining, 3500), use("b", Draining, 2000)])], 3500);
  assert.deepEqual([later.safe, later.quietMs], [false, 2000]);
  assert.match(later.waitsFor.join(), /quiet for 2\.0 of 3\.0 s/);
  const safe = state.judge([answer([use("a", Draining, 4500), use("b", Draining, 3000)])], 4500);
  assert.deepEqual([safe.safe, safe.waitsFor], [true, []]);
  const used = state.judge([answer([use("a", Draining, 10), use("b", Draining, 3100)])], 4600);
  assert.equal(used.safe, false, "the result of a call that was under way");
});

test("DrainState waits for agents and dns that do not answer", () => {
  const state = new DrainState(1000, 0);
  const silent = { ...use("a", Unknown), silent: true };
  assert.match(state.judge([answer([silent])], 9000).waitsFor.join(), /agent a does not answer/);
  const dead = { dns: "d:2", module: "(1,1)", report: undefined };
  assert.match(state.judge([dead], 9000).waitsFor.join(), /dns d:2 does not answer/);
  assert.match(state.judge([answer([], { cut: true })], 9000).waitsFor.join(), /more agents/);
  assert.equal(state.judge([answer([])], 9000).safe, true);
});

test("DrainState counts from when an agent was first heard to have dropped the node", () => {
  const state = new DrainState(1000, 0);
  assert.equal(state.judge([answer([use("a", Absent)])], 5000).quietMs, 0);
  assert.equal(state.judge([answer([use("a", Absent)])], 5900).safe, false);
  assert.equal(state.judge([answer([use("a", Absent)])], 6000).safe, true);
  // It came back in between.
  state.judge([answer([use("a", Picked)])], 6100);
  assert.equal(state.judge([answer([use("a", Absent)])], 6200).quietMs, 0);
});

test("DrainState leaves agents out that do not use the module, and counts the original's peers", () => {
  const state = new DrainState(1000, 4000);
  const early = state.judge([answer([use("a", Unknown)], { plain: 2 })], 4900);
  assert.deepEqual([early.safe, early.agents, early.plain], [false, 0, 2]);
  assert.equal(state.judge([answer([], { plain: 2 })], 5000).safe, true);
  const many = Array.from({ length: 9 }, (_, i) => use(`a${i}`, Picked));
  const { waitsFor } = state.judge([answer(many)], 5000);
  assert.deepEqual([waitsFor.length, waitsFor.at(-1)], [6, "4 more"]);
});
