// Core. The agent's table of picks as a reader sees it; proto/shared_table.md is the contract.

import { moduleHash } from "../model/module.ts";
import {
  EntryTag,
  KEYED_BY_AGENT,
  KEYED_LOOKS_MAX,
  KeyedKind,
  SlotField,
  TABLE_HEADER_BYTES,
  TABLE_LAYOUT_VERSION,
  TABLE_MAGIC,
  TABLE_OLD_MS,
  TABLE_SLOT_BYTES,
  TableField,
  TAKES_RUNS,
} from "../proto/table_layout.ts";
import type { Rng } from "../reactor/time/rng.ts";

/** A heartbeat may be so much ahead of the reader's clock. Milliseconds. */
const AHEAD_MS_MAX = 1000;

const SLOT_UINTS = TABLE_SLOT_BYTES / 4;
const SLOTS_AT = TABLE_HEADER_BYTES / 4;
const SCHEDULE = SlotField.Schedule / 4;
const KEYED = SlotField.Keyed / 4;
const FLAGS = SlotField.Flags / 4;

/** What a look at the table came to. */
export const TablePick = {
  /** A node; the fields of the view have it. */
  Node: 0,
  /** No node: the answer is overload. */
  Refused: 1,
  /** The agent has to be asked. */
  Ask: 2,
} as const;

/** Any outcome of {@linkcode TablePick}. */
export type TablePick = (typeof TablePick)[keyof typeof TablePick];

/** Finds the number of a key again, for the steps of Maglev: the upper 31 bits of its hash. */
export type RehashKey = (key: number) => number;

/**
 * One mapping of one table. A pick allocates nothing: its result is in the fields. The cursors of
 * the walk begin by chance, so that the readers of a host do not walk in step.
 */
export class TableView {
  /** Of the last pick that gave a node: address, unsigned. */
  ip = 0;
  port = 0;
  /** Marks of its entry. */
  tag = 0;
  readonly generation: number;
  readonly port0: number;
  /** Address on which its agent listens, unsigned. */
  readonly ip0: number;
  /** The agent takes records that stand for several outcomes. */
  readonly takesRuns: boolean;
  readonly #slots: number;
  readonly #firstBlock: number;
  readonly #words: number;
  readonly #uints: Uint32Array;
  readonly #entries: Float64Array;
  readonly #doubles: DataView;
  readonly #cursors: Uint32Array;
  readonly #entry = new Float64Array(1);
  readonly #halves = new Uint32Array(this.#entry.buffer);
  readonly #fence = new Int32Array(1);

  /**
   * @throws {Error} when the memory is no table of a layout that is known here; the message says why.
   */
  constructor(memory: ArrayBuffer, rng: Rng) {
    const fault = faultOf(memory);
    if (fault !== undefined) throw new Error(`Shared table cannot be read: ${fault}`);
    const head = new DataView(memory, 0, TABLE_HEADER_BYTES);
    this.generation = Number(head.getBigUint64(TableField.Generation, true));
    this.port0 = head.getUint16(TableField.Port, true);
    this.ip0 = head.getUint32(TableField.Ip, true);
    this.takesRuns = (head.getUint32(TableField.Takes, true) & TAKES_RUNS) !== 0;
    this.#slots = head.getUint32(TableField.Slots, true);
    this.#firstBlock = head.getUint32(TableField.FirstBlock, true);
    this.#words = Math.floor(memory.byteLength / 8);
    this.#uints = new Uint32Array(memory);
    this.#entries = new Float64Array(memory);
    this.#doubles = new DataView(memory);
    this.#cursors = Uint32Array.from(
      { length: this.#slots },
      () => Math.floor(rng.next() * 0x1_0000_0000),
    );
  }

  /** True once another file took the place of this one, or the agent has stopped. */
  get isRetired(): boolean {
    this.#lookAnew();
    return this.#uints[TableField.Retired / 4] !== 0;
  }

