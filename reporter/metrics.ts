// Core. What the counters of the reporter are called as metrics.

import {
  counter,
  gauge,
  type MetricTable,
  serverMetrics,
  storeMetrics,
} from "../daemon/monitor/service_metrics.ts";

const refused = (reason: string): MetricTable[string] =>
  counter("lars_reporter_rows_refused_total", "Results that found no room.", {
    labels: { reason },
  });

/** Metrics of the reporter by counter. */
export const reporterMetrics: MetricTable = {
  ...serverMetrics("reporter"),
  ...storeMetrics("reporter"),
  reports: counter("lars_reporter_reports_total", "Reports of agents."),
  results: counter("lars_reporter_results_total", "Results of nodes in those reports."),
  results_bad_port: counter(
    "lars_reporter_results_bad_port_total",
    "Results left out: their port is none.",
  ),
  results_refused_in_loop: refused("loop_full"),
  rows_refused: refused("queue_full"),
  queues: gauge("lars_reporter_queues", "Queues that write to the database."),
  rows_waiting: gauge("lars_reporter_rows_waiting", "Results that wait to be written."),
  rows_written: counter("lars_reporter_rows_written_total", "Results written."),
  rows_replaced: counter(
    "lars_reporter_rows_replaced_total",
    "Results replaced by a newer one of their node before they were written.",
  ),
  writes: counter("lars_reporter_writes_total", "Writes to the database."),
  write_failures: counter("lars_reporter_write_failures_total", "Writes that failed."),
  history_keys: gauge("lars_reporter_history_keys", "Nodes that the history follows."),
  history_keys_refused: counter(
    "lars_reporter_history_keys_refused_total",
    "Results of nodes beyond the limit of the history.",
  ),
  history_rows_waiting: gauge("lars_reporter_history_rows_waiting", "History rows that wait."),
  history_rows_written: counter(
    "lars_reporter_history_rows_written_total",
    "History rows written.",
  ),
  history_rows_dropped: counter(
    "lars_reporter_history_rows_dropped_total",
    "History rows of nodes left out: a bucket was full, or the database refuses them.",
  ),
  history_merges: counter(
    "lars_reporter_history_merges_total",
    "Times that two waiting buckets became one.",
  ),
  history_failures: counter(
    "lars_reporter_history_failures_total",
    "Writes, roll-ups or deletions of history and events that failed.",
  ),
  events_waiting: gauge("lars_reporter_events_waiting", "Events that wait."),
  events_written: counter("lars_reporter_events_written_total", "Events written."),
  events_dropped: counter("lars_reporter_events_dropped_total", "Events that found no room."),
};
