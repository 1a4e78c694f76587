// Core. The conversations about Lease, LeaseSeq, LeaseHolder and LeaseGuard.

import { parseIpv4 } from "../../reactor/address.ts";
import {
  isHeld,
  type LeasePhase,
  type LeaseRow,
  type LeaseSource,
  type OperatorHand,
  type RouteValues,
} from "../../model/lease.ts";
import { moduleId, type ModuleKey, uniqueModules } from "../../model/module.ts";
import { nodeId, type NodeKey, nodeText, type RouteEdit } from "../../model/node.ts";
import { auditScript } from "../console/access_scripts.ts";
import type { AuditEntry } from "../console/console_store.ts";
import { groupModules } from "../console/route_difference.ts";
import {
  chunksOf,
  type Dialect,
  forUpdate,
  insertManyScript,
  insertTextScript,
  jsonOf,
  moduleKeyOf,
  numberOf,
  onConflict,
  placeholders,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
  textSql,
  whereAll,
  wholeSql,
} from "../drivers/sql_script.ts";
import {
  editStoredScript,
  lockVersionScript,
  moduleRowsScript,
  setModulesScript,
  storedRoutesScript,
} from "../routes/route_scripts.ts";
import { missingTable } from "../grants/grants.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import type {
  ForeignChanges,
  GuardRow,
  LeaseChangeOutcome,
  LeaseChangeWish,
  LeaseFilter,
  LeaseHolder,
  LeaseList,
  LeasePage,
} from "./lease_store.ts";

/** Leases asked for by one statement. */
const NODES_PER_QUERY = 2_000;
/** Leases over for so long are forgotten, in seconds: an hour. */
const GONE_KEEP_S = 3_600;
/** Leases forgotten by one statement. */
const PRUNE_ROWS_MAX = 1_000;

const COLUMNS = "modid, cmdid, ip, port, incarnation, holder, phase, ttl_ms, weight, zone, " +
  "source, owner, note, node_check, since, written, hand, changed, seq";
const VALUE_COLUMNS = COLUMNS.split(", ").slice(4);

function requireLeases(shape: SchemaShape): void {
  if (shape.leases) return;
  throw missingTable("Lease");
}

function leaseOf(row: SqlRow): LeaseRow {
  const written = jsonOf(row.written);
  return {
    ...moduleKeyOf(row),
    ip: numberOf(row.ip),
    port: numberOf(row.port),
    incarnation: numberOf(row.incarnation),
    holder: numberOf(row.holder),
    phase: textOf(row.phase) as LeasePhase,
    ttlMs: numberOf(row.ttl_ms),
    weight: numberOf(row.weight),
    zone: textOf(row.zone),
    source: textOf(row.source) as LeaseSource,
    owner: textOf(row.owner),
    note: textOf(row.note),
    check: textOf(row.node_check),
    sinceS: numberOf(row.since),
    written: written.state === undefined ? undefined : written as unknown as RouteValues,
    hand: jsonOf(row.hand) as OperatorHand,
  };
}

function rowSql(row: LeaseRow, nowS: number, seq: number, params: SqlValue[]): string {
  const text = (value: string): string => textSql(value, params);
  return `(${wholeSql(row.modId)},${wholeSql(row.cmdId)},${wholeSql(row.ip)},` +
    `${wholeSql(row.port)},${wholeSql(row.incarnation)},${wholeSql(row.holder)},` +
    `${text(row.phase)},${wholeSql(row.ttlMs)},${wholeSql(row.weight)},${text(row.zone)},` +
    `${text(row.source)},${text(row.owner)},${text(row.note)},${text(row.check)},` +
    `${wholeSql(row.sinceS)},${text(writtenText(row.written))},${text(handText(row.hand))},` +
    `${nowS},${seq})`;
}

function writtenText(written: RouteValues | undefined): string {
  if (written === undefined) return "";
  const { weight, zone, state } = written;
  return `{"weight":${weight},"zone":${JSON.stringify(zone)},"state":"${state}"}`;
}

