// Core. The conversations about alert rules, silences, webhooks, and what the console remembers.

import { auditScript, insertScript, requireRoomScript } from "./access_scripts.ts";
import {
  type AuditEntry,
  type RuleRow,
  RULES_MAX,
  type SilenceRow,
  SILENCES_MAX,
  type WebhookRow,
  WEBHOOKS_MAX,
} from "./console_store.ts";
import {
  type Dialect,
  forUpdate,
  insertIgnore,
  numberOf,
  numberOrNull,
  onConflict,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
} from "../drivers/sql_script.ts";

type AlertTable = "AlertRule" | "AlertSilence" | "AlertWebhook";

const RULE_COLUMNS = "kind, title, severity, enabled, threshold, for_s, clear_s, modid, cmdid";

function ruleValues(rule: Omit<RuleRow, "id">): SqlValue[] {
  return [
    rule.kind,
    rule.title,
    rule.severity,
    rule.enabled ? 1 : 0,
    rule.threshold,
    rule.forS,
    rule.clearS,
    rule.modId,
    rule.cmdId,
  ];
}

function ruleOf(row: SqlRow): RuleRow {
  return {
    id: numberOf(row.id),
    kind: textOf(row.kind),
    title: textOf(row.title),
    severity: row.severity === "critical" ? "critical" : "warning",
    enabled: numberOf(row.enabled) !== 0,
    threshold: numberOf(row.threshold),
    forS: numberOf(row.for_s),
    clearS: numberOf(row.clear_s),
    modId: numberOrNull(row.modid),
    cmdId: numberOrNull(row.cmdid),
  };
}

/** Every rule. */
export function* rulesScript(): Script<RuleRow[]> {
  return (yield { sql: `SELECT id, ${RULE_COLUMNS} FROM AlertRule ORDER BY id` }).map(ruleOf);
}

/** Adds a rule. */
export function* addRuleScript(
  dialect: Dialect,
  rule: Omit<RuleRow, "id">,
  audit: AuditEntry,
): Script<number> {
  yield* requireRoomScript("AlertRule", "RULES_MAX", RULES_MAX, "alert rules");
  return yield* insertScript(dialect, "AlertRule", RULE_COLUMNS, ruleValues(rule), audit);
}

/** True when the table has the row, which is locked then. */
function* existsScript(dialect: Dialect, table: AlertTable, id: number): Script<boolean> {
  const rows = yield {
    sql: `SELECT id FROM ${table} WHERE id = ?${forUpdate(dialect)}`,
    params: [id],
  };
  return rows.length > 0;
}

/** Replaces a row by its id; false when it is not there. `columns`: separated by `, `. */
function* replaceScript(
  dialect: Dialect,
  table: AlertTable,
  columns: string,
  values: readonly SqlValue[],
  id: number,
  audit: AuditEntry,
): Script<boolean> {
  if (!(yield* existsScript(dialect, table, id))) return false;
  const assignments = columns.split(", ").map((column) => `${column} = ?`).join(", ");
  yield { sql: `UPDATE ${table} SET ${assignments} WHERE id = ?`, params: [...values, id] };
  yield* auditScript(dialect, audit);
  return true;
}

/** Replaces a rule. */
export function* putRuleScript(
  dialect: Dialect,
  rule: RuleRow,
  audit: AuditEntry,
): Script<boolean> {
  return yield* replaceScript(dialect, "AlertRule", RULE_COLUMNS, ruleValues(rule), rule.id, audit);
}

/** Removes a row of a table by its id. */
export function* removeByIdScript(
  dialect: Dialect,
  table: AlertTable,
  id: number,
  audit: AuditEntry,
): Script<boolean> {
  if (!(yield* existsScript(dialect, table, id))) return false;
  yield { sql: `DELETE FROM ${table} WHERE id = ?`, params: [id] };
  yield* auditScript(dialect, audit);
  return true;
}

const SILENCE_COLUMNS = "rule_id, modid, cmdid, node, why, who, created_at, ends_at";

/** Silences that end after an instant. */
export function* silencesScript(nowMs: number): Script<SilenceRow[]> {
  const rows = yield {
    sql: `SELECT id, ${SILENCE_COLUMNS} FROM AlertSilence WHERE ends_at > ? ORDER BY id`,
    params: [nowMs],
  };
  return rows.map((row) => ({
    id: numberOf(row.id),
    ruleId: numberOrNull(row.rule_id),
    modId: numberOrNull(row.modid),
    cmdId: numberOrNull(row.cmdid),
    node: row.node === null || row.node === undefined ? null : textOf(row.node),
    why: textOf(row.why),
    who: textOf(row.who),
    createdAtMs: numberOf(row.created_at),
    endsAtMs: numberOf(row.ends_at),
  }));
}

