// The C++ client of Lars: one header, C++17, no dependency. See api/cpp/README.md.
//
// Made by `deno task cpp` of api/c and api/cpp/lars_front.h: do not edit. Programs use what is in
// namespace lars; namespace lars::c is the C client, compiled as part of this header.

#ifndef LARS_HPP
#define LARS_HPP

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <array>
#include <assert.h>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <errno.h>
#include <exception>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdexcept>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <string.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace lars {
namespace c {

// Core. The C client of Lars: which node next, and how did the call go. What callers include.

/*
 * Ask for a node, call it, tell how it went:
 *
 *     lars_caller *caller;
 *     if (lars_open(NULL, &caller) != LARS_OK) return 1;
 *     lars_host host;
 *     if (lars_get_host(caller, 1, 1, NULL, &host) == LARS_OK) {
 *       int code = my_call(host.ip, host.port);
 *       lars_report(caller, 1, 1, &host, code, took_ms);
 *     }
 *     lars_close(caller);
 *
 * Picks come from the table that the agent of this host keeps in shared memory, without a system
 * call; where there is none, or it is old, they are asked over UDP; where the agent is away, nodes
 * that were given last stand in. Each question ends by its deadline, whatever agent and network do.
 *
 * One caller serves a whole process: every function may be called by any number of threads at once,
 * but for lars_close, and on both sides of a fork. Modules, commands and addresses are unsigned
 * 32-bit numbers; a program that has them as int passes them as they are.
 */

/** What came of a question or call. The first four are the return codes of the original. */
typedef enum lars_result {
  LARS_OK = 0,
  /** Every node of the module is overloaded: shed the call, or try again a little later. */
  LARS_OVERLOAD = 1,
  /** The agent could not do its work, or answered with a code that is not known. */
  LARS_AGENT_ERROR = 2,
  /** The agent knows no node of the module (yet). */
  LARS_NO_ROUTE = 3,
  /** No answer in time. */
  LARS_TIMEOUT = -1,
  /** Nobody listens at the agent's address. */
  LARS_NO_AGENT = -2,
  /** A socket failed, or the agent's name does not resolve. */
  LARS_CONNECT_FAILED = -3,
  /** More questions under way than LARS_LANES_MAX. */
  LARS_LIMIT = -4,
  /** The caller is NULL: it was never opened, or it is closed. */
  LARS_CLOSED = -5,
  /** An argument is out of range: a fault of the program. */
  LARS_OUT_OF_RANGE = -6,
  /** No memory. */
  LARS_NO_MEMORY = -7,
  /** The function of lars_call failed. */
  LARS_CALL_FAILED = -8
} lars_result;

enum {
  /** Stands for the default, wherever a number of milliseconds is wanted. */
  LARS_DEFAULT = -1,
  /** Longest key of a keyed pick, in bytes. */
  LARS_KEY_BYTES_MAX = 256,
  /** Longest secret, in bytes. */
  LARS_TOKEN_BYTES_MAX = 1024,
  /** Longest zone that is passed on, in bytes; of a longer one nothing is. */
  LARS_ZONE_BYTES_MAX = 256,
  /** Longest deadline of a question, in milliseconds. */
  LARS_DEADLINE_MS_MAX = 60000,
  /** Most tries of one call after its first. */
  LARS_RETRIES_MAX = 10,
  /** Longest time of a call with all its tries, in milliseconds: a day. */
  LARS_CALL_MS_MAX = 86400000,
  /** Questions under way at once; one more gives LARS_LIMIT. */
  LARS_LANES_MAX = 1024
};

/** Time of a call that is not known, which 0 does not mean. */
#define LARS_TIME_UNKNOWN ((int64_t)-1)

/** Codes to report for failures whose kind is known; a status of HTTP is one too. */
enum { LARS_CODE_OTHER = 2, LARS_CODE_TIMED_OUT = 110, LARS_CODE_REFUSED = 111 };

/** The caller's side of Lars in one process. */
typedef struct lars_caller lars_caller;

/** A node. */
typedef struct lars_host {
  /** IPv4 address in host order: 192.168.1.177 is 3232235953. */
  uint32_t ip;
  /** 1 to 65535. */
  uint16_t port;
  /** The agent did not answer in time, and this is a node it named earlier. */
  bool stale;
  /** In routes: gets no new picks. */
  bool draining;
  /** 0 to 10000; -1 when the agent does not say. */
  int32_t weight;
  /** UTF-8; empty when the node is in none, or the agent does not say. */
  char zone[LARS_ZONE_BYTES_MAX + 1];
} lars_host;

/** Where the agent is and how patient to be; lars_options_init gives each its default. */
typedef struct lars_options {
  /** Address of the agent, which should run on this very host; default 127.0.0.1. */
  const char *host;
  /** The agent's three UDP ports; default 8888, 8889 and 8890. */
  uint16_t ports[3];
  /** Time a question may take, more than 0; default 50 ms. One that is set ends waiting too. */
  int deadline_ms;
  /** How long lars_get_host waits for the first route of a module; default 1000 ms; 0 does not. */
  int first_route_ms;
  /** For how long a node named earlier may stand in for the agent; default no limit; 0 never. */
  int64_t last_good_ms;
  /** Retries that each call with retries allows, 0 to 1; default 0.2. */
  double retry_share;
  /** Retries for each second whatever the number of calls, 0 to 1000; default 1. */
  double retry_floor_per_second;
  /** Path of the agent's table; default NULL: that of the agent with the first port. "": none. */
  const char *shared_table;
  /** Shared secret, for an agent on another host that wants one; default NULL. */
  const void *token;
  /** 1 to LARS_TOKEN_BYTES_MAX with a secret. */
  size_t token_bytes;
} lars_options;

/** What a pick can be told; lars_pick_init gives each its default. */
typedef struct lars_pick {
  /** Calls of one key stay on one node where the policy of the module heeds keys; default none. */
  const void *key;
  /** 1 to 256 with a key. */
  size_t key_bytes;
  /** LARS_DEFAULT: that of the caller. */
  int deadline_ms;
  /** LARS_DEFAULT: that of the caller. */
  int first_route_ms;
} lars_pick;

/** Which try of a call it is. */
typedef struct lars_attempt {
  /** 0 for the first try. */
  int number;
  /** Milliseconds until the time of the call is over; negative without timeout_ms. */
  int64_t left_ms;
} lars_attempt;

/** The part of a call that is the program's own. Returns 0, or the code of the failure to report. */
typedef int (*lars_call_function)(const lars_host *host, const lars_attempt *attempt, void *context);

/** What lars_call can be told; lars_call_options_init gives each its default. */
typedef struct lars_call_options {
  lars_pick pick;
  /** Further nodes to try after a failure, 0 to 10; default 0. For calls that may be made twice. */
  int retries;
  /** Time for picks and tries together; default LARS_DEFAULT: no limit. */
  int64_t timeout_ms;
  /** Whether another node may do better after this code; default NULL: always. */
  bool (*is_retryable)(int code, const lars_host *host, void *context);
} lars_call_options;

/** How a call went. */
typedef struct lars_outcome {
  /** The node of the last try. */
  lars_host host;
  /** What the function returned last, 110 when the time was over first. */
  int code;
  /** How often the function ran. */
  int tries;
} lars_outcome;

/** What a caller has seen since it was opened. */
typedef struct lars_stats {
  /** Questions sent over UDP, and those of them sent a second time. */
  uint64_t questions;
  uint64_t resent;
  /** Answers that nobody waited for (any more). */
  uint64_t late;
  /** Datagrams that could not be read. */
  uint64_t garbage;
  /** Datagrams, and outcomes in batches, that a socket did not take. */
  uint64_t dropped;
  uint64_t outcomes_dropped;
  /** Nodes given while the agent did not answer. */
  uint64_t stale;
  /** Tries made by lars_call after the first, and those not made because the budget was spent. */
  uint64_t retried;
  uint64_t retries_refused;
  /** Tables mapped. */
  uint64_t tables;
} lars_stats;

/** Defaults for everything. */
inline void lars_options_init(lars_options *options);
inline void lars_pick_init(lars_pick *pick);
inline void lars_call_options_init(lars_call_options *options);

/**
 * Makes a caller; NULL for options means all defaults. Nothing is sent yet.
 *
 * Gives LARS_OUT_OF_RANGE for an option that is out of range, LARS_CONNECT_FAILED when the agent's
 * name does not resolve, LARS_NO_MEMORY.
 */
inline lars_result lars_open(const lars_options *options, lars_caller **caller);

/** Sends what is on its way and ends the caller. No other thread may use it then; NULL is fine. */
inline void lars_close(lars_caller *caller);

/**
 * The next node of a module. Waits for the first route of a module that is asked for the first time,
 * for up to first_route_ms after its first pick, so that a module that does not exist costs that
 * once. pick may be NULL. host is untouched unless LARS_OK comes back.
 */
inline lars_result lars_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                   const lars_pick *pick, lars_host *host);

/** The same without waiting for a first route. */
inline lars_result lars_try_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                       const lars_pick *pick, lars_host *host);

/**
 * Tells how a call went: 0 for success, anything else is a failure; and the milliseconds it took, or
 * LARS_TIME_UNKNOWN. A failure that took long weighs more.
 */
inline lars_result lars_report(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                 const lars_host *host, int32_t code, int64_t took_ms);

/**
 * Picks a node, runs the function, reports how it went and how long it took; with retries it does so
 * again at another node after a failure, within the budget of this caller. outcome may be NULL.
 *
 * Gives LARS_OK, LARS_CALL_FAILED when the last try failed, LARS_TIMEOUT when timeout_ms were over,
 * or why there was no node. A function that returns after timeout_ms counts as failed.
 */
inline lars_result lars_call(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                               const lars_call_options *options, lars_call_function function,
                               void *context, lars_outcome *outcome);

/**
 * Every node of a module, overloaded ones too: count is their number, of which as many as capacity
 * are in hosts. 0 when there is no such module, or its route has not come yet.
 */
inline lars_result lars_get_route(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                    int deadline_ms, lars_host *hosts, size_t capacity,
                                    size_t *count);

/**
 * Fetches the route of a module when a program starts: three tries, 50 ms apart. LARS_OK when there
 * are nodes, LARS_NO_ROUTE when there are none, LARS_AGENT_ERROR when nobody could be asked.
 */
inline lars_result lars_reg_init(lars_caller *caller, uint32_t modid, uint32_t cmdid);

/**
 * Why which node of a module is picked, as JSON of all its nodes, to be given to lars_free; NULL when
 * the agent does not know the module. nodes, which may be NULL, is their number. LARS_TIMEOUT also
 * from an agent of the original.
 */
inline lars_result lars_explain(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                  int deadline_ms, char **json, size_t *nodes);

/** Gives back what lars_explain gave. */
inline void lars_free(char *json);

/** Counters for whoever watches the program. */
inline lars_result lars_read_stats(lars_caller *caller, lars_stats *stats);

/** The return code of the original for a result: 0, 1, 2 or 3. */
inline int lars_retcode(lars_result result);

/** What a result means, as a short English text. */
inline const char *lars_result_text(lars_result result);

/** Writes an address as dotted text, at most 16 bytes with the 0 at its end. */
inline void lars_format_ip(uint32_t ip, char text[16]);

/** Reads a dotted IPv4 address; false when it is none. */
inline bool lars_parse_ip(const char *text, uint32_t *ip);

// Core. The messages a caller writes and reads, as bytes; no I/O.

enum {
  LARS_HEAD_BYTES = 8,
  /** No question of a caller is longer: ids, a key of 256 bytes, a head. */
  LARS_QUESTION_BYTES_MAX = 384,
  /** Longest datagram there is. */
  LARS_DATAGRAM_BYTES_MAX = 65507,
  /** Groups in a group; deeper ones are refused. */
  LARS_GROUP_DEPTH_MAX = 100
};

/** Ids in the head. */
enum {
  LARS_GET_HOST_REQUEST = 4,
  LARS_GET_HOST_RESPONSE = 5,
  LARS_REPORT_REQUEST = 6,
  LARS_GET_ROUTE_REQUEST = 7,
  LARS_GET_ROUTE_RESPONSE = 8,
  LARS_HELLO = 64,
  LARS_EXPLAIN_REQUEST = 76,
  LARS_EXPLAIN_RESPONSE = 77,
  LARS_BATCHED_REPORT = 83
};

/** The answer to a question for a node. */
typedef struct lars_host_answer {
  uint32_t seq, modid, cmdid;
  int32_t retcode;
  /** True when the node has a port that can be one. */
  bool has_host;
  lars_host host;
} lars_host_answer;

/** The answer to a question for a route. */
typedef struct lars_route_answer {
  uint32_t modid, cmdid;
  lars_host *hosts;
  size_t capacity, count;
} lars_route_answer;

/** The answer to a question for an explanation; text is not ended by a 0. */
typedef struct lars_explain_answer {
  uint32_t seq, modid, cmdid;
  const uint8_t *text;
  size_t text_bytes;
} lars_explain_answer;

/** Each writes a datagram into out, LARS_QUESTION_BYTES_MAX long, and gives its length. */
inline size_t lars_write_get_host(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                           const void *key, size_t key_bytes);
inline size_t lars_write_report(uint8_t *out, uint32_t modid, uint32_t cmdid, const lars_host *host,
                         int32_t code, int64_t took_ms);
inline size_t lars_write_get_route(uint8_t *out, uint32_t modid, uint32_t cmdid);
inline size_t lars_write_explain(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                          uint32_t from);
inline size_t lars_write_hello(uint8_t *out);

/** Bytes before the outcomes of a batch, with the head; gives their length, at most 40. */
inline size_t lars_write_batch_start(uint8_t *out, uint32_t sender, uint64_t first,
                              size_t outcomes_bytes);

/** The head of a datagram and where its body is; false when the lengths do not agree. */
inline bool lars_read_datagram(const uint8_t *datagram, size_t length, int32_t *msg_id,
                        const uint8_t **body, size_t *body_bytes);

/** Each reads a body; false when it is malformed. */
inline bool lars_read_host_answer(const uint8_t *body, size_t length, lars_host_answer *answer);
inline bool lars_read_route_answer(const uint8_t *body, size_t length, lars_route_answer *answer);
inline bool lars_read_explain_answer(const uint8_t *body, size_t length, lars_explain_answer *answer);
inline bool lars_read_hello(const uint8_t *body, size_t length);

/** True when the bytes are text in UTF-8. */
inline bool lars_is_text(const uint8_t *bytes, size_t length);

// Core. What a caller remembers of modules: nodes named lately, budgets of retries, missing routes.

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
inline int lars_places_find(const lars_places *places, uint32_t modid, uint32_t cmdid);

/** The place of a module, made when there is none; is_new tells so. It is the youngest then. */
inline int lars_places_take(lars_places *places, uint32_t modid, uint32_t cmdid, bool *is_new);

/** Takes a module out. */
inline void lars_places_drop(lars_places *places, int place);

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
inline void lars_last_good_remember(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                             const lars_host *host, int64_t now_ms);

/**
 * Notes how a call of a node went. One that failed rests for a second, twice as long after each
 * further failure up to 30, and is never forgotten for it.
 */
inline void lars_last_good_judge(lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, bool is_well, int64_t now_ms);

/** Notes a node that is not remembered yet; one that is keeps its turn and its failures. */
inline void lars_last_good_note(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms);

/** True for a node that failed a moment ago. */
inline bool lars_last_good_rests(const lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, int64_t now_ms);

/** Notes a node that is not remembered yet, while there is room; false when there is none. */
inline bool lars_last_good_fill(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms);

/**
 * The node whose turn it is, among those named in the last keep_ms (negative: ever). Those that rest
 * only when `rested` is false. False when there is none.
 */
