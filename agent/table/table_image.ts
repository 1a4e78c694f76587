// Core. The bytes of a table of picks, as proto/shared_table.md lays them out: written in place, so that
// readers of any moment find whole entries.

import { isOut, type KeyedTable, type PickPlan, REFUSED_TURN } from "../../balancer/mod.ts";
import { moduleHash, type ModuleKey, ModuleTable, UINT32_MAX } from "../../model/module.ts";
import {
  EntryTag,
  entryUpper,
  KEYED_BY_AGENT,
  KeyedKind,
  SlotField,
  TABLE_HEADER_BYTES,
  TABLE_LAYOUT_VERSION,
  TABLE_MAGIC,
  TABLE_SLOT_BYTES,
  TableField,
  TAKES_RUNS,
} from "../../proto/table_layout.ts";

const WORD_BYTES = 8;

/** Smallest block of turns: some room for weights and verdicts to come. */
const BLOCK_WORDS_MIN = 32;

const PAGE_BYTES = 4096;

/** How large a table is. */
export interface TableSize {
  /** Slots of the directory, a power of two; half of them can be taken. */
  readonly slots: number;
  /** Words of blocks. */
  readonly words: number;
}

/** Who writes a table, and where it can be asked. */
export interface TableOwner {
  readonly processId: number;
  /** Address and first port for datagrams. */
  readonly ip: number;
  readonly port: number;
}

/** Bytes of a table, a multiple of 4096. */
export function tableBytes({ slots, words }: TableSize): number {
  const bytes = TABLE_HEADER_BYTES + slots * TABLE_SLOT_BYTES + words * WORD_BYTES;
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/** Slots for so many modules: so many that most readers find theirs where they look first. */
export function slotsFor(modules: number): number {
  let slots = 4;
  while (slots < 4 * modules) slots *= 2;
  return slots;
}

/** A module of the table. */
class Place implements ModuleKey {
  readonly modId: number;
  readonly cmdId: number;
  /** Byte of its slot. */
  readonly slot: number;
  /** First word of its block of turns, and how many there are. */
  first = 0;
  words = 0;
  count = 0;
  /** First word of its block of keys, and what is in it. */
  keyedFirst = 0;
  keyedWords = 0;
  keyed: KeyedTable | undefined = undefined;
  /** Number of what was written of it last; 0 is none. */
  version = 0;

  constructor(modId: number, cmdId: number, slot: number) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.slot = slot;
  }
}

/** Words of a block of keys. */
function keyedWords({ owners, hashes }: KeyedTable): number {
  return 1 + (hashes === undefined ? 0 : Math.ceil(hashes.length / 2)) + owners.length;
}

/**
 * One table. Entries are numbers of 64 bits that are never a NaN, and each is stored as one: engines
 * do that in one piece. What names a block is stored after what is in it, by `Atomics`, which nothing
 * overtakes.
 */
export class TableImage {
  readonly size: TableSize;
  readonly #bytes: Uint8Array;
  readonly #uints: Uint32Array;
  /** The same memory as entries; see above. */
  readonly #entries: Float64Array;
  readonly #names: BigUint64Array;
  readonly #places = new ModuleTable<Place>();
  /** The next word that belongs to no block. */
  #nextWord: number;
  readonly #endWord: number;
  /** One entry as its halves, and as what is stored. */
  readonly #halves = new Uint32Array(2);
  readonly #entry = new Float64Array(this.#halves.buffer);
  /** Counts what was written, of all modules; 0 is none. */
  #changes = 0;

