// Shell. The agent's table in this process: found, mapped, looked after, and a cursor per thread.

#include "caller.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  /** The table is looked at again after this time, of the 100 ms that it may be. */
  LOOK_MS = 50,
  /** A file is looked for once in this time, and whether there is another one. */
  OPEN_MS = 1000,
  /** A caller that only picks says once in this time that it does. */
  TELL_USE_S = 10,
  /** Tables whose cursors a thread has at once; of more the ones used least lately begin anew. */
  CURSOR_WAYS = 4,
  /** Entries of an old table that are looked at for one that is no probe. */
  OLD_LOOKS_MAX = 64
};

/** Where a thread is in the schedule of a module, and when it told that it uses it. */
typedef struct lars_cursor {
  uint32_t next, told_s;
} lars_cursor;

/** The cursors of one thread in one table. */
typedef struct lars_cursors {
  uint64_t epoch;
  lars_cursor *slots;
} lars_cursors;

/** All tables of one thread. */
typedef struct lars_thread {
  lars_cursors ways[CURSOR_WAYS];
  uint32_t next_way;
} lars_thread;

static __thread lars_thread *thread_cursors = NULL;
/** Those of the table that this thread used last; found without a call, in a shared library too. */
static __thread lars_cursors hot_cursors __attribute__((tls_model("initial-exec")));
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_works = false;
static uint64_t last_epoch = 0;

static void free_thread(void *value) {
  lars_thread *thread = (lars_thread *)value;
  for (int way = 0; way < CURSOR_WAYS; way++) free(thread->ways[way].slots);
  free(thread);
  thread_cursors = NULL;
  hot_cursors.epoch = 0;
}

static void make_thread_key(void) {
  thread_key_works = pthread_key_create(&thread_key, free_thread) == 0;
}

static uint64_t new_epoch(void) {
  return __atomic_add_fetch(&last_epoch, 1, __ATOMIC_RELAXED);
}

/** Cursors for a table that this thread has not used, or not lately; NULL without memory. */
static lars_cursor *begin_cursors(uint64_t epoch, uint32_t slots) {
  pthread_once(&thread_once, make_thread_key);
  if (!thread_key_works) return NULL;
  if (thread_cursors == NULL) {
    lars_thread *thread = (lars_thread *)calloc(1, sizeof *thread);
    if (thread == NULL) return NULL;
    if (pthread_setspecific(thread_key, thread) != 0) {
      free(thread);
      return NULL;
    }
    thread_cursors = thread;
  }
  lars_cursors *way = &thread_cursors->ways[thread_cursors->next_way++ % CURSOR_WAYS];
  free(way->slots);
  way->slots = (lars_cursor *)calloc(slots, sizeof *way->slots);
  way->epoch = way->slots == NULL ? 0 : epoch;
  return way->slots;
}

/** The cursors of this thread in a table that is not the one it used last; NULL without memory. */
static lars_cursor *find_cursors(const lars_mapping *mapping, uint64_t epoch) {
  lars_cursor *slots = NULL;
  for (int way = 0; thread_cursors != NULL && way < CURSOR_WAYS; way++) {
    if (thread_cursors->ways[way].epoch == epoch) slots = thread_cursors->ways[way].slots;
  }
  if (slots == NULL) slots = begin_cursors(epoch, mapping->table.slots);
  hot_cursors.slots = slots;
  hot_cursors.epoch = slots == NULL ? 0 : epoch;
  return slots;
}

/** The cursor of this thread in the slot; NULL without memory. */
static inline lars_cursor *cursor_of(const lars_mapping *mapping, uint32_t slot) {
  uint64_t epoch = __atomic_load_n(&mapping->epoch, __ATOMIC_RELAXED);
  lars_cursor *slots = hot_cursors.slots;
  if (hot_cursors.epoch != epoch) slots = find_cursors(mapping, epoch);
  return slots == NULL ? NULL : &slots[slot];
}

