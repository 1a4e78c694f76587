// Core. The conversations about RelayMail and RelayMailbox.
//
// The row of RelayMailbox with the empty name holds the sums of all. Data is kept as base64, because
// that is text in every database.

import {
  type Dialect,
  forUpdate,
  insertIgnore,
  insertManyScript,
  numberOf,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
} from "../drivers/sql_script.ts";
import {
  type Mail,
  MAIL_NAME_PATTERN,
  MAIL_PER_CALL_MAX,
  type Mailbox,
  type MailLimits,
  type MailOutcome,
  type MailPage,
  type NewMail,
  type PrunedMail,
} from "./mail_store.ts";

const WAITING = 0;
const TAKEN = 1;
const EXPIRED = 2;

/** Messages whose time is over that one call takes out. */
const PRUNE_MAX = 500;

/** Rows of one INSERT: each may hold 90 KB. */
const ROWS_PER_STATEMENT = 20;

const COLUMNS = "name, seq, sender, id, state, sent_at_ms, expires_at_ms, bytes, data";
const BOX_COLUMNS = "name, epoch, last_seq, taken_seq, waiting, waiting_bytes";

/** @throws {RangeError} when it is no name of a mailbox, or no id. */
export function checkMailName(what: string, text: string): void {
  if (MAIL_NAME_PATTERN.test(text)) return;
  throw new RangeError(
    `${what} must be 1 to 64 printable ASCII characters without spaces: ` +
      `current value is ${JSON.stringify(text.slice(0, 100))}`,
  );
}

/** @throws {RangeError} when something of it cannot be kept. */
export function checkMail(mail: readonly NewMail[]): void {
  if (mail.length > MAIL_PER_CALL_MAX) {
    throw new RangeError(
      `Messages must be at most ${MAIL_PER_CALL_MAX} a call: current value is ${mail.length}`,
    );
  }
  for (const { name, sender, id } of mail) {
    checkMailName("Name of a mailbox", name);
    checkMailName("Sender", sender);
    checkMailName("Id of a message", id);
  }
}

