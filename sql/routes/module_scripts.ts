// Core. The conversations about Module: names and policies.

import { LimitError, messageOf, StoreError } from "../../reactor/errors.ts";
import { validateModuleKeys } from "./route_edits.ts";
import {
  lockVersionScript,
  moduleCondition,
  MODULES_PER_QUERY,
  recordChangesScript,
} from "./route_scripts.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  chunksOf,
  type Dialect,
  numberOf,
  type Script,
  type SqlRow,
  textOf,
} from "../drivers/sql_script.ts";
import { type EditResult, MODULE_ROWS_MAX, type ModuleChange, type ModuleRow } from "../store.ts";
import {
  isPrintable,
  MODULE_NAME_LENGTH_MAX,
  MODULE_POLICY_BYTES_MAX,
  type ModuleId,
  moduleId,
  type ModuleKey,
  uniqueModules,
} from "../../model/module.ts";

/** Rows of one SELECT of all modules; few where reading holds the event loop: about 0.5 ms. */
export const MODULE_PAGE_ROWS: Readonly<Record<Dialect, number>> = { mysql: 2000, sqlite: 200 };

const COLUMNS = "modid, cmdid, name, policy, updated_at";

function checkName(place: string, name: unknown): void {
  if (typeof name !== "string") throw new TypeError(`${place}: name must be text`);
  if (isPrintable(name) && name.length <= MODULE_NAME_LENGTH_MAX) return;
  throw new RangeError(
    `${place}: name must be at most ${MODULE_NAME_LENGTH_MAX} printable characters: ` +
      `current value has ${name.length}`,
  );
}