function handText(hand: OperatorHand): string {
  const { weight, zone, state } = hand;
  if (weight === undefined && zone === undefined && state === undefined) return "";
  return JSON.stringify(hand);
}

/** Leases of some nodes. */
function* leasesOfScript(nodes: readonly NodeKey[], suffix: string): Script<LeaseRow[]> {
  const wanted = new Set(nodes.map(nodeId));
  const groups = new Map<string | number, NodeKey[]>();
  for (const node of nodes) {
    const key = moduleId(node.modId, node.cmdId);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [node]);
    else group.push(node);
  }
  const rows: LeaseRow[] = [];
  const terms: string[] = [];
  let asked = 0;
  const ask = function* (): Script<void> {
    if (terms.length === 0) return;
    const found = yield {
      sql: `SELECT ${COLUMNS} FROM Lease WHERE ${terms.join(" OR ")}${suffix}`,
    };
    for (const row of found) {
      const lease = leaseOf(row);
      if (wanted.has(nodeId(lease))) rows.push(lease);
    }
    terms.length = 0;
    asked = 0;
  };
  for (const group of groups.values()) {
    for (const chunk of chunksOf(group, NODES_PER_QUERY)) {
      const ips = [...new Set(chunk.map(({ ip }) => wholeSql(ip)))];
      const [modId, cmdId] = [wholeSql(chunk[0].modId), wholeSql(chunk[0].cmdId)];
      terms.push(`(modid = ${modId} AND cmdid = ${cmdId} AND ip IN (${ips.join(",")}))`);
      asked += ips.length;
      if (asked >= NODES_PER_QUERY) yield* ask();
    }
  }
  yield* ask();
  return rows;
}

/** Which of some modules have a row of Lease. */
function* registeredScript(modules: readonly ModuleKey[]): Script<ModuleKey[]> {
  const found: ModuleKey[] = [];
  for (const chunk of chunksOf(modules, NODES_PER_QUERY)) {
    const terms = chunk.map(() => "(modid = ? AND cmdid = ?)").join(" OR ");
    const rows = yield {
      sql: `SELECT DISTINCT modid, cmdid FROM Lease WHERE ${terms}`,
      params: chunk.flatMap(({ modId, cmdId }) => [modId, cmdId]),
    };
    found.push(...rows.map(moduleKeyOf));
  }
  return found;
}

/** Changes leases and routes; must run inside a write transaction. */
export function* changeLeasesScript(
  dialect: Dialect,
  shape: SchemaShape,
  wish: LeaseChangeWish,
): Script<LeaseChangeOutcome> {
  requireLeases(shape);
  // Everybody who changes routes waits here, so numbers of changes are in order of their commits.
  const locked = yield* lockVersionScript(dialect);
  const lastSeq = yield* lastSeqScript();
  const keys = uniqueModules(wish.nodes);
  const leases = yield* leasesOfScript(wish.nodes, forUpdate(dialect));
  const stored = yield* storedRoutesScript(shape, keys, forUpdate(dialect));
  const texts = yield* moduleRowsScript(shape, keys);
  const modules = groupModules(keys, stored, texts);
  const lacking = modules.filter(({ nodes }) => nodes.length === 0);
  const registered = [...leases, ...yield* registeredScript(lacking)];
  const { nowS } = locked;
  const edits = wish.decide({ leases, modules, registered, nowS, seq: lastSeq });
  const changed: ModuleKey[] = [];
  const versions: number[] = [];
  if (edits.routes.length > 0) {
    const given = { locked, stored, meant: true };
    const result = yield* editStoredScript(dialect, shape, edits.routes, given);
    changed.push(...result.changed);
    versions.push(result.version);
  }
  if (edits.modules.length > 0) {
    const result = yield* setModulesScript(dialect, shape, edits.modules);
    changed.push(...result.changed);
    versions.push(result.version);
  }
  if (edits.audit !== undefined) yield* auditScript(dialect, edits.audit);
  const outcome = { changed: uniqueModules(changed), versions };
  if (edits.leases.length === 0) return { ...outcome, seq: lastSeq };
  yield* putLeasesScript(dialect, edits.leases, nowS, lastSeq + 1);
  return { ...outcome, seq: lastSeq + 1 };
}

