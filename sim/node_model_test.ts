import assert from "node:assert/strict";
import { test } from "node:test";
import { ReportCode } from "../balancer/mod.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { CALL_TIMEOUT_MS, NodeModel, REFUSING, SILENT, WELL } from "./node_model.ts";

test("NodeModel.begin() refuses after 1 ms, stays silent for 1 s, and serves", () => {
  const rng = seededRng(1);
  const node = new NodeModel();
  const served = node.begin(0, 0, 100, rng);
  assert.equal(served.retcode, 0);
  assert.ok(served.endMs >= 107.5 && served.endMs <= 200);
  node.become(REFUSING, 500);
  assert.deepEqual([node.begin(0, 0, 500, rng).endMs, node.begin(0, 0, 500, rng).retcode], [
    501,
    ReportCode.Refused,
  ]);
  node.become(SILENT, 600);
  assert.equal(node.begin(0, 0, 600, rng).endMs, 1600);
});

test("NodeModel.finish() loses the calls that are under way when a node stops", () => {
  const rng = seededRng(1);
  const node = new NodeModel();
  const [crashed, hung] = [node.begin(0, 0, 0, rng), node.begin(0, 0, 0, rng)];
  node.become(REFUSING, 1);
  assert.equal(node.finish(crashed), true);
  assert.equal(crashed.retcode, ReportCode.Refused);
  node.become(SILENT, 2);
  assert.equal(node.finish(hung), false, "the caller waits on");
  assert.equal(hung.endMs, 1000, "until it gives up");
  assert.equal(node.finish(hung), true);
  assert.equal(hung.retcode, ReportCode.Timeout);
});

test("NodeModel.become() tells where faults begin and end", () => {
  const node = new NodeModel();
  const sick = { ...WELL, errorShare: 0.3 };
  const turns = [WELL, sick, REFUSING, sick, WELL, WELL].map((condition, index) =>
    node.become(condition, index)
  );
  assert.deepEqual(turns, [0, 1, 0, 0, -1, 0]);
  assert.equal(node.wellSinceMs, 4);
});

test("a node with a capacity serves so many calls at a time, lets some wait and turns others away", () => {
  const rng = seededRng(1);
  const node = new NodeModel({ servers: 2, queueMax: 1 });
  const calls = [0, 0, 0, 0].map((atMs) => node.begin(0, 0, atMs, rng));
  assert.deepEqual(calls.map(({ retcode }) => retcode), [0, 0, 0, ReportCode.Pushback]);
  const [first, second, third, turnedAway] = calls;
  // The third begins when the sooner of the two is done, and takes at least 7.5 ms.
  const freeMs = Math.min(first.endMs, second.endMs);
  assert.ok(third.endMs >= freeMs + 7.5 && third.endMs <= freeMs + 100);
  assert.equal(turnedAway.endMs, 1);
  // The queue is free again once the third is served.
  assert.equal(node.begin(0, 0, freeMs, rng).retcode, 0);
  node.become(REFUSING, freeMs + 1);
  node.become(WELL, freeMs + 2);
  assert.ok(node.begin(0, 0, freeMs + 2, rng).endMs <= freeMs + 102, "a restart forgets the queue");
});

test("a caller gives up on a queue that is too long", () => {
  const rng = seededRng(1);
  const node = new NodeModel({ servers: 1, queueMax: 1000 });
  const calls = Array.from({ length: 200 }, () => node.begin(0, 0, 0, rng));
  const last = calls[calls.length - 1];
  assert.deepEqual([last.endMs, last.retcode], [CALL_TIMEOUT_MS, ReportCode.Timeout]);
});
