// Core. The conversations about RouteData, RouteVersion, RouteChange and Module.

import { LimitError, StoreError } from "../../reactor/errors.ts";
import {
  type EditPlan,
  type ModuleDraft,
  type NodesShift,
  nodesShifts,
  planEdits,
  planModules,
  type StoredRoute,
} from "./route_edits.ts";
import { missingTable } from "../grants/grants.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  chunksOf,
  deleteIdsScript,
  type Dialect,
  forUpdate,
  insertIgnore,
  insertManyScript,
  insertTextScript,
  moduleKeyOf,
  numberOf,
  onConflict,
  placeholders,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
  textSql,
  wholeSql,
} from "../drivers/sql_script.ts";
import {
  type EditResult,
  MODULE_ROWS_MAX,
  type ModuleChange,
  type ModuleRow,
  type RouteEdit,
  type RouteMark,
  type RouteMarkOptions,
  type RouteReadOptions,
  type RouteRow,
} from "../store.ts";
import {
  type ModuleId,
  moduleId,
  type ModuleKey,
  UINT32_MAX,
  uniqueModules,
} from "../../model/module.ts";
import type { DatabaseState } from "../../model/database_state.ts";
import { pruneChangesScript } from "./change_pruning.ts";
import { markNames, meantMark } from "../../model/pickable_nodes.ts";
import {
  checkHistory,
  checkState,
  checkVersionScript,
  EPOCH_ROW_ID,
  serverStateOf,
  serverStateScript,
  STATE_COLUMNS,
} from "./plan_scripts.ts";
import type { NamedModule } from "../../model/module_name.ts";
import { type NodeState, WEIGHT_DEFAULT } from "../../model/node.ts";

/** Modules asked for in one SELECT: short enough for every server's packet and parser limits. */
const MODULES_PER_QUERY = 500;
/** Rows updated by one statement. */
const ROWS_PER_STATEMENT = 1000;

function routeColumns(shape: SchemaShape): string {
  return "id, modid, cmdid, serverip, serverport" +
    (shape.routeExtras ? ", weight, zone, state" : "");
}

function stateOf(value: unknown): NodeState {
  // What cannot be one of ours was not switched off by us.
  return value === "drain" || value === "off" ? value : "on";
}

function routeOf(row: SqlRow): StoredRoute {
  return {
    id: numberOf(row.id),
    modId: numberOf(row.modid),
    cmdId: numberOf(row.cmdid),
    ip: numberOf(row.serverip),
    port: numberOf(row.serverport),
    weight: row.weight === undefined ? WEIGHT_DEFAULT : numberOf(row.weight),
    zone: textOf(row.zone),
    state: stateOf(row.state),
  };
}

function withoutId({ id: _id, ...route }: StoredRoute): RouteRow {
  return route;
}

/** A version that is the time of so many seconds ago has just been written. Longer than a look. */
const STAMP_AGE_MAX_S = 2;

const MARK_SQL = `SELECT ${STATE_COLUMNS}, ` +
  "(SELECT COUNT(*) FROM RouteChange) AS changeCount";

/** A new epoch, and a version above all; must run inside a write transaction. */
export function* acceptRestoredScript(
  dialect: Dialect,
  known: DatabaseState = { epoch: 0, version: 0 },
): Script<DatabaseState> {
  const locked = yield* lockVersionScript(dialect);
  const before = yield* serverStateScript();
  const epoch = Math.max(before.epoch + 1, known.epoch + 1, locked.nowS);
  const version = Math.max(nextVersionOf(locked), known.version + 1);
  yield { sql: "UPDATE RouteVersion SET version = ? WHERE id = 1", params: [version] };
  yield {
    sql: `${insertIgnore(dialect)} INTO RouteVersion(id, version) VALUES (${EPOCH_ROW_ID}, 0)`,
  };
  yield {
    sql: `UPDATE RouteVersion SET version = ? WHERE id = ${EPOCH_ROW_ID}`,
    params: [epoch],
  };
  return { epoch, version };
}

/**
 * Asks what only a database that can serve answers: SELECT 1 is answered by a Galera node without
 * quorum too. Any answer will do.
 */
export function* pingScript(): Script<void> {
  yield { sql: "SELECT id FROM RouteVersion LIMIT 1" };
}

