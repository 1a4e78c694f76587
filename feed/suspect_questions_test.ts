import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeGetRouteRequest } from "../proto/codec.ts";
import { encodePlainRouteRequest } from "../proto/plain_request.ts";
import {
  SUSPECT_PAUSE_MS,
  SUSPECT_PAUSE_MS_MAX,
  SuspectQuestions,
  SUSPECTS_MAX,
} from "./suspect_questions.ts";

const key = (modId: number) => ({ modId, cmdId: 0 });

test("encodePlainRouteRequest() writes both numbers, whatever they are", () => {
  assert.deepEqual([...encodePlainRouteRequest(0, 0)], [8, 0, 16, 0]);
  assert.deepEqual([...encodePlainRouteRequest(1, 0)], [8, 1, 16, 0]);
  const uint32 = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffffffff }));
  fc.assert(fc.property(uint32, uint32, (modId, cmdId) => {
    const body = encodePlainRouteRequest(modId, cmdId);
    assert.ok(body.length >= 4);
    assert.deepEqual(decodeGetRouteRequest(body), { modId, cmdId });
  }));
});

test("the question that ends its peer is found, and asked ever more seldom; the others are answered", () => {
  // Ten modules are asked for at once, of a peer that ends on the seventh.
  const suspects = new SuspectQuestions();
  const deadly = 7;
  const answered = new Set<number>();
  const ends: number[] = [];
  for (let nowMs = 0; nowMs < 2_000_000; nowMs += 1000) {
    const open: number[] = [];
    const ask = (modId: number): void => {
      if (suspects.admit(modId, 0, nowMs)) open.push(modId);
    };
    for (let modId = 0; modId < 10; modId++) if (!answered.has(modId)) ask(modId);
    // The peer reads in order, and ends before it has answered what came with the bad one.
    if (open.includes(deadly)) {
      ends.push(nowMs);
      suspects.ended(open.map(key), nowMs);
      continue;
    }
    for (let at = 0; at < open.length; at++) {
      answered.add(open[at]);
      const next = suspects.answered(open[at], 0);
      if (next === undefined) continue;
      if (next.modId === deadly) {
        ends.push(nowMs);
        suspects.ended([next], nowMs);
        break;
      }
      ask(next.modId);
    }
  }
  assert.equal(answered.size, 9, "all others");
  assert.ok(ends.length <= 14, `${ends}`);
  const pauses = ends.slice(1).map((atMs, index) => atMs - ends[index]);
  assert.ok(pauses.every((ms) => ms >= SUSPECT_PAUSE_MS));
  assert.ok(pauses.some((ms) => ms >= SUSPECT_PAUSE_MS_MAX), `${pauses}`);
});

test("suspects are forgotten with an answer, with a peer of ours, and when there are too many", () => {
  const suspects = new SuspectQuestions();
  suspects.ended([key(1), key(2)], 0);
  assert.deepEqual([suspects.admit(1, 0, 0), suspects.admit(3, 0, 0)], [false, true]);
  suspects.answered(1, 0);
  assert.equal(suspects.admit(1, 0, 0), true);
  suspects.forget(2, 0);
  assert.equal(suspects.count, 0);
  suspects.ended(Array.from({ length: SUSPECTS_MAX + 5 }, (_, index) => key(index)), 0);
  assert.equal(suspects.count, SUSPECTS_MAX);
  suspects.clear();
  assert.equal(suspects.admit(9, 0, 0), true);
});
