// Core. What a relay asks of the database: messages kept for clients that are away.

/** Longest name of a mailbox, of a sender, and of an id, in characters. */
export const MAIL_NAME_LENGTH_MAX = 64;

/** Messages of one call. */
export const MAIL_PER_CALL_MAX = 100;

/** What a name or an id may be: printable ASCII without spaces, so that every database agrees. */
export const MAIL_NAME_PATTERN = /^[\x21-\x7e]{1,64}$/;

/** A message on its way into a mailbox. */
export interface NewMail {
  /** Whose mailbox. */
  readonly name: string;
  readonly sender: string;
  /** The sender's name for this message: the same one is kept once. */
  readonly id: string;
  /** By the wall clock, in milliseconds. */
  readonly sentAtMs: number;
  readonly expiresAtMs: number;
  readonly data: Uint8Array;
}

/** A message in a mailbox. */
export interface Mail extends NewMail {
  /** Its place in the mailbox, from 1. */
  readonly seq: number;
}

/** What became of a message that was to be kept. */
export type MailOutcome =
  /** It is kept. */
  | { readonly kind: "stored"; readonly seq: number }
  /** It was kept before: taken, expired, or still there. */
  | { readonly kind: "known" }
  /** The mailbox, or all together, hold as much as they may. */
  | { readonly kind: "full" };

/** Bounds of what is kept. */
export interface MailLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly totalMessagesMax: number;
  readonly totalBytesMax: number;
}

/** A mailbox. */
export interface Mailbox {
  readonly name: string;
  /** Made by chance with the mailbox; another one means that everything before is lost. */
  readonly epoch: number;
  /** Of the newest message that was ever put into it; 0: none. */
  readonly lastSeq: number;
  /** Everything up to this was taken. */
  readonly takenSeq: number;
  /** Messages in it, and their bytes. */
  readonly waiting: number;
  readonly waitingBytes: number;
}

/** What was read of a mailbox. */
export interface MailPage {
  /** In order. */
  readonly mail: readonly Mail[];
  /** Places of messages among them whose time is over. */
  readonly expired: readonly number[];
}

/** What {@linkcode MailStore.prune} did. */
export interface PrunedMail {
  /** Messages whose time was over. */
  readonly expired: number;
  /** There may be more. */
  readonly more: boolean;
}

/** Messages for clients that are away. Every write has survived a loss of power when it is done. */
export interface MailStore {
  /**
   * Keeps messages, in their order, all in one transaction.
   *
   * @param epoch For mailboxes that are made by this.
   * @throws {RangeError} when a name or an id is none, or there are more than `MAIL_PER_CALL_MAX`.
   */
  put(mail: readonly NewMail[], limits: MailLimits, epoch: number): Promise<MailOutcome[]>;
  /** The mailbox of a client, which is made when there is none. */
  open(name: string, epoch: number): Promise<Mailbox>;
  /** Messages behind `afterSeq`, at most `limit`. */
  read(name: string, afterSeq: number, limit: number, nowMs: number): Promise<MailPage>;
  /** How many messages behind `afterSeq` can still be read. */
  countAfter(name: string, afterSeq: number, nowMs: number): Promise<number>;
  /** Everything up to `seq` was taken. @returns how many of these were there. */
  take(name: string, seq: number): Promise<number>;
  /** The time of these messages is over. @returns how many of these were there. */
  expire(name: string, seqs: readonly number[]): Promise<number>;
  /** Takes out what is over, and forgets the ids of what was sent before `idsBeforeMs`. */
  prune(nowMs: number, idsBeforeMs: number): Promise<PrunedMail>;
  /** Messages in all mailboxes, and their bytes. */
  totals(): Promise<{ readonly waiting: number; readonly waitingBytes: number }>;
  /** Mailboxes with most messages first, and when the oldest message of all was sent. */
  list(limit: number): Promise<{ boxes: Mailbox[]; oldestSentAtMs: number | undefined }>;
}