/** Time of a server, in unix milliseconds. */
export function* wallMsScript(): Script<number> {
  const [row] = yield { sql: "SELECT UNIX_TIMESTAMP(NOW(3)) * 1000 AS ms" };
  return Math.round(Number(row.ms));
}

/** The time of the database, in unix seconds. */
function nowSql(dialect: Dialect): string {
  return dialect === "mysql" ? "UNIX_TIMESTAMP()" : "CAST(strftime('%s','now') AS INTEGER)";
}

/** One statement, hence one instant. */
export function* routeMarkScript(
  dialect: Dialect,
  options: RouteMarkOptions = {},
): Script<RouteMark> {
  const { atLeastEpoch = 0, changeIdMax, seenChange } = options;
  const [row = {}] = yield {
    sql: `${MARK_SQL}, ${nowSql(dialect)} AS nowS`,
    params: [seenChange?.id ?? 0],
  };
  const state = serverStateOf(row);
  const { version, epoch, newest } = state;
  const mark = {
    ...{ version, ...(epoch === 0 ? {} : { epoch }) },
    changeIdMax: newest?.id ?? 0,
    changeCount: numberOf(row.changeCount),
    ...(newest === undefined ? {} : { changeVersion: newest.version }),
  };
  const isStampedNow = numberOf(row.nowS) - version <= STAMP_AGE_MAX_S;
  const isForeign = changeIdMax !== undefined && epoch === atLeastEpoch &&
    (isStampedNow || mark.changeIdMax > changeIdMax);
  if (isForeign) checkHistory(state, options);
  else checkState(state, options);
  return mark;
}

/** Modules changed after a RouteChange id. */
export function* changedModulesScript(afterChangeId: number): Script<ModuleKey[]> {
  const rows = yield {
    sql: "SELECT DISTINCT modid, cmdid FROM RouteChange WHERE id > ? ORDER BY modid, cmdid",
    params: [afterChangeId],
  };
  return rows.map(moduleKeyOf);
}

/** A page of routes, and the id after which the next one starts. */
export interface RoutePage {
  readonly rows: RouteRow[];
  /** Undefined after the last page. */
  readonly nextAfterId: number | undefined;
}

/** Reads up to `pageRows` routes with an id above `afterId`. */
export function* routePageScript(
  shape: SchemaShape,
  afterId: number,
  pageRows: number,
): Script<RoutePage> {
  const rows = yield {
    sql: `SELECT ${routeColumns(shape)} FROM RouteData WHERE id > ? ORDER BY id LIMIT ?`,
    params: [afterId, pageRows],
  };
  const last = rows.at(-1);
  return {
    rows: rows.map((row) => withoutId(routeOf(row))),
    nextAfterId: rows.length < pageRows ? undefined : numberOf(last?.id),
  };
}

/** `(modid = ? AND cmdid IN (?,?)) OR …`, which both databases answer from the index. */
function moduleCondition(
  modules: readonly ModuleKey[],
): { sql: string; params: SqlValue[] } {
  const groups = new Map<number, number[]>();
  for (const { modId, cmdId } of modules) {
    const cmdIds = groups.get(modId) ?? [];
    cmdIds.push(cmdId);
    groups.set(modId, cmdIds);
  }
  const params: SqlValue[] = [];
  const terms = [...groups].map(([modId, cmdIds]) => {
    params.push(modId, ...cmdIds);
    return `(modid = ? AND cmdid IN ${placeholders(1, cmdIds.length)})`;
  });
  return { sql: terms.join(" OR "), params };
}

/** Rows of some modules with their ids, in order of module and id. */
export function* storedRoutesScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
  suffix: string,
): Script<StoredRoute[]> {
  const modules = uniqueModules(keys).sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
  const routes: StoredRoute[] = [];
  for (const chunk of chunksOf(modules, MODULES_PER_QUERY)) {
    const { sql, params } = moduleCondition(chunk);
    const rows = yield {
      sql: `SELECT ${routeColumns(shape)} FROM RouteData WHERE ${sql} ` +
        `ORDER BY modid, cmdid, id${suffix}`,
      params,
    };
    for (const row of rows) routes.push(routeOf(row));
  }
  return routes;
}

/** Routes of some modules. */
export function* readModulesScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
): Script<RouteRow[]> {
  return (yield* storedRoutesScript(shape, keys, "")).map(withoutId);
}

