// Core. The conversations about users, sessions, tokens and the audit.

import { ConflictError, LimitError } from "../../reactor/errors.ts";
import {
  AUDIT_ROWS_MAX,
  type AuditEntry,
  type AuditRow,
  type BackFilter,
  type SessionRow,
  SESSIONS_PER_USER_MAX,
  type TokenRow,
  TOKENS_MAX,
  type UserRole,
  type UserRow,
  USERS_MAX,
} from "./console_store.ts";
import {
  type Dialect,
  forUpdate,
  insertOne,
  numberOf,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
  whereAll,
} from "../drivers/sql_script.ts";

const TARGET_LENGTH_MAX = 200;
const DETAIL_LENGTH_MAX = 2000;
const ADDRESS_LENGTH_MAX = 64;

/** Cuts text for a column; never in the middle of a character. */
export function cut(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text.toWellFormed() : text.slice(0, lengthMax).toWellFormed();
}

/** Id of the row inserted last by this connection. */
export function* insertedIdScript(dialect: Dialect): Script<number> {
  const name = dialect === "mysql" ? "LAST_INSERT_ID()" : "last_insert_rowid()";
  const rows = yield { sql: `SELECT ${name} AS id` };
  return numberOf(rows[0]?.id);
}

/**
 * Inserts a row and writes the audit.
 *
 * @param columns Separated by `, `.
 * @returns the id of the row.
 */
export function* insertScript(
  dialect: Dialect,
  table: string,
  columns: string,
  values: readonly SqlValue[],
  audit: AuditEntry,
): Script<number> {
  yield insertOne(table, columns, values);
  const id = yield* insertedIdScript(dialect);
  yield* auditScript(dialect, audit);
  return id;
}

/** Refuses one more row in a table that is full. */
export function* requireRoomScript(
  table: string,
  limit: string,
  rowsMax: number,
  what: string,
): Script<void> {
  const rows = yield { sql: `SELECT COUNT(*) AS n FROM ${table}` };
  if (numberOf(rows[0]?.n) < rowsMax) return;
  throw new LimitError(limit, `There are already ${rowsMax} ${what}: remove some first`);
}

/** Writes an audit entry and forgets those beyond {@linkcode AUDIT_ROWS_MAX}. */
export function* auditScript(dialect: Dialect, entry: AuditEntry): Script<void> {
  yield insertOne("ConsoleAudit", "at, who, action, target, outcome, detail, address", [
    entry.atMs,
    cut(entry.who, 64),
    entry.action,
    cut(entry.target, TARGET_LENGTH_MAX),
    entry.outcome,
    cut(entry.detail, DETAIL_LENGTH_MAX),
    cut(entry.address, ADDRESS_LENGTH_MAX),
  ]);
  const id = yield* insertedIdScript(dialect);
  if (id > AUDIT_ROWS_MAX) {
    yield { sql: "DELETE FROM ConsoleAudit WHERE id <= ?", params: [id - AUDIT_ROWS_MAX] };
  }
}

/** Condition of a list that goes back in time. */
export function backCondition({ before }: BackFilter): [string, number | undefined] {
  return ["id < ?", before > 0 ? before : undefined];
}

/** Audit entries, newest first. */
export function* auditRowsScript(
  filter: BackFilter & { who?: string; action?: string },
): Script<AuditRow[]> {
  const { where, params } = whereAll([
    backCondition(filter),
    ["who = ?", filter.who],
    ["action = ?", filter.action],
  ]);
  const rows = yield {
    sql: "SELECT id, at, who, action, target, outcome, detail, address FROM ConsoleAudit" +
      `${where} ORDER BY id DESC LIMIT ?`,
    params: [...params, filter.limit],
  };
  return rows.map((row) => ({
    id: numberOf(row.id),
    atMs: numberOf(row.at),
    who: textOf(row.who),
    action: textOf(row.action),
    target: textOf(row.target),
    outcome: row.outcome === "done" ? "done" : "refused",
    detail: textOf(row.detail),
    address: textOf(row.address),
  }));
}

const USER_NAMES = "name, role, password, must_change, disabled, created_at, login_at";
const USER_COLUMNS = USER_NAMES.replaceAll(/\w+/g, "u.$&");

/** An unknown role of a foreign hand may do least. */
function roleOf(value: unknown): UserRole {
  return value === "admin" || value === "operator" ? value : "viewer";
}

function userOf(row: SqlRow): UserRow {
  return {
    name: textOf(row.name),
    role: roleOf(row.role),
    passwordHash: textOf(row.password),
    mustChange: numberOf(row.must_change) !== 0,
    disabled: numberOf(row.disabled) !== 0,
    createdAtMs: numberOf(row.created_at),
    loginAtMs: numberOf(row.login_at),
  };
}

