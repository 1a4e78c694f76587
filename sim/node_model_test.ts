import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/rng.ts";
import { NodeModel, REFUSING, SILENT, WELL } from "./node_model.ts";

test("NodeModel.begin() refuses after 1 ms, stays silent for 1 s, and serves", () => {
  const rng = seededRng(1);
  const node = new NodeModel();
  const served = node.begin(0, 0, 100, rng);
  assert.equal(served.failed, false);
  assert.ok(served.endMs >= 107.5 && served.endMs <= 200);
  node.become(REFUSING, 500);
  assert.deepEqual([node.begin(0, 0, 500, rng).endMs, node.begin(0, 0, 500, rng).failed], [
    501,
    true,
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
  assert.equal(crashed.failed, true);
  node.become(SILENT, 2);
  assert.equal(node.finish(hung), false, "the caller waits on");
  assert.equal(hung.endMs, 1000, "until it gives up");
  assert.equal(node.finish(hung), true);
  assert.equal(hung.failed, true);
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