  /**
   * @param memory All zero, and of `tableBytes(size)` bytes.
   * @param generation When it was made, in unix milliseconds.
   */
  constructor(memory: ArrayBuffer, size: TableSize, owner: TableOwner, generation: number) {
    this.size = size;
    this.#bytes = new Uint8Array(memory);
    this.#uints = new Uint32Array(memory);
    this.#entries = new Float64Array(memory);
    this.#names = new BigUint64Array(memory);
    this.#nextWord = (TABLE_HEADER_BYTES + size.slots * TABLE_SLOT_BYTES) / WORD_BYTES;
    this.#endWord = this.#nextWord + size.words;
    const head = new DataView(memory, 0, TABLE_HEADER_BYTES);
    head.setUint32(TableField.Version, TABLE_LAYOUT_VERSION, true);
    head.setUint32(TableField.HeaderBytes, TABLE_HEADER_BYTES, true);
    head.setBigUint64(TableField.FileBytes, BigInt(memory.byteLength), true);
    head.setBigUint64(TableField.Generation, BigInt(generation), true);
    head.setUint32(TableField.Slots, size.slots, true);
    head.setUint32(TableField.SlotBytes, TABLE_SLOT_BYTES, true);
    head.setUint32(TableField.FirstBlock, this.#nextWord, true);
    head.setUint32(TableField.ProcessId, owner.processId, true);
    head.setUint32(TableField.Ip, owner.ip, true);
    head.setUint16(TableField.Port, owner.port, true);
    head.setUint32(TableField.Takes, TAKES_RUNS, true);
    this.#countChange();
  }

  /** Modules that have a slot, those that are gone too. */
  get moduleCount(): number {
    return this.#places.count;
  }

  /** Slots and words that modules with turns take: what a table without leftovers would hold. */
  get live(): { readonly modules: number; readonly words: number } {
    let modules = 0;
    let words = 0;
    for (const place of this.#places) {
      if (place.count === 0) continue;
      modules++;
      words += place.words + place.keyedWords;
    }
    return { modules, words };
  }

  /** From now on it may be read. */
  open(): void {
    Atomics.store(this.#names, TableField.Magic / WORD_BYTES, TABLE_MAGIC);
  }

  /** Says that the writer lives. */
  beat(monotonicMs: number): void {
    Atomics.store(this.#names, TableField.Heartbeat / WORD_BYTES, BigInt(monotonicMs));
  }

  /** Says that it is written no more. */
  retire(): void {
    Atomics.store(this.#uints, TableField.Retired / 4, 1);
  }

  /**
   * Writes how nodes of a module are picked; undefined: callers ask for each pick.
   *
   * @returns false when there was no room for it: callers ask for what is missing.
   */
  put(modId: number, cmdId: number, plan: PickPlan | undefined): boolean {
    const known = this.#places.get(modId, cmdId);
    if (plan === undefined || plan.turns.length === 0) {
      if (known !== undefined) {
        this.#empty(known);
        this.#tellChange(known);
      }
      return true;
    }
    const place = known ?? this.#newPlace(modId, cmdId);
    if (place === undefined) return false;
    if (!this.#putTurns(place, plan)) {
      if (known !== undefined) {
        this.#empty(place);
        this.#tellChange(place);
      }
      return false;
    }
    const hasKeys = this.#putKeys(place, plan);
    if (known === undefined) {
      this.#uints[(place.slot + SlotField.ModId) / 4] = modId;
      this.#uints[(place.slot + SlotField.CmdId) / 4] = cmdId;
      this.#places.add(place);
    }
    this.#name(place.slot + SlotField.Schedule, place.first, place.count);
    this.#tellChange(place);
    return hasKeys;
  }

  /** Copies the modules that have turns into a table that is larger, or has no leftovers. */
  copyTo(target: TableImage): void {
    for (const place of this.#places) if (place.count > 0) target.#take(this, place);
  }

  #take(from: TableImage, old: Place): void {
    const { modId, cmdId } = old;
    const place = this.#newPlace(modId, cmdId);
    const first = place === undefined ? undefined : this.#room(old.words + old.keyedWords);
    if (place === undefined || first === undefined) {
      throw new Error(`Table has no room for module ${modId},${cmdId} of the one before`);
    }
    const copy = (word: number, words: number, to: number): void => {
      const bytes = from.#bytes.subarray(word * WORD_BYTES, (word + words) * WORD_BYTES);
      this.#bytes.set(bytes, to * WORD_BYTES);
    };
    place.first = first;
    place.words = old.words;
    place.count = old.count;
    copy(old.first, old.words, first);
    if (old.keyedWords > 0) {
      place.keyed = old.keyed;
      place.keyedWords = old.keyedWords;
      place.keyedFirst = first + old.words;
      copy(old.keyedFirst, old.keyedWords, place.keyedFirst);
      this.#name(place.slot + SlotField.Keyed, place.keyedFirst, 1);
    }
    const ids = old.slot / 4;
    for (const field of [SlotField.ModId, SlotField.CmdId, SlotField.Flags]) {
      this.#uints[(place.slot + field) / 4] = from.#uints[ids + field / 4];
    }
    this.#places.add(place);
    this.#name(place.slot + SlotField.Schedule, first, place.count);
    this.#tellChange(place);
  }

  #newPlace(modId: number, cmdId: number): Place | undefined {
    const { slots } = this.size;
    if ((this.#places.count + 1) * 2 > slots) return undefined;
    let slot = moduleHash(modId, cmdId) & (slots - 1);
    const wordOf = (): number =>
      (TABLE_HEADER_BYTES + slot * TABLE_SLOT_BYTES + SlotField.Schedule) / WORD_BYTES;
    while (this.#names[wordOf()] !== 0n) slot = (slot + 1) & (slots - 1);
    return new Place(modId, cmdId, TABLE_HEADER_BYTES + slot * TABLE_SLOT_BYTES);
  }

  /** First of so many words that belong to nobody yet. */
  #room(words: number): number | undefined {
    if (words > this.#endWord - this.#nextWord) return undefined;
    const first = this.#nextWord;
    this.#nextWord += words;
    return first;
  }

  #empty(place: Place): void {
    place.count = 0;
    this.#name(place.slot + SlotField.Schedule, place.first, 0);
    this.#dropKeys(place);
  }

  #putTurns(place: Place, { nodes, turns }: PickPlan): boolean {
    const { length } = turns;
    if (place.words < length) {
      // A reader that sleeps between its two loads may still look into the old block.
      if (place.words > 0) this.#writeTurns(place.first, place.words, nodes, turns);
      const words = blockWords(length);
      const first = this.#room(words);
      if (first === undefined) return false;
      place.first = first;
      place.words = words;
    }
    // All of the block: what lies beyond the turns has to be right too, see above.
    this.#writeTurns(place.first, place.words, nodes, turns);
    place.count = length;
    return true;
  }

  #writeTurns(first: number, words: number, nodes: PickPlan["nodes"], turns: Uint16Array): void {
    let turn = 0;
    for (let word = first; word < first + words; word++) {
      const node = turns[turn];
      if (node === REFUSED_TURN) this.#write(word, 0, entryUpper(0, EntryTag.Refused));
      else {
        const { ip, port, overload } = nodes[node];
        this.#write(word, ip, entryUpper(port, overload ? EntryTag.Probe : 0));
      }
      if (++turn === turns.length) turn = 0;
    }
  }

  /** False when there is no room: keyed picks are made by the agent then. */
  #putKeys(place: Place, { keyed, keyedHere }: PickPlan): boolean {
    if (keyed === undefined) {
      this.#setFlags(place, keyedHere ? KEYED_BY_AGENT : 0);
      this.#dropKeys(place);
      return true;
    }
    if (place.keyed !== keyed) {
      const words = keyedWords(keyed);
      const first = this.#room(words);
      if (first === undefined) {
        this.#setFlags(place, KEYED_BY_AGENT);
        this.#dropKeys(place);
        return false;
      }
      place.keyed = keyed;
      place.keyedFirst = first;
      place.keyedWords = words;
      const kind = keyed.kind === "ring" ? KeyedKind.Ring : KeyedKind.Maglev;
      this.#write(first, kind, keyed.owners.length);
      if (keyed.hashes !== undefined) this.#uints.set(keyed.hashes, (first + 1) * 2);
    }
    const entries = place.keyedFirst + place.keyedWords - keyed.owners.length;
    this.#writeOwners(entries, keyed);
    this.#name(place.slot + SlotField.Keyed, place.keyedFirst, 1);
    this.#setFlags(place, 0);
    return true;
  }

  #writeOwners(first: number, { hosts, owners }: KeyedTable): void {
    const uppers = hosts.map((host) => entryUpper(host.port, isOut(host) ? EntryTag.Out : 0));
    for (let entry = 0; entry < owners.length; entry++) {
      const owner = owners[entry];
      this.#write(first + entry, hosts[owner].ip, uppers[owner]);
    }
  }

  #dropKeys(place: Place): void {
    if (place.keyed === undefined) return;
    place.keyed = undefined;
    place.keyedFirst = 0;
    place.keyedWords = 0;
    this.#name(place.slot + SlotField.Keyed, 0, 0);
  }