function checkPolicy(place: string, policy: unknown): void {
  if (typeof policy !== "string") throw new TypeError(`${place}: policy must be text`);
  if (policy === "") return;
  const bytes = new TextEncoder().encode(policy).length;
  if (bytes > MODULE_POLICY_BYTES_MAX || !policy.isWellFormed()) {
    throw new RangeError(
      `${place}: policy must be at most ${MODULE_POLICY_BYTES_MAX} bytes: current value has ${bytes}`,
    );
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(policy);
  } catch (error) {
    throw new RangeError(`${place}: policy must be a JSON object: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new RangeError(`${place}: policy must be a JSON object: current value is ${policy}`);
  }
}

/**
 * Refuses changes that could not be stored as meant. What a policy says is judged by `balancer/`,
 * here it is a JSON object.
 *
 * @throws {TypeError} when a change is malformed.
 * @throws {RangeError} when a number or text is out of range; the message counts changes from 1.
 * @throws {LimitError} with more than `ROUTE_EDITS_MAX` changes.
 */
export function validateModuleChanges(changes: readonly ModuleChange[]): void {
  validateModuleKeys(changes);
  changes.forEach(({ name, policy }, index) => {
    const place = `Module ${index + 1}`;
    if (name !== undefined) checkName(place, name);
    if (policy !== undefined) checkPolicy(place, policy);
  });
}

function moduleRowOf(row: SqlRow): ModuleRow {
  return {
    modId: numberOf(row.modid),
    cmdId: numberOf(row.cmdid),
    name: textOf(row.name),
    policy: textOf(row.policy),
    updatedAt: numberOf(row.updated_at),
  };
}

/** Rows of some modules; none when the table is missing. */
export function* moduleRowsScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
): Script<ModuleRow[]> {
  return shape.modules ? yield* someRowsScript(keys) : [];
}

function* someRowsScript(keys: readonly ModuleKey[]): Script<ModuleRow[]> {
  const modules = uniqueModules(keys).sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
  const found: ModuleRow[] = [];
  for (const chunk of chunksOf(modules, MODULES_PER_QUERY)) {
    const { sql, params } = moduleCondition(chunk);
    const rows = yield {
      sql: `SELECT ${COLUMNS} FROM Module WHERE ${sql} ORDER BY modid, cmdid`,
      params,
    };
    for (const row of rows) found.push(moduleRowOf(row));
  }
  return found;
}

/** The next {@linkcode MODULE_PAGE_ROWS} rows after a module, or the first; see there. */
export function* modulePageScript(
  dialect: Dialect,
  shape: SchemaShape,
  after: ModuleKey | undefined,
): Script<ModuleRow[]> {
  if (!shape.modules) return [];
  const { modId, cmdId } = after ?? { modId: -1, cmdId: -1 };
  const rows = yield {
    sql: `SELECT ${COLUMNS} FROM Module WHERE modid > ? OR (modid = ? AND cmdid > ?) ` +
      "ORDER BY modid, cmdid LIMIT ?",
    params: [modId, modId, cmdId, MODULE_PAGE_ROWS[dialect]],
  };
  return rows.map(moduleRowOf);
}

interface ModuleDraft {
  readonly stored: ModuleRow | undefined;
  readonly key: ModuleKey;
  name: string;
  policy: string;
}

/** What modules are to be in the end, of which something differs from what is stored. */
function planChanges(
  stored: readonly ModuleRow[],
  changes: readonly ModuleChange[],
): ModuleDraft[] {
  const drafts = new Map<ModuleId, ModuleDraft>();
  for (const row of stored) {
    const { modId, cmdId, name, policy } = row;
    drafts.set(moduleId(modId, cmdId), { stored: row, key: { modId, cmdId }, name, policy });
  }
  for (const { modId, cmdId, name, policy } of changes) {
    const draft = drafts.get(moduleId(modId, cmdId)) ??
      { stored: undefined, key: { modId, cmdId }, name: "", policy: "" };
    if (name !== undefined) draft.name = name;
    if (policy !== undefined) draft.policy = policy;
    drafts.set(moduleId(modId, cmdId), draft);
  }
  return [...drafts.values()].filter(({ stored, name, policy }) =>
    (stored?.name ?? "") !== name || (stored?.policy ?? "") !== policy
  );
}

function* writeDraftScript(draft: ModuleDraft, nowS: number): Script<void> {
  const { key: { modId, cmdId }, name, policy, stored } = draft;
  if (stored === undefined) {
    yield {
      sql: `INSERT INTO Module(${COLUMNS}) VALUES (?, ?, ?, ?, ?)`,
      params: [modId, cmdId, name, policy, nowS],
    };
  } else {
    yield {
      sql: "UPDATE Module SET name = ?, policy = ?, updated_at = ? WHERE modid = ? AND cmdid = ?",
      params: [name, policy, nowS, modId, cmdId],
    };
  }
}

/**
 * Applies validated changes; must run inside a write transaction.
 *
 * @throws {StoreError} for good, when the table is missing.
 * @throws {LimitError} when the table would have more than `MODULE_ROWS_MAX` rows.
 */
export function* setModulesScript(
  dialect: Dialect,
  shape: SchemaShape,
  changes: readonly ModuleChange[],
): Script<EditResult> {
  if (!shape.modules) throw new StoreError("Table Module must exist: run the migrations", false);
  const locked = yield* lockVersionScript(dialect);
  const plan = planChanges(yield* someRowsScript(changes), changes);
  if (plan.length === 0) return { changed: [], version: locked.version };
  const [count] = yield { sql: "SELECT COUNT(*) AS n FROM Module" };
  const added = plan.filter(({ stored }) => stored === undefined).length;
  if (added > 0 && numberOf(count?.n) + added > MODULE_ROWS_MAX) {
    throw new LimitError(
      "MODULE_ROWS_MAX",
      `Modules with a name or policy must be at most ${MODULE_ROWS_MAX}: ` +
        `${numberOf(count?.n)} exist, ${added} more are asked for`,
    );
  }
  for (const draft of plan) yield* writeDraftScript(draft, locked.nowS);
  const changed = plan.map(({ key }) => key);
  const version = yield* recordChangesScript(shape, locked, changed, false);
  return { changed, version };
}
