// Shell. The bench program of the C client; see "Programs of the languages" in bench/README.md.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lars.h"

enum { THREADS_MAX = 64, ECHO_BYTES = 21, CMD_ID = 1, CALLS_BETWEEN_LOOKS = 64 };

static int port, echo_port;
static uint32_t modules = 1;
static const char *table = "";
static lars_caller *with_table, *over_udp;

/** One thread of a measurement. */
typedef struct {
  char mode[16];
  uint32_t module;
  int64_t end_ns;
  uint64_t calls, failed;
  int echo;
} Worker;

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int open_echo(void) {
  struct sockaddr_in to;
  struct timeval wait = {1, 0};
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons((uint16_t)echo_port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) != 0) exit(2);
  return fd;
}

static bool pick_and_report(lars_caller *caller, uint32_t module, bool reports) {
  lars_host host;
  if (lars_try_get_host(caller, module, CMD_ID, NULL, &host) != LARS_OK || host.stale) return false;
  return !reports || lars_report(caller, module, CMD_ID, &host, 0, 1) == LARS_OK;
}

static bool echo_once(int fd) {
  unsigned char bytes[ECHO_BYTES] = {4}, answer[ECHO_BYTES + 1];
  return send(fd, bytes, sizeof bytes, 0) == ECHO_BYTES &&
         recv(fd, answer, sizeof answer, 0) == ECHO_BYTES;
}

static bool call_once(Worker *worker) {
  worker->module = worker->module < modules ? worker->module + 1 : 1;
  switch (worker->mode[0]) {
    case 'p': return pick_and_report(with_table, worker->module, false);
    case 't': return pick_and_report(with_table, worker->module, true);
    case 'u': return pick_and_report(over_udp, worker->module, true);
    default: return echo_once(worker->echo);
  }
}

static void *run_worker(void *context) {
  Worker *worker = context;
  /* Only calls to the table are too short for a look at the clock after each. */
  int between = worker->mode[0] == 'p' || worker->mode[0] == 't' ? CALLS_BETWEEN_LOOKS : 1;
  while (now_ns(CLOCK_MONOTONIC) < worker->end_ns) {
    for (int at = 0; at < between; at++) {
      worker->calls++;
      if (!call_once(worker)) worker->failed++;
    }
  }
  return NULL;
}

static uint64_t questions_of(lars_caller *caller) {
  lars_stats stats;
  return lars_read_stats(caller, &stats) == LARS_OK ? stats.questions : 0;
}

/** Every module is asked for once before, so that the agent knows it and it is in the table. */
static void prepare(void) {
  struct timespec pause = {0, 20000000};
  lars_pick patient;
  lars_pick_init(&patient);
  patient.deadline_ms = patient.first_route_ms = 10000;
  for (uint32_t module = 1; module <= modules; module++) {
    lars_host host;
    lars_get_host(over_udp, module, CMD_ID, &patient, &host);
  }
  for (int round = 0; round < 100; round++) {
    uint64_t before = questions_of(with_table);
    for (uint32_t module = 1; module <= modules; module++) pick_and_report(with_table, module, false);
    if (questions_of(with_table) == before) return;
    nanosleep(&pause, NULL);
  }
}

static void measure(const char *mode, int threads, int ms) {
  Worker workers[THREADS_MAX];
  pthread_t running[THREADS_MAX];
  uint64_t calls = 0, failed = 0, questions = questions_of(with_table);
  memset(workers, 0, sizeof workers);
  int64_t wall_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (int at = 0; at < threads; at++) {
    snprintf(workers[at].mode, sizeof workers[at].mode, "%s", mode);
    workers[at].module = (uint32_t)at * (modules / (uint32_t)threads);
    workers[at].end_ns = wall_ns + (int64_t)ms * 1000000;
    if (mode[0] == 'e') workers[at].echo = open_echo();
    if (pthread_create(&running[at], NULL, run_worker, &workers[at]) != 0) exit(2);
  }
  for (int at = 0; at < threads; at++) {
    pthread_join(running[at], NULL);
    if (mode[0] == 'e') close(workers[at].echo);
    calls += workers[at].calls;
    failed += workers[at].failed;
  }
  wall_ns = now_ns(CLOCK_MONOTONIC) - wall_ns;
  cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
  /* A pick that the table could not answer is none of the table. */
  failed += questions_of(with_table) - questions;
  double total = calls > 0 ? (double)calls : 1;
  printf("{\"mode\":\"%s\",\"threads\":%d,\"calls\":%llu,\"failed\":%llu,\"ns\":%.2f,\"cpuNs\":%.2f}\n",
         mode, threads, (unsigned long long)calls, (unsigned long long)failed,
         (double)wall_ns * threads / total, (double)cpu_ns / total);
  fflush(stdout);
}

static void read_words(int count, char **words) {
  for (int at = 1; at < count; at++) {
    if (strncmp(words[at], "port=", 5) == 0) port = atoi(words[at] + 5);
    if (strncmp(words[at], "table=", 6) == 0) table = words[at] + 6;
    if (strncmp(words[at], "modules=", 8) == 0) modules = (uint32_t)atoi(words[at] + 8);
    if (strncmp(words[at], "echo=", 5) == 0) echo_port = atoi(words[at] + 5);
  }
}

int main(int count, char **words) {
  char mode[16];
  int threads, ms;
  lars_options options;
  read_words(count, words);
  lars_options_init(&options);
  for (int at = 0; at < 3; at++) options.ports[at] = (uint16_t)(port + at);
  options.deadline_ms = 1000;
  options.shared_table = table;
  if (lars_open(&options, &with_table) != LARS_OK) return 2;
  options.shared_table = "";
  if (lars_open(&options, &over_udp) != LARS_OK) return 2;
  bool is_prepared = false;
  while (scanf("%15s %d %d", mode, &threads, &ms) == 3) {
    if (threads < 1 || threads > THREADS_MAX) return 2;
    if (!is_prepared && mode[0] != 'e') prepare();
    is_prepared = is_prepared || mode[0] != 'e';
    measure(mode, threads, ms);
  }
  lars_close(with_table);
  lars_close(over_udp);
  return 0;
}
