// Shell. Fork and exit: no lock is held across a fork, a child begins anew, an exit loses no outcome.

#include "caller.h"

#include <stdlib.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t registry_once = PTHREAD_ONCE_INIT;
static lars_caller *registry = NULL;
static bool registry_works = false;

static void lock_all(lars_caller *caller) {
  pthread_mutex_lock(&caller->mapping_lock);
  pthread_mutex_lock(&caller->memory_lock);
  pthread_mutex_lock(&caller->lanes_lock);
  pthread_mutex_lock(&caller->batch.lock);
}

static void unlock_all(lars_caller *caller) {
  pthread_mutex_unlock(&caller->batch.lock);
  pthread_mutex_unlock(&caller->lanes_lock);
  pthread_mutex_unlock(&caller->memory_lock);
  pthread_mutex_unlock(&caller->mapping_lock);
}

static void before_fork(void) {
  pthread_mutex_lock(&registry_lock);
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    lars_batch_flush(caller);
    lock_all(caller);
  }
}

static void after_fork_in_parent(void) {
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    unlock_all(caller);
  }
  pthread_mutex_unlock(&registry_lock);
}

static void after_fork_in_child(void) {
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    lars_lanes_after_fork(caller);
    lars_batch_after_fork(caller);
    lars_mapping_after_fork(caller);
    /* Whoever waited or asked is a thread of the parent. */
    lars_condition_init(&caller->route_came);
    for (int at = 0; at < LARS_MODULES_MAX; at++) caller->absences.absences[at].asking = false;
    unlock_all(caller);
  }
  pthread_mutex_unlock(&registry_lock);
}

/** Outcomes that wait are sent when the program ends without closing. */
static void at_exit(void) {
  if (pthread_mutex_trylock(&registry_lock) != 0) return;
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    lars_batch_flush(caller);
  }
  pthread_mutex_unlock(&registry_lock);
}

static void begin_registry(void) {
  registry_works = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0 &&
                   atexit(at_exit) == 0;
}

bool lars_register(lars_caller *caller) {
  pthread_once(&registry_once, begin_registry);
  if (!registry_works) return false;
  pthread_mutex_lock(&registry_lock);
  caller->next_caller = registry;
  if (registry != NULL) registry->previous_caller = caller;
  registry = caller;
  pthread_mutex_unlock(&registry_lock);
  return true;
}

void lars_unregister(lars_caller *caller) {
  pthread_mutex_lock(&registry_lock);
  if (caller->next_caller != NULL) caller->next_caller->previous_caller = caller->previous_caller;
  if (caller->previous_caller != NULL) caller->previous_caller->next_caller = caller->next_caller;
  else registry = caller->next_caller;
  pthread_mutex_unlock(&registry_lock);
}
