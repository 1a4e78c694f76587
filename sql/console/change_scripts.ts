// Core. The conversations about changes with their history, and about call totals.

import { statusKeyValue } from "../results/status_scripts.ts";
import { LimitError } from "../../reactor/errors.ts";
import { auditScript, backCondition, cut, insertedIdScript } from "./access_scripts.ts";
import {
  type BackFilter,
  type ChangeContent,
  type ChangeDifferences,
  type ChangeOutcome,
  type ChangeRow,
  CHANGES_MAX,
  type ChangeVia,
  type ChangeWish,
  type ModuleDifference,
  type NodeCallTotals,
  type NodeDifference,
  type StoredModule,
} from "./console_store.ts";
import { differencesOf, groupModules, repeatedDrains, summaryOf } from "./route_difference.ts";
import { renamedModules, validateEdits, validateModuleChanges } from "../routes/route_edits.ts";
import type { ModuleChange } from "../store.ts";
import {
  editRoutesScript,
  lockVersionScript,
  moduleNamesScript,
  moduleRowsScript,
  setModulesScript,
  storedRoutesScript,
} from "../routes/route_scripts.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  chunksOf,
  type Dialect,
  forUpdate,
  insertManyScript,
  insertOne,
  moduleKeyOf,
  numberOf,
  type Script,
  type SqlRow,
  textOf,
  whereAll,
} from "../drivers/sql_script.ts";
import { type ModuleKey, moduleText, uniqueModules } from "../../model/module.ts";
import { quantity } from "../../model/quantity.ts";
import { rememberDrainsScript } from "../leases/lease_scripts.ts";

/** Nodes in one row of ConsoleChangePart: about 100 kB. */
const PART_NODES = 1000;
/** The same for modules, whose policies are of up to 4 kB each. */
const PART_MODULES = 100;
/** Modules of a change that lists name. */
export const CHANGE_MODULES_SHOWN = 20;
/** Most modules of one change. */
export const CHANGE_MODULES_MAX = 100_000;

function* readStoredScript(
  dialect: Dialect,
  shape: SchemaShape,
  modules: readonly ModuleKey[],
): Script<StoredModule[]> {
  const rows = yield* storedRoutesScript(shape, modules, forUpdate(dialect));
  return groupModules(modules, rows, yield* moduleRowsScript(shape, modules));
}

/** Makes a change and its record; must run inside a write transaction. */
export function* changeScript(
  dialect: Dialect,
  shape: SchemaShape,
  wish: ChangeWish,
): Script<ChangeOutcome> {
  const modules = uniqueModules(wish.modules);
  if (modules.length > CHANGE_MODULES_MAX) {
    throw new LimitError(
      "CHANGE_MODULES_MAX",
      `A change must touch at most ${CHANGE_MODULES_MAX} modules: it touches ${modules.length}`,
    );
  }
  const locked = yield* lockVersionScript(dialect);
  const stored = yield* readStoredScript(dialect, shape, modules);
  const { routes, modules: texts = [] } = wish.decide(stored);
  validateEdits(routes);
  validateModuleChanges(texts);
  yield* judgeNamesScript(shape, wish, stored, texts);
  let version = locked.version;
  const changed: ModuleKey[] = [];
  if (routes.length > 0) {
    const result = yield* editRoutesScript(dialect, shape, routes, wish.meant);
    version = result.version;
    changed.push(...result.changed);
  }
  if (texts.length > 0) {
    const result = yield* setModulesScript(dialect, shape, texts);
    version = result.version;
    changed.push(...result.changed);
  }
  const { count, leased } = yield* rememberDrainsScript(dialect, shape, routes, locked.nowS);
  const again = repeatedDrains(stored, routes, leased);
  if (changed.length === 0) {
    const id = yield* recordRepeatedScript(dialect, wish, again, count);
    return { id, version, changed, before: stored, stored };
  }
  const after = yield* readStoredScript(dialect, shape, modules);
  const all = uniqueModules(changed);
  const differences = differencesOf(stored, after);
  const whole = { ...differences, nodes: [...differences.nodes, ...again] };
  const id = yield* recordScript(dialect, wish, uniqueModules([...all, ...again]), whole);
  return { id, version, changed: all, before: stored, stored: after };
}