/** Number of the last change of leases. */
function* lastSeqScript(): Script<number> {
  const [last] = yield { sql: "SELECT seq FROM LeaseSeq WHERE id = 1" };
  return numberOf(last?.seq);
}

/**
 * Remembers that an operator drains nodes whose routes say so already, because they are in doubt or
 * want no calls themselves: their leases could not tell it from what was written for them. Must run
 * inside a transaction that has locked the version.
 *
 * @param edits Those of one change, before or after they were written.
 * @returns how many leases know it from now on, and which of the drained nodes have a lease.
 */
export function* rememberDrainsScript(
  dialect: Dialect,
  shape: SchemaShape,
  edits: readonly RouteEdit[],
  nowS: number,
): Script<{ readonly count: number; readonly leased: ReadonlySet<string> }> {
  const nodes = edits.filter((edit) => edit.op === "set" && edit.state === "drain");
  if (!shape.leases || nodes.length === 0) return { count: 0, leased: new Set() };
  const leases = yield* leasesOfScript(nodes, forUpdate(dialect));
  const drained = leases.filter(({ written, hand }) =>
    written?.state === "drain" && hand.state === undefined
  ).map((row): LeaseRow => ({ ...row, hand: { ...row.hand, state: "drain" } }));
  if (drained.length > 0) {
    yield* putLeasesScript(dialect, drained, nowS, (yield* lastSeqScript()) + 1);
  }
  return { count: drained.length, leased: new Set(leases.filter(isHeld).map(nodeText)) };
}

/** Writes leases as the change of this number. */
function* putLeasesScript(
  dialect: Dialect,
  leases: readonly LeaseRow[],
  nowS: number,
  seq: number,
): Script<void> {
  yield* insertTextScript(
    `INSERT INTO Lease(${COLUMNS})`,
    leases,
    (row, params) => rowSql(row, nowS, seq, params),
    1000,
    onConflict(dialect, "modid, cmdid, ip, port", VALUE_COLUMNS),
  );
  yield { sql: "UPDATE LeaseSeq SET seq = ? WHERE id = 1", params: [seq] };
}

/** Modules that others have changed after a RouteChange id, and the largest id now. */
export function* foreignChangesScript(
  afterChangeId: number,
  ownVersions: readonly number[],
): Script<ForeignChanges> {
  const [last] = yield { sql: "SELECT MAX(id) AS last FROM RouteChange" };
  const changeIdMax = numberOf(last?.last);
  if (changeIdMax === afterChangeId) return { changeIdMax, modules: [] };
  const others = ownVersions.length === 0
    ? ""
    : ` AND version NOT IN ${placeholders(1, ownVersions.length)}`;
  const rows = yield {
    sql: `SELECT DISTINCT modid, cmdid FROM RouteChange WHERE id > ?${others}`,
    params: [afterChangeId, ...ownVersions],
  };
  return { changeIdMax, modules: rows.map(moduleKeyOf) };
}

/** Leases written after a change. A change is never cut in two. */
export function* leasesSinceScript(
  shape: SchemaShape,
  seq: number,
  limit: number,
): Script<LeasePage> {
  if (!shape.leases) return { rows: [], seq, isCut: false };
  // Before the rows: what comes in between is found next time.
  const newest = yield* lastSeqScript();
  const rows = yield {
    sql: `SELECT ${COLUMNS} FROM Lease WHERE seq > ? ORDER BY seq LIMIT ?`,
    params: [seq, limit],
  };
  const last = rows.at(-1);
  if (last === undefined || rows.length < limit) {
    return { rows: rows.map(leaseOf), seq: newest, isCut: false };
  }
  // The last one may be one of many of its change: those are read whole.
  const lastSeq = numberOf(last.seq);
  const whole = yield { sql: `SELECT ${COLUMNS} FROM Lease WHERE seq = ?`, params: [lastSeq] };
  const before = rows.filter((row) => numberOf(row.seq) < lastSeq);
  return { rows: [...before, ...whole].map(leaseOf), seq: lastSeq, isCut: true };
}

