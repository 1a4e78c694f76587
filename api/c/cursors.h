// Core. Where a thread is in the schedules of modules, and the pick of nearly all calls.
#ifndef LARS_CURSORS_H
#define LARS_CURSORS_H

#include "caller.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static_assert(offsetof(lars_host, port) == 4 && offsetof(lars_host, stale) == 6 &&
                  offsetof(lars_host, weight) == 8 && offsetof(lars_host, zone) == 12,
              "lars_host_of_entry stores more than one member at once");

/** Where a thread is in the schedule of a module: 32 bytes, so that a pick looks at one line. */
typedef struct lars_cursor {
  /** The command above, the module below. */
  uint64_t ids;
  /** What stood in the table when the schedule was read; 0: it has to be read anew. */
  uint64_t stamp;
  /** The schedule, and the entry whose turn it is. */
  uint32_t first, count, next;
  /** Second in which the agent was told that the module is in use; 0: this cursor is nobody's. */
  uint32_t told_s;
} lars_cursor;

/** The cursors of one thread in one table, by the place of the module; at most half are taken. */
typedef struct lars_cursors {
  /** Of the mapping; 0: none. */
  uint64_t epoch;
  lars_cursor *cursors;
  /** Places less one, and how far a hash is shifted to be one of them. */
  uint32_t mask, shift, used;
} lars_cursors;

/** Those of the table that this thread used last; found without a call, in a shared library too. */
extern __thread lars_cursors lars_hot_cursors __attribute__((tls_model("initial-exec")));

/** Another name for the cursors of all threads. */
uint64_t lars_new_epoch(void);

/**
 * The cursor of this thread for a module of the table; one that is new begins at a random place, and is
 * nobody's until told_s is set. NULL without memory.
 */
lars_cursor *lars_cursor_of(const lars_mapping *mapping, uint32_t modid, uint32_t cmdid);

/**
 * Where a module begins to look for its cursor: the golden ratio's multiple (Knuth, The Art of Computer
 * Programming, volume 3, 6.4), which keeps modules of consecutive numbers apart, so that nearly every
 * first look is the right one.
 */
static inline uint32_t lars_cursor_place(const lars_cursors *own, uint64_t ids) {
  return (uint32_t)(ids * 0x9e3779b97f4a7c15u >> own->shift);
}

static inline void lars_host_of_entry(uint64_t entry, lars_host *host) {
  /* Address and port as they lie in the entry, then no marks, weight or zone: two stores. */
  uint64_t words[2] = {entry & 0xffffffffffffu, UINT32_MAX};
  memcpy(host, words, sizeof words);
}

/** True for an entry that is a node. */
static inline bool lars_entry_is_node(uint64_t entry) {
  return lars_entry_port(entry) != 0 && !lars_entry_is_refusal(entry);
}

/** What a schedule is known by that was read at this number of changes. */
static inline uint64_t lars_stamp(const lars_caller *caller, uint32_t changes) {
  return __atomic_load_n(&caller->kept_stamp, __ATOMIC_RELAXED) | changes;
}

/**
 * The most usual pick: from a table that the keeper looks after, of a module that this thread has
 * picked and that is as it was. 0: take the long way.
 */
static inline uint64_t lars_pick_hot(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
  const lars_mapping *mapping = __atomic_load_n(&caller->kept, __ATOMIC_ACQUIRE);
  const lars_cursors *own = &lars_hot_cursors;
  if (mapping == NULL || own->epoch != __atomic_load_n(&mapping->epoch, __ATOMIC_RELAXED)) return 0;
  uint64_t stamp = lars_stamp(caller, lars_table_changes(&mapping->table));
  uint64_t ids = (uint64_t)cmdid << 32 | modid;
  uint32_t at = lars_cursor_place(own, ids);
  lars_cursor *cursor = &own->cursors[at];
  while (cursor->ids != ids) {
    if (cursor->told_s == 0) return 0;
    at = (at + 1) & own->mask;
    cursor = &own->cursors[at];
  }
  if (cursor->stamp != stamp) return 0;
  uint32_t index = cursor->next < cursor->count ? cursor->next : 0;
  const uint64_t *words = (const uint64_t *)(const void *)mapping->table.bytes;
  uint64_t entry = __atomic_load_n(words + cursor->first + index, __ATOMIC_RELAXED);
  if (!lars_entry_is_node(entry)) return 0;
  cursor->next = index + 1;
  if (!__atomic_load_n(&caller->is_picked, __ATOMIC_RELAXED)) {
    __atomic_store_n(&caller->is_picked, true, __ATOMIC_RELAXED);
  }
  return entry;
}

#endif
