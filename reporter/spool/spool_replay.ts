// Core. What is on disk becomes history: in order, each report once.

import { type Clock, sleep } from "../../reactor/time/clock.ts";
import { messageOf, StoreError } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { HISTORY_STEPS_S, type SessionMark } from "../../sql/results/call_history.ts";
import { afterRange, type MarkState, NO_MARK } from "../../sql/results/mark_state.ts";
import type { Store } from "../../sql/store.ts";
import { moduleText } from "../../model/module.ts";
import { callsId } from "../../model/node.ts";
import { CallTracker } from "../call_history.ts";
import type { ReportedRow } from "../report_rows.ts";
import { NO_SESSION, type NumberedRecord, rowsIn, SpoolReader } from "./spool_format.ts";
import type { SpoolDisk } from "./spool_log.ts";

/**
 * Nodes and modules of one write, as every caller tells them: what fits one transaction of an embedded
 * database.
 */
const WRITE_KEYS_MAX = 9_000;

/** Rows of one write before those of a node are added up, and between two pauses. */
const PIECE_ROWS_MAX = 200_000;
const STEP_ROWS = 5_000;

/** Pause after a failed write; it doubles in between, with jitter. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

/** Tries to read a file before it is given up: others may have all descriptors for a while. */
const READ_TRIES_MAX = 6;

/** What is read of one spool. */
export interface SpoolRange {
  readonly id: number;
  /** Its files, in order. */
  readonly files: readonly string[];
  /** Only this session, whatever is told of the others. */
  readonly session?: number;
  /** Records after this one. */
  readonly after: number;
  readonly upTo: number;
}

/** What a {@linkcode SpoolReplay} is given. */
export interface SpoolReplayOptions {
  readonly disk: Pick<SpoolDisk, "read">;
  readonly store: Pick<Store, "readMarkStates" | "writeMarkedHistory">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Most nodes followed at once. */
  readonly keysMax: number;
  /** False: only results are kept, nothing is counted. */
  readonly history: boolean;
  /** Told of results, oldest first, before they are in the history; maybe more than once. */
  onRows(rows: readonly ReportedRow[]): void;
  /** Lets others work. */
  pause(): Promise<void>;
  /** Records from before this time, in unix milliseconds, are too old: nobody knows what is counted. */
  oldestMs(): number;
}

/** Transient, for whoever tries again by himself: the next try finds what was written. */
class MovedError extends StoreError {
  constructor() {
    super("Somebody else has written reports of the same senders meanwhile", true);
  }
}

/** Reports of the same ten seconds. */
interface Piece {
  readonly records: readonly { readonly at: NumberedRecord; readonly rows: ReportedRow[] }[];
  readonly rowCount: number;
}

/** Writes records of a spool into the history. */
export class SpoolReplay {
  readonly #options: SpoolReplayOptions;
  /** Names this writer in the marks. */
  readonly #writer: number;
  readonly #unread = new Set<string>();
  #number = 0;
  #replayed = 0;
  #skipped = 0;
  #stopped = false;

  constructor(options: SpoolReplayOptions) {
    this.#options = options;
    this.#writer = 1 + Math.floor(options.rng.next() * (Number.MAX_SAFE_INTEGER - 1));
  }

