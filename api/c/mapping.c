// Shell. The agent's table in this process: found, mapped, looked after, and a cursor per thread.

#include "cursors.h"

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
  /**
   * A caller that only picks says once in the sum of both that it does: schedules are read anew, and it
   * is looked whether to say so, at least so often; and it is said when the last time was so long ago.
   */
  ANEW_S = 4,
  TELL_USE_S = 5,
  /** Entries of an old table that are looked at for one that is no probe. */
  OLD_LOOKS_MAX = 64
};

static bool table_path(const lars_caller *caller, char *path, size_t length) {
  if (caller->shared_table != NULL) {
    return caller->shared_table[0] != 0 && strlen(caller->shared_table) < length &&
           strcpy(path, caller->shared_table) != NULL;
  }
  /* The table of another host's agent is not here. */
  if (!lars_is_loopback(ntohl(caller->address.sin_addr.s_addr))) return false;
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
    mapping->used = (uint8_t *)calloc(mapping->table.slots, 1);
  }
  if (mapping != NULL && mapping->used != NULL) {
    mapping->length = (uint64_t)stat.st_size;
    mapping->device = stat.st_dev;
    mapping->inode = stat.st_ino;
    mapping->epoch = lars_new_epoch();
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

static void free_mapping(lars_mapping *mapping) {
  munmap((void *)(uintptr_t)mapping->table.bytes, (size_t)mapping->length);
  free(mapping->used);
  free(mapping);
}

/**
 * Nodes of a module as a table has them become last good ones, as far as there is room; false when
 * there are none that are probes, or that are none.
 */
static bool remember_module(lars_caller *caller, const lars_table *table, uint32_t slot,
                            bool probes, int64_t now_ms) {
  const uint8_t *at = lars_slot_at(table, slot);
  uint32_t ids[2], cursor = (uint32_t)lars_random();
  bool has_some = false;
  memcpy(ids, at, sizeof ids);
  uint32_t count = (uint32_t)(lars_load_schedule(at) >> 32);
  if (count > OLD_LOOKS_MAX) count = OLD_LOOKS_MAX;
  for (uint32_t looks = 0; looks < count; looks++) {
    uint64_t entry = 0;
    lars_host host;
    lars_found found = lars_table_next(table, slot, &cursor, &entry);
    if (found == LARS_FOUND_REFUSAL || lars_entry_is_probe(entry) != probes) continue;
    if (found != LARS_FOUND_NODE) return has_some;
    lars_host_of_entry(entry, &host);
    has_some = true;
    if (!lars_last_good_fill(&caller->good, ids[0], ids[1], &host, now_ms)) return true;
  }
  return has_some;
}

/**
 * A table is left for another one, which may know less: that of an agent that has just started. The
 * modules that this program uses keep nodes for the time when nobody can be asked.
 */
static void remember_table(lars_caller *caller, const lars_mapping *mapping) {
  int64_t now_ms = lars_now_ms();
  if (caller->last_good_ms == 0 || mapping->trust == LARS_TABLE_BROKEN) return;
  pthread_mutex_lock(&caller->memory_lock);
  for (uint32_t slot = 0; slot < mapping->table.slots; slot++) {
    if (__atomic_load_n(&mapping->used[slot], __ATOMIC_RELAXED) == 0) continue;
    if (!remember_module(caller, &mapping->table, slot, false, now_ms)) {
      remember_module(caller, &mapping->table, slot, true, now_ms);
    }
  }
  pthread_mutex_unlock(&caller->memory_lock);
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
      free_mapping(mapping);
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
      free_mapping(found);
    } else if (found != NULL) {
      if (mapping != NULL) remember_table(caller, mapping);
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

/** Now and then the agent is told that a module is in use. */
static void tell_use(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                     uint32_t cmdid, uint32_t slot, lars_cursor *cursor, uint32_t now_s) {
  cursor->told_s = now_s;
  __atomic_store_n(&mapping->used[slot], (uint8_t)1, __ATOMIC_RELAXED);
  lars_batch_add(caller, mapping, modid, cmdid, 0, 0, LARS_TIME_UNKNOWN);
}

/** The entry whose turn it is; the schedule is good for the next picks while nothing changes. */
static lars_found next_turn(const lars_caller *caller, const lars_table *table, uint32_t slot,
                            uint32_t changes, lars_cursor *cursor, uint64_t *entry) {
  lars_schedule schedule;
  lars_found found = lars_table_schedule(table, slot, &schedule);
  if (found != LARS_FOUND_NODE) return found;
  cursor->first = schedule.first;
  cursor->count = schedule.count;
  cursor->stamp = changes == 0 ? 0 : lars_stamp(caller, changes);
  return lars_table_turn(table, &schedule, &cursor->next, entry);
}

static lars_found pick_from(lars_caller *caller, lars_mapping *mapping, uint32_t modid,
                            uint32_t cmdid, const lars_pick *pick, uint32_t now_s,
                            lars_host *host) {
  /* Before the schedule: a change meanwhile then shows at the next pick. */
  uint32_t changes = lars_table_changes(&mapping->table);
  int32_t slot = lars_table_slot(&mapping->table, modid, cmdid);
  if (slot < 0) return LARS_FOUND_NOTHING;
  lars_cursor *cursor = lars_cursor_of(mapping, modid, cmdid);
  if (cursor == NULL) return LARS_FOUND_NOTHING;
  if (cursor->told_s == 0 || now_s - cursor->told_s >= TELL_USE_S) {
    tell_use(caller, mapping, modid, cmdid, (uint32_t)slot, cursor, now_s);
  }
  uint64_t entry = 0;
  lars_found found;
  if (pick == NULL || pick->key_bytes == 0) {
    found = next_turn(caller, &mapping->table, (uint32_t)slot, changes, cursor, &entry);
  } else {
    found = lars_table_keyed(&mapping->table, (uint32_t)slot, &cursor->next, pick->key,
                             pick->key_bytes, &entry);
  }
  if (found == LARS_FOUND_NODE) {
    lars_host_of_entry(entry, host);
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
  uint32_t now_s = seconds_of(now_ms);
  __atomic_store_n(&caller->kept_s, now_s, __ATOMIC_RELAXED);
  __atomic_store_n(&caller->kept_stamp, (uint64_t)(now_s / ANEW_S + 1) << 32, __ATOMIC_RELAXED);
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
  lars_cursor *cursor = slot < 0 ? NULL : lars_cursor_of(mapping, modid, cmdid);
  if (cursor == NULL) return false;
  if (cursor->told_s == 0) cursor->told_s = 1;
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
  lars_host_of_entry(best, host);
  return true;
}

bool lars_mapping_is_silent(lars_caller *caller) {
  return lars_coarse_ms() < __atomic_load_n(&caller->silent_until_ms, __ATOMIC_RELAXED);
}

void lars_mapping_after_fork(lars_caller *caller) {
  lars_mapping_leave(caller);
  if (caller->mapping != NULL) caller->mapping->epoch = lars_new_epoch();
}

void lars_mapping_close(lars_caller *caller) {
  lars_mapping *mapping = caller->mapping;
  while (mapping != NULL) {
    lars_mapping *older = mapping->older;
    free_mapping(mapping);
    mapping = older;
  }
  caller->mapping = NULL;
}
