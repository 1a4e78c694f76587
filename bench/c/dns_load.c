// Shell. Load for name servers over UDP; every answer is compared with its question.

/*
 *   dns_load MODE key=value...
 *
 * closed  `window` questions in flight for `ms`.
 * open    one question every 1/`rate` s, whether answers come or not; latency counts from the time
 *         at which the question was due.
 *
 * Keys: host (127.0.0.1), port, names (asked for are m1.ZONE to mN.ZONE, type A, in turn), zone (lars),
 * nodes (answers each must have), window, ms, warmup, rate, pid (whose CPU time is taken).
 * Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, QUESTION_BYTES = 128, ANSWER_BYTES = 4096, SLOTS = 1 << 16, LATENCIES_MAX = 1 << 22 };
enum { SILENCE_MS = 200 };

static const char *host = "127.0.0.1", *zone = "lars";
static int port, names = 1, nodes = 1, window = 64, duration_ms = 500, warmup_ms = 50, rate = 1000, pid;
static int fd;
static uint16_t next_id;
static int next_name;
static long ok, wrong, sent, measured_from;
static clockid_t server_clock;
static int64_t sent_at[SLOTS];
static int asked[SLOTS];
static uint32_t latencies[LATENCIES_MAX];
static long latency_count;

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

static int put_label(unsigned char *bytes, int at, const char *text) {
  int length = (int)strlen(text);
  bytes[at] = (unsigned char)length;
  memcpy(bytes + at + 1, text, (size_t)length);
  return at + 1 + length;
}

/* A question for type A with EDNS, 1232 bytes; its length. */
static int write_question(unsigned char *bytes, int64_t due_ns) {
  char label[16];
  uint16_t id = next_id++;
  next_name = next_name % names + 1;
  sent_at[id] = due_ns;
  asked[id] = next_name;
  static const unsigned char head[12] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1};
  static const unsigned char tail[] = {0, 0, 1, 0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0};
  memcpy(bytes, head, sizeof head);
  bytes[0] = (unsigned char)(id >> 8);
  bytes[1] = (unsigned char)id;
  snprintf(label, sizeof label, "m%d", next_name);
  int at = put_label(bytes, 12, label);
  at = put_label(bytes, at, zone);
  memcpy(bytes + at, tail, sizeof tail);
  sent++;
  return at + (int)sizeof tail;
}