/** Adds a silence and forgets those that are over. */
export function* addSilenceScript(
  dialect: Dialect,
  silence: Omit<SilenceRow, "id">,
  audit: AuditEntry,
): Script<number> {
  yield { sql: "DELETE FROM AlertSilence WHERE ends_at <= ?", params: [silence.createdAtMs] };
  yield* requireRoomScript("AlertSilence", "SILENCES_MAX", SILENCES_MAX, "silences");
  const { ruleId, modId, cmdId, node, why, who, createdAtMs, endsAtMs } = silence;
  const values = [ruleId, modId, cmdId, node, why, who, createdAtMs, endsAtMs];
  return yield* insertScript(dialect, "AlertSilence", SILENCE_COLUMNS, values, audit);
}

const WEBHOOK_COLUMNS = "title, url, secret, enabled, format, timeout_s, group_s";

function webhookValues(webhook: Omit<WebhookRow, "id">): SqlValue[] {
  const { title, url, secret, enabled, format, timeoutS, groupS } = webhook;
  return [title, url, secret, enabled ? 1 : 0, format, timeoutS, groupS];
}

/** Every webhook. */
export function* webhooksScript(): Script<WebhookRow[]> {
  const rows = yield { sql: `SELECT id, ${WEBHOOK_COLUMNS} FROM AlertWebhook ORDER BY id` };
  return rows.map((row) => ({
    id: numberOf(row.id),
    title: textOf(row.title),
    url: textOf(row.url),
    secret: textOf(row.secret),
    enabled: numberOf(row.enabled) !== 0,
    format: textOf(row.format),
    timeoutS: numberOf(row.timeout_s),
    groupS: numberOf(row.group_s),
  }));
}

/** Adds a webhook. */
export function* addWebhookScript(
  dialect: Dialect,
  webhook: Omit<WebhookRow, "id">,
  audit: AuditEntry,
): Script<number> {
  yield* requireRoomScript("AlertWebhook", "WEBHOOKS_MAX", WEBHOOKS_MAX, "webhooks");
  const values = webhookValues(webhook);
  return yield* insertScript(dialect, "AlertWebhook", WEBHOOK_COLUMNS, values, audit);
}

/** Replaces a webhook. */
export function* putWebhookScript(
  dialect: Dialect,
  webhook: WebhookRow,
  audit: AuditEntry,
): Script<boolean> {
  const values = webhookValues(webhook);
  return yield* replaceScript(dialect, "AlertWebhook", WEBHOOK_COLUMNS, values, webhook.id, audit);
}

/** A text kept under a name. */
export function* stateScript(name: string): Script<string | undefined> {
  const rows = yield { sql: "SELECT content FROM ConsoleState WHERE name = ?", params: [name] };
  return rows.length === 0 ? undefined : textOf(rows[0].content);
}

/** Texts whose names begin so, in order of their names. */
export function* statesScript(prefix: string): Script<{ name: string; content: string }[]> {
  const rows = yield {
    sql: "SELECT name, content FROM ConsoleState WHERE name LIKE ? ESCAPE '!' ORDER BY name",
    params: [`${prefix.replace(/[!%_]/g, "!$&")}%`],
  };
  return rows.map(({ name, content }) => ({ name: textOf(name), content: textOf(content) }));
}

function upsertStateSql(dialect: Dialect): string {
  return "INSERT INTO ConsoleState(name, content, expires_at) VALUES (?, ?, ?)" +
    onConflict(dialect, "name", ["content", "expires_at"]);
}

/** Keeps a text under a name. */
export function* putStateScript(dialect: Dialect, name: string, content: string): Script<void> {
  yield { sql: upsertStateSql(dialect), params: [name, content, 0] };
}

/** Takes or renews a lease; the row of a lease holds the name of its holder. */
export function* takeLeaseScript(
  dialect: Dialect,
  name: string,
  holder: string,
  nowMs: number,
  untilMs: number,
): Script<boolean> {
  const key = `lease:${name}`;
  yield {
    sql: `${insertIgnore(dialect)} INTO ConsoleState(name, content, expires_at) VALUES (?, ?, ?)`,
    params: [key, holder, untilMs],
  };
  const rows = yield {
    sql: "SELECT content, expires_at FROM ConsoleState WHERE name = ?" + forUpdate(dialect),
    params: [key],
  };
  if (textOf(rows[0]?.content) !== holder && numberOf(rows[0]?.expires_at) > nowMs) return false;
  yield { sql: upsertStateSql(dialect), params: [key, holder, untilMs] };
  return true;
}
