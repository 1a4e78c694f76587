// Shell. Picks and reports as a caller in C: from the shared table with the least reader, and by UDP.
//
// The program of C itself among those of the languages, see "Programs of the languages" in
// ../README.md, and the one that shows what the table allows:
//
//   table_load port=P table=PATH modules=N echo=PORT
//
// Two modes are its own: "check" looks at each entry, "paced" is "table" at 100,000 calls a second,
// all of which an agent can take.
#include "../../proto/testing/shared_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "varint.h"

enum { THREADS_MAX = 64, OUTCOMES = 512, OUTCOME_BYTES = 24, HEAD_MAX = 40, NODES_MAX = 256 };
enum { CHECK_CALLS = 64, PACED_NS = 10000, ECHO_BYTES = 21, CMD_ID = 1 };
enum { PLACES = 1024, RUNS_MAX = 65536, WAIT_NS = 10000000 };

static const char *path = "";
static uint32_t modules = 1;
static int port, echo_port;
static volatile int64_t end_ns;

static int64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct caller {
  const char *mode;
  uint32_t number;
  uint64_t calls, failed, torn;
  uint64_t by_node[NODES_MAX];
  struct table table;
  struct table_cursors cursors;
  int fd;
  /* Records and outcomes that wait, and since when. */
  uint32_t sender, waiting, outcomes;
  int64_t since_ns;
  uint64_t first;
  unsigned short places[PLACES];
  unsigned char batch[HEAD_MAX + OUTCOMES * OUTCOME_BYTES];
};

static int connect_to(int to) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval wait = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) exit(2);
  return fd;
}

static int write_head(unsigned char *to, int32_t id, int32_t bytes) {
  int32_t head[2] = {id, bytes};
  memcpy(to, head, 8);
  return 8;
}

/* Sends what waits; the head is written so that it ends where the records begin. */
static void flush(struct caller *c) {
  if (c->waiting == 0) return;
  unsigned char body[HEAD_MAX];
  int at = 0, bytes = (int)c->waiting * OUTCOME_BYTES;
  body[at++] = 1 << 3;
  at = write_varint(body, at, c->sender);
  body[at++] = 2 << 3;
  at = write_varint(body, at, c->first);
  body[at++] = 3 << 3 | 2;
  at = write_varint(body, at, (uint64_t)bytes);
  unsigned char *start = c->batch + HEAD_MAX - at - 8;
  write_head(start, 83, at + bytes);
  memcpy(start + 8, body, (size_t)at);
  size_t length = (size_t)(8 + at + bytes);
  if (send(c->fd, start, length, 0) < 0 && errno == ECONNREFUSED) send(c->fd, start, length, 0);
  c->first += c->outcomes;
  c->waiting = c->outcomes = 0;
  c->since_ns = 0;
}

struct record { uint32_t module, cmd, ip, port_and_tag, count, ms; };

/* A success more of a record that waits, which then is a run. */
static inline int add_to_run(struct caller *c, const struct record *one) {
  uint32_t hash = (one->ip ^ one->port_and_tag) * 0x9e3779b1u ^ one->module * 0x85ebca6bu;
  unsigned short *place = &c->places[(hash ^ hash >> 15) >> 8 & (PLACES - 1)];
  uint32_t known = *place;
  *place = (unsigned short)c->waiting;
  if (known >= c->waiting) return 0;
  struct record run;
  unsigned char *at = c->batch + HEAD_MAX + known * OUTCOME_BYTES;
  memcpy(&run, at, sizeof run);
  if (run.ip != one->ip || run.module != one->module) return 0;
  if ((run.port_and_tag & ~0x80000000u) != one->port_and_tag) return 0;
  *place = (unsigned short)known;
  run.count = run.port_and_tag >> 31 ? run.count + 1 : 2;
  run.port_and_tag |= 0x80000000u;
  memcpy(at, &run, sizeof run);
  return 1;
}

/* Every call went well and took 1 ms; the agent is one of this build, and takes runs. */
static inline void report(struct caller *c, uint32_t module, uint64_t entry) {
  struct record one = {module, CMD_ID, (uint32_t)entry, (uint32_t)(entry >> 32), 0, 1};
  if (!add_to_run(c, &one)) {
    memcpy(c->batch + HEAD_MAX + c->waiting * OUTCOME_BYTES, &one, sizeof one);
    c->waiting++;
  }
  if (++c->outcomes == RUNS_MAX || c->waiting == OUTCOMES) flush(c);
}

