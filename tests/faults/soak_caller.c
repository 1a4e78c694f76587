// Shell. The callers of a soak: a steady rate of questions, a report for each answer, and a check of each.

/*
 *   soak_caller PORT MODULES RATE
 *
 * Modules have the ids 11 to 10 + MODULES and cmdid 1; each node of module m is 10.m.x.y:7000. Prints a line
 * of JSON each second. An answer is wrong when it is no answer, when it names a module that was not
 * asked for, or a node of another module; lost when it has not come within a second, late when
 * it comes after that.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <poll.h>

#include "../../bench/c/varint.h"

enum { BATCH = 64, BYTES = 256, PENDING = 1 << 17, CMD_ID = 1, NODE_PORT = 7000, FIRST_MODULE = 11 };
/* One call in so many fails, so that nodes are judged. */
enum { FAILURE_EVERY = 97 };
#define SECOND 1000000000ll
/* Of a late turn so much is made up for. */
#define LATE_MAX (50 * 1000000ll)

typedef struct { uint32_t seq, mod_id, cmd_id, retcode, ip, port; int has_host; } Answer;

static int fd;
static struct sockaddr_in to[3];
static int64_t sent_at[PENDING];
static uint32_t asked[PENDING]; /* 0: answered, or given up */
static uint32_t latencies[PENDING];
static long asked_count, ok, lost, late, refused, wrong, calls, latency_count;

static unsigned char out_bytes[2 * BATCH][BYTES], in_bytes[BATCH][BYTES];
static struct mmsghdr out[2 * BATCH], in[BATCH];
static struct iovec out_parts[2 * BATCH], in_parts[BATCH];
static int out_count;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int write_field(unsigned char *bytes, int at, int number, uint32_t value) {
  bytes[at++] = (unsigned char)(number << 3);
  return write_varint(bytes, at, (uint64_t)(int64_t)(int32_t)value); /* int32: sign-extended */
}

static void send_queued(void) {
  for (int at = 0; at < out_count;) {
    int gone = sendmmsg(fd, out + at, (unsigned)(out_count - at), 0);
    at += gone > 0 ? gone : 1;
  }
  out_count = 0;
}

static void queue(int32_t msg_id, int end, uint32_t mod_id) {
  int32_t head[2] = {msg_id, end - 8};
  memcpy(out_bytes[out_count], head, 8);
  out_parts[out_count] = (struct iovec){out_bytes[out_count], (size_t)end};
  out[out_count].msg_hdr = (struct msghdr){.msg_name = &to[(mod_id + CMD_ID) % 3],
    .msg_namelen = sizeof to[0], .msg_iov = &out_parts[out_count], .msg_iovlen = 1};
  if (++out_count == 2 * BATCH) send_queued();
}

static void ask(uint32_t seq, uint32_t mod_id, int64_t now) {
  unsigned char *bytes = out_bytes[out_count];
  bytes[8] = 1 << 3;
  int at = write_varint(bytes, 9, seq);
  at = write_field(bytes, at, 2, mod_id);
  at = write_field(bytes, at, 3, CMD_ID);
  sent_at[seq % PENDING] = now;
  asked[seq % PENDING] = mod_id;
  asked_count++;
  queue(4, at, mod_id);
}

static void report(const Answer *answer) {
  unsigned char *bytes = out_bytes[out_count];
  int at = write_field(bytes, 8, 1, answer->mod_id);
  at = write_field(bytes, at, 2, answer->cmd_id);
  bytes[at++] = 3 << 3 | 2;
  int length_at = at++;
  at = write_field(bytes, at, 1, answer->ip);
  at = write_field(bytes, at, 2, answer->port);
  bytes[length_at] = (unsigned char)(at - length_at - 1);
  at = write_field(bytes, at, 4, ++calls % FAILURE_EVERY == 0 ? 1 : 0);
  queue(6, write_field(bytes, at, 5, 5), answer->mod_id);
}

