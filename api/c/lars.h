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
#ifndef LARS_H
#define LARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef LARS_API
#define LARS_API
#endif

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
LARS_API void lars_options_init(lars_options *options);
LARS_API void lars_pick_init(lars_pick *pick);
LARS_API void lars_call_options_init(lars_call_options *options);

/**
 * Makes a caller; NULL for options means all defaults. Nothing is sent yet.
 *
 * Gives LARS_OUT_OF_RANGE for an option that is out of range, LARS_CONNECT_FAILED when the agent's
 * name does not resolve, LARS_NO_MEMORY.
 */
LARS_API lars_result lars_open(const lars_options *options, lars_caller **caller);

/** Sends what is on its way and ends the caller. No other thread may use it then; NULL is fine. */
LARS_API void lars_close(lars_caller *caller);

/**
 * The next node of a module. Waits for the first route of a module that is asked for the first time,
 * for up to first_route_ms after its first pick, so that a module that does not exist costs that
 * once. pick may be NULL. host is untouched unless LARS_OK comes back.
 */
LARS_API lars_result lars_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                   const lars_pick *pick, lars_host *host);

/** The same without waiting for a first route. */
LARS_API lars_result lars_try_get_host(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                       const lars_pick *pick, lars_host *host);

/**
 * Tells how a call went: 0 for success, anything else is a failure; and the milliseconds it took, or
 * LARS_TIME_UNKNOWN. A failure that took long weighs more.
 */
LARS_API lars_result lars_report(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                 const lars_host *host, int32_t code, int64_t took_ms);

/**
 * Picks a node, runs the function, reports how it went and how long it took; with retries it does so
 * again at another node after a failure, within the budget of this caller. outcome may be NULL.
 *
 * Gives LARS_OK, LARS_CALL_FAILED when the last try failed, LARS_TIMEOUT when timeout_ms were over,
 * or why there was no node. A function that returns after timeout_ms counts as failed.
 */
LARS_API lars_result lars_call(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                               const lars_call_options *options, lars_call_function function,
                               void *context, lars_outcome *outcome);

/**
 * Every node of a module, overloaded ones too: count is their number, of which as many as capacity
 * are in hosts. 0 when there is no such module, or its route has not come yet.
 */
LARS_API lars_result lars_get_route(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                    int deadline_ms, lars_host *hosts, size_t capacity,
                                    size_t *count);

/**
 * Fetches the route of a module when a program starts: three tries, 50 ms apart. LARS_OK when there
 * are nodes, LARS_NO_ROUTE when there are none, LARS_AGENT_ERROR when nobody could be asked.
 */
LARS_API lars_result lars_reg_init(lars_caller *caller, uint32_t modid, uint32_t cmdid);

/**
 * Why which node of a module is picked, as JSON of all its nodes, to be given to lars_free; NULL when
 * the agent does not know the module. nodes, which may be NULL, is their number. LARS_TIMEOUT also
 * from an agent of the original.
 */
LARS_API lars_result lars_explain(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                                  int deadline_ms, char **json, size_t *nodes);

/** Gives back what lars_explain gave. */
LARS_API void lars_free(char *json);

/** Counters for whoever watches the program. */
LARS_API lars_result lars_read_stats(lars_caller *caller, lars_stats *stats);

/** The return code of the original for a result: 0, 1, 2 or 3. */
LARS_API int lars_retcode(lars_result result);

/** What a result means, as a short English text. */
LARS_API const char *lars_result_text(lars_result result);

/** Writes an address as dotted text, at most 16 bytes with the 0 at its end. */
LARS_API void lars_format_ip(uint32_t ip, char text[16]);

/** Reads a dotted IPv4 address; false when it is none. */
LARS_API bool lars_parse_ip(const char *text, uint32_t *ip);

#ifdef __cplusplus
}
#endif

#endif
