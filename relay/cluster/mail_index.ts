// Core. What the shared log says of mailboxes: what waits in each, which ids are known, what may go.

import type { RelayMailEntry } from "../../proto/codec.ts";

/** Ids of messages that are in no mailbox any more; the one that ended first is forgotten. */
export const ENDED_IDS_MAX = 1_000_000;

/** A message that waits, without its data. There may be a million: see {@linkcode senderAndId}. */
export interface IndexedMail {
  readonly seq: number;
  /** As {@linkcode mailKey} makes it: one text in place of three. */
  readonly key: string;
  readonly sentAtMs: number;
  readonly expiresAtMs: number;
  readonly bytes: number;
  /** Where its data is: entry of the log, and place in that. */
  readonly entrySeq: number;
  readonly at: number;
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

/** One mailbox. */
export class IndexedBox {
  lastSeq = 0;
  takenSeq = 0;
  /** Its newest entry in the log; 0: none. */
  headSeq = 0;
  waitingBytes = 0;
  /** A message may be over at this time, none before. */
  nextExpiryMs = Infinity;
  /** In order of their places. */
  readonly waiting = new Map<number, IndexedMail>();
  /** Place of a message that waits by key; of one that ended the same below zero. */
  readonly ids = new Map<string, number>();
  /** Messages that wait of each entry that had several; of any other that has any it is one. */
  readonly left = new Map<number, number>();
  readonly endEntries: EndEntry[] = [];
  /** Entries of which nothing waits and that may still be in the log, whoever is to take them out. */
  readonly spent = new Set<number>();
  /** Entries that are void. They must leave the log before any other, which shows that they are. */
  voids: number[] = [];

  constructor(readonly name: string) {}
}

interface EndedId {
  readonly box: IndexedBox;
  readonly key: string;
  readonly place: number;
  readonly sentAtMs: number;
}

/** Made from the entries of the log in their order; the same entries make the same index. */
export class MailIndex {
  readonly #boxes = new Map<string, IndexedBox>();
  readonly #waitingBoxes = new Set<IndexedBox>();
  readonly #voidBoxes = new Set<IndexedBox>();
  #ended: EndedId[] = [];
  /** Of these, how many at the front are forgotten. */
  #forgotten = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #appliedSeq = 0;

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
    return this.#boxes.get(name) ?? new IndexedBox(name);
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
    const box = this.#boxes.get(name) ?? new IndexedBox(name);
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
    if (puts.length > 1) box.left.set(seq, puts.length);
    let takenCount = 0;
    let expiredCount = 0;
    const spent: number[] = [];
    const of = new Set<number>();
    for (const end of ends) {
      const ended = this.#end(box, end.seq, spent);
      if (ended !== undefined) of.add(ended.entrySeq);
      if (ended !== undefined && end.expired) expiredCount++;
      else if (ended !== undefined) takenCount++;
      this.#remember(box, mailKey(end), end.seq, end.sentAtMs);
    }
    if (puts.length === 0) {
      const newestSentAtMs = ends.reduce((newest, { sentAtMs }) => Math.max(newest, sentAtMs), 0);
      box.endEntries.push({ seq, newestSentAtMs, of: [...of] });
    }
    box.lastSeq = Math.max(box.lastSeq, last);
    box.takenSeq = Math.max(box.takenSeq, taken);
    box.headSeq = seq;
    if (box.waiting.size > 0) this.#waitingBoxes.add(box);
    else this.#waitingBoxes.delete(box);
    return { name, writer, put, takenCount, expiredCount, spent, isVoid: false };
  }

  /** Forgets the ids of messages that have ended and were sent before this. */
  forgetIds(sentBeforeMs: number): void {
    for (; this.#forgotten < this.#ended.length; this.#forgotten++) {
      const { box, key, place, sentAtMs } = this.#ended[this.#forgotten];
      const isTooMany = this.#ended.length - this.#forgotten > ENDED_IDS_MAX;
      if (sentAtMs >= sentBeforeMs && !isTooMany) break;
      if (box.ids.get(key) === -place) box.ids.delete(key);
    }
    if (this.#forgotten * 2 <= this.#ended.length) return;
    this.#ended = this.#ended.slice(this.#forgotten);
    this.#forgotten = 0;
  }

  /**
   * Entries whose ids need not be known any more, some `limit`, oldest first of each mailbox, and
   * before each those that must leave first. The newest entry of a mailbox is none of them, because it
   * says where the mailbox stands.
   */
  takeOldEnds(sentBeforeMs: number, limit: number): LogPlace[] {
    const places: LogPlace[] = [];
    for (const { name, endEntries, headSeq, waiting, spent } of this.#boxes.values()) {
      // What they end must be gone before they are, or it would wait again in the next life.
      const [oldest] = waiting.values();
      const oldestLeft = oldest?.entrySeq ?? Infinity;
      const isOld = ({ seq, newestSentAtMs }: EndEntry): boolean =>
        newestSentAtMs < sentBeforeMs && seq < oldestLeft && seq !== headSeq;
      while (endEntries.length > 0 && isOld(endEntries[0])) {
        if (places.length >= limit) return places;
        const { seq, of } = endEntries[0];
        // Who ended it may have died before it was out.
        const behind = of.filter((one) => spent.has(one));
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
    for (const { seq, expiresAtMs } of box.waiting.values()) {
      if (expiresAtMs <= nowMs) places.push(seq);
      else nextMs = Math.min(nextMs, expiresAtMs);
    }
    if (places.length === 0) box.nextExpiryMs = nextMs;
    return places;
  }

  #add(box: IndexedBox, mail: IndexedMail): void {
    box.waiting.set(mail.seq, mail);
    box.ids.set(mail.key, mail.seq);
    box.nextExpiryMs = Math.min(box.nextExpiryMs, mail.expiresAtMs);
    this.#count(box, 1, mail.bytes);
  }

  /** @returns what ended; undefined: it does not wait, because its entry is removed already. */
  #end(box: IndexedBox, place: number, spent: number[]): IndexedMail | undefined {
    const mail = box.waiting.get(place);
    if (mail === undefined) return undefined;
    box.waiting.delete(place);
    this.#count(box, -1, -mail.bytes);
    const left = (box.left.get(mail.entrySeq) ?? 1) - 1;
    if (left > 0) {
      box.left.set(mail.entrySeq, left);
    } else {
      box.left.delete(mail.entrySeq);
      spent.push(mail.entrySeq);
      box.spent.add(mail.entrySeq);
    }
    return mail;
  }

  #remember(box: IndexedBox, key: string, place: number, sentAtMs: number): void {
    const known = box.ids.get(key);
    // Sent again after it was forgotten elsewhere: that one waits.
    if (known !== undefined && known !== place) return;
    box.ids.set(key, -place);
    this.#ended.push({ box, key, place, sentAtMs });
  }

  #count(box: IndexedBox, count: number, bytes: number): void {
    box.waitingBytes += bytes;
    this.#waiting += count;
    this.#waitingBytes += bytes;
  }
}
