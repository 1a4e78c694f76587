// Core. Messages of mailboxes as records of 64 bytes, found by their key: there may be millions of them.

import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import { TextBytes, TextStore } from "./text_store.ts";

/** No slot. */
export const NO_SLOT = -1;

/** Records of a page, of 64 KiB. */
const PAGE_BITS = 10;
const PAGE_SLOTS = 1 << PAGE_BITS;

/** Chains are as many as slots, but from this to that. */
const CHAINS_MIN = PAGE_SLOTS;
const CHAINS_MAX = 2 ** 20;

/** Doubles of a record, which is as long as eight of them. */
const SEQ = 0;
const SENT_AT_MS = 1;
const EXPIRES_AT_MS = 2;
const ENTRY_SEQ = 3;
const DOUBLES_BITS = 3;

/** Whole numbers of a record, behind its doubles. */
const BOX = 8;
const BYTES = 9;
const AT = 10;
const KEY = 11;
const HASH = 12;
/** The next one of its chain. */
const CHAINED = 13;
/** Neighbours in the list it is in; of a free slot the next free one. */
const NEXT = 14;
const PREVIOUS = 15;
const NUMBERS_BITS = 4;

/** What is known of a message, but for its key and its data. */
export interface TableMail {
  readonly seq: number;
  readonly sentAtMs: number;
  readonly expiresAtMs: number;
  readonly bytes: number;
  /** Where its data is: entry of the log, and place in that. 0: it has ended. */
  readonly entrySeq: number;
  readonly at: number;
}

/** Slots in the order in which they were added; see {@linkcode MailTable.append}. */
export class SlotList {
  first = NO_SLOT;
  last = NO_SLOT;
  size = 0;
}

/**
 * Slots with a message each, which belongs to a numbered mailbox. What is in keys comes from clients:
 * which of them share a chain depends on numbers by chance, so that nobody can make all of them do so.
 */
export class MailTable {
  /** Both of the same memory. */
  readonly #doubles: Float64Array[] = [];
  readonly #numbers: Int32Array[] = [];
  /** First slot of each chain. */
  #heads = new Int32Array(CHAINS_MIN).fill(NO_SLOT);
  #texts = new TextStore();
  readonly #textBytes = new TextBytes();
  readonly #seed: number;
  readonly #factor: number;
  #free = NO_SLOT;
  #size = 0;

  constructor(rng: Rng) {
    this.#seed = nextInt(rng, 2 ** 32);
    this.#factor = nextInt(rng, 2 ** 32) | 1;
  }

  /** Slots that are taken. */
  get size(): number {
    return this.#size;
  }

  seqOf(slot: number): number {
    return this.#double(slot, SEQ);
  }

  sentAtMsOf(slot: number): number {
    return this.#double(slot, SENT_AT_MS);
  }

  expiresAtMsOf(slot: number): number {
    return this.#double(slot, EXPIRES_AT_MS);
  }

  /** 0: it has ended. */
  entrySeqOf(slot: number): number {
    return this.#double(slot, ENTRY_SEQ);
  }

  bytesOf(slot: number): number {
    return this.#number(slot, BYTES);
  }

  keyOf(slot: number): string {
    return this.#texts.read(this.#number(slot, KEY));
  }

  mailOf(slot: number): TableMail {
    return {
      seq: this.seqOf(slot),
      sentAtMs: this.sentAtMsOf(slot),
      expiresAtMs: this.expiresAtMsOf(slot),
      bytes: this.bytesOf(slot),
      entrySeq: this.entrySeqOf(slot),
      at: this.#number(slot, AT),
    };
  }

  /** Of the message of a mailbox that has this key. */
  find(box: number, key: string): number {
    const text = this.#textBytes.of(key);
    const hash = this.#hashOf(box, text);
    for (let slot = this.#heads[this.#chainOf(hash)]; slot !== NO_SLOT;) {
      const isIt = this.#number(slot, HASH) === hash && this.#number(slot, BOX) === box &&
        this.#texts.isAt(this.#number(slot, KEY), text);
      if (isIt) return slot;
      slot = this.#number(slot, CHAINED);
    }
    return NO_SLOT;
  }

