// Core. Picks that are known beforehand: the next nodes of many modules, in little memory.
//
// With many modules a pick costs what the processor waits for memory: a module and its node are in no
// cache, and as objects of the engine they lie in a dozen places. Here a module is one row of 64
// bytes, and its nodes lie side by side in the order of their turns.

import type { Host } from "../host.ts";
import { moduleHash } from "../../model/module.ts";

/** Returned by {@linkcode TurnTable.next} when the next node is not known here. */
export const NO_TURN = -1;

/** Picks that can be lent at once. */
export const TURNS_MAX = 0x7fff_ffff;

/**
 * Nodes of all modules together that the table holds, 16 bytes each; more are not lent, and their
 * modules picked from as if there were no table.
 */
export const TURN_NODES_MAX = 1 << 22;

const ROW_SHIFT = 4;
const ROW_WORDS = 1 << ROW_SHIFT;
const ROWS_MIN = 16;

/** Turns that repeat: a list of nodes, each of which is picked once, or a circle by weights. */
export interface TurnRing extends Iterable<Host> {
  /** Turns until they repeat; 0 = not known. */
  readonly count: number;
  /** Who is next. */
  readonly head: Host | undefined;
  /** Turns since the last copy, where nodes may come twice: else the head tells the place. */
  readonly made?: number;
  /** Makes turns that were lent, where nodes may come twice. */
  advance?(turns: number): void;
}

// Words of a row.
const MOD_ID = 0;
const CMD_ID = 1;
/** Positions of its nodes: from START up to END, which is 0 in a free row. */
const START = 2;
const END = 3;
/** Position of the next node. */
const CURSOR = 4;
/** Picks that are left. */
const LEFT = 5;
/** Positions that belong to the row, from START. */
const ROOM = 6;
// Words of 64 bits, counted in such.
const USED_AT_MS = 4;
const UNTIL_MS = 5;

/**
 * Nodes that modules have lent: while a module's picks are nothing but its nodes in turn, they are
 * taken from here, and the module does not hear of each. It takes the rest back before anything
 * changes that picks depend on.
 */
export class TurnTable {
  readonly #nodesMax: number;
  #words = new Int32Array(ROWS_MIN * ROW_WORDS);
  #doubles = new Float64Array(this.#words.buffer);
  #slotMask = ROWS_MIN - 1;
  #rowCount = 0;
  #hosts: (Host | undefined)[] = [];
  /** Of the node at position p: address at 2 p, signed, and port at 2 p + 1. */
  #addresses = new Int32Array(2 * ROWS_MIN);
  /** Positions that belong to a row. */
  #positionsUsed = 0;

