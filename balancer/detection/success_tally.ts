// Core. Calls that went well and decide nothing: counted side by side, and told to their nodes later.
//
// A node is some 400 bytes, in a dozen places of the engine's memory. With many nodes each call meets
// one that is in no cache of the processor, and waits for each piece of it. Nearly all calls go well
// at a node that is well: they change its counts, and nothing else. Here such a node has one row of 64
// bytes. What waits there is told to the node before anything that could depend on it.

import { moduleHash } from "../../model/module.ts";
import type { Host } from "../host.ts";
import { LATENCY_BOUNDS_MS, latencyBucketOf } from "../module_counts.ts";
import { TIME_COUNTED_MS_MAX } from "./call_outcome.ts";
import { shortTotal, TIME_WEIGHT_CALLS, timesSampled } from "./node_statistics.ts";

/** Returned by {@linkcode SuccessTally.find} for a node that has no row. */
export const NO_PLACE = -1;

/**
 * Nodes with a row of 64 bytes; calls of others are told at once. At least half of the rows are free, so
 * that all of them take 8 MB, and 16 MB at most where nodes come and go.
 */
export const TALLY_NODES_MAX = 1 << 16;

/** When there are so many rows all are given up, at most this often. Milliseconds. */
export const TALLY_CLEARED_MS = 60_000;

const ROW_SHIFT = 4;
const ROW_WORDS = 1 << ROW_SHIFT;
const ROWS_MIN = 64;

// Words of a row.
const MOD_ID = 0;
const CMD_ID = 1;
const IP = 2;
/** Port and what follows; 0 in a free row. */
const STATE = 3;
/** Calls that wait. */
const COUNT = 6;
/** Of these, calls whose time was told; and what those took together. */
const TIMED = 7;
const TIME_MS = 8;
/** Who reported the latest failure of the node. */
const FAILED_BY = 9;
/** All calls of the node that went well as `shortTotal` has them, and above them those in the mean. */
const TOTAL = 10;
const TOTAL_BITS = 5;
const TOTAL_MASK = (1 << TOTAL_BITS) - 1;
const OWNER = 11;
// Words of 64 bits, counted in such.
/** Until then calls that go well decide nothing; -Infinity: each may. */
const UNTIL_MS = 2;
/** The mean of the node's times. */
const MEAN_MS = 6;
/** Latest of the waiting calls that another caller reported than FAILED_BY; -Infinity: none. */
const OTHERS_AT_MS = 7;

const PORT_BITS = 0xffff;
/** The row stands among those of its owner that have waiting calls. */
const IS_LISTED = 1 << 16;
/** The node keeps a mean of its times. */
const IS_SAMPLED = 1 << 17;
/** It matters who reports. */
const HAS_CALLERS = 1 << 18;
/** The node is no more. The row is free when rows are set out anew. */
const IS_GONE = 1 << 19;

/** Waiting calls of one node at most. */
const COUNT_MAX = 1 << 28;
const INT32_MAX = 0x7fff_ffff;

// Numbers of an owner.
const OWNER_NUMBERS = 24;
/** From then on a use of the module is more than a use: its route is old. */
const USE_UNTIL_MS = 0;
const USED_AT_MS = 1;
/** Calls that took so long are looked at by themselves. */
const PLAIN_BELOW_MS = 2;
/** The piece of evidence that waiting calls are of, and when it ends. */
const PIECE = 3;
const PIECE_UNTIL_MS = 4;
/** Waiting calls, as {@linkcode TallyOwner.countTallied} takes them: number, told times, buckets. */
const CALLS = 5;
const CALLS_LENGTH = 2 + LATENCY_BOUNDS_MS.length + 1;

/** Whose nodes have rows: a module. */
export interface TallyOwner {
  readonly modId: number;
  readonly cmdId: number;
  /** Written by the tally alone; -1 at first. */
  tallyIndex: number;
  /** Calls that went well and took less decide nothing. Milliseconds. */
  readonly plainBelowMs: number;
  /** Until when calls of a node that go well, and take less than that, decide nothing. */
  plainUntilMs(host: Host): number;
  /** Number of the piece of time in which evidence is gathered, and when it ends. */
  pieceOf(nowMs: number): number;
  pieceUntilMs(piece: number): number;
  /**
   * Takes calls of a node that went well.
   *
   * @param timed How many of them had a time, of `timeMs` together.
   * @param meanMs The mean of times with them, of `meanCalls` calls; only where nodes keep one.
   * @param othersAtMs When the latest of them was reported by another than who saw the latest failure.
   * @param piece As {@linkcode TallyOwner.pieceOf} gave it for all of them.
   */
  countPlain(
    host: Host,
    count: number,
    timed: number,
    timeMs: number,
    meanMs: number,
    meanCalls: number,
    othersAtMs: number,
    piece: number,
  ): void;
  /** From now on calls wait for its nodes; told with the first of them after each `foldAll`. */
  callsWait(): void;
  /** The same calls of all nodes: number, sum of times, then buckets of times; see `ModuleCounts`. */
  countTallied(values: Float64Array, at: number): void;
}