/**
 * No route differs, yet the nodes stay drained when they come back, or when who drained them first
 * takes that back: the history and the audit say so, once for who says the same again and again.
 *
 * @param rememberedCount Leases that know it only now.
 */
function* recordRepeatedScript(
  dialect: Dialect,
  wish: ChangeWish,
  again: readonly NodeDifference[],
  rememberedCount: number,
): Script<number | undefined> {
  if (again.length === 0) return undefined;
  const differences = { nodes: again, modules: [] };
  const [{ modId, cmdId }] = again;
  const [last] = yield {
    sql: "SELECT c.who, c.summary FROM ConsoleChangeModule m JOIN ConsoleChange c " +
      "ON c.id = m.change_id WHERE m.modid = ? AND m.cmdid = ? ORDER BY m.change_id DESC LIMIT 1",
    params: [modId, cmdId],
  };
  const isSaid = last !== undefined && textOf(last.who) === cut(wish.audit.who, 64) &&
    textOf(last.summary) === cut(summaryOf(differences), 500);
  if (isSaid && rememberedCount === 0) return undefined;
  const { audit } = wish;
  const kept = `drained already, and kept so: ${quantity(again.length, "node")}`;
  const said = { ...wish, audit: { ...audit, detail: audit.detail || kept } };
  return yield* recordScript(dialect, said, uniqueModules(again), differences);
}

/** New names are judged beside all others; nobody else renames while the version is locked. */
function* judgeNamesScript(
  shape: SchemaShape,
  { judgeNames }: ChangeWish,
  stored: readonly StoredModule[],
  texts: readonly ModuleChange[],
): Script<void> {
  if (judgeNames === undefined) return;
  const renamed = renamedModules(stored, texts);
  if (renamed.some(({ name }) => name !== "")) judgeNames(renamed, yield* moduleNamesScript(shape));
}

/**
 * Whether a change stands whose COMMIT was not answered. It takes the lock that every change takes,
 * so it waits for that one to end. One that changed nothing stands in any case.
 */
export function* changeStandsScript(
  dialect: Dialect,
  { audit }: ChangeWish,
  { id }: ChangeOutcome,
): Script<boolean> {
  if (id === undefined) return true;
  yield* lockVersionScript(dialect);
  const rows = yield {
    sql: "SELECT id FROM ConsoleChange WHERE id = ? AND at = ? AND who = ?",
    params: [id, audit.atMs, cut(audit.who, 64)],
  };
  return rows.length > 0;
}

function* recordScript(
  dialect: Dialect,
  wish: ChangeWish,
  changed: readonly ModuleKey[],
  differences: ChangeDifferences,
): Script<number> {
  const { nodes, modules } = differences;
  const summary = cut(summaryOf(differences), 500);
  yield {
    sql: "INSERT INTO ConsoleChange(at, who, via, why, summary, module_count, node_count, " +
      "undoes, undone_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
    params: [
      wish.audit.atMs,
      cut(wish.audit.who, 64),
      wish.via,
      cut(wish.why, 500),
      summary,
      changed.length,
      nodes.length,
      wish.undoes,
    ],
  };
  const id = yield* insertedIdScript(dialect);
  yield* insertManyScript(
    "INSERT INTO ConsoleChangeModule(modid, cmdid, change_id)",
    3,
    changed,
    ({ modId, cmdId }) => [modId, cmdId, id],
  );
  yield* recordPartsScript(id, nodes, modules);
  if (wish.undoes > 0) {
    yield {
      sql: "UPDATE ConsoleChange SET undone_by = ? WHERE id = ?",
      params: [id, wish.undoes],
    };
  }
  if (id > CHANGES_MAX) yield* forgetChangesScript(id - CHANGES_MAX);
  const [first] = changed;
  const more = changed.length > 1 ? ` and ${changed.length - 1} more` : "";
  const { audit } = wish;
  yield* auditScript(dialect, {
    ...audit,
    target: audit.target || `${moduleText(first)}${more}`,
    detail: audit.detail || `change ${id}: ${summary}`,
  });
  return id;
}

