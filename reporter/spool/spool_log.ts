// Core. The spool that is written: records in order, on disk in groups, within a bound.

import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { SessionMark } from "../../sql/results/call_history.ts";
import { encodeSpoolHead, NO_SESSION, SPOOL_RECORD_BYTES_MAX } from "./spool_format.ts";

/** Longest time a record waits for others before they are written and synced together. */
export const SPOOL_GROUP_MS = 100;

/** Pause after a write that failed. */
export const SPOOL_RETRY_MS = 1_000;

/** Bytes that wait for a slow disk; further records are refused and counted. */
export const SPOOL_WAITING_BYTES_MAX = 8 * 1024 * 1024;

/** Size at which a file is ended and the next one begun. */
export const SPOOL_FILE_BYTES = 4 * 1024 * 1024;

/** A file whose records are all stored is left for a new one from this size on. */
const SPENT_FILE_BYTES = 256 * 1024;

/** Ends the names of files of a spool. */
export const SPOOL_FILE_ENDING = ".spool";

/** What setting a file aside did. */
export interface SetAside {
  /** Where the file is now. */
  readonly kept: string;
  /** Names of those kept before that were removed, oldest first. */
  readonly dropped: readonly string[];
}

/** Files in one folder. */
export interface SpoolDisk {
  /** Names of the files of spools, in order. */
  list(): Promise<string[]>;
  read(name: string): Promise<Uint8Array>;
  /** Writes bytes at a place of a file and waits until they, and its name, survive a loss of power. */
  write(name: string, at: number, bytes: Uint8Array): Promise<void>;
  /** Does nothing when there is none. */
  remove(name: string): Promise<void>;
  /**
   * Keeps a file that cannot be read under another name, which `list` leaves out. Of those kept before
   * the oldest are removed first where there would be too many.
   */
  setAside(name: string): Promise<SetAside>;
  /** Gives back what is open. */
  close(): Promise<void>;
}

/** What a {@linkcode SpoolLog} is given. */
export interface SpoolLogOptions {
  readonly disk: SpoolDisk;
  readonly clock: Clock;
  /** Number of this spool: by chance, up to 2^53. */
  readonly id: number;
  /** Most bytes on disk, with what spools before it left. */
  readonly bytesMax: number;
  /** Bytes of the files of spools before it. */
  readonly usedBytes: number;
  /** Up to which report of which session all is on disk. */
  onDurable(reached: ReadonlyMap<number, number>): void;
  /** It takes no records, and why; undefined: it does again. */
  onState(fault: string | undefined): void;
}

interface SpoolFile {
  readonly name: string;
  readonly first: number;
  last: number;
  /** Written and synced. */
  bytes: number;
}

interface WaitingRecord {
  readonly bytes: Uint8Array;
  /** 0: nobody is told of it. */
  session: number;
  readonly seq: number;
}

/** Counters of a {@linkcode SpoolLog}. */
export type SpoolStats = Record<
  | "spool_bytes"
  | "spool_records_waiting"
  | "spool_records_written"
  | "spool_records_refused"
  | "spool_syncs"
  | "spool_failures",
  number
>;

/** Name of a file: spools and their files sort by age. */
export function spoolFileName(startedAtMs: number, id: number, first: number): string {
  const at = Math.max(0, Math.trunc(startedAtMs)).toString().padStart(15, "0");
  return `${at}-${id.toString(36)}-${first.toString().padStart(16, "0")}${SPOOL_FILE_ENDING}`;
}

/** The spool that a file of this name belongs to; undefined when it is no such name. */
export function spoolIdIn(name: string): number | undefined {
  const id = Number.parseInt(/^\d+-([0-9a-z]+)-\d+\.spool$/.exec(name)?.[1] ?? "", 36);
  return Number.isSafeInteger(id) && id > 0 ? id : undefined;
}

/**
 * Takes records, numbers them from 1, and tells when they are on disk. One write is under way at a
 * time; what comes meanwhile goes with the next.
 */