  /** True while somebody writes it. @param monotonicMs Time since the machine started. */
  isFresh(monotonicMs: number): boolean {
    this.#lookAnew();
    const beat = Number(this.#doubles.getBigUint64(TableField.Heartbeat, true));
    return beat >= monotonicMs - TABLE_OLD_MS && beat <= monotonicMs + AHEAD_MS_MAX;
  }

  /** Number of a module's slot; -1 when it has none. It stays the same as long as the file. */
  slotOf(modId: number, cmdId: number): number {
    const mod = modId >>> 0;
    const cmd = cmdId >>> 0;
    const uints = this.#uints;
    const mask = this.#slots - 1;
    let slot = moduleHash(mod, cmd) & mask;
    this.#lookAnew();
    for (let look = 0; look <= mask; look++, slot = (slot + 1) & mask) {
      const at = SLOTS_AT + slot * SLOT_UINTS;
      // Before the ids, which are there once this is.
      if (uints[at + SCHEDULE] === 0) return -1;
      this.#lookAnew();
      if (uints[at] === mod && uints[at + 1] === cmd) return slot;
    }
    return -1;
  }

  /** The next node of a module, by its slot. */
  pick(slot: number): TablePick {
    if (!this.#readName(SLOTS_AT + slot * SLOT_UINTS + SCHEDULE)) return TablePick.Ask;
    const first = this.#halves[0];
    const count = this.#halves[1];
    if (count === 0 || !this.#isBlock(first, count)) return TablePick.Ask;
    let turn = this.#cursors[slot];
    if (turn >= count) turn %= count;
    this.#cursors[slot] = turn + 1;
    return this.#take(first + turn);
  }

  /** The node of a key, by the slot of a module. */
  pickKeyed(slot: number, key: number, rehash: RehashKey): TablePick {
    const walked = this.pick(slot);
    if (walked !== TablePick.Node || (this.tag & EntryTag.Probe) !== 0) return walked;
    const at = SLOTS_AT + slot * SLOT_UINTS;
    if ((this.#uints[at + FLAGS] & KEYED_BY_AGENT) !== 0) return TablePick.Ask;
    if (!this.#readName(at + KEYED)) return walked;
    const block = this.#halves[0];
    if (!this.#isBlock(block, 1)) return TablePick.Ask;
    this.#entry[0] = this.#entries[block];
    const kind = this.#halves[0];
    const count = this.#halves[1];
    const { ip, port, tag } = this;
    const found = kind === KeyedKind.Ring
      ? this.#findInRing(block + 1, count, key)
      : kind === KeyedKind.Maglev
      ? this.#findInMaglev(block + 1, count, key, rehash)
      : undefined;
    if (found !== false) return found === true ? TablePick.Node : TablePick.Ask;
    // All near entries are out: the turn that was walked is as good as any.
    this.ip = ip;
    this.port = port;
    this.tag = tag;
    return walked;
  }

  /** Undefined: the block is broken. */
  #findInRing(hashes: number, count: number, key: number): boolean | undefined {
    const first = hashes + Math.ceil(count / 2);
    if (count === 0 || !this.#isBlock(hashes, first - hashes + count)) return undefined;
    const uints = this.#uints;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (uints[hashes * 2 + middle] < key) low = middle + 1;
      else high = middle;
    }
    return this.#takeUsable(first, count, low === count ? 0 : low, 1);
  }

  #findInMaglev(
    first: number,
    count: number,
    key: number,
    rehash: RehashKey,
  ): boolean | undefined {
    if (count < 2 || !this.#isBlock(first, count)) return undefined;
    return this.#takeUsable(first, count, key % count, rehash(key) % (count - 1) + 1);
  }

  #takeUsable(first: number, count: number, from: number, step: number): boolean {
    let entry = from;
    for (let look = Math.min(count, KEYED_LOOKS_MAX); look > 0; look--) {
      this.#take(first + entry);
      if ((this.tag & EntryTag.Out) === 0) return true;
      entry = (entry + step) % count;
    }
    return false;
  }

  /** Reads a word that names a block, in one; false when it is 0. */
  #readName(at: number): boolean {
    this.#lookAnew();
    this.#entry[0] = this.#entries[at / 2];
    return this.#halves[0] !== 0;
  }

  /**
   * Keeps the engine from taking what it read before for what stands there now. On memory of one's
   * own: `Atomics.load` of Bun writes, which ends a process whose mapping is for reading.
   */
  #lookAnew(): void {
    Atomics.load(this.#fence, 0);
  }

  #isBlock(first: number, words: number): boolean {
    return first >= this.#firstBlock && first + words <= this.#words;
  }

  #take(word: number): TablePick {
    this.#entry[0] = this.#entries[word];
    this.ip = this.#halves[0];
    const upper = this.#halves[1];
    this.port = upper & 0xffff;
    this.tag = upper >>> 16;
    if ((this.tag & EntryTag.Refused) !== 0) return TablePick.Refused;
    return this.port === 0 ? TablePick.Ask : TablePick.Node;
  }
}

/** Why memory is no table that can be read; undefined when it is one. */
function faultOf(memory: ArrayBuffer): string | undefined {
  const { byteLength } = memory;
  if (byteLength < TABLE_HEADER_BYTES) return `it has ${byteLength} bytes`;
  const head = new DataView(memory, 0, TABLE_HEADER_BYTES);
  if (head.getBigUint64(TableField.Magic, true) !== TABLE_MAGIC) {
    return "it is no table, or not complete";
  }
  const version = head.getUint32(TableField.Version, true);
  if (version !== TABLE_LAYOUT_VERSION) {
    return `its layout has version ${version}, and ${TABLE_LAYOUT_VERSION} is known`;
  }
  const slots = head.getUint32(TableField.Slots, true);
  const first = head.getUint32(TableField.FirstBlock, true);
  const isWhole = head.getUint32(TableField.HeaderBytes, true) === TABLE_HEADER_BYTES &&
    head.getUint32(TableField.SlotBytes, true) === TABLE_SLOT_BYTES &&
    Number(head.getBigUint64(TableField.FileBytes, true)) === byteLength &&
    slots > 0 && (slots & (slots - 1)) === 0 &&
    first * 8 >= TABLE_HEADER_BYTES + slots * TABLE_SLOT_BYTES && first * 8 <= byteLength;
  return isWhole ? undefined : "its header does not fit its size";
}
