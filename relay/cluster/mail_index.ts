// Core. What the shared log says of mailboxes: what waits in each, which ids are known, what may go.

import type { RelayMailEnd, RelayMailEntry } from "../../proto/codec.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { MAIL_NAME_LENGTH_MAX } from "../../sql/mail/mail_store.ts";
import { MailTable, NO_SLOT, SlotList, type TableMail } from "./mail_table.ts";

/** Ids of messages that are in no mailbox any more; the one that ended first is forgotten. */
export const ENDED_IDS_MAX = 1_000_000;

/** A message that waits, without its data. */
export interface IndexedMail extends TableMail {
  /** As {@linkcode mailKey} makes it: one text in place of three. */
  readonly key: string;
}

/** What one entry has changed. */
export interface IndexChange {
  readonly name: string;
  readonly writer: string;
  /** Ids of messages that wait from now on. */
  readonly put: readonly string[];
  readonly takenCount: number;
  readonly expiredCount: number;
  /** Entries that nobody needs any more. */
  readonly spent: readonly number[];
  /** It was decided upon something old, and has changed nothing. */
  readonly isVoid: boolean;
}

/** By what a message is known: whose it is, and its id. */
export function mailKey({ sender, id }: { readonly sender: string; readonly id: string }): string {
  return `${sender} ${id}`;
}

/** Whose a message is, and its id, from its key: neither holds a space. */
export function senderAndId({ key }: IndexedMail): { sender: string; id: string } {
  const space = key.indexOf(" ");
  return { sender: key.slice(0, space), id: key.slice(space + 1) };
}

/** @throws {ProtocolError} when a message has a longer key than any that is sent. */
export function checkMailKeys({ puts, ends }: RelayMailEntry): void {
  for (const { sender, id } of [...puts, ...ends]) {
    const length = Math.max(sender.length, id.length);
    if (length <= MAIL_NAME_LENGTH_MAX) continue;
    throw new ProtocolError(
      `Sender and id must be at most ${MAIL_NAME_LENGTH_MAX} characters: one has ${length}`,
    );
  }
}

/** An entry that may leave the log. */
export interface LogPlace {
  /** Whose it is. */
  readonly name: string;
  readonly seq: number;
  /** Entries that must have left before: it says that what they hold has ended. @default {none} */
  readonly behind?: readonly number[];
}

/** An entry that only says what ended. */
interface EndEntry {
  readonly seq: number;
  readonly newestSentAtMs: number;
  /** Entries of the messages that it ended. */
  readonly of: readonly number[];
}

/** One mailbox. There may be a million: what most of them do not have is made when it is needed. */
export class IndexedBox {
  lastSeq = 0;
  takenSeq = 0;
  /** Its newest entry in the log; 0: none. */
  headSeq = 0;
  waitingBytes = 0;
  /** A message may be over at this time, none before. */
  nextExpiryMs = Infinity;
  /** Slots of messages that wait, in order of their places. */
  readonly list = new SlotList();
  endEntries: EndEntry[] = [];
  /** Entries of which nothing waits and that may still be in the log, whoever is to take them out. */
  spent: Set<number> | undefined;
  /** Entries that are void. They must leave the log before any other, which shows that they are. */
  voids: number[] = [];

  /** `number`: among all mailboxes; -1: it is not kept. */
  constructor(readonly name: string, readonly number: number) {}

  /** Messages that wait. */
  get waiting(): number {
    return this.list.size;
  }
}

/** Made from the entries of the log in their order; the same entries make the same index. */
export class MailIndex {
  readonly #boxes = new Map<string, IndexedBox>();
  readonly #waitingBoxes = new Set<IndexedBox>();
  readonly #voidBoxes = new Set<IndexedBox>();
  readonly #table: MailTable;
  /** Slots of messages that ended and whose ids are known still, in the order of their end. */
  readonly #ended = new SlotList();
  #waiting = 0;
  #waitingBytes = 0;
  #appliedSeq = 0;

  constructor(rng: Rng) {
    this.#table = new MailTable(rng);
  }

  /** Everything up to this entry is in it. */
  get appliedSeq(): number {
    return this.#appliedSeq;
  }

  /** Mailboxes that there are. */
  get boxCount(): number {
    return this.#boxes.size;
  }