/** Leases for people. */
export function* listLeasesScript(
  shape: SchemaShape,
  { modId, cmdId }: Partial<ModuleKey>,
  limit: number,
): Script<LeaseRow[]> {
  if (!shape.leases) return [];
  const { where, params } = whereAll([["modid = ?", modId], ["cmdid = ?", cmdId]]);
  const held = `${where === "" ? " WHERE" : " AND"} (phase <> 'gone' OR hand <> '')`;
  const rows = yield {
    sql: `SELECT ${COLUMNS} FROM Lease${where}${held} ORDER BY modid, cmdid, ip, port LIMIT ?`,
    params: [...params, limit],
  };
  return rows.map(leaseOf);
}

/** Addresses with or without a port are found by their columns, other texts by owner, zone and note. */
function textCondition(text: string): { term: string; params: SqlValue[] } {
  const match = /^(\d+\.\d+\.\d+\.\d+)(?::(\d{1,5}))?$/.exec(text);
  if (match !== null && match[1].split(".").every((part) => Number(part) <= 255)) {
    const ip = parseIpv4(match[1]);
    if (match[2] === undefined) return { term: "ip = ?", params: [ip] };
    return { term: "ip = ? AND port = ?", params: [ip, Number(match[2])] };
  }
  const part = `%${text.replace(/[!%_]/g, "!$&")}%`;
  const term = ["owner", "zone", "note"].map((name) => `${name} LIKE ? ESCAPE '!'`).join(" OR ");
  return { term: `(${term})`, params: [part, part, part] };
}

/** Leases for people, a part of them, and how many there are by phase. */
export function* findLeasesScript(
  shape: SchemaShape,
  { modId, cmdId, phase, text = "" }: LeaseFilter,
  offset: number,
  limit: number,
): Script<LeaseList> {
  if (!shape.leases) return { rows: [], counts: new Map() };
  const terms = ["(phase <> 'gone' OR hand <> '')"];
  const params: SqlValue[] = [];
  for (const [term, value] of [["modid = ?", modId], ["cmdid = ?", cmdId]] as const) {
    if (value === undefined) continue;
    terms.push(term);
    params.push(value);
  }
  if (text !== "") {
    const found = textCondition(text);
    terms.push(found.term);
    params.push(...found.params);
  }
  const where = terms.join(" AND ");
  const counted = yield {
    sql: `SELECT phase, COUNT(*) AS n FROM Lease WHERE ${where} GROUP BY phase`,
    params,
  };
  const ofPhase = phase === undefined ? "" : " AND phase = ?";
  const rows = yield {
    sql: `SELECT ${COLUMNS} FROM Lease WHERE ${where}${ofPhase} ` +
      "ORDER BY modid, cmdid, ip, port LIMIT ? OFFSET ?",
    params: [...params, ...(phase === undefined ? [] : [phase]), limit, offset],
  };
  const counts = counted.map((row): [LeasePhase, number] => [
    textOf(row.phase) as LeasePhase,
    numberOf(row.n),
  ]);
  return { rows: rows.map(leaseOf), counts: new Map(counts) };
}

/** Says that a discovery lives, and reads which others do. */
export function* beatScript(
  dialect: Dialect,
  shape: SchemaShape,
  { id, address, beat }: LeaseHolder,
): Script<LeaseHolder[]> {
  requireLeases(shape);
  yield {
    sql: "INSERT INTO LeaseHolder(id, address, beat) VALUES (?, ?, ?)" +
      onConflict(dialect, "id", ["address", "beat"]),
    params: [id, address.slice(0, 128), beat],
  };
  const rows = yield { sql: "SELECT id, address, beat FROM LeaseHolder" };
  return rows.map((row) => ({
    id: numberOf(row.id),
    address: textOf(row.address),
    beat: numberOf(row.beat),
  }));
}

