// Core. What a caller remembers of modules: nodes named lately, budgets of retries, missing routes.
#ifndef LARS_MEMORY_H
#define LARS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "lars.h"

enum {
  /** Modules remembered of each kind; the one not used for longest makes room for a new one. */
  LARS_MODULES_MAX = 1024,
  LARS_BUCKETS = 2048,
  /** Nodes remembered for each module; the one named longest ago makes room for a new one. */
  LARS_LAST_GOOD_HOSTS_MAX = 8,
  /** Seconds that calls and retries are remembered. */
  LARS_BUDGET_SECONDS = 10
};

/** Places of modules in an array of LARS_MODULES_MAX values, by ids; the oldest is given away. */
typedef struct lars_places {
  uint32_t modid[LARS_MODULES_MAX], cmdid[LARS_MODULES_MAX];
  /** Indexes plus one; 0: none. */
  uint16_t bucket[LARS_BUCKETS], next_in_bucket[LARS_MODULES_MAX];
  uint16_t younger[LARS_MODULES_MAX], older[LARS_MODULES_MAX];
  uint16_t youngest, oldest, free_list, used;
} lars_places;

/** The place of a module, or -1. */
int lars_places_find(const lars_places *places, uint32_t modid, uint32_t cmdid);

/** The place of a module, made when there is none; is_new tells so. It is the youngest then. */
int lars_places_take(lars_places *places, uint32_t modid, uint32_t cmdid, bool *is_new);

/** Takes a module out. */
void lars_places_drop(lars_places *places, int place);

/** A node that the agent named. */
typedef struct lars_good_host {
  uint32_t ip;
  uint16_t port;
  uint16_t failures;
  int64_t at_ms, rest_end_ms;
} lars_good_host;

/** Nodes of one module in the order of their turns. */
typedef struct lars_good_module {
  int count;
  lars_good_host hosts[LARS_LAST_GOOD_HOSTS_MAX];
} lars_good_module;

/** Nodes the agent named lately, for the time when it does not answer. */
typedef struct lars_last_good {
  lars_places places;
  lars_good_module modules[LARS_MODULES_MAX];
} lars_last_good;

/** Notes that the agent named this node. */
void lars_last_good_remember(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                             const lars_host *host, int64_t now_ms);

/**
 * Notes how a call of a node went. One that failed rests for a second, twice as long after each
 * further failure up to 30, and is never forgotten for it.
 */
void lars_last_good_judge(lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, bool is_well, int64_t now_ms);

/** Notes a node that is not remembered yet; one that is keeps its turn and its failures. */
void lars_last_good_note(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms);

/** True for a node that failed a moment ago. */
bool lars_last_good_rests(const lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, int64_t now_ms);

/** Notes a node that is not remembered yet, while there is room; false when there is none. */
bool lars_last_good_fill(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms);

/**
 * The node whose turn it is, among those named in the last keep_ms (negative: ever). Those that rest
 * only when `rested` is false. False when there is none.
 */
bool lars_last_good_next(lars_last_good *good, uint32_t modid, uint32_t cmdid, int64_t keep_ms,
                         bool rested, int64_t now_ms, lars_host *host);

/**
 * How many second tries are healthy: in any ten seconds a share of the calls, and so many more for
 * each second; else retries turn a slow module into a dead one.
 */
typedef struct lars_budget {
  double slots[LARS_BUDGET_SECONDS];
  int64_t second;
} lars_budget;

/** Budgets of modules. */
typedef struct lars_budgets {
  lars_places places;
  lars_budget budgets[LARS_MODULES_MAX];
} lars_budgets;

/** The budget of a module. */
lars_budget *lars_budgets_of(lars_budgets *budgets, uint32_t modid, uint32_t cmdid);

/** Adds retries, or takes them back: a call adds its share, one that was not made gives one back. */
void lars_budget_add(lars_budget *budget, double retries, int64_t now_ms);

/** Takes one retry; false when there is none left. */
bool lars_budget_take(lars_budget *budget, double floor_per_second, int64_t now_ms);

/** A module without a route: until when it is waited for, and whether somebody asks. */
typedef struct lars_absence {
  int64_t end_ms;
  bool asking;
  /** How often whoever asked has found a route, or that asking is vain. */
  uint32_t arrivals;
} lars_absence;

/** Modules without a route. */
typedef struct lars_absences {
  lars_places places;
  lars_absence absences[LARS_MODULES_MAX];
} lars_absences;

#endif
