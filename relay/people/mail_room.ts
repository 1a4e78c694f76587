// Core. Messages for clients that may be away: kept in the database, read again when they come.
//
// Writes go out in batches, one at a time and in order, so that what was acknowledged later was never
// kept without what came before it.

import { messageOf, StoreError } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import { type Clock, setRepeating, sleep, type Timer } from "../../reactor/time/clock.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import {
  type Mail,
  MAIL_PER_CALL_MAX,
  type MailLimits,
  type MailOutcome,
  type MailStore,
  type NewMail,
} from "../../sql/mail/mail_store.ts";
import { Ledger } from "../broker/ledger.ts";

/** Messages on their way to the database, and their bytes; a further one is refused. */
export const UNWRITTEN_MAX = 10_000;
export const UNWRITTEN_BYTES_MAX = 32 * 1024 * 1024;

/** Messages that a client may be sent ahead of what it has taken. */
export const UNTAKEN_MAX = 100;

/** First and longest pause after the database did not answer. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2_000;

/** How often messages whose time is over are looked for. */
export const MAIL_PRUNE_INTERVAL_MS = 10_000;

/** Looks in a row while there is more to take out. */
const PRUNE_ROUNDS_MAX = 20;

/** Who gets what is kept for a name. */
export interface MailReceiver {
  /** @returns false when it reads too slowly; it will be ended. */
  takeMail(mail: Mail): boolean;
  /** What kept its mailbox is gone: it is to be opened again, and is another one. */
  mailboxLost(): void;
}

/** What a client knows of its mailbox when it comes. */
export interface MailResume {
  /** 0: nothing. */
  readonly epoch: number;
  readonly after: number;
}

/** What a client is told of its mailbox when it comes. */
export interface MailOpening {
  readonly epoch: number;
  /** Messages from behind this place follow. */
  readonly after: number;
  /** Messages it has not taken and that will not come. */
  readonly missing: number;
  /** The mailbox is the one it knows, and nothing is missing. */
  readonly recovered: boolean;
}

/** What has become of messages of a mailbox, by whatever relay. */
export interface MailChange {
  readonly name: string;
  /** Messages that other relays have put into it. */
  readonly putCount: number;
  /** Messages that were taken, and whose time was over, of all relays. */
  readonly takenCount: number;
  readonly expiredCount: number;
}

/** Of a store that several relays have in common: it counts for all of them, and its calls do not. */
export interface MailChanges {
  /** Tells of changes after the first answer of `MailStore.totals`. */
  onChange(hear: (change: MailChange) => void): void;
  /** Tells that all mailboxes are lost and begin anew, and how many messages waited in them. */
  onLost(hear: (waiting: number) => void): void;
}

/** What a {@linkcode MailRoom} is given. */
export interface MailRoomOptions {
  readonly store: MailStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly limits: MailLimits;
  /** How long the id of a message is remembered, in milliseconds. */
  readonly idWindowMs: number;
  /** Where other relays change the same mailboxes. @default {nobody else does} */
  readonly changes?: MailChanges | undefined;
}

/** A message on its way to the database. */
interface Unwritten {
  readonly mail: NewMail;
  done(outcome: MailOutcome["kind"] | "failed"): void;
}

/** A mailbox whose client is here. */
class MailReader {
  /** The last place that was sent. */
  cursor: number;
  /** Places that were sent and not taken. */
  readonly untaken: number[] = [];
  reading = false;
  /** Something was put into it while it was being read. */
  again = false;
  closed = false;

  constructor(readonly name: string, readonly receiver: MailReceiver, after: number) {
    this.cursor = after;
  }
}

/** All mailboxes of a relay. */
export class MailRoom {
  /** What became of messages that were to be kept; those of earlier lives wait in it too. */
  readonly ledger = new Ledger();
  readonly #options: MailRoomOptions;
  readonly #unwritten: Unwritten[] = [];
  readonly #readers = new Map<string, MailReader>();
  /** Up to where each mailbox was taken, not yet written. */
  readonly #takes = new Map<string, number>();
  readonly #logLimiter: LogRateLimiter;
  #unwrittenBytes = 0;
  #writing: Promise<void> | undefined;
  #pruner: Timer | undefined;
  #pruning = false;
  #failureCount = 0;
  #lostCount = 0;
  /** Bytes that wait, as of the last look. */
  #waitingBytes = 0;
  #closed = false;