function boxOf(row: SqlRow): Mailbox {
  return {
    name: textOf(row.name),
    epoch: numberOf(row.epoch),
    lastSeq: numberOf(row.last_seq),
    takenSeq: numberOf(row.taken_seq),
    waiting: numberOf(row.waiting),
    waitingBytes: numberOf(row.waiting_bytes),
  };
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function* makeBoxes(dialect: Dialect, names: readonly string[], epoch: number): Script<void> {
  const insert = `${insertIgnore(dialect)} INTO RelayMailbox(${BOX_COLUMNS})`;
  yield* insertManyScript(insert, 6, names, (name) => [name, epoch, 0, 0, 0, 0]);
}

/** Mailboxes and the sums of all, locked in one order until the transaction ends. */
function* lockBoxes(dialect: Dialect, names: readonly string[]): Script<Map<string, Mailbox>> {
  const all = ["", ...names];
  const rows = yield {
    sql:
      `SELECT ${BOX_COLUMNS} FROM RelayMailbox WHERE name IN (${all.map(() => "?").join(",")}) ` +
      `ORDER BY name${forUpdate(dialect)}`,
    params: all,
  };
  return new Map(rows.map((row) => [textOf(row.name), boxOf(row)]));
}

/** Ids among these that were kept before. */
function* knownIds(mail: readonly NewMail[]): Script<Set<string>> {
  const rows = yield {
    sql: `SELECT name, sender, id FROM RelayMail WHERE ` +
      mail.map(() => "(name = ? AND sender = ? AND id = ?)").join(" OR "),
    params: mail.flatMap(({ name, sender, id }) => [name, sender, id]),
  };
  return new Set(rows.map((row) => `${textOf(row.name)} ${textOf(row.sender)} ${textOf(row.id)}`));
}

function* addToBox(
  name: string,
  count: number,
  bytes: number,
  lastSeq: number | undefined,
): Script<void> {
  const last = lastSeq === undefined ? "" : ", last_seq = ?";
  yield {
    sql: "UPDATE RelayMailbox SET waiting = waiting + ?, waiting_bytes = waiting_bytes + ?" +
      `${last} WHERE name = ?`,
    params: [count, bytes, ...lastSeq === undefined ? [] : [lastSeq], name],
  };
}

/** Takes `count` messages out of the sums. */
function* takeFromBox(name: string, count: number, bytes: number): Script<void> {
  for (const one of [name, ""]) {
    yield {
      sql: "UPDATE RelayMailbox SET waiting = waiting - ?, waiting_bytes = waiting_bytes - ? " +
        "WHERE name = ?",
      params: [count, bytes, one],
    };
  }
}

/** Keeps messages that have room and are not known. */
export function* putMailScript(
  dialect: Dialect,
  mail: readonly NewMail[],
  limits: MailLimits,
  epoch: number,
): Script<MailOutcome[]> {
  if (mail.length === 0) return [];
  const names = [...new Set(mail.map(({ name }) => name))];
  yield* makeBoxes(dialect, names, epoch);
  const boxes = yield* lockBoxes(dialect, names);
  const known = yield* knownIds(mail);
  const room = new MailRoom(boxes, limits);
  const rows: SqlValue[][] = [];
  const outcomes = mail.map((one): MailOutcome => {
    const key = `${one.name} ${one.sender} ${one.id}`;
    if (known.has(key)) return { kind: "known" };
    const seq = room.take(one.name, one.data.length);
    if (seq === undefined) return { kind: "full" };
    known.add(key);
    const { name, sender, id, sentAtMs, expiresAtMs, data } = one;
    const times = [Math.trunc(sentAtMs), Math.trunc(expiresAtMs)];
    rows.push([name, seq, sender, id, WAITING, ...times, data.length, toBase64(data)]);
    return { kind: "stored", seq };
  });
  const insert = `INSERT INTO RelayMail(${COLUMNS})`;
  yield* insertManyScript(insert, 9, rows, (row) => row, ROWS_PER_STATEMENT);
  for (const { name, count, bytes, lastSeq } of room.taken()) {
    yield* addToBox(name, count, bytes, lastSeq);
    yield* addToBox("", count, bytes, undefined);
  }
  return outcomes;
}

/** Room in mailboxes while a batch is put into them. */
class MailRoom {
  readonly #boxes: ReadonlyMap<string, Mailbox>;
  readonly #limits: MailLimits;
  readonly #added = new Map<string, { count: number; bytes: number }>();
  #count: number;
  #bytes: number;

  constructor(boxes: ReadonlyMap<string, Mailbox>, limits: MailLimits) {
    this.#boxes = boxes;
    this.#limits = limits;
    this.#count = boxes.get("")?.waiting ?? 0;
    this.#bytes = boxes.get("")?.waitingBytes ?? 0;
  }

  /** The place of one more message; undefined: there is no room. */
  take(name: string, bytes: number): number | undefined {
    const box = this.#boxes.get(name);
    const added = this.#added.get(name) ?? { count: 0, bytes: 0 };
    const { messagesMax, bytesMax, totalMessagesMax, totalBytesMax } = this.#limits;
    if (
      box === undefined ||
      box.waiting + added.count >= messagesMax ||
      box.waitingBytes + added.bytes + bytes > bytesMax ||
      this.#count >= totalMessagesMax ||
      this.#bytes + bytes > totalBytesMax
    ) return undefined;
    this.#added.set(name, { count: added.count + 1, bytes: added.bytes + bytes });
    this.#count++;
    this.#bytes += bytes;
    return box.lastSeq + added.count + 1;
  }

  *taken(): Generator<{ name: string; count: number; bytes: number; lastSeq: number }> {
    for (const [name, { count, bytes }] of this.#added) {
      yield { name, count, bytes, lastSeq: (this.#boxes.get(name)?.lastSeq ?? 0) + count };
    }
  }
}

/** The mailbox of a client; made when there is none. */
export function* openMailboxScript(
  dialect: Dialect,
  name: string,
  epoch: number,
): Script<Mailbox> {
  yield* makeBoxes(dialect, [name], epoch);
  const boxes = yield* lockBoxes(dialect, [name]);
  return boxes.get(name) ??
    { name, epoch, lastSeq: 0, takenSeq: 0, waiting: 0, waitingBytes: 0 };
}

/** Messages behind a place, and which of them are over. */
export function* readMailScript(
  name: string,
  afterSeq: number,
  limit: number,
  nowMs: number,
): Script<MailPage> {
  const rows = yield {
    sql: `SELECT ${COLUMNS} FROM RelayMail WHERE name = ? AND seq > ? AND state = ? ` +
      "ORDER BY seq LIMIT ?",
    params: [name, afterSeq, WAITING, limit],
  };
  const mail: Mail[] = [];
  const expired: number[] = [];
  for (const row of rows) {
    const seq = numberOf(row.seq);
    const expiresAtMs = numberOf(row.expires_at_ms);
    if (expiresAtMs <= nowMs) {
      expired.push(seq);
      continue;
    }
    mail.push({
      name,
      seq,
      sender: textOf(row.sender),
      id: textOf(row.id),
      sentAtMs: numberOf(row.sent_at_ms),
      expiresAtMs,
      data: fromBase64(textOf(row.data)),
    });
  }
  return { mail, expired };
}

/** How many messages behind a place can still be read. */
export function* countMailScript(name: string, afterSeq: number, nowMs: number): Script<number> {
  const rows = yield {
    sql: "SELECT COUNT(*) AS count FROM RelayMail WHERE name = ? AND seq > ? AND state = ? " +
      "AND expires_at_ms > ?",
    params: [name, afterSeq, WAITING, Math.trunc(nowMs)],
  };
  return numberOf(rows[0]?.count);
}

/** Empties messages that wait and meet a condition; gives their number. */
function* endMail(
  name: string,
  state: number,
  where: string,
  params: readonly SqlValue[],
): Script<number> {
  const condition = `name = ? AND state = ? AND ${where}`;
  const rows = yield {
    sql: `SELECT COUNT(*) AS count, SUM(bytes) AS bytes FROM RelayMail WHERE ${condition}`,
    params: [name, WAITING, ...params],
  };
  const count = numberOf(rows[0]?.count);
  if (count === 0) return 0;
  yield {
    sql: `UPDATE RelayMail SET state = ?, data = '' WHERE ${condition}`,
    params: [state, name, WAITING, ...params],
  };
  yield* takeFromBox(name, count, numberOf(rows[0]?.bytes));
  return count;
}

/** Everything up to a place was taken. */
export function* takeMailScript(dialect: Dialect, name: string, seq: number): Script<number> {
  const box = (yield* lockBoxes(dialect, [name])).get(name);
  // What was never there cannot be taken, so that nothing to come is taken beforehand.
  if (box === undefined || seq > box.lastSeq) return 0;
  const count = yield* endMail(name, TAKEN, "seq <= ?", [seq]);
  if (seq > box.takenSeq) {
    yield { sql: "UPDATE RelayMailbox SET taken_seq = ? WHERE name = ?", params: [seq, name] };
  }
  return count;
}

/** The time of these messages is over. */
export function* expireMailScript(
  dialect: Dialect,
  name: string,
  seqs: readonly number[],
): Script<number> {
  if (seqs.length === 0) return 0;
  yield* lockBoxes(dialect, [name]);
  return yield* endMail(name, EXPIRED, `seq IN (${seqs.map(() => "?").join(",")})`, seqs);
}

/** Takes out what is over in any mailbox. */
export function* pruneMailScript(
  dialect: Dialect,
  nowMs: number,
  idsBeforeMs: number,
): Script<PrunedMail> {
  yield { sql: "SELECT name FROM RelayMailbox WHERE name = ''" + forUpdate(dialect) };
  const rows = yield {
    sql: "SELECT name, seq FROM RelayMail WHERE state = ? AND expires_at_ms <= ? " +
      "ORDER BY expires_at_ms LIMIT ?",
    params: [WAITING, Math.trunc(nowMs), PRUNE_MAX],
  };
  const byName = new Map<string, number[]>();
  for (const row of rows) {
    const name = textOf(row.name);
    byName.set(name, [...byName.get(name) ?? [], numberOf(row.seq)]);
  }
  let expired = 0;
  for (const name of [...byName.keys()].sort()) {
    expired += yield* expireMailScript(dialect, name, byName.get(name) ?? []);
  }
  yield {
    sql: "DELETE FROM RelayMail WHERE state <> ? AND sent_at_ms < ?",
    params: [WAITING, Math.trunc(idsBeforeMs)],
  };
  return { expired, more: rows.length === PRUNE_MAX };
}

/** The sums of all mailboxes. */
export function* mailTotalsScript(): Script<{ waiting: number; waitingBytes: number }> {
  const rows = yield { sql: `SELECT ${BOX_COLUMNS} FROM RelayMailbox WHERE name = ''` };
  return { waiting: numberOf(rows[0]?.waiting), waitingBytes: numberOf(rows[0]?.waiting_bytes) };
}

/** Mailboxes with most messages first. */
export function* listMailScript(
  limit: number,
): Script<{ boxes: Mailbox[]; oldestSentAtMs: number | undefined }> {
  const boxes = yield {
    sql:
      `SELECT ${BOX_COLUMNS} FROM RelayMailbox WHERE name <> '' ORDER BY waiting DESC, name LIMIT ?`,
    params: [limit],
  };
  const oldest = yield {
    sql: "SELECT MIN(sent_at_ms) AS at FROM RelayMail WHERE state = ?",
    params: [WAITING],
  };
  const at = oldest[0]?.at;
  return {
    boxes: boxes.map(boxOf),
    oldestSentAtMs: at === null || at === undefined ? undefined : numberOf(at),
  };
}
