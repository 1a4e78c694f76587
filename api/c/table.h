// Core. Picks from the bytes of the table that the agent keeps in shared memory.
#ifndef LARS_TABLE_H
#define LARS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  LARS_TABLE_VERSION = 1,
  LARS_TABLE_HEADER_BYTES = 4096,
  LARS_TABLE_SLOT_BYTES = 32,
  /** Where the number of changes is. */
  LARS_TABLE_CHANGES = 192,
  /** Entries of a keyed table that are looked at for one that is not out. */
  LARS_TABLE_KEYED_LOOKS_MAX = 1024,
  /** A heartbeat is good up to this age, and so far ahead. */
  LARS_TABLE_OLD_MS = 2000,
  LARS_TABLE_AHEAD_MS = 1000
};

/** A table that was checked: its bytes, which the agent changes, and where they begin. */
typedef struct lars_table {
  const uint8_t *bytes;
  uint64_t words;
  uint32_t slots, first_word;
  uint64_t generation;
  uint32_t agent_ip;
  uint16_t agent_port;
  /** The agent takes records that stand for several outcomes. */
  bool takes_runs;
} lars_table;

/** What a pick found. */
typedef enum lars_found {
  LARS_FOUND_NODE,
  /** No node: the answer is overload. */
  LARS_FOUND_REFUSAL,
  /** Nothing: the agent has to be asked. */
  LARS_FOUND_NOTHING,
  /** The table is broken: it must not be used any more. */
  LARS_FOUND_BROKEN
} lars_found;

/** Checks a file of so many bytes at an address aligned to 8; false when it is not to be used. */
bool lars_table_check(const uint8_t *bytes, uint64_t length, lars_table *table);

/** True when the agent has written not long before now_ms, by CLOCK_MONOTONIC. */
bool lars_table_is_fresh(const lars_table *table, int64_t now_ms);

/** True when this file is written no more. */
bool lars_table_is_retired(const lars_table *table);

/** The same as lars_table_next, for a key. */
lars_found lars_table_keyed(const lars_table *table, uint32_t slot, uint32_t *cursor,
                            const void *key, size_t key_bytes, uint64_t *entry);

/** Address, port, and marks of an entry. */
static inline uint32_t lars_entry_ip(uint64_t entry) { return (uint32_t)entry; }
static inline uint16_t lars_entry_port(uint64_t entry) { return (uint16_t)(entry >> 32); }
static inline bool lars_entry_is_probe(uint64_t entry) { return (entry >> 48 & 1) != 0; }
static inline bool lars_entry_is_out(uint64_t entry) { return (entry >> 49 & 1) != 0; }
static inline bool lars_entry_is_refusal(uint64_t entry) { return (entry >> 50 & 1) != 0; }

/** Where a slot keeps its schedule. */
enum { LARS_SLOT_SCHEDULE = 8 };

static inline const uint8_t *lars_slot_at(const lars_table *table, uint32_t slot) {
  return table->bytes + LARS_TABLE_HEADER_BYTES + (uint64_t)slot * LARS_TABLE_SLOT_BYTES;
}

static inline uint64_t lars_load_schedule(const uint8_t *slot) {
  return __atomic_load_n((const uint64_t *)(const void *)(slot + LARS_SLOT_SCHEDULE),
                         __ATOMIC_ACQUIRE);
}

/** Where a module begins to look for its slot. */
static inline uint32_t lars_module_hash(uint32_t modid, uint32_t cmdid) {
  uint32_t hash = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  return hash ^ hash >> 13;
}

/** The slot of a module, or -1. */
static inline int32_t lars_table_slot(const lars_table *table, uint32_t modid, uint32_t cmdid) {
  uint32_t mask = table->slots - 1, slot = lars_module_hash(modid, cmdid) & mask;
  for (uint32_t looks = 0; looks < table->slots; looks++, slot = (slot + 1) & mask) {
    const uint8_t *at = lars_slot_at(table, slot);
    if (lars_load_schedule(at) == 0) return -1;
    const uint32_t *ids = (const uint32_t *)(const void *)at;
    if (__atomic_load_n(ids, __ATOMIC_RELAXED) == modid &&
        __atomic_load_n(ids + 1, __ATOMIC_RELAXED) == cmdid) {
      return (int32_t)slot;
    }
  }
  return -1;
}

/** Another number after each change of any module; 0: the writer does not say. */
static inline uint32_t lars_table_changes(const lars_table *table) {
  return __atomic_load_n((const uint32_t *)(const void *)(table->bytes + LARS_TABLE_CHANGES),
                         __ATOMIC_ACQUIRE);
}

/** Where the entries of a module are: its first word, and how many there are. */
typedef struct lars_schedule {
  uint32_t first, count;
} lars_schedule;

/** Reads a schedule; one that is LARS_FOUND_NODE lies in the file. */
static inline lars_found lars_table_schedule(const lars_table *table, uint32_t slot,
                                             lars_schedule *schedule) {
  uint64_t word = lars_load_schedule(lars_slot_at(table, slot));
  schedule->first = (uint32_t)word;
  schedule->count = (uint32_t)(word >> 32);
  if (schedule->count == 0) return LARS_FOUND_NOTHING;
  bool fits = schedule->first >= table->first_word &&
              (uint64_t)schedule->first + schedule->count <= table->words;
  return fits ? LARS_FOUND_NODE : LARS_FOUND_BROKEN;
}

/** The entry of a schedule whose turn it is. */
static inline lars_found lars_table_turn(const lars_table *table, const lars_schedule *schedule,
                                         uint32_t *cursor, uint64_t *entry) {
  uint32_t index = *cursor;
  if (index >= schedule->count) index %= schedule->count;
  *cursor = index + 1;
  const uint64_t *words = (const uint64_t *)(const void *)table->bytes;
  *entry = __atomic_load_n(words + schedule->first + index, __ATOMIC_RELAXED);
  if (lars_entry_is_refusal(*entry)) return LARS_FOUND_REFUSAL;
  return lars_entry_port(*entry) != 0 ? LARS_FOUND_NODE : LARS_FOUND_NOTHING;
}

/** The entry whose turn it is; cursor is that of this thread and module. */
static inline lars_found lars_table_next(const lars_table *table, uint32_t slot, uint32_t *cursor,
                                         uint64_t *entry) {
  lars_schedule schedule;
  lars_found found = lars_table_schedule(table, slot, &schedule);
  return found == LARS_FOUND_NODE ? lars_table_turn(table, &schedule, cursor, entry) : found;
}

#endif