  /** Reports written, and those left out because they are in the history already or too old. */
  get stats(): { spool_replayed: number; spool_skipped: number } {
    return { spool_replayed: this.#replayed, spool_skipped: this.#skipped };
  }

  stop(): void {
    this.#stopped = true;
  }

  /**
   * Writes a spool, and tries again while the database is away.
   *
   * @returns false when it was stopped before the end.
   * @throws {StoreError} when the database does not take it for good.
   */
  async finish(range: SpoolRange): Promise<boolean> {
    for (let failures = 0; !this.#stopped;) {
      try {
        await this.write(range);
        // A stop ends it in the middle, and what is behind that must stay on disk.
        return !this.#stopped;
      } catch (error) {
        if (!(error instanceof StoreError) || !error.transient) throw error;
        failures = error instanceof MovedError ? 0 : failures + 1;
      }
      await this.#backOff(failures);
    }
    return false;
  }

  async #backOff(failures: number): Promise<void> {
    const { clock, rng } = this.#options;
    const limitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.max(0, failures - 1));
    await sleep(clock, limitMs * (0.5 + 0.5 * rng.next()));
  }

  /** Writes a spool from where the database says that it ends. May be tried again after a failure. */
  async write(range: SpoolRange): Promise<void> {
    const { store, keysMax, history, pause } = this.#options;
    const makeTracker = (): CallTracker => new CallTracker({ keysMax, onEvent: () => {} });
    let tracker = makeTracker();
    const states = new Map<number, MarkState>();
    const own = history ? await store.readMarkStates([range.id]) : undefined;
    const isWhole = range.session === undefined;
    let done = Math.max(range.after, isWhole ? own?.get(range.id)?.seq ?? 0 : 0);
    for (const name of range.files) {
      const reader = new SpoolReader(await this.#read(name));
      for await (const piece of piecesOf(reader, { ...range, after: done }, pause)) {
        if (this.#stopped) return;
        const last = piece.records[piece.records.length - 1].at.number;
        if (isWhole) this.#tellRows(piece);
        if (history) {
          // Before it is full: nobody is refused.
          if (tracker.stats.keys + piece.rowCount > keysMax) tracker = makeTracker();
          await this.#learn(states, piece);
          const own = isWhole ? [{ session: range.id, from: done, to: last }] : [];
          await this.#count(tracker, states, piece, own);
        } else await pause();
        done = last;
      }
      if (reader.fault?.isTorn === false) this.#unread.add(name);
      await pause();
    }
  }

  #tellRows({ records }: Piece): void {
    const oldestMs = this.#options.oldestMs();
    for (const { at, rows } of records) if (at.atMs >= oldestMs) this.#options.onRows(rows);
  }

  /** Writes a piece, with how far that is. */
  async #count(
    tracker: CallTracker,
    states: Map<number, MarkState>,
    piece: Piece,
    own: readonly SessionMark[],
  ): Promise<void> {
    const marks = [...this.#take(tracker, states, piece), ...own];
    const rows = tracker.close(this.#options.clock.wallMs(), true)?.rows ?? [];
    if (marks.length > 0) await this.#store(rows, marks);
  }

  async #read(name: string): Promise<Uint8Array> {
    const { disk, log } = this.#options;
    for (let tries = 1;; tries++) {
      try {
        return await disk.read(name);
      } catch (error) {
        if (tries >= READ_TRIES_MAX || this.#stopped) {
          this.#unread.add(name);
          log.error("A file of the spool cannot be read: its results do not count", {
            ...{ name, reason: messageOf(error) },
          });
          return new Uint8Array();
        }
      }
      await this.#backOff(tries);
    }
  }

  /** Whether a file could not be read, or not to its end: it is not to be removed. */
  isUnread(name: string): boolean {
    return this.#unread.has(name);
  }

  /** Asks how far the senders of a piece are that are not known yet. */
  async #learn(states: Map<number, MarkState>, { records }: Piece): Promise<void> {
    const sessions = new Set(records.map(({ at }) => at.session));
    const unknown = [...sessions].filter((one) => one !== NO_SESSION && !states.has(one));
    if (unknown.length === 0) return;
    const found = await this.#options.store.readMarkStates(unknown);
    for (const session of unknown) states.set(session, found?.get(session) ?? NO_MARK);
  }

  /** Gives what is not in the history yet to the tracker. @returns which reports of whom that is. */
  #take(tracker: CallTracker, states: Map<number, MarkState>, { records }: Piece): SessionMark[] {
    const marks: { session: number; from: number; to: number }[] = [];
    const lastOf = new Map<number, { session: number; from: number; to: number }>();
    const oldestMs = this.#options.oldestMs();
    for (const { at: { session, atMs, seq }, rows } of records) {
      const after = session === NO_SESSION
        ? NO_MARK
        : afterRange(states.get(session) ?? NO_MARK, { from: seq - 1, to: seq });
      if (after === undefined || atMs < oldestMs) {
        this.#skipped++;
        continue;
      }
      this.#replayed++;
      tracker.add(`kept ${session}`, rows, atMs);
      if (session === NO_SESSION) continue;
      states.set(session, after);
      const known = lastOf.get(session);
      if (known?.to === seq - 1) known.to = seq;
      else {
        const mark = { session, from: seq - 1, to: seq };
        lastOf.set(session, mark);
        marks.push(mark);
      }
    }
    return marks;
  }

  async #store(
    rows: Parameters<Store["writeCallHistory"]>[1],
    marks: readonly SessionMark[],
  ): Promise<void> {
    const { store, rng, log } = this.#options;
    // A source of its own: the rows add to what others, or a piece before, have of the same time.
    const source = 1 + Math.floor(rng.next() * 0xffff_fffe);
    const { moved, bad } = await store.writeMarkedHistory({
      ...{ source, rows, marks, writer: this.#writer, number: ++this.#number },
    });
    if (moved.length > 0) throw new MovedError();
    for (const { reason } of bad.slice(0, 1)) {
      log.error("History is lost: the database refuses rows of the spool", {
        ...{ rows: bad.length, reason },
      });
    }
  }
}

/** Records of one file in pieces: of one bucket each, and not too large. */
async function* piecesOf(
  reader: SpoolReader,
  { session, after, upTo }: SpoolRange,
  pause: () => Promise<void>,
): AsyncGenerator<Piece> {
  let records: Piece["records"][number][] = [];
  let rowCount = 0;
  let pausedAt = 0;
  const keys = new Set<string>();
  let bucket = NaN;
  for (const found of reader.records()) {
    if (found.number <= after || found.number > upTo) continue;
    if (session !== undefined && found.session !== session) continue;
    const time = Math.floor(found.atMs / 1000 / HISTORY_STEPS_S[0]);
    const rows = rowsIn(found);
    const isFull = keys.size + rows.length >= WRITE_KEYS_MAX || rowCount >= PIECE_ROWS_MAX;
    if (records.length > 0 && (time !== bucket || isFull)) {
      yield { records, rowCount };
      records = [];
      rowCount = pausedAt = 0;
      keys.clear();
    }
    bucket = time;
    records.push({ at: found, rows });
    rowCount += rows.length;
    for (const row of rows) {
      keys.add(callsId(row));
      // The sum of the module is a row of its own.
      keys.add(moduleText(row));
    }
    if (rowCount - pausedAt < STEP_ROWS) continue;
    pausedAt = rowCount;
    await pause();
  }
  if (records.length > 0) yield { records, rowCount };
}
