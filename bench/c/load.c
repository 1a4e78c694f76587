// Shell. Load for agents over UDP; every answer is decoded and compared with its question.

/*
 *   load MODE key=value... [-- PROGRAM ARGUMENT...]
 *
 * closed  `window` questions in flight for `ms`; with report=1 each answer is followed by a report;
 *         with plain=1 by sendto and recvfrom, as a synchronous caller would.
 * open    one question every 1/`rate` s, whether answers come or not; latency counts from the time
 *         at which the question was due.
 * prime   asks for each module, one at a time, until it is answered with a node.
 * clock   tells the processor time that `pid` has used so far.
 * first   starts PROGRAM and tells after how many ms it gave its first node, then ends it.
 *
 * Keys: host (127.0.0.1), port, ports (1 or 3), modules (ids 1 to n, cmdid 1), window, ms, warmup,
 * rate, report, plain, echo (answers are the questions themselves), pid (whose CPU time is taken).
 * Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "varint.h"

enum { WINDOW_MAX = 1024, DATAGRAM_BYTES = 256, PENDING = 1 << 16, LATENCIES_MAX = 1 << 22 };
enum { SILENCE_MS = 200, CMD_ID = 1 };

typedef struct {
  uint32_t seq, mod_id, cmd_id, retcode, ip, port;
  int has_host;
} Answer;

static const char *host = "127.0.0.1";
static int port, ports = 1, modules = 1, window = 16, duration_ms = 500, warmup_ms = 50, rate = 1000;
static int with_report, plain, echo, pid;
static int fd;
static struct sockaddr_in to[3];
static uint32_t next_module;
static long ok, lost, wrong;
static clockid_t server_clock;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* CPU time of the server, all threads; -1 when unknown. */
static double server_cpu(void) {
  struct timespec t;
  if (pid == 0 || clock_gettime(server_clock, &t) != 0) return -1;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int write_field(unsigned char *bytes, int at, int number, uint32_t value) {
  bytes[at++] = (unsigned char)(number << 3);
  return write_varint(bytes, at, (uint64_t)(int64_t)(int32_t)value); /* int32: sign-extended */
}

static int finish(unsigned char *bytes, int32_t msg_id, int end) {
  int32_t head[2] = {msg_id, end - 8};
  memcpy(bytes, head, 8);
  return end;
}

static int write_get(unsigned char *bytes, uint32_t seq, uint32_t mod_id) {
  bytes[8] = 1 << 3;
  int at = write_varint(bytes, 9, seq);
  at = write_field(bytes, at, 2, mod_id);
  at = write_field(bytes, at, 3, CMD_ID);
  return finish(bytes, 4, at);
}

static int write_report(unsigned char *bytes, const Answer *answer) {
  int at = write_field(bytes, 8, 1, answer->mod_id);
  at = write_field(bytes, at, 2, answer->cmd_id);
  bytes[at++] = 3 << 3 | 2;
  int length_at = at++;
  at = write_field(bytes, at, 1, answer->ip);
  at = write_field(bytes, at, 2, answer->port);
  bytes[length_at] = (unsigned char)(at - length_at - 1);
  return finish(bytes, 6, write_field(bytes, at, 4, 0));
}

static int read_host(const unsigned char *bytes, int at, int end, Answer *answer) {
  while (at < end) {
    uint64_t tag, value;
    if ((at = read_varint(bytes, at, end, &tag)) < 0 || (tag & 7) != 0) return 0;
    if ((at = read_varint(bytes, at, end, &value)) < 0) return 0;
    if (tag >> 3 == 1) answer->ip = (uint32_t)value;
    if (tag >> 3 == 2) answer->port = (uint32_t)value;
  }
  answer->has_host = 1;
  return 1;
}

static int read_answer(const unsigned char *bytes, int length, Answer *answer) {
  int32_t head[2];
  memset(answer, 0, sizeof *answer);
  if (length < 8) return 0;
  memcpy(head, bytes, 8);
  if (head[0] != (echo ? 4 : 5) || head[1] != length - 8) return 0;
  for (int at = 8; at < length;) {
    uint64_t tag, value;
    if ((at = read_varint(bytes, at, length, &tag)) < 0) return 0;
    if ((at = read_varint(bytes, at, length, &value)) < 0) return 0;
    int number = (int)(tag >> 3);
    if ((tag & 7) == 2) {
      if (value > (uint64_t)(length - at)) return 0;
      if (number == 5 && !read_host(bytes, at, at + (int)value, answer)) return 0;
      at += (int)value;
    } else if ((tag & 7) != 0) {
      return 0;
    } else if (number == 1) answer->seq = (uint32_t)value;
    else if (number == 2) answer->mod_id = (uint32_t)value;
    else if (number == 3) answer->cmd_id = (uint32_t)value;
    else if (number == 4) answer->retcode = (uint32_t)value;
  }
  return 1;
}

/* The whole answer: a node, of the module that was asked for. */
static int is_good(const Answer *answer, uint32_t mod_id) {
  return answer->mod_id == mod_id && answer->cmd_id == CMD_ID && answer->retcode == 0 &&
         (echo || (answer->has_host && answer->ip != 0 && answer->port != 0));
}

static struct sockaddr_in *address_of(uint32_t mod_id) {
  return &to[ports == 3 ? (mod_id + CMD_ID) % 3 : 0];
}

static uint32_t take_module(void) {
  uint32_t mod_id = 1 + next_module;
  next_module = next_module + 1 == (uint32_t)modules ? 0 : next_module + 1;
  return mod_id;
}

static unsigned char out_bytes[2 * WINDOW_MAX][DATAGRAM_BYTES];
static unsigned char in_bytes[WINDOW_MAX][DATAGRAM_BYTES];
static struct mmsghdr out[2 * WINDOW_MAX], in[WINDOW_MAX];
static struct iovec out_parts[2 * WINDOW_MAX], in_parts[WINDOW_MAX];
static uint32_t slot_seq[WINDOW_MAX], slot_module[WINDOW_MAX];
static int out_count;

static void queue(int bytes, uint32_t mod_id) {
  out_parts[out_count] = (struct iovec){out_bytes[out_count], (size_t)bytes};
  out[out_count].msg_hdr = (struct msghdr){.msg_name = address_of(mod_id),
    .msg_namelen = sizeof(struct sockaddr_in), .msg_iov = &out_parts[out_count], .msg_iovlen = 1};
  out_count++;
}

static void send_queued(void) {
  for (int at = 0; at < out_count;) {
    int gone = 1;
    if (plain) {
      sendto(fd, out_parts[at].iov_base, out_parts[at].iov_len, 0, out[at].msg_hdr.msg_name,
             sizeof(struct sockaddr_in));
    } else {
      gone = sendmmsg(fd, out + at, (unsigned)(out_count - at), 0);
    }
    at += gone > 0 ? gone : 1;
  }
  out_count = 0;
}

/* A new question in this slot: seq modulo window is the slot. */
static void ask(int slot) {
  slot_seq[slot] += (uint32_t)window;
  slot_module[slot] = take_module();
  queue(write_get(out_bytes[out_count], slot_seq[slot], slot_module[slot]), slot_module[slot]);
}

static int receive(void) {
  if (!plain) return recvmmsg(fd, in, (unsigned)window, MSG_WAITFORONE, NULL);
  ssize_t got = recvfrom(fd, in_bytes[0], DATAGRAM_BYTES, 0, NULL, NULL);
  in[0].msg_len = got < 0 ? 0 : (unsigned)got;
  return got < 0 ? -1 : 1;
}

static void take_answers(int count) {
  for (int i = 0; i < count; i++) {
    Answer answer;
    int slot = -1;
    if (read_answer(in_bytes[i], (int)in[i].msg_len, &answer)) slot = (int)(answer.seq % (uint32_t)window);
    if (slot < 0) { wrong++; continue; }
    if (slot_seq[slot] != answer.seq) continue; /* late: already counted as lost */
    if (is_good(&answer, slot_module[slot])) ok++; else wrong++;
    if (with_report && answer.has_host) queue(write_report(out_bytes[out_count], &answer), answer.mod_id);
    ask(slot);
  }
}

static void print_result(double seconds, double cpu, double p50, double p99) {
  printf("{\"ok\":%ld,\"lost\":%ld,\"wrong\":%ld,\"seconds\":%.6f,\"cpuSeconds\":%.9f,"
         "\"p50us\":%.3f,\"p99us\":%.3f}\n", ok, lost, wrong, seconds, cpu, p50, p99);
}

static void run_closed(void) {
  struct timeval silence = {0, SILENCE_MS * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  for (int i = 0; i < window; i++) {
    slot_seq[i] = (uint32_t)i;
    in_parts[i] = (struct iovec){in_bytes[i], DATAGRAM_BYTES};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
    ask(i);
  }
  send_queued();
  int64_t start = now_ns() + (int64_t)warmup_ms * 1000000, end = 0;
  double cpu = -1;
  int64_t now = now_ns();
  while (end == 0 || now < end) {
    int got = receive();
    if (got <= 0) {
      lost += window;
      for (int i = 0; i < window; i++) ask(i);
    } else {
      take_answers(got);
    }
    send_queued();
    now = now_ns();
    if (end == 0 && now >= start) {
      cpu = server_cpu();
      ok = lost = wrong = 0;
      start = now;
      end = now + (int64_t)duration_ms * 1000000;
    }
  }
  double cpu_end = server_cpu();
  print_result((double)(now - start) / 1e9, cpu < 0 ? -1 : cpu_end - cpu, 0, 0);
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void run_open(void) {
  static int64_t due[PENDING];
  static uint32_t asked[PENDING], latencies[LATENCIES_MAX];
  int64_t interval = 1000000000 / rate;
  int64_t start = now_ns() + (int64_t)warmup_ms * 1000000;
  int64_t next = now_ns(), end = start + (int64_t)duration_ms * 1000000;
  uint32_t seq = 0, first = 0;
  long sent = 0, count = 0;
  double cpu = -1, cpu_end = -1;
  int measuring = 0;
  for (;;) {
    int64_t now = now_ns();
    if (!measuring && now >= start) { cpu = server_cpu(); measuring = 1; first = seq; start = now; }
    if (now >= end && cpu_end < 0) cpu_end = server_cpu();
    if (now >= end + SILENCE_MS * 1000000ll || (now >= end && ok + wrong >= sent)) break;
    if (now >= next && now < end) {
      uint32_t mod_id = take_module();
      due[seq % PENDING] = next;
      asked[seq % PENDING] = mod_id;
      int bytes = write_get(out_bytes[0], seq, mod_id);
      sendto(fd, out_bytes[0], (size_t)bytes, 0, (struct sockaddr *)address_of(mod_id), sizeof to[0]);
      if (measuring) sent++;
      seq++;
      next += interval;
    }
    ssize_t got = recv(fd, in_bytes[0], DATAGRAM_BYTES, MSG_DONTWAIT);
    if (got < 0) continue;
    Answer answer;
    if (!read_answer(in_bytes[0], (int)got, &answer)) { wrong++; continue; }
    if (!measuring || answer.seq < first) continue;
    if (!is_good(&answer, asked[answer.seq % PENDING])) { wrong++; continue; }
    ok++;
    if (count < LATENCIES_MAX) latencies[count++] = (uint32_t)(now_ns() - due[answer.seq % PENDING]);
  }
  lost = sent - ok - wrong;
  qsort(latencies, (size_t)count, sizeof latencies[0], compare);
  double p50 = count ? latencies[count / 2] / 1e3 : 0;
  double p99 = count ? latencies[count * 99 / 100] / 1e3 : 0;
  print_result((double)(end - start) / 1e9, cpu < 0 ? -1 : cpu_end - cpu, p50, p99);
}

/* Asks until the module is answered with a node, every `pause_ms`, until `deadline`. */
static int ask_until(uint32_t mod_id, int pause_ms, int64_t deadline) {
  static uint32_t seq = 1u << 31;
  while (now_ns() < deadline) {
    int bytes = write_get(out_bytes[0], ++seq, mod_id);
    sendto(fd, out_bytes[0], (size_t)bytes, 0, (struct sockaddr *)address_of(mod_id), sizeof to[0]);
    int64_t again = now_ns() + (int64_t)pause_ms * 1000000;
    while (now_ns() < again) {
      struct pollfd wait = {fd, POLLIN, 0};
      if (poll(&wait, 1, pause_ms) <= 0) continue;
      Answer answer;
      ssize_t got = recv(fd, in_bytes[0], DATAGRAM_BYTES, MSG_DONTWAIT);
      if (got < 0 || !read_answer(in_bytes[0], (int)got, &answer)) continue;
      if (answer.mod_id == mod_id && is_good(&answer, mod_id)) return 1;
      if (answer.seq == seq) { /* an answer without a node: the route is on its way */
        usleep((unsigned)pause_ms * 1000);
        break;
      }
    }
  }
  return 0;
}

static void run_prime(void) {
  int64_t start = now_ns(), deadline = start + (int64_t)duration_ms * 1000000;
  for (int i = 0; i < modules; i++) {
    if (ask_until(take_module(), 5, deadline)) ok++; else lost++;
  }
  print_result((double)(now_ns() - start) / 1e9, -1, 0, 0);
}

static void run_first(char **program) {
  int64_t start = now_ns();
  pid_t child = fork();
  if (child == 0) {
    freopen("/dev/null", "w", stdout);
    execvp(program[0], program);
    _exit(127);
  }
  if (ask_until(take_module(), 1, start + (int64_t)duration_ms * 1000000)) ok++; else lost++;
  int64_t end = now_ns();
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  print_result((double)(end - start) / 1e9, -1, 0, 0);
}

static void read_key(const char *word) {
  static const struct { const char *name; int *value; } keys[] = {
    {"port", &port}, {"ports", &ports}, {"modules", &modules}, {"window", &window},
    {"ms", &duration_ms}, {"warmup", &warmup_ms}, {"rate", &rate}, {"report", &with_report},
    {"plain", &plain}, {"echo", &echo}, {"pid", &pid},
  };
  const char *value = strchr(word, '=');
  size_t length = value == NULL ? 0 : (size_t)(value - word);
  if (length == 4 && strncmp(word, "host", 4) == 0) { host = value + 1; return; }
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    if (strlen(keys[i].name) == length && strncmp(word, keys[i].name, length) == 0) {
      *keys[i].value = atoi(value + 1);
      return;
    }
  }
  fprintf(stderr, "unknown key: %s\n", word);
  exit(2);
}

int main(int count, char **words) {
  int at = 2;
  for (; at < count && strcmp(words[at], "--") != 0; at++) read_key(words[at]);
  if (count < 2 || window < 1 || window > WINDOW_MAX || modules < 1 || rate < 1) return 2;
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  int bytes = 1 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  for (int i = 0; i < 3; i++) {
    to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(port + i))};
    if (inet_pton(AF_INET, host, &to[i].sin_addr) != 1) return 2;
  }
  if (pid != 0 && clock_getcpuclockid(pid, &server_clock) != 0) pid = 0;
  if (strcmp(words[1], "closed") == 0) run_closed();
  else if (strcmp(words[1], "open") == 0) run_open();
  else if (strcmp(words[1], "prime") == 0) run_prime();
  else if (strcmp(words[1], "clock") == 0) print_result(0, server_cpu(), 0, 0);
  else if (strcmp(words[1], "first") == 0 && at + 1 < count) run_first(words + at + 1);
  else return fprintf(stderr, "load closed|open|prime|clock|first key=value...\n"), 2;
  return 0;
}
