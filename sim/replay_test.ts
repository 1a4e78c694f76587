import assert from "node:assert/strict";
import { test } from "node:test";
import { POLICIES } from "./policies.ts";
import { parseRecordedReport, parseRecording, type RecordedReport, replay } from "./replay.ts";

test("parseRecording() reads a report from each line and ignores what it does not know", () => {
  const text = '{"atMs":5,"node":"10.0.0.1:80","retcode":0,"tookMs":12,"caller":"x"}\n\n' +
    '{"atMs":5,"node":"10.0.0.2:80","retcode":-1}\n';
  assert.deepEqual(parseRecording(text), [
    { atMs: 5, ip: 0x0a000001, port: 80, retcode: 0, tookMs: 12 },
    { atMs: 5, ip: 0x0a000002, port: 80, retcode: -1, tookMs: 0 },
  ]);
  assert.deepEqual(parseRecording(""), []);
});

test("parseRecording() names the line and what is wrong with it", () => {
  const good = '{"atMs":5,"node":"10.0.0.1:80","retcode":0}';
  const cases: [string, RegExp][] = [
    ["nonsense", /^Line 1 of the recording must be a JSON object$/],
    ["7", /must be a JSON object/],
    [`${good}\n{"atMs":4,"node":"10.0.0.1:80","retcode":0}`, /^Line 2 .* is older than the one/],
    [good.replace("5", "-1"), /must have "atMs", a number from 0/],
    [good.replace("10.0.0.1:80", "host:80"), /must have "node"/],
    [good.replace("10.0.0.1:80", "10.0.0.1"), /must have "node"/],
    [good.replace("10.0.0.1:80", "10.0.0.1:65536"), /must have "node"/],
    [good.replace(`"retcode":0`, `"retcode":"x"`), /must have "retcode"/],
    [good.replace("}", `,"tookMs":-1}`), /must have a "tookMs" from 0/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseRecording(text), { name: "RangeError", message }, text);
  }
  assert.throws(() => parseRecordedReport("{}", 9), { message: /^Line 9 / });
});

function recordingOf(retcodes: readonly number[], everyMs: number): RecordedReport[] {
  return retcodes.flatMap((retcode, index) => {
    const report = { atMs: 1000 + index * everyMs, port: 80, tookMs: 10 };
    return [{ ...report, ip: 1, retcode }, { ...report, ip: 2, retcode: 0 }];
  });
}

test("replay() says when each node would have been out, by the rules of each policy", () => {
  // 20 good calls, 20 refused ones, 40 good ones; one a second.
  const codes = [...new Array(20).fill(0), ...new Array(20).fill(111), ...new Array(40).fill(0)];
  const reports = recordingOf(codes, 1000);
  const lars = replay(reports, POLICIES.lars);
  // Each window of 15 s has fewer than 15 failures in a row: two bad ones condemn at 45 s. No call
  // brings it back in the next 15 s by time.
  assert.deepEqual(lars.nodes.map(({ node, calls, failed }) => [node, calls, failed]), [
    ["0.0.0.1:80", 80, 20],
    ["0.0.0.2:80", 80, 0],
  ]);
  const ours = replay(reports, POLICIES.recommended);
  // The second refused call, 21 s after the first report.
  assert.equal(ours.nodes[0].firstOutMs, 21_000);
  assert.ok((lars.nodes[0].firstOutMs ?? Infinity) > 30_000);
  assert.deepEqual(ours.nodes[1], {
    node: "0.0.0.2:80",
    calls: 80,
    failed: 0,
    outs: 0,
    firstOutMs: null,
    outMs: 0,
  });
  assert.match(
    ours.verdicts[0].text,
    /^0\.0\.0\.1:80 of module 1,1 is overload: failures that count as 16/,
  );
  const total = ours.nodes[0].outMs;
  assert.ok(total > 19_000 && total < 59_000, `${total}`);
});

test("replay() takes an empty recording and one with a year of silence", () => {
  assert.deepEqual(replay([], POLICIES.lars), { nodes: [], verdicts: [] });
  const [first, second] = recordingOf([0, 0], 365 * 86_400_000);
  assert.equal(replay([first, second], POLICIES.recommended).nodes.length, 2);
});
