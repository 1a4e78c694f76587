// Shell. The functions of lars.h but for calls: open, pick, report, routes, and the wait for them.

#include "cursors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  DEFAULT_PORT = 8888,
  DEFAULT_DEADLINE_MS = 50,
  DEFAULT_FIRST_ROUTE_MS = 1000,
  /** The original tries this often to get the first route of a module. */
  REG_INIT_TRIES = 3,
  REG_INIT_PAUSE_MS = 50,
  /** Pauses between two questions for a first route. */
  PAUSE_FIRST_MS = 5,
  PAUSE_MAX_MS = 100,
  /** While an old table stands in, the agent is asked once in this time. */
  SILENT_MS = 1000
};

void lars_options_init(lars_options *options) {
  memset(options, 0, sizeof *options);
  options->host = "127.0.0.1";
  for (int at = 0; at < LARS_PORTS; at++) options->ports[at] = (uint16_t)(DEFAULT_PORT + at);
  options->deadline_ms = LARS_DEFAULT;
  options->first_route_ms = LARS_DEFAULT;
  options->last_good_ms = LARS_DEFAULT;
  options->retry_share = 0.2;
  options->retry_floor_per_second = 1;
}

void lars_pick_init(lars_pick *pick) {
  pick->key = NULL;
  pick->key_bytes = 0;
  pick->deadline_ms = LARS_DEFAULT;
  pick->first_route_ms = LARS_DEFAULT;
}

static bool is_deadline(int value) { return value > 0 && value <= LARS_DEADLINE_MS_MAX; }

static bool is_wait(int value) { return value >= 0 && value <= LARS_DEADLINE_MS_MAX; }

static bool are_options_right(const lars_options *options) {
  if (options->host == NULL || options->host[0] == 0) return false;
  for (int at = 0; at < LARS_PORTS; at++) {
    if (options->ports[at] == 0) return false;
  }
  if (options->deadline_ms != LARS_DEFAULT && !is_deadline(options->deadline_ms)) return false;
  if (options->first_route_ms != LARS_DEFAULT && !is_wait(options->first_route_ms)) return false;
  if (options->last_good_ms < LARS_DEFAULT) return false;
  bool is_token = options->token_bytes >= 1 && options->token_bytes <= LARS_TOKEN_BYTES_MAX;
  if (options->token != NULL && !is_token) return false;
  bool is_share = options->retry_share >= 0 && options->retry_share <= 1;
  double floor = options->retry_floor_per_second;
  return is_share && floor >= 0 && floor <= 1000;
}

static bool resolve(const char *name, struct sockaddr_in *address) {
  uint32_t ip;
  memset(address, 0, sizeof *address);
  address->sin_family = AF_INET;
  if (lars_parse_ip(name, &ip)) {
    address->sin_addr.s_addr = htonl(ip);
    return true;
  }
  struct addrinfo hints, *found = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(name, NULL, &hints, &found) != 0 || found == NULL) return false;
  memcpy(address, found->ai_addr, sizeof *address);
  freeaddrinfo(found);
  return true;
}

static void take_options(lars_caller *caller, const lars_options *options) {
  memcpy(caller->ports, options->ports, sizeof caller->ports);
  caller->is_deadline_named = options->deadline_ms != LARS_DEFAULT;
  caller->deadline_ms = options->deadline_ms;
  if (!caller->is_deadline_named) caller->deadline_ms = DEFAULT_DEADLINE_MS;
  caller->first_route_ms = options->first_route_ms;
  if (caller->first_route_ms == LARS_DEFAULT) caller->first_route_ms = DEFAULT_FIRST_ROUTE_MS;
  caller->last_good_ms = options->last_good_ms;
  caller->retry_share = options->retry_share;
  caller->retry_floor_per_second = options->retry_floor_per_second;
  caller->has_secret = options->token != NULL;
  if (caller->has_secret) lars_secret_init(&caller->secret, options->token, options->token_bytes);
  bool is_far = !lars_is_loopback(ntohl(caller->address.sin_addr.s_addr));
  caller->is_sealed = caller->has_secret && is_far;
}

