// Core. The configuration keys of the reporter.

import {
  authSettings,
  reactorSettings,
  storeSettings,
} from "../daemon/settings/common_settings.ts";
import { Section, type SettingsTable } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { HISTORY_KEEP_S } from "../sql/results/call_history.ts";
import { EVENT_KEEP_S } from "../sql/results/event.ts";
import { STATUS_KEYS_MAX } from "./store_queue.ts";

/** Default of the bytes of a spool: 5,000 results a second for 45 minutes. */
const SPOOL_BYTES_MAX = 512 * 1024 * 1024;

/** The original's own configuration file misspells the section. */
const reporter = new Section("reporter", "repoter");

/** Every key that the reporter reads. */
export const reporterSettings = {
  ...reactorSettings(DEFAULT_PORTS.reporter),
  ...storeSettings,
  ...authSettings,
  queueCount: reporter.integer("db_thread_cnt", 3, [1, 64], { below: 1, above: 64 })
    .doc(
      "Queues that write to the database at the same time, each on a connection of its " +
        "own; an embedded database takes one writer, so there it is always 1.",
    ),
  flushIntervalMs: reporter.seconds("flush_interval", 0.1, [0.01, 60])
    .doc("Longest time a result waits for others to be written with it."),
  keysMax: reporter.integer("keys_max", STATUS_KEYS_MAX, [1000, 10_000_000])
    .doc(
      "Most results one queue keeps while the database is slow or away (one for each " +
        "module, node and caller); when full, new ones are refused and counted, known ones still updated.",
    ),
  spoolDir: reporter.text("spool_dir", "", { shape: "path" })
    .doc(
      "Folder for results that are not in the database yet, one for each reporter, so that a second " +
        "of them is lost at most when agent and reporter are lost at once; empty: none.",
    ),
  spoolBytesMax: reporter.integer("spool_max_bytes", SPOOL_BYTES_MAX, [
    1_048_576,
    1_099_511_627_776,
  ])
    .doc("Most bytes in it; when full, agents keep their results until the database has them."),
  history: reporter.boolean("history", true)
    .doc("1 writes the call history in time buckets and events of nodes; 0 writes neither."),
  historyKeepMs: reporter.seconds("history_keep", HISTORY_KEEP_S[10], [600, 31_536_000])
    .doc("How long buckets of 10 seconds are kept."),
  historyKeepMinutesMs: reporter.seconds("history_keep_minutes", HISTORY_KEEP_S[60], [
    7200,
    315_360_000,
  ])
    .doc("How long buckets of 1 minute are kept."),
  historyKeepHoursMs: reporter.seconds("history_keep_hours", HISTORY_KEEP_S[3600], [
    86_400,
    3_153_600_000,
  ])
    .doc("How long buckets of 1 hour are kept."),
  eventKeepMs: reporter.seconds("event_keep", EVENT_KEEP_S, [3600, 315_360_000])
    .doc("How long events are kept; never more than the newest 200000."),
} as const satisfies SettingsTable;
