// Shell. The driver of the C client: commands as lines, see api/conformance/README.md.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lars.h"

enum { WORDS_MAX = 24, LINE_BYTES_MAX = 4096, NODES_MAX = 64, ROUTE_MAX = 5000, THREADS_MAX = 64 };
/** Calls that each thread of `load` makes at least, however late it is. */
enum { LOAD_CALLS_MIN = 20 };

/** One line: its id, its command and its words. */
typedef struct {
  char *line;
  char *words[WORDS_MAX];
  int count;
} Command;

/** Changed by open and close only, while no other command runs. */
static lars_caller *caller;
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

static void answer(const Command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Each result is written at once, so that lines of threads do not mix. */
static void answer(const Command *command, const char *format, ...) {
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&text, format, arguments);
  va_end(arguments);
  if (length < 0) abort();
  pthread_mutex_lock(&output);
  printf("%s %s\n", command->words[0], text);
  fflush(stdout);
  pthread_mutex_unlock(&output);
  free(text);
}

/** The word after `name=`, or NULL. */
static const char *named(const Command *command, const char *name) {
  size_t length = strlen(name);
  for (int at = 2; at < command->count; at++) {
    const char *word = command->words[at];
    if (strncmp(word, name, length) == 0 && word[length] == '=') return word + length + 1;
  }
  return NULL;
}

/** A word without a name, counted from 0 after the command; NULL when it is missing. */
static const char *plain(const Command *command, int index) {
  for (int at = 2; at < command->count; at++) {
    if (strchr(command->words[at], '=') != NULL) continue;
    if (index-- == 0) return command->words[at];
  }
  return NULL;
}

/** Reads a whole number from least to most; false when it is none. */
static int read_number(const char *text, long long least, long long most, long long *number) {
  char *end;
  if (text == NULL) return 0;
  errno = 0;
  *number = strtoll(text, &end, 10);
  return errno == 0 && end != text && *end == 0 && *number >= least && *number <= most;
}

/** The module of a command; numbers that no type here can hold are out of range. */
static int read_module(const Command *command, uint32_t *modid, uint32_t *cmdid) {
  long long first, second;
  int is_right = read_number(plain(command, 0), INT32_MIN, UINT32_MAX, &first) &&
                 read_number(plain(command, 1), INT32_MIN, UINT32_MAX, &second);
  if (!is_right) return 0;
  *modid = (uint32_t)first;
  *cmdid = (uint32_t)second;
  return 1;
}

/** A number by its name; `missing` when it is not given; INT_MIN, which is out of range, else. */
static int number_or(const Command *command, const char *name, int missing) {
  const char *text = named(command, name);
  long long number;
  if (text == NULL) return missing;
  return read_number(text, INT_MIN + 1, INT_MAX, &number) ? (int)number : INT_MIN;
}

static double fraction_or(const Command *command, const char *name, double missing) {
  const char *text = named(command, name);
  return text == NULL ? missing : atof(text);
}

/** What a pick is told; the key is kept in the buffer. */
static void read_pick(const Command *command, lars_pick *pick, unsigned char *key) {
  const char *hex = named(command, "key");
  lars_pick_init(pick);
  pick->deadline_ms = number_or(command, "deadline_ms", LARS_DEFAULT);
  pick->first_route_ms = number_or(command, "first_route_ms", LARS_DEFAULT);
  if (hex == NULL) return;
  pick->key = key;
  for (pick->key_bytes = 0; hex[0] != 0 && hex[1] != 0; hex += 2) {
    char pair[3] = {hex[0], hex[1], 0};
    key[pick->key_bytes++] = (unsigned char)strtoul(pair, NULL, 16);
  }
}