lars_result lars_open(const lars_options *options, lars_caller **caller) {
  lars_options defaults;
  *caller = NULL;
  if (options == NULL) {
    lars_options_init(&defaults);
    options = &defaults;
  }
  if (!are_options_right(options)) return LARS_OUT_OF_RANGE;
  lars_caller *made = (lars_caller *)calloc(1, sizeof *made);
  if (made == NULL) return LARS_NO_MEMORY;
  if (!resolve(options->host, &made->address)) {
    free(made);
    return LARS_CONNECT_FAILED;
  }
  take_options(made, options);
  if (options->shared_table != NULL) made->shared_table = strdup(options->shared_table);
  made->pid = getpid();
  pthread_mutex_init(&made->lanes_lock, NULL);
  pthread_mutex_init(&made->memory_lock, NULL);
  pthread_mutex_init(&made->mapping_lock, NULL);
  lars_condition_init(&made->route_came);
  lars_batch_init(&made->batch);
  bool has_memory = options->shared_table == NULL || made->shared_table != NULL;
  if (!has_memory || !lars_register(made)) {
    free(made->shared_table);
    free(made);
    return LARS_NO_MEMORY;
  }
  /* Looked for now, so that of several first picks none has to ask because another one looks. */
  lars_mapping_usable(made);
  *caller = made;
  return LARS_OK;
}

void lars_close(lars_caller *caller) {
  if (caller == NULL) return;
  lars_unregister(caller);
  lars_batch_close(caller);
  /* What threads left behind is seen by whoever takes their locks. */
  pthread_mutex_lock(&caller->lanes_lock);
  lars_lanes_close(caller);
  pthread_mutex_unlock(&caller->lanes_lock);
  pthread_mutex_lock(&caller->mapping_lock);
  lars_mapping_close(caller);
  pthread_mutex_unlock(&caller->mapping_lock);
  pthread_mutex_destroy(&caller->lanes_lock);
  pthread_mutex_destroy(&caller->memory_lock);
  pthread_mutex_destroy(&caller->mapping_lock);
  pthread_cond_destroy(&caller->route_came);
  free(caller->shared_table);
  free(caller);
}

bool lars_check_pick(const lars_caller *caller, const lars_pick *pick, int *deadline_ms,
                     int *first_route_ms) {
  *deadline_ms = caller->deadline_ms;
  *first_route_ms = caller->first_route_ms;
  if (pick == NULL) return true;
  if (pick->deadline_ms != LARS_DEFAULT) *deadline_ms = pick->deadline_ms;
  if (pick->first_route_ms != LARS_DEFAULT) *first_route_ms = pick->first_route_ms;
  bool is_key = pick->key == NULL ? pick->key_bytes == 0
                                  : pick->key_bytes >= 1 && pick->key_bytes <= LARS_KEY_BYTES_MAX;
  return is_key && is_deadline(*deadline_ms) && is_wait(*first_route_ms);
}

static void begin_question(lars_question *question, int32_t answer_id, uint32_t modid,
                           uint32_t cmdid, int deadline_ms) {
  memset(question, 0, sizeof *question);
  question->answer_id = answer_id;
  question->modid = modid;
  question->cmdid = cmdid;
  question->port_index = lars_port_index(modid, cmdid);
  question->deadline_ms = deadline_ms;
}

/** Asks the agent for a node. */
static lars_result ask_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                            const lars_pick *pick, int deadline_ms, lars_host *host) {
  lars_result result;
  lars_lane *lane = lars_lane_take(caller, &result);
  if (lane == NULL) return result;
  lars_question question;
  begin_question(&question, LARS_GET_HOST_RESPONSE, modid, cmdid, deadline_ms);
  question.seq = lane->seq++;
  question.length =
      lars_write_get_host(question.datagram, question.seq, modid, cmdid,
                          pick == NULL ? NULL : pick->key, pick == NULL ? 0 : pick->key_bytes);
  result = lars_ask(caller, lane, &question);
  lars_lane_give(caller, lane);
  if (result != LARS_OK) return result;
  int32_t retcode = question.host.retcode;
  if (retcode == LARS_OVERLOAD || retcode == LARS_NO_ROUTE) return (lars_result)retcode;
  if (retcode != LARS_OK) return LARS_AGENT_ERROR;
  *host = question.host.host;
  return LARS_OK;
}

static bool is_unanswered(lars_result result) {
  return result == LARS_TIMEOUT || result == LARS_NO_AGENT || result == LARS_CONNECT_FAILED;
}

/**
 * Remembers the node that the agent named. That there is none takes nothing away: an agent that has
 * just started says so of every module whose route has not come yet.
 */
static void remember_answer(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                            const lars_host *host) {
  if (caller->last_good_ms == 0) return;
  pthread_mutex_lock(&caller->memory_lock);
  lars_last_good_remember(&caller->good, modid, cmdid, host, lars_now_ms());
  pthread_mutex_unlock(&caller->memory_lock);
}