function* recordPartsScript(
  id: number,
  nodes: readonly NodeDifference[],
  modules: readonly ModuleDifference[],
): Script<void> {
  const parts: ChangeDifferences[] = [
    ...[...chunksOf(nodes, PART_NODES)].map((chunk) => ({ nodes: chunk, modules: [] })),
    ...[...chunksOf(modules, PART_MODULES)].map((chunk) => ({ nodes: [], modules: chunk })),
  ];
  for (const [part, content] of parts.entries()) {
    const values = [id, part, JSON.stringify(content)];
    yield insertOne("ConsoleChangePart", "change_id, part, content", values);
  }
}

function* forgetChangesScript(idMax: number): Script<void> {
  for (
    const [table, column] of [
      ["ConsoleChangePart", "change_id"],
      ["ConsoleChangeModule", "change_id"],
      ["ConsoleChange", "id"],
    ]
  ) yield { sql: `DELETE FROM ${table} WHERE ${column} <= ?`, params: [idMax] };
}

const CHANGE_COLUMNS =
  "id, at, who, via, why, summary, module_count, node_count, undoes, undone_by";

function changeOf(row: SqlRow, modules: readonly ModuleKey[]): ChangeRow {
  return {
    id: numberOf(row.id),
    atMs: numberOf(row.at),
    who: textOf(row.who),
    via: textOf(row.via) as ChangeVia,
    why: textOf(row.why),
    summary: textOf(row.summary),
    modules,
    moduleCount: numberOf(row.module_count),
    nodeCount: numberOf(row.node_count),
    undoes: numberOf(row.undoes),
    undoneBy: numberOf(row.undone_by),
  };
}

function* shownModulesScript(id: number): Script<ModuleKey[]> {
  const rows = yield {
    sql: "SELECT modid, cmdid FROM ConsoleChangeModule WHERE change_id = ? " +
      "ORDER BY modid, cmdid LIMIT ?",
    params: [id, CHANGE_MODULES_SHOWN],
  };
  return rows.map(moduleKeyOf);
}

/** The history, newest first. */
export function* changesScript(
  filter: BackFilter & Partial<ModuleKey> & { who?: string },
): Script<ChangeRow[]> {
  const { where, params } = whereAll([backCondition(filter), ["who = ?", filter.who]]);
  const module = whereAll([["modid = ?", filter.modId], ["cmdid = ?", filter.cmdId]]);
  const inModule = module.where === "" ? "" : `${where === "" ? " WHERE" : " AND"} id IN ` +
    `(SELECT change_id FROM ConsoleChangeModule${module.where})`;
  const rows = yield {
    sql: `SELECT ${CHANGE_COLUMNS} FROM ConsoleChange${where}${inModule} ORDER BY id DESC LIMIT ?`,
    params: [...params, ...module.params, filter.limit],
  };
  const changes: ChangeRow[] = [];
  for (const row of rows) {
    changes.push(changeOf(row, yield* shownModulesScript(numberOf(row.id))));
  }
  return changes;
}

