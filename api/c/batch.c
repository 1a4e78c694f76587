// Shell. Outcomes in batches: 512 records at once, or after 10 ms, or when a node fails for the first time.

#include "caller.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void lars_condition_init(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

void lars_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t wait_ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t until_ns = until.tv_nsec + wait_ms % 1000 * 1000000;
  until.tv_sec += (time_t)(wait_ms / 1000 + until_ns / 1000000000);
  until.tv_nsec = until_ns % 1000000000;
  pthread_cond_timedwait(condition, lock, &until);
}

void lars_batch_init(lars_batch *batch) {
  pthread_mutex_init(&batch->lock, NULL);
  lars_condition_init(&batch->wake);
  batch->socket = -1;
}

/** Where a node is among those that failed, or the free place for it; -1 when there is neither. */
static int failing_slot(const lars_batch *batch, uint64_t hash) {
  uint64_t at = hash % LARS_FAILING_SLOTS;
  for (int looks = 0; looks < LARS_FAILING_SLOTS; looks++) {
    if (batch->failing[at] == hash || batch->failing[at] == 0) return (int)at;
    at = (at + 1) % LARS_FAILING_SLOTS;
  }
  return -1;
}

/** Takes a node out, and moves those that were displaced by it. */
static void clear_failing(lars_batch *batch, int slot) {
  batch->failing[slot] = 0;
  batch->failing_count--;
  int at = slot;
  for (;;) {
    at = (at + 1) % LARS_FAILING_SLOTS;
    uint64_t hash = batch->failing[at];
    if (hash == 0) return;
    batch->failing[at] = 0;
    batch->failing[failing_slot(batch, hash)] = hash;
  }
}

/** True when this outcome is the first failure of a node after a success, or at all. */
static bool is_first_failure(lars_batch *batch, uint32_t modid, uint32_t cmdid, uint64_t node,
                             int32_t code) {
  if (code == 0 && batch->failing_count == 0) return false;
  uint64_t hash = ((uint64_t)modid << 32 | cmdid) * 0x9e3779b97f4a7c15u ^
                  (node & 0xffffffffffff) * 0xbf58476d1ce4e5b9u;
  hash ^= hash >> 29;
  if (hash == 0) hash = 1;
  int slot = failing_slot(batch, hash);
  if (slot < 0) return false;
  bool is_failing = batch->failing[slot] == hash;
  if (code == 0) {
    if (is_failing) clear_failing(batch, slot);
    return false;
  }
  if (is_failing || batch->failing_count >= LARS_FAILING_MAX) return false;
  batch->failing[slot] = hash;
  batch->failing_count++;
  return true;
}

/** Sends what waits; the lock is held. Sent or not, the next batch counts on. */
static void send_batch(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  if (batch->count == 0) return;
  size_t length = (size_t)batch->count * LARS_OUTCOME_BYTES;
  uint8_t start[LARS_BATCH_START_BYTES];
  size_t start_bytes = lars_write_batch_start(start, batch->sender, batch->first, length);
  uint8_t *datagram = batch->datagram + LARS_BATCH_START_BYTES - start_bytes;
  memcpy(datagram, start, start_bytes);
  length += start_bytes;
  if (batch->is_sealed) length = lars_seal_now(caller, &batch->sealer, datagram, length, datagram);
  if (batch->socket < 0 || !lars_send(batch->socket, datagram, length)) {
    lars_count(&caller->stats.outcomes_dropped, (uint64_t)batch->outcomes);
  }
  batch->first += (uint64_t)batch->outcomes;
  batch->count = batch->outcomes = batch->behind_failures = 0;
  batch->number++;
}

/** Sleeps until somebody wakes it; picks look after the table themselves meanwhile. */
static void rest(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  lars_mapping_leave(caller);
  batch->sleeping = true;
  while (batch->sleeping && !batch->closing) pthread_cond_wait(&batch->wake, &batch->lock);
}

/** The keeper: sends batches that have waited long enough, and looks after the table. */
static void *run_keeper(void *context) {
  lars_caller *caller = (lars_caller *)context;
  lars_batch *batch = &caller->batch;
  int ticks = 0, idle_looks = 0;
  pthread_mutex_lock(&batch->lock);
  while (!batch->closing) {
    uint64_t number = batch->number;
    bool was_waiting = batch->count > 0;
    if (ticks++ % LARS_KEEP_TICKS == 0) {
      bool is_used = was_waiting || __atomic_load_n(&caller->is_picked, __ATOMIC_RELAXED);
      __atomic_store_n(&caller->is_picked, false, __ATOMIC_RELAXED);
      idle_looks = is_used ? 0 : idle_looks + 1;
      /* Not under the lock: a file may be mapped now. */
      pthread_mutex_unlock(&batch->lock);
      lars_mapping_keep(caller);
      pthread_mutex_lock(&batch->lock);
    }
    lars_condition_wait(&batch->wake, &batch->lock, LARS_BATCH_TICK_MS);
    if (was_waiting && batch->count > 0 && batch->number == number) send_batch(caller);
    if (idle_looks >= LARS_IDLE_LOOKS && batch->count == 0 && !batch->closing) {
      rest(caller);
      ticks = idle_looks = 0;
    }
  }
  pthread_mutex_unlock(&batch->lock);
  return NULL;
}

