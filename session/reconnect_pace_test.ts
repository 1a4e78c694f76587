import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { ConnectionPlaces } from "./connection_places.ts";
import { FAIL_OVER_MS, ReconnectPace, SILENT_FAIL_OVER_MS } from "./reconnect_pace.ts";

test("places are numbers from 0 up, used again, and spread as many as there are", () => {
  const places = new ConnectionPlaces<string>();
  assert.equal(places.placeOf("a"), undefined);
  for (const peer of ["a", "b", "c", "d"]) places.add(peer);
  assert.deepEqual(places.placeOf("a"), { spreadMs: 20, placeMs: 0 });
  assert.deepEqual(places.placeOf("d"), { spreadMs: 20, placeMs: 15 });
  places.delete("b");
  places.add("e");
  places.add("e");
  assert.deepEqual(places.placeOf("e"), { spreadMs: 20, placeMs: 5 });
  for (const peer of ["a", "c", "d"]) places.delete(peer);
  assert.deepEqual(places.placeOf("e"), { spreadMs: 5, placeMs: 0 });
});

test("the places of loops that share an address spread as those of all of them", () => {
  const places = new ConnectionPlaces<number>(4);
  for (let peer = 0; peer < 100; peer++) places.add(peer);
  assert.deepEqual(places.placeOf(50), { spreadMs: 2000, placeMs: 1000 });
});

test("whenever a server is back, those who wait for it come evenly and soon", () => {
  for (const awayMs of [0, 1, 777, 12_345]) {
    const arrivals = Array.from({ length: 1000 }, (_, index) => {
      const pace = new ReconnectPace(seededRng(index));
      pace.told(5000, index * 5);
      let atMs = 0;
      for (let failures = 1;; failures++) {
        atMs += pace.pauseMs(failures, 1);
        if (atMs >= awayMs) return atMs - awayMs;
      }
    }).sort((a, b) => a - b);
    assert.ok(arrivals[999] <= 5000, `the last after ${arrivals[999]} ms`);
    for (let i = 0; i + 210 < 1000; i += 10) {
      assert.ok(arrivals[i + 210] - arrivals[i] > 1000, "at most 210 in a second");
    }
  }
});

test("another server is tried within the time of a fail-over, then all of them ever more seldom", () => {
  const pace = new ReconnectPace(seededRng(1));
  pace.told(5000, 2500);
  assert.equal(pace.pauseMs(1, 3), FAIL_OVER_MS / 2);
  assert.equal(pace.pauseMs(2, 3), FAIL_OVER_MS);
  assert.equal(pace.pauseMs(3, 3), FAIL_OVER_MS / 2 + 2500);
  assert.equal(pace.pauseMs(9, 3), 5000);
});

test("after a server that fell silent the next one is tried sooner, and the only one is not", () => {
  const pace = new ReconnectPace(seededRng(1));
  pace.told(5000, 2500);
  pace.notedSilence();
  assert.equal(pace.pauseMs(1, 3), SILENT_FAIL_OVER_MS / 2);
  assert.equal(pace.pauseMs(1, 3), FAIL_OVER_MS / 2, "once");
  pace.notedSilence();
  assert.equal(pace.pauseMs(1, 1), 2500);
});

test("of a small fleet nobody waits long, and one that was told nothing waits by chance", () => {
  const pace = new ReconnectPace(seededRng(1));
  assert.ok(pace.pauseMs(1, 1) < 100);
  pace.told(10, 5);
  assert.equal(pace.pauseMs(1, 1), 50);
  assert.equal(pace.pauseMs(2, 1), 150);
  assert.equal(pace.placeMs(10), 5);
  pace.told(0, 7);
  assert.equal(pace.placeMs(10), 5, "what makes no sense is not taken");
});
