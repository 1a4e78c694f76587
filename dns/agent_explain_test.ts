import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeExplainResponse } from "../proto/codec.ts";
import { ExplainOutcome } from "../proto/message_ids.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import {
  AgentExplains,
  EXPLAIN_INQUIRY_MS,
  EXPLAIN_MS,
  type Explained,
  explainedBody,
  ExplainInquiries,
  EXPLAINS_MAX,
} from "./agent_explain.ts";

const { Explained: EXPLAINED, NoSuchAgent, AgentSilent } = ExplainOutcome;
const request = { seq: 77, modId: 1, cmdId: 2, from: 3, agentIp: 4, agentPort: 5 };

function setUp(): {
  clock: ManualClock;
  explains: AgentExplains<string>;
  sent: [string, number][];
  got: Explained[];
  ask(peer: string | undefined): void;
} {
  const clock = new ManualClock();
  const sent: [string, number][] = [];
  const got: Explained[] = [];
  const explains = new AgentExplains<string>({
    clock,
    send: (peer, { seq, agentIp }) => {
      assert.equal(agentIp, undefined, "the agent knows its name");
      sent.push([peer, seq]);
    },
  });
  const ask = (peer: string | undefined): void =>
    explains.ask(request, peer, (explained) => void got.push(explained));
  return { clock, explains, sent, got, ask };
}

test("AgentExplains gives the answer of the agent that was asked, and of no other", () => {
  const { explains, sent, got, ask, clock } = setUp();
  ask("a");
  assert.deepEqual(sent, [["a", 1]]);
  explains.answered("b", 1, "forged");
  explains.answered("a", 2, "another");
  assert.equal(got.length, 0);
  explains.answered("a", 1, "{}");
  explains.answered("a", 1, "again");
  assert.deepEqual(got, [{ outcome: EXPLAINED, explanation: "{}" }]);
  assert.equal(clock.pendingCount, 0);
});

test("AgentExplains says who is unknown, silent or gone", () => {
  const { explains, got, ask, clock } = setUp();
  ask(undefined);
  ask("a");
  explains.closed("b");
  explains.closed("a");
  ask("a");
  clock.advance(EXPLAIN_MS);
  assert.deepEqual(got.map(({ outcome }) => outcome), [NoSuchAgent, AgentSilent, AgentSilent]);
});

test("AgentExplains puts a limited number of questions", () => {
  const { explains, sent, got, ask } = setUp();
  for (let count = 0; count < EXPLAINS_MAX + 3; count++) ask("a");
  assert.deepEqual([sent.length, explains.droppedCount, got.length], [EXPLAINS_MAX, 3, 0]);
});

test("ExplainInquiries takes the answer of whichever loop has the agent", () => {
  const clock = new ManualClock();
  const asked: number[] = [];
  const got: [number, number, Explained][] = [];
  const inquiries = new ExplainInquiries({
    clock,
    loopCount: 3,
    explain: (id) => void asked.push(id),
    report: (loop, question, explained) => void got.push([loop, question, explained]),
  });
  const none = { outcome: NoSuchAgent, explanation: "" };
  const one = { outcome: EXPLAINED, explanation: "{}" };
  const silent = { outcome: AgentSilent, explanation: "" };
  inquiries.ask(2, 9, request);
  inquiries.explained(1, 0, none);
  inquiries.explained(1, 1, one);
  inquiries.explained(1, 2, none);
  inquiries.ask(2, 10, request);
  for (const loop of [0, 0, 1]) inquiries.explained(2, loop, none);
  assert.equal(got.length, 1);
  inquiries.explained(2, 2, none);
  inquiries.ask(2, 11, request);
  clock.advance(EXPLAIN_INQUIRY_MS);
  assert.deepEqual(got, [[2, 9, one], [2, 10, none], [2, 11, silent]]);
  assert.deepEqual(asked, [1, 2, 3]);
  for (let count = 0; count < EXPLAINS_MAX + 5; count++) inquiries.ask(0, 1, request);
  assert.equal(asked.length, 3 + EXPLAINS_MAX);
});

test("explainedBody() gives no explanation that fits no frame", () => {
  const asked = { seq: 2 ** 32 - 1, modId: 2 ** 32 - 1, cmdId: 2 ** 32 - 1, from: 0 };
  const answerTo = (length: number): [number | undefined, number] => {
    const explained = { outcome: ExplainOutcome.Explained, explanation: "x".repeat(length) };
    const body = explainedBody(asked, explained);
    assert.ok(body.length <= FRAME_BODY_BYTES_MAX, `${body.length} bytes`);
    const { outcome, explanation } = decodeExplainResponse(body);
    return [outcome, explanation.length];
  };
  assert.deepEqual(answerTo(60_000), [ExplainOutcome.Explained, 60_000]);
  // It came in a frame, among smaller numbers.
  assert.deepEqual(answerTo(FRAME_BODY_BYTES_MAX - 10), [ExplainOutcome.AgentSilent, 0]);
});