  constructor(nodesMax = TURN_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** Number of modules with a row. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Number of positions, those that belong to no row (any more) too. */
  get positionCount(): number {
    return this.#hosts.length;
  }

  /**
   * Position of the next node of a module, or {@linkcode NO_TURN} when the module must be asked. O(1);
   * allocates nothing.
   */
  next(modId: number, cmdId: number, nowMs: number): number {
    const words = this.#words;
    const mod = modId | 0;
    const cmd = cmdId | 0;
    const mask = this.#slotMask;
    for (let slot = moduleHash(mod, cmd) & mask;; slot = (slot + 1) & mask) {
      const row = slot << ROW_SHIFT;
      const end = words[row + END];
      if (end === 0) return NO_TURN;
      if (words[row + MOD_ID] !== mod || words[row + CMD_ID] !== cmd) continue;
      const left = words[row + LEFT];
      const double = row >> 1;
      if (left === 0 || nowMs >= this.#doubles[double + UNTIL_MS]) return NO_TURN;
      words[row + LEFT] = left - 1;
      this.#doubles[double + USED_AT_MS] = nowMs;
      const position = words[row + CURSOR];
      words[row + CURSOR] = position + 1 === end ? words[row + START] : position + 1;
      return position;
    }
  }

  /** The node at a position that `next` has just given. */
  hostAt(position: number): Host {
    return this.#hosts[position] as Host;
  }

  /** Its address, signed; does not touch the node. */
  ipAt(position: number): number {
    return this.#addresses[2 * position];
  }

  /** Its port; does not touch the node. */
  portAt(position: number): number {
    return this.#addresses[2 * position + 1];
  }

  /**
   * The next picks of a module are the nodes of `ring` in turn, from its head on. Of a new module
   * none is given until `setUntil` was called.
   *
   * @param isSame The ring has the nodes it had when it was last lent, in the same circle.
   * @param picks How many picks; at most {@linkcode TURNS_MAX}.
   * @returns false when the table is full: nothing is lent.
   */
  lend(
    modId: number,
    cmdId: number,
    ring: TurnRing,
    isSame: boolean,
    picks: number,
  ): boolean {
    const { head } = ring;
    if (head === undefined) return false;
    let row = this.#rowOf(modId | 0, cmdId | 0);
    if (row < 0 || !isSame || !this.#turnTo(row, ring, head)) {
      const { count } = ring;
      const start = this.#makeRoom(row, count);
      if (start === NO_TURN) return false;
      row = this.#rowOf(modId | 0, cmdId | 0);
      if (row < 0) row = this.#insert(modId | 0, cmdId | 0);
      this.#fill(row, start, ring, count);
    }
    this.#words[row + LEFT] = picks;
    return true;
  }

  /**
   * The module is picked from elsewhere from now on.
   *
   * @returns how many picks are left of those that were lent.
   */
  takeBack(modId: number, cmdId: number): number {
    const row = this.#rowOf(modId | 0, cmdId | 0);
    if (row < 0) return 0;
    const left = this.#words[row + LEFT];
    this.#words[row + LEFT] = 0;
    return left;
  }

  /** The node that is next in a module's turns, or was when they were taken back. */
  headOf(modId: number, cmdId: number): Host | undefined {
    const row = this.#rowOf(modId | 0, cmdId | 0);
    return row < 0 ? undefined : this.#hosts[this.#words[row + CURSOR]];
  }

  /** From `untilMs` on the module is to be asked, whatever is left. */
  setUntil(modId: number, cmdId: number, untilMs: number): void {
    const row = this.#rowOf(modId | 0, cmdId | 0);
    if (row >= 0) this.#doubles[(row >> 1) + UNTIL_MS] = untilMs;
  }

  /** Time of the last pick from here, or -Infinity. */
  usedAtMs(modId: number, cmdId: number): number {
    const row = this.#rowOf(modId | 0, cmdId | 0);
    return row < 0 ? -Infinity : this.#doubles[(row >> 1) + USED_AT_MS];
  }

  /** Forgets a module and its nodes. */
  forget(modId: number, cmdId: number): void {
    const words = this.#words;
    const mask = this.#slotMask;
    const row = this.#rowOf(modId | 0, cmdId | 0);
    if (row < 0) return;
    this.#giveBack(row);
    this.#rowCount--;
    // Later rows of the same run move up, so that no probe sequence is cut by the hole.
    let hole = row >> ROW_SHIFT;
    for (let slot = (hole + 1) & mask;; slot = (slot + 1) & mask) {
      const from = slot << ROW_SHIFT;
      if (words[from + END] === 0) break;
      const home = moduleHash(words[from + MOD_ID], words[from + CMD_ID]) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      words.copyWithin(hole << ROW_SHIFT, from, from + ROW_WORDS);
      hole = slot;
    }
    words.fill(0, hole << ROW_SHIFT, (hole + 1) << ROW_SHIFT);
  }

  /** First word of a module's row, or -1. */
  #rowOf(mod: number, cmd: number): number {
    const words = this.#words;
    const mask = this.#slotMask;
    for (let slot = moduleHash(mod, cmd) & mask;; slot = (slot + 1) & mask) {
      const row = slot << ROW_SHIFT;
      if (words[row + END] === 0) return -1;
      if (words[row + MOD_ID] === mod && words[row + CMD_ID] === cmd) return row;
    }
  }

  /** Makes `head` the next of a row; false when it stands neither there nor one further. */
  #turnTo(row: number, { made, count }: TurnRing, head: Host): boolean {
    const words = this.#words;
    if (made !== undefined) {
      words[row + CURSOR] = words[row + START] + made % count;
      return true;
    }
    const cursor = words[row + CURSOR];
    if (this.#hosts[cursor] === head) return true;
    const next = cursor + 1 === words[row + END] ? words[row + START] : cursor + 1;
    if (this.#hosts[next] !== head) return false;
    words[row + CURSOR] = next;
    return true;
  }

  /** Start of room for `count` nodes, in the row's own if that suffices. */
  #makeRoom(row: number, count: number): number {
    if (row >= 0 && this.#words[row + ROOM] >= count) return this.#words[row + START];
    const own = row < 0 ? 0 : this.#words[row + ROOM];
    if (this.#positionsUsed - own + count > this.#nodesMax) return NO_TURN;
    if (row >= 0) this.#giveBack(row);
    // At most as much is lost as is used.
    if (this.#hosts.length > 2 * (this.#positionsUsed + count)) this.#compact();
    const start = this.#hosts.length;
    for (let i = 0; i < count; i++) this.#hosts.push(undefined);
    this.#positionsUsed += count;
    this.#growAddresses(start);
    return start;
  }

  #fill(row: number, start: number, ring: TurnRing, count: number): void {
    const words = this.#words;
    const room = Math.max(words[row + START] === start ? words[row + ROOM] : 0, count);
    words[row + START] = start;
    words[row + END] = start + count;
    words[row + CURSOR] = start;
    words[row + ROOM] = room;
    let position = start;
    for (const host of ring) this.#put(position++, host);
    // Nodes of an earlier, longer ring must not be kept alive.
    for (; position < start + room; position++) this.#hosts[position] = undefined;
  }

  #put(position: number, host: Host): void {
    this.#hosts[position] = host;
    this.#addresses[2 * position] = host.signedIp;
    this.#addresses[2 * position + 1] = host.port;
  }

  #giveBack(row: number): void {
    const words = this.#words;
    const start = words[row + START];
    const room = words[row + ROOM];
    this.#hosts.fill(undefined, start, start + room);
    this.#positionsUsed -= room;
    words[row + ROOM] = 0;
  }

  /** Moves all nodes together, so that no position is without a row. */
  #compact(): void {
    const words = this.#words;
    const old = this.#hosts;
    this.#hosts = [];
    this.#positionsUsed = 0;
    for (let row = 0; row < words.length; row += ROW_WORDS) {
      const room = words[row + ROOM];
      if (room === 0) continue;
      const shift = this.#hosts.length - words[row + START];
      const count = words[row + END] - words[row + START];
      for (let i = 0; i < count; i++) this.#hosts.push(old[words[row + START] + i]);
      words[row + START] += shift;
      words[row + END] += shift;
      words[row + CURSOR] += shift;
      words[row + ROOM] = count;
      this.#positionsUsed += count;
    }
    this.#growAddresses(0);
    for (let position = 0; position < this.#hosts.length; position++) {
      const host = this.#hosts[position];
      if (host !== undefined) this.#put(position, host);
    }
  }

