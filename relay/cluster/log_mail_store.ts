// Core. Mailboxes in a log that relays share: each edit says what it was decided upon, so that all agree.
//
// Every relay follows the whole log and has an index of it, without the data. An edit is an entry that
// names the one before it in its mailbox; where another came between it is void, for all who read. So a
// message is kept once whatever becomes of acknowledgements, and an entry that the log stores late,
// after its time-out, is either the edit itself or void. The log itself needs to know nothing of this.

import {
  decodeRelayMailEntry,
  encodeRelayMailEntry,
  type RelayMailEntry,
} from "../../proto/codec.ts";
import { LarsError, messageOf, StoreError } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import {
  type Mail,
  type Mailbox,
  type MailLimits,
  type MailOutcome,
  type MailPage,
  type MailStore,
  type NewMail,
  type PrunedMail,
} from "../../sql/mail/mail_store.ts";
import { checkMail, checkMailName } from "../../sql/mail/mail_scripts.ts";
import { expireEdit, type MailEdit, putEdit, takeEdit } from "./mail_edits.ts";
import { EntryCache } from "./entry_cache.ts";
import { RareWarnings } from "./rare_warnings.ts";
import type { MailChange, MailChanges } from "../people/mail_room.ts";
import {
  checkMailKeys,
  type IndexedBox,
  type IndexedMail,
  type LogPlace,
  MailIndex,
  mailKey,
  senderAndId,
} from "./mail_index.ts";
import { LogFullError, type MailLog } from "./mail_log.ts";

/** An edit that has not been made by then fails, and may be tried again. */
export const EDIT_MS_MAX = 5_000;

/** An entry that was appended and not heard of by then means that the log is followed no more. */
const DEAF_MS = 2_000;

/** Pause before the log is looked for again, and how often that is nothing to tell. */
const RETRY_MS = 500;
const QUIET_TRIES = 4;

/** Entries that could not be removed and are tried again; a further one stays until a relay starts anew. */
const LEFT_OVER_MAX = 10_000;

/** Entries removed, and mailboxes looked at, by one call of `prune`. */
const PRUNE_MAX = 500;

/** What a {@linkcode LogMailStore} is given. */
export interface LogMailStoreOptions {
  readonly log: MailLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly rng: Rng;
  /** This relay in this life, never used again. */
  readonly relay: string;
}

/** What became of entries that nobody needs: gone, not to go yet, or the log did not answer. */
type Removal = "removed" | "later" | "failed";

/** Waits until everything up to an entry is known. */
interface Waiter {
  readonly seq: number;
  readonly resolve: () => void;
}

/** A {@linkcode MailStore} that several relays have in common. */
export class LogMailStore implements MailStore, MailChanges {
  readonly #options: LogMailStoreOptions;
  /** Another one once the log was made anew. */
  #index: MailIndex;
  readonly #cache = new EntryCache();
  /** Own messages that are kept, of which whoever put them has not heard yet. */
  readonly #unclaimed = new Set<string>();
  /** What the attempts of edits that are under way have done. */
  readonly #tallies = new Map<string, { ended: number }>();
  readonly #waiters = new Set<Waiter>();
  readonly #warnings: RareWarnings;
  #epoch = 0;
  #attempts = 0;
  #hear: ((change: MailChange) => void) | undefined;
  #hearLost: ((waiting: number) => void) | undefined;
  /** Changes are told: what was before them has been counted. */
  #isTelling = false;
  /** Entries that were found to be of no use while the log was read for the first time. */
  #leftOver: LogPlace[] = [];
  #unfollow: (() => void) | undefined;
  /** Kept once the log has been read to its end. */
  #open = Promise.withResolvers<void>();
  #isOpen = false;
  #closed = false;

  constructor(options: LogMailStoreOptions) {
    this.#options = options;
    this.#index = new MailIndex(options.rng);
    this.#warnings = new RareWarnings(options.clock, options.logger);
  }

  onChange(hear: (change: MailChange) => void): void {
    this.#hear = hear;
  }

  onLost(hear: (waiting: number) => void): void {
    this.#hearLost = hear;
  }