static inline void host_of_entry(uint64_t entry, lars_host *host) {
  host->ip = lars_entry_ip(entry);
  host->port = lars_entry_port(entry);
  host->stale = false;
  host->draining = false;
  host->weight = -1;
  host->zone[0] = 0;
}


bool lars_mapping_pick_hot(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host) {
  const lars_mapping *mapping = __atomic_load_n(&caller->kept, __ATOMIC_ACQUIRE);
  if (mapping == NULL || hot_cursors.epoch != __atomic_load_n(&mapping->epoch, __ATOMIC_RELAXED)) {
    return false;
  }
  const lars_table *table = &mapping->table;
  uint32_t number = lars_module_hash(modid, cmdid) & (table->slots - 1);
  /* Whatever is unusual, the end of the directory too, is for the long way. */
  for (; number < table->slots; number++) {
    const uint8_t *slot = lars_slot_at(table, number);
    uint64_t schedule = lars_load_schedule(slot);
    if (schedule == 0) return false;
    const uint64_t *ids = (const uint64_t *)(const void *)slot;
    if (__atomic_load_n(ids, __ATOMIC_RELAXED) != ((uint64_t)cmdid << 32 | modid)) continue;
    lars_cursor *cursor = &hot_cursors.slots[number];
    uint32_t now_s = __atomic_load_n(&caller->kept_s, __ATOMIC_RELAXED);
    if (cursor->told_s == 0 || now_s - cursor->told_s >= TELL_USE_S) return false;
    uint32_t first = (uint32_t)schedule, count = (uint32_t)(schedule >> 32), index = cursor->next;
    if (first < table->first_word || (uint64_t)first + count > table->words) return false;
    if (index >= count) {
      if (count == 0) return false;
      index %= count;
    }
    const uint64_t *words = (const uint64_t *)(const void *)table->bytes;
    uint64_t entry = __atomic_load_n(words + first + index, __ATOMIC_RELAXED);
    if (lars_entry_port(entry) == 0 || lars_entry_is_refusal(entry)) return false;
    cursor->next = index + 1;
    host_of_entry(entry, host);
    if (!__atomic_load_n(&caller->is_picked, __ATOMIC_RELAXED)) {
      __atomic_store_n(&caller->is_picked, true, __ATOMIC_RELAXED);
    }
    return true;
  }
  return false;
}

static bool table_path(const lars_caller *caller, char *path, size_t length) {
  if (caller->shared_table != NULL) {
    return caller->shared_table[0] != 0 && strlen(caller->shared_table) < length &&
           strcpy(path, caller->shared_table) != NULL;
  }
  /* The table of another host's agent is not here. */
  if (ntohl(caller->address.sin_addr.s_addr) >> 24 != 127) return false;
  return snprintf(path, length, "/dev/shm/lars-agent-%u.table", (unsigned)caller->ports[0]) > 0;
}

/** True when the user has a UDP socket with this port: the agent's. */
static bool has_agent_port(uid_t user, uint16_t port) {
  FILE *sockets = fopen("/proc/net/udp", "re");
  char line[512];
  bool found = false;
  if (sockets == NULL) return false;
  while (!found && fgets(line, sizeof line, sockets) != NULL) {
    unsigned local_port = 0, owner = 0;
    int fields = sscanf(line, "%*s %*x:%x %*s %*s %*s %*s %*s %u", &local_port, &owner);
    found = fields == 2 && local_port == port && owner == user;
  }
  fclose(sockets);
  return found;
}

/** True for a plain file of root, of this user or of the agent's, which nobody else may write. */
static bool is_trusted(const struct stat *stat, uint16_t port) {
  if (!S_ISREG(stat->st_mode) || (stat->st_mode & 022) != 0) return false;
  return stat->st_uid == 0 || stat->st_uid == geteuid() || has_agent_port(stat->st_uid, port);
}

