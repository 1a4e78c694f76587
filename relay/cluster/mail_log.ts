// Core. The log that relays share: one order of entries, the same for all who read it.

import { LarsError } from "../../reactor/errors.ts";

/** Bytes of one entry at most, as the smallest server that is usual takes 1 MiB with its headers. */
export const LOG_ENTRY_BYTES_MAX = 512 * 1024;

/** The log takes nothing more: it is as large as it may be. */
export class LogFullError extends LarsError {
  override name = "LogFullError";
}

/** Where a log begins and ends. */
export interface LogSpan {
  /** Of this log alone; another one means that everything before is lost. */
  readonly epoch: number;
  /** Number of the newest entry; 0: none. */
  readonly last: number;
}

/** Where reading goes on: behind this entry of the log of this epoch. */
export interface LogPosition {
  readonly epoch: number;
  readonly after: number;
}

/** Who reads a log. */
export interface LogFollower {
  onEntry(seq: number, body: Uint8Array): void;
  /** It is another log than before, of which nothing is handed on. The last call. */
  onAnew(): void;
}

/**
 * Entries in one order, each under a name, that survive the programs that read and write them. All
 * but `follow` throw a {@linkcode StoreError} when the log does not answer; whether something was
 * appended is not known then, and it may still be appended later.
 */
export interface MailLog {
  /** Where it stands; asked of the server each time. */
  span(): Promise<LogSpan>;
  /**
   * Adds an entry behind all others.
   *
   * @returns its number.
   * @throws {LogFullError} when there is no room.
   */
  append(name: string, body: Uint8Array): Promise<number>;
  /** Number of the newest entry of a name; 0: none. */
  lastOf(name: string): Promise<number>;
  /** An entry; undefined: it was removed. */
  get(seq: number): Promise<Uint8Array | undefined>;
  /** Takes an entry out. Harmless when repeated. */
  remove(seq: number): Promise<void>;
  /**
   * Hands on all entries behind a place, in their order, now and from now on, over any break.
   *
   * @returns what ends it.
   */
  follow(from: LogPosition, follower: LogFollower): () => void;
}