/** A node without the agent, the best of what there is. */
static bool pick_alone(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host) {
  if (caller->last_good_ms == 0) return false;
  bool found = lars_mapping_pick_old(caller, modid, cmdid, host);
  if (!found) {
    int64_t now_ms = lars_now_ms(), keep_ms = caller->last_good_ms;
    pthread_mutex_lock(&caller->memory_lock);
    lars_last_good *good = &caller->good;
    found = lars_last_good_next(good, modid, cmdid, keep_ms, true, now_ms, host) ||
            lars_last_good_next(good, modid, cmdid, keep_ms, false, now_ms, host);
    pthread_mutex_unlock(&caller->memory_lock);
  }
  if (!found) return false;
  host->stale = true;
  lars_count(&caller->stats.stale, 1);
  return true;
}

/** A pick from the table where that is usable, else by asking, else without the agent. */
static lars_result pick_thoroughly(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                   const lars_pick *pick, lars_host *host) {
  int deadline_ms, first_route_ms;
  if (!lars_check_pick(caller, pick, &deadline_ms, &first_route_ms)) return LARS_OUT_OF_RANGE;
  lars_found found = lars_mapping_pick(caller, modid, cmdid, pick, host);
  if (found == LARS_FOUND_NODE) return LARS_OK;
  if (found == LARS_FOUND_REFUSAL) return LARS_OVERLOAD;
  /* An old table and a silent agent: one question in a second waits, the others go on. */
  if (lars_mapping_is_silent(caller) && pick_alone(caller, modid, cmdid, host)) return LARS_OK;
  lars_result result = ask_host(caller, modid, cmdid, pick, deadline_ms, host);
  if (result == LARS_OK) remember_answer(caller, modid, cmdid, host);
  int64_t silent_until_ms = 0;
  if (is_unanswered(result)) {
    lars_mapping *mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
    if (mapping != NULL) silent_until_ms = lars_coarse_ms() + SILENT_MS;
  }
  __atomic_store_n(&caller->silent_until_ms, silent_until_ms, __ATOMIC_RELAXED);
  if (is_unanswered(result) && pick_alone(caller, modid, cmdid, host)) return LARS_OK;
  return result;
}

lars_result lars_try_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                              const lars_pick *pick, lars_host *host) {
  if (caller == NULL) return LARS_CLOSED;
  uint64_t entry = pick == NULL ? lars_pick_hot(caller, modid, cmdid) : 0;
  if (entry == 0) return pick_thoroughly(caller, modid, cmdid, pick, host);
  lars_host_of_entry(entry, host);
  return LARS_OK;
}

static void sleep_ms(int64_t ms) {
  struct timespec left;
  left.tv_sec = (time_t)(ms / 1000);
  left.tv_nsec = ms % 1000 * 1000000;
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

/** Asks for a route with pauses that grow; true when asking on would bring nothing new. */
static bool ask_for_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int64_t end_ms) {
  for (int64_t pause_ms = PAUSE_FIRST_MS;; pause_ms *= 2) {
    if (pause_ms > PAUSE_MAX_MS) pause_ms = PAUSE_MAX_MS;
    int64_t left_ms = end_ms - lars_now_ms();
    if (left_ms <= 0) return false;
    sleep_ms(pause_ms < left_ms ? pause_ms : left_ms);
    left_ms = end_ms - lars_now_ms();
    if (left_ms <= 0) return false;
    size_t count = 0;
    int deadline_ms = left_ms < PAUSE_MAX_MS ? (int)left_ms : (int)PAUSE_MAX_MS;
    lars_result result = lars_get_route(caller, modid, cmdid, deadline_ms, NULL, 0, &count);
    if (result == LARS_OK ? count > 0 : !is_unanswered(result)) return true;
  }
}

/** The absence of a module, which begins when there is none; the lock is held. */
static lars_absence *absence_of(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                int64_t end_ms) {
  lars_absences *absences = &caller->absences;
  bool is_new = false;
  int place = lars_places_find(&absences->places, modid, cmdid);
  if (place < 0) place = lars_places_take(&absences->places, modid, cmdid, &is_new);
  lars_absence *absence = &absences->absences[place];
  if (is_new) {
    absence->end_ms = end_ms;
    absence->asking = false;
    absence->arrivals = 0;
  }
  return absence;
}

