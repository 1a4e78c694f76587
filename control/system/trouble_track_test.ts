import assert from "node:assert/strict";
import { test } from "node:test";
import type { TroubleSeverity } from "./severity.ts";
import { CALM_MS, TroubleTrack } from "./trouble_track.ts";

const STEP_MS = 1000;

/** What a track shows after each of some looks, a second apart: `w5` is a warning since second 5. */
function shown(levels: readonly (TroubleSeverity | null)[]): string[] {
  const track = new TroubleTrack<number>();
  return levels.map((severity, at) => {
    const look = { nowMs: at * STEP_MS, wallMs: at * STEP_MS, isFirst: at === 0 };
    const trouble = track.look(severity === null ? null : { severity, facts: at }, look);
    if (trouble === null) return "-";
    const since = trouble.sinceMs === null ? "?" : trouble.sinceMs / STEP_MS;
    return `${trouble.severity[0]}${since}`;
  });
}

const calm = (count: number): null[] => new Array<null>(count).fill(null);

test("TroubleTrack: trouble begins at once and ends after all was well for a while", () => {
  const calmS = CALM_MS / STEP_MS;
  assert.deepEqual(shown([null, "warning", ...calm(calmS + 2)]), [
    "-",
    "w1",
    ...new Array(calmS).fill("w1"),
    ...["-", "-"],
  ]);
  assert.equal(shown(["critical"])[0], "c?", "what is found at the first look may be old");
});

test("TroubleTrack: what comes and goes is one trouble, since it began", () => {
  for (const pause of [1, 3, 9]) {
    const flips = Array.from({ length: 20 }, () => ["warning" as const, ...calm(pause)]).flat();
    assert.deepEqual([...new Set(shown([null, ...flips]).slice(1))], ["w1"], `pause of ${pause} s`);
  }
});

test("TroubleTrack: it gets worse at once, and better after a while", () => {
  const levels = [null, "warning", "critical", "warning", ...calm(1)] as const;
  assert.deepEqual(shown(levels), ["-", "w1", "c2", "c2", "c2"]);
  const after = shown([null, "warning", "critical", ...new Array<"warning">(12).fill("warning")]);
  assert.deepEqual([after[2], after.at(-1)], ["c2", "w1"]);
});

test("TroubleTrack: the facts are those of the last time it was so bad", () => {
  const track = new TroubleTrack<string>();
  const at = (nowMs: number) => ({ nowMs, wallMs: nowMs, isFirst: false });
  track.look({ severity: "warning", facts: "6 %" }, at(0));
  track.look({ severity: "warning", facts: "7 %" }, at(1000));
  assert.equal(track.look(null, at(2000))?.facts, "7 %", "never 0 % in a warning");
});
