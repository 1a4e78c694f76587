// Shell. The cursors of threads: made when a thread first picks, and given back when it ends.

#include "cursors.h"

#include <stdlib.h>

enum {
  /** Tables whose cursors a thread has at once; of more the ones used least lately begin anew. */
  CURSOR_WAYS = 4,
  /** Cursors that a thread begins with, as a power of two; twice as many when half of them are taken. */
  CURSORS_FIRST_LOG2 = 6
};

/** All tables of one thread. */
typedef struct lars_thread {
  lars_cursors ways[CURSOR_WAYS];
  uint32_t next_way;
} lars_thread;

__thread lars_cursors lars_hot_cursors __attribute__((tls_model("initial-exec")));
static __thread lars_thread *thread_cursors = NULL;
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_works = false;
static uint64_t last_epoch = 0;

static void free_thread(void *value) {
  lars_thread *thread = (lars_thread *)value;
  for (int way = 0; way < CURSOR_WAYS; way++) free(thread->ways[way].cursors);
  free(thread);
  thread_cursors = NULL;
  lars_hot_cursors.epoch = 0;
}

static void make_thread_key(void) {
  thread_key_works = pthread_key_create(&thread_key, free_thread) == 0;
}

uint64_t lars_new_epoch(void) {
  return __atomic_add_fetch(&last_epoch, 1, __ATOMIC_RELAXED);
}

/** What this thread keeps; NULL without memory. */
static lars_thread *own_thread(void) {
  pthread_once(&thread_once, make_thread_key);
  if (!thread_key_works || thread_cursors != NULL) return thread_cursors;
  lars_thread *thread = (lars_thread *)calloc(1, sizeof *thread);
  if (thread == NULL) return NULL;
  if (pthread_setspecific(thread_key, thread) != 0) {
    free(thread);
    return NULL;
  }
  thread_cursors = thread;
  return thread;
}

/** The cursors of this thread in a table, which begin when there are none; NULL without memory. */
static lars_cursors *cursors_of(uint64_t epoch) {
  lars_thread *thread = own_thread();
  if (thread == NULL) return NULL;
  for (int way = 0; way < CURSOR_WAYS; way++) {
    if (thread->ways[way].epoch == epoch) return &thread->ways[way];
  }
  lars_cursors *own = &thread->ways[thread->next_way++ % CURSOR_WAYS];
  if (lars_hot_cursors.epoch == own->epoch) lars_hot_cursors.epoch = 0;
  free(own->cursors);
  memset(own, 0, sizeof *own);
  own->cursors = (lars_cursor *)calloc((size_t)1 << CURSORS_FIRST_LOG2, sizeof *own->cursors);
  if (own->cursors == NULL) return NULL;
  own->mask = (1u << CURSORS_FIRST_LOG2) - 1;
  own->shift = 64 - CURSORS_FIRST_LOG2;
  own->epoch = epoch;
  return own;
}

/** The cursor of a module, or the free place for it. */
static lars_cursor *place_of(const lars_cursors *own, uint64_t ids) {
  uint32_t at = lars_cursor_place(own, ids);
  while (own->cursors[at].told_s != 0 && own->cursors[at].ids != ids) at = (at + 1) & own->mask;
  return &own->cursors[at];
}

/** Twice as many places; false without memory. */
static bool grow(lars_cursors *own) {
  lars_cursors larger = *own;
  larger.mask = own->mask * 2 + 1;
  larger.shift = own->shift - 1;
  larger.cursors = (lars_cursor *)calloc((size_t)larger.mask + 1, sizeof *larger.cursors);
  if (larger.cursors == NULL) return false;
  for (uint32_t at = 0; at <= own->mask; at++) {
    const lars_cursor *old = &own->cursors[at];
    if (old->told_s != 0) *place_of(&larger, old->ids) = *old;
  }
  free(own->cursors);
  *own = larger;
  return true;
}

lars_cursor *lars_cursor_of(const lars_mapping *mapping, uint32_t modid, uint32_t cmdid) {
  uint64_t epoch = __atomic_load_n(&mapping->epoch, __ATOMIC_RELAXED);
  uint64_t ids = (uint64_t)cmdid << 32 | modid;
  lars_cursors *own = cursors_of(epoch);
  if (own == NULL) return NULL;
  lars_cursor *cursor = place_of(own, ids);
  if (cursor->told_s == 0) {
    if (own->used * 2 > own->mask && !grow(own)) return NULL;
    cursor = place_of(own, ids);
    cursor->ids = ids;
    cursor->next = (uint32_t)lars_random();
    cursor->stamp = 0;
    own->used++;
  }
  lars_hot_cursors = *own;
  return cursor;
}