/** Forgets a discovery and what it held back. */
export function* forgetHolderScript(shape: SchemaShape, id: number): Script<void> {
  if (!shape.leases) return;
  yield { sql: "DELETE FROM LeaseHolder WHERE id = ?", params: [id] };
  yield { sql: "DELETE FROM LeaseGuard WHERE holder = ?", params: [id] };
}

/** Replaces what a discovery holds back; must run inside a write transaction. */
export function* putGuardScript(
  dialect: Dialect,
  shape: SchemaShape,
  holder: number,
  rows: readonly GuardRow[],
): Script<void> {
  requireLeases(shape);
  const kept = new Set(rows.map(({ modId, cmdId }) => moduleId(modId, cmdId)));
  for (const row of yield* guardScript(shape, holder)) {
    if (kept.has(moduleId(row.modId, row.cmdId))) continue;
    yield {
      sql: "DELETE FROM LeaseGuard WHERE holder = ? AND modid = ? AND cmdid = ?",
      params: [holder, row.modId, row.cmdId],
    };
  }
  yield* insertManyScript(
    "INSERT INTO LeaseGuard(holder, modid, cmdid, held, live, since, confirmed)",
    7,
    rows,
    (row) => [holder, row.modId, row.cmdId, row.heldCount, row.liveCount, row.sinceS, 0],
    1000,
    onConflict(dialect, "holder, modid, cmdid", ["held", "live"]),
  );
}

/** What is held back. */
export function* guardScript(shape: SchemaShape, holder?: number): Script<GuardRow[]> {
  if (!shape.leases) return [];
  const { where, params } = whereAll([["holder = ?", holder]]);
  const rows = yield {
    sql: `SELECT holder, modid, cmdid, held, live, since, confirmed FROM LeaseGuard${where} ` +
      "ORDER BY modid, cmdid",
    params,
  };
  return rows.map((row) => ({
    ...moduleKeyOf(row),
    holder: numberOf(row.holder),
    heldCount: numberOf(row.held),
    liveCount: numberOf(row.live),
    sinceS: numberOf(row.since),
    isConfirmed: numberOf(row.confirmed) === 1,
  }));
}

/** Says that the losses of a module are real; must run inside a write transaction. */
export function* confirmGuardScript(
  dialect: Dialect,
  shape: SchemaShape,
  { modId, cmdId }: ModuleKey,
  audit: AuditEntry,
): Script<boolean> {
  const held = (yield* guardScript(shape)).filter((row) =>
    row.modId === modId && row.cmdId === cmdId
  );
  if (held.length === 0) return false;
  yield {
    sql: "UPDATE LeaseGuard SET confirmed = 1 WHERE modid = ? AND cmdid = ?",
    params: [modId, cmdId],
  };
  yield* auditScript(dialect, audit);
  return true;
}

/** Forgets leases that are over. */
export function* pruneLeasesScript(dialect: Dialect, shape: SchemaShape): Script<void> {
  if (!shape.leases) return;
  const { nowS } = yield* lockVersionScript(dialect);
  const rows = yield {
    sql: "SELECT modid, cmdid, ip, port FROM Lease WHERE phase = 'gone' AND hand = '' " +
      "AND changed < ? LIMIT ?",
    params: [nowS - GONE_KEEP_S, PRUNE_ROWS_MAX],
  };
  for (const { modid, cmdid, ip, port } of rows) {
    yield {
      sql: "DELETE FROM Lease WHERE modid = ? AND cmdid = ? AND ip = ? AND port = ?",
      params: [numberOf(modid), numberOf(cmdid), numberOf(ip), numberOf(port)],
    };
  }
}