  /** Makes room for the addresses of all positions; keeps those below `kept`. */
  #growAddresses(kept: number): void {
    const wanted = 2 * this.#hosts.length;
    if (this.#addresses.length >= wanted) return;
    const larger = new Int32Array(Math.max(2 * this.#addresses.length, wanted));
    larger.set(this.#addresses.subarray(0, 2 * kept));
    this.#addresses = larger;
  }

  #insert(mod: number, cmd: number): number {
    if ((this.#rowCount + 1) * 2 > this.#slotMask + 1) this.#growRows();
    this.#rowCount++;
    const row = this.#freeRow(mod, cmd);
    this.#words[row + MOD_ID] = mod;
    this.#words[row + CMD_ID] = cmd;
    this.#doubles[(row >> 1) + USED_AT_MS] = -Infinity;
    this.#doubles[(row >> 1) + UNTIL_MS] = -Infinity;
    return row;
  }

  #freeRow(mod: number, cmd: number): number {
    const mask = this.#slotMask;
    let slot = moduleHash(mod, cmd) & mask;
    while (this.#words[(slot << ROW_SHIFT) + END] !== 0) slot = (slot + 1) & mask;
    return slot << ROW_SHIFT;
  }

  #growRows(): void {
    const old = this.#words;
    this.#slotMask = 2 * this.#slotMask + 1;
    this.#words = new Int32Array(2 * old.length);
    this.#doubles = new Float64Array(this.#words.buffer);
    for (let row = 0; row < old.length; row += ROW_WORDS) {
      if (old[row + END] === 0) continue;
      const to = this.#freeRow(old[row + MOD_ID], old[row + CMD_ID]);
      this.#words.set(old.subarray(row, row + ROW_WORDS), to);
    }
  }
}