/** The rows of the nodes of one loop. Allocates nothing for a call. */
export class SuccessTally {
  readonly #nodesMax: number;
  #words = new Int32Array(ROWS_MIN * ROW_WORDS);
  #doubles = new Float64Array(this.#words.buffer);
  #hosts: (Host | undefined)[] = new Array(ROWS_MIN).fill(undefined);
  #mask = ROWS_MIN - 1;
  /** Rows that are not free, and those of them whose node is there. */
  #usedCount = 0;
  #liveCount = 0;
  readonly #owners: (TallyOwner | undefined)[] = [];
  readonly #freeOwners: number[] = [];
  /** Places with waiting calls, by owner, in the order of their first calls. */
  readonly #listed: number[][] = [];
  #numbers = new Float64Array(8 * OWNER_NUMBERS);
  #clearedAtMs = -Infinity;
  /** Means nothing: where what was read goes, so that it is read. */
  #touched = 0;

  /** @param nodesMax 0: every call is told at once. */
  constructor(nodesMax = TALLY_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** Number of nodes with a row. */
  get nodeCount(): number {
    return this.#liveCount;
  }

  /** Place of a node's row, until rows change; or {@linkcode NO_PLACE}. The ids signed or not. O(1). */
  find(modId: number, cmdId: number, ip: number, port: number): number {
    const words = this.#words;
    const mask = this.#mask;
    for (let place = hashOf(modId, cmdId, ip, port) & mask;; place = (place + 1) & mask) {
      if (words[(place << ROW_SHIFT) + STATE] === 0) return NO_PLACE;
      if (this.isAt(place, modId, cmdId, ip, port)) return place;
    }
  }

  /** Where a node's row is, if no other took its place: what is read there now need not be waited for. */
  homeOf(modId: number, cmdId: number, ip: number, port: number): number {
    return hashOf(modId, cmdId, ip, port) & this.#mask;
  }

  /** Reads what {@linkcode SuccessTally.find} will read. */
  touch(home: number): void {
    this.#touched += this.#words[(home << ROW_SHIFT) + STATE] & 1;
  }

  /** True when the row at a place that `find` gave before is that of the node. */
  isAt(place: number, modId: number, cmdId: number, ip: number, port: number): boolean {
    const words = this.#words;
    const row = place << ROW_SHIFT;
    return words[row + IP] === (ip | 0) && words[row + MOD_ID] === (modId | 0) &&
      words[row + CMD_ID] === (cmdId | 0) &&
      (words[row + STATE] & (PORT_BITS | IS_GONE)) === port;
  }

  /**
   * Counts calls of a node that went well and took the same time, if they decide nothing.
   *
   * @param place As {@linkcode SuccessTally.find} gave it.
   * @param count 1 or more.
   * @param timecostMs What each took; -1 when nobody told.
   * @param isUse The module is used by it.
   * @returns false when they may decide something: nothing was counted, the node is to be told.
   */
  add(
    place: number,
    count: number,
    timecostMs: number,
    nowMs: number,
    caller: number,
    isUse: boolean,
  ): boolean {
    const words = this.#words;
    const row = place << ROW_SHIFT;
    if (!(nowMs < this.#doubles[(row >> 1) + UNTIL_MS])) return false;
    const numbers = this.#numbers;
    const owner = words[row + OWNER] * OWNER_NUMBERS;
    if (!(timecostMs < numbers[owner + PLAIN_BELOW_MS])) return false;
    if (isUse && !(nowMs < numbers[owner + USE_UNTIL_MS])) return false;
    if (!(nowMs < numbers[owner + PIECE_UNTIL_MS]) && !this.#nextPiece(owner, nowMs)) return false;
    if ((timecostMs | 0) !== timecostMs || count > COUNT_MAX - words[row + COUNT]) return false;
    const timed = timecostMs >= 0;
    if (timed && words[row + TIME_MS] + count * timecostMs > INT32_MAX) return false;
    const state = words[row + STATE];
    if ((state & IS_SAMPLED) !== 0) this.#sample(row, count, timecostMs);
    if ((state & HAS_CALLERS) !== 0 && caller !== words[row + FAILED_BY]) {
      this.#doubles[(row >> 1) + OTHERS_AT_MS] = nowMs;
    }
    words[row + COUNT] += count;
    if (timed) {
      words[row + TIMED] += count;
      words[row + TIME_MS] += count * timecostMs;
      numbers[owner + CALLS + 1] += count * timecostMs;
      numbers[owner + CALLS + 2 + latencyBucketOf(timecostMs)] += count;
    }
    numbers[owner + CALLS] += count;
    if (isUse) numbers[owner + USED_AT_MS] = nowMs;
    if ((state & IS_LISTED) === 0) this.#list(place, owner);
    return true;
  }

  /** What `MeanTime.observe` does for those of some calls that go into the mean of times. */
  #sample(row: number, count: number, timecostMs: number): void {
    const words = this.#words;
    const total = words[row + TOTAL] & TOTAL_MASK;
    let calls = words[row + TOTAL] >>> TOTAL_BITS;
    // 0 is also what callers send who do not know.
    if (timecostMs > 0) {
      const doubles = this.#doubles;
      const at = (row >> 1) + MEAN_MS;
      for (let left = timesSampled(total, count); left > 0; left--) {
        if (calls < TIME_WEIGHT_CALLS) calls++;
        doubles[at] += (timecostMs - doubles[at]) / calls;
      }
    }
    words[row + TOTAL] = calls << TOTAL_BITS | shortTotal(total + count);
  }

  /** What waits is of the piece that is over; false: the next one has not begun for sure. */
  #nextPiece(first: number, nowMs: number): boolean {
    const numbers = this.#numbers;
    const owner = this.#owners[first / OWNER_NUMBERS];
    if (owner === undefined) return false;
    this.foldAll(owner);
    const piece = owner.pieceOf(nowMs);
    numbers[first + PIECE] = piece;
    numbers[first + PIECE_UNTIL_MS] = owner.pieceUntilMs(piece);
    return nowMs < numbers[first + PIECE_UNTIL_MS];
  }

  #list(place: number, owner: number): void {
    const index = owner / OWNER_NUMBERS;
    this.#words[(place << ROW_SHIFT) + STATE] |= IS_LISTED;
    if (this.#listed[index].push(place) === 1) this.#owners[index]?.callsWait();
  }

  /** Tells a node what waits for it: to be called before its counts are read or changed. O(1). */
  fold(owner: TallyOwner, host: Host): void {
    const place = this.#placeOf(owner, host);
    if (place !== NO_PLACE) this.#foldRow(place);
  }

  /** Tells all nodes of a module what waits for them, and the module itself. */
  foldAll(owner: TallyOwner): void {
    if (owner.tallyIndex < 0) return;
    const numbers = this.#numbers;
    const first = owner.tallyIndex * OWNER_NUMBERS;
    const places = this.#listed[owner.tallyIndex];
    const count = places.length;
    // All nodes are waited for at once, and not one after the other.
    for (let i = 0; i < count; i++) {
      this.#touched += this.#words[(places[i] << ROW_SHIFT) + COUNT] & 1;
      this.#touched += this.#hosts[places[i]]?.succTotal ?? 0;
    }
    for (let i = 0; i < count; i++) {
      const host = this.#hosts[places[i]];
      if (host !== undefined) this.#touched += readAhead(host);
    }
    for (let i = 0; i < count; i++) {
      this.#words[(places[i] << ROW_SHIFT) + STATE] &= ~IS_LISTED;
      this.#foldRow(places[i]);
    }
    places.length = 0;
    if (numbers[first + CALLS] === 0) return;
    owner.countTallied(numbers, first + CALLS);
    numbers.fill(0, first + CALLS, first + CALLS + CALLS_LENGTH);
  }

  /**
   * A call of a node was counted on itself: from now on those that decide nothing may be counted
   * here. What waited was folded before.
   */
  renew(owner: TallyOwner, host: Host, nowMs: number): void {
    const untilMs = owner.plainUntilMs(host);
    let place = this.#placeOf(owner, host);
    if (place === NO_PLACE) {
      if (!(untilMs > nowMs) || !this.#makeRoom(nowMs)) return;
      place = this.#insert(owner, host);
    }
    const { stats } = host;
    const row = place << ROW_SHIFT;
    const words = this.#words;
    this.#doubles[(row >> 1) + UNTIL_MS] = untilMs;
    words[row + STATE] &= ~(IS_SAMPLED | HAS_CALLERS);
    words[row + TOTAL] = shortTotal(host.succTotal);
    if (stats === undefined) return;
    words[row + TOTAL] |= stats.meanTime.calls << TOTAL_BITS;
    this.#doubles[(row >> 1) + MEAN_MS] = stats.meanTime.ms;
    words[row + STATE] |= IS_SAMPLED;
    if (!host.hasCallers || stats.callers === undefined) return;
    words[row + STATE] |= HAS_CALLERS;
    words[row + FAILED_BY] = stats.callers.failedBy;
    const isKept = words[row + FAILED_BY] === stats.callers.failedBy;
    if (!isKept) this.#doubles[(row >> 1) + UNTIL_MS] = -Infinity;
  }

  /** Time has come for a node, or something else befell it: its next call is counted on itself. */
  stop(owner: TallyOwner, host: Host): void {
    const place = this.#placeOf(owner, host);
    if (place === NO_PLACE) return;
    this.#foldRow(place);
    this.#doubles[(place << ROW_SHIFT >> 1) + UNTIL_MS] = -Infinity;
  }

  /** The same for all nodes of a module: it counts in another way from now on. */
  stopAll(owner: TallyOwner, hosts: Iterable<Host>): void {
    if (owner.tallyIndex < 0) return;
    this.foldAll(owner);
    for (const host of hosts) this.stop(owner, host);
  }

  /** The module has changed how it counts; nothing waits. */
  settingsChanged(owner: TallyOwner): void {
    if (owner.tallyIndex < 0) return;
    const first = owner.tallyIndex * OWNER_NUMBERS;
    // A time that is no time is looked at by itself, too.
    this.#numbers[first + PLAIN_BELOW_MS] = Math.min(owner.plainBelowMs, TIME_COUNTED_MS_MAX + 1);
    this.#numbers[first + PIECE_UNTIL_MS] = -Infinity;
  }

  /** A node leaves its module. */
  forget(owner: TallyOwner, host: Host): void {
    const place = this.#placeOf(owner, host);
    if (place === NO_PLACE) return;
    this.#foldRow(place);
    const row = place << ROW_SHIFT;
    this.#words[row + STATE] = (this.#words[row + STATE] & IS_LISTED) | IS_GONE;
    // A caller may name the very number as a port that says that the node is gone.
    this.#doubles[(row >> 1) + UNTIL_MS] = -Infinity;
    this.#hosts[place] = undefined;
    this.#liveCount--;
  }

  /** A module is no more; its nodes have left it. */
  forgetOwner(owner: TallyOwner): void {
    if (owner.tallyIndex < 0) return;
    this.foldAll(owner);
    this.#owners[owner.tallyIndex] = undefined;
    this.#freeOwners.push(owner.tallyIndex);
    owner.tallyIndex = -1;
  }

  /** From `untilMs` on a call that uses the module is told to it. Until this is called each one is. */
  setUseUntil(owner: TallyOwner, untilMs: number): void {
    if (owner.tallyIndex < 0) return;
    this.#numbers[owner.tallyIndex * OWNER_NUMBERS + USE_UNTIL_MS] = untilMs;
  }

  /** Time of the latest use that was counted here, or -Infinity. */
  usedAtMs({ tallyIndex }: TallyOwner): number {
    return tallyIndex < 0 ? -Infinity : this.#numbers[tallyIndex * OWNER_NUMBERS + USED_AT_MS];
  }

  #placeOf({ tallyIndex, modId, cmdId }: TallyOwner, { signedIp, port }: Host): number {
    return tallyIndex < 0 ? NO_PLACE : this.find(modId, cmdId, signedIp, port);
  }

  #foldRow(place: number): void {
    const words = this.#words;
    const row = place << ROW_SHIFT;
    const count = words[row + COUNT];
    const host = this.#hosts[place];
    const owner = this.#owners[words[row + OWNER]];
    if (count === 0 || host === undefined || owner === undefined) return;
    const timed = words[row + TIMED];
    const timeMs = words[row + TIME_MS];
    const meanMs = this.#doubles[(row >> 1) + MEAN_MS];
    const meanCalls = words[row + TOTAL] >>> TOTAL_BITS;
    const othersAtMs = this.#doubles[(row >> 1) + OTHERS_AT_MS];
    words[row + COUNT] = 0;
    words[row + TIMED] = 0;
    words[row + TIME_MS] = 0;
    this.#doubles[(row >> 1) + OTHERS_AT_MS] = -Infinity;
    const piece = this.#numbers[words[row + OWNER] * OWNER_NUMBERS + PIECE];
    owner.countPlain(host, count, timed, timeMs, meanMs, meanCalls, othersAtMs, piece);
  }

  #insert(owner: TallyOwner, host: Host): number {
    if (owner.tallyIndex < 0) this.#addOwner(owner);
    const { modId, cmdId } = owner;
    const { signedIp, port } = host;
    const place = this.#freePlace(modId, cmdId, signedIp, port);
    const row = place << ROW_SHIFT;
    const words = this.#words;
    words.fill(0, row, row + ROW_WORDS);
    words[row + MOD_ID] = modId;
    words[row + CMD_ID] = cmdId;
    words[row + IP] = signedIp;
    words[row + STATE] = port;
    words[row + OWNER] = owner.tallyIndex;
    this.#doubles[(row >> 1) + OTHERS_AT_MS] = -Infinity;
    this.#hosts[place] = host;
    this.#usedCount++;
    this.#liveCount++;
    return place;
  }

