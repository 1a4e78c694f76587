// Core. What a caller remembers of modules: places by ids, last good nodes, budgets of retries.

#include "memory.h"

#include <string.h>

/** A node whose call failed rests so long, twice as long after each further failure. */
static const int64_t REST_MS = 1000, REST_MS_MAX = 30000;

static uint32_t bucket_of(uint32_t modid, uint32_t cmdid) {
  uint32_t hash = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  hash ^= hash >> 13;
  return hash % LARS_BUCKETS;
}

int lars_places_find(const lars_places *places, uint32_t modid, uint32_t cmdid) {
  uint16_t at = places->bucket[bucket_of(modid, cmdid)];
  while (at != 0) {
    if (places->modid[at - 1] == modid && places->cmdid[at - 1] == cmdid) return at - 1;
    at = places->next_in_bucket[at - 1];
  }
  return -1;
}

static void unlink_age(lars_places *places, uint16_t at) {
  uint16_t younger = places->younger[at - 1], older = places->older[at - 1];
  if (younger != 0) places->older[younger - 1] = older;
  else places->youngest = older;
  if (older != 0) places->younger[older - 1] = younger;
  else places->oldest = younger;
}

static void link_youngest(lars_places *places, uint16_t at) {
  places->younger[at - 1] = 0;
  places->older[at - 1] = places->youngest;
  if (places->youngest != 0) places->younger[places->youngest - 1] = at;
  else places->oldest = at;
  places->youngest = at;
}

void lars_places_drop(lars_places *places, int place) {
  uint16_t at = (uint16_t)(place + 1);
  uint16_t *link = &places->bucket[bucket_of(places->modid[place], places->cmdid[place])];
  while (*link != at) link = &places->next_in_bucket[*link - 1];
  *link = places->next_in_bucket[place];
  unlink_age(places, at);
  places->next_in_bucket[place] = places->free_list;
  places->free_list = at;
}

int lars_places_take(lars_places *places, uint32_t modid, uint32_t cmdid, bool *is_new) {
  int found = lars_places_find(places, modid, cmdid);
  *is_new = found < 0;
  if (found >= 0) {
    unlink_age(places, (uint16_t)(found + 1));
    link_youngest(places, (uint16_t)(found + 1));
    return found;
  }
  if (places->free_list == 0 && places->used == LARS_MODULES_MAX) {
    lars_places_drop(places, places->oldest - 1);
  }
  uint16_t at = places->free_list;
  if (at != 0) places->free_list = places->next_in_bucket[at - 1];
  else at = ++places->used;
  uint32_t bucket = bucket_of(modid, cmdid);
  places->modid[at - 1] = modid;
  places->cmdid[at - 1] = cmdid;
  places->next_in_bucket[at - 1] = places->bucket[bucket];
  places->bucket[bucket] = at;
  link_youngest(places, at);
  return at - 1;
}

static int host_index(const lars_good_module *module, uint32_t ip, uint16_t port) {
  for (int at = 0; at < module->count; at++) {
    if (module->hosts[at].ip == ip && module->hosts[at].port == port) return at;
  }
  return -1;
}

static void remove_host(lars_good_module *module, int index) {
  module->count--;
  memmove(&module->hosts[index], &module->hosts[index + 1],
          (size_t)(module->count - index) * sizeof module->hosts[0]);
}

void lars_last_good_remember(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                             const lars_host *host, int64_t now_ms) {
  bool is_new;
  int place = lars_places_take(&good->places, modid, cmdid, &is_new);
  lars_good_module *module = &good->modules[place];
  if (is_new) module->count = 0;
  int index = host_index(module, host->ip, host->port);
  if (index >= 0) remove_host(module, index);
  else if (module->count == LARS_LAST_GOOD_HOSTS_MAX) remove_host(module, 0);
  lars_good_host *added = &module->hosts[module->count++];
  added->ip = host->ip;
  added->port = host->port;
  added->failures = 0;
  added->at_ms = now_ms;
  added->rest_end_ms = INT64_MIN;
}

void lars_last_good_note(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  bool is_known = place >= 0 && host_index(&good->modules[place], host->ip, host->port) >= 0;
  if (!is_known) lars_last_good_remember(good, modid, cmdid, host, now_ms);
}

bool lars_last_good_rests(const lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  int index = place < 0 ? -1 : host_index(&good->modules[place], ip, port);
  return index >= 0 && good->modules[place].hosts[index].rest_end_ms > now_ms;
}

void lars_last_good_judge(lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, bool is_well, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  if (place < 0) return;
  int index = host_index(&good->modules[place], ip, port);
  if (index < 0) return;
  lars_good_host *host = &good->modules[place].hosts[index];
  if (is_well) {
    host->failures = 0;
    host->rest_end_ms = INT64_MIN;
    return;
  }
  int64_t rest_ms = host->failures > 5 ? REST_MS_MAX : REST_MS << host->failures;
  host->rest_end_ms = now_ms + (rest_ms < REST_MS_MAX ? rest_ms : REST_MS_MAX);
  if (host->failures < UINT16_MAX) host->failures++;
}

bool lars_last_good_fill(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  if (place >= 0 && good->modules[place].count == LARS_LAST_GOOD_HOSTS_MAX) return false;
  lars_last_good_note(good, modid, cmdid, host, now_ms);
  return true;
}

bool lars_last_good_next(lars_last_good *good, uint32_t modid, uint32_t cmdid, int64_t keep_ms,
                         bool rested, int64_t now_ms, lars_host *host) {
  int place = lars_places_find(&good->places, modid, cmdid);
  if (place < 0) return false;
  lars_good_module *module = &good->modules[place];
  for (int at = 0; at < module->count; at++) {
    lars_good_host turn = module->hosts[at];
    if (keep_ms >= 0 && now_ms - turn.at_ms > keep_ms) {
      remove_host(module, at--);
    } else if (!rested || turn.rest_end_ms <= now_ms) {
      remove_host(module, at);
      module->hosts[module->count++] = turn;
      memset(host, 0, sizeof *host);
      host->ip = turn.ip;
      host->port = turn.port;
      host->weight = -1;
      return true;
    }
  }
  return false;
}

lars_budget *lars_budgets_of(lars_budgets *budgets, uint32_t modid, uint32_t cmdid) {
  bool is_new;
  lars_budget *budget = &budgets->budgets[lars_places_take(&budgets->places, modid, cmdid, &is_new)];
  if (is_new) memset(budget, 0, sizeof *budget);
  return budget;
}

/** The slot of this second, with all that are too old emptied. */
static double *budget_slot(lars_budget *budget, int64_t now_ms) {
  int64_t second = now_ms / 1000, first = second - LARS_BUDGET_SECONDS;
  if (first < budget->second) first = budget->second;
  for (int64_t old = first + 1; old <= second; old++) budget->slots[old % LARS_BUDGET_SECONDS] = 0;
  if (budget->second < second) budget->second = second;
  return &budget->slots[second % LARS_BUDGET_SECONDS];
}

void lars_budget_add(lars_budget *budget, double retries, int64_t now_ms) {
  *budget_slot(budget, now_ms) += retries;
}

bool lars_budget_take(lars_budget *budget, double floor_per_second, int64_t now_ms) {
  double *slot = budget_slot(budget, now_ms);
  double sum = floor_per_second * (double)LARS_BUDGET_SECONDS;
  for (int at = 0; at < LARS_BUDGET_SECONDS; at++) sum += budget->slots[at];
  /* Shares add up to a little less than a whole one at times. */
  if (sum < 0.995) return false;
  *slot -= 1;
  return true;
}