  constructor(options: MailRoomOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
    options.changes?.onChange((change) => this.#changed(change));
    options.changes?.onLost((waiting) => this.#lost(waiting));
  }

  /** Where messages are kept. */
  get store(): MailStore {
    return this.#options.store;
  }

  /** Learns what waits already, as soon as the database answers, and takes out what is over. */
  start(): void {
    void this.#learn();
    this.#pruner = setRepeating(
      this.#options.clock,
      MAIL_PRUNE_INTERVAL_MS,
      () => void this.prune(),
    );
  }

  /** Keeps a message; `done` is called once it is on disk, or will not be. */
  put(mail: NewMail, done: Unwritten["done"]): void {
    this.ledger.accept();
    const bytes = mail.data.length;
    if (
      this.#closed || this.#unwritten.length >= UNWRITTEN_MAX ||
      this.#unwrittenBytes + bytes > UNWRITTEN_BYTES_MAX
    ) {
      this.ledger.refuse(this.#closed ? "stopping" : "full");
      return done(this.#closed ? "failed" : "full");
    }
    this.#unwrittenBytes += bytes;
    this.#unwritten.push({ mail, done });
    this.#write();
  }

  /**
   * A client has come: what is in its mailbox goes to it, after {@linkcode MailRoom.begin}.
   *
   * @throws {StoreError} when the database does not answer.
   */
  async open(name: string, resume: MailResume): Promise<MailOpening> {
    const { store, clock, rng } = this.#options;
    const box = await store.open(name, 1 + nextInt(rng, 2 ** 31));
    const { epoch, lastSeq, takenSeq } = box;
    if (resume.epoch === 0) return { epoch, after: takenSeq, missing: 0, recovered: true };
    if (resume.epoch !== epoch || resume.after > lastSeq) {
      return { epoch, after: takenSeq, missing: 0, recovered: false };
    }
    const { after } = resume;
    // It has taken this, and that was not heard.
    if (after > takenSeq) this.#take(name, after);
    const left = await store.countAfter(name, after, clock.wallMs());
    const missing = Math.max(0, lastSeq - after - left);
    return { epoch, after, missing, recovered: missing === 0 };
  }

  /** Sends what is kept to a client, now and from now on, from behind a place. */
  begin(name: string, receiver: MailReceiver, after: number): void {
    this.end(name);
    const reader = new MailReader(name, receiver, after);
    this.#readers.set(name, reader);
    void this.#pump(reader);
  }

  /** A client is gone, if it is this one. */
  end(name: string, receiver?: MailReceiver): void {
    const reader = this.#readers.get(name);
    if (reader === undefined || (receiver !== undefined && reader.receiver !== receiver)) return;
    reader.closed = true;
    this.#readers.delete(name);
  }

  /** A client has everything up to a place. More than it was sent is not believed. */
  taken(name: string, seq: number): void {
    const reader = this.#readers.get(name);
    if (reader === undefined) return;
    const { untaken } = reader;
    const count = untaken.findLastIndex((one) => one <= seq) + 1;
    if (count === 0) return;
    this.#take(name, untaken.splice(0, count)[count - 1]);
    void this.#pump(reader);
  }

  /** Takes out what is over. Called now and then; never fails. */
  async prune(): Promise<void> {
    if (this.#pruning || this.#closed) return;
    this.#pruning = true;
    const { store, clock, idWindowMs } = this.#options;
    try {
      for (let round = 0; round < PRUNE_ROUNDS_MAX; round++) {
        const nowMs = clock.wallMs();
        const { expired, more } = await store.prune(nowMs, nowMs - idWindowMs);
        this.#countOwn(expired, () => this.ledger.expire());
        if (!more) break;
      }
      this.#waitingBytes = (await store.totals()).waitingBytes;
    } catch (error) {
      this.#failed("Old messages could not be taken out", error);
    } finally {
      this.#pruning = false;
    }
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    const { totalMessagesMax, totalBytesMax } = this.#options.limits;
    const { waiting } = this.ledger.counts;
    return {
      ...this.ledger.stats("mail"),
      mail_waiting_bytes: this.#waitingBytes,
      mail_share: Math.max(waiting / totalMessagesMax, this.#waitingBytes / totalBytesMax),
      mail_unwritten: this.#unwritten.length,
      mail_readers: this.#readers.size,
      mail_failures: this.#failureCount,
      mail_stores_lost: this.#lostCount,
    };
  }

  /** Writes what has been taken over; what the database does not take any more is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#pruner?.cancel();
    for (const reader of this.#readers.values()) reader.closed = true;
    await this.#writing;
  }

  #changed({ name, putCount, takenCount, expiredCount }: MailChange): void {
    for (let i = 0; i < putCount; i++) this.ledger.accept();
    for (let i = 0; i < takenCount; i++) this.ledger.deliver();
    for (let i = 0; i < expiredCount; i++) this.ledger.expire();
    const reader = putCount === 0 ? undefined : this.#readers.get(name);
    if (reader !== undefined) void this.#pump(reader);
  }

  /** Those who read their mailboxes open them again: places of before mean nothing any more. */
  #lost(waiting: number): void {
    this.#lostCount++;
    for (let i = 0; i < waiting; i++) this.ledger.refuse("lost");
    this.#takes.clear();
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    for (const reader of readers) {
      reader.closed = true;
      reader.receiver.mailboxLost();
    }
  }

  /** Before the first write, so that nothing is counted twice. Never fails. */
  async #learn(): Promise<void> {
    const { store, clock } = this.#options;
    const learning = (async () => {
      for (
        let pauseMs = RETRY_MIN_MS;
        !this.#closed;
        pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2)
      ) {
        try {
          const { waiting, waitingBytes } = await store.totals();
          this.#waitingBytes = waitingBytes;
          return this.ledger.adopt(waiting);
        } catch (error) {
          this.#failed("What is kept could not be counted", error);
          await sleep(clock, pauseMs);
        }
      }
    })();
    this.#writing = learning.finally(() => {
      this.#writing = undefined;
      this.#write();
    });
    await this.#writing;
  }