inline bool lars_last_good_next(lars_last_good *good, uint32_t modid, uint32_t cmdid, int64_t keep_ms,
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
inline lars_budget *lars_budgets_of(lars_budgets *budgets, uint32_t modid, uint32_t cmdid);

/** Adds retries, or takes them back: a call adds its share, one that was not made gives one back. */
inline void lars_budget_add(lars_budget *budget, double retries, int64_t now_ms);

/** Takes one retry; false when there is none left. */
inline bool lars_budget_take(lars_budget *budget, double floor_per_second, int64_t now_ms);

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

// Core. Picks from the bytes of the table that the agent keeps in shared memory.

enum {
  LARS_TABLE_VERSION = 1,
  LARS_TABLE_HEADER_BYTES = 4096,
  LARS_TABLE_SLOT_BYTES = 32,
  /** Where the number of changes is. */
  LARS_TABLE_CHANGES = 192,
  /** Entries of a keyed table that are looked at for one that is not out. */
  LARS_TABLE_KEYED_LOOKS_MAX = 1024,
  /** A heartbeat is good up to this age, and so far ahead. */
  LARS_TABLE_OLD_MS = 2000,
  LARS_TABLE_AHEAD_MS = 1000
};

/** A table that was checked: its bytes, which the agent changes, and where they begin. */
typedef struct lars_table {
  const uint8_t *bytes;
  uint64_t words;
  uint32_t slots, first_word;
  uint64_t generation;
  uint32_t agent_ip;
  uint16_t agent_port;
  /** The agent takes records that stand for several outcomes. */
  bool takes_runs;
} lars_table;

/** What a pick found. */
typedef enum lars_found {
  LARS_FOUND_NODE,
  /** No node: the answer is overload. */
  LARS_FOUND_REFUSAL,
  /** Nothing: the agent has to be asked. */
  LARS_FOUND_NOTHING,
  /** The table is broken: it must not be used any more. */
  LARS_FOUND_BROKEN
} lars_found;

/** Checks a file of so many bytes at an address aligned to 8; false when it is not to be used. */
inline bool lars_table_check(const uint8_t *bytes, uint64_t length, lars_table *table);

/** True when the agent has written not long before now_ms, by CLOCK_MONOTONIC. */
inline bool lars_table_is_fresh(const lars_table *table, int64_t now_ms);

/** True when this file is written no more. */
inline bool lars_table_is_retired(const lars_table *table);

/** The same as lars_table_next, for a key. */
inline lars_found lars_table_keyed(const lars_table *table, uint32_t slot, uint32_t *cursor,
                            const void *key, size_t key_bytes, uint64_t *entry);

/** Address, port, and marks of an entry. */
inline uint32_t lars_entry_ip(uint64_t entry) { return (uint32_t)entry; }
inline uint16_t lars_entry_port(uint64_t entry) { return (uint16_t)(entry >> 32); }
inline bool lars_entry_is_probe(uint64_t entry) { return (entry >> 48 & 1) != 0; }
inline bool lars_entry_is_out(uint64_t entry) { return (entry >> 49 & 1) != 0; }
inline bool lars_entry_is_refusal(uint64_t entry) { return (entry >> 50 & 1) != 0; }

/** Where a slot keeps its schedule. */
enum { LARS_SLOT_SCHEDULE = 8 };

inline const uint8_t *lars_slot_at(const lars_table *table, uint32_t slot) {
  return table->bytes + LARS_TABLE_HEADER_BYTES + (uint64_t)slot * LARS_TABLE_SLOT_BYTES;
}

inline uint64_t lars_load_schedule(const uint8_t *slot) {
  return __atomic_load_n((const uint64_t *)(const void *)(slot + LARS_SLOT_SCHEDULE),
                         __ATOMIC_ACQUIRE);
}

/** Where a module begins to look for its slot. */
inline uint32_t lars_module_hash(uint32_t modid, uint32_t cmdid) {
  uint32_t hash = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  return hash ^ hash >> 13;
}

/** The slot of a module, or -1. */
inline int32_t lars_table_slot(const lars_table *table, uint32_t modid, uint32_t cmdid) {
  uint32_t mask = table->slots - 1, slot = lars_module_hash(modid, cmdid) & mask;
  for (uint32_t looks = 0; looks < table->slots; looks++, slot = (slot + 1) & mask) {
    const uint8_t *at = lars_slot_at(table, slot);
    if (lars_load_schedule(at) == 0) return -1;
    const uint32_t *ids = (const uint32_t *)(const void *)at;
    if (__atomic_load_n(ids, __ATOMIC_RELAXED) == modid &&
        __atomic_load_n(ids + 1, __ATOMIC_RELAXED) == cmdid) {
      return (int32_t)slot;
    }
  }
  return -1;
}

/** Another number after each change of any module; 0: the writer does not say. */
inline uint32_t lars_table_changes(const lars_table *table) {
  return __atomic_load_n((const uint32_t *)(const void *)(table->bytes + LARS_TABLE_CHANGES),
                         __ATOMIC_ACQUIRE);
}

/** Where the entries of a module are: its first word, and how many there are. */
typedef struct lars_schedule {
  uint32_t first, count;
} lars_schedule;

/** Reads a schedule; one that is LARS_FOUND_NODE lies in the file. */
inline lars_found lars_table_schedule(const lars_table *table, uint32_t slot,
                                             lars_schedule *schedule) {
  uint64_t word = lars_load_schedule(lars_slot_at(table, slot));
  schedule->first = (uint32_t)word;
  schedule->count = (uint32_t)(word >> 32);
  if (schedule->count == 0) return LARS_FOUND_NOTHING;
  bool fits = schedule->first >= table->first_word &&
              (uint64_t)schedule->first + schedule->count <= table->words;
  return fits ? LARS_FOUND_NODE : LARS_FOUND_BROKEN;
}

/** The entry of a schedule whose turn it is. */
inline lars_found lars_table_turn(const lars_table *table, const lars_schedule *schedule,
                                         uint32_t *cursor, uint64_t *entry) {
  uint32_t index = *cursor;
  if (index >= schedule->count) index %= schedule->count;
  *cursor = index + 1;
  const uint64_t *words = (const uint64_t *)(const void *)table->bytes;
  *entry = __atomic_load_n(words + schedule->first + index, __ATOMIC_RELAXED);
  if (lars_entry_is_refusal(*entry)) return LARS_FOUND_REFUSAL;
  return lars_entry_port(*entry) != 0 ? LARS_FOUND_NODE : LARS_FOUND_NOTHING;
}

/** The entry whose turn it is; cursor is that of this thread and module. */
inline lars_found lars_table_next(const lars_table *table, uint32_t slot, uint32_t *cursor,
                                         uint64_t *entry) {
  lars_schedule schedule;
  lars_found found = lars_table_schedule(table, slot, &schedule);
  return found == LARS_FOUND_NODE ? lars_table_turn(table, &schedule, cursor, entry) : found;
}

// Core. Seals of datagrams: proof of the secret, for an agent on another host that wants one.

enum {
  LARS_SHA256_BYTES = 32,
  LARS_SEAL_SENDER_BYTES = 8,
  LARS_SEAL_MAC_BYTES = 16,
  /** By how much a seal makes a datagram longer: head of its field, sender, time, number, mac. */
  LARS_SEAL_BYTES = 3 + LARS_SEAL_SENDER_BYTES + 8 + 4 + LARS_SEAL_MAC_BYTES
};

/** A hash under way: FIPS 180-4. */
typedef struct lars_sha256 {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
} lars_sha256;

/** A secret, ready to be used: the states after the first block of each half of an HMAC. */
typedef struct lars_secret {
  lars_sha256 inner, outer;
} lars_secret;

/** Who seals: 8 random bytes, which no other sender has, and the number of its last datagram. */
typedef struct lars_sealer {
  uint8_t sender[LARS_SEAL_SENDER_BYTES];
  uint32_t number;
} lars_sealer;

inline void lars_sha256_begin(lars_sha256 *hash);
inline void lars_sha256_add(lars_sha256 *hash, const void *bytes, size_t length);
/** Ends the hash; the struct is used up. */
inline void lars_sha256_end(lars_sha256 *hash, uint8_t digest[LARS_SHA256_BYTES]);

inline void lars_secret_init(lars_secret *secret, const void *token, size_t length);

/** HMAC-SHA-256 of a label and bytes behind it: RFC 2104. */
inline void lars_hmac(const lars_secret *secret, const char *label, const uint8_t *bytes, size_t length,
               uint8_t digest[LARS_SHA256_BYTES]);

/**
 * Writes the datagram with its seal, and gives its length, LARS_SEAL_BYTES more. For each datagram
 * anew, also for a repeated one. wall_ms: milliseconds since 1970. out may be the datagram itself.
 */
inline size_t lars_seal(const lars_secret *secret, lars_sealer *sealer, uint64_t wall_ms,
                 const uint8_t *datagram, size_t length, uint8_t *out);

/** True when it is sealed by one who knows the secret, for a question of this sender. */
inline bool lars_seal_is_answer(const lars_secret *secret, const lars_sealer *sealer,
                         const uint8_t *datagram, size_t length);

// Core. What a caller is made of, for the sources of this library.

enum {
  LARS_PORTS = 3,
  /** Records in a batch, which is sent when they are there, and outcomes of all its runs. */
  LARS_BATCH_RECORDS = 512,
  LARS_BATCH_OUTCOMES_MAX = 65536,
  /** Places that say which record may be that of a node. */
  LARS_RUN_PLACES = 1024,
  LARS_OUTCOME_BYTES = 24,
  LARS_BATCH_START_BYTES = 64,
  /** Half of the 10 ms that an outcome may wait. */
  LARS_BATCH_TICK_MS = 5,
  /** Ticks after which the keeper looks at the table again, of the 100 ms that it may take. */
  LARS_KEEP_TICKS = 10,
  /** Such looks without a pick or outcome after which it sleeps until there is one. */
  LARS_IDLE_LOOKS = 20,
  /** Nodes whose last outcome was a failure; failures of more are not sent at once. */
  LARS_FAILING_MAX = 1024,
  LARS_FAILING_SLOTS = 2048,
  /** Earlier tables whose addresses stay taken, for threads that still look at them. */
  LARS_OLD_TABLES_MAX = 64
};

/** Sockets and numbers of one question at a time. */
typedef struct lars_lane {
  /** -1: not open. */
  int sockets[LARS_PORTS];
  /** Answers of an earlier question may still come. */
  bool dirty[LARS_PORTS];
  uint32_t seq;
  lars_sealer sealer;
  struct lars_lane *next_free, *next;
  uint8_t buffer[65536];
} lars_lane;

/** How far a table can be trusted. */
typedef enum lars_trust { LARS_TABLE_USABLE, LARS_TABLE_OLD, LARS_TABLE_BROKEN } lars_trust;

/** A table that was mapped. */
typedef struct lars_mapping {
  lars_table table;
  uint64_t length;
  /** Names the cursors of threads; another one after a fork. */
  uint64_t epoch;
  dev_t device;
  ino_t inode;
  /** By the clock that says when to look again. */
  int64_t looked_ms;
  int trust;
  /** Its pages were given back. */
  bool emptied;
  /** By slot: not 0 for a module that this program has picked. */
  uint8_t *used;
  struct lars_mapping *older;
} lars_mapping;

/** Outcomes on their way to an agent with a table. */
typedef struct lars_batch {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int socket;
  uint64_t epoch;
  uint32_t sender;
  /** Batches go to an address beyond loopback, and there is a secret. */
  bool is_sealed;
  lars_sealer sealer;
  /** Outcomes handed on before those that wait. */
  uint64_t first;
  /** Number of batches sent. */
  uint64_t number;
  /** Records that wait, outcomes in them, and the first record behind all failures. */
  int count, outcomes, behind_failures;
  /** Numbers of records; one that is left of an earlier batch is another's, or none. */
  uint16_t run_places[LARS_RUN_PLACES];
  bool running, sleeping, closing;
  pthread_t thread;
  int failing_count;
  /** Nodes whose last outcome was a failure, as hashes; 0: none. */
  uint64_t failing[LARS_FAILING_SLOTS];
  uint8_t datagram[LARS_BATCH_START_BYTES + LARS_BATCH_RECORDS * LARS_OUTCOME_BYTES +
                   LARS_SEAL_BYTES];
} lars_batch;

struct lars_caller {
  struct sockaddr_in address;
  uint16_t ports[LARS_PORTS];
  int deadline_ms, first_route_ms;
  /** The deadline was set: it ends the wait for a first route too. */
  bool is_deadline_named;
  int64_t last_good_ms;
  double retry_share, retry_floor_per_second;
  char *shared_table;
  /** The program knows a secret; and what goes to the agent that is asked is sealed with it. */
  bool has_secret, is_sealed;
  lars_secret secret;

  pthread_mutex_t lanes_lock;
  lars_lane *lanes, *free_lanes;
  int lane_count;
  pid_t pid;
  bool greeted[LARS_PORTS];

  pthread_mutex_t memory_lock;
  pthread_cond_t route_came;
  lars_last_good good;
  lars_budgets budgets;
  lars_absences absences;

  pthread_mutex_t mapping_lock;
  lars_mapping *mapping;
  /** The mapping while the keeper looks after it: a pick from it needs no clock. Else NULL. */
  lars_mapping *kept;
  /** Above bit 32 another number every few seconds, while the keeper looks after it. */
  uint64_t kept_stamp;
  /** Picked from since the keeper looked last. */
  bool is_picked;
  /** Seconds of the keeper's clock, from 1. */
  uint32_t kept_s;
  int64_t next_open_ms;
  /** Until when the nodes of an old table stand in without asking the agent. */
  int64_t silent_until_ms;

  lars_batch batch;
  lars_stats stats;
  lars_caller *next_caller, *previous_caller;
};

/** Milliseconds of the clock that only moves forward; the second one is cheap and 4 ms coarse. */
inline int64_t lars_now_ms(void);
inline int64_t lars_coarse_ms(void);

/** Random bits of the system. */
inline uint64_t lars_random(void);

/** Adds to a counter. */
inline void lars_count(uint64_t *counter, uint64_t more);

/** Which of the agent's ports serves a module. */
inline int lars_port_index(uint32_t modid, uint32_t cmdid);

/** A mutex's condition whose times are those of lars_now_ms. */
inline void lars_condition_init(pthread_cond_t *condition);

/** Waits for a condition for at most so long. */
inline void lars_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t wait_ms);

/** What is asked of the agent; the answer is put where it belongs. */
typedef struct lars_question {
  /** Id of the answer. */
  int32_t answer_id;
  uint32_t seq, modid, cmdid;
  int port_index;
  int deadline_ms;
  uint8_t datagram[LARS_QUESTION_BYTES_MAX];
  size_t length;
  lars_host_answer host;
  lars_route_answer route;
  lars_explain_answer explanation;
} lars_question;

/** A lane for this thread; NULL with the reason when there is none. */
inline lars_lane *lars_lane_take(lars_caller *caller, lars_result *fault);
inline void lars_lane_give(lars_caller *caller, lars_lane *lane);

/** Closes the sockets of every lane, and forgets them in a child after a fork. */
inline void lars_lanes_close(lars_caller *caller);
inline void lars_lanes_after_fork(lars_caller *caller);

/** Asks and waits; the answer's text and hosts are good until the lane is given back. */
inline lars_result lars_ask(lars_caller *caller, lars_lane *lane, lars_question *question);

/** Sends a datagram that has no answer. */
inline lars_result lars_tell(lars_caller *caller, int port_index, const uint8_t *datagram, size_t length);

/** A connected socket towards the agent, or -1. */
inline int lars_open_socket(uint32_t ip, uint16_t port);

/** Sends once more at once when the send only told that an earlier datagram was refused. */
inline bool lars_send(int socket, const uint8_t *datagram, size_t length);

/** True for an address of this host alone: whoever listens there wants no proof. */
inline bool lars_is_loopback(uint32_t ip);

/** Another sender of seals than all others. */
inline void lars_sealer_init(lars_sealer *sealer);

/** The datagram with a seal of now in sealed, which may be the datagram itself; gives its length. */
inline size_t lars_seal_now(const lars_caller *caller, lars_sealer *sealer, const uint8_t *datagram,
                     size_t length, uint8_t *sealed);

/** Picks from the table; LARS_FOUND_NOTHING also where there is no usable table. */
inline lars_found lars_mapping_pick(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                             const lars_pick *pick, lars_host *host);

/** Picks from a table that is old, for when nothing better is to be had. */
inline bool lars_mapping_pick_old(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host);

/** True while the agent was found silent a moment ago and an old table can stand in. */
inline bool lars_mapping_is_silent(lars_caller *caller);