static int read_fields(const unsigned char *bytes, int at, int end, Answer *answer, int is_host) {
  while (at < end) {
    uint64_t tag, value;
    if ((at = read_varint(bytes, at, end, &tag)) < 0) return 0;
    if ((at = read_varint(bytes, at, end, &value)) < 0) return 0;
    int number = (int)(tag >> 3);
    if ((tag & 7) == 2) {
      if (value > (uint64_t)(end - at)) return 0;
      if (!is_host && number == 5) {
        answer->has_host = 1;
        if (!read_fields(bytes, at, at + (int)value, answer, 1)) return 0;
      }
      at += (int)value;
    } else if ((tag & 7) != 0) {
      return 0;
    } else if (is_host) {
      if (number == 1) answer->ip = (uint32_t)value;
      if (number == 2) answer->port = (uint32_t)value;
    } else if (number == 1) answer->seq = (uint32_t)value;
    else if (number == 2) answer->mod_id = (uint32_t)value;
    else if (number == 3) answer->cmd_id = (uint32_t)value;
    else if (number == 4) answer->retcode = (uint32_t)value;
  }
  return 1;
}

static int read_answer(const unsigned char *bytes, int length, Answer *answer) {
  int32_t head[2];
  memset(answer, 0, sizeof *answer);
  if (length < 8) return 0;
  memcpy(head, bytes, 8);
  return head[0] == 5 && head[1] == length - 8 && read_fields(bytes, 8, length, answer, 0);
}

static void take(const unsigned char *bytes, int length, int64_t now) {
  Answer answer;
  if (!read_answer(bytes, length, &answer)) { wrong++; return; }
  uint32_t slot = answer.seq % PENDING, mod_id = asked[slot];
  if (mod_id == 0) { late++; return; } /* given up before */
  asked[slot] = 0;
  if (answer.mod_id != mod_id || answer.cmd_id != CMD_ID) { wrong++; return; }
  if (answer.retcode != 0) { refused++; return; }
  if (!answer.has_host || answer.port != NODE_PORT || answer.ip >> 16 != (10u << 8 | mod_id)) {
    wrong++;
    return;
  }
  ok++;
  if (latency_count < PENDING) latencies[latency_count++] = (uint32_t)((now - sent_at[slot]) / 1000);
  report(&answer);
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void tell(void) {
  qsort(latencies, (size_t)latency_count, sizeof latencies[0], compare);
  uint32_t p50 = latency_count ? latencies[latency_count / 2] : 0;
  uint32_t p99 = latency_count ? latencies[latency_count * 99 / 100] : 0;
  uint32_t most = latency_count ? latencies[latency_count - 1] : 0;
  printf("{\"asked\":%ld,\"ok\":%ld,\"lost\":%ld,\"late\":%ld,\"refused\":%ld,\"wrong\":%ld,\"p50us\":%u,"
         "\"p99us\":%u,\"maxUs\":%u}\n", asked_count, ok, lost, late, refused, wrong, p50, p99, most);
  fflush(stdout);
  asked_count = ok = lost = late = refused = wrong = latency_count = 0;
}

int main(int count, char **words) {
  if (count != 4) return fprintf(stderr, "soak_caller PORT MODULES RATE\n"), 2;
  int port = atoi(words[1]), rate = atoi(words[3]);
  uint32_t modules = (uint32_t)atoi(words[2]), seq = 0, tail = 0;
  if (rate < 1 || rate > PENDING / 2 || modules < 1 || modules > 240) return 2;
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  for (int i = 0; i < 3; i++) {
    to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(port + i))};
    inet_pton(AF_INET, "127.0.0.1", &to[i].sin_addr);
  }
  for (int i = 0; i < BATCH; i++) {
    in_parts[i] = (struct iovec){in_bytes[i], BYTES};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
  }
  int64_t interval = SECOND / rate, next = now_ns(), told = next;
  for (;;) {
    int64_t now = now_ns();
    if (now - next > LATE_MAX) next = now - LATE_MAX;
    for (; next <= now; next += interval) {
      ask(seq, FIRST_MODULE + seq % modules, now);
      seq++;
    }
    for (int got = BATCH; got == BATCH;) {
      got = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
      for (int i = 0; i < got; i++) take(in_bytes[i], (int)in[i].msg_len, now_ns());
    }
    send_queued();
    for (; tail != seq && now - sent_at[tail % PENDING] > SECOND; tail++) {
      if (asked[tail % PENDING] != 0) { lost++; asked[tail % PENDING] = 0; }
    }
    if (now - told >= SECOND) { tell(); told += SECOND; }
    struct pollfd wait = {fd, POLLIN, 0};
    poll(&wait, 1, 1);
  }
}
