import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeNodeUseReport } from "../proto/codec.ts";
import { NodeUseState } from "../proto/message_ids.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import {
  AGENTS_REPORTED_MAX,
  INQUIRY_MS,
  joinSurveys,
  NodeUseInquiries,
  NodeUseSurveys,
  SURVEY_MS,
  surveyReportBody,
  type SurveyResult,
  SURVEYS_MAX,
} from "./node_use_survey.ts";

const request = { seq: 77, modId: 1, cmdId: 2, ip: 3, port: 4 };
const { Picked, Draining, Absent, Unknown } = NodeUseState;

function setUp(): {
  clock: ManualClock;
  surveys: NodeUseSurveys<string>;
  sent: [string, number][];
  results: SurveyResult[];
  start(peers: string[], plain?: number): void;
} {
  const clock = new ManualClock();
  const sent: [string, number][] = [];
  const results: SurveyResult[] = [];
  const surveys = new NodeUseSurveys<string>({
    clock,
    nameOf: (peer) => ({ agent: peer }),
    send: (peer, { seq }) => void sent.push([peer, seq]),
  });
  const start = (peers: string[], plain = 0): void =>
    surveys.start(request, peers, plain, (result) => void results.push(result));
  return { clock, surveys, sent, results, start };
}

test("NodeUseSurveys reports when everybody has answered, the worst first", () => {
  const { surveys, sent, results, start, clock } = setUp();
  start(["a", "b", "c", "d"], 2);
  assert.deepEqual(sent, [["a", 1], ["b", 1], ["c", 1], ["d", 1]]);
  surveys.answered("a", 1, { state: Absent, clients: 0 });
  surveys.answered("b", 1, { state: Draining, idleMs: 9, clients: 1 });
  surveys.answered("c", 1, { state: Draining, idleMs: 5, clients: 0 });
  surveys.answered("c", 1, { state: Picked, clients: 0 });
  surveys.answered("x", 1, { state: Picked, clients: 0 });
  surveys.answered("d", 2, { state: Picked, clients: 0 });
  assert.equal(results.length, 0);
  surveys.answered("d", 1, { state: Picked, clients: 0 });
  assert.deepEqual(results[0].agents.map(({ agent }) => agent), ["d", "c", "b", "a"]);
  assert.deepEqual([results[0].plain, results[0].cut, clock.pendingCount], [2, false, 0]);
});

test("NodeUseSurveys calls those silent that do not answer, or go", () => {
  const { surveys, results, start, clock } = setUp();
  start(["a", "b", "c"]);
  surveys.answered("a", 1, { state: Draining, idleMs: 1, clients: 0 });
  surveys.closed("b");
  clock.advance(SURVEY_MS);
  assert.deepEqual(results[0].agents, [
    { agent: "b", state: Unknown, clients: 0, silent: true },
    { agent: "c", state: Unknown, clients: 0, silent: true },
    { agent: "a", state: Draining, idleMs: 1, clients: 0, silent: false },
  ]);
  surveys.answered("c", 1, { state: Picked, clients: 0 });
  assert.equal(results.length, 1);
});

test("NodeUseSurveys is done at once where nobody can be asked, and drops what is too much", () => {
  const { surveys, results, start, clock } = setUp();
  start([], 3);
  assert.deepEqual(results, [{ agents: [], plain: 3, cut: false }]);
  for (let i = 0; i < SURVEYS_MAX + 2; i++) start(["a"]);
  assert.equal(surveys.droppedCount, 2);
  surveys.close();
  assert.deepEqual([results.length, clock.pendingCount], [1, 0]);
});

test("surveyReportBody() leaves out as many agents as fit no frame, those that matter least", () => {
  const much = { state: Draining, idleMs: 2 ** 32 - 1, clients: 2 ** 32 - 1, silent: true };
  const agents = Array.from({ length: AGENTS_REPORTED_MAX }, (_, number) => ({
    ...{ agent: `[2001:db8:1234:5678:9abc:def0:1234:5678]:${10_000 + number}`, ...much },
    ...{ agentIp: 2 ** 32 - 1, agentPort: 65_535 },
  }));
  const few = decodeNodeUseReport(
    surveyReportBody(7, { agents: agents.slice(0, 9), plain: 1, cut: false }),
  );
  assert.deepEqual([few.seq, few.agents.length, few.plain, few.cut], [7, 9, 1, false]);
  const body = surveyReportBody(7, { agents, plain: 1, cut: false });
  assert.ok(body.length <= FRAME_BODY_BYTES_MAX, `${body.length} bytes`);
  const many = decodeNodeUseReport(body);
  assert.ok(many.cut && many.agents.length > 600, `${many.agents.length} of them`);
  assert.equal(many.agents[0].agent, agents[0].agent);
});

test("joinSurveys() keeps those that matter most", () => {
  const many = Array.from({ length: AGENTS_REPORTED_MAX }, (_, i) => ({
    agent: `a${i}`,
    state: Absent,
    clients: 0,
    silent: false,
  }));
  const picked = { agent: "p", state: Picked, clients: 0, silent: false };
  const joined = joinSurveys([
    { agents: many, plain: 1, cut: false },
    { agents: [picked], plain: 2, cut: false },
  ]);
  assert.deepEqual([joined.agents[0], joined.plain, joined.cut], [picked, 3, true]);
  assert.equal(joined.agents.length, AGENTS_REPORTED_MAX);
});

test("NodeUseInquiries puts a question to every loop, and answers the one that asked", () => {
  const clock = new ManualClock();
  const surveys: number[] = [];
  const reports: [loop: number, question: number, result: SurveyResult][] = [];
  const inquiries = new NodeUseInquiries({
    clock,
    loopCount: 2,
    survey: (id) => void surveys.push(id),
    report: (...report) => void reports.push(report),
  });
  const found = (agent: string): SurveyResult => ({
    agents: [{ agent, state: Draining, clients: 0, silent: false }],
    plain: 1,
    cut: false,
  });
  inquiries.ask(1, 7, request);
  inquiries.ask(0, 9, request);
  inquiries.surveyed(surveys[0], 0, found("a"));
  inquiries.surveyed(surveys[0], 0, found("a again"));
  assert.equal(reports.length, 0);
  inquiries.surveyed(surveys[0], 1, found("b"));
  const [[loop, question, { agents, plain, cut }]] = reports;
  assert.deepEqual([loop, question, plain, cut], [1, 7, 2, false]);
  assert.deepEqual(agents.map(({ agent }) => agent), ["a again", "b"]);
  // A loop that says nothing makes the report one that is not whole.
  inquiries.surveyed(surveys[1], 1, found("b"));
  clock.advance(INQUIRY_MS);
  assert.deepEqual([reports[1][0], reports[1][1], reports[1][2].cut], [0, 9, true]);
  inquiries.surveyed(surveys[1], 0, found("late"));
  for (let i = 0; i < SURVEYS_MAX + 5; i++) inquiries.ask(0, i, request);
  assert.equal(surveys.length, 2 + SURVEYS_MAX);
  inquiries.close();
  assert.deepEqual([reports.length, clock.pendingCount], [2, 0]);
});