/** Looks after the table, for the picks of the next 50 ms; or leaves it to them, when it is to rest. */
inline void lars_mapping_keep(lars_caller *caller);
inline void lars_mapping_leave(lars_caller *caller);

/** The usable table, or NULL. */
inline lars_mapping *lars_mapping_usable(lars_caller *caller);

/** Takes all tables away. */
inline void lars_mapping_close(lars_caller *caller);

/** New cursors, as after a fork. */
inline void lars_mapping_after_fork(lars_caller *caller);

/** Hands an outcome on; node is an entry of the table, with port 0 for a use or refusal. */
inline void lars_batch_add(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                    uint32_t cmdid, uint64_t node, int32_t code, int64_t took_ms);

/** Starts or wakes the keeper. */
inline void lars_batch_wake(lars_caller *caller);

/** Sends what waits, and ends the keeper. */
inline void lars_batch_init(lars_batch *batch);
inline void lars_batch_flush(lars_caller *caller);
inline void lars_batch_close(lars_caller *caller);
inline void lars_batch_after_fork(lars_caller *caller);

/** Makes fork and exit heed a caller, and no more. */
inline bool lars_register(lars_caller *caller);
inline void lars_unregister(lars_caller *caller);

/** True for what a pick is told that is in range; gives the deadline that counts. */
inline bool lars_check_pick(const lars_caller *caller, const lars_pick *pick, int *deadline_ms,
                     int *first_route_ms);

/** Joins a further page to an explanation; false when one of them is none. */
inline bool lars_join_pages(char **json, const uint8_t *page, size_t page_bytes, uint32_t *nodes_here,
                     uint32_t *node_count);

// Core. Where a thread is in the schedules of modules, and the pick of nearly all calls.

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
inline thread_local lars_cursors lars_hot_cursors __attribute__((tls_model("initial-exec")));

/** Another name for the cursors of all threads. */
inline uint64_t lars_new_epoch(void);

/**
 * The cursor of this thread for a module of the table; one that is new begins at a random place, and is
 * nobody's until told_s is set. NULL without memory.
 */
inline lars_cursor *lars_cursor_of(const lars_mapping *mapping, uint32_t modid, uint32_t cmdid);

/**
 * Where a module begins to look for its cursor: the golden ratio's multiple (Knuth, The Art of Computer
 * Programming, volume 3, 6.4), which keeps modules of consecutive numbers apart, so that nearly every
 * first look is the right one.
 */
inline uint32_t lars_cursor_place(const lars_cursors *own, uint64_t ids) {
  return (uint32_t)(ids * 0x9e3779b97f4a7c15u >> own->shift);
}

inline void lars_host_of_entry(uint64_t entry, lars_host *host) {
  /* Address and port as they lie in the entry, then no marks, weight or zone: two stores. */
  uint64_t words[2] = {entry & 0xffffffffffffu, UINT32_MAX};
  memcpy(host, words, sizeof words);
}

/** True for an entry that is a node. */
inline bool lars_entry_is_node(uint64_t entry) {
  return lars_entry_port(entry) != 0 && !lars_entry_is_refusal(entry);
}

/** What a schedule is known by that was read at this number of changes. */
inline uint64_t lars_stamp(const lars_caller *caller, uint32_t changes) {
  return __atomic_load_n(&caller->kept_stamp, __ATOMIC_RELAXED) | changes;
}

/**
 * The most usual pick: from a table that the keeper looks after, of a module that this thread has
 * picked and that is as it was. 0: take the long way.
 */
inline uint64_t lars_pick_hot(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
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

// Core. The messages a caller writes and reads, as bytes: Protocol Buffers by hand.

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, GROUP = 3, GROUP_END = 4, FOUR_BYTES = 5 };

/** What is left of a message. */
typedef struct lars_reader {
  const uint8_t *at, *end;
  bool bad;
} lars_reader;

/** A field as it was read: a number, or bytes. */
typedef struct lars_field {
  uint32_t number, type;
  uint64_t value;
  const uint8_t *bytes;
  size_t length;
} lars_field;

inline void put_le32(uint8_t *out, uint32_t value) {
  for (int at = 0; at < 4; at++) out[at] = (uint8_t)(value >> (8 * at));
}

inline uint32_t get_le32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

inline size_t put_varint(uint8_t *out, uint64_t value) {
  size_t at = 0;
  for (; value >= 0x80; value >>= 7) out[at++] = (uint8_t)(value | 0x80);
  out[at++] = (uint8_t)value;
  return at;
}

/** A field that is left out when it is 0. */
inline size_t put_number(uint8_t *out, uint32_t field, uint64_t value) {
  if (value == 0) return 0;
  size_t at = put_varint(out, (uint64_t)field << 3 | VARINT);
  return at + put_varint(out + at, value);
}

/** Declared int32: numbers from 2^31 up are negative, ten bytes long. */
inline size_t put_id(uint8_t *out, uint32_t field, uint32_t value) {
  return put_number(out, field, (uint64_t)(int64_t)(int32_t)value);
}

inline size_t put_bytes(uint8_t *out, uint32_t field, const void *bytes, size_t length) {
  if (length == 0) return 0;
  size_t at = put_varint(out, (uint64_t)field << 3 | BYTES);
  at += put_varint(out + at, length);
  memcpy(out + at, bytes, length);
  return at + length;
}

inline size_t finish_frame(uint8_t *out, uint32_t msg_id, size_t length) {
  put_le32(out, msg_id);
  put_le32(out + 4, (uint32_t)(length - LARS_HEAD_BYTES));
  return length;
}

inline size_t lars_write_get_host(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                           const void *key, size_t key_bytes) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, seq);
  at += put_id(out + at, 2, modid);
  at += put_id(out + at, 3, cmdid);
  at += put_bytes(out + at, 17, key, key_bytes);
  return finish_frame(out, LARS_GET_HOST_REQUEST, at);
}

inline size_t lars_write_report(uint8_t *out, uint32_t modid, uint32_t cmdid, const lars_host *host,
                         int32_t code, int64_t took_ms) {
  uint8_t node[32];
  size_t node_bytes = put_id(node, 1, host->ip);
  node_bytes += put_number(node + node_bytes, 2, host->port);
  size_t at = LARS_HEAD_BYTES;
  at += put_id(out + at, 1, modid);
  at += put_id(out + at, 2, cmdid);
  at += put_bytes(out + at, 3, node, node_bytes);
  at += put_number(out + at, 4, (uint64_t)(int64_t)code);
  if (took_ms >= 0) {
    at += put_varint(out + at, 5 << 3 | VARINT);
    at += put_varint(out + at, took_ms > UINT32_MAX ? UINT32_MAX : (uint64_t)took_ms);
  }
  return finish_frame(out, LARS_REPORT_REQUEST, at);
}

inline size_t lars_write_get_route(uint8_t *out, uint32_t modid, uint32_t cmdid) {
  size_t at = LARS_HEAD_BYTES;
  at += put_id(out + at, 1, modid);
  at += put_id(out + at, 2, cmdid);
  return finish_frame(out, LARS_GET_ROUTE_REQUEST, at);
}

inline size_t lars_write_explain(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                          uint32_t from) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, seq);
  at += put_id(out + at, 2, modid);
  at += put_id(out + at, 3, cmdid);
  at += put_number(out + at, 4, from);
  return finish_frame(out, LARS_EXPLAIN_REQUEST, at);
}

inline size_t lars_write_hello(uint8_t *out) {
  static const char software[] = "lars-c", role[] = "client";
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, 2);
  at += put_bytes(out + at, 2, software, sizeof software - 1);
  at += put_bytes(out + at, 3, role, sizeof role - 1);
  return finish_frame(out, LARS_HELLO, at);
}

inline size_t lars_write_batch_start(uint8_t *out, uint32_t sender, uint64_t first,
                              size_t outcomes_bytes) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, sender);
  at += put_number(out + at, 2, first);
  at += put_varint(out + at, 3 << 3 | BYTES);
  at += put_varint(out + at, outcomes_bytes);
  finish_frame(out, LARS_BATCHED_REPORT, at + outcomes_bytes);
  return at;
}

inline bool lars_read_datagram(const uint8_t *datagram, size_t length, int32_t *msg_id,
                        const uint8_t **body, size_t *body_bytes) {
  if (length < LARS_HEAD_BYTES || length > LARS_DATAGRAM_BYTES_MAX) return false;
  if (get_le32(datagram + 4) != length - LARS_HEAD_BYTES) return false;
  *msg_id = (int32_t)get_le32(datagram);
  *body = datagram + LARS_HEAD_BYTES;
  *body_bytes = length - LARS_HEAD_BYTES;
  return true;
}

inline uint64_t take_varint(lars_reader *reader, int bytes_max) {
  uint64_t value = 0;
  for (int at = 0; at < bytes_max && reader->at < reader->end; at++) {
    uint8_t byte = *reader->at++;
    value |= (uint64_t)(byte & 0x7f) << (7 * at);
    if (byte < 0x80) return value;
  }
  reader->bad = true;
  return 0;
}

/** Takes a tag; false at the end of the message, and when it is bad. */
inline bool take_tag(lars_reader *reader, lars_field *field) {
  if (reader->bad || reader->at == reader->end) return false;
  uint64_t tag = take_varint(reader, 5);
  if (tag > UINT32_MAX || tag >> 3 == 0) reader->bad = true;
  field->number = (uint32_t)(tag >> 3);
  field->type = (uint32_t)(tag & 7);
  return !reader->bad;
}

inline void take_span(lars_reader *reader, lars_field *field, uint64_t length) {
  if (length > (uint64_t)(reader->end - reader->at)) {
    reader->bad = true;
    return;
  }
  field->bytes = reader->at;
  field->length = (size_t)length;
  reader->at += length;
}

/** Takes what follows a tag that is no group's. */
inline void take_value(lars_reader *reader, lars_field *field) {
  if (field->type == VARINT) field->value = take_varint(reader, 10);
  else if (field->type == BYTES) take_span(reader, field, take_varint(reader, 10));
  else if (field->type == FOUR_BYTES) take_span(reader, field, 4);
  else if (field->type == EIGHT_BYTES) take_span(reader, field, 8);
  else reader->bad = true;
}

/** Passes over a group whose tag was taken, with those in it. */
inline void skip_group(lars_reader *reader, uint32_t number) {
  uint32_t open[LARS_GROUP_DEPTH_MAX];
  size_t depth = 0;
  open[depth++] = number;
  lars_field field;
  while (depth > 0 && take_tag(reader, &field)) {
    if (field.type == GROUP_END) {
      if (open[--depth] != field.number) reader->bad = true;
    } else if (field.type != GROUP) {
      take_value(reader, &field);
    } else if (depth == LARS_GROUP_DEPTH_MAX) {
      reader->bad = true;
    } else {
      open[depth++] = field.number;
    }
  }
  if (depth > 0) reader->bad = true;
}

/** Takes the next field; groups are passed over. False at the end, and when the message is bad. */
inline bool take_field(lars_reader *reader, lars_field *field) {
  memset(field, 0, sizeof *field);
  while (take_tag(reader, field)) {
    if (field->type != GROUP) {
      take_value(reader, field);
      return !reader->bad;
    }
    skip_group(reader, field->number);
  }
  return false;
}

inline lars_reader reader_of(const uint8_t *bytes, size_t length) {
  lars_reader reader;
  reader.at = bytes;
  reader.end = bytes + length;
  reader.bad = false;
  return reader;
}

inline bool is_number(const lars_field *field, uint32_t number) {
  return field->number == number && field->type == VARINT;
}

inline bool is_span(const lars_field *field, uint32_t number) {
  return field->number == number && field->type == BYTES;
}

/** Length of the character at the beginning; 0 when it is none. */
inline size_t character_bytes(const uint8_t *bytes, size_t length) {
  uint8_t head = bytes[0];
  if (head < 0x80) return 1;
  size_t size = head >= 0xf0 ? 4 : head >= 0xe0 ? 3 : 2;
  if (head < 0xc2 || head > 0xf4 || size > length) return 0;
  for (size_t at = 1; at < size; at++) {
    if ((bytes[at] & 0xc0) != 0x80) return 0;
  }
  if ((head == 0xe0 && bytes[1] < 0xa0) || (head == 0xed && bytes[1] > 0x9f)) return 0;
  if ((head == 0xf0 && bytes[1] < 0x90) || (head == 0xf4 && bytes[1] > 0x8f)) return 0;
  return size;
}

inline bool lars_is_text(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    size_t size = character_bytes(bytes, length);
    if (size == 0) return false;
    bytes += size;
    length -= size;
  }
  return true;
}

/** Port and address as they are on the wire: any numbers. */
typedef struct lars_raw_host {
  lars_host host;
  int32_t port;
} lars_raw_host;

inline void clear_host(lars_raw_host *raw) {
  memset(raw, 0, sizeof *raw);
  raw->host.weight = -1;
}

/** Merges a node into one that may have come in part before. */
inline bool read_host(const lars_field *span, lars_raw_host *raw) {
  lars_reader reader = reader_of(span->bytes, span->length);
  lars_field field;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) raw->host.ip = (uint32_t)field.value;
    else if (is_number(&field, 2)) raw->port = (int32_t)(uint32_t)field.value;
    else if (is_number(&field, 16)) raw->host.weight = (int32_t)((uint32_t)field.value & 0x7fffffff);
    else if (is_span(&field, 17)) {
      if (!lars_is_text(field.bytes, field.length)) return false;
      size_t length = field.length > LARS_ZONE_BYTES_MAX ? 0 : field.length;
      if (length > 0) memcpy(raw->host.zone, field.bytes, length);
      raw->host.zone[length] = 0;
    }
  }
  return !reader.bad;
}

/** True when the node has a port that can be one. */
inline bool settle_host(lars_raw_host *raw) {
  if (raw->port < 1 || raw->port > 65535) return false;
  raw->host.port = (uint16_t)raw->port;
  return true;
}

inline bool lars_read_host_answer(const uint8_t *body, size_t length, lars_host_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  lars_raw_host raw;
  clear_host(&raw);
  answer->seq = answer->modid = answer->cmdid = 0;
  answer->retcode = 0;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->seq = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 3)) answer->cmdid = (uint32_t)field.value;
    else if (is_number(&field, 4)) answer->retcode = (int32_t)(uint32_t)field.value;
    else if (is_span(&field, 5) && !read_host(&field, &raw)) return false;
  }
  answer->has_host = settle_host(&raw);
  answer->host = raw.host;
  return !reader.bad && (answer->retcode != 0 || answer->has_host);
}

inline bool add_route_host(const lars_field *field, bool draining, lars_route_answer *answer) {
  lars_raw_host raw;
  clear_host(&raw);
  if (!read_host(field, &raw)) return false;
  if (!settle_host(&raw)) return true;
  raw.host.draining = draining;
  if (answer->count < answer->capacity) answer->hosts[answer->count] = raw.host;
  answer->count++;
  return true;
}

inline bool lars_read_route_answer(const uint8_t *body, size_t length, lars_route_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  answer->modid = answer->cmdid = 0;
  answer->count = 0;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->cmdid = (uint32_t)field.value;
    else if (is_span(&field, 3) || is_span(&field, 19)) {
      if (!add_route_host(&field, field.number == 19, answer)) return false;
    } else if (is_span(&field, 17) || is_span(&field, 21)) {
      if (!lars_is_text(field.bytes, field.length)) return false;
    }
  }
  return !reader.bad;
}

inline bool lars_read_explain_answer(const uint8_t *body, size_t length, lars_explain_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  memset(answer, 0, sizeof *answer);
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->seq = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 3)) answer->cmdid = (uint32_t)field.value;
    else if (is_span(&field, 5)) {
      answer->text = field.bytes;
      answer->text_bytes = field.length;
    }
  }
  return !reader.bad && lars_is_text(answer->text, answer->text_bytes);
}

inline bool lars_read_hello(const uint8_t *body, size_t length) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  while (take_field(&reader, &field)) {
    bool is_named = is_span(&field, 2) || is_span(&field, 3) || is_span(&field, 5);
    if (is_named && !lars_is_text(field.bytes, field.length)) return false;
  }
  return !reader.bad;
}