  /** Reads the log to its end and follows it from then on; tries until it succeeds. Never fails. */
  async start(): Promise<void> {
    const { log, clock } = this.#options;
    const index = this.#index;
    for (let tries = 1; !this.#closed && index === this.#index; tries++) {
      try {
        const { epoch, last } = await log.span();
        this.#epoch = epoch;
        this.#follow();
        await this.#reach(last, Infinity);
        this.#warnings.clear();
        this.#isOpen = true;
        return this.#open.resolve();
      } catch (error) {
        // The servers may just not be connected to yet.
        if (tries >= QUIET_TRIES) this.#warn("The log of messages could not be read", error);
        await sleep(clock, RETRY_MS);
      }
    }
  }

  /** Follows the log no more. */
  close(): void {
    this.#closed = true;
    this.#unfollow?.();
    this.#open.resolve();
    for (const { resolve } of this.#waiters) resolve();
    this.#waiters.clear();
  }

  async put(mail: readonly NewMail[], limits: MailLimits): Promise<MailOutcome[]> {
    checkMail(mail);
    const byName = Map.groupBy(mail, ({ name }) => name);
    const full = new Set<NewMail>();
    const edits = [...byName].map(async ([name, own]) => {
      try {
        await this.#edit(name, (index) => putEdit(index, name, own, limits, full));
      } catch (error) {
        if (!(error instanceof LogFullError)) throw error;
        const box = this.#index.box(name);
        for (const one of own) {
          if (this.#index.placeOf(box, mailKey(one)) === undefined) full.add(one);
        }
      }
    });
    // All of them have an end, so that none goes on beside a further try.
    const failed = (await Promise.allSettled(edits)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return mail.map((one): MailOutcome => {
      if (full.has(one)) return { kind: "full" };
      const key = mailKey(one);
      if (!this.#unclaimed.delete(`${one.name} ${key}`)) return { kind: "known" };
      const place = this.#index.placeOf(this.#index.box(one.name), key) ?? 0;
      return { kind: "stored", seq: Math.abs(place) };
    });
  }

  async open(name: string): Promise<Mailbox> {
    checkMailName("Name of a mailbox", name);
    await this.#untilOpen();
    await this.#freshen(name);
    return this.#boxOf(this.#index.box(name));
  }

  async read(name: string, afterSeq: number, limit: number, nowMs: number): Promise<MailPage> {
    await this.#untilOpen();
    const mail: Mail[] = [];
    const expired: number[] = [];
    const found: IndexedMail[] = [];
    for (const one of this.#index.waitingOf(this.#index.box(name), afterSeq)) {
      if (found.length >= limit) break;
      found.push(one);
    }
    for (const one of found) {
      if (one.expiresAtMs <= nowMs) {
        expired.push(one.seq);
        continue;
      }
      const data = await this.#dataOf(name, one);
      if (data === undefined) continue;
      const { seq, sentAtMs, expiresAtMs } = one;
      mail.push({ name, seq, ...senderAndId(one), sentAtMs, expiresAtMs, data });
    }
    return { mail, expired };
  }

  async countAfter(name: string, afterSeq: number, nowMs: number): Promise<number> {
    await this.#untilOpen();
    return this.#index.countAfter(this.#index.box(name), afterSeq, nowMs);
  }

  async take(name: string, seq: number): Promise<number> {
    return await this.#endSome(name, (index) => takeEdit(index, name, seq));
  }

  async expire(name: string, seqs: readonly number[]): Promise<number> {
    if (seqs.length === 0) return 0;
    const places = new Set(seqs);
    return await this.#endSome(name, (index) => expireEdit(index, name, places));
  }

  async prune(nowMs: number, idsBeforeMs: number): Promise<PrunedMail> {
    await this.#untilOpen();
    if (!await this.#isSameLog()) return { expired: 0, more: false };
    let count = 0;
    for (const box of [...this.#index.waitingBoxes]) {
      const places = this.#index.expiredOf(box, nowMs);
      if (places.length === 0) continue;
      count += await this.expire(box.name, places);
      if (count >= PRUNE_MAX) return { expired: count, more: true };
    }
    this.#index.forgetIds(idsBeforeMs);
    const old = this.#index.takeOldEnds(idsBeforeMs, PRUNE_MAX);
    const leftOver = this.#leftOver.splice(0, PRUNE_MAX);
    let isAnswering = true;
    for (const box of [...this.#index.voidBoxes]) {
      if (isAnswering) isAnswering = await this.#removeVoids(box) !== "failed";
    }
    if (isAnswering) isAnswering = await this.#removeAll([...leftOver, ...old]);
    else this.#keepLeftOver([...leftOver, ...old]);
    const isMany = old.length >= PRUNE_MAX || leftOver.length === PRUNE_MAX;
    return { expired: count, more: isAnswering && isMany };
  }

  async totals(): Promise<{ readonly waiting: number; readonly waitingBytes: number }> {
    await this.#untilOpen();
    this.#isTelling = true;
    return this.#index.totals;
  }

  async list(limit: number): Promise<{ boxes: Mailbox[]; oldestSentAtMs: number | undefined }> {
    await this.#untilOpen();
    let oldest: number | undefined;
    for (const box of this.#index.waitingBoxes) {
      for (const { sentAtMs } of this.#index.waitingOf(box)) {
        if (oldest === undefined || sentAtMs < oldest) oldest = sentAtMs;
        break;
      }
    }
    const all = [...this.#index.boxes].sort((a, b) =>
      b.waiting - a.waiting || (a.name < b.name ? -1 : 1)
    );
    return {
      boxes: all.slice(0, limit).map((box) => this.#boxOf(box)),
      oldestSentAtMs: oldest,
    };
  }

  #boxOf({ name, lastSeq, takenSeq, waiting, waitingBytes }: IndexedBox): Mailbox {
    return { name, epoch: this.#epoch, lastSeq, takenSeq, waiting, waitingBytes };
  }

  /** An edit that puts nothing: it is never refused for want of room, but has to wait for some. */
  async #endSome(
    name: string,
    make: (index: MailIndex) => MailEdit | undefined,
  ): Promise<number> {
    try {
      return await this.#edit(name, make);
    } catch (error) {
      if (!(error instanceof LogFullError)) throw error;
      throw storeError(`Mailbox ${name} could not be changed`, error);
    }
  }

  /**
   * Appends what `make` makes of a mailbox until it makes nothing more.
   *
   * @returns how many messages that waited were ended by it.
   * @throws {StoreError} when that was not done within {@linkcode EDIT_MS_MAX}.
   */
  async #edit(
    name: string,
    make: (index: MailIndex) => MailEdit | undefined,
  ): Promise<number> {
    await this.#untilOpen();
    const tally = { ended: 0 };
    const writers: string[] = [];
    try {
      await this.#tryEdit(name, make, () => {
        const writer = `${this.#options.relay}-${++this.#attempts}`;
        writers.push(writer);
        this.#tallies.set(writer, tally);
        return writer;
      });
    } finally {
      for (const writer of writers) this.#tallies.delete(writer);
    }
    return tally.ended;
  }

  async #tryEdit(
    name: string,
    make: (index: MailIndex) => MailEdit | undefined,
    newWriter: () => string,
  ): Promise<void> {
    const { log, clock } = this.#options;
    const endMs = clock.nowMs() + EDIT_MS_MAX;
    for (;;) {
      const index = this.#index;
      const entry = make(index);
      if (entry === undefined) return;
      const more = { writer: newWriter(), after: index.box(name).headSeq };
      const body = encodeRelayMailEntry({ ...entry, ...more });
      const known = index.appliedSeq;
      try {
        // Others may be faster again and again.
        if (clock.nowMs() >= endMs) {
          throw new StoreError("Other relays change it all the time", true);
        }
        const seq = await log.append(name, body);
        // Else it would count as heard of, though nobody reads it, and be appended again for ever.
        if (seq <= known) throw this.#renew(index);
        await this.#reach(seq, endMs);
      } catch (error) {
        if (error instanceof LogFullError) throw error;
        if (this.#closed || clock.nowMs() >= endMs) {
          throw storeError(`Mailbox ${name} could not be changed`, error);
        }
        // It may have been appended all the same, or will be: only the log knows.
        await sleep(clock, RETRY_MS);
        await this.#freshen(name);
      }
    }
  }

  /** Finds out that nothing is heard of the log any more, or that it is another one. */
  async #isSameLog(): Promise<boolean> {
    const index = this.#index;
    const { epoch, last } = await this.#options.log.span();
    if (epoch !== this.#epoch) this.#renew(index);
    if (index !== this.#index) return false;
    await this.#reach(last, this.#options.clock.nowMs() + EDIT_MS_MAX);
    return true;
  }

  /** What the log held is lost: it is read from its beginning, and mailboxes begin anew. */
  #renew(before: MailIndex): StoreError {
    const what = "The log of messages was made anew: what waited in it is lost";
    // Of several edits under way the first has seen to it.
    if (before === this.#index) {
      const { waiting } = before.totals;
      this.#options.logger.error(what, { messages: waiting, mailboxes: before.boxCount });
      this.#index = new MailIndex(this.#options.rng);
      this.#cache.clear();
      this.#leftOver = [];
      // Who waits already goes on waiting.
      if (this.#isOpen) this.#open = Promise.withResolvers();
      this.#isOpen = false;
      if (this.#isTelling) this.#hearLost?.(waiting);
      for (const { resolve } of this.#waiters) resolve();
      this.#waiters.clear();
      void this.start();
    }
    return new StoreError(what, true);
  }

  /** Reads on until everything of a mailbox is known that was appended before this call. */
  async #freshen(name: string): Promise<void> {
    const { log, clock } = this.#options;
    await this.#reach(await log.lastOf(name), clock.nowMs() + EDIT_MS_MAX);
  }

  /** @throws {StoreError} when the log could not be read up to there in time. */
  async #reach(seq: number, endMs: number): Promise<void> {
    const { clock } = this.#options;
    const index = this.#index;
    while (index.appliedSeq < seq) {
      if (this.#closed) throw new StoreError("The relay stops", false);
      if (index !== this.#index) throw this.#renew(index);
      const before = index.appliedSeq;
      const isReached = await new Promise<boolean>((resolve) => {
        const timer = clock.setTimer(DEAF_MS, () => {
          this.#waiters.delete(waiter);
          resolve(false);
        });
        const waiter = {
          seq,
          resolve: (): void => {
            timer.cancel();
            resolve(true);
          },
        };
        this.#waiters.add(waiter);
      });
      if (isReached) continue;
      if (clock.nowMs() >= endMs) throw new StoreError("The log of messages is silent", true);
      // A long log is not read within this time.
      if (index.appliedSeq === before) this.#follow();
    }
  }

  async #untilOpen(): Promise<void> {
    await this.#open.promise;
    if (this.#closed) throw new StoreError("The relay stops", false);
  }

  #follow(): void {
    this.#unfollow?.();
    const index = this.#index;
    const from = { epoch: this.#epoch, after: index.appliedSeq };
    this.#unfollow = this.#options.log.follow(from, {
      onEntry: (seq, body) => {
        if (index === this.#index) this.#apply(seq, body);
      },
      onAnew: () => void this.#renew(index),
    });
  }

  #apply(seq: number, body: Uint8Array): void {
    let entry: RelayMailEntry;
    try {
      entry = decodeRelayMailEntry(body);
      checkMailKeys(entry);
    } catch (error) {
      // Nobody who follows the rules writes such: passing it over harms no mailbox.
      this.#warn("An entry of the log of messages cannot be read", `${seq}: ${messageOf(error)}`);
      this.#index.skipTo(seq);
      return this.#wake();
    }
    const change = this.#index.apply(seq, entry);
    if (change === undefined) return;
    const { name, writer, put, takenCount, expiredCount, isVoid } = change;
    const isOwn = writer.startsWith(`${this.#options.relay}-`);
    // Of a log that is read from its beginning most is read much later, if at all.
    if (this.#isOpen && put.length > 0) this.#cache.keep(seq, entry.puts);
    const tally = this.#tallies.get(writer);
    if (tally !== undefined) tally.ended += takenCount + expiredCount;
    if (isOwn) { for (const key of put) this.#unclaimed.add(`${name} ${key}`); }
    const spent = change.spent.map((one) => ({ name, seq: one }));
    for (const one of change.spent) this.#cache.drop(one);
    if (isOwn) void this.#removeAll(spent);
    else if (!this.#isTelling) this.#leftOver.push(...spent);
    if (this.#isTelling && !isVoid) {
      this.#hear?.({ name, putCount: isOwn ? 0 : put.length, takenCount, expiredCount });
    }
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (waiter.seq > this.#index.appliedSeq) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** Undefined: it is not in the log any more, or something else is there. */
  async #dataOf(
    name: string,
    { entrySeq, at, seq, key }: IndexedMail,
  ): Promise<Uint8Array | undefined> {
    const known = this.#cache.get(entrySeq);
    if (known !== undefined) return known[at]?.data;
    const { log } = this.#options;
    const body = await log.get(entrySeq) ?? await this.#getAgain(entrySeq);
    if (body !== undefined) {
      const { name: owner, puts } = decodeRelayMailEntry(body);
      if (owner === name && puts[at] !== undefined && mailKey(puts[at]) === key) {
        this.#cache.keep(entrySeq, puts);
        return puts[at].data;
      }
      // Of another log it would be given to the wrong one.
      if (!await this.#isSameLog()) throw new StoreError("The log is another one", true);
    }
    // Else somebody has taken it, and this relay has not heard of it yet.
    if (this.#index.hasAt(this.#index.box(name), seq)) {
      this.#warn("A message is not in the log any more", `${seq} of ${name}, entry ${entrySeq}`);
    }
    return undefined;
  }

  /**
   * Of a log whose servers change a server may answer that has stood still, and does not know what the
   * others have: what it misses is not gone.
   *
   * @throws {StoreError} when it does not know of this entry yet.
   */
  async #getAgain(entrySeq: number): Promise<Uint8Array | undefined> {
    const { log } = this.#options;
    const { epoch, last } = await log.span();
    if (epoch === this.#epoch && last < entrySeq) {
      throw new StoreError(`The log is read where it ends at ${last}, before ${entrySeq}`, true);
    }
    return await log.get(entrySeq);
  }

  /**
   * What cannot be removed now is tried again later. Never fails.
   *
   * @returns false when the log did not answer: the rest was not even tried.
   */
  async #removeAll(places: readonly LogPlace[]): Promise<boolean> {
    for (const [index, place] of places.entries()) {
      const box = this.#index.box(place.name);
      const isFirst = place.behind?.some((seq) => box.spent?.has(seq)) !== true;
      let outcome = isFirst ? await this.#removeVoids(box) : "later";
      if (outcome === "removed") outcome = await this.#remove(place.seq);
      if (outcome === "removed") box.spent?.delete(place.seq);
      if (outcome === "later") this.#keepLeftOver([place]);
      if (outcome === "failed") {
        this.#keepLeftOver(places.slice(index));
        return false;
      }
    }
    return true;
  }

  #keepLeftOver(places: readonly LogPlace[]): void {
    this.#leftOver.push(...places.slice(0, Math.max(0, LEFT_OVER_MAX - this.#leftOver.length)));
  }

  /** Never fails. */
  async #removeVoids(box: IndexedBox): Promise<Removal> {
    const voids = [...box.voids];
    for (const seq of voids) {
      // The newest of all stays: by it one who starts knows that there is nothing further to read.
      if (seq >= this.#index.appliedSeq) return "later";
      if (await this.#remove(seq) === "failed") return "failed";
      box.voids = box.voids.filter((one) => one !== seq);
    }
    if (box.voids.length === 0) this.#index.voidBoxes.delete(box);
    return "removed";
  }

  async #remove(seq: number): Promise<"removed" | "failed"> {
    try {
      await this.#options.log.remove(seq);
      return "removed";
    } catch (error) {
      this.#warn("Entries of the log of messages could not be removed", error);
      return "failed";
    }
  }

  #warn(what: string, error: unknown): void {
    this.#warnings.warn(what, error);
  }
}

function storeError(what: string, error: unknown): StoreError {
  const isFinal = error instanceof StoreError && !error.transient;
  const reason = error instanceof LarsError ? error.message : messageOf(error);
  return new StoreError(`${what}: ${reason}`, !isFinal, { cause: error });
}
