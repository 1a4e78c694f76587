import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTrack } from "../control/scaling/scale_settings.ts";
import { TRACK_STEP_MS, TRACK_STEPS_MAX, TrackKeeper } from "./scale_track.ts";

const LOOK = { nodes: 2, wish: 3, load: 100, errorShare: 0 };
const AT_MS = 1000 * TRACK_STEP_MS;

test("a track has a value for each step: the last of nodes, the mean of load", () => {
  const keeper = new TrackKeeper();
  assert.equal(keeper.note(AT_MS, LOOK), true);
  assert.equal(keeper.note(AT_MS + 1, { nodes: 4, wish: null, load: 200, errorShare: 0.5 }), false);
  assert.equal(keeper.note(AT_MS + 3 * TRACK_STEP_MS, { ...LOOK, load: null }), true);
  assert.deepEqual(keeper.track, {
    ...{ stepMs: TRACK_STEP_MS, fromMs: AT_MS, nodes: [4, null, null, 2] },
    ...{ wish: [null, null, null, 3], load: [150, null, null, null] },
    errorShare: [0.25, null, null, 0],
  });
});

test("a track is kept as text, and goes on from there", () => {
  const keeper = new TrackKeeper();
  keeper.note(AT_MS, LOOK);
  const kept = new TrackKeeper(parseTrack(JSON.stringify(keeper.track)));
  assert.deepEqual(kept.track, keeper.track);
  kept.note(AT_MS + TRACK_STEP_MS, { ...LOOK, nodes: 5 });
  assert.deepEqual(kept.track.nodes, [2, 5]);
  for (const text of [undefined, "", "{", "null", "{}", '{"stepMs":1}']) {
    assert.equal(parseTrack(text), undefined, text);
  }
  const short = { ...keeper.track, load: [] };
  assert.equal(parseTrack(JSON.stringify(short)), undefined, "columns of different lengths");
});

test("a track is bounded, whatever the clock does", () => {
  const keeper = new TrackKeeper();
  for (let step = 0; step < 2 * TRACK_STEPS_MAX; step++) {
    keeper.note(AT_MS + step * TRACK_STEP_MS, { ...LOOK, nodes: step });
  }
  assert.equal(keeper.track.nodes.length, TRACK_STEPS_MAX);
  assert.equal(keeper.track.nodes.at(-1), 2 * TRACK_STEPS_MAX - 1);
  const lastMs = AT_MS + (2 * TRACK_STEPS_MAX - 1) * TRACK_STEP_MS;
  const backMs = lastMs - 4 * TRACK_STEP_MS;
  assert.equal(keeper.note(backMs, LOOK), false, "a little back: nothing is written over");
  assert.equal(keeper.track.nodes.at(-1), 2 * TRACK_STEPS_MAX - 1);
  keeper.note(AT_MS * 1000, LOOK);
  assert.deepEqual(keeper.track.nodes, [2], "far on: the rest is too old");
});

test("a clock that was ahead leaves nothing of the time to come", () => {
  for (const aheadSteps of [10, TRACK_STEPS_MAX - 1, TRACK_STEPS_MAX, 1_000_000]) {
    const keeper = new TrackKeeper();
    for (let step = 0; step < 20; step++) keeper.note(AT_MS + step * TRACK_STEP_MS, LOOK);
    const nowMs = AT_MS + 20 * TRACK_STEP_MS;
    keeper.note(nowMs + aheadSteps * TRACK_STEP_MS, { ...LOOK, nodes: 9 });
    const known = keeper.track.nodes.slice(0, -1).filter((nodes) => nodes !== null).length;
    const kept = new TrackKeeper(parseTrack(JSON.stringify(keeper.track)));
    assert.equal(kept.note(nowMs, LOOK), true, `${aheadSteps} steps ahead`);
    const { nodes, fromMs } = kept.track;
    assert.equal(fromMs + (nodes.length - 1) * TRACK_STEP_MS, nowMs, "it ends now");
    assert.equal(nodes.filter((count) => count === 2).length, known + 1, "what there was, and now");
    assert.equal(nodes.filter((count) => count === 9).length, 0);
    assert.equal(kept.note(nowMs + 2 * TRACK_STEP_MS, LOOK), true, "and goes on");
  }
});
