// Core. The agent's table as an exchange describes it, and its bytes: right ones and wrong ones.

import { moduleHash } from "../../model/module.ts";
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
import { parseIpv4 } from "../../reactor/address.ts";

/** A module in the table. */
export interface TableModule {
  /** `ip:port`, with `probe` or `out` after it where it is so; `refused`; `empty` for a word of 0. */
  readonly entries: readonly string[];
  /** Entries that the schedule claims. @default {those that are there} */
  readonly count?: number;
  /** First word that the schedule claims. @default {where they are} */
  readonly first?: number;
  /** Entries of a keyed table; a ring has a hash for each. */
  readonly keyed?: { readonly entries: readonly string[]; readonly hashes?: readonly number[] };
  /** Keyed picks are made by the agent only. */
  readonly keysByAgent?: boolean;
}

/** A table. What is not said is as it should be. */
export interface TableScript {
  /** By `modid,cmdid`. */
  readonly modules: Readonly<Record<string, TableModule>>;
  readonly version?: number;
  /** False: the magic is missing, as in a file that is not finished. */
  readonly magic?: boolean;
  /** Added to the size that the header says. */
  readonly lengthPlus?: number;
  /** Slots that the header says. */
  readonly slots?: number;
  /** True: others may write the file. */
  readonly writable?: boolean;
  /** True: the last heartbeat was long ago. */
  readonly old?: boolean;
  readonly retired?: boolean;
  /** True: written over the file that is there, word by word. */
  readonly inPlace?: boolean;
  /** False: the writer does not number its changes. */
  readonly numbered?: boolean;
  /** False: the agent takes no records that stand for several outcomes. */
  readonly takesRuns?: boolean;
}

const SLOTS = 16;
const WORD_BYTES = 8;
const FIRST_WORD = (TABLE_HEADER_BYTES + SLOTS * TABLE_SLOT_BYTES) / WORD_BYTES;
const WORDS = 1024;
const LOOPBACK_IP = 0x7f000001;

/** Puts blocks into the file one after the other. */
class BlockWriter {
  readonly view: DataView;
  #next = FIRST_WORD;

  constructor(view: DataView) {
    this.view = view;
  }

  /** @returns the first word. */
  entries(entries: readonly string[]): number {
    const first = this.#next;
    for (const entry of entries) this.#word(...readEntry(entry));
    return first;
  }

  keyed({ entries, hashes }: NonNullable<TableModule["keyed"]>): number {
    const first = this.#next;
    this.#word(hashes === undefined ? KeyedKind.Maglev : KeyedKind.Ring, entries.length);
    for (let at = 0; at < (hashes?.length ?? 0); at += 2) {
      this.#word(hashes?.[at] ?? 0, hashes?.[at + 1] ?? 0);
    }
    this.entries(entries);
    return first;
  }

  #word(lower: number, upper: number): void {
    this.view.setUint32(this.#next * WORD_BYTES, lower, true);
    this.view.setUint32(this.#next * WORD_BYTES + 4, upper, true);
    this.#next++;
  }
}

/** Lower and upper half of an entry. */
function readEntry(text: string): [number, number] {
  if (text === "empty") return [0, 0];
  if (text === "refused") return [0, entryUpper(0, EntryTag.Refused)];
  const [node, mark] = text.split(" ");
  const [ip, port] = node.split(":");
  const tag = mark === "probe" ? EntryTag.Probe : mark === "out" ? EntryTag.Out : 0;
  return [parseIpv4(ip), entryUpper(Number(port), tag)];
}

function putModule(
  blocks: BlockWriter,
  key: string,
  module: TableModule,
  version: number,
): void {
  const { view } = blocks;
  const [modId, cmdId] = key.split(",").map((id) => Number(id) >>> 0);
  const wordAt = (slot: number): number => TABLE_HEADER_BYTES + slot * TABLE_SLOT_BYTES;
  let slot = moduleHash(modId, cmdId) & (SLOTS - 1);
  while (view.getBigUint64(wordAt(slot) + SlotField.Schedule, true) !== 0n) {
    slot = (slot + 1) & (SLOTS - 1);
  }
  const at = wordAt(slot);
  view.setUint32(at + SlotField.ModId, modId, true);
  view.setUint32(at + SlotField.CmdId, cmdId, true);
  const first = module.first ?? blocks.entries(module.entries);
  view.setUint32(at + SlotField.Schedule, first, true);
  view.setUint32(at + SlotField.Schedule + 4, module.count ?? module.entries.length, true);
  if (module.keyed !== undefined) {
    view.setUint32(at + SlotField.Keyed, blocks.keyed(module.keyed), true);
    view.setUint32(at + SlotField.Keyed + 4, 1, true);
  }
  view.setUint32(at + SlotField.Flags, module.keysByAgent === true ? KEYED_BY_AGENT : 0, true);
  view.setUint32(at + SlotField.Version, version, true);
}

/**
 * The words in which two images differ, in the order in which a writer stores them: entries, what names
 * them, the versions of modules, the number of changes. The rest of the header is left alone.
 */
export function changedWords(before: Uint8Array, after: Uint8Array): number[] {
  const words: number[] = [];
  for (let word = after.length / WORD_BYTES - 1; word >= TABLE_HEADER_BYTES / WORD_BYTES; word--) {
    const at = word * WORD_BYTES;
    const isNew = before.subarray(at, at + WORD_BYTES).join() !==
      after.subarray(at, at + WORD_BYTES).join();
    if (isNew) words.push(word);
  }
  const isVersion = (word: number): boolean =>
    word < FIRST_WORD && word * WORD_BYTES % TABLE_SLOT_BYTES === SlotField.Flags;
  return [
    ...words.filter((word) => !isVersion(word)),
    ...words.filter(isVersion),
    TableField.Changes / WORD_BYTES,
  ];
}

/**
 * The whole file; `port` is the first of the agent's, `beatMs` the heartbeat, `changes` the number of
 * all changes, which is that of each module too, `ip` where the agent listens.
 */
export function tableImage(
  script: TableScript,
  port: number,
  beatMs: number,
  changes = 1,
  ip = LOOPBACK_IP,
): Uint8Array {
  const bytes = new Uint8Array(WORDS * WORD_BYTES);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number): void => view.setUint32(at, value, true);
  view.setBigUint64(TableField.Magic, script.magic === false ? 0n : TABLE_MAGIC, true);
  put(TableField.Version, script.version ?? TABLE_LAYOUT_VERSION);
  put(TableField.HeaderBytes, TABLE_HEADER_BYTES);
  put(TableField.FileBytes, bytes.length + (script.lengthPlus ?? 0));
  put(TableField.Generation, 1);
  put(TableField.Slots, script.slots ?? SLOTS);
  put(TableField.SlotBytes, TABLE_SLOT_BYTES);
  put(TableField.FirstBlock, FIRST_WORD);
  put(TableField.Ip, ip);
  view.setUint16(TableField.Port, port, true);
  put(TableField.Takes, script.takesRuns === false ? 0 : TAKES_RUNS);
  view.setBigUint64(TableField.Heartbeat, BigInt(Math.max(0, Math.trunc(beatMs))), true);
  put(TableField.Retired, script.retired === true ? 1 : 0);
  const version = script.numbered === false ? 0 : changes;
  put(TableField.Changes, version);
  const blocks = new BlockWriter(view);
  for (const [key, module] of Object.entries(script.modules)) {
    putModule(blocks, key, module, version);
  }
  return bytes;
}
