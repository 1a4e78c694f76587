// Core. The layout of the agent's table in shared memory, as shared_table.md has it.

/** The bytes `LARSTBL1` as a little-endian number of 64 bits. */
export const TABLE_MAGIC = 0x314c_4254_5352_414cn;

/** Layout version; readers of another one do not use the file. */
export const TABLE_LAYOUT_VERSION = 1;

/** Bytes of the header; the directory begins there. */
export const TABLE_HEADER_BYTES = 4096;

/** Bytes of one slot of the directory. */
export const TABLE_SLOT_BYTES = 32;

/** A heartbeat older than this says that nobody writes the table. Milliseconds. */
export const TABLE_OLD_MS = 2000;

/** Where the fields of the header are, in bytes. */
export const TableField = {
  Magic: 0,
  Version: 8,
  HeaderBytes: 12,
  FileBytes: 16,
  Generation: 24,
  Slots: 32,
  SlotBytes: 36,
  FirstBlock: 40,
  ProcessId: 44,
  Ip: 48,
  Port: 52,
  Takes: 56,
  Heartbeat: 64,
  Retired: 128,
  Changes: 192,
} as const;

/** Where the fields of a slot are, in bytes. */
export const SlotField = {
  ModId: 0,
  CmdId: 4,
  Schedule: 8,
  Keyed: 16,
  Flags: 24,
  Version: 28,
} as const;

/** Flag of a slot: keyed picks are made by the agent only. */
export const KEYED_BY_AGENT = 1;

/** What the agent says in the header that it takes: records of several outcomes. */
export const TAKES_RUNS = 1;

/** Kinds of keyed tables. */
export const KeyedKind = { Ring: 1, Maglev: 2 } as const;

/** Marks of an entry, the upper 16 of its 64 bits. */
export const EntryTag = {
  /** The node is out; this call is to show whether it is well again. */
  Probe: 1,
  /** Of keyed tables: the node is out, take another entry. */
  Out: 2,
  /** No node: the answer is overload. */
  Refused: 4,
} as const;

/** Entries of a keyed table that a pick looks at, at most. */
export const KEYED_LOOKS_MAX = 1024;

/** Bytes of one record of a batched report. */
export const OUTCOME_BYTES = 24;

/** Most records in one batched report. */
export const OUTCOMES_MAX = 2700;

/** Most outcomes in one batched report, all runs together. */
export const RUN_OUTCOMES_MAX = 65_536;

/** Mark of a record, in its tag: it stands for several outcomes, and its return code says how many. */
export const RUN_TAG = 0x8000;

/** The time of a record whose call took nobody knows how long. */
export const OUTCOME_TIME_UNKNOWN = 0xffff_ffff;

/** Where the fields of a record are, in bytes. */
export const OutcomeField = {
  ModId: 0,
  CmdId: 4,
  Ip: 8,
  Port: 12,
  Tag: 14,
  RetCode: 16,
  /** In the place of the return code, of a record that is a run. */
  Count: 16,
  TimeMs: 20,
} as const;

/** The upper half of an entry: port and marks. The lower half is the address. */
export function entryUpper(port: number, tag: number): number {
  return (port | tag << 16) >>> 0;
}