/** One change with all it did. */
export function* changeContentScript(id: number): Script<ChangeContent | undefined> {
  const [row] = yield {
    sql: `SELECT ${CHANGE_COLUMNS} FROM ConsoleChange WHERE id = ?`,
    params: [id],
  };
  if (row === undefined) return undefined;
  const parts = yield {
    sql: "SELECT content FROM ConsoleChangePart WHERE change_id = ? ORDER BY part",
    params: [id],
  };
  const contents = parts.map((part) => JSON.parse(textOf(part.content)) as ChangeDifferences);
  return {
    ...changeOf(row, yield* shownModulesScript(id)),
    differences: {
      nodes: contents.flatMap(({ nodes }) => nodes),
      modules: contents.flatMap(({ modules }) => modules),
    },
  };
}

function nodeCallsOf(row: SqlRow): NodeCallTotals {
  return {
    modId: numberOf(row.modid) >>> 0,
    cmdId: numberOf(row.cmdid) >>> 0,
    ip: numberOf(row.ip) >>> 0,
    port: numberOf(row.port),
    succTotal: numberOf(row.succ_sum),
    errTotal: numberOf(row.err_sum),
    succCount: numberOf(row.succ_last),
    errCount: numberOf(row.err_last),
    callerCount: numberOf(row.callers),
    overloadCount: numberOf(row.overloads),
    ts: numberOf(row.ts),
  };
}

/** `(a, b, c, d) > (?, ?, ?, ?)` spelt out, as both databases then read from the index. */
function afterCondition(
  shape: SchemaShape,
  after: NodeCallTotals,
): { sql: string; params: number[] } {
  const { modId: modid, cmdId: cmdid, ip, port } = after;
  const values = Object.entries({ modid, cmdid, ip, port })
    .map(([name, value]): [string, number] => [name, statusKeyValue(shape, name, value)]);
  const terms: string[] = [];
  const params: number[] = [];
  values.forEach(([column, value], index) => {
    const same = values.slice(0, index);
    terms.push([...same.map(([name]) => `${name} = ?`), `${column} > ?`].join(" AND "));
    params.push(...same.map(([, one]) => one), value);
  });
  return {
    sql: ` WHERE modid >= ? AND (${terms.map((term) => `(${term})`).join(" OR ")})`,
    params: [values[0][1], ...params],
  };
}

/** A page of call totals by node. */
export function* nodeCallsScript(
  shape: SchemaShape,
  sinceTs: number,
  after: NodeCallTotals | undefined,
  limit: number,
  windowsSinceTs = 0,
): Script<NodeCallTotals[]> {
  const { sql, params } = after === undefined
    ? { sql: "", params: [] }
    : afterCondition(shape, after);
  // Without totals the counts of the last window are all there is; rates cannot be told then.
  const [succ, err] = shape.callTotals ? ["succ_total", "err_total"] : ["0", "0"];
  const rows = yield {
    sql: `SELECT modid, cmdid, ip, port, SUM(${succ}) AS succ_sum, SUM(${err}) AS err_sum, ` +
      "SUM(CASE WHEN ts >= ? THEN succ_cnt ELSE 0 END) AS succ_last, " +
      "SUM(CASE WHEN ts >= ? THEN err_cnt ELSE 0 END) AS err_last, " +
      "SUM(CASE WHEN ts >= ? THEN 1 ELSE 0 END) AS callers, " +
      "SUM(CASE WHEN ts >= ? AND overload = '1' THEN 1 ELSE 0 END) AS overloads, " +
      `MAX(ts) AS ts FROM ServerCallStatus${sql} ` +
      "GROUP BY modid, cmdid, ip, port ORDER BY modid, cmdid, ip, port LIMIT ?",
    params: [windowsSinceTs, windowsSinceTs, sinceTs, sinceTs, ...params, limit],
  };
  return rows.map(nodeCallsOf);
}

/** Distinct callers since an instant. */
export function* callerCountScript(sinceTs: number): Script<number> {
  const rows = yield {
    sql: "SELECT COUNT(DISTINCT caller) AS n FROM ServerCallStatus WHERE ts >= ?",
    params: [sinceTs],
  };
  return numberOf(rows[0]?.n);
}