export class SpoolLog {
  readonly #options: SpoolLogOptions;
  readonly #startedAtMs: number;
  readonly #files: SpoolFile[] = [];
  #waiting: WaitingRecord[] = [];
  #waitingBytes = 0;
  #oldBytes: number;
  #number = 0;
  /** Up to this record they are in files. */
  #writtenTo = 0;
  #storedTo = 0;
  /** Up to this record they are in a bucket of the history that is closed. */
  #closedTo = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #fault: string | undefined;
  /** The last write failed. */
  #isFailing = false;
  #isClosed = false;
  #written = 0;
  #refused = 0;
  /** One that was refused came after this record, and is in no bucket that is stored. */
  #refusedAfter: number | undefined;
  #syncs = 0;
  #failures = 0;

  constructor(options: SpoolLogOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.wallMs();
    this.#oldBytes = options.usedBytes;
  }

  get id(): number {
    return this.#options.id;
  }

  /** Number of the last record; 0 before the first. */
  get number(): number {
    return this.#number;
  }

  /** Up to this record all is in the database. */
  get storedTo(): number {
    return this.#storedTo;
  }

  get stats(): SpoolStats {
    return {
      spool_bytes: this.#fileBytes + this.#oldBytes,
      spool_records_waiting: this.#waiting.length,
      spool_records_written: this.#written,
      spool_records_refused: this.#refused,
      spool_syncs: this.#syncs,
      spool_failures: this.#failures,
    };
  }

  /** Names of its files with records after `number`, in order. */
  filesAfter(number: number): string[] {
    return this.#files.filter(({ last }) => last > number).map(({ name }) => name);
  }

  /**
   * Takes a record, to be on disk soon.
   *
   * @param session Told to `onDurable` with `seq` when it is; 0: nobody is told.
   * @returns false when there is no room, the disk does not take what came before, or the record is
   * larger than one that is read again, with which all after it would be lost.
   */
  append(bytes: Uint8Array, session: number, seq: number): boolean {
    if (bytes.length > SPOOL_RECORD_BYTES_MAX) {
      this.#noteRefused();
      return false;
    }
    const fault = this.#isClosed ? "it is closed" : this.#noRoomFor(bytes.length);
    if (fault !== undefined) {
      this.#noteRefused();
      if (!this.#isClosed) this.#setFault(fault);
      return false;
    }
    if (!this.#isFailing) this.#setFault(undefined);
    this.#number++;
    this.#waiting.push({ bytes, session, seq });
    this.#waitingBytes += bytes.length;
    if (this.#writing === undefined) this.#plan(SPOOL_GROUP_MS);
    return true;
  }

  /** A bucket is closed: which records are in it that are in none before. */
  close(): SessionMark[] {
    const from = this.#closedTo;
    this.#closedTo = this.#number;
    return from === this.#number ? [] : [{ session: this.id, from, to: this.#number }];
  }

  /** All up to a record is in the database: files that hold nothing else go. */
  noteStored(marks: readonly SessionMark[]): void {
    const own = marks.filter(({ session }) => session === this.id);
    if (own.length === 0) return;
    this.#storedTo = own.reduce((most, { to }) => Math.max(most, to), this.#storedTo);
    if (this.#storedTo > (this.#refusedAfter ?? Infinity)) this.#refusedAfter = undefined;
    void this.#removeSpent();
  }

  /** Bytes of spools before this one that are gone. */
  noteFreed(bytes: number): void {
    this.#oldBytes = Math.max(0, this.#oldBytes - bytes);
  }

  /** Writes what waits. @returns whether all is on disk. */
  async flush(): Promise<boolean> {
    // A second time for what came while the first was under way.
    for (let i = 0; i < 2 && this.#waiting.length > 0; i++) {
      await (this.#writing ?? this.#start());
    }
    return this.#waiting.length === 0;
  }

  /**
   * Of a session nobody is told when its records up to `number` are on disk that are not there yet: its
   * sender sends those reports again.
   */
  leaveUntold(session: number, number: number): void {
    for (const one of this.#waiting.slice(0, Math.max(0, number - this.#writtenTo))) {
      if (one.session === session) one.session = NO_SESSION;
    }
  }

  /** Writes what waits, and takes no more. @returns whether all is on disk, or stored. */
  async end(): Promise<boolean> {
    this.#isClosed = true;
    const isWhole = await this.flush();
    this.#timer?.cancel();
    if (this.#storedTo === this.#number) await this.#removeSpent();
    return isWhole && this.#refusedAfter === undefined;
  }

  get #fileBytes(): number {
    return this.#files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #noRoomFor(bytes: number): string | undefined {
    const { bytesMax } = this.#options;
    if (this.#waitingBytes + bytes > SPOOL_WAITING_BYTES_MAX) {
      return this.#fault ?? "the disk is too slow";
    }
    const used = this.#fileBytes + this.#oldBytes + this.#waitingBytes;
    return used + bytes > bytesMax ? `${bytesMax} bytes are full` : undefined;
  }

  #noteRefused(): void {
    this.#refused++;
    this.#refusedAfter = this.#number;
  }

  #setFault(fault: string | undefined): void {
    if (fault === this.#fault) return;
    this.#fault = fault;
    this.#options.onState(fault);
  }

  #plan(delayMs: number): void {
    this.#timer ??= this.#options.clock.setTimer(delayMs, () => void this.#start());
  }

  #start(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length === 0) return Promise.resolve();
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      if (this.#waiting.length > 0 && !this.#isClosed) {
        this.#plan(this.#isFailing ? SPOOL_RETRY_MS : SPOOL_GROUP_MS);
      }
    });
    return this.#writing;
  }