/** Maps the file at the path; NULL when there is none that can be used. */
static lars_mapping *map_file(const char *path, uint16_t port) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return NULL;
  struct stat stat;
  void *bytes = MAP_FAILED;
  bool is_file = fstat(fd, &stat) == 0 && is_trusted(&stat, port);
  if (is_file && stat.st_size >= LARS_TABLE_HEADER_BYTES) {
    bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (bytes == MAP_FAILED) return NULL;
  lars_mapping *mapping = (lars_mapping *)calloc(1, sizeof *mapping);
  if (mapping != NULL &&
      lars_table_check((const uint8_t *)bytes, (uint64_t)stat.st_size, &mapping->table)) {
    mapping->length = (uint64_t)stat.st_size;
    mapping->device = stat.st_dev;
    mapping->inode = stat.st_ino;
    mapping->epoch = new_epoch();
    return mapping;
  }
  free(mapping);
  munmap(bytes, (size_t)stat.st_size);
  return NULL;
}

/** Gives the pages back and keeps the addresses: a thread that still looks there finds nothing. */
static void empty_mapping(lars_mapping *mapping) {
  if (mapping->emptied) return;
  void *at = (void *)(uintptr_t)mapping->table.bytes;
  void *empty = mmap(at, (size_t)mapping->length, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  mapping->emptied = empty != MAP_FAILED;
}

/** Tables before the last one are emptied; of too many the oldest are taken away. */
static void settle_older(lars_mapping *newest) {
  int count = 0;
  lars_mapping *mapping = newest->older;
  lars_mapping **link = &newest->older;
  while (mapping != NULL) {
    lars_mapping *older = mapping->older;
    if (++count > LARS_OLD_TABLES_MAX) {
      *link = older;
      munmap((void *)(uintptr_t)mapping->table.bytes, (size_t)mapping->length);
      free(mapping);
    } else {
      if (count > 1) empty_mapping(mapping);
      link = &mapping->older;
    }
    mapping = older;
  }
}

static int trust_of(const lars_mapping *mapping, int64_t now_ms) {
  if (lars_table_is_retired(&mapping->table)) return LARS_TABLE_OLD;
  return lars_table_is_fresh(&mapping->table, now_ms) ? LARS_TABLE_USABLE : LARS_TABLE_OLD;
}

/** `stat`, whose name is that of its type. */
static int stat_of(const char *path, struct stat *found) { return stat(path, found); }

/** True when the file at the path is another one than the mapped one; false when there is none. */
static bool is_replaced(const char *path, const lars_mapping *mapping) {
  struct stat stat;
  if (stat_of(path, &stat) != 0) return false;
  return mapping == NULL || stat.st_dev != mapping->device || stat.st_ino != mapping->inode;
}

/** Looks for a file, or another one; one thread at a time does, the others go on. */
static void open_again(lars_caller *caller, int64_t now_ms) {
  if (pthread_mutex_trylock(&caller->mapping_lock) != 0) return;
  char path[4096];
  lars_mapping *mapping = caller->mapping;
  __atomic_store_n(&caller->next_open_ms, now_ms + OPEN_MS, __ATOMIC_RELAXED);
  if (table_path(caller, path, sizeof path) && is_replaced(path, mapping)) {
    lars_mapping *found = map_file(path, caller->ports[0]);
    if (found != NULL && trust_of(found, lars_now_ms()) != LARS_TABLE_USABLE) {
      /* Nobody writes it any more: what is mapped is as good a memory. */
      munmap((void *)(uintptr_t)found->table.bytes, (size_t)found->length);
      free(found);
    } else if (found != NULL) {
      found->looked_ms = now_ms;
      found->trust = LARS_TABLE_USABLE;
      found->older = mapping;
      __atomic_store_n(&caller->mapping, found, __ATOMIC_RELEASE);
      settle_older(found);
      lars_count(&caller->stats.tables, 1);
    }
  }
  pthread_mutex_unlock(&caller->mapping_lock);
}

/** Looks at heartbeat and mark, and for another file. */
static void look(lars_caller *caller, lars_mapping *mapping, int64_t now_ms) {
  __atomic_store_n(&mapping->looked_ms, now_ms, __ATOMIC_RELAXED);
  int before = __atomic_load_n(&mapping->trust, __ATOMIC_RELAXED);
  if (before != LARS_TABLE_BROKEN) {
    int trust = trust_of(mapping, lars_now_ms());
    __atomic_store_n(&mapping->trust, trust, __ATOMIC_RELAXED);
    if (before == LARS_TABLE_USABLE && trust != LARS_TABLE_USABLE) {
      /* It was left at this moment: the next one may be there already. */
      __atomic_store_n(&caller->next_open_ms, now_ms, __ATOMIC_RELAXED);
    }
  }
  if (now_ms >= __atomic_load_n(&caller->next_open_ms, __ATOMIC_RELAXED)) {
    open_again(caller, now_ms);
  }
}

/** The table with the time of this look; NULL when there is none that can be used. */
static lars_mapping *usable_at(lars_caller *caller, int64_t now_ms) {
  lars_mapping *mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
  if (mapping == NULL) {
    if (now_ms < __atomic_load_n(&caller->next_open_ms, __ATOMIC_RELAXED)) return NULL;
    open_again(caller, now_ms);
    mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
    if (mapping == NULL) return NULL;
  } else if (now_ms - __atomic_load_n(&mapping->looked_ms, __ATOMIC_RELAXED) >= LOOK_MS) {
    look(caller, mapping, now_ms);
    mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
  }
  int trust = __atomic_load_n(&mapping->trust, __ATOMIC_RELAXED);
  return trust == LARS_TABLE_USABLE ? mapping : NULL;
}

lars_mapping *lars_mapping_usable(lars_caller *caller) {
  lars_mapping *kept = __atomic_load_n(&caller->kept, __ATOMIC_ACQUIRE);
  return kept != NULL ? kept : usable_at(caller, lars_coarse_ms());
}

/** Whole seconds, never 0. */
static uint32_t seconds_of(int64_t now_ms) { return (uint32_t)(now_ms / 1000) + 1; }

/** A first use of this cursor begins at a random place; now and then the agent is told of the use. */
static void tell_use(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                     uint32_t cmdid, lars_cursor *cursor, uint32_t now_s) {
  if (cursor->told_s == 0) cursor->next = (uint32_t)lars_random();
  cursor->told_s = now_s;
  lars_batch_add(caller, mapping, modid, cmdid, 0, 0, LARS_TIME_UNKNOWN);
}

static lars_found pick_from(lars_caller *caller, lars_mapping *mapping, uint32_t modid,
                            uint32_t cmdid, const lars_pick *pick, uint32_t now_s,
                            lars_host *host) {
  int32_t slot = lars_table_slot(&mapping->table, modid, cmdid);
  if (slot < 0) return LARS_FOUND_NOTHING;
  lars_cursor *cursor = cursor_of(mapping, (uint32_t)slot);
  if (cursor == NULL) return LARS_FOUND_NOTHING;
  if (cursor->told_s == 0 || now_s - cursor->told_s >= TELL_USE_S) {
    tell_use(caller, mapping, modid, cmdid, cursor, now_s);
  }
  uint64_t entry = 0;
  lars_found found =
      pick == NULL || pick->key_bytes == 0
          ? lars_table_next(&mapping->table, (uint32_t)slot, &cursor->next, &entry)
          : lars_table_keyed(&mapping->table, (uint32_t)slot, &cursor->next, pick->key,
                             pick->key_bytes, &entry);
  if (found == LARS_FOUND_NODE) {
    host_of_entry(entry, host);
  } else if (found == LARS_FOUND_REFUSAL) {
    lars_batch_add(caller, mapping, modid, cmdid, 0, 1, LARS_TIME_UNKNOWN);
  } else if (found == LARS_FOUND_BROKEN) {
    __atomic_store_n(&mapping->trust, (int)LARS_TABLE_BROKEN, __ATOMIC_RELAXED);
    lars_mapping_leave(caller);
    return LARS_FOUND_NOTHING;
  }
  return found;
}

lars_found lars_mapping_pick(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                             const lars_pick *pick, lars_host *host) {
  lars_mapping *mapping = __atomic_load_n(&caller->kept, __ATOMIC_ACQUIRE);
  if (mapping != NULL) {
    if (!__atomic_load_n(&caller->is_picked, __ATOMIC_RELAXED)) {
      __atomic_store_n(&caller->is_picked, true, __ATOMIC_RELAXED);
    }
    uint32_t kept_s = __atomic_load_n(&caller->kept_s, __ATOMIC_RELAXED);
    return pick_from(caller, mapping, modid, cmdid, pick, kept_s, host);
  }
  int64_t now_ms = lars_coarse_ms();
  mapping = usable_at(caller, now_ms);
  if (mapping == NULL) return LARS_FOUND_NOTHING;
  lars_batch_wake(caller);
  return pick_from(caller, mapping, modid, cmdid, pick, seconds_of(now_ms), host);
}

void lars_mapping_keep(lars_caller *caller) {
  int64_t now_ms = lars_coarse_ms();
  lars_mapping *mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
  if (mapping != NULL) look(caller, mapping, now_ms);
  __atomic_store_n(&caller->kept_s, seconds_of(now_ms), __ATOMIC_RELAXED);
  __atomic_store_n(&caller->kept, usable_at(caller, now_ms), __ATOMIC_RELEASE);
}

void lars_mapping_leave(lars_caller *caller) {
  __atomic_store_n(&caller->kept, (lars_mapping *)NULL, __ATOMIC_RELEASE);
}

bool lars_mapping_pick_old(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host) {
  lars_mapping *mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
  if (mapping == NULL || caller->last_good_ms == 0) return false;
  if (__atomic_load_n(&mapping->trust, __ATOMIC_RELAXED) != LARS_TABLE_OLD) return false;
  int32_t slot = lars_table_slot(&mapping->table, modid, cmdid);
  lars_cursor *cursor = slot < 0 ? NULL : cursor_of(mapping, (uint32_t)slot);
  if (cursor == NULL) return false;
  if (cursor->told_s == 0 && cursor->next == 0) cursor->next = (uint32_t)lars_random();
  uint64_t best = 0;
  int best_rank = 3;
  int64_t now_ms = lars_now_ms();
  pthread_mutex_lock(&caller->memory_lock);
  for (int looks = 0; looks < OLD_LOOKS_MAX && best_rank > 0; looks++) {
    uint64_t entry = 0;
    lars_found found = lars_table_next(&mapping->table, (uint32_t)slot, &cursor->next, &entry);
    if (found == LARS_FOUND_REFUSAL) continue;
    if (found != LARS_FOUND_NODE) break;
    /* A node that failed a moment ago is worse than a probe, which failed some time ago. */
    bool rests = lars_last_good_rests(&caller->good, modid, cmdid, lars_entry_ip(entry),
                                      lars_entry_port(entry), now_ms);
    int rank = rests ? 2 : lars_entry_is_probe(entry) ? 1 : 0;
    if (rank >= best_rank) continue;
    best_rank = rank;
    best = entry;
  }
  pthread_mutex_unlock(&caller->memory_lock);
  if (best_rank == 3) return false;
  host_of_entry(best, host);
  return true;
}

bool lars_mapping_is_silent(lars_caller *caller) {
  return lars_coarse_ms() < __atomic_load_n(&caller->silent_until_ms, __ATOMIC_RELAXED);
}

void lars_mapping_after_fork(lars_caller *caller) {
  lars_mapping_leave(caller);
  if (caller->mapping != NULL) caller->mapping->epoch = new_epoch();
}

void lars_mapping_close(lars_caller *caller) {
  lars_mapping *mapping = caller->mapping;
  while (mapping != NULL) {
    lars_mapping *older = mapping->older;
    munmap((void *)(uintptr_t)mapping->table.bytes, (size_t)mapping->length);
    free(mapping);
    mapping = older;
  }
  caller->mapping = NULL;
}