  /** Adds a message to a mailbox that has none of this key. @returns its slot. */
  add(box: number, key: string, mail: TableMail): number {
    if (this.#free === NO_SLOT) this.#addPage();
    const slot = this.#free;
    this.#free = this.#number(slot, NEXT);
    this.#size++;
    const text = this.#textBytes.of(key);
    this.#setDouble(slot, SEQ, mail.seq);
    this.#setDouble(slot, SENT_AT_MS, mail.sentAtMs);
    this.#setDouble(slot, EXPIRES_AT_MS, mail.expiresAtMs);
    this.#setDouble(slot, ENTRY_SEQ, mail.entrySeq);
    this.#setNumber(slot, BOX, box);
    this.#setNumber(slot, BYTES, mail.bytes);
    this.#setNumber(slot, AT, mail.at);
    this.#setNumber(slot, KEY, this.#texts.add(text));
    this.#setNumber(slot, HASH, this.#hashOf(box, text));
    this.#chain(slot);
    return slot;
  }

  /** It has ended, and was sent then. */
  setEnded(slot: number, sentAtMs: number): void {
    this.#setDouble(slot, ENTRY_SEQ, 0);
    this.#setDouble(slot, SENT_AT_MS, sentAtMs);
  }

  /** It is found by its key no more, which another one of its mailbox may have. */
  hide(slot: number): void {
    const chain = this.#chainOf(this.#number(slot, HASH));
    let before = NO_SLOT;
    let one = this.#heads[chain];
    while (one !== slot && one !== NO_SLOT) {
      before = one;
      one = this.#number(one, CHAINED);
    }
    if (one === NO_SLOT) return;
    if (before === NO_SLOT) this.#heads[chain] = this.#number(slot, CHAINED);
    else this.#setNumber(before, CHAINED, this.#number(slot, CHAINED));
  }

  /** The slot is free; it must be in no list. */
  remove(slot: number): void {
    this.hide(slot);
    this.#texts.remove(this.#number(slot, KEY));
    this.#setNumber(slot, NEXT, this.#free);
    this.#free = slot;
    this.#size--;
    if (this.#size === 0) this.#clear();
  }

  /** Adds a slot, which is in no list, behind the others. */
  append(list: SlotList, slot: number): void {
    this.#setNumber(slot, PREVIOUS, list.last);
    this.#setNumber(slot, NEXT, NO_SLOT);
    if (list.last === NO_SLOT) list.first = slot;
    else this.#setNumber(list.last, NEXT, slot);
    list.last = slot;
    list.size++;
  }

  /** Takes a slot out of the list that it is in. */
  unlink(list: SlotList, slot: number): void {
    const next = this.nextOf(slot);
    const previous = this.previousOf(slot);
    if (previous === NO_SLOT) list.first = next;
    else this.#setNumber(previous, NEXT, next);
    if (next === NO_SLOT) list.last = previous;
    else this.#setNumber(next, PREVIOUS, previous);
    list.size--;
  }

  /** The one behind it in its list. */
  nextOf(slot: number): number {
    return this.#number(slot, NEXT);
  }

  /** The one before it in its list. */
  previousOf(slot: number): number {
    return this.#number(slot, PREVIOUS);
  }

  #double(slot: number, field: number): number {
    return this.#doubles[slot >>> PAGE_BITS][(slot & PAGE_SLOTS - 1) << DOUBLES_BITS | field];
  }

  #setDouble(slot: number, field: number, value: number): void {
    this.#doubles[slot >>> PAGE_BITS][(slot & PAGE_SLOTS - 1) << DOUBLES_BITS | field] = value;
  }

  #number(slot: number, field: number): number {
    return this.#numbers[slot >>> PAGE_BITS][(slot & PAGE_SLOTS - 1) << NUMBERS_BITS | field];
  }

  #setNumber(slot: number, field: number, value: number): void {
    this.#numbers[slot >>> PAGE_BITS][(slot & PAGE_SLOTS - 1) << NUMBERS_BITS | field] = value;
  }

  #chain(slot: number): void {
    const chain = this.#chainOf(this.#number(slot, HASH));
    this.#setNumber(slot, CHAINED, this.#heads[chain]);
    this.#heads[chain] = slot;
  }

  #chainOf(hash: number): number {
    return hash & this.#heads.length - 1;
  }

  #hashOf(box: number, text: Uint8Array): number {
    const factor = this.#factor;
    let hash = Math.imul(this.#seed ^ box, factor);
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ hash >>> 15 ^ text[i], factor);
    }
    // The upper bits are the better ones.
    return hash ^ hash >>> 16;
  }

  #addPage(): void {
    const first = this.#doubles.length << PAGE_BITS;
    const page = new ArrayBuffer(PAGE_SLOTS << DOUBLES_BITS + 3);
    this.#doubles.push(new Float64Array(page));
    this.#numbers.push(new Int32Array(page));
    for (let slot = first; slot < first + PAGE_SLOTS; slot++) {
      this.#setNumber(slot, NEXT, slot + 1 < first + PAGE_SLOTS ? slot + 1 : NO_SLOT);
    }
    this.#free = first;
    const slots = first + PAGE_SLOTS;
    if (slots > this.#heads.length && slots <= CHAINS_MAX) this.#rechain(this.#heads.length * 2);
  }

  #rechain(count: number): void {
    const heads = this.#heads;
    this.#heads = new Int32Array(count).fill(NO_SLOT);
    for (const head of heads) {
      for (let slot = head; slot !== NO_SLOT;) {
        const next = this.#number(slot, CHAINED);
        this.#chain(slot);
        slot = next;
      }
    }
  }

  /** What a crowd needed is given back. */
  #clear(): void {
    if (this.#doubles.length <= 1) return;
    this.#doubles.length = 0;
    this.#numbers.length = 0;
    this.#heads = new Int32Array(CHAINS_MIN).fill(NO_SLOT);
    this.#texts = new TextStore();
    this.#free = NO_SLOT;
  }
}