/** The version and the time by the database, while the row of RouteVersion is locked. */
export interface LockedVersion {
  readonly version: number;
  readonly nowS: number;
}

/** The version after this one. */
function nextVersionOf({ version, nowS }: LockedVersion): number {
  const next = Math.max(version + 1, nowS);
  // The column ends at UINT32_MAX; then the clock's value is at least a different one.
  return next > UINT32_MAX ? nowS : next;
}

/**
 * Records that modules have changed, and raises the version; must run inside the transaction that
 * changes them, after {@linkcode lockVersionScript}.
 *
 * @returns the version from now on.
 */
function* recordChangesScript(
  shape: SchemaShape,
  locked: LockedVersion,
  changed: readonly ModuleKey[],
  meant: boolean,
): Script<number> {
  const { nowS } = locked;
  const nextVersion = nextVersionOf(locked);
  // Dns servers of before Module.meant take the mark from here.
  const marked = meant && shape.changeMeant;
  const columns = "modid, cmdid, version" + (marked ? ", meant" : "");
  yield* insertManyScript(
    `INSERT INTO RouteChange(${columns})`,
    marked ? 4 : 3,
    changed,
    ({ modId, cmdId }) => [modId, cmdId, nextVersion, ...(marked ? [1] : [])],
  );
  yield { sql: "UPDATE RouteVersion SET version = ? WHERE id = 1", params: [nextVersion] };
  yield* pruneChangesScript(nowS, changed.length);
  return nextVersion;
}

/**
 * Records modules as changed as they are, and as meant; must run inside a write transaction.
 *
 * @throws {StoreError} on a schema that cannot say so.
 */
export function* confirmRoutesScript(
  dialect: Dialect,
  shape: SchemaShape,
  keys: readonly ModuleKey[],
): Script<EditResult> {
  if (!shape.moduleMeant) {
    throw new StoreError("Module must have the column meant: run the migrations", false, {
      refusal: "schema",
    });
  }
  const locked = yield* lockVersionScript(dialect);
  const changed = uniqueModules(keys);
  const stored = yield* storedRoutesScript(shape, changed, forUpdate(dialect));
  // Of modules without a row of Module nothing is ever held back.
  const adopted = yield* someRowsScript(shape, changed);
  const shifts = nodesShifts(adopted, stored, NO_PLAN);
  yield* markModulesScript(dialect, shape, shifts, true, locked);
  const version = yield* recordChangesScript(shape, locked, changed, true);
  return { changed, version };
}

/**
 * Applies validated edits; must run inside a write transaction. The lock on the RouteVersion row
 * makes our own editors wait for each other.
 *
 * @param meant Agents take the outcome however much it removes.
 * @throws {ConflictError} when an edit contradicts what is stored.
 * @throws {StoreError} when weight, zone or state is asked for on a schema without them.
 */
export function* editRoutesScript(
  dialect: Dialect,
  shape: SchemaShape,
  edits: readonly RouteEdit[],
  meant = true,
): Script<EditResult> {
  const locked = yield* lockVersionScript(dialect);
  const stored = yield* storedRoutesScript(shape, edits, forUpdate(dialect));
  return yield* editStoredScript(dialect, shape, edits, { locked, stored, meant });
}

/**
 * The same for a transaction that has locked the version and read the modules already.
 *
 * @throws as {@linkcode editRoutesScript}.
 */
export function* editStoredScript(
  dialect: Dialect,
  shape: SchemaShape,
  edits: readonly RouteEdit[],
  { locked, stored, meant }: {
    readonly locked: LockedVersion;
    /** Every row of every module that the edits name. */
    readonly stored: readonly StoredRoute[];
    readonly meant: boolean;
  },
): Script<EditResult> {
  const plan = planEdits(stored, edits);
  if (plan.changed.length === 0) return { changed: [], version: locked.version };
  yield* writePlanScript(shape, plan);
  yield* adoptModulesScript(dialect, shape, nodesShifts(plan.changed, stored, plan), meant, locked);
  const version = yield* recordChangesScript(shape, locked, plan.changed, meant);
  return { changed: plan.changed, version };
}

/** Nothing to write. */
const NO_PLAN: EditPlan = { deleteIds: [], inserts: [], updates: [], changed: [] };