  #setFlags(place: Place, flags: number): void {
    Atomics.store(this.#uints, (place.slot + SlotField.Flags) / 4, flags);
  }

  /** After what is new of a module: readers that keep what they read of it read it anew. */
  #tellChange(place: Place): void {
    place.version = nextNumber(place.version);
    Atomics.store(this.#uints, (place.slot + SlotField.Version) / 4, place.version);
    this.#countChange();
  }

  #countChange(): void {
    this.#changes = nextNumber(this.#changes);
    Atomics.store(this.#uints, TableField.Changes / 4, this.#changes);
  }

  #write(word: number, lower: number, upper: number): void {
    this.#halves[0] = lower;
    this.#halves[1] = upper;
    this.#entries[word] = this.#entry[0];
  }

  /** Stores a word that names a block, unless it stands there already. */
  #name(at: number, first: number, upper: number): void {
    const word = at / WORD_BYTES;
    const value = BigInt(first) | BigInt(upper) << 32n;
    if (this.#names[word] !== value) Atomics.store(this.#names, word, value);
  }
}

/** The next number of 32 bits, without 0. */
function nextNumber(number: number): number {
  return number === UINT32_MAX ? 1 : number + 1;
}

/** Words of a block for so many turns: a power of two, so that a module leaves few blocks behind. */
function blockWords(turns: number): number {
  let words = BLOCK_WORDS_MIN;
  while (words < turns) words *= 2;
  return words;
}
