// Core. Finds a module by its two ids without making a key: open addressing over plain arrays.

/** What a table holds; both ids are unsigned. */
export interface ModuleKeyed {
  readonly modId: number;
  readonly cmdId: number;
}

/** Slots of an empty table. */
const SLOTS_MIN = 16;

/**
 * Hash of the ids of a module, signed or unsigned; 32 bits, unsigned. Two rounds of multiply and
 * shift, as ids often differ by one.
 */
export function moduleHash(modId: number, cmdId: number): number {
  let hash = Math.imul(modId, 0x9e3779b1) ^ Math.imul(cmdId, 0x85ebca6b);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/**
 * A hash table with linear probing, at most half full. A lookup costs a third of one in a Map of
 * Maps, and a module that comes and goes leaves no garbage behind.
 */
export class ModuleTable<T extends ModuleKeyed> {
  #slots: (T | undefined)[] = new Array(SLOTS_MIN).fill(undefined);
  #count = 0;

  /** Number of modules. */
  get count(): number {
    return this.#count;
  }

  /** The module with these ids, signed or unsigned, or undefined. */
  get(modId: number, cmdId: number): T | undefined {
    const mod = modId >>> 0;
    const cmd = cmdId >>> 0;
    const mask = this.#slots.length - 1;
    for (let i = moduleHash(mod, cmd) & mask;; i = (i + 1) & mask) {
      const item = this.#slots[i];
      if (item === undefined || (item.modId === mod && item.cmdId === cmd)) return item;
    }
  }

  /**
   * Adds a module.
   *
   * @throws {Error} when there is one with its ids already.
   */
  add(item: T): void {
    if ((this.#count + 1) * 2 > this.#slots.length) this.#grow();
    const index = this.#indexOf(item);
    if (this.#slots[index] !== undefined) throw new Error("Module is in the table already");
    this.#slots[index] = item;
    this.#count++;
  }

  /** Removes a module; does nothing when it is not there. */
  remove(item: T): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#indexOf(item);
    if (slots[hole] !== item) return;
    this.#count--;
    // Later items of the same run move up, so that no probe sequence is cut by the hole.
    for (let i = (hole + 1) & mask;; i = (i + 1) & mask) {
      const next = slots[i];
      if (next === undefined) break;
      const home = moduleHash(next.modId, next.cmdId) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slots[hole] = next;
      hole = i;
    }
    slots[hole] = undefined;
  }

  /** All modules, in no particular order. The table must not change meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (const item of this.#slots) if (item !== undefined) yield item;
  }

  /** Slot of the item with the same ids, or the free one where it belongs. */
  #indexOf(item: T): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let i = moduleHash(item.modId, item.cmdId) & mask;; i = (i + 1) & mask) {
      const found = slots[i];
      if (found === undefined || (found.modId === item.modId && found.cmdId === item.cmdId)) {
        return i;
      }
    }
  }

  #grow(): void {
    const items = this.#slots;
    this.#slots = new Array(items.length * 2).fill(undefined);
    for (const item of items) if (item !== undefined) this.#slots[this.#indexOf(item)] = item;
  }
}