/* What waits may not wait longer than 10 ms; looked at between two rows of calls. */
static inline void flush_old(struct caller *c, int64_t at_ns) {
  if (c->waiting == 0 || c->since_ns == 0) c->since_ns = at_ns;
  else if (at_ns - c->since_ns >= WAIT_NS) flush(c);
}

/* The writer of table_check.c names nodes so that a torn entry shows. */
static inline void look(struct caller *c, uint32_t module, uint64_t entry) {
  uint32_t ip = (uint32_t)entry, node = ip & 0xff;
  uint32_t wanted = 10000 + (module * 31 + node * 7) % 50000;
  if (ip >> 24 != 10 || (ip >> 8 & 0xffff) != module || ((uint32_t)(entry >> 32) & 0xffff) != wanted)
    c->torn++;
  c->by_node[node]++;
}

static void walk_table(struct caller *c) {
  int paced = strcmp(c->mode, "paced") == 0, checks = strcmp(c->mode, "check") == 0;
  int reports = paced || strcmp(c->mode, "table") == 0;
  int64_t start = now_ns(CLOCK_MONOTONIC);
  uint32_t module = c->number * 37 % modules;
  uint64_t looked_ms = 0;
  for (;;) {
    /* A coarse clock now and then; a caller that picks seldom reads it at each pick. */
    uint64_t now_ms = monotonic_ms(CLOCK_MONOTONIC_COARSE);
    if (now_ms - looked_ms >= 100) {
      looked_ms = now_ms;
      if (!table_usable(&c->table, now_ms)) { c->failed++; return; }
      if (now_ns(CLOCK_MONOTONIC) >= end_ns) return;
    }
    for (int i = 0; i < CHECK_CALLS; i++) {
      module = module == modules ? 1 : module + 1;
      int64_t slot = table_slot(&c->table, module, CMD_ID);
      uint64_t entry = slot < 0 ? 0 : table_pick(&c->table, &c->cursors, (uint32_t)slot);
      if (entry == 0) c->failed++;
      else if (reports) report(c, module, entry);
      else if (checks) look(c, module, entry);
    }
    c->calls += CHECK_CALLS;
    int64_t due = start + (int64_t)c->calls * PACED_NS;
    while (paced && now_ns(CLOCK_MONOTONIC) < due) usleep(500);
    if (reports) flush_old(c, now_ns(CLOCK_MONOTONIC_COARSE));
  }
}

static int field(unsigned char *to, int at, int number, uint32_t value) {
  to[at++] = (unsigned char)(number << 3);
  return write_varint(to, at, (uint64_t)(int64_t)(int32_t)value);
}

/* The node of an answer as its field 5 has it; 0: no node. */
static int node_of(const unsigned char *in, int length, const unsigned char **node) {
  for (int at = 8; at < length;) {
    uint64_t tag, value;
    if ((at = read_varint(in, at, length, &tag)) < 0) return 0;
    if ((at = read_varint(in, at, length, &value)) < 0) return 0;
    if ((tag & 7) != 2) continue;
    if (value > (uint64_t)(length - at)) return 0;
    *node = in + at;
    if (tag >> 3 == 5) return (int)value;
    at += (int)value;
  }
  return 0;
}

static void ask(struct caller *c) {
  int lines[3];
  for (int i = 0; i < 3; i++) lines[i] = connect_to(port + i);
  uint32_t seq = c->number << 24;
  while (now_ns(CLOCK_MONOTONIC) < end_ns) {
    uint32_t module = (uint32_t)(c->calls++ % modules) + 1;
    int fd = lines[(module + CMD_ID) % 3];
    unsigned char out[128], in[256];
    int at = field(out, 8, 1, ++seq);
    at = field(out, field(out, at, 2, module), 3, CMD_ID);
    write_head(out, 4, at - 8);
    send(fd, out, (size_t)at, 0);
    ssize_t got = recv(fd, in, sizeof in, 0);
    const unsigned char *node = NULL;
    int bytes = got > 8 ? node_of(in, (int)got, &node) : 0;
    if (bytes == 0) { c->failed++; continue; }
    at = field(out, field(out, 8, 1, module), 2, CMD_ID);
    out[at++] = 3 << 3 | 2;
    out[at++] = (unsigned char)bytes;
    memcpy(out + at, node, (size_t)bytes);
    at = field(out, at + bytes, 5, 1);
    write_head(out, 6, at - 8);
    send(fd, out, (size_t)at, 0);
  }
  for (int i = 0; i < 3; i++) close(lines[i]);
}