/**
 * Waits until the module has a route, or until end_ms, or what that was for whoever was first. False
 * when that time is over: nothing was asked. One thread at a time asks; when its time is over before
 * that of another, the other goes on.
 */
static bool wait_first_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int64_t end_ms) {
  bool has_waited = false;
  pthread_mutex_lock(&caller->memory_lock);
  lars_absence *absence = absence_of(caller, modid, cmdid, end_ms);
  uint32_t arrivals = absence->arrivals;
  if (absence->end_ms < end_ms) end_ms = absence->end_ms;
  int64_t left_ms;
  while (absence->arrivals == arrivals && (left_ms = end_ms - lars_now_ms()) > 0) {
    has_waited = true;
    if (absence->asking) {
      lars_condition_wait(&caller->route_came, &caller->memory_lock, left_ms);
    } else {
      absence->asking = true;
      pthread_mutex_unlock(&caller->memory_lock);
      bool has_come = ask_for_route(caller, modid, cmdid, end_ms);
      pthread_mutex_lock(&caller->memory_lock);
      absence->asking = false;
      if (has_come) absence->arrivals++;
      pthread_cond_broadcast(&caller->route_came);
    }
  }
  pthread_mutex_unlock(&caller->memory_lock);
  return has_waited;
}

/** The module has a route: the next absence of it is waited for again. */
static void route_arrived(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
  /* Most callers have none that is missing, and take no lock for it. */
  if (__atomic_load_n(&caller->absences.places.youngest, __ATOMIC_RELAXED) == 0) return;
  pthread_mutex_lock(&caller->memory_lock);
  int place = lars_places_find(&caller->absences.places, modid, cmdid);
  if (place >= 0) lars_places_drop(&caller->absences.places, place);
  pthread_mutex_unlock(&caller->memory_lock);
}

lars_result lars_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                          const lars_pick *pick, lars_host *host) {
  lars_result result = lars_try_get_host(caller, modid, cmdid, pick, host);
  if (result == LARS_OK) {
    route_arrived(caller, modid, cmdid);
    return result;
  }
  int deadline_ms, first_route_ms;
  if (result != LARS_NO_ROUTE && result != LARS_TIMEOUT) return result;
  lars_check_pick(caller, pick, &deadline_ms, &first_route_ms);
  if (first_route_ms == 0) return result;
  /* A deadline that was named ends the wait for a first route too; the first pick took some. */
  bool is_named = caller->is_deadline_named || (pick != NULL && pick->deadline_ms != LARS_DEFAULT);
  int64_t spent_ms = result == LARS_TIMEOUT ? deadline_ms : 0;
  int64_t start_ms = lars_now_ms() - spent_ms;
  int64_t wait_ms = is_named && deadline_ms < first_route_ms ? deadline_ms : first_route_ms;
  if (!wait_first_route(caller, modid, cmdid, start_ms + wait_ms)) return result;
  lars_pick again;
  if (pick != NULL) again = *pick;
  else lars_pick_init(&again);
  if (is_named) {
    int64_t left_ms = start_ms + deadline_ms - lars_now_ms();
    if (left_ms <= 0) return result;
    again.deadline_ms = (int)left_ms;
  }
  result = lars_try_get_host(caller, modid, cmdid, &again, host);
  if (result == LARS_OK) route_arrived(caller, modid, cmdid);
  return result;
}

lars_result lars_report(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                        const lars_host *host, int32_t code, int64_t took_ms) {
  if (caller == NULL) return LARS_CLOSED;
  if (host->port == 0 || took_ms < LARS_TIME_UNKNOWN) return LARS_OUT_OF_RANGE;
  lars_mapping *mapping = lars_mapping_usable(caller);
  if (mapping != NULL) {
    uint64_t node = (uint64_t)host->port << 32 | host->ip;
    lars_batch_add(caller, mapping, modid, cmdid, node, code, took_ms);
    return LARS_OK;
  }
  if (caller->last_good_ms != 0) {
    pthread_mutex_lock(&caller->memory_lock);
    /* A node of an old table that fails has to rest as well as one that was named over UDP. */
    bool is_of_table = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE) != NULL;
    if (is_of_table && code != 0) {
      lars_last_good_note(&caller->good, modid, cmdid, host, lars_now_ms());
    }
    lars_last_good_judge(&caller->good, modid, cmdid, host->ip, host->port, code == 0,
                         lars_now_ms());
    pthread_mutex_unlock(&caller->memory_lock);
  }
  uint8_t datagram[LARS_QUESTION_BYTES_MAX];
  size_t length = lars_write_report(datagram, modid, cmdid, host, code, took_ms);
  return lars_tell(caller, lars_port_index(modid, cmdid), datagram, length);
}

