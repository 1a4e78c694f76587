import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeUseState } from "../../proto/message_ids.ts";
import type { NodeUse } from "../../proto/codec.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { NODE_QUERIES_OPEN_MAX, NODE_USE_QUERY_MS, NodeUseQueries } from "./node_use_query.ts";

function setUp(): {
  clock: ManualClock;
  desk: NodeUseQueries;
  asked: number[][];
  answers: NodeUse[];
} {
  const clock = new ManualClock();
  const asked: number[][] = [];
  const answers: NodeUse[] = [];
  const desk = new NodeUseQueries({
    clock,
    ask: (shard, id) => void asked.push([shard, id]),
    answer: (message) => void answers.push(message),
  });
  return { clock, desk, asked, answers };
}

const request = { seq: 9, modId: 1, cmdId: 1, ip: 1, port: 1 };
const nobody = { clients: 0, behind: 0 };

test("NodeUseQueries answers when every loop has", () => {
  const { desk, asked, answers, clock } = setUp();
  desk.request(request, [0, 2], { clients: 3, behind: 0 });
  assert.deepEqual(asked, [[0, 1], [2, 1]]);
  desk.answered(1, 0, { state: NodeUseState.Draining, idleMs: 70, clients: 0 });
  desk.answered(1, 0, { state: NodeUseState.Picked, clients: 0 });
  assert.deepEqual(answers, []);
  desk.answered(1, 2, { state: NodeUseState.Draining, idleMs: 50, clients: 0 });
  assert.deepEqual(answers, [{ seq: 9, state: NodeUseState.Draining, idleMs: 50, clients: 3 }]);
  assert.equal(clock.pendingCount, 0);
});

test("NodeUseQueries says picked while a client has not been sent the latest route", () => {
  const { desk, answers } = setUp();
  desk.request(request, [1], { clients: 2, behind: 1 });
  desk.answered(1, 1, { state: NodeUseState.Draining, idleMs: 5000, clients: 0 });
  assert.deepEqual(answers, [{ seq: 9, state: NodeUseState.Picked, clients: 2 }]);
});

test("NodeUseQueries says at once that nobody here uses the module", () => {
  const { desk, answers } = setUp();
  desk.request(request, [], nobody);
  assert.deepEqual(answers, [{ seq: 9, state: NodeUseState.Unknown, clients: 0 }]);
});

test("NodeUseQueries drops what is not answered in time, and what is too much", () => {
  const { desk, asked, answers, clock } = setUp();
  for (let i = 0; i < NODE_QUERIES_OPEN_MAX + 1; i++) desk.request(request, [0], nobody);
  assert.equal(asked.length, NODE_QUERIES_OPEN_MAX);
  clock.advance(NODE_USE_QUERY_MS);
  desk.answered(1, 0, { state: NodeUseState.Absent, clients: 0 });
  assert.deepEqual(answers, []);
  desk.request(request, [0], nobody);
  desk.close();
  assert.equal(clock.pendingCount, 0);
});