/** Every user, by name. */
export function* usersScript(lock = ""): Script<UserRow[]> {
  const rows = yield { sql: `SELECT ${USER_COLUMNS} FROM ConsoleUser AS u ORDER BY u.name${lock}` };
  return rows.map(userOf);
}

/** One user. */
export function* userScript(name: string): Script<UserRow | undefined> {
  const rows = yield {
    sql: `SELECT ${USER_COLUMNS} FROM ConsoleUser AS u WHERE u.name = ?`,
    params: [name],
  };
  return rows.length === 0 ? undefined : userOf(rows[0]);
}

/** All users, locked, so that two who take each other's role away wait for one another. */
function lockUsersScript(dialect: Dialect): Script<UserRow[]> {
  return usersScript(forUpdate(dialect));
}

/** Adds a user; with `onlyFirst` only when there is none. */
export function* addUserScript(
  dialect: Dialect,
  user: UserRow,
  audit: AuditEntry,
  onlyFirst: boolean,
): Script<boolean> {
  const users = yield* lockUsersScript(dialect);
  if (onlyFirst && users.length > 0) return false;
  if (users.some(({ name }) => name === user.name)) {
    throw new ConflictError(`User ${user.name} exists already`);
  }
  if (users.length >= USERS_MAX) {
    throw new LimitError("USERS_MAX", `There are already ${USERS_MAX} users: remove some first`);
  }
  yield insertOne("ConsoleUser", USER_NAMES, [
    user.name,
    user.role,
    user.passwordHash,
    user.mustChange ? 1 : 0,
    user.disabled ? 1 : 0,
    user.createdAtMs,
    user.loginAtMs,
  ]);
  yield* auditScript(dialect, audit);
  return true;
}

function requireAdmin(users: readonly UserRow[]): void {
  if (users.some(({ role, disabled }) => role === "admin" && !disabled)) return;
  throw new ConflictError("At least one admin who is not locked out must be left");
}

/** Changes a user and ends sessions. */
export function* patchUserScript(
  dialect: Dialect,
  name: string,
  patch: Partial<Pick<UserRow, "role" | "disabled" | "passwordHash" | "mustChange">>,
  audit: AuditEntry,
  keepSession = "",
): Script<UserRow | undefined> {
  const users = yield* lockUsersScript(dialect);
  const before = users.find((user) => user.name === name);
  if (before === undefined) return undefined;
  const after = { ...before, ...patch };
  requireAdmin(users.map((user) => user === before ? after : user));
  yield {
    sql: "UPDATE ConsoleUser SET role = ?, password = ?, must_change = ?, disabled = ? " +
      "WHERE name = ?",
    params: [
      after.role,
      after.passwordHash,
      after.mustChange ? 1 : 0,
      after.disabled ? 1 : 0,
      name,
    ],
  };
  yield {
    sql: "DELETE FROM ConsoleSession WHERE user_name = ? AND hash <> ?",
    params: [name, keepSession],
  };
  yield* auditScript(dialect, audit);
  return after;
}

/** Removes a user with everything that acts for it. */
export function* removeUserScript(
  dialect: Dialect,
  name: string,
  audit: AuditEntry,
): Script<boolean> {
  const users = yield* lockUsersScript(dialect);
  const rest = users.filter((user) => user.name !== name);
  if (rest.length === users.length) return false;
  requireAdmin(rest);
  yield { sql: "DELETE FROM ConsoleUser WHERE name = ?", params: [name] };
  yield { sql: "DELETE FROM ConsoleSession WHERE user_name = ?", params: [name] };
  yield { sql: "DELETE FROM ConsoleToken WHERE owner = ?", params: [name] };
  yield* auditScript(dialect, audit);
  return true;
}

/** Notes a login and forgets sessions that are over, or too many. */
export function* addSessionScript(
  dialect: Dialect,
  session: SessionRow,
  audit: AuditEntry,
): Script<void> {
  yield {
    sql: "DELETE FROM ConsoleSession WHERE expires_at <= ?",
    params: [session.createdAtMs],
  };
  const rows = yield {
    sql: "SELECT hash FROM ConsoleSession WHERE user_name = ? ORDER BY created_at DESC, hash",
    params: [session.user],
  };
  for (const row of rows.slice(SESSIONS_PER_USER_MAX - 1)) {
    yield { sql: "DELETE FROM ConsoleSession WHERE hash = ?", params: [textOf(row.hash)] };
  }
  const { hash, user, createdAtMs, seenAtMs, expiresAtMs } = session;
  const values = [hash, user, createdAtMs, seenAtMs, expiresAtMs];
  yield insertOne("ConsoleSession", "hash, user_name, created_at, seen_at, expires_at", values);
  yield {
    sql: "UPDATE ConsoleUser SET login_at = ? WHERE name = ?",
    params: [session.createdAtMs, session.user],
  };
  yield* auditScript(dialect, audit);
}