// Core. What a caller remembers of modules: places by ids, last good nodes, budgets of retries.

/** A node whose call failed rests so long, twice as long after each further failure. */
inline const int64_t REST_MS = 1000, REST_MS_MAX = 30000;

inline uint32_t bucket_of(uint32_t modid, uint32_t cmdid) {
  uint32_t hash = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  hash ^= hash >> 13;
  return hash % LARS_BUCKETS;
}

inline int lars_places_find(const lars_places *places, uint32_t modid, uint32_t cmdid) {
  uint16_t at = places->bucket[bucket_of(modid, cmdid)];
  while (at != 0) {
    if (places->modid[at - 1] == modid && places->cmdid[at - 1] == cmdid) return at - 1;
    at = places->next_in_bucket[at - 1];
  }
  return -1;
}

inline void unlink_age(lars_places *places, uint16_t at) {
  uint16_t younger = places->younger[at - 1], older = places->older[at - 1];
  if (younger != 0) places->older[younger - 1] = older;
  else places->youngest = older;
  if (older != 0) places->younger[older - 1] = younger;
  else places->oldest = younger;
}

inline void link_youngest(lars_places *places, uint16_t at) {
  places->younger[at - 1] = 0;
  places->older[at - 1] = places->youngest;
  if (places->youngest != 0) places->younger[places->youngest - 1] = at;
  else places->oldest = at;
  places->youngest = at;
}

inline void lars_places_drop(lars_places *places, int place) {
  uint16_t at = (uint16_t)(place + 1);
  uint16_t *link = &places->bucket[bucket_of(places->modid[place], places->cmdid[place])];
  while (*link != at) link = &places->next_in_bucket[*link - 1];
  *link = places->next_in_bucket[place];
  unlink_age(places, at);
  places->next_in_bucket[place] = places->free_list;
  places->free_list = at;
}

inline int lars_places_take(lars_places *places, uint32_t modid, uint32_t cmdid, bool *is_new) {
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

inline int host_index(const lars_good_module *module, uint32_t ip, uint16_t port) {
  for (int at = 0; at < module->count; at++) {
    if (module->hosts[at].ip == ip && module->hosts[at].port == port) return at;
  }
  return -1;
}

inline void remove_host(lars_good_module *module, int index) {
  module->count--;
  memmove(&module->hosts[index], &module->hosts[index + 1],
          (size_t)(module->count - index) * sizeof module->hosts[0]);
}

inline void lars_last_good_remember(lars_last_good *good, uint32_t modid, uint32_t cmdid,
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

inline void lars_last_good_note(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  bool is_known = place >= 0 && host_index(&good->modules[place], host->ip, host->port) >= 0;
  if (!is_known) lars_last_good_remember(good, modid, cmdid, host, now_ms);
}

inline bool lars_last_good_rests(const lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
                          uint16_t port, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  int index = place < 0 ? -1 : host_index(&good->modules[place], ip, port);
  return index >= 0 && good->modules[place].hosts[index].rest_end_ms > now_ms;
}

inline void lars_last_good_judge(lars_last_good *good, uint32_t modid, uint32_t cmdid, uint32_t ip,
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

inline bool lars_last_good_fill(lars_last_good *good, uint32_t modid, uint32_t cmdid,
                         const lars_host *host, int64_t now_ms) {
  int place = lars_places_find(&good->places, modid, cmdid);
  if (place >= 0 && good->modules[place].count == LARS_LAST_GOOD_HOSTS_MAX) return false;
  lars_last_good_note(good, modid, cmdid, host, now_ms);
  return true;
}

inline bool lars_last_good_next(lars_last_good *good, uint32_t modid, uint32_t cmdid, int64_t keep_ms,
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

inline lars_budget *lars_budgets_of(lars_budgets *budgets, uint32_t modid, uint32_t cmdid) {
  bool is_new;
  lars_budget *budget = &budgets->budgets[lars_places_take(&budgets->places, modid, cmdid, &is_new)];
  if (is_new) memset(budget, 0, sizeof *budget);
  return budget;
}

/** The slot of this second, with all that are too old emptied. */
inline double *budget_slot(lars_budget *budget, int64_t now_ms) {
  int64_t second = now_ms / 1000, first = second - LARS_BUDGET_SECONDS;
  if (first < budget->second) first = budget->second;
  for (int64_t old = first + 1; old <= second; old++) budget->slots[old % LARS_BUDGET_SECONDS] = 0;
  if (budget->second < second) budget->second = second;
  return &budget->slots[second % LARS_BUDGET_SECONDS];
}

inline void lars_budget_add(lars_budget *budget, double retries, int64_t now_ms) {
  *budget_slot(budget, now_ms) += retries;
}

inline bool lars_budget_take(lars_budget *budget, double floor_per_second, int64_t now_ms) {
  double *slot = budget_slot(budget, now_ms);
  double sum = floor_per_second * (double)LARS_BUDGET_SECONDS;
  for (int at = 0; at < LARS_BUDGET_SECONDS; at++) sum += budget->slots[at];
  /* Shares add up to a little less than a whole one at times. */
  if (sum < 0.995) return false;
  *slot -= 1;
  return true;
}

// Core. Picks from the bytes of the shared table: two loads each, and nothing that can tear.

/** Offsets in the header and in a slot; see proto/shared_table.md. */
enum { AT_VERSION = 8, AT_HEADER = 12, AT_LENGTH = 16, AT_GENERATION = 24, AT_SLOTS = 32 };
enum { AT_SLOT_BYTES = 36, AT_FIRST_WORD = 40, AT_IP = 48, AT_PORT = 52, AT_HEARTBEAT = 64 };
enum { AT_TAKES = 56, TAKES_RUNS = 1, AT_RETIRED = 128, SLOT_KEYED = 16, SLOT_FLAGS = 24 };
enum { KIND_RING = 1, KIND_MAGLEV = 2, FLAG_KEYS_BY_AGENT = 1 };

inline uint64_t load_word(const uint8_t *at, int order) {
  return order == __ATOMIC_ACQUIRE ? __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_ACQUIRE)
                                   : __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
}

inline uint32_t load_half(const uint8_t *at) {
  return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
}

inline uint64_t word_at(const lars_table *table, uint64_t word) {
  return load_word(table->bytes + word * 8, __ATOMIC_RELAXED);
}

inline bool lars_table_check(const uint8_t *bytes, uint64_t length, lars_table *table) {
  static const char magic[] = "LARSTBL1";
  const uint16_t order = 1;
  uint8_t first_byte;
  memcpy(&first_byte, &order, 1);
  if (first_byte != 1 || length < LARS_TABLE_HEADER_BYTES) return false;
  uint64_t found = load_word(bytes, __ATOMIC_ACQUIRE);
  if (memcmp(&found, magic, sizeof found) != 0) return false;
  if (load_half(bytes + AT_VERSION) != LARS_TABLE_VERSION) return false;
  if (load_half(bytes + AT_HEADER) != LARS_TABLE_HEADER_BYTES) return false;
  if (load_half(bytes + AT_SLOT_BYTES) != LARS_TABLE_SLOT_BYTES) return false;
  if (load_word(bytes + AT_LENGTH, __ATOMIC_RELAXED) != length) return false;
  uint32_t slots = load_half(bytes + AT_SLOTS), first_word = load_half(bytes + AT_FIRST_WORD);
  uint64_t directory_end = LARS_TABLE_HEADER_BYTES + (uint64_t)slots * LARS_TABLE_SLOT_BYTES;
  if (slots == 0 || (slots & (slots - 1)) != 0 || slots > INT32_MAX) return false;
  if (directory_end > length || (uint64_t)first_word * 8 < directory_end) return false;
  table->bytes = bytes;
  table->words = length / 8;
  table->slots = slots;
  table->first_word = first_word;
  table->generation = load_word(bytes + AT_GENERATION, __ATOMIC_RELAXED);
  table->agent_ip = load_half(bytes + AT_IP);
  table->agent_port = (uint16_t)load_half(bytes + AT_PORT);
  table->takes_runs = (load_half(bytes + AT_TAKES) & TAKES_RUNS) != 0;
  return true;
}

inline bool lars_table_is_fresh(const lars_table *table, int64_t now_ms) {
  int64_t beat_ms = (int64_t)load_word(table->bytes + AT_HEARTBEAT, __ATOMIC_RELAXED);
  return beat_ms >= now_ms - LARS_TABLE_OLD_MS && beat_ms <= now_ms + LARS_TABLE_AHEAD_MS;
}

inline bool lars_table_is_retired(const lars_table *table) {
  return load_half(table->bytes + AT_RETIRED) != 0;
}

inline uint32_t rotate_left(uint32_t value, int bits) {
  return value << bits | value >> (32 - bits);
}

inline uint32_t murmur_block(uint32_t block) {
  return rotate_left(block * 0xcc9e2d51u, 15) * 0x1b873593u;
}

/** The upper 31 bits of MurmurHash3 x86 32 with seed 0. */
inline uint32_t hash_key(const uint8_t *bytes, size_t length) {
  uint32_t hash = 0;
  size_t at = 0;
  for (; at + 4 <= length; at += 4) {
    uint32_t block = (uint32_t)bytes[at] | (uint32_t)bytes[at + 1] << 8 |
                     (uint32_t)bytes[at + 2] << 16 | (uint32_t)bytes[at + 3] << 24;
    hash = rotate_left(hash ^ murmur_block(block), 13) * 5 + 0xe6546b64u;
  }
  uint32_t tail = 0;
  for (size_t rest = length; rest > at; rest--) tail = tail << 8 | bytes[rest - 1];
  if (length > at) hash ^= murmur_block(tail);
  hash ^= (uint32_t)length;
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  return (hash ^ hash >> 16) >> 1;
}

/** Where a keyed block begins, and how its entries are walked through. */
typedef struct lars_keyed {
  uint64_t hashes, entries;
  uint32_t count, index, step;
} lars_keyed;

inline uint32_t ring_index(const lars_table *table, const lars_keyed *keyed, uint32_t key) {
  uint32_t low = 0, high = keyed->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    uint32_t hash = load_half(table->bytes + keyed->hashes * 8 + (uint64_t)middle * 4);
    if (hash < key) low = middle + 1;
    else high = middle;
  }
  return low == keyed->count ? 0 : low;
}

/** False when the block is none that this reader knows, or does not lie in the file. */
inline bool begin_keyed(const lars_table *table, uint64_t word, uint32_t key, lars_keyed *keyed) {
  if (word < table->first_word || word >= table->words) return false;
  uint64_t head = word_at(table, word);
  uint32_t kind = (uint32_t)head;
  keyed->count = (uint32_t)(head >> 32);
  if (keyed->count == 0 || (kind != KIND_RING && kind != KIND_MAGLEV)) return false;
  keyed->hashes = word + 1;
  keyed->entries = word + 1 + (kind == KIND_RING ? ((uint64_t)keyed->count + 1) / 2 : 0);
  if (keyed->entries + keyed->count > table->words) return false;
  if (kind == KIND_RING) {
    keyed->index = ring_index(table, keyed, key);
    keyed->step = 1;
    return true;
  }
  uint8_t bytes[4] = {(uint8_t)key, (uint8_t)(key >> 8), (uint8_t)(key >> 16), (uint8_t)(key >> 24)};
  keyed->index = key % keyed->count;
  keyed->step = keyed->count == 1 ? 0 : hash_key(bytes, 4) % (keyed->count - 1) + 1;
  return true;
}

inline lars_found lars_table_keyed(const lars_table *table, uint32_t slot, uint32_t *cursor,
                            const void *key, size_t key_bytes, uint64_t *entry) {
  lars_found found = lars_table_next(table, slot, cursor, entry);
  if (found != LARS_FOUND_NODE || lars_entry_is_probe(*entry)) return found;
  const uint8_t *at = lars_slot_at(table, slot);
  if ((load_half(at + SLOT_FLAGS) & FLAG_KEYS_BY_AGENT) != 0) return LARS_FOUND_NOTHING;
  if (!lars_is_text((const uint8_t *)key, key_bytes)) return LARS_FOUND_NOTHING;
  uint64_t block = load_word(at + SLOT_KEYED, __ATOMIC_ACQUIRE);
  if (block == 0) return LARS_FOUND_NODE;
  lars_keyed keyed;
  uint32_t hash = hash_key((const uint8_t *)key, key_bytes);
  if (!begin_keyed(table, (uint32_t)block, hash, &keyed)) return LARS_FOUND_NOTHING;
  uint32_t looks = keyed.count;
  if (looks > LARS_TABLE_KEYED_LOOKS_MAX) looks = LARS_TABLE_KEYED_LOOKS_MAX;
  uint64_t index = keyed.index;
  for (uint32_t look = 0; look < looks; look++, index = (index + keyed.step) % keyed.count) {
    uint64_t found_entry = word_at(table, keyed.entries + index);
    if (lars_entry_is_out(found_entry) || lars_entry_port(found_entry) == 0) continue;
    *entry = found_entry;
    return LARS_FOUND_NODE;
  }
  return LARS_FOUND_NODE;
}

// Core. Seals of datagrams by HMAC-SHA-256, which the C library does not have.

inline const uint32_t SHA256_ROUNDS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline const uint32_t SHA256_START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

enum { SHA256_BLOCK = 64, HMAC_INNER = 0x36, HMAC_OUTER = 0x5c };

inline const uint8_t SEAL_HEAD[3] = {0xfa, 0x01, LARS_SEAL_BYTES - 3};

inline uint32_t rotate_right(uint32_t value, int bits) {
  return value >> bits | value << (32 - bits);
}

inline uint32_t get_be32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
         (uint32_t)bytes[3];
}

inline void put_be32(uint8_t *out, uint32_t value) {
  for (int at = 0; at < 4; at++) out[at] = (uint8_t)(value >> (24 - 8 * at));
}

inline void put_le(uint8_t *out, uint64_t value, int bytes) {
  for (int at = 0; at < bytes; at++) out[at] = (uint8_t)(value >> (8 * at));
}

inline void take_block(lars_sha256 *hash, const uint8_t *block) {
  uint32_t words[64], now[8];
  for (int at = 0; at < 16; at++) words[at] = get_be32(block + 4 * at);
  for (int at = 16; at < 64; at++) {
    uint32_t early = words[at - 15], late = words[at - 2];
    early = rotate_right(early, 7) ^ rotate_right(early, 18) ^ early >> 3;
    late = rotate_right(late, 17) ^ rotate_right(late, 19) ^ late >> 10;
    words[at] = words[at - 16] + early + words[at - 7] + late;
  }
  memcpy(now, hash->state, sizeof now);
  for (int at = 0; at < 64; at++) {
    uint32_t a = now[0], e = now[4];
    uint32_t mixed_e = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t mixed_a = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t choice = (e & now[5]) ^ (~e & now[6]);
    uint32_t most = (a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]);
    uint32_t first = now[7] + mixed_e + choice + SHA256_ROUNDS[at] + words[at];
    memmove(now + 1, now, 7 * sizeof now[0]);
    now[4] += first;
    now[0] = first + mixed_a + most;
  }
  for (int at = 0; at < 8; at++) hash->state[at] += now[at];
}

inline void lars_sha256_begin(lars_sha256 *hash) {
  memcpy(hash->state, SHA256_START, sizeof hash->state);
  hash->length = 0;
}

inline void lars_sha256_add(lars_sha256 *hash, const void *bytes, size_t length) {
  const uint8_t *at = (const uint8_t *)bytes;
  while (length > 0) {
    size_t used = (size_t)(hash->length % SHA256_BLOCK);
    size_t more = SHA256_BLOCK - used < length ? SHA256_BLOCK - used : length;
    memcpy(hash->block + used, at, more);
    hash->length += more;
    at += more;
    length -= more;
    if (hash->length % SHA256_BLOCK == 0) take_block(hash, hash->block);
  }
}

inline void lars_sha256_end(lars_sha256 *hash, uint8_t digest[LARS_SHA256_BYTES]) {
  static const uint8_t padding[SHA256_BLOCK] = {0x80};
  uint64_t bits = hash->length * 8;
  uint8_t length[8];
  put_be32(length, (uint32_t)(bits >> 32));
  put_be32(length + 4, (uint32_t)bits);
  size_t used = (size_t)(hash->length % SHA256_BLOCK);
  lars_sha256_add(hash, padding, used < 56 ? 56 - used : 56 + SHA256_BLOCK - used);
  lars_sha256_add(hash, length, sizeof length);
  for (int at = 0; at < 8; at++) put_be32(digest + 4 * at, hash->state[at]);
}

