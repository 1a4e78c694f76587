// Core. Judges a record of edits and of what was seen of them: was each answer ever true, did anybody go
// back, was anything lost?
//
// Each writer has one node in each module, and each edit of his puts the next one in its place, in one
// transaction. So a route is a row of numbers, one for each writer: his latest edit that is in it. What
// the database had is a chain of such rows, in which no number falls.

/** An edit by a writer of a module; number 0 of each is there from the start. */
export interface EditRecord {
  readonly module: number;
  readonly writer: number;
  /** From 1, growing; numbers may be left out. */
  readonly number: number;
  /** When he began. Milliseconds of one clock for all. */
  readonly startMs: number;
  /** When he was answered. */
  readonly endMs: number;
  /** `unknown`: it may have been written, then or later. */
  readonly outcome: "done" | "failed" | "unknown";
}

/** A node of a module, named by the edit that put it there. */
export interface SeenNode {
  readonly writer: number;
  readonly number: number;
}

/** What somebody saw of a module. */
export interface LookRecord {
  /** Who, from one start to its end: he must never go back. */
  readonly observer: string;
  /** He may ask another server than before, which has not found yet what was changed without a version. */
  readonly mayMove?: boolean;
  readonly module: number;
  /** For something that was sent unasked: when it came. */
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly nodes: readonly SeenNode[];
}

/** All that happened. */
export interface HistoryRecord {
  readonly modules: number;
  readonly writers: number;
  /** Writers whose edits raise no version: every server finds them by itself. */
  readonly unversioned?: readonly number[];
  readonly edits: readonly EditRecord[];
  readonly looks: readonly LookRecord[];
  /** From here on every look must show every edit that was done before. */
  readonly calmMs: number;
  /** Who has to have looked at every module since then. */
  readonly lastObservers: readonly string[];
}

/** Violations that are told; further ones are left out. */
export const VIOLATIONS_MAX = 20;

/** Latest edits by writer. */
type Row = readonly number[];

/** Edits of one module. */
class ModuleEdits {
  /** By writer, in order of their numbers. */
  readonly #byWriter: EditRecord[][];
  readonly #byNumber: Map<number, EditRecord>[];

