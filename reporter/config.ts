// Core. The configuration keys of the reporter.

import {
  authSettings,
  reactorSettings,
  storeSettings,
} from "../daemon/settings/common_settings.ts";
import { boolean, integer, seconds, type SettingsTable } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { HISTORY_KEEP_S } from "../sql/results/call_history.ts";
import { EVENT_KEEP_S } from "../sql/results/event.ts";
import { STATUS_KEYS_MAX } from "./status_batch.ts";

/** The original's own configuration file misspells the section. */
const sectionAliases = ["repoter"];

/** Every key that the reporter reads. */
export const reporterSettings = {
  ...reactorSettings(DEFAULT_PORTS.reporter),
  ...storeSettings,
  ...authSettings,
  queueCount: integer("reporter", "db_thread_cnt", {
    sectionAliases,
    default: 3,
    min: 1,
    max: 64,
    doc: "Queues that write to the database at the same time, each on a connection of its own; " +
      "an embedded database takes one writer, so there it is always 1.",
  }),
  flushIntervalMs: seconds("reporter", "flush_interval", {
    sectionAliases,
    default: 0.1,
    min: 0.01,
    max: 60,
    doc: "Longest time a result waits for others to be written with it.",
  }),
  keysMax: integer("reporter", "keys_max", {
    sectionAliases,
    default: STATUS_KEYS_MAX,
    min: 1000,
    max: 10_000_000,
    doc: "Most results one queue keeps while the database is slow or away (one for each module, " +
      "node and caller); when full, new ones are refused and counted, known ones still updated.",
  }),
  history: boolean("reporter", "history", {
    sectionAliases,
    default: true,
    doc: "1 writes the call history in time buckets and events of nodes; 0 writes neither.",
  }),
  historyKeepMs: seconds("reporter", "history_keep", {
    sectionAliases,
    default: HISTORY_KEEP_S[10],
    min: 600,
    max: 31_536_000,
    doc: "How long buckets of 10 seconds are kept.",
  }),
  historyKeepMinutesMs: seconds("reporter", "history_keep_minutes", {
    sectionAliases,
    default: HISTORY_KEEP_S[60],
    min: 7200,
    max: 315_360_000,
    doc: "How long buckets of 1 minute are kept.",
  }),
  historyKeepHoursMs: seconds("reporter", "history_keep_hours", {
    sectionAliases,
    default: HISTORY_KEEP_S[3600],
    min: 86_400,
    max: 3_153_600_000,
    doc: "How long buckets of 1 hour are kept.",
  }),
  eventKeepMs: seconds("reporter", "event_keep", {
    sectionAliases,
    default: EVENT_KEEP_S,
    min: 3600,
    max: 315_360_000,
    doc: "How long events are kept; never more than the newest 200000.",
  }),
} as const satisfies SettingsTable;