/**
 * Gives changed modules a row of Module that have none, as far as there is room, and says of all
 * whether their nodes are meant to be what they are now.
 */
function* adoptModulesScript(
  dialect: Dialect,
  shape: SchemaShape,
  shifts: readonly NodesShift[],
  meant: boolean,
  locked: LockedVersion,
): Script<void> {
  if (!shape.modules) return;
  const [count] = yield { sql: "SELECT COUNT(*) AS n FROM Module" };
  const room = Math.max(0, MODULE_ROWS_MAX - numberOf(count?.n));
  yield* insertManyScript(
    `${insertIgnore(dialect)} INTO Module(${MODULE_COLUMNS})`,
    5,
    yield* lackingScript(shape, shifts, room),
    ({ modId, cmdId }) => [modId, cmdId, "", "", locked.nowS],
  );
  if (shape.moduleMeant) yield* markModulesScript(dialect, shape, shifts, meant, locked);
}

/** Up to `room` of the modules without a row of Module. */
function* lackingScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
  room: number,
): Script<ModuleKey[]> {
  const present = new Set((yield* someRowsScript(shape, keys)).map(idOf));
  return keys.filter((key) => !present.has(idOf(key))).slice(0, room);
}

function idOf({ modId, cmdId }: ModuleKey): ModuleId {
  return moduleId(modId, cmdId);
}

/**
 * Binds a mark to the nodes that a change leaves. A change that is not meant passes the mark of the
 * state before on, unless it takes nodes away; else it leaves no mark at all, so that no older
 * state is meant any more.
 */
function* markModulesScript(
  dialect: Dialect,
  shape: SchemaShape,
  shifts: readonly NodesShift[],
  meant: boolean,
  locked: LockedVersion,
): Script<void> {
  const rows = yield* someRowsScript(shape, shifts);
  const marks = new Map(rows.map((row) => [idOf(row), row.meant ?? ""]));
  const version = nextVersionOf(locked);
  const renewed = shifts.flatMap(({ modId, cmdId, before, after }) => {
    const mark = marks.get(moduleId(modId, cmdId));
    if (mark === undefined) return []; // No room for a row.
    const passedOn = markNames(mark, before.name) && after.count >= before.count;
    return [{ modId, cmdId, mark: meant || passedOn ? meantMark(version, after.name) : "" }];
  });
  yield* insertManyScript(
    `INSERT INTO Module(${MODULE_COLUMNS}, meant)`,
    6,
    renewed,
    ({ modId, cmdId, mark }) => [modId, cmdId, "", "", locked.nowS, mark],
    1000,
    onConflict(dialect, "modid, cmdid", ["meant"]),
  );
}

/** The version now and the time by the database; our own editors wait here for each other. */
export function* lockVersionScript(dialect: Dialect): Script<LockedVersion> {
  const sql = `SELECT version, ${nowSql(dialect)} AS nowS FROM RouteVersion WHERE id = 1` +
    forUpdate(dialect);
  let rows = yield { sql };
  if (rows.length === 0) {
    yield { sql: `${insertIgnore(dialect)} INTO RouteVersion(id, version) VALUES (1, 0)` };
    rows = yield { sql };
  }
  return { version: numberOf(rows[0]?.version), nowS: numberOf(rows[0]?.nowS) };
}

function* writePlanScript(shape: SchemaShape, plan: EditPlan): Script<void> {
  yield* deleteIdsScript("RouteData", plan.deleteIds);
  const usesExtras = plan.updates.length > 0 ||
    plan.inserts.some((row) =>
      row.weight !== WEIGHT_DEFAULT || row.zone !== "" || row.state !== "on"
    );
  if (usesExtras && !shape.routeExtras) {
    throw new StoreError(
      "RouteData must have the columns weight, zone and state for this edit: run the migrations",
      false,
      { refusal: "schema" },
    );
  }
  for (const { ids, weight, zone, state } of plan.updates) {
    for (const chunk of chunksOf(ids, ROWS_PER_STATEMENT)) {
      yield {
        sql: "UPDATE RouteData SET weight = ?, zone = ?, state = ? " +
          `WHERE id IN ${placeholders(1, chunk.length)}`,
        params: [weight, zone, state, ...chunk],
      };
    }
  }
  yield* insertRoutesScript(shape, plan.inserts);
}