inline void begin_half(lars_sha256 *hash, const uint8_t *key, uint8_t pad) {
  uint8_t block[SHA256_BLOCK];
  for (int at = 0; at < SHA256_BLOCK; at++) block[at] = (uint8_t)(key[at] ^ pad);
  lars_sha256_begin(hash);
  lars_sha256_add(hash, block, sizeof block);
}

inline void lars_secret_init(lars_secret *secret, const void *token, size_t length) {
  uint8_t key[SHA256_BLOCK] = {0};
  if (length <= SHA256_BLOCK) {
    memcpy(key, token, length);
  } else {
    lars_sha256 hash;
    lars_sha256_begin(&hash);
    lars_sha256_add(&hash, token, length);
    lars_sha256_end(&hash, key);
  }
  begin_half(&secret->inner, key, HMAC_INNER);
  begin_half(&secret->outer, key, HMAC_OUTER);
}

inline void lars_hmac(const lars_secret *secret, const char *label, const uint8_t *bytes, size_t length,
               uint8_t digest[LARS_SHA256_BYTES]) {
  lars_sha256 inner = secret->inner, outer = secret->outer;
  lars_sha256_add(&inner, label, strlen(label));
  lars_sha256_add(&inner, bytes, length);
  lars_sha256_end(&inner, digest);
  lars_sha256_add(&outer, digest, LARS_SHA256_BYTES);
  lars_sha256_end(&outer, digest);
}

inline size_t lars_seal(const lars_secret *secret, lars_sealer *sealer, uint64_t wall_ms,
                 const uint8_t *datagram, size_t length, uint8_t *out) {
  uint8_t digest[LARS_SHA256_BYTES];
  size_t at = length, sealed = length + LARS_SEAL_BYTES;
  sealer->number++;
  memmove(out, datagram, length);
  put_le(out + 4, sealed - LARS_HEAD_BYTES, 4);
  memcpy(out + at, SEAL_HEAD, sizeof SEAL_HEAD);
  at += sizeof SEAL_HEAD;
  memcpy(out + at, sealer->sender, LARS_SEAL_SENDER_BYTES);
  at += LARS_SEAL_SENDER_BYTES;
  put_le(out + at, wall_ms, 8);
  put_le(out + at + 8, sealer->number, 4);
  at += 12;
  lars_hmac(secret, "lars question", out, at, digest);
  memcpy(out + at, digest, LARS_SEAL_MAC_BYTES);
  return sealed;
}

inline bool lars_seal_is_answer(const lars_secret *secret, const lars_sealer *sealer,
                         const uint8_t *datagram, size_t length) {
  uint8_t digest[LARS_SHA256_BYTES], difference = 0;
  if (length < LARS_HEAD_BYTES + LARS_SEAL_BYTES) return false;
  const uint8_t *seal = datagram + length - LARS_SEAL_BYTES;
  const uint8_t *mac = datagram + length - LARS_SEAL_MAC_BYTES;
  if (memcmp(seal, SEAL_HEAD, sizeof SEAL_HEAD) != 0) return false;
  if (memcmp(seal + sizeof SEAL_HEAD, sealer->sender, LARS_SEAL_SENDER_BYTES) != 0) return false;
  lars_hmac(secret, "lars answer", datagram, length - LARS_SEAL_MAC_BYTES, digest);
  /* Takes the same time wherever they differ. */
  for (int at = 0; at < LARS_SEAL_MAC_BYTES; at++) difference |= (uint8_t)(mac[at] ^ digest[at]);
  return difference == 0;
}

// Shell. Questions over UDP: sockets for each question under way, and the wait for its answer.

inline int64_t lars_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

inline int64_t lars_coarse_ms(void) {
#ifdef CLOCK_MONOTONIC_COARSE
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
#else
  return lars_now_ms();
#endif
}

inline int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

inline uint64_t lars_random(void) {
  uint64_t bits;
  /* Before the system has gathered enough it gives none: a clock and an address differ too. */
  if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits) return bits;
  bits = ((uint64_t)now_us() << 20) ^ (uint64_t)(uintptr_t)&bits ^ (uint64_t)getpid() << 44;
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
  return bits ^ bits >> 27;
}

inline void lars_count(uint64_t *counter, uint64_t more) {
  __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

inline int lars_port_index(uint32_t modid, uint32_t cmdid) {
  int64_t remainder = ((int64_t)(int32_t)modid + (int64_t)(int32_t)cmdid) % LARS_PORTS;
  return (int)(remainder < 0 ? remainder + LARS_PORTS : remainder);
}

inline int lars_open_socket(uint32_t ip, uint16_t port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct sockaddr_in agent;
  memset(&agent, 0, sizeof agent);
  agent.sin_family = AF_INET;
  agent.sin_addr.s_addr = htonl(ip);
  agent.sin_port = htons(port);
  /* Connected: the kernel refuses foreign datagrams, and tells that nobody listens. */
  if (connect(fd, (const struct sockaddr *)(const void *)&agent, sizeof agent) == 0) return fd;
  close(fd);
  return -1;
}

inline lars_lane *new_lane(void) {
  lars_lane *lane = (lars_lane *)malloc(sizeof *lane);
  if (lane == NULL) return NULL;
  lane->seq = (uint32_t)lars_random();
  lars_sealer_init(&lane->sealer);
  lane->next_free = lane->next = NULL;
  for (int at = 0; at < LARS_PORTS; at++) {
    lane->sockets[at] = -1;
    lane->dirty[at] = false;
  }
  return lane;
}

inline void close_sockets(lars_lane *lane) {
  for (int at = 0; at < LARS_PORTS; at++) {
    if (lane->sockets[at] >= 0) close(lane->sockets[at]);
    lane->sockets[at] = -1;
    lane->dirty[at] = false;
  }
}

inline void lars_lanes_close(lars_caller *caller) {
  for (lars_lane *lane = caller->lanes, *next; lane != NULL; lane = next) {
    next = lane->next;
    close_sockets(lane);
    free(lane);
  }
  caller->lanes = caller->free_lanes = NULL;
  caller->lane_count = 0;
}

inline void lars_lanes_after_fork(lars_caller *caller) {
  /* Lanes of threads that were asking have no owner in the child. */
  lars_lanes_close(caller);
  caller->pid = getpid();
  memset(caller->greeted, 0, sizeof caller->greeted);
}

inline lars_lane *lars_lane_take(lars_caller *caller, lars_result *fault) {
  pthread_mutex_lock(&caller->lanes_lock);
  /* A child that was made past the handlers of fork is seen here. */
  if (caller->pid != getpid()) lars_lanes_after_fork(caller);
  lars_lane *lane = caller->free_lanes;
  *fault = LARS_LIMIT;
  if (lane != NULL) {
    caller->free_lanes = lane->next_free;
  } else if (caller->lane_count < LARS_LANES_MAX) {
    lane = new_lane();
    *fault = LARS_NO_MEMORY;
    if (lane != NULL) {
      lane->next = caller->lanes;
      caller->lanes = lane;
      caller->lane_count++;
    }
  }
  pthread_mutex_unlock(&caller->lanes_lock);
  return lane;
}

inline void lars_lane_give(lars_caller *caller, lars_lane *lane) {
  pthread_mutex_lock(&caller->lanes_lock);
  lane->next_free = caller->free_lanes;
  caller->free_lanes = lane;
  pthread_mutex_unlock(&caller->lanes_lock);
}

inline int lane_socket(lars_caller *caller, lars_lane *lane, int port_index) {
  int *fd = &lane->sockets[port_index];
  if (*fd < 0) {
    *fd = lars_open_socket(ntohl(caller->address.sin_addr.s_addr), caller->ports[port_index]);
  }
  return *fd;
}

inline bool is_passing(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR ||
         error == ECONNREFUSED;
}

inline bool lars_send(int socket, const uint8_t *datagram, size_t length) {
  ssize_t sent = send(socket, datagram, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno == ECONNREFUSED) {
    /* An earlier datagram was refused, and this one has only brought the news. */
    sent = send(socket, datagram, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  return sent >= 0;
}

inline bool lars_is_loopback(uint32_t ip) { return ip >> 24 == 127; }

inline void lars_sealer_init(lars_sealer *sealer) {
  uint64_t sender = lars_random();
  memcpy(sealer->sender, &sender, sizeof sender);
  sealer->number = 0;
}

inline size_t lars_seal_now(const lars_caller *caller, lars_sealer *sealer, const uint8_t *datagram,
                     size_t length, uint8_t *sealed) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  return lars_seal(&caller->secret, sealer, wall_ms, datagram, length, sealed);
}

/** Sends from a lane, sealed where the agent wants it. */
inline bool send_sealed(const lars_caller *caller, lars_lane *lane, int socket,
                        const uint8_t *datagram, size_t length) {
  if (!caller->is_sealed) return lars_send(socket, datagram, length);
  uint8_t sealed[LARS_QUESTION_BYTES_MAX + LARS_SEAL_BYTES];
  length = lars_seal_now(caller, &lane->sealer, datagram, length, sealed);
  return lars_send(socket, sealed, length);
}

inline lars_result lars_tell(lars_caller *caller, int port_index, const uint8_t *datagram, size_t length) {
  lars_result fault;
  lars_lane *lane = lars_lane_take(caller, &fault);
  if (lane == NULL) return fault;
  int fd = lane_socket(caller, lane, port_index);
  fault = LARS_OK;
  if (fd < 0) {
    fault = LARS_CONNECT_FAILED;
  } else if (!send_sealed(caller, lane, fd, datagram, length)) {
    lars_count(&caller->stats.dropped, 1);
    if (!is_passing(errno)) {
      close(fd);
      lane->sockets[port_index] = -1;
      fault = LARS_CONNECT_FAILED;
    }
  }
  lars_lane_give(caller, lane);
  return fault;
}

/** What a datagram is to a question. */
typedef enum lars_kind { IS_ANSWER, IS_LATE, IS_GARBAGE } lars_kind;

inline lars_kind kind_of(bool is_well_formed, bool is_wanted) {
  if (!is_well_formed) return IS_GARBAGE;
  return is_wanted ? IS_ANSWER : IS_LATE;
}

/** Reads a datagram; question is NULL for one that nobody waits for. */
inline lars_kind judge_datagram(const uint8_t *datagram, size_t length, lars_question *question) {
  int32_t msg_id;
  const uint8_t *body;
  size_t bytes;
  if (!lars_read_datagram(datagram, length, &msg_id, &body, &bytes)) return IS_GARBAGE;
  bool is_kind = question != NULL && question->answer_id == msg_id;
  if (msg_id == LARS_HELLO) return kind_of(lars_read_hello(body, bytes), is_kind);
  uint32_t seq = 0, modid = 0, cmdid = 0;
  bool is_well_formed = false;
  if (msg_id == LARS_GET_HOST_RESPONSE) {
    lars_host_answer answer;
    is_well_formed = lars_read_host_answer(body, bytes, &answer);
    seq = answer.seq, modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) question->host = answer;
  } else if (msg_id == LARS_GET_ROUTE_RESPONSE) {
    lars_route_answer answer;
    memset(&answer, 0, sizeof answer);
    if (is_kind) answer = question->route;
    is_well_formed = lars_read_route_answer(body, bytes, &answer);
    modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) seq = question->seq, question->route = answer;
  } else if (msg_id == LARS_EXPLAIN_RESPONSE) {
    lars_explain_answer answer;
    is_well_formed = lars_read_explain_answer(body, bytes, &answer);
    seq = answer.seq, modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) question->explanation = answer;
  } else {
    return IS_GARBAGE;
  }
  return kind_of(is_well_formed, is_kind && seq == question->seq && modid == question->modid &&
                                     cmdid == question->cmdid);
}

/** Counts a datagram that answers nothing; true for the answer. */
inline bool take_datagram(lars_caller *caller, lars_lane *lane, size_t length,
                          lars_question *question) {
  bool is_believed = !caller->is_sealed ||
                     lars_seal_is_answer(&caller->secret, &lane->sealer, lane->buffer, length);
  lars_kind kind = is_believed ? judge_datagram(lane->buffer, length, question) : IS_GARBAGE;
  if (kind == IS_LATE) lars_count(&caller->stats.late, 1);
  if (kind == IS_GARBAGE) lars_count(&caller->stats.garbage, 1);
  return kind == IS_ANSWER;
}

/** Takes out what came for earlier questions. */
inline void drain(lars_caller *caller, lars_lane *lane, int fd) {
  for (;;) {
    ssize_t length = recv(fd, lane->buffer, sizeof lane->buffer, MSG_DONTWAIT);
    if (length >= 0) take_datagram(caller, lane, (size_t)length, NULL);
    else if (errno != ECONNREFUSED && errno != EINTR) return;
  }
}

/** A question while it waits. */
typedef struct lars_wait {
  int fd;
  int64_t half_us, end_us;
  int sent_count;
  bool refused;
} lars_wait;

inline void send_question(lars_caller *caller, lars_lane *lane, const lars_question *question,
                          lars_wait *wait) {
  wait->sent_count++;
  if (wait->sent_count > 1) lars_count(&caller->stats.resent, 1);
  if (!send_sealed(caller, lane, wait->fd, question->datagram, question->length)) {
    lars_count(&caller->stats.dropped, 1);
  }
}

/** Receives until there is nothing more; LARS_OK with the answer, LARS_TIMEOUT without. */
inline lars_result receive_all(lars_caller *caller, lars_lane *lane, lars_question *question,
                               lars_wait *wait) {
  for (;;) {
    ssize_t length = recv(wait->fd, lane->buffer, sizeof lane->buffer, MSG_DONTWAIT);
    if (length >= 0) {
      if (take_datagram(caller, lane, (size_t)length, question)) return LARS_OK;
    } else if (errno == ECONNREFUSED) {
      /* The first refusal is forgiven: an agent that restarts may be there for the second try. */
      wait->refused = true;
      if (wait->sent_count >= 2) return LARS_NO_AGENT;
    } else if (errno != EINTR) {
      return is_passing(errno) ? LARS_TIMEOUT : LARS_CONNECT_FAILED;
    }
  }
}

inline lars_result wait_answer(lars_caller *caller, lars_lane *lane, lars_question *question,
                               lars_wait *wait) {
  for (;;) {
    int64_t until_us = wait->sent_count < 2 ? wait->half_us : wait->end_us;
    int64_t left_us = until_us - now_us();
    if (left_us <= 0 && wait->sent_count >= 2) return wait->refused ? LARS_NO_AGENT : LARS_TIMEOUT;
    if (left_us <= 0) {
      send_question(caller, lane, question, wait);
      continue;
    }
    struct pollfd polled;
    polled.fd = wait->fd;
    polled.events = POLLIN;
    polled.revents = 0;
    struct timespec left;
    left.tv_sec = left_us / 1000000;
    left.tv_nsec = left_us % 1000000 * 1000;
    if (ppoll(&polled, 1, &left, NULL) <= 0) continue;
    lars_result result = receive_all(caller, lane, question, wait);
    if (result != LARS_TIMEOUT) return result;
  }
}

inline lars_result lars_ask(lars_caller *caller, lars_lane *lane, lars_question *question) {
  lars_wait wait;
  int port_index = question->port_index;
  wait.fd = lane_socket(caller, lane, port_index);
  if (wait.fd < 0) return LARS_CONNECT_FAILED;
  /* Answers about routes have no number, so an old one must not wait in the socket. */
  bool is_numbered =
      question->answer_id != LARS_GET_ROUTE_RESPONSE && question->answer_id != LARS_HELLO;
  if (lane->dirty[port_index] || !is_numbered) drain(caller, lane, wait.fd);
  int64_t start_us = now_us();
  wait.half_us = start_us + (int64_t)question->deadline_ms * 500;
  wait.end_us = start_us + (int64_t)question->deadline_ms * 1000;
  wait.sent_count = 0;
  wait.refused = false;
  lars_count(&caller->stats.questions, 1);
  send_question(caller, lane, question, &wait);
  lars_result result = wait_answer(caller, lane, question, &wait);
  lane->dirty[port_index] = result != LARS_OK || wait.sent_count > 1;
  if (result == LARS_CONNECT_FAILED) {
    close(wait.fd);
    lane->sockets[port_index] = -1;
  }
  return result;
}

