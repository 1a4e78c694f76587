// Core. Places of rows by what they are about, in the order in which they came: a hash table and a list
// in arrays of numbers.

import type { CallStatusRow } from "../sql/store.ts";
import type { RowColumns } from "./status_columns.ts";

/** Places at first, and again when no row is left of more than {@linkcode PLACES_KEPT_MAX}. */
const PLACES_MIN = 1_024;
const PLACES_KEPT_MAX = 16_384;

/** Chains are as many as places, but no more than this. */
const CHAINS_MAX = 2 ** 20;

/** No place. */
const NONE = -1;

/** Halves of the five numbers of a key. */
const HALVES = 10;

/**
 * Rows of different keys, the oldest first. What is in keys comes from the network: which of them share
 * a chain depends on numbers by chance, so that nobody can make all of them do so.
 */
export class RowIndex<Row extends CallStatusRow> {
  readonly #columns: RowColumns<Row>;
  readonly #factors: Int32Array;
  /** First place of each chain; the next one of each place; the one that came after it. */
  #heads = new Int32Array();
  #nexts = new Int32Array();
  #laters = new Int32Array();
  /** Marks of the rows. */
  #marks = new Float64Array();
  #shift = 0;
  #capacity = 0;
  #oldest = NONE;
  #newest = NONE;
  /** First of the free places, by `#laters`. */
  #free = NONE;
  #size = 0;

  /** `factors`: random 32-bit numbers, see {@linkcode RowIndex.factors}. */
  constructor(columns: RowColumns<Row>, factors: Int32Array) {
    this.#columns = columns;
    this.#factors = factors;
    this.#resize(PLACES_MIN);
  }

  /** Numbers by chance. */
  static factors(next: () => number): Int32Array {
    return Int32Array.from({ length: HALVES }, () => Math.floor(next() * 2 ** 32) | 1);
  }

  get size(): number {
    return this.#size;
  }

  /** Where the row about the same calls is; undefined: there is none. */
  find(row: CallStatusRow): number | undefined {
    for (let place = this.#heads[this.#chainOf(row)]; place !== NONE; place = this.#nexts[place]) {
      if (this.#columns.isAt(place, row)) return place;
    }
    return undefined;
  }

  /** Puts a row in the place of one about the same calls. */
  replace(place: number, row: Row): void {
    this.#columns.write(place, row);
  }

  read(place: number): Row {
    return this.#columns.read(place);
  }

  markOf(place: number): number {
    return this.#marks[place];
  }

  setMark(place: number, mark: number): void {
    this.#marks[place] = mark;
  }

  /** Adds a row about calls of which there is none, as the newest. */
  add(row: Row, mark: number): void {
    if (this.#free === NONE) this.#resize(this.#capacity * 2);
    const place = this.#free;
    this.#free = this.#laters[place];
    this.#columns.write(place, row);
    this.#marks[place] = mark;
    this.#link(place, this.#chainOf(row));
    this.#laters[place] = NONE;
    if (this.#newest === NONE) this.#oldest = place;
    else this.#laters[this.#newest] = place;
    this.#newest = place;
    this.#size++;
  }

  /** Takes the oldest row out; undefined: there is none. */
  takeOldest(): { readonly row: Row; readonly mark: number } | undefined {
    const place = this.#oldest;
    if (place === NONE) return undefined;
    const row = this.#columns.read(place);
    const mark = this.#marks[place];
    this.#unlink(place, this.#chainOf(row));
    this.#oldest = this.#laters[place];
    this.#size--;
    if (this.#oldest === NONE) {
      this.#newest = NONE;
      // What an outage needed is given back.
      if (this.#capacity > PLACES_KEPT_MAX) {
        this.#resize(PLACES_MIN);
        return { row, mark };
      }
    }
    this.#laters[place] = this.#free;
    this.#free = place;
    return { row, mark };
  }

  /** All rows, the oldest first. */
  *rows(): Generator<Row> {
    for (let place = this.#oldest; place !== NONE; place = this.#laters[place]) {
      yield this.#columns.read(place);
    }
  }

  #link(place: number, chain: number): void {
    this.#nexts[place] = this.#heads[chain];
    this.#heads[chain] = place;
  }

  #unlink(place: number, chain: number): void {
    if (this.#heads[chain] === place) {
      this.#heads[chain] = this.#nexts[place];
      return;
    }
    let before = this.#heads[chain];
    while (this.#nexts[before] !== place) before = this.#nexts[before];
    this.#nexts[before] = this.#nexts[place];
  }

  /** More places for the rows there are, or the first ones when there is none. */
  #resize(capacity: number): void {
    const from = this.#size === 0 ? 0 : this.#capacity;
    this.#capacity = capacity;
    this.#columns.resize(capacity);
    const grown = (old: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
      const made = new Int32Array(capacity);
      made.set(old.subarray(0, Math.min(from, capacity)));
      return made;
    };
    this.#nexts = grown(this.#nexts);
    this.#laters = grown(this.#laters);
    const marks = new Float64Array(capacity);
    marks.set(this.#marks.subarray(0, Math.min(from, capacity)));
    this.#marks = marks;
    for (let place = from; place < capacity; place++) {
      this.#laters[place] = place + 1 < capacity ? place + 1 : NONE;
    }
    this.#free = from;
    const chains = Math.min(capacity, CHAINS_MAX);
    this.#shift = 32 - Math.log2(chains);
    this.#heads = new Int32Array(chains).fill(NONE);
    for (let place = this.#oldest; place !== NONE; place = this.#laters[place]) {
      this.#link(place, this.#chainOf(this.#columns.read(place)));
    }
  }

  /** Multiply-shift over halves: two keys share a chain by chance alone. */
  #chainOf({ modId, cmdId, ip, port, caller }: CallStatusRow): number {
    const factors = this.#factors;
    const sum = Math.imul(factors[0], modId & 0xffff) + Math.imul(factors[1], modId >>> 16) +
      Math.imul(factors[2], cmdId & 0xffff) + Math.imul(factors[3], cmdId >>> 16) +
      Math.imul(factors[4], ip & 0xffff) + Math.imul(factors[5], ip >>> 16) +
      Math.imul(factors[6], port & 0xffff) + Math.imul(factors[7], port >>> 16) +
      Math.imul(factors[8], caller & 0xffff) + Math.imul(factors[9], caller >>> 16);
    return (sum >>> 0) >>> this.#shift;
  }
}