lars_result lars_get_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int deadline_ms,
                           lars_host *hosts, size_t capacity, size_t *count) {
  if (caller == NULL) return LARS_CLOSED;
  if (deadline_ms == LARS_DEFAULT) deadline_ms = caller->deadline_ms;
  if (!is_deadline(deadline_ms) || count == NULL) return LARS_OUT_OF_RANGE;
  lars_result result;
  lars_lane *lane = lars_lane_take(caller, &result);
  if (lane == NULL) return result;
  lars_question question;
  begin_question(&question, LARS_GET_ROUTE_RESPONSE, modid, cmdid, deadline_ms);
  question.route.hosts = hosts;
  question.route.capacity = capacity;
  question.length = lars_write_get_route(question.datagram, modid, cmdid);
  result = lars_ask(caller, lane, &question);
  lars_lane_give(caller, lane);
  if (result == LARS_OK) *count = question.route.count;
  return result;
}

lars_result lars_reg_init(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
  bool answered = false;
  if (caller == NULL) return LARS_CLOSED;
  for (int attempt = 0; attempt < REG_INIT_TRIES; attempt++) {
    if (attempt > 0) sleep_ms(REG_INIT_PAUSE_MS);
    size_t count = 0;
    if (lars_get_route(caller, modid, cmdid, LARS_DEFAULT, NULL, 0, &count) != LARS_OK) continue;
    if (count > 0) return LARS_OK;
    answered = true;
  }
  return answered ? LARS_NO_ROUTE : LARS_AGENT_ERROR;
}

/** Our own messages are for an agent that has said Hello; it is asked once for each port. */
static lars_result greet(lars_caller *caller, lars_lane *lane, int port_index, int deadline_ms) {
  if (__atomic_load_n(&caller->greeted[port_index], __ATOMIC_RELAXED)) return LARS_OK;
  lars_question question;
  begin_question(&question, LARS_HELLO, 0, 0, deadline_ms);
  question.port_index = port_index;
  question.length = lars_write_hello(question.datagram);
  lars_result result = lars_ask(caller, lane, &question);
  if (result == LARS_OK) __atomic_store_n(&caller->greeted[port_index], true, __ATOMIC_RELAXED);
  return result;
}

lars_result lars_explain(lars_caller *caller, uint32_t modid, uint32_t cmdid, int deadline_ms,
                         char **json, size_t *nodes) {
  if (caller == NULL) return LARS_CLOSED;
  if (deadline_ms == LARS_DEFAULT) deadline_ms = caller->deadline_ms;
  if (!is_deadline(deadline_ms) || json == NULL) return LARS_OUT_OF_RANGE;
  lars_result result;
  lars_lane *lane = lars_lane_take(caller, &result);
  if (lane == NULL) return result;
  char *joined = NULL;
  result = greet(caller, lane, lars_port_index(modid, cmdid), deadline_ms);
  uint32_t from = 0, nodes_here = 1, node_count = 1;
  while (result == LARS_OK && nodes_here > 0 && from < node_count) {
    lars_question question;
    begin_question(&question, LARS_EXPLAIN_RESPONSE, modid, cmdid, deadline_ms);
    question.seq = lane->seq++;
    question.length = lars_write_explain(question.datagram, question.seq, modid, cmdid, from);
    result = lars_ask(caller, lane, &question);
    if (result != LARS_OK || question.explanation.text_bytes == 0) break;
    if (!lars_join_pages(&joined, question.explanation.text, question.explanation.text_bytes,
                         &nodes_here, &node_count)) {
      result = LARS_AGENT_ERROR;
    }
    from += nodes_here;
  }
  lars_lane_give(caller, lane);
  if (result != LARS_OK) {
    free(joined);
    return result;
  }
  *json = joined;
  if (nodes != NULL) *nodes = from;
  return LARS_OK;
}

void lars_free(char *json) { free(json); }

lars_result lars_read_stats(lars_caller *caller, lars_stats *stats) {
  if (caller == NULL) return LARS_CLOSED;
  const uint64_t *from = (const uint64_t *)(const void *)&caller->stats;
  uint64_t *to = (uint64_t *)(void *)stats;
  for (size_t at = 0; at < sizeof *stats / sizeof *to; at++) {
    to[at] = __atomic_load_n(&from[at], __ATOMIC_RELAXED);
  }
  return LARS_OK;
}