static void bounce(struct caller *c) {
  int fd = connect_to(echo_port);
  unsigned char out[ECHO_BYTES] = {4, 0, 0, 0, ECHO_BYTES - 8}, in[256];
  while (now_ns(CLOCK_MONOTONIC) < end_ns) {
    send(fd, out, sizeof out, 0);
    c->failed += recv(fd, in, sizeof in, 0) != ECHO_BYTES;
    c->calls++;
  }
  close(fd);
}

static void *run(void *argument) {
  struct caller *c = argument;
  if (strcmp(c->mode, "udp") == 0) return ask(c), NULL;
  if (strcmp(c->mode, "echo") == 0) return bounce(c), NULL;
  uint64_t chance = (uint64_t)now_ns(CLOCK_MONOTONIC) * 2654435761u + c->number * 7919u + (uint64_t)getpid();
  if (table_open(&c->table, path) != 0 || cursors_make(&c->cursors, &c->table, chance) != 0) {
    c->failed++;
    return NULL;
  }
  c->fd = connect_to(port);
  c->sender = (uint32_t)(chance >> 16) | 1;
  walk_table(c);
  flush(c);
  close(c->fd);
  free(c->cursors.next);
  table_close(&c->table);
  return NULL;
}

static void measure(const char *mode, int threads, int64_t ms) {
  static struct caller all[THREADS_MAX];
  pthread_t ids[THREADS_MAX];
  memset(all, 0, sizeof all);
  int64_t start = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  end_ns = start + ms * 1000000;
  for (int i = 0; i < threads; i++) {
    all[i].mode = mode;
    all[i].number = (uint32_t)i;
    if (pthread_create(&ids[i], NULL, run, &all[i]) != 0) exit(2);
  }
  struct caller sum = {0};
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    sum.calls += all[i].calls;
    sum.failed += all[i].failed;
    sum.torn += all[i].torn;
    for (int node = 0; node < NODES_MAX; node++) sum.by_node[node] += all[i].by_node[node];
  }
  double took = (double)(now_ns(CLOCK_MONOTONIC) - start);
  double used = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  double calls = sum.calls > 0 ? (double)sum.calls : 1;
  printf("{\"mode\":\"%s\",\"threads\":%d,\"calls\":%llu,\"failed\":%llu,\"torn\":%llu,"
         "\"ns\":%.2f,\"cpuNs\":%.2f,\"byNode\":[",
         mode, threads, (unsigned long long)sum.calls, (unsigned long long)sum.failed,
         (unsigned long long)sum.torn, took * threads / calls, used / calls);
  for (int node = 0, started = 0; node < NODES_MAX; node++) {
    if (sum.by_node[node] == 0) continue;
    printf("%s[%d,%llu]", started++ ? "," : "", node, (unsigned long long)sum.by_node[node]);
  }
  printf("]}\n");
  fflush(stdout);
}

int main(int count, char **words) {
  for (int i = 1; i < count; i++) {
    const char *value = strchr(words[i], '=');
    if (value == NULL) return 2;
    value++;
    if (strncmp(words[i], "port=", 5) == 0) port = atoi(value);
    else if (strncmp(words[i], "table=", 6) == 0) path = value;
    else if (strncmp(words[i], "modules=", 8) == 0) modules = (uint32_t)strtoul(value, NULL, 10);
    else if (strncmp(words[i], "echo=", 5) == 0) echo_port = atoi(value);
  }
  if (modules < 1) return 2;
  char line[128], mode[16];
  int threads;
  long ms;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%15s %d %ld", mode, &threads, &ms) != 3) return 2;
    if (threads < 1 || threads > THREADS_MAX || ms < 1) return 2;
    measure(mode, threads, ms);
  }
  return 0;
}
