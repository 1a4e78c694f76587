// Core. The least a reader of the agent's shared table has to do, by ../shared_table.md: C11, Linux,
// little-endian, no library. For tests and measurements; programs use api/c.
#ifndef LARS_TESTING_SHARED_TABLE_H
#define LARS_TESTING_SHARED_TABLE_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TABLE_MAGIC 0x314c42545352414cULL /* "LARSTBL1" */
#define TABLE_OLD_MS 2000
#define TABLE_AHEAD_MS 1000

#define ENTRY_PROBE 1u
#define ENTRY_OUT 2u
#define ENTRY_REFUSED 4u

struct table {
  const uint8_t *bytes;
  uint64_t words;
  uint32_t mask; /* slots - 1 */
  uint32_t first_block;
};

/* One for each thread and mapping; see "Cursors". */
struct table_cursors {
  uint32_t *next;
  uint32_t slots;
};

static inline uint64_t table_word(const struct table *t, uint64_t byte, int order) {
  const uint64_t *word = (const uint64_t *)(const void *)(t->bytes + byte);
  return order == __ATOMIC_ACQUIRE ? __atomic_load_n(word, __ATOMIC_ACQUIRE)
                                   : __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint32_t table_half(const struct table *t, uint64_t byte) {
  return __atomic_load_n((const uint32_t *)(const void *)(t->bytes + byte), __ATOMIC_RELAXED);
}

/* 0 and a mapping, or -1: no such file, or none of this layout. */
static int table_open(struct table *t, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -1;
  struct stat info;
  void *map = MAP_FAILED;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= 4096)
    map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED) return -1;
  t->bytes = map;
  t->words = (uint64_t)info.st_size / 8;
  uint32_t slots = table_half(t, 32);
  t->mask = slots - 1;
  t->first_block = table_half(t, 40);
  int fits = table_word(t, 0, __ATOMIC_ACQUIRE) == TABLE_MAGIC && table_half(t, 8) == 1 &&
             table_half(t, 12) == 4096 && table_half(t, 36) == 32 &&
             table_word(t, 16, __ATOMIC_RELAXED) == (uint64_t)info.st_size && slots > 0 &&
             (slots & (slots - 1)) == 0 &&
             4096 + (uint64_t)slots * 32 <= (uint64_t)t->first_block * 8 &&
             t->first_block <= t->words;
  if (fits) return 0;
  munmap(map, (size_t)info.st_size);
  return -1;
}

static void table_close(struct table *t) {
  munmap((void *)(uintptr_t)t->bytes, (size_t)(t->words * 8));
  t->bytes = NULL;
}

static inline uint64_t monotonic_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A look that has to be taken again at latest 100 ms later. */
static inline int table_usable(const struct table *t, uint64_t now_ms) {
  uint64_t beat = table_word(t, 64, __ATOMIC_RELAXED);
  return table_half(t, 128) == 0 && beat + TABLE_OLD_MS >= now_ms &&
         beat <= now_ms + TABLE_AHEAD_MS;
}

static inline uint32_t table_hash(uint32_t modid, uint32_t cmdid) {
  uint32_t h = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  h ^= h >> 15;
  h *= 0x2c1b3c6du;
  return h ^ h >> 13;
}

/* Slot of a module, or -1. */
static inline int64_t table_slot(const struct table *t, uint32_t modid, uint32_t cmdid) {
  uint32_t slot = table_hash(modid, cmdid) & t->mask;
  uint64_t ids = (uint64_t)cmdid << 32 | modid;
  for (uint64_t looks = 0; looks <= t->mask; looks++, slot = (slot + 1) & t->mask) {
    uint64_t at = 4096 + (uint64_t)slot * 32;
    if (table_word(t, at + 8, __ATOMIC_ACQUIRE) == 0) return -1;
    if (table_word(t, at, __ATOMIC_RELAXED) == ids) return slot;
  }
  return -1;
}

/* The next entry of a slot; 0: ask the agent. */
static inline uint64_t table_pick(const struct table *t, struct table_cursors *c, uint32_t slot) {
  uint64_t schedule = table_word(t, 4096 + (uint64_t)slot * 32 + 8, __ATOMIC_ACQUIRE);
  uint32_t first = (uint32_t)schedule, count = (uint32_t)(schedule >> 32);
  if (count == 0 || first < t->first_block || (uint64_t)first + count > t->words) return 0;
  uint32_t i = c->next[slot];
  if (i >= count) i %= count;
  c->next[slot] = i + 1;
  return table_word(t, ((uint64_t)first + i) * 8, __ATOMIC_RELAXED);
}

/* Cursors begun by chance; `seed` differs from thread to thread and after fork. */
static int cursors_make(struct table_cursors *c, const struct table *t, uint64_t seed) {
  c->slots = t->mask + 1;
  c->next = malloc(sizeof *c->next * c->slots);
  if (c->next == NULL) return -1;
  for (uint32_t i = 0; i < c->slots; i++) {
    seed += 0x9e3779b97f4a7c15ULL;
    uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9ULL;
    c->next[i] = (uint32_t)(z >> 32);
  }
  return 0;
}

#endif