  /** Messages that wait, and their bytes. */
  get totals(): { readonly waiting: number; readonly waitingBytes: number } {
    return { waiting: this.#waiting, waitingBytes: this.#waitingBytes };
  }

  /** All mailboxes. */
  get boxes(): Iterable<IndexedBox> {
    return this.#boxes.values();
  }

  /** Those in which something waits. */
  get waitingBoxes(): ReadonlySet<IndexedBox> {
    return this.#waitingBoxes;
  }

  /** Those with entries that are void; whoever has removed these takes them out. */
  get voidBoxes(): Set<IndexedBox> {
    return this.#voidBoxes;
  }

  /** A mailbox; an empty one, not kept, when there is none. */
  box(name: string): IndexedBox {
    return this.#boxes.get(name) ?? new IndexedBox(name, -1);
  }

  /** Place of a message that waits, by key; of one that ended the same below zero; undefined: unknown. */
  placeOf({ number }: IndexedBox, key: string): number | undefined {
    const slot = this.#table.find(number, key);
    if (slot === NO_SLOT) return undefined;
    return this.#isEnded(slot) ? -this.#table.seqOf(slot) : this.#table.seqOf(slot);
  }

  /** Messages of a mailbox that wait, in order of their places, from the one behind `afterSeq` on. */
  *waitingOf({ list }: IndexedBox, afterSeq = 0): Generator<IndexedMail> {
    for (const slot of this.#slotsOf(list)) {
      if (this.#table.seqOf(slot) > afterSeq) yield this.#mailAt(slot);
    }
  }

  /** Those of them that have one of these places. */
  *waitingAt({ list }: IndexedBox, places: ReadonlySet<number>): Generator<IndexedMail> {
    let newest = 0;
    for (const place of places) newest = Math.max(newest, place);
    for (const slot of this.#slotsOf(list)) {
      const place = this.#table.seqOf(slot);
      // Those that expire mostly are the oldest: what is behind them need not be looked at.
      if (place > newest) return;
      if (places.has(place)) yield this.#mailAt(slot);
    }
  }

  /** True when the message of a place waits. */
  hasAt(box: IndexedBox, place: number): boolean {
    return this.#slotAt(box, place, NO_SLOT) !== NO_SLOT;
  }

  /** How many of them are behind `afterSeq` and not over. */
  countAfter({ list }: IndexedBox, afterSeq: number, nowMs: number): number {
    const table = this.#table;
    let count = 0;
    for (const slot of this.#slotsOf(list)) {
      if (table.seqOf(slot) > afterSeq && table.expiresAtMsOf(slot) > nowMs) count++;
    }
    return count;
  }

  /** Nothing new up to here: entries that were removed leave gaps. */
  skipTo(seq: number): void {
    if (seq > this.#appliedSeq) this.#appliedSeq = seq;
  }

  /** Adds an entry; undefined: it is in it already. */
  apply(seq: number, entry: RelayMailEntry): IndexChange | undefined {
    if (seq <= this.#appliedSeq) return undefined;
    this.#appliedSeq = seq;
    const { name, writer, last, taken, puts, ends, after } = entry;
    const box = this.#boxes.get(name) ?? new IndexedBox(name, this.#boxes.size);
    this.#boxes.set(name, box);
    // Entries between may have been removed, so what it names may be newer than what is known.
    if (after < box.headSeq) {
      box.voids.push(seq);
      this.#voidBoxes.add(box);
      return { name, writer, put: [], takenCount: 0, expiredCount: 0, spent: [], isVoid: true };
    }
    const put = puts.map((one, at) => {
      const { sentAtMs, expiresAtMs, data: { length: bytes } } = one;
      const place = last - puts.length + 1 + at;
      const key = mailKey(one);
      this.#add(box, { seq: place, key, sentAtMs, expiresAtMs, bytes, entrySeq: seq, at });
      return key;
    });
    let takenCount = 0;
    let expiredCount = 0;
    const spent: number[] = [];
    const of = new Set<number>();
    for (const end of ends) {
      const ended = this.#end(box, end, spent);
      if (ended === 0) continue;
      of.add(ended);
      if (end.expired) expiredCount++;
      else takenCount++;
    }
    if (puts.length === 0) {
      const newestSentAtMs = ends.reduce((newest, { sentAtMs }) => Math.max(newest, sentAtMs), 0);
      box.endEntries.push({ seq, newestSentAtMs, of: [...of] });
    }
    box.lastSeq = Math.max(box.lastSeq, last);
    box.takenSeq = Math.max(box.takenSeq, taken);
    box.headSeq = seq;
    if (box.waiting > 0) this.#waitingBoxes.add(box);
    else this.#waitingBoxes.delete(box);
    return { name, writer, put, takenCount, expiredCount, spent, isVoid: false };
  }

  /** Forgets the ids of messages that have ended and were sent before this. */
  forgetIds(sentBeforeMs: number): void {
    const ended = this.#ended;
    for (let slot = ended.first; slot !== NO_SLOT; slot = ended.first) {
      const isTooMany = ended.size > ENDED_IDS_MAX;
      if (this.#table.sentAtMsOf(slot) >= sentBeforeMs && !isTooMany) return;
      this.#table.unlink(ended, slot);
      this.#table.remove(slot);
    }
  }

  /**
   * Entries whose ids need not be known any more, some `limit`, oldest first of each mailbox, and
   * before each those that must leave first. The newest entry of a mailbox is none of them, because it
   * says where the mailbox stands.
   */
  takeOldEnds(sentBeforeMs: number, limit: number): LogPlace[] {
    const places: LogPlace[] = [];
    for (const { name, endEntries, headSeq, list, spent } of this.#boxes.values()) {
      // What they end must be gone before they are, or it would wait again in the next life.
      const oldestLeft = list.size === 0 ? Infinity : this.#table.entrySeqOf(list.first);
      const isOld = ({ seq, newestSentAtMs }: EndEntry): boolean =>
        newestSentAtMs < sentBeforeMs && seq < oldestLeft && seq !== headSeq;
      while (endEntries.length > 0 && isOld(endEntries[0])) {
        if (places.length >= limit) return places;
        const { seq, of } = endEntries[0];
        // Who ended it may have died before it was out.
        const behind = of.filter((one) => spent?.has(one) === true);
        places.push(...behind.map((one) => ({ name, seq: one })), { name, seq, behind });
        endEntries.shift();
      }
    }
    return places;
  }

  /** Places of messages of a mailbox whose time is over. */
  expiredOf(box: IndexedBox, nowMs: number): number[] {
    if (box.nextExpiryMs > nowMs) return [];
    const places: number[] = [];
    let nextMs = Infinity;
    for (const slot of this.#slotsOf(box.list)) {
      const expiresAtMs = this.#table.expiresAtMsOf(slot);
      if (expiresAtMs <= nowMs) places.push(this.#table.seqOf(slot));
      else nextMs = Math.min(nextMs, expiresAtMs);
    }
    if (places.length === 0) box.nextExpiryMs = nextMs;
    return places;
  }

  *#slotsOf(list: SlotList): Generator<number> {
    for (let slot = list.first; slot !== NO_SLOT; slot = this.#table.nextOf(slot)) yield slot;
  }

  #mailAt(slot: number): IndexedMail {
    return { ...this.#table.mailOf(slot), key: this.#table.keyOf(slot) };
  }

  #isEnded(slot: number): boolean {
    return this.#table.entrySeqOf(slot) === 0;
  }

  #add(box: IndexedBox, mail: IndexedMail): void {
    const table = this.#table;
    const known = table.find(box.number, mail.key);
    if (known !== NO_SLOT) {
      // Sent again by who had forgotten its id.
      table.hide(known);
      if (this.#isEnded(known)) {
        table.unlink(this.#ended, known);
        table.remove(known);
      }
    }
    table.append(box.list, table.add(box.number, mail.key, mail));
    box.nextExpiryMs = Math.min(box.nextExpiryMs, mail.expiresAtMs);
    this.#count(box, 1, mail.bytes);
  }

  /** @returns the entry of what ended; 0: it does not wait, because its entry is removed already. */
  #end(box: IndexedBox, end: RelayMailEnd, spent: number[]): number {
    const table = this.#table;
    const key = mailKey(end);
    const known = table.find(box.number, key);
    const slot = this.#slotAt(box, end.seq, known);
    const entrySeq = slot === NO_SLOT ? 0 : table.entrySeqOf(slot);
    if (slot !== NO_SLOT) {
      if (!this.#hasOthers(slot)) {
        spent.push(entrySeq);
        box.spent ??= new Set();
        box.spent.add(entrySeq);
      }
      table.unlink(box.list, slot);
      this.#count(box, -1, -table.bytesOf(slot));
      if (slot !== known) table.remove(slot);
    }
    if (slot !== NO_SLOT && slot === known) {
      table.setEnded(slot, end.sentAtMs);
      table.append(this.#ended, slot);
    } else if (known === NO_SLOT) {
      const { seq, sentAtMs } = end;
      const mail = { seq, sentAtMs, expiresAtMs: 0, bytes: 0, entrySeq: 0, at: 0 };
      table.append(this.#ended, table.add(box.number, key, mail));
    }
    return entrySeq;
  }

  /** Of the message that waits at a place, which most probably is `known`. */
  #slotAt({ list }: IndexedBox, place: number, known: number): number {
    const table = this.#table;
    if (known !== NO_SLOT && table.seqOf(known) === place && !this.#isEnded(known)) return known;
    if (list.size === 0) return NO_SLOT;
    if (place < table.seqOf(list.first) || place > table.seqOf(list.last)) return NO_SLOT;
    for (const slot of this.#slotsOf(list)) if (table.seqOf(slot) === place) return slot;
    return NO_SLOT;
  }

  /** True when something else waits of its entry: what one entry has put is side by side. */
  #hasOthers(slot: number): boolean {
    const table = this.#table;
    const entrySeq = table.entrySeqOf(slot);
    return [table.previousOf(slot), table.nextOf(slot)].some((other) =>
      other !== NO_SLOT && table.entrySeqOf(other) === entrySeq
    );
  }

  #count(box: IndexedBox, count: number, bytes: number): void {
    box.waitingBytes += bytes;
    this.#waiting += count;
    this.#waitingBytes += bytes;
  }
}