/** Starts the keeper where it does not run; signals are for the threads of the program. */
static void ensure_keeper(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  if (batch->running) {
    if (batch->sleeping) pthread_cond_signal(&batch->wake);
    batch->sleeping = false;
    return;
  }
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  batch->running = pthread_create(&batch->thread, NULL, run_keeper, caller) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/** Begins with another table: another number of the sender, and the agent that the table names. */
static void begin_sender(lars_caller *caller, const lars_mapping *mapping, uint64_t epoch) {
  lars_batch *batch = &caller->batch;
  send_batch(caller);
  if (batch->socket >= 0) close(batch->socket);
  batch->socket = lars_open_socket(mapping->table.agent_ip, mapping->table.agent_port);
  batch->is_sealed = caller->has_secret && !lars_is_loopback(mapping->table.agent_ip);
  lars_sealer_init(&batch->sealer);
  batch->epoch = epoch;
  batch->first = 0;
  do {
    batch->sender = (uint32_t)lars_random();
  } while (batch->sender == 0);
}

/** A record as the wire has it, on machines whose order of bytes is that of the wire. */
typedef struct lars_record {
  uint32_t modid, cmdid, ip, port_and_tag, code_or_count, time_ms;
} lars_record;

/** Mark of a record that stands for several outcomes. */
#define LARS_RUN 0x80000000u

/** Adds a success to a record that waits; false: there is none for it. */
static inline bool add_to_run(lars_batch *batch, uint8_t *records, const lars_record *record) {
  uint32_t hash = (record->ip ^ record->port_and_tag) * 0x9e3779b1u ^
                  (record->modid + record->cmdid) * 0x85ebca6bu ^ record->time_ms * 0x2c1b3c6du;
  uint16_t *place = &batch->run_places[(hash ^ hash >> 15) >> 8 & (LARS_RUN_PLACES - 1)];
  int known = *place;
  *place = (uint16_t)batch->count;
  if (known < batch->behind_failures || known >= batch->count) return false;
  lars_record run;
  uint8_t *at = records + known * LARS_OUTCOME_BYTES;
  memcpy(&run, at, sizeof run);
  if (run.ip != record->ip || (run.port_and_tag & ~LARS_RUN) != record->port_and_tag ||
      run.modid != record->modid || run.cmdid != record->cmdid || run.time_ms != record->time_ms)
    return false;
  *place = (uint16_t)known;
  run.code_or_count = (run.port_and_tag & LARS_RUN) != 0 ? run.code_or_count + 1 : 2;
  run.port_and_tag |= LARS_RUN;
  memcpy(at, &run, sizeof run);
  return true;
}

void lars_batch_add(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                    uint32_t cmdid, uint64_t node, int32_t code, int64_t took_ms) {
  lars_batch *batch = &caller->batch;
  uint64_t epoch = __atomic_load_n(&mapping->epoch, __ATOMIC_RELAXED);
  pthread_mutex_lock(&batch->lock);
  if (batch->epoch != epoch) begin_sender(caller, mapping, epoch);
  uint8_t *records = batch->datagram + LARS_BATCH_START_BYTES;
  int64_t known_ms = took_ms < UINT32_MAX ? took_ms : (int64_t)UINT32_MAX - 1;
  lars_record record = {modid, cmdid, (uint32_t)node, (uint32_t)(node >> 32), (uint32_t)code,
                        took_ms < 0 ? UINT32_MAX : (uint32_t)known_ms};
  bool is_outcome = lars_entry_port(node) != 0;
  bool may_run = is_outcome && code == 0 && mapping->table.takes_runs;
  if (!may_run || !add_to_run(batch, records, &record)) {
    memcpy(records + batch->count * LARS_OUTCOME_BYTES, &record, sizeof record);
    batch->count++;
    if (is_outcome && code != 0) batch->behind_failures = batch->count;
  }
  batch->outcomes++;
  bool is_urgent = is_outcome && is_first_failure(batch, modid, cmdid, node, code);
  bool is_full = batch->count == LARS_BATCH_RECORDS || batch->outcomes == LARS_BATCH_OUTCOMES_MAX;
  if (is_urgent || is_full) send_batch(caller);
  else if (!batch->running || batch->sleeping) ensure_keeper(caller);
  /* Without a thread nothing may wait. */
  if (!batch->running) send_batch(caller);
  pthread_mutex_unlock(&batch->lock);
}

void lars_batch_wake(lars_caller *caller) {
  pthread_mutex_lock(&caller->batch.lock);
  if (!caller->batch.running || caller->batch.sleeping) ensure_keeper(caller);
  pthread_mutex_unlock(&caller->batch.lock);
}

void lars_batch_flush(lars_caller *caller) {
  pthread_mutex_lock(&caller->batch.lock);
  send_batch(caller);
  pthread_mutex_unlock(&caller->batch.lock);
}

void lars_batch_after_fork(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  if (batch->socket >= 0) close(batch->socket);
  batch->socket = -1;
  batch->epoch = 0;
  batch->count = batch->outcomes = batch->behind_failures = 0;
  batch->running = batch->sleeping = false;
  lars_mapping_leave(caller);
  lars_condition_init(&batch->wake);
}

void lars_batch_close(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  pthread_mutex_lock(&batch->lock);
  send_batch(caller);
  batch->closing = true;
  bool was_running = batch->running;
  pthread_cond_signal(&batch->wake);
  pthread_mutex_unlock(&batch->lock);
  if (was_running) pthread_join(batch->thread, NULL);
  if (batch->socket >= 0) close(batch->socket);
  batch->socket = -1;
  pthread_cond_destroy(&batch->wake);
  pthread_mutex_destroy(&batch->lock);
}
