import assert from "node:assert/strict";
import { test } from "node:test";
import { renderMetrics } from "./metrics_text.ts";
import { counter, gauge, metricsOf, storeMetrics } from "./service_metrics.ts";

function lines(...given: Parameters<typeof metricsOf>): string[] {
  return renderMetrics(metricsOf(...given)).split("\n").filter((line) => /^[a-z]/.test(line));
}

test("metricsOf() names, scales and labels counters, and leaves none out", () => {
  const table = {
    picks: counter("lars_x_picks_total", "Picks."),
    refusedA: counter("lars_x_refused_total", "Refused.", { labels: { reason: "a" } }),
    refusedB: counter("lars_x_refused_total", "Refused.", { labels: { reason: "b" } }),
    tookMs: gauge("lars_x_duration_seconds", "Time.", { scale: 0.001 }),
    ageS: gauge("lars_x_age_seconds", "Age.", { min: 0 }),
    secret: null,
  };
  const stats = {
    picks: 3,
    refusedA: 1,
    refusedB: 2,
    tookMs: 1234,
    ageS: -1,
    secret: 9,
    someNewCount: 5,
    zone: "east",
    toString: 1,
  };
  assert.deepEqual(lines("x", table, stats), [
    "lars_x_picks_total 3",
    'lars_x_refused_total{reason="a"} 1',
    'lars_x_refused_total{reason="b"} 2',
    "lars_x_duration_seconds 1.234",
    "lars_x_some_new_count 5",
    "lars_x_to_string 1",
  ]);
});

test("storeMetrics() turns the state of the database into a number", () => {
  const table = storeMetrics("x");
  assert.deepEqual(lines("x", table, { store: "up", store_losses: 2 }), [
    "lars_x_store_up 1",
    "lars_x_store_losses_total 2",
  ]);
  assert.deepEqual(lines("x", table, { store: "away", store_reason: "gone" }), [
    "lars_x_store_up 0",
  ]);
});
