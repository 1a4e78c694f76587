// Core. What a caller is made of, for the sources of this library.
#ifndef LARS_CALLER_H
#define LARS_CALLER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lars.h"
#include "memory.h"
#include "seal.h"
#include "table.h"
#include "wire.h"

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
int64_t lars_now_ms(void);
int64_t lars_coarse_ms(void);

/** Random bits of the system. */
uint64_t lars_random(void);

/** Adds to a counter. */
void lars_count(uint64_t *counter, uint64_t more);

/** Which of the agent's ports serves a module. */
int lars_port_index(uint32_t modid, uint32_t cmdid);

/** A mutex's condition whose times are those of lars_now_ms. */
void lars_condition_init(pthread_cond_t *condition);

/** Waits for a condition for at most so long. */
void lars_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t wait_ms);

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
lars_lane *lars_lane_take(lars_caller *caller, lars_result *fault);
void lars_lane_give(lars_caller *caller, lars_lane *lane);

/** Closes the sockets of every lane, and forgets them in a child after a fork. */
void lars_lanes_close(lars_caller *caller);
void lars_lanes_after_fork(lars_caller *caller);

/** Asks and waits; the answer's text and hosts are good until the lane is given back. */
lars_result lars_ask(lars_caller *caller, lars_lane *lane, lars_question *question);

/** Sends a datagram that has no answer. */
lars_result lars_tell(lars_caller *caller, int port_index, const uint8_t *datagram, size_t length);

/** A connected socket towards the agent, or -1. */
int lars_open_socket(uint32_t ip, uint16_t port);

/** Sends once more at once when the send only told that an earlier datagram was refused. */
bool lars_send(int socket, const uint8_t *datagram, size_t length);

/** True for an address of this host alone: whoever listens there wants no proof. */
bool lars_is_loopback(uint32_t ip);

/** Another sender of seals than all others. */
void lars_sealer_init(lars_sealer *sealer);

/** The datagram with a seal of now in sealed, which may be the datagram itself; gives its length. */
size_t lars_seal_now(const lars_caller *caller, lars_sealer *sealer, const uint8_t *datagram,
                     size_t length, uint8_t *sealed);

/** Picks from the table; LARS_FOUND_NOTHING also where there is no usable table. */
lars_found lars_mapping_pick(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                             const lars_pick *pick, lars_host *host);

/** Picks from a table that is old, for when nothing better is to be had. */
bool lars_mapping_pick_old(lars_caller *caller, uint32_t modid, uint32_t cmdid, lars_host *host);

/** True while the agent was found silent a moment ago and an old table can stand in. */
bool lars_mapping_is_silent(lars_caller *caller);

/** Looks after the table, for the picks of the next 50 ms; or leaves it to them, when it is to rest. */
void lars_mapping_keep(lars_caller *caller);
void lars_mapping_leave(lars_caller *caller);

/** The usable table, or NULL. */
lars_mapping *lars_mapping_usable(lars_caller *caller);

/** Takes all tables away. */
void lars_mapping_close(lars_caller *caller);

/** New cursors, as after a fork. */
void lars_mapping_after_fork(lars_caller *caller);

/** Hands an outcome on; node is an entry of the table, with port 0 for a use or refusal. */
void lars_batch_add(lars_caller *caller, const lars_mapping *mapping, uint32_t modid,
                    uint32_t cmdid, uint64_t node, int32_t code, int64_t took_ms);

/** Starts or wakes the keeper. */
void lars_batch_wake(lars_caller *caller);

/** Sends what waits, and ends the keeper. */
void lars_batch_init(lars_batch *batch);
void lars_batch_flush(lars_caller *caller);
void lars_batch_close(lars_caller *caller);
void lars_batch_after_fork(lars_caller *caller);

/** Makes fork and exit heed a caller, and no more. */
bool lars_register(lars_caller *caller);
void lars_unregister(lars_caller *caller);

/** True for what a pick is told that is in range; gives the deadline that counts. */
bool lars_check_pick(const lars_caller *caller, const lars_pick *pick, int *deadline_ms,
                     int *first_route_ms);

/** Joins a further page to an explanation; false when one of them is none. */
bool lars_join_pages(char **json, const uint8_t *page, size_t page_bytes, uint32_t *nodes_here,
                     uint32_t *node_count);

#endif