  #addOwner(owner: TallyOwner): void {
    const index = this.#freeOwners.pop() ?? this.#owners.length;
    this.#owners[index] = owner;
    this.#listed[index] ??= [];
    owner.tallyIndex = index;
    const first = index * OWNER_NUMBERS;
    if (first >= this.#numbers.length) {
      const larger = new Float64Array(2 * this.#numbers.length);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers.fill(0, first, first + OWNER_NUMBERS);
    this.#numbers[first + USE_UNTIL_MS] = -Infinity;
    this.#numbers[first + USED_AT_MS] = -Infinity;
    this.settingsChanged(owner);
  }

  /** Room for one row more; false: there is none. */
  #makeRoom(nowMs: number): boolean {
    if (this.#liveCount >= this.#nodesMax) {
      if (this.#nodesMax === 0 || nowMs - this.#clearedAtMs < TALLY_CLEARED_MS) return false;
      this.#clearedAtMs = nowMs;
      this.#setOut(false);
    } else if ((this.#usedCount + 1) * 2 > this.#mask + 1) this.#setOut(true);
    return true;
  }

  /** Sets the rows out anew, in as much memory as they need; or none of them. */
  #setOut(keepsRows: boolean): void {
    for (const owner of this.#owners) if (owner !== undefined) this.foldAll(owner);
    const [words, hosts] = [this.#words, this.#hosts];
    if (!keepsRows) this.#liveCount = 0;
    let count = ROWS_MIN;
    while (count < 3 * this.#liveCount) count *= 2;
    this.#words = new Int32Array(count * ROW_WORDS);
    this.#doubles = new Float64Array(this.#words.buffer);
    this.#hosts = new Array(count).fill(undefined);
    this.#mask = count - 1;
    this.#usedCount = this.#liveCount;
    for (let place = 0; keepsRows && place < hosts.length; place++) {
      const host = hosts[place];
      if (host === undefined) continue;
      const row = place << ROW_SHIFT;
      const { signedIp, port } = host;
      const to = this.#freePlace(words[row + MOD_ID], words[row + CMD_ID], signedIp, port);
      this.#words.set(words.subarray(row, row + ROW_WORDS), to << ROW_SHIFT);
      this.#hosts[to] = host;
    }
  }

  #freePlace(modId: number, cmdId: number, ip: number, port: number): number {
    const mask = this.#mask;
    let place = hashOf(modId, cmdId, ip, port) & mask;
    while (this.#words[(place << ROW_SHIFT) + STATE] !== 0) place = (place + 1) & mask;
    return place;
  }
}

/** Reads what counting calls of a node, and reporting them, will read and write; the value means nothing. */
function readAhead({ dirty, evidenceCalls, reportErr, stats }: Host): number {
  return Number(dirty) + evidenceCalls + reportErr + (stats?.meanTime.ms ?? 0);
}

function hashOf(modId: number, cmdId: number, ip: number, port: number): number {
  const node = Math.imul(ip ^ Math.imul(port, 0x85eb_ca6b), 0x9e37_79b1);
  const hash = Math.imul(moduleHash(modId | 0, cmdId | 0) ^ node ^ node >>> 15, 0xc2b2_ae35);
  return hash ^ hash >>> 15;
}