// Shell. The cursors of threads: made when a thread first picks, and given back when it ends.

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

inline thread_local lars_thread *thread_cursors = NULL;
inline pthread_key_t thread_key;
inline pthread_once_t thread_once = PTHREAD_ONCE_INIT;
inline bool thread_key_works = false;
inline uint64_t last_epoch = 0;

inline void free_thread(void *value) {
  lars_thread *thread = (lars_thread *)value;
  for (int way = 0; way < CURSOR_WAYS; way++) free(thread->ways[way].cursors);
  free(thread);
  thread_cursors = NULL;
  lars_hot_cursors.epoch = 0;
}

inline void make_thread_key(void) {
  thread_key_works = pthread_key_create(&thread_key, free_thread) == 0;
}

inline uint64_t lars_new_epoch(void) {
  return __atomic_add_fetch(&last_epoch, 1, __ATOMIC_RELAXED);
}

/** What this thread keeps; NULL without memory. */
inline lars_thread *own_thread(void) {
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
inline lars_cursors *cursors_of(uint64_t epoch) {
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
inline lars_cursor *place_of(const lars_cursors *own, uint64_t ids) {
  uint32_t at = lars_cursor_place(own, ids);
  while (own->cursors[at].told_s != 0 && own->cursors[at].ids != ids) at = (at + 1) & own->mask;
  return &own->cursors[at];
}

/** Twice as many places; false without memory. */
inline bool grow(lars_cursors *own) {
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

inline lars_cursor *lars_cursor_of(const lars_mapping *mapping, uint32_t modid, uint32_t cmdid) {
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

// Shell. The agent's table in this process: found, mapped, looked after, and a cursor per thread.

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

inline bool table_path(const lars_caller *caller, char *path, size_t length) {
  if (caller->shared_table != NULL) {
    return caller->shared_table[0] != 0 && strlen(caller->shared_table) < length &&
           strcpy(path, caller->shared_table) != NULL;
  }
  /* The table of another host's agent is not here. */
  if (!lars_is_loopback(ntohl(caller->address.sin_addr.s_addr))) return false;
  return snprintf(path, length, "/dev/shm/lars-agent-%u.table", (unsigned)caller->ports[0]) > 0;
}

/** True when the user has a UDP socket with this port: the agent's. */
inline bool has_agent_port(uid_t user, uint16_t port) {
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
inline bool is_trusted(const struct stat *stat, uint16_t port) {
  if (!S_ISREG(stat->st_mode) || (stat->st_mode & 022) != 0) return false;
  return stat->st_uid == 0 || stat->st_uid == geteuid() || has_agent_port(stat->st_uid, port);
}

/** Maps the file at the path; NULL when there is none that can be used. */
inline lars_mapping *map_file(const char *path, uint16_t port) {
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
inline void empty_mapping(lars_mapping *mapping) {
  if (mapping->emptied) return;
  void *at = (void *)(uintptr_t)mapping->table.bytes;
  void *empty = mmap(at, (size_t)mapping->length, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  mapping->emptied = empty != MAP_FAILED;
}

inline void free_mapping(lars_mapping *mapping) {
  munmap((void *)(uintptr_t)mapping->table.bytes, (size_t)mapping->length);
  free(mapping->used);
  free(mapping);
}

/**
 * Nodes of a module as a table has them become last good ones, as far as there is room; false when
 * there are none that are probes, or that are none.
 */
inline bool remember_module(lars_caller *caller, const lars_table *table, uint32_t slot,
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
inline void remember_table(lars_caller *caller, const lars_mapping *mapping) {
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
inline void settle_older(lars_mapping *newest) {
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

inline int trust_of(const lars_mapping *mapping, int64_t now_ms) {
  if (lars_table_is_retired(&mapping->table)) return LARS_TABLE_OLD;
  return lars_table_is_fresh(&mapping->table, now_ms) ? LARS_TABLE_USABLE : LARS_TABLE_OLD;
}

/** `stat`, whose name is that of its type. */
inline int stat_of(const char *path, struct stat *found) { return stat(path, found); }

/** True when the file at the path is another one than the mapped one; false when there is none. */
inline bool is_replaced(const char *path, const lars_mapping *mapping) {
  struct stat stat;
  if (stat_of(path, &stat) != 0) return false;
  return mapping == NULL || stat.st_dev != mapping->device || stat.st_ino != mapping->inode;
}

/** Looks for a file, or another one; one thread at a time does, the others go on. */
inline void open_again(lars_caller *caller, int64_t now_ms) {
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
inline void look(lars_caller *caller, lars_mapping *mapping, int64_t now_ms) {
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
inline lars_mapping *usable_at(lars_caller *caller, int64_t now_ms) {
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

inline lars_mapping *lars_mapping_usable(lars_caller *caller) {
  lars_mapping *kept = __atomic_load_n(&caller->kept, __ATOMIC_ACQUIRE);
  return kept != NULL ? kept : usable_at(caller, lars_coarse_ms());
}

/** Whole seconds, never 0. */
inline uint32_t seconds_of(int64_t now_ms) { return (uint32_t)(now_ms / 1000) + 1; }

/** Now and then the agent is told that a module is in use. */
inline void tell_use(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                     uint32_t cmdid, uint32_t slot, lars_cursor *cursor, uint32_t now_s) {
  cursor->told_s = now_s;
  __atomic_store_n(&mapping->used[slot], (uint8_t)1, __ATOMIC_RELAXED);
  lars_batch_add(caller, mapping, modid, cmdid, 0, 0, LARS_TIME_UNKNOWN);
}

/** The entry whose turn it is; the schedule is good for the next picks while nothing changes. */
inline lars_found next_turn(const lars_caller *caller, const lars_table *table, uint32_t slot,
                            uint32_t changes, lars_cursor *cursor, uint64_t *entry) {
  lars_schedule schedule;
  lars_found found = lars_table_schedule(table, slot, &schedule);
  if (found != LARS_FOUND_NODE) return found;
  cursor->first = schedule.first;
  cursor->count = schedule.count;
  cursor->stamp = changes == 0 ? 0 : lars_stamp(caller, changes);
  return lars_table_turn(table, &schedule, &cursor->next, entry);
}

inline lars_found pick_from(lars_caller *caller, lars_mapping *mapping, uint32_t modid,
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

inline lars_found lars_mapping_pick(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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

inline void lars_mapping_keep(lars_caller *caller) {
  int64_t now_ms = lars_coarse_ms();
  lars_mapping *mapping = __atomic_load_n(&caller->mapping, __ATOMIC_ACQUIRE);
  if (mapping != NULL) look(caller, mapping, now_ms);
  uint32_t now_s = seconds_of(now_ms);
  __atomic_store_n(&caller->kept_s, now_s, __ATOMIC_RELAXED);
  __atomic_store_n(&caller->kept_stamp, (uint64_t)(now_s / ANEW_S + 1) << 32, __ATOMIC_RELAXED);
  __atomic_store_n(&caller->kept, usable_at(caller, now_ms), __ATOMIC_RELEASE);
}

inline void lars_mapping_leave(lars_caller *caller) {
  __atomic_store_n(&caller->kept, (lars_mapping *)NULL, __ATOMIC_RELEASE);
}

inline bool lars_mapping_pick_old(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host) {
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

inline bool lars_mapping_is_silent(lars_caller *caller) {
  return lars_coarse_ms() < __atomic_load_n(&caller->silent_until_ms, __ATOMIC_RELAXED);
}

inline void lars_mapping_after_fork(lars_caller *caller) {
  lars_mapping_leave(caller);
  if (caller->mapping != NULL) caller->mapping->epoch = lars_new_epoch();
}

inline void lars_mapping_close(lars_caller *caller) {
  lars_mapping *mapping = caller->mapping;
  while (mapping != NULL) {
    lars_mapping *older = mapping->older;
    free_mapping(mapping);
    mapping = older;
  }
  caller->mapping = NULL;
}

// Shell. Outcomes in batches: 512 records at once, or after 10 ms, or when a node fails for the first time.

inline void lars_condition_init(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

inline void lars_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t wait_ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t until_ns = until.tv_nsec + wait_ms % 1000 * 1000000;
  until.tv_sec += (time_t)(wait_ms / 1000 + until_ns / 1000000000);
  until.tv_nsec = until_ns % 1000000000;
  pthread_cond_timedwait(condition, lock, &until);
}

inline void lars_batch_init(lars_batch *batch) {
  pthread_mutex_init(&batch->lock, NULL);
  lars_condition_init(&batch->wake);
  batch->socket = -1;
}

/** Where a node is among those that failed, or the free place for it; -1 when there is neither. */
inline int failing_slot(const lars_batch *batch, uint64_t hash) {
  uint64_t at = hash % LARS_FAILING_SLOTS;
  for (int looks = 0; looks < LARS_FAILING_SLOTS; looks++) {
    if (batch->failing[at] == hash || batch->failing[at] == 0) return (int)at;
    at = (at + 1) % LARS_FAILING_SLOTS;
  }
  return -1;
}

/** Takes a node out, and moves those that were displaced by it. */
inline void clear_failing(lars_batch *batch, int slot) {
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
inline bool is_first_failure(lars_batch *batch, uint32_t modid, uint32_t cmdid, uint64_t node,
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
inline void send_batch(lars_caller *caller) {
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
inline void rest(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  lars_mapping_leave(caller);
  batch->sleeping = true;
  while (batch->sleeping && !batch->closing) pthread_cond_wait(&batch->wake, &batch->lock);
}

/** The keeper: sends batches that have waited long enough, and looks after the table. */
inline void *run_keeper(void *context) {
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
inline void ensure_keeper(lars_caller *caller) {
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
inline void begin_sender(lars_caller *caller, const lars_mapping *mapping, uint64_t epoch) {
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
inline bool add_to_run(lars_batch *batch, uint8_t *records, const lars_record *record) {
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

inline void lars_batch_add(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
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

inline void lars_batch_wake(lars_caller *caller) {
  pthread_mutex_lock(&caller->batch.lock);
  if (!caller->batch.running || caller->batch.sleeping) ensure_keeper(caller);
  pthread_mutex_unlock(&caller->batch.lock);
}

inline void lars_batch_flush(lars_caller *caller) {
  pthread_mutex_lock(&caller->batch.lock);
  send_batch(caller);
  pthread_mutex_unlock(&caller->batch.lock);
}

inline void lars_batch_after_fork(lars_caller *caller) {
  lars_batch *batch = &caller->batch;
  if (batch->socket >= 0) close(batch->socket);
  batch->socket = -1;
  batch->epoch = 0;
  batch->count = batch->outcomes = batch->behind_failures = 0;
  batch->running = batch->sleeping = false;
  lars_mapping_leave(caller);
  lars_condition_init(&batch->wake);
}

inline void lars_batch_close(lars_caller *caller) {
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

// Shell. Fork and exit: no lock is held across a fork, a child begins anew, an exit loses no outcome.

inline pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
inline pthread_once_t registry_once = PTHREAD_ONCE_INIT;
inline lars_caller *registry = NULL;
inline bool registry_works = false;

inline void lock_all(lars_caller *caller) {
  pthread_mutex_lock(&caller->mapping_lock);
  pthread_mutex_lock(&caller->memory_lock);
  pthread_mutex_lock(&caller->lanes_lock);
  pthread_mutex_lock(&caller->batch.lock);
}

inline void unlock_all(lars_caller *caller) {
  pthread_mutex_unlock(&caller->batch.lock);
  pthread_mutex_unlock(&caller->lanes_lock);
  pthread_mutex_unlock(&caller->memory_lock);
  pthread_mutex_unlock(&caller->mapping_lock);
}

inline void before_fork(void) {
  pthread_mutex_lock(&registry_lock);
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    lars_batch_flush(caller);
    lock_all(caller);
  }
}

inline void after_fork_in_parent(void) {
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    unlock_all(caller);
  }
  pthread_mutex_unlock(&registry_lock);
}

inline void after_fork_in_child(void) {
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
inline void at_exit(void) {
  if (pthread_mutex_trylock(&registry_lock) != 0) return;
  for (lars_caller *caller = registry; caller != NULL; caller = caller->next_caller) {
    lars_batch_flush(caller);
  }
  pthread_mutex_unlock(&registry_lock);
}

inline void begin_registry(void) {
  registry_works = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0 &&
                   atexit(at_exit) == 0;
}

inline bool lars_register(lars_caller *caller) {
  pthread_once(&registry_once, begin_registry);
  if (!registry_works) return false;
  pthread_mutex_lock(&registry_lock);
  caller->next_caller = registry;
  if (registry != NULL) registry->previous_caller = caller;
  registry = caller;
  pthread_mutex_unlock(&registry_lock);
  return true;
}

inline void lars_unregister(lars_caller *caller) {
  pthread_mutex_lock(&registry_lock);
  if (caller->next_caller != NULL) caller->next_caller->previous_caller = caller->previous_caller;
  if (caller->previous_caller != NULL) caller->previous_caller->next_caller = caller->next_caller;
  else registry = caller->next_caller;
  pthread_mutex_unlock(&registry_lock);
}

// Shell. The functions of lars.h but for calls: open, pick, report, routes, and the wait for them.

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

inline void lars_options_init(lars_options *options) {
  memset(options, 0, sizeof *options);
  options->host = "127.0.0.1";
  for (int at = 0; at < LARS_PORTS; at++) options->ports[at] = (uint16_t)(DEFAULT_PORT + at);
  options->deadline_ms = LARS_DEFAULT;
  options->first_route_ms = LARS_DEFAULT;
  options->last_good_ms = LARS_DEFAULT;
  options->retry_share = 0.2;
  options->retry_floor_per_second = 1;
}

inline void lars_pick_init(lars_pick *pick) {
  pick->key = NULL;
  pick->key_bytes = 0;
  pick->deadline_ms = LARS_DEFAULT;
  pick->first_route_ms = LARS_DEFAULT;
}

inline bool is_deadline(int value) { return value > 0 && value <= LARS_DEADLINE_MS_MAX; }

inline bool is_wait(int value) { return value >= 0 && value <= LARS_DEADLINE_MS_MAX; }

inline bool are_options_right(const lars_options *options) {
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

inline bool resolve(const char *name, struct sockaddr_in *address) {
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

inline void take_options(lars_caller *caller, const lars_options *options) {
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

inline lars_result lars_open(const lars_options *options, lars_caller **caller) {
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

inline void lars_close(lars_caller *caller) {
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

inline bool lars_check_pick(const lars_caller *caller, const lars_pick *pick, int *deadline_ms,
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

inline void begin_question(lars_question *question, int32_t answer_id, uint32_t modid,
                           uint32_t cmdid, int deadline_ms) {
  memset(question, 0, sizeof *question);
  question->answer_id = answer_id;
  question->modid = modid;
  question->cmdid = cmdid;
  question->port_index = lars_port_index(modid, cmdid);
  question->deadline_ms = deadline_ms;
}

/** Asks the agent for a node. */
inline lars_result ask_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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

inline bool is_unanswered(lars_result result) {
  return result == LARS_TIMEOUT || result == LARS_NO_AGENT || result == LARS_CONNECT_FAILED;
}

/**
 * Remembers the node that the agent named. That there is none takes nothing away: an agent that has
 * just started says so of every module whose route has not come yet.
 */
inline void remember_answer(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                            const lars_host *host) {
  if (caller->last_good_ms == 0) return;
  pthread_mutex_lock(&caller->memory_lock);
  lars_last_good_remember(&caller->good, modid, cmdid, host, lars_now_ms());
  pthread_mutex_unlock(&caller->memory_lock);
}

/** A node without the agent, the best of what there is. */
inline bool pick_alone(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host) {
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
inline lars_result pick_thoroughly(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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

inline lars_result lars_try_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                              const lars_pick *pick, lars_host *host) {
  if (caller == NULL) return LARS_CLOSED;
  uint64_t entry = pick == NULL ? lars_pick_hot(caller, modid, cmdid) : 0;
  if (entry == 0) return pick_thoroughly(caller, modid, cmdid, pick, host);
  lars_host_of_entry(entry, host);
  return LARS_OK;
}

inline void sleep_ms(int64_t ms) {
  struct timespec left;
  left.tv_sec = (time_t)(ms / 1000);
  left.tv_nsec = ms % 1000 * 1000000;
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

/** Asks for a route with pauses that grow; true when asking on would bring nothing new. */
inline bool ask_for_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int64_t end_ms) {
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
inline lars_absence *absence_of(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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
inline bool wait_first_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int64_t end_ms) {
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
inline void route_arrived(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
  /* Most callers have none that is missing, and take no lock for it. */
  if (__atomic_load_n(&caller->absences.places.youngest, __ATOMIC_RELAXED) == 0) return;
  pthread_mutex_lock(&caller->memory_lock);
  int place = lars_places_find(&caller->absences.places, modid, cmdid);
  if (place >= 0) lars_places_drop(&caller->absences.places, place);
  pthread_mutex_unlock(&caller->memory_lock);
}

inline lars_result lars_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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

inline lars_result lars_report(lars_caller *caller, uint32_t modid, uint32_t cmdid,
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

inline lars_result lars_get_route(lars_caller *caller, uint32_t modid, uint32_t cmdid, int deadline_ms,
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

inline lars_result lars_reg_init(lars_caller *caller, uint32_t modid, uint32_t cmdid) {
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
inline lars_result greet(lars_caller *caller, lars_lane *lane, int port_index, int deadline_ms) {
  if (__atomic_load_n(&caller->greeted[port_index], __ATOMIC_RELAXED)) return LARS_OK;
  lars_question question;
  begin_question(&question, LARS_HELLO, 0, 0, deadline_ms);
  question.port_index = port_index;
  question.length = lars_write_hello(question.datagram);
  lars_result result = lars_ask(caller, lane, &question);
  if (result == LARS_OK) __atomic_store_n(&caller->greeted[port_index], true, __ATOMIC_RELAXED);
  return result;
}

inline lars_result lars_explain(lars_caller *caller, uint32_t modid, uint32_t cmdid, int deadline_ms,
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

inline void lars_free(char *json) { free(json); }

inline lars_result lars_read_stats(lars_caller *caller, lars_stats *stats) {
  if (caller == NULL) return LARS_CLOSED;
  const uint64_t *from = (const uint64_t *)(const void *)&caller->stats;
  uint64_t *to = (uint64_t *)(void *)stats;
  for (size_t at = 0; at < sizeof *stats / sizeof *to; at++) {
    to[at] = __atomic_load_n(&from[at], __ATOMIC_RELAXED);
  }
  return LARS_OK;
}

// Shell. A call from the pick to its outcome, with further tries at other nodes.

enum {
  /** Picks made to find a node that was not tried yet; with fewer nodes a known one comes back. */
  PICKS_MAX = 8
};

inline void lars_call_options_init(lars_call_options *options) {
  memset(options, 0, sizeof *options);
  lars_pick_init(&options->pick);
  options->timeout_ms = LARS_DEFAULT;
}

/** A call while it runs. */
typedef struct lars_running {
  lars_caller *caller;
  uint32_t modid, cmdid;
  const lars_call_options *options;
  /** INT64_MAX: no limit. */
  int64_t end_ms;
  lars_host tried[LARS_RETRIES_MAX + 1];
  int tried_count;
} lars_running;

inline bool is_same_node(const lars_host *one, const lars_host *other) {
  return one->ip == other->ip && one->port == other->port;
}

/** A pick that does not outlast the call. */
inline lars_result pick_in_time(const lars_running *running, const lars_pick *wanted,
                                lars_host *host) {
  lars_pick pick = *wanted;
  if (running->end_ms != INT64_MAX) {
    int64_t left_ms = running->end_ms - lars_now_ms();
    if (left_ms < 1) left_ms = 1;
    int deadline_ms, first_route_ms;
    if (!lars_check_pick(running->caller, &pick, &deadline_ms, &first_route_ms)) {
      return LARS_OUT_OF_RANGE;
    }
    if (left_ms < deadline_ms) pick.deadline_ms = (int)left_ms;
    if (left_ms < first_route_ms) pick.first_route_ms = (int)left_ms;
  }
  return lars_get_host(running->caller, running->modid, running->cmdid, &pick, host);
}

/** A node that was not tried yet, else one that was not the last; false when there is none. */
inline bool pick_another(const lars_running *running, lars_host *host) {
  lars_pick pick;
  lars_pick_init(&pick);
  /* The key names one node: whoever looks for another one does so without it. */
  pick.deadline_ms = running->options->pick.deadline_ms;
  pick.first_route_ms = 0;
  bool has_known = false;
  for (int picks = 0; picks < PICKS_MAX; picks++) {
    lars_host found;
    if (pick_in_time(running, &pick, &found) != LARS_OK) return has_known;
    bool is_tried = false;
    for (int at = 0; at < running->tried_count; at++) {
      if (is_same_node(&running->tried[at], &found)) is_tried = true;
    }
    if (is_tried && is_same_node(&running->tried[running->tried_count - 1], &found)) continue;
    *host = found;
    if (!is_tried) return true;
    has_known = true;
  }
  return has_known;
}

/** Runs the function once and reports; true when the time of the call was over by then. */
inline bool run_once(lars_running *running, lars_call_function function, void *context,
                     lars_outcome *outcome) {
  lars_attempt attempt;
  int64_t start_ms = lars_now_ms();
  attempt.number = outcome->tries++;
  attempt.left_ms = running->end_ms == INT64_MAX ? -1 : running->end_ms - start_ms;
  if (attempt.left_ms < 0 && running->end_ms != INT64_MAX) attempt.left_ms = 0;
  outcome->code = function(&outcome->host, &attempt, context);
  int64_t now_ms = lars_now_ms();
  bool is_late = now_ms >= running->end_ms;
  if (is_late) outcome->code = LARS_CODE_TIMED_OUT;
  lars_report(running->caller, running->modid, running->cmdid, &outcome->host, outcome->code,
              now_ms - start_ms);
  return is_late;
}

/** Adds to the budget of the module, or takes one retry out of it; false when it is spent. */
inline bool use_budget(const lars_running *running, double retries) {
  lars_caller *caller = running->caller;
  pthread_mutex_lock(&caller->memory_lock);
  lars_budget *budget = lars_budgets_of(&caller->budgets, running->modid, running->cmdid);
  bool has_some = true;
  if (retries < 0) {
    has_some = lars_budget_take(budget, caller->retry_floor_per_second, lars_now_ms());
  } else {
    lars_budget_add(budget, retries, lars_now_ms());
  }
  pthread_mutex_unlock(&caller->memory_lock);
  return has_some;
}

/** Finds the node for the next try; false when there is to be none. */
inline bool may_retry(lars_running *running, void *context, lars_outcome *outcome) {
  const lars_call_options *options = running->options;
  running->tried[running->tried_count++] = outcome->host;
  if (outcome->tries > options->retries) return false;
  if (options->is_retryable != NULL &&
      !options->is_retryable(outcome->code, &outcome->host, context)) {
    return false;
  }
  /* The budget first: when it is spent, looking for another node would be load for nothing. */
  if (!use_budget(running, -1)) {
    lars_count(&running->caller->stats.retries_refused, 1);
    return false;
  }
  if (!pick_another(running, &outcome->host)) {
    use_budget(running, 1);
    return false;
  }
  lars_count(&running->caller->stats.retried, 1);
  return true;
}

inline lars_result lars_call(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                      const lars_call_options *options, lars_call_function function,
                      void *context, lars_outcome *outcome) {
  lars_call_options defaults;
  lars_outcome own;
  if (caller == NULL) return LARS_CLOSED;
  if (options == NULL) {
    lars_call_options_init(&defaults);
    options = &defaults;
  }
  if (outcome == NULL) outcome = &own;
  memset(outcome, 0, sizeof *outcome);
  bool has_end = options->timeout_ms != LARS_DEFAULT;
  bool is_end = options->timeout_ms > 0 && options->timeout_ms <= LARS_CALL_MS_MAX;
  if (options->retries < 0 || options->retries > LARS_RETRIES_MAX || (has_end && !is_end)) {
    return LARS_OUT_OF_RANGE;
  }
  lars_running running;
  memset(&running, 0, sizeof running);
  running.caller = caller;
  running.modid = modid;
  running.cmdid = cmdid;
  running.options = options;
  running.end_ms = has_end ? lars_now_ms() + options->timeout_ms : INT64_MAX;
  lars_result result = pick_in_time(&running, &options->pick, &outcome->host);
  if (result != LARS_OK) return result;
  if (options->retries > 0) use_budget(&running, caller->retry_share);
  for (;;) {
    if (run_once(&running, function, context, outcome)) return LARS_TIMEOUT;
    if (outcome->code == 0) return LARS_OK;
    if (!may_retry(&running, context, outcome)) return LARS_CALL_FAILED;
  }
}

// Core. Results and addresses as text, and an explanation put together from its pages.

/** Longest explanation that is put together; a module has 20,000 nodes at most. */
inline const size_t EXPLANATION_BYTES_MAX = 64u << 20;

inline int lars_retcode(lars_result result) {
  return result >= LARS_OK && result <= LARS_NO_ROUTE ? (int)result : (int)LARS_AGENT_ERROR;
}

inline const char *lars_result_text(lars_result result) {
  switch (result) {
    case LARS_OK: return "it went well";
    case LARS_OVERLOAD: return "every node of the module is overloaded";
    case LARS_AGENT_ERROR: return "the agent could not do its work";
    case LARS_NO_ROUTE: return "the agent knows no node of the module";
    case LARS_TIMEOUT: return "no answer in time: is the agent running?";
    case LARS_NO_AGENT: return "no agent listens at its address: is it running?";
    case LARS_CONNECT_FAILED: return "the socket towards the agent failed, or its name is not known";
    case LARS_LIMIT: return "too many questions are under way";
    case LARS_CLOSED: return "the caller is closed";
    case LARS_OUT_OF_RANGE: return "an argument is out of range";
    case LARS_NO_MEMORY: return "there is no memory";
    case LARS_CALL_FAILED: return "the call failed";
  }
  return "an unknown result";
}

inline void lars_format_ip(uint32_t ip, char text[16]) {
  snprintf(text, 16, "%u.%u.%u.%u", ip >> 24 & 255, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

inline bool lars_parse_ip(const char *text, uint32_t *ip) {
  uint32_t value = 0;
  for (int part = 0; part < 4; part++) {
    uint32_t number = 0;
    int digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++) {
      number = number * 10 + (uint32_t)(*text - '0');
    }
    bool has_zero_first = digits > 1 && text[-digits] == '0';
    if (digits == 0 || number > 255 || has_zero_first) return false;
    if (part < 3 && *text++ != '.') return false;
    value = value << 8 | number;
  }
  if (*text != 0) return false;
  *ip = value;
  return true;
}

/** What is looked for in the JSON of a page: its list of nodes, and their number. */
typedef struct lars_page {
  bool has_state, has_count, has_nodes;
  /** Where the list's brackets are. */
  size_t nodes_begin, nodes_end;
  uint32_t nodes_here, node_count;
} lars_page;

/** The end of a text that begins at a quote: behind its last one. */
inline size_t text_end(const char *json, size_t length, size_t at) {
  for (at++; at < length && json[at] != '"'; at++) {
    if (json[at] == '\\') at++;
  }
  return at + 1;
}

inline bool is_name(const char *json, size_t begin, size_t end, const char *name) {
  size_t length = strlen(name);
  return end - begin == length + 2 && memcmp(json + begin + 1, name, length) == 0;
}

/** Counts the elements of a list, and finds its end. */
inline bool read_list(const char *json, size_t length, size_t begin, lars_page *page) {
  int depth = 0;
  bool is_empty = true;
  page->nodes_begin = begin;
  page->nodes_here = 0;
  for (size_t at = begin; at < length; at++) {
    char c = json[at];
    if (at > begin && depth == 1 && c != ']' && c != ',' && c != ' ') is_empty = false;
    if (c == '"') at = text_end(json, length, at) - 1;
    else if (c == '[' || c == '{') depth++;
    else if (c == ']' || c == '}') depth--;
    else if (c == ',' && depth == 1) page->nodes_here++;
    if (depth == 0) {
      page->nodes_end = at;
      if (!is_empty) page->nodes_here++;
      return true;
    }
  }
  return false;
}

/** Finds state, module.nodes and module.nodeCount by depth; false when the JSON has an odd end. */
inline bool read_page(const char *json, size_t length, lars_page *page) {
  int depth = 0;
  size_t last_begin = 0, last_end = 0;
  memset(page, 0, sizeof *page);
  for (size_t at = 0; at < length; at++) {
    char c = json[at];
    if (c == '"') {
      last_begin = at;
      last_end = text_end(json, length, at);
      at = last_end - 1;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
    } else if (c == ':' && last_end == at) {
      const char *value = json + at + 1;
      if (depth == 1 && is_name(json, last_begin, last_end, "state")) page->has_state = true;
      if (depth == 2 && is_name(json, last_begin, last_end, "nodeCount")) {
        page->has_count = true;
        page->node_count = (uint32_t)strtoul(value, NULL, 10);
      }
      if (depth == 2 && *value == '[' && is_name(json, last_begin, last_end, "nodes")) {
        if (!read_list(json, length, at + 1, page)) return false;
        page->has_nodes = true;
        at = page->nodes_end;
      }
    }
  }
  return depth == 0 && page->has_state && page->has_nodes == page->has_count;
}

/** Puts bytes into text at a place; false without memory. */
inline bool insert(char **text, size_t at, const char *bytes, size_t count) {
  size_t length = strlen(*text);
  if (length + count > EXPLANATION_BYTES_MAX) return false;
  char *longer = (char *)realloc(*text, length + count + 1);
  if (longer == NULL) return false;
  memmove(longer + at + count, longer + at, length - at + 1);
  memcpy(longer + at, bytes, count);
  *text = longer;
  return true;
}

inline bool lars_join_pages(char **json, const uint8_t *page, size_t page_bytes, uint32_t *nodes_here,
                     uint32_t *node_count) {
  char *copy = (char *)malloc(page_bytes + 1);
  if (copy == NULL) return false;
  memcpy(copy, page, page_bytes);
  copy[page_bytes] = 0;
  lars_page next, joined;
  bool works = strlen(copy) == page_bytes && read_page(copy, page_bytes, &next);
  if (works) {
    *nodes_here = next.nodes_here;
    *node_count = next.node_count;
  }
  if (works && *json == NULL) {
    *json = copy;
    return true;
  }
  works = works && read_page(*json, strlen(*json), &joined) && joined.has_nodes;
  if (works && next.nodes_here > 0) {
    size_t count = next.nodes_end - next.nodes_begin - 1;
    works = insert(json, joined.nodes_end, copy + next.nodes_begin + 1, count) &&
            (joined.nodes_here == 0 || insert(json, joined.nodes_end, ",", 1));
  }
  free(copy);
  return works;
}

}  // namespace c
}  // namespace lars

// Core. The C++ front of the client; joined with the C sources into lars.hpp, and not included itself.

// ---- What programs use: namespace lars.

namespace lars {

using Milliseconds = std::chrono::milliseconds;

/** Why there is no answer. */
enum class Error {
  /** Every node of the module is overloaded: shed the call, or try again a little later. */
  overload = c::LARS_OVERLOAD,
  /** The agent could not do its work, or answered with a code that is not known. */
  agent = c::LARS_AGENT_ERROR,
  /** The agent knows no node of the module (yet). */
  no_route = c::LARS_NO_ROUTE,
  /** No answer in time. */
  timeout = c::LARS_TIMEOUT,
  /** Nobody listens at the agent's address. */
  no_agent = c::LARS_NO_AGENT,
  /** A socket failed, or the agent's name does not resolve. */
  connect = c::LARS_CONNECT_FAILED,
  /** Too many questions are under way. */
  limit = c::LARS_LIMIT,
  /** The client was moved from. */
  closed = c::LARS_CLOSED,
  /** An argument is out of range: a fault of the program. */
  out_of_range = c::LARS_OUT_OF_RANGE,
  /** No memory. */
  no_memory = c::LARS_NO_MEMORY,
  /** The function of a call failed. */
  call_failed = c::LARS_CALL_FAILED
};

/** What an error means, as a short English text. */
inline const char *text_of(Error error) {
  return c::lars_result_text(static_cast<c::lars_result>(error));
}

/** The return code of the original for an error: 1, 2 or 3. */
inline int retcode_of(Error error) {
  return c::lars_retcode(static_cast<c::lars_result>(error));
}

/** Thrown by Result::value() and by the constructor of Client. */
class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(text_of(error)), error_(error) {}
  Error error() const noexcept { return error_; }

 private:
  Error error_;
};

/** A value, or why there is none; as std::expected of C++23. */
template <class Value>
class [[nodiscard]] Result {
 public:
  Result(Value value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, error) {}
  /** Makes the value in its place, of what converts to it. */
  template <class From>
  Result(std::in_place_t, From &&from) : held_(std::in_place_index<0>, std::forward<From>(from)) {}

  bool has_value() const noexcept { return held_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /** The value; throws Failure when there is none. */
  Value &value() & {
    check();
    return *std::get_if<0>(&held_);
  }
  const Value &value() const & {
    check();
    return *std::get_if<0>(&held_);
  }
  Value &&value() && {
    check();
    return std::move(*std::get_if<0>(&held_));
  }

  /** The value; only where there is one. */
  Value &operator*() noexcept { return *std::get_if<0>(&held_); }
  const Value &operator*() const noexcept { return *std::get_if<0>(&held_); }
  Value *operator->() noexcept { return std::get_if<0>(&held_); }
  const Value *operator->() const noexcept { return std::get_if<0>(&held_); }

  template <class Other>
  Value value_or(Other &&other) const {
    return has_value() ? **this : static_cast<Value>(std::forward<Other>(other));
  }

  /** Why there is no value; only where there is none. */
  Error error() const noexcept { return *std::get_if<1>(&held_); }

 private:
  void check() const {
    if (!has_value()) throw Failure(error());
  }

  std::variant<Value, Error> held_;
};

/** A node. */
struct Host {
  /** IPv4 address in host order: 192.168.1.177 is 3232235953. */
  std::uint32_t address = 0;
  /** 1 to 65535. */
  std::uint16_t port = 0;
  /** The agent did not answer in time, and this is a node it named earlier. */
  bool stale = false;
  /** In routes: gets no new picks. */
  bool draining = false;
  /** 0 to 10000; none when the agent does not say. */
  std::optional<int> weight;
  /** UTF-8; empty when the node is in none, or the agent does not say. */
  std::string zone;

  /** The address as dotted text. */
  std::string ip() const {
    char text[16];
    c::lars_format_ip(address, text);
    return text;
  }

  bool operator==(const Host &other) const noexcept {
    return address == other.address && port == other.port;
  }
  bool operator!=(const Host &other) const noexcept { return !(*this == other); }
};

/** The address as a number; none for a text that is no dotted IPv4 address. */
inline std::optional<std::uint32_t> parse_ip(const std::string &text) {
  std::uint32_t address = 0;
  if (!c::lars_parse_ip(text.c_str(), &address)) return std::nullopt;
  return address;
}

/** Where the agent is and how patient to be. */
struct Options {
  /** Address of the agent, which should run on this very host. */
  std::string host = "127.0.0.1";
  /** The agent's three UDP ports. */
  std::array<std::uint16_t, 3> ports{{8888, 8889, 8890}};
  /** Time a question may take; none: 50 ms. One that is set ends waiting for a first route too. */
  std::optional<Milliseconds> deadline;
  /** How long get_host waits for the first route of a module; none: a second; 0 does not. */
  std::optional<Milliseconds> first_route;
  /** For how long a node named earlier may stand in for the agent; none: no limit; 0: never. */
  std::optional<Milliseconds> last_good;
  /** Retries that each call with retries allows, 0 to 1. */
  double retry_share = 0.2;
  /** Retries for each second whatever the number of calls, 0 to 1000. */
  double retry_floor_per_second = 1;
  /** Path of the agent's table; none: that of the agent with the first port; empty: no table. */
  std::optional<std::string> shared_table;
  /** Shared secret of 1 to 1024 bytes, for an agent on another host that wants one. */
  std::optional<std::string> token;
};

/** What a pick can be told. */
struct Pick {
  /** 1 to 256 bytes: calls of one key stay on one node where the policy of the module heeds keys. */
  std::optional<std::string_view> key;
  /** None: that of the client. */
  std::optional<Milliseconds> deadline;
  /** None: that of the client. */
  std::optional<Milliseconds> first_route;
};

/** Which try of a call it is. */
struct Attempt {
  /** 0 for the first try. */
  int number = 0;
  /** Time until the call is over; none without `timeout`. */
  std::optional<Milliseconds> left;
};

/** What a call can be told. */
struct CallOptions {
  Pick pick;
  /** Further nodes to try after a failure, 0 to 10; for calls that may be made twice. */
  int retries = 0;
  /** Time for picks and tries together; none: no limit. */
  std::optional<Milliseconds> timeout;
  /** Whether another node may do better after this code; empty: always. */
  std::function<bool(int code, const Host &host)> is_retryable;
};

/** How a call went. */
struct [[nodiscard]] CallResult {
  /** None: it went well. */
  std::optional<Error> error;
  /** The node of the last try. */
  Host host;
  /** What the function returned last; 110 when the time was over first. */
  int code = 0;
  /** How often the function ran. */
  int tries = 0;

  explicit operator bool() const noexcept { return !error.has_value(); }
};

using Stats = c::lars_stats;

/** An explanation of a module. */
struct Explanation {
  /** All nodes, with the reasons of their states. */
  std::string json;
  std::size_t nodes = 0;
};

/**
 * A caller's side of Lars. Ask for a node, call it, tell how it went:
 *
 *     lars::Client client;
 *     if (auto host = client.get_host(1, 1)) {
 *       int code = my_call(host->ip(), host->port);
 *       client.report(1, 1, *host, code, took);
 *     }
 *
 * One client serves a whole process: every function may be called by any number of threads at once,
 * and on both sides of a fork. Each question ends by its deadline. The destructor sends what waits.
 */
class Client {
 public:
  /** Nothing is sent yet. Throws Failure for an option that is out of range. */
  explicit Client(const Options &options = {}) : caller_(open_caller(options).value()) {}

  /** The same without exceptions. */
  static Result<Client> open(const Options &options = {}) {
    Result<Caller> caller = open_caller(options);
    if (!caller) return caller.error();
    return Client(std::move(*caller));
  }

  /** The next node of a module; waits for the first route of one that is asked for first. */
  Result<Host> get_host(std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    return pick_with(c::lars_get_host, modid, cmdid, pick);
  }

  /** The same without waiting for a first route. */
  Result<Host> try_get_host(std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    return pick_with(c::lars_try_get_host, modid, cmdid, pick);
  }

  /** The next node as the client was told: the way of nearly all picks, as short as it can be. */
  Result<Host> get_host(std::uint32_t modid, std::uint32_t cmdid) {
    std::uint64_t entry = hot_entry(modid, cmdid);
    if (entry == 0) return pick_with(c::lars_get_host, modid, cmdid, Pick());
    return Result<Host>(std::in_place, HostOfEntry{entry});
  }

  Result<Host> try_get_host(std::uint32_t modid, std::uint32_t cmdid) {
    std::uint64_t entry = hot_entry(modid, cmdid);
    if (entry == 0) return pick_with(c::lars_try_get_host, modid, cmdid, Pick());
    return Result<Host>(std::in_place, HostOfEntry{entry});
  }

  /** Tells how a call went: 0 for success, anything else is a failure; and what it took. */
  std::optional<Error> report(std::uint32_t modid, std::uint32_t cmdid, const Host &host, int code,
                              std::optional<Milliseconds> took = std::nullopt) {
    c::lars_host node;
    node.ip = host.address;
    node.port = host.port;
    std::int64_t took_ms = took ? took->count() : LARS_TIME_UNKNOWN;
    /* A negative time is no unknown one. */
    if (took && took_ms < 0) return Error::out_of_range;
    return error_of(c::lars_report(caller_.get(), modid, cmdid, &node, code, took_ms));
  }

  /**
   * Picks a node, runs the function with it, and reports how it went and how long it took. The
   * function is given the node, and an Attempt if it wants one; it returns 0 or the code of the
   * failure, or nothing. One that throws has failed with code 2, and what the last try threw is
   * thrown again here.
   */
  template <class Function>
  CallResult call(std::uint32_t modid, std::uint32_t cmdid, Function &&function,
                  const CallOptions &options = {}) {
    Run<Function> run{function, options, nullptr};
    c::lars_call_options told;
    c::lars_call_options_init(&told);
    if (!read_pick(options.pick, &told.pick)) return failed_call(Error::out_of_range);
    told.retries = options.retries;
    if (options.timeout) told.timeout_ms = options.timeout->count() > 0 ? options.timeout->count() : 0;
    if (options.is_retryable) told.is_retryable = Run<Function>::may_retry;
    c::lars_outcome outcome;
    std::memset(&outcome, 0, sizeof outcome);
    c::lars_result result = c::lars_call(caller_.get(), modid, cmdid, &told, Run<Function>::once,
                                         &run, &outcome);
    if (result == c::LARS_CALL_FAILED && run.thrown) std::rethrow_exception(run.thrown);
    return {error_of(result), host_of(outcome.host), outcome.code, outcome.tries};
  }

  /** Every node of a module, overloaded ones too; none when there is no such module. */
  Result<std::vector<Host>> get_route(std::uint32_t modid, std::uint32_t cmdid,
                                      std::optional<Milliseconds> deadline = std::nullopt) {
    /* The smallest node takes 6 bytes of a datagram. */
    std::vector<c::lars_host> nodes(256);
    for (;;) {
      std::size_t count = 0;
      c::lars_result result = c::lars_get_route(caller_.get(), modid, cmdid, ms_of(deadline),
                                                nodes.data(), nodes.size(), &count);
      if (result != c::LARS_OK) return static_cast<Error>(result);
      if (count <= nodes.size()) {
        std::vector<Host> hosts;
        hosts.reserve(count);
        for (std::size_t at = 0; at < count; at++) hosts.push_back(host_of(nodes[at]));
        return hosts;
      }
      nodes.resize(count);
    }
  }

  /** Fetches the route of a module when a program starts; none: there are nodes. */
  std::optional<Error> reg_init(std::uint32_t modid, std::uint32_t cmdid) {
    return error_of(c::lars_reg_init(caller_.get(), modid, cmdid));
  }

  /** Why which node of a module is picked; none inside when the agent does not know the module. */
  Result<std::optional<Explanation>> explain(
      std::uint32_t modid, std::uint32_t cmdid,
      std::optional<Milliseconds> deadline = std::nullopt) {
    char *json = nullptr;
    Explanation explanation;
    c::lars_result result = c::lars_explain(caller_.get(), modid, cmdid, ms_of(deadline), &json,
                                            &explanation.nodes);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    if (json == nullptr) return std::optional<Explanation>();
    std::unique_ptr<char, void (*)(char *)> kept(json, c::lars_free);
    explanation.json = json;
    return std::optional<Explanation>(std::move(explanation));
  }

  /** Counters for whoever watches the program. */
  Stats stats() const {
    Stats stats;
    std::memset(&stats, 0, sizeof stats);
    c::lars_read_stats(caller_.get(), &stats);
    return stats;
  }

 private:
  struct Close {
    void operator()(c::lars_caller *caller) const noexcept { c::lars_close(caller); }
  };
  using Caller = std::unique_ptr<c::lars_caller, Close>;

  /** The function of a call, and what it threw last. */
  template <class Function>
  struct Run {
    Function &function;
    const CallOptions &options;
    std::exception_ptr thrown;

    static int once(const c::lars_host *node, const c::lars_attempt *told, void *context) {
      Run &run = *static_cast<Run *>(context);
      run.thrown = nullptr;
      try {
        Attempt attempt;
        attempt.number = told->number;
        if (told->left_ms >= 0) attempt.left = Milliseconds(told->left_ms);
        return run.invoke(host_of(*node), attempt);
      } catch (...) {
        run.thrown = std::current_exception();
        return c::LARS_CODE_OTHER;
      }
    }

    int invoke(const Host &host, const Attempt &attempt) {
      if constexpr (std::is_invocable_v<Function &, const Host &, const Attempt &>) {
        return code_of([&] { return function(host, attempt); });
      } else {
        return code_of([&] { return function(host); });
      }
    }

    template <class Bound>
    static int code_of(Bound &&bound) {
      if constexpr (std::is_void_v<decltype(bound())>) {
        bound();
        return 0;
      } else {
        return static_cast<int>(bound());
      }
    }

    static bool may_retry(int code, const c::lars_host *node, void *context) {
      return static_cast<Run *>(context)->options.is_retryable(code, host_of(*node));
    }
  };

  /** An entry of the table as a node, made where it is wanted. */
  struct HostOfEntry {
    std::uint64_t entry;
    operator Host() const {
      return {c::lars_entry_ip(entry), c::lars_entry_port(entry), false, false, std::nullopt, {}};
    }
  };

  std::uint64_t hot_entry(std::uint32_t modid, std::uint32_t cmdid) const noexcept {
    return caller_ ? c::lars_pick_hot(caller_.get(), modid, cmdid) : 0;
  }

  explicit Client(Caller caller) : caller_(std::move(caller)) {}

  static Result<Caller> open_caller(const Options &options) {
    c::lars_options told;
    c::lars_options_init(&told);
    told.host = options.host.c_str();
    for (std::size_t at = 0; at < options.ports.size(); at++) told.ports[at] = options.ports[at];
    told.deadline_ms = ms_of(options.deadline);
    told.first_route_ms = ms_of(options.first_route);
    if (options.last_good) told.last_good_ms = options.last_good->count();
    told.retry_share = options.retry_share;
    told.retry_floor_per_second = options.retry_floor_per_second;
    if (options.shared_table) told.shared_table = options.shared_table->c_str();
    if (options.token) {
      told.token = options.token->data();
      told.token_bytes = options.token->size();
    }
    c::lars_caller *caller = nullptr;
    c::lars_result result = c::lars_open(&told, &caller);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    return Caller(caller);
  }

  /** A time as the C functions take it; what they would take for none becomes out of range. */
  static int ms_of(const std::optional<Milliseconds> &time) {
    if (!time) return c::LARS_DEFAULT;
    auto count = time->count();
    return count < 0 || count > c::LARS_CALL_MS_MAX ? c::LARS_CALL_MS_MAX : static_cast<int>(count);
  }

  static bool read_pick(const Pick &pick, c::lars_pick *told) {
    c::lars_pick_init(told);
    if (pick.key) {
      if (pick.key->empty()) return false;
      told->key = pick.key->data();
      told->key_bytes = pick.key->size();
    }
    told->deadline_ms = ms_of(pick.deadline);
    told->first_route_ms = ms_of(pick.first_route);
    return true;
  }

  static Host host_of(const c::lars_host &node) {
    Host host;
    host.address = node.ip;
    host.port = node.port;
    host.stale = node.stale;
    host.draining = node.draining;
    if (node.weight >= 0) host.weight = node.weight;
    if (node.zone[0] != 0) host.zone = node.zone;
    return host;
  }

  static std::optional<Error> error_of(c::lars_result result) {
    if (result == c::LARS_OK) return std::nullopt;
    return static_cast<Error>(result);
  }

  static CallResult failed_call(Error error) {
    CallResult failed;
    failed.error = error;
    return failed;
  }

  template <class Asker>
  Result<Host> pick_with(Asker asker, std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    c::lars_pick told;
    c::lars_host node;
    bool is_plain = !pick.key && !pick.deadline && !pick.first_route;
    if (!is_plain && !read_pick(pick, &told)) return Error::out_of_range;
    c::lars_result result = asker(caller_.get(), modid, cmdid, is_plain ? nullptr : &told, &node);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    return host_of(node);
  }

  Caller caller_;
};

}  // namespace lars

#endif