  #take(name: string, seq: number): void {
    if (seq <= 0) return;
    this.#takes.set(name, seq);
    this.#write();
  }

  /** One writer, so that everything is written in its order. */
  #write(): void {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async #writeAll(): Promise<void> {
    // What comes in this turn goes with it.
    await undefined;
    let pauseMs = RETRY_MIN_MS;
    while (this.#unwritten.length > 0 || this.#takes.size > 0) {
      try {
        await this.#writeBatch();
        await this.#writeTakes();
        pauseMs = RETRY_MIN_MS;
      } catch (error) {
        this.#failed("Messages could not be written", error);
        const isLost = !(error instanceof StoreError && error.transient);
        if (isLost || this.#closed) this.#giveUp();
        if (this.#closed) return;
        await sleep(this.#options.clock, pauseMs);
        pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2);
      }
    }
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#unwritten.slice(0, MAIL_PER_CALL_MAX);
    if (batch.length === 0) return;
    const { store, limits, rng } = this.#options;
    const epoch = 1 + nextInt(rng, 2 ** 31);
    // Harmless when it is said again: what was written is known by its id.
    const outcomes = await store.put(batch.map(({ mail }) => mail), limits, epoch);
    this.#unwritten.splice(0, batch.length);
    batch.forEach(({ mail, done }, index) => {
      const { kind } = outcomes[index];
      this.#unwrittenBytes -= mail.data.length;
      if (kind === "full") this.ledger.refuse("full");
      if (kind === "known") this.ledger.refuse("repeated");
      done(kind);
    });
    for (const name of new Set(batch.map(({ mail }) => mail.name))) {
      const reader = this.#readers.get(name);
      if (reader !== undefined) void this.#pump(reader);
    }
  }

  async #writeTakes(): Promise<void> {
    for (const [name, seq] of [...this.#takes]) {
      const count = await this.#options.store.take(name, seq);
      if (this.#takes.get(name) === seq) this.#takes.delete(name);
      this.#countOwn(count, () => this.ledger.deliver());
    }
  }

  /** Of a store that others change too, changes are told for all of them, own ones included. */
  #countOwn(count: number, one: () => void): void {
    if (this.#options.changes !== undefined) return;
    for (let i = 0; i < count; i++) one();
  }

  /** The database refuses for good, or there is no time left: senders are told. */
  #giveUp(): void {
    const count = this.#closed ? this.#unwritten.length : MAIL_PER_CALL_MAX;
    for (const { mail, done } of this.#unwritten.splice(0, count)) {
      this.#unwrittenBytes -= mail.data.length;
      this.ledger.refuse("failed");
      done("failed");
    }
    this.#takes.clear();
  }

  /** Reads on while the client takes what it is sent. Never fails. */
  async #pump(reader: MailReader): Promise<void> {
    reader.again = true;
    if (reader.reading) return;
    reader.reading = true;
    try {
      while (reader.again && !reader.closed && reader.untaken.length < UNTAKEN_MAX) {
        reader.again = false;
        await this.#readOn(reader);
      }
    } catch (error) {
      this.#failed("Messages could not be read", error);
      const { clock } = this.#options;
      clock.setTimer(RETRY_MAX_MS, () => reader.closed || this.#closed || void this.#pump(reader));
    } finally {
      reader.reading = false;
    }
  }

  async #readOn(reader: MailReader): Promise<void> {
    const { store, clock } = this.#options;
    const room = UNTAKEN_MAX - reader.untaken.length;
    const page = await store.read(reader.name, reader.cursor, room, clock.wallMs());
    const expired = await store.expire(reader.name, page.expired);
    this.#countOwn(expired, () => this.ledger.expire());
    for (const mail of page.mail) {
      if (reader.closed) return;
      reader.cursor = mail.seq;
      reader.untaken.push(mail.seq);
      if (!reader.receiver.takeMail(mail)) return;
    }
    const last = page.expired.at(-1) ?? 0;
    if (last > reader.cursor) reader.cursor = last;
    if (page.mail.length + page.expired.length >= room) reader.again = true;
  }

  #failed(what: string, error: unknown): void {
    this.#failureCount++;
    const held = this.#logLimiter.admit(what);
    if (held !== undefined) this.#options.log.warn(what, { error: messageOf(error), ...held });
  }
}