  constructor(writers: number, edits: readonly EditRecord[]) {
    this.#byWriter = Array.from({ length: writers }, () => []);
    for (const edit of edits) this.#byWriter[edit.writer]?.push(edit);
    for (const own of this.#byWriter) own.sort((one, other) => one.number - other.number);
    this.#byNumber = this.#byWriter.map((own) => new Map(own.map((edit) => [edit.number, edit])));
  }

  find({ writer, number }: SeenNode): EditRecord | undefined {
    return this.#byNumber[writer]?.get(number);
  }

  /** Number of the last edit of a writer that was done before a moment. */
  lastDone(writer: number, beforeMs: number): number {
    const own = this.#byWriter[writer] ?? [];
    return own.findLast(({ outcome, endMs }) => outcome === "done" && endMs < beforeMs)?.number ??
      0;
  }
}

/** A row that was seen, and where. */
interface SeenRow {
  readonly row: Row;
  readonly look: LookRecord;
}

/** @returns what is wrong, one line each; empty: nothing. */
export function checkHistory(record: HistoryRecord): string[] {
  const violations: string[] = [];
  for (let module = 0; module < record.modules; module++) {
    const edits = new ModuleEdits(
      record.writers,
      record.edits.filter((edit) => edit.module === module),
    );
    const looks = record.looks.filter((look) => look.module === module)
      .sort((one, other) => one.answeredMs - other.answeredMs);
    const rows = looks.flatMap((look) => rowOf(look, record.writers, edits, violations) ?? []);
    checkObservers(rows, record.unversioned ?? [], violations);
    checkChain(rows, violations);
    checkOrder(rows, edits, violations);
    checkCalm(rows, edits, record, module, violations);
  }
  const more = violations.length - VIOLATIONS_MAX;
  return more > 0 ? [...violations.slice(0, VIOLATIONS_MAX), `and ${more} more`] : violations;
}

/** The row that a route is, if it can have been one at all. */
function rowOf(
  look: LookRecord,
  writers: number,
  edits: ModuleEdits,
  violations: string[],
): SeenRow | undefined {
  const row = new Array<number>(writers).fill(-1);
  for (const node of look.nodes) {
    if (row[node.writer] !== -1) {
      violations.push(`${place(look)}: never true: it has two nodes of writer ${node.writer}`);
      return undefined;
    }
    row[node.writer] = node.number;
    if (node.number === 0) continue;
    const edit = edits.find(node);
    if (edit === undefined || edit.outcome === "failed") {
      violations.push(`${place(look)}: never true: nobody has put ${nodeText(node)} there`);
      return undefined;
    }
    if (edit.startMs > look.answeredMs) {
      violations.push(`${place(look)}: never true: it has ${nodeText(node)} before it was made`);
      return undefined;
    }
  }
  const lacking = row.indexOf(-1);
  if (lacking < 0) return { row, look };
  violations.push(`${place(look)}: never true: it has no node of writer ${lacking}`);
  return undefined;
}

/** Nobody goes back, but for what no version tells. */
function checkObservers(
  rows: readonly SeenRow[],
  unversioned: readonly number[],
  violations: string[],
): void {
  const last = new Map<string, SeenRow>();
  for (const seen of rows) {
    const before = last.get(seen.look.observer);
    last.set(seen.look.observer, seen);
    if (before === undefined) continue;
    const isBack = before.row.some((number, writer) =>
      number > seen.row[writer] && !(seen.look.mayMove === true && unversioned.includes(writer))
    );
    if (!isBack) continue;
    violations.push(`${place(seen.look)}: went back from ${before.row} to ${seen.row}`);
  }
}

/** All that was seen by anybody is one chain. */
function checkChain(rows: readonly SeenRow[], violations: string[]): void {
  const distinct = new Map(rows.map((seen) => [seen.row.join(), seen]));
  const sorted = [...distinct.values()].sort((one, other) => sumOf(one.row) - sumOf(other.row));
  for (let at = 1; at < sorted.length; at++) {
    const [one, other] = [sorted[at - 1], sorted[at]];
    if (isAtMost(one.row, other.row)) continue;
    violations.push(
      `${place(other.look)}: never true: ${other.row}, and ${one.row} of ${one.look.observer}, ` +
        "which cannot both have been",
    );
  }
}

/** What was done before an edit began is in every route that has this edit. */
function checkOrder(rows: readonly SeenRow[], edits: ModuleEdits, violations: string[]): void {
  const distinct = new Map(rows.map((seen) => [seen.row.join(), seen]));
  for (const { row, look } of distinct.values()) {
    for (const [writer, number] of row.entries()) {
      const edit = edits.find({ writer, number });
      if (edit === undefined) continue;
      for (const [other, seen] of row.entries()) {
        const due = edits.lastDone(other, edit.startMs);
        if (seen >= due) continue;
        violations.push(
          `${place(look)}: lost: it has ${nodeText(edit)}, and not ` +
            `${nodeText({ writer: other, number: due })}, which was done before`,
        );
      }
    }
  }
}

/** Once all is calm everybody has everything. */
function checkCalm(
  rows: readonly SeenRow[],
  edits: ModuleEdits,
  { calmMs, lastObservers, writers }: HistoryRecord,
  module: number,
  violations: string[],
): void {
  const looked = new Set<string>();
  for (const { row, look } of rows) {
    if (look.askedMs < calmMs) continue;
    looked.add(look.observer);
    for (let writer = 0; writer < writers; writer++) {
      const due = edits.lastDone(writer, calmMs);
      if (row[writer] >= due) continue;
      const lost = nodeText({ writer, number: due });
      violations.push(`${place(look)}: lost: ${lost} is missing in the end, it has ${row}`);
    }
  }
  for (const observer of lastObservers) {
    if (!looked.has(observer)) {
      violations.push(`${observer} saw nothing of module ${module} in the end`);
    }
  }
}

function isAtMost(one: Row, other: Row): boolean {
  return one.every((number, writer) => number <= other[writer]);
}

function sumOf(row: Row): number {
  return row.reduce((sum, number) => sum + number, 0);
}

function place({ observer, module, answeredMs }: LookRecord): string {
  return `${observer}, module ${module}, ${Math.round(answeredMs)} ms`;
}

function nodeText({ writer, number }: SeenNode): string {
  return `edit ${number} of writer ${writer}`;
}