static const char *error_word(lars_result result) {
  switch (result) {
    case LARS_OK: return "ok";
    case LARS_OVERLOAD: return "overload";
    case LARS_AGENT_ERROR: return "agent";
    case LARS_NO_ROUTE: return "no_route";
    case LARS_TIMEOUT: return "timeout";
    case LARS_NO_AGENT: return "no_agent";
    case LARS_CONNECT_FAILED: return "connect";
    case LARS_LIMIT: return "limit";
    case LARS_CLOSED: return "closed";
    case LARS_OUT_OF_RANGE: return "range";
    case LARS_NO_MEMORY: return "memory";
    case LARS_CALL_FAILED: return "failed";
  }
  return "unknown";
}

static void node_text(const lars_host *host, char text[32]) {
  char ip[16];
  lars_format_ip(host->ip, ip);
  snprintf(text, 32, "%s:%u", ip, (unsigned)host->port);
}

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pause_ms(int ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static void do_open(const Command *command) {
  lars_options options;
  unsigned ports[3];
  lars_options_init(&options);
  if (sscanf(named(command, "ports"), "%u,%u,%u", &ports[0], &ports[1], &ports[2]) != 3) abort();
  for (int at = 0; at < 3; at++) options.ports[at] = (uint16_t)ports[at];
  options.deadline_ms = number_or(command, "deadline_ms", LARS_DEFAULT);
  options.first_route_ms = number_or(command, "first_route_ms", LARS_DEFAULT);
  options.last_good_ms = number_or(command, "last_good_ms", LARS_DEFAULT);
  options.retry_share = fraction_or(command, "retry_share", options.retry_share);
  options.retry_floor_per_second =
      fraction_or(command, "retry_floor", options.retry_floor_per_second);
  options.shared_table = named(command, "table");
  if (named(command, "host") != NULL) options.host = named(command, "host");
  options.token = named(command, "token");
  if (options.token != NULL) options.token_bytes = strlen(named(command, "token"));
  lars_close(caller);
  lars_result result = lars_open(&options, &caller);
  if (result == LARS_OK) answer(command, "ok");
  else answer(command, "error %s", error_word(result));
}

static void do_close(const Command *command) {
  lars_close(caller);
  caller = NULL;
  answer(command, "ok");
}

static void answer_host(const Command *command, const lars_host *host) {
  char node[32], weight[24] = "", zone[2 * LARS_ZONE_BYTES_MAX + 8] = "";
  node_text(host, node);
  if (host->weight >= 0) snprintf(weight, sizeof weight, " weight=%d", host->weight);
  if (host->zone[0] != 0) {
    int at = snprintf(zone, sizeof zone, " zone=");
    for (const char *byte = host->zone; *byte != 0; byte++, at += 2) {
      snprintf(zone + at, 3, "%02x", (unsigned)(unsigned char)*byte);
    }
  }
  answer(command, "host %s%s%s%s", node, weight, zone, host->stale ? " stale" : "");
}

static void do_get_host(const Command *command) {
  uint32_t modid, cmdid;
  unsigned char key[LINE_BYTES_MAX];
  lars_pick pick;
  lars_host host;
  lars_result result = LARS_OUT_OF_RANGE;
  int is_try = strcmp(command->words[1], "try_get_host") == 0;
  read_pick(command, &pick, key);
  if (read_module(command, &modid, &cmdid)) {
    result = is_try ? lars_try_get_host(caller, modid, cmdid, &pick, &host)
                    : lars_get_host(caller, modid, cmdid, &pick, &host);
  }
  if (result == LARS_OK) answer_host(command, &host);
  else if (is_try && result != LARS_OUT_OF_RANGE) answer(command, "code %d", lars_retcode(result));
  else answer(command, "error %s", error_word(result));
}

static void do_report(const Command *command) {
  uint32_t modid, cmdid;
  long long port, code, took_ms = LARS_TIME_UNKNOWN;
  lars_host host;
  memset(&host, 0, sizeof host);
  const char *took = plain(command, 5);
  int is_right = read_module(command, &modid, &cmdid) && plain(command, 2) != NULL &&
                 lars_parse_ip(plain(command, 2), &host.ip) &&
                 read_number(plain(command, 3), 0, UINT16_MAX, &port) &&
                 read_number(plain(command, 4), INT32_MIN, INT32_MAX, &code) &&
                 (took == NULL || read_number(took, 0, UINT32_MAX, &took_ms));
  if (!is_right) {
    answer(command, "error range");
    return;
  }
  host.port = (uint16_t)port;
  lars_result result = lars_report(caller, modid, cmdid, &host, (int32_t)code, took_ms);
  if (result == LARS_OK) answer(command, "ok");
  else answer(command, "error %s", error_word(result));
}

static void do_get_route(const Command *command) {
  uint32_t modid, cmdid;
  size_t count = 0, length = 0;
  lars_host *hosts = calloc(ROUTE_MAX, sizeof *hosts);
  char *text = calloc(ROUTE_MAX, 32);
  lars_result result = LARS_OUT_OF_RANGE;
  if (hosts == NULL || text == NULL) abort();
  if (read_module(command, &modid, &cmdid)) {
    int deadline_ms = number_or(command, "deadline_ms", LARS_DEFAULT);
    result = lars_get_route(caller, modid, cmdid, deadline_ms, hosts, ROUTE_MAX, &count);
  }
  for (size_t at = 0; at < count && at < ROUTE_MAX; at++) {
    char node[32];
    node_text(&hosts[at], node);
    length += (size_t)sprintf(text + length, " %s", node);
  }
  if (result == LARS_OK) answer(command, "route%s", text);
  else answer(command, "error %s", error_word(result));
  free(text);
  free(hosts);
}

static void do_reg_init(const Command *command) {
  uint32_t modid, cmdid;
  if (!read_module(command, &modid, &cmdid)) answer(command, "error range");
  else answer(command, "code %d", lars_retcode(lars_reg_init(caller, modid, cmdid)));
}

/** True when the node is in the list by commas. */
static int is_listed(const lars_host *host, const char *list) {
  char node[32];
  if (list == NULL) return 0;
  node_text(host, node);
  size_t length = strlen(node);
  for (const char *at = list; (at = strstr(at, node)) != NULL; at++) {
    if ((at == list || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
  }
  return 0;
}

/** The function of `call`: takes its time, and fails for the nodes that are to fail. */
static int run_function(const lars_host *host, const lars_attempt *attempt, void *context) {
  const Command *command = context;
  (void)attempt;
  pause_ms(number_or(command, "took_ms", 0));
  int code = number_or(command, "bad_code", LARS_CODE_OTHER);
  return is_listed(host, named(command, "bad")) ? code : 0;
}

static void do_call(const Command *command) {
  uint32_t modid, cmdid;
  unsigned char key[LINE_BYTES_MAX];
  lars_call_options options;
  lars_outcome outcome;
  lars_result result = LARS_OUT_OF_RANGE;
  memset(&outcome, 0, sizeof outcome);
  lars_call_options_init(&options);
  read_pick(command, &options.pick, key);
  options.retries = number_or(command, "retries", 0);
  options.timeout_ms = number_or(command, "timeout_ms", LARS_DEFAULT);
  if (read_module(command, &modid, &cmdid)) {
    result = lars_call(caller, modid, cmdid, &options, run_function, (void *)(size_t)command, &outcome);
  }
  char node[32];
  node_text(&outcome.host, node);
  if (result == LARS_OK) answer(command, "called %s tries=%d", node, outcome.tries);
  else if (result == LARS_CALL_FAILED) answer(command, "failed tries=%d", outcome.tries);
  else answer(command, "error %s tries=%d", error_word(result), outcome.tries);
}

static void do_explain(const Command *command) {
  uint32_t modid, cmdid;
  char *json = NULL;
  size_t nodes = 0;
  lars_result result = LARS_OUT_OF_RANGE;
  int deadline_ms = number_or(command, "deadline_ms", LARS_DEFAULT);
  if (read_module(command, &modid, &cmdid)) {
    result = lars_explain(caller, modid, cmdid, deadline_ms, &json, &nodes);
  }
  if (result != LARS_OK) answer(command, "error %s", error_word(result));
  else if (json == NULL) answer(command, "none");
  else answer(command, "json nodes=%zu", nodes);
  lars_free(json);
}

/** What the threads of `load` share, and what they saw. */
typedef struct {
  const Command *command;
  uint32_t modid, cmdid;
  int64_t end_us, longest_us;
  long ok, stale, failed;
  pthread_mutex_t lock;
  lars_host nodes[NODES_MAX];
  long picks[NODES_MAX];
  int node_count;
} Load;

static void note_pick(Load *load, lars_result result, const lars_host *host, int64_t took_us) {
  pthread_mutex_lock(&load->lock);
  if (took_us > load->longest_us) load->longest_us = took_us;
  if (result != LARS_OK) {
    load->failed++;
  } else {
    if (host->stale) load->stale++;
    else load->ok++;
    int at = 0;
    while (at < load->node_count &&
           (load->nodes[at].ip != host->ip || load->nodes[at].port != host->port)) {
      at++;
    }
    if (at == load->node_count && at < NODES_MAX) load->nodes[load->node_count++] = *host;
    if (at < NODES_MAX) load->picks[at]++;
  }
  pthread_mutex_unlock(&load->lock);
}

static void *run_load(void *context) {
  Load *load = context;
  int pause = number_or(load->command, "pause_ms", 1);
  for (int calls = 0; calls < LOAD_CALLS_MIN || now_us() < load->end_us; calls++) {
    lars_host host;
    int64_t start_us = now_us();
    lars_result result = lars_try_get_host(caller, load->modid, load->cmdid, NULL, &host);
    note_pick(load, result, &host, now_us() - start_us);
    if (result == LARS_OK) {
      int code = is_listed(&host, named(load->command, "bad")) ? LARS_CODE_REFUSED : 0;
      lars_report(caller, load->modid, load->cmdid, &host, code, 1);
    }
    pause_ms(pause);
  }
  return NULL;
}

static int compare_texts(const void *one, const void *other) { return strcmp(one, other); }

static void answer_load(const Command *command, const Load *load) {
  char texts[NODES_MAX][32], list[NODES_MAX * 32] = "", most[32] = "";
  long most_picks = 0;
  for (int at = 0; at < load->node_count; at++) {
    node_text(&load->nodes[at], texts[at]);
    if (load->picks[at] <= most_picks) continue;
    most_picks = load->picks[at];
    strcpy(most, texts[at]);
  }
  qsort(texts, (size_t)load->node_count, sizeof texts[0], compare_texts);
  for (int at = 0; at < load->node_count; at++) {
    if (at > 0) strcat(list, ",");
    strcat(list, texts[at]);
  }
  long longest_ms = (long)((load->longest_us + 999) / 1000);
  answer(command, "load ok=%ld stale=%ld failed=%ld longest_ms=%ld nodes=%s most=%s", load->ok,
         load->stale, load->failed, longest_ms, list, most);
}

static void do_load(const Command *command) {
  pthread_t threads[THREADS_MAX];
  int count = number_or(command, "threads", 1);
  Load *load = calloc(1, sizeof *load);
  if (load == NULL || count < 1 || count > THREADS_MAX) abort();
  if (!read_module(command, &load->modid, &load->cmdid)) abort();
  load->command = command;
  load->end_us = now_us() + (int64_t)number_or(command, "ms", 0) * 1000;
  pthread_mutex_init(&load->lock, NULL);
  for (int at = 0; at < count; at++) {
    if (pthread_create(&threads[at], NULL, run_load, load) != 0) abort();
  }
  for (int at = 0; at < count; at++) pthread_join(threads[at], NULL);
  answer_load(command, load);
  free(load);
}

static long pick_often(const Command *command, uint32_t modid, uint32_t cmdid) {
  long picked = 0;
  for (int at = 0; at < number_or(command, "picks", 1); at++) {
    lars_host host;
    if (lars_get_host(caller, modid, cmdid, NULL, &host) == LARS_OK && !host.stale) picked++;
  }
  return picked;
}

static uint64_t late_answers(void) {
  lars_stats stats;
  return lars_read_stats(caller, &stats) == LARS_OK ? stats.late : 0;
}

/** Parent and child pick at the same time; the child tells what it saw through a pipe. */
static void do_fork(const Command *command) {
  uint32_t modid, cmdid;
  int ends[2];
  uint64_t child_saw[2] = {0, 0};
  if (!read_module(command, &modid, &cmdid) || pipe(ends) != 0) abort();
  uint64_t late_before = late_answers();
  pid_t child = fork();
  if (child < 0) abort();
  uint64_t picked = (uint64_t)pick_often(command, modid, cmdid);
  uint64_t late = late_answers() - late_before;
  if (child == 0) {
    uint64_t saw[2] = {picked, late};
    _exit(write(ends[1], saw, sizeof saw) == (ssize_t)sizeof saw ? 0 : 1);
  }
  close(ends[1]);
  if (read(ends[0], child_saw, sizeof child_saw) != (ssize_t)sizeof child_saw) child_saw[0] = 0;
  close(ends[0]);
  waitpid(child, NULL, 0);
  answer(command, "forked parent=%llu child=%llu late=%llu", (unsigned long long)picked,
         (unsigned long long)child_saw[0], (unsigned long long)(late + child_saw[1]));
}

static void do_stats(const Command *command) {
  lars_stats stats;
  lars_result result = lars_read_stats(caller, &stats);
  if (result != LARS_OK) {
    answer(command, "error %s", error_word(result));
    return;
  }
  answer(command,
         "stats resent=%llu late=%llu garbage=%llu stale=%llu retried=%llu retries_refused=%llu "
         "dropped=%llu outcomes_dropped=%llu tables=%llu",
         (unsigned long long)stats.resent, (unsigned long long)stats.late,
         (unsigned long long)stats.garbage, (unsigned long long)stats.stale,
         (unsigned long long)stats.retried, (unsigned long long)stats.retries_refused,
         (unsigned long long)stats.dropped, (unsigned long long)stats.outcomes_dropped,
         (unsigned long long)stats.tables);
}

static const struct {
  const char *name;
  void (*run)(const Command *command);
} COMMANDS[] = {
    {"open", do_open},           {"close", do_close},       {"get_host", do_get_host},
    {"try_get_host", do_get_host}, {"report", do_report},   {"get_route", do_get_route},
    {"reg_init", do_reg_init},   {"call", do_call},         {"explain", do_explain},
    {"load", do_load},           {"fork", do_fork},         {"stats", do_stats},
};

static void *run_command(void *context) {
  Command *command = context;
  size_t known = sizeof COMMANDS / sizeof COMMANDS[0];
  size_t at = 0;
  while (at < known && strcmp(COMMANDS[at].name, command->words[1]) != 0) at++;
  if (at < known) COMMANDS[at].run(command);
  else answer(command, "unsupported");
  free(command->line);
  free(command);
  return NULL;
}

/**
 * Each command runs on a thread of its own, as they may be given at the same time; but for those that
 * change the caller, which all threads made later see.
 */
static void start_command(char *line) {
  Command *command = calloc(1, sizeof *command);
  if (command == NULL || (command->line = strdup(line)) == NULL) abort();
  char *rest = command->line;
  for (char *word; command->count < WORDS_MAX && (word = strtok_r(rest, " \n", &rest)) != NULL;) {
    command->words[command->count++] = word;
  }
  pthread_t thread;
  if (command->count < 2) abort();
  if (strcmp(command->words[1], "open") == 0 || strcmp(command->words[1], "close") == 0) {
    run_command(command);
    return;
  }
  if (pthread_create(&thread, NULL, run_command, command) != 0) abort();
  pthread_detach(thread);
}

int main(void) {
  static char line[LINE_BYTES_MAX];
  printf("driver 1 threads fork table\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) start_command(line);
  lars_close(caller);
  return 0;
}