  /** Writes all that waits. Never throws. */
  async #write(): Promise<void> {
    const { disk, onDurable } = this.#options;
    const group = this.#waiting.slice();
    const file = this.#currentFile();
    const isNew = file.bytes === 0;
    const head = isNew ? [encodeSpoolHead({ id: this.id, first: file.first })] : [];
    const bytes = joined([...head, ...group.map((one) => one.bytes)]);
    try {
      // At its place and not at the end, so that a write that failed half-way is written over.
      await disk.write(file.name, file.bytes, bytes);
    } catch (error) {
      this.#failures++;
      this.#isFailing = true;
      this.#setFault(messageOf(error));
      return;
    }
    this.#syncs++;
    this.#isFailing = false;
    this.#setFault(undefined);
    file.bytes += bytes.length;
    file.last += group.length;
    this.#writtenTo += group.length;
    this.#written += group.length;
    this.#waiting = this.#waiting.slice(group.length);
    this.#waitingBytes = this.#waiting.reduce((sum, one) => sum + one.bytes.length, 0);
    if (isNew) this.#files.push(file);
    const reached = new Map<number, number>();
    for (const { session, seq } of group) if (session !== NO_SESSION) reached.set(session, seq);
    if (reached.size > 0) onDurable(reached);
    await this.#removeSpent();
  }

  #currentFile(): SpoolFile {
    const last = this.#files.at(-1);
    if (last !== undefined && last.bytes < SPOOL_FILE_BYTES && !this.#isSpent(last)) return last;
    const first = this.#writtenTo + 1;
    const name = spoolFileName(this.#startedAtMs, this.id, first);
    return { name, first, last: this.#writtenTo, bytes: 0 };
  }

  #isSpent({ last, bytes }: SpoolFile): boolean {
    return last <= this.#storedTo && (bytes >= SPENT_FILE_BYTES || this.#isClosed);
  }

  async #removeSpent(): Promise<void> {
    const { disk } = this.#options;
    const isCurrent = (file: SpoolFile): boolean => file === this.#files.at(-1);
    const spent = this.#files.filter((file) =>
      isCurrent(file)
        ? this.#isSpent(file) && this.#writing === undefined
        : file.last <= this.#storedTo
    );
    for (const file of spent) {
      const at = this.#files.indexOf(file);
      if (at >= 0) this.#files.splice(at, 1);
      // One that stays is read again at the next start, and found to be stored.
      await disk.remove(file.name).catch(() => this.#failures++);
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
