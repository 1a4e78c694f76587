// Core. What a module is, how it is named and found, and what its settings may be.

/** Largest unsigned 32-bit number: of a module, a command, an IPv4 address. */
export const UINT32_MAX = 4_294_967_295;

/** Longest name of a module, in characters. */
export const MODULE_NAME_LENGTH_MAX = 128;

/** Longest policy of a module, a JSON object as text. Bytes of UTF-8. */
export const MODULE_POLICY_BYTES_MAX = 4_096;

/**
 * A module: what callers ask a node of. Both are unsigned 32-bit numbers; not read-only, because
 * messages off the wire are filled field by field.
 */
export interface ModuleKey {
  modId: number;
  cmdId: number;
}

/**
 * One row of Module: what a module is called, and how its nodes are picked and judged. A module that
 * was changed by `editRoutes` or `setModules` has a row, with or without name and policy: its
 * changes are marked when they are meant. Modules that only foreign hands wrote have none.
 */
export interface ModuleRow extends ModuleKey {
  /** At most 128 printable characters; "" = none. */
  readonly name: string;
  /**
   * Text of a JSON object as `parseModulePolicy` of `balancer/` reads it, at most 4096 bytes of
   * UTF-8; "" = the rules of the configuration. Foreign writers may have stored anything.
   */
  readonly policy: string;
  /** Last change, in unix seconds. */
  readonly updatedAt: number;
  /**
   * Which nodes its last change left that was meant, as `meantMark` of `pickable_nodes.ts` writes
   * it; "" = none, undefined = the schema cannot say.
   */
  readonly meant?: string | undefined;
}

/**
 * What a module is, wherever modules are listed, counted or looked up: numbers that have nodes, or a
 * name, or a policy. A row of Module alone makes none: it stays for its mark when the rest is gone.
 */
export function isModule(
  { name, policy }: Pick<ModuleRow, "name" | "policy">,
  nodeCount = 0,
): boolean {
  return nodeCount > 0 || name !== "" || policy !== "";
}

/** A new name or policy of a module; what is left out stays. "" takes it away. */
export interface ModuleChange extends ModuleKey {
  readonly name?: string;
  readonly policy?: string;
}

/**
 * A module as the key of maps: `modId * 2^32 + cmdId` while that is exact, else the text
 * `"modId,cmdId"`. Maps find numbers several times faster than fresh texts, and modIds from 2^21 up
 * are rare. Never shown to anybody.
 */
export type ModuleId = number | string;

/** Below this modId both numbers fit the 53 bits of a number. */
const NUMBER_MOD_ID_END = 2 ** 21;

/** The id of a module; both numbers unsigned. */
export function moduleId(modId: number, cmdId: number): ModuleId {
  return modId < NUMBER_MOD_ID_END ? modId * 0x1_0000_0000 + cmdId : `${modId},${cmdId}`;
}

/** The module that {@linkcode moduleId} named. */
export function moduleOf(id: ModuleId): ModuleKey {
  if (typeof id === "number") {
    return { modId: Math.floor(id / 0x1_0000_0000), cmdId: id % 0x1_0000_0000 };
  }
  const comma = id.indexOf(",");
  return { modId: Number(id.slice(0, comma)), cmdId: Number(id.slice(comma + 1)) };
}

/** A module as console, audit and messages name it: `1/2`. */
export function moduleText({ modId, cmdId }: ModuleKey): string {
  return `${modId}/${cmdId}`;
}

/** A module as command line and logs name it: `1,2`. Queues of results are chosen by it too. */
export function modulePair({ modId, cmdId }: ModuleKey): string {
  return `${modId},${cmdId}`;
}

/** Modules that the keys name, each once, in order of first mention. */
export function uniqueModules(keys: readonly ModuleKey[]): ModuleKey[] {
  const modules = new Map<ModuleId, ModuleKey>();
  for (const { modId, cmdId } of keys) modules.set(moduleId(modId, cmdId), { modId, cmdId });
  return [...modules.values()];
}

/** True for text that people can read on one line: well-formed, without control characters. */
export function isPrintable(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return text.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(text);
}

/** Slots of an empty {@linkcode ModuleTable}. */
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
 * What is kept of each module, found by its ids without making a key: a hash table with linear
 * probing, at most half full. A lookup costs a third of one in a Map of
 * Maps, and a module that comes and goes leaves no garbage behind.
 */
export class ModuleTable<T extends Readonly<ModuleKey>> {
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