static void take_answer(const unsigned char *bytes, int length, int64_t now) {
  if (length < 13) {
    wrong++;
    return;
  }
  uint16_t id = (uint16_t)(bytes[0] << 8 | bytes[1]);
  char label[16];
  int label_length = snprintf(label, sizeof label, "m%d", asked[id]);
  int is_right = sent_at[id] != 0 && (bytes[2] & 0x80) != 0 && (bytes[2] & 2) == 0 &&
      (bytes[3] & 15) == 0 && (bytes[6] << 8 | bytes[7]) == nodes && bytes[12] == label_length &&
      13 + label_length < length && memcmp(bytes + 13, label, (size_t)label_length) == 0;
  if (!is_right) {
    wrong++;
    return;
  }
  if (latency_count < LATENCIES_MAX) {
    latencies[latency_count++] = (uint32_t)((now - sent_at[id]) / 1000);
  }
  sent_at[id] = 0;
  ok++;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static struct mmsghdr in_heads[BATCH], out_heads[BATCH];
static struct iovec in_vectors[BATCH], out_vectors[BATCH];
static unsigned char in_bytes[BATCH][ANSWER_BYTES], out_bytes[BATCH][QUESTION_BYTES];

static void prepare(void) {
  for (int i = 0; i < BATCH; i++) {
    in_vectors[i] = (struct iovec){in_bytes[i], ANSWER_BYTES};
    out_vectors[i] = (struct iovec){out_bytes[i], 0};
    in_heads[i].msg_hdr.msg_iov = &in_vectors[i];
    in_heads[i].msg_hdr.msg_iovlen = 1;
    out_heads[i].msg_hdr.msg_iov = &out_vectors[i];
    out_heads[i].msg_hdr.msg_iovlen = 1;
  }
}

static void ask(int count, int64_t due_ns, int64_t step_ns) {
  while (count > 0) {
    int some = count < BATCH ? count : BATCH;
    for (int i = 0; i < some; i++, due_ns += step_ns) {
      out_vectors[i].iov_len = (size_t)write_question(out_bytes[i], due_ns);
    }
    for (int done = 0; done < some;) {
      int now_sent = sendmmsg(fd, out_heads + done, (unsigned)(some - done), 0);
      done += now_sent > 0 ? now_sent : 1;
    }
    count -= some;
  }
}

/* Takes what is there within `wait_ms`; how many came. */
static int receive(int wait_ms) {
  struct pollfd one = {fd, POLLIN, 0};
  if (poll(&one, 1, wait_ms) <= 0) return 0;
  int count = recvmmsg(fd, in_heads, BATCH, MSG_DONTWAIT, NULL);
  int64_t now = now_ns();
  for (int i = 0; i < count; i++) take_answer(in_bytes[i], (int)in_heads[i].msg_len, now);
  return count > 0 ? count : 0;
}

static double cpu_from;
static int64_t begun_ns;

static void begin_measuring(void) {
  ok = wrong = latency_count = 0;
  measured_from = sent;
  cpu_from = server_cpu();
  begun_ns = now_ns();
}

static void run_closed(void) {
  int64_t warm_ns = now_ns() + (int64_t)warmup_ms * 1000000;
  int64_t end_ns = warm_ns + (int64_t)duration_ms * 1000000;
  int is_warm = 0;
  ask(window, now_ns(), 0);
  for (;;) {
    int count = receive(SILENCE_MS);
    int64_t now = now_ns();
    if (!is_warm && now >= warm_ns) {
      is_warm = 1;
      begin_measuring();
    }
    if (now >= end_ns) break;
    ask(count > 0 ? count : window, now, 0); /* silence: what was lost is asked anew */
  }
}

static void run_open(void) {
  int64_t step_ns = 1000000000 / rate;
  int64_t warm_ns = now_ns() + (int64_t)warmup_ms * 1000000;
  int64_t end_ns = warm_ns + (int64_t)duration_ms * 1000000;
  int64_t due_ns = now_ns();
  int is_warm = 0;
  for (;;) {
    int64_t now = now_ns();
    if (!is_warm && now >= warm_ns) {
      is_warm = 1;
      begin_measuring();
    }
    if (now >= end_ns) break;
    if (now >= due_ns) {
      int count = (int)((now - due_ns) / step_ns) + 1;
      if (count > BATCH) count = BATCH;
      ask(count, due_ns, step_ns);
      due_ns += count * step_ns;
    }
    receive(0);
  }
  while (receive(20) > 0) {
  }
}

int main(int argc, char **argv) {
  for (int i = 2; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) return 2;
    *value++ = 0;
    if (strcmp(argv[i], "host") == 0) host = value;
    if (strcmp(argv[i], "zone") == 0) zone = value;
    if (strcmp(argv[i], "port") == 0) port = atoi(value);
    if (strcmp(argv[i], "names") == 0) names = atoi(value);
    if (strcmp(argv[i], "nodes") == 0) nodes = atoi(value);
    if (strcmp(argv[i], "window") == 0) window = atoi(value);
    if (strcmp(argv[i], "ms") == 0) duration_ms = atoi(value);
    if (strcmp(argv[i], "warmup") == 0) warmup_ms = atoi(value);
    if (strcmp(argv[i], "rate") == 0) rate = atoi(value);
    if (strcmp(argv[i], "pid") == 0) pid = atoi(value);
  }
  if (argc < 2 || port == 0 || rate < 1) return 2;
  if (pid != 0 && clock_getcpuclockid(pid, &server_clock) != 0) pid = 0;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return 1;
  prepare();
  if (strcmp(argv[1], "open") == 0) run_open();
  else run_closed();
  double seconds = (double)(now_ns() - begun_ns) / 1e9;
  double cpu = server_cpu() - cpu_from;
  qsort(latencies, (size_t)latency_count, sizeof latencies[0], compare);
  long p50 = latency_count > 0 ? latencies[latency_count / 2] : 0;
  long p99 = latency_count > 0 ? latencies[latency_count * 99 / 100] : 0;
  printf("{\"ok\":%ld,\"wrong\":%ld,\"lost\":%ld,\"seconds\":%.6f,\"cpuSeconds\":%.6f,"
         "\"p50us\":%ld,\"p99us\":%ld}\n",
      ok, wrong, sent - measured_from - ok - wrong, seconds, pid == 0 ? -1.0 : cpu, p50, p99);
  return 0;
}
