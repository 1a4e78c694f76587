// Core. The conversations about rules of scaling.

import type { ModuleKey } from "../../model/module.ts";
import {
  type Dialect,
  forUpdate,
  numberOf,
  onConflict,
  type Script,
  textOf,
} from "../drivers/sql_script.ts";
import { auditScript, requireRoomScript } from "./access_scripts.ts";
import { type AuditEntry, SCALE_RULES_MAX, type ScaleRuleRow } from "./console_store.ts";

const TABLE = "ScaleRule";

/** Every rule, in order of its module. */
export function* scaleRulesScript(): Script<ScaleRuleRow[]> {
  const rows = yield {
    sql: `SELECT modid, cmdid, content, updated_at FROM ${TABLE} ORDER BY modid, cmdid`,
  };
  return rows.map((row) => ({
    modId: numberOf(row.modid),
    cmdId: numberOf(row.cmdid),
    content: textOf(row.content),
    updatedAtMs: numberOf(row.updated_at),
  }));
}

function* isThereScript(dialect: Dialect, { modId, cmdId }: ModuleKey): Script<boolean> {
  const rows = yield {
    sql: `SELECT modid FROM ${TABLE} WHERE modid = ? AND cmdid = ?${forUpdate(dialect)}`,
    params: [modId, cmdId],
  };
  return rows.length > 0;
}

/** Sets the rule of a module. */
export function* putScaleRuleScript(
  dialect: Dialect,
  { modId, cmdId, content, updatedAtMs }: ScaleRuleRow,
  audit: AuditEntry,
): Script<void> {
  if (!(yield* isThereScript(dialect, { modId, cmdId }))) {
    yield* requireRoomScript(TABLE, "SCALE_RULES_MAX", SCALE_RULES_MAX, "rules of scaling");
  }
  yield {
    sql: `INSERT INTO ${TABLE}(modid, cmdid, content, updated_at) VALUES (?, ?, ?, ?)` +
      onConflict(dialect, "modid, cmdid", ["content", "updated_at"]),
    params: [modId, cmdId, content, updatedAtMs],
  };
  yield* auditScript(dialect, audit);
}

/** Removes the rule of a module; false when it has none. */
export function* removeScaleRuleScript(
  dialect: Dialect,
  { modId, cmdId }: ModuleKey,
  audit: AuditEntry,
): Script<boolean> {
  if (!(yield* isThereScript(dialect, { modId, cmdId }))) return false;
  yield { sql: `DELETE FROM ${TABLE} WHERE modid = ? AND cmdid = ?`, params: [modId, cmdId] };
  yield* auditScript(dialect, audit);
  return true;
}