function* insertRoutesScript(shape: SchemaShape, inserts: readonly RouteRow[]): Script<void> {
  const extras = shape.routeExtras;
  const columns = "modid, cmdid, serverip, serverport" + (extras ? ", weight, zone, state" : "");
  yield* insertTextScript(
    `INSERT INTO RouteData(${columns})`,
    inserts,
    ({ modId, cmdId, ip, port, weight, zone, state }, params) => {
      const key = `${wholeSql(modId)},${wholeSql(cmdId)},${wholeSql(ip)},${wholeSql(port)}`;
      if (!extras) return `(${key})`;
      return `(${key},${wholeSql(weight)},${textSql(zone, params)},${textSql(state, params)})`;
    },
  );
}

/** Rows of one SELECT of all modules; few where reading holds the event loop: about 0.5 ms. */
export const MODULE_PAGE_ROWS: Readonly<Record<Dialect, number>> = { mysql: 2000, sqlite: 200 };

/** Modules written by one statement: their policies are of up to 4 kB each. */
const DRAFTS_PER_STATEMENT = 200;

const MODULE_COLUMNS = "modid, cmdid, name, policy, updated_at";

function readColumns(shape: SchemaShape): string {
  return MODULE_COLUMNS + (shape.moduleMeant ? ", meant" : "");
}

function moduleRowOf(row: SqlRow): ModuleRow {
  return {
    modId: numberOf(row.modid),
    cmdId: numberOf(row.cmdid),
    name: textOf(row.name),
    policy: textOf(row.policy),
    updatedAt: numberOf(row.updated_at),
    meant: row.meant === undefined ? undefined : textOf(row.meant),
  };
}

/** Rows of some modules; none when the table is missing. */
export function* moduleRowsScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
): Script<ModuleRow[]> {
  return shape.modules ? yield* someRowsScript(shape, keys) : [];
}

/** Every module that has a name. */
export function* moduleNamesScript(shape: SchemaShape): Script<NamedModule[]> {
  if (!shape.modules) return [];
  const rows = yield {
    sql: "SELECT modid, cmdid, name FROM Module WHERE name <> '' ORDER BY modid, cmdid LIMIT ?",
    params: [MODULE_ROWS_MAX],
  };
  return rows.map((row) => ({ ...moduleKeyOf(row), name: textOf(row.name) }));
}

function* someRowsScript(
  shape: SchemaShape,
  keys: readonly ModuleKey[],
): Script<ModuleRow[]> {
  const modules = uniqueModules(keys).sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
  const found: ModuleRow[] = [];
  for (const chunk of chunksOf(modules, MODULES_PER_QUERY)) {
    const { sql, params } = moduleCondition(chunk);
    const rows = yield {
      sql: `SELECT ${readColumns(shape)} FROM Module WHERE ${sql} ORDER BY modid, cmdid`,
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
  options?: RouteReadOptions,
): Script<ModuleRow[]> {
  if (!shape.modules) return [];
  yield* checkVersionScript(options);
  const { modId, cmdId } = after ?? { modId: -1, cmdId: -1 };
  const rows = yield {
    sql: `SELECT ${readColumns(shape)} FROM Module WHERE modid > ? OR (modid = ? AND cmdid > ?) ` +
      "ORDER BY modid, cmdid LIMIT ?",
    params: [modId, modId, cmdId, MODULE_PAGE_ROWS[dialect]],
  };
  return rows.map(moduleRowOf);
}

function* writeDraftsScript(
  dialect: Dialect,
  drafts: readonly ModuleDraft[],
  nowS: number,
): Script<void> {
  yield* insertManyScript(
    `INSERT INTO Module(${MODULE_COLUMNS})`,
    5,
    drafts,
    ({ key: { modId, cmdId }, name, policy }) => [modId, cmdId, name, policy, nowS],
    DRAFTS_PER_STATEMENT,
    onConflict(dialect, "modid, cmdid", ["name", "policy", "updated_at"]),
  );
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
  if (!shape.modules) throw missingTable("Module");
  const locked = yield* lockVersionScript(dialect);
  const plan = planModules(yield* someRowsScript(shape, changes), changes);
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
  yield* writeDraftsScript(dialect, plan, locked.nowS);
  const changed = plan.map(({ key }) => key);
  const version = yield* recordChangesScript(shape, locked, changed, false);
  return { changed, version };
}