/** A session with its user. */
export function* sessionScript(
  hash: string,
): Script<{ session: SessionRow; user: UserRow } | undefined> {
  const [row] = yield {
    sql: "SELECT s.hash, s.created_at AS session_created_at, s.seen_at, s.expires_at, " +
      `${USER_COLUMNS} FROM ConsoleSession AS s JOIN ConsoleUser AS u ON u.name = s.user_name ` +
      "WHERE s.hash = ?",
    params: [hash],
  };
  if (row === undefined) return undefined;
  const user = userOf(row);
  return {
    user,
    session: {
      hash,
      user: user.name,
      createdAtMs: numberOf(row.session_created_at),
      seenAtMs: numberOf(row.seen_at),
      expiresAtMs: numberOf(row.expires_at),
    },
  };
}

/** Keeps a session alive. */
export function* touchSessionScript(
  hash: string,
  seenAtMs: number,
  expiresAtMs: number,
): Script<void> {
  yield {
    sql: "UPDATE ConsoleSession SET seen_at = ?, expires_at = ? WHERE hash = ?",
    params: [seenAtMs, expiresAtMs, hash],
  };
}

/** Ends a session. */
export function* removeSessionScript(
  dialect: Dialect,
  hash: string,
  audit: AuditEntry,
): Script<void> {
  yield { sql: "DELETE FROM ConsoleSession WHERE hash = ?", params: [hash] };
  yield* auditScript(dialect, audit);
}

const TOKEN_COLUMNS = "t.id, t.title, t.owner, t.role AS token_role, t.hash, " +
  "t.created_at AS token_created_at, t.expires_at, t.used_at";

function tokenOf(row: SqlRow): TokenRow {
  return {
    id: numberOf(row.id),
    title: textOf(row.title),
    owner: textOf(row.owner),
    role: row.token_role === "registrar" ? "registrar" : roleOf(row.token_role),
    hash: textOf(row.hash),
    createdAtMs: numberOf(row.token_created_at),
    expiresAtMs: numberOf(row.expires_at),
    usedAtMs: numberOf(row.used_at),
  };
}

/** Tokens, of one owner when given. */
export function* tokensScript(owner?: string): Script<TokenRow[]> {
  const { where, params } = whereAll([["t.owner = ?", owner]]);
  const sql = `SELECT ${TOKEN_COLUMNS} FROM ConsoleToken AS t${where} ORDER BY t.id`;
  const rows = yield { sql, params };
  return rows.map(tokenOf);
}

/** A token with its owner. */
export function* tokenScript(
  hash: string,
): Script<{ token: TokenRow; user: UserRow } | undefined> {
  const [row] = yield {
    sql: `SELECT ${TOKEN_COLUMNS}, ${USER_COLUMNS} FROM ConsoleToken AS t ` +
      "JOIN ConsoleUser AS u ON u.name = t.owner WHERE t.hash = ?",
    params: [hash],
  };
  return row === undefined ? undefined : { token: tokenOf(row), user: userOf(row) };
}

/** Adds a token. */
export function* addTokenScript(
  dialect: Dialect,
  token: Omit<TokenRow, "id">,
  audit: AuditEntry,
): Script<number> {
  yield* requireRoomScript("ConsoleToken", "TOKENS_MAX", TOKENS_MAX, "tokens");
  const { title, owner, role, hash, createdAtMs, expiresAtMs, usedAtMs } = token;
  const values = [title, owner, role, hash, createdAtMs, expiresAtMs, usedAtMs];
  const columns = "title, owner, role, hash, created_at, expires_at, used_at";
  return yield* insertScript(dialect, "ConsoleToken", columns, values, audit);
}

/** Notes the use of a token. */
export function* touchTokenScript(id: number, usedAtMs: number): Script<void> {
  yield { sql: "UPDATE ConsoleToken SET used_at = ? WHERE id = ?", params: [usedAtMs, id] };
}

/** Revokes a token. */
export function* removeTokenScript(
  dialect: Dialect,
  id: number,
  owner: string | undefined,
  audit: AuditEntry,
): Script<boolean> {
  const rows = yield { sql: "SELECT owner FROM ConsoleToken WHERE id = ?", params: [id] };
  if (rows.length === 0 || (owner !== undefined && textOf(rows[0].owner) !== owner)) return false;
  yield { sql: "DELETE FROM ConsoleToken WHERE id = ?", params: [id] };
  yield* auditScript(dialect, audit);
  return true;
}
