// Core. What the counters of the reporter are called as metrics.

import type { Metric } from "../daemon/monitor/metrics_text.ts";
import {
  counter,
  gauge,
  type MetricTable,
  serverMetrics,
  storeMetrics,
} from "../daemon/monitor/service_metrics.ts";
import type { ModuleKey } from "../model/module.ts";
import type { CallTotal } from "./call_history.ts";

/**
 * Calls, refused calls and times by module, as agents told them.
 *
 * @param nameOf What a module is called: "" = it has no name, undefined = show it later.
 */
export function moduleMetrics(
  totals: readonly CallTotal[],
  nameOf: (module: ModuleKey) => string | undefined,
): Metric[] {
  const labelled = totals.flatMap(({ module, ...counts }) => {
    const ids = module === undefined
      ? { modid: "other", cmdid: "other" }
      : { modid: String(module.modId), cmdid: String(module.cmdId) };
    const name = module === undefined ? "" : nameOf(module);
    return name === undefined ? [] : { ...counts, labels: { ...ids, name } };
  });
  return [{
    name: "lars_reporter_calls_total",
    help: "Calls that callers made, by module, as told by agents.",
    type: "counter",
    samples: labelled.flatMap(({ labels, succ, err }) => [
      { labels: { ...labels, result: "success" }, value: succ },
      { labels: { ...labels, result: "failure" }, value: err },
    ]),
  }, {
    name: "lars_reporter_calls_refused_total",
    help: "Callers that asked for a node and got none, by module, as told by agents.",
    type: "counter",
    samples: labelled.map(({ labels, refused }) => ({ labels, value: refused })),
  }, {
    name: "lars_reporter_call_duration_seconds",
    help: "What calls took, by module, where callers told; agents show it in buckets.",
    type: "summary",
    samples: labelled.filter(({ timed }) => timed > 0).flatMap(({ labels, timed, timeMs }) => [
      { labels, value: timeMs / 1000, suffix: "_sum" as const },
      { labels, value: timed, suffix: "_count" as const },
    ]),
  }];
}

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
  rows_bad: counter(
    "lars_reporter_rows_bad_total",
    "Results that the database refused for what is in them; the log says which.",
  ),
  queues: gauge("lars_reporter_queues", "Queues that write to the database."),
  rows_waiting: gauge("lars_reporter_rows_waiting", "Results that wait to be written."),
  rows_written: counter("lars_reporter_rows_written_total", "Results written."),
  rows_replaced: counter(
    "lars_reporter_rows_replaced_total",
    "Results replaced by a newer one of their node before they were written.",
  ),
  writes: counter("lars_reporter_writes_total", "Writes to the database."),
  write_failures: counter("lars_reporter_write_failures_total", "Writes that failed."),
  kept_sessions: gauge(
    "lars_reporter_kept_sessions",
    "Senders that keep their reports until they are stored.",
  ),
  kept_sessions_again: counter(
    "lars_reporter_kept_sessions_again_total",
    "Times that a sender had to send again what was not stored.",
  ),
  kept_sessions_refused: counter(
    "lars_reporter_kept_sessions_refused_total",
    "Times that a sender found no room, or went on elsewhere too often: it keeps nothing then.",
  ),
  spool_bytes: gauge("lars_reporter_spool_bytes", "Bytes of results on disk, not all stored yet."),
  spool_records_waiting: gauge(
    "lars_reporter_spool_records_waiting",
    "Reports that wait to be on disk.",
  ),
  spool_records_written: counter(
    "lars_reporter_spool_records_written_total",
    "Reports written to disk.",
  ),
  spool_records_refused: counter(
    "lars_reporter_spool_records_refused_total",
    "Reports that found no room on disk: their agents keep them until they are stored.",
  ),
  spool_syncs: counter("lars_reporter_spool_syncs_total", "Times that the disk was waited for."),
  spool_failures: counter("lars_reporter_spool_failures_total", "Writes to disk that failed."),
  spool_set_aside: counter(
    "lars_reporter_spool_set_aside_total",
    "Files on disk that could not be read, and are kept under another name.",
  ),
  spool_aside_dropped: counter(
    "lars_reporter_spool_aside_dropped_total",
    "Files kept under another name that were removed for newer ones.",
  ),
  spool_replayed: counter(
    "lars_reporter_spool_replayed_total",
    "Reports of an earlier run that went from disk into the history.",
  ),
  spool_skipped: counter(
    "lars_reporter_spool_skipped_total",
    "Reports on disk that were in the history already, or too old.",
  ),
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
  history_gaps_given_up: counter(
    "lars_reporter_history_gaps_given_up_total",
    "Stretches of reports, owed by a reporter that has them on its disk, that were too many.",
  ),
  events_waiting: gauge("lars_reporter_events_waiting", "Events that wait."),
  events_written: counter("lars_reporter_events_written_total", "Events written."),
  events_dropped: counter("lars_reporter_events_dropped_total", "Events that found no room."),
};
