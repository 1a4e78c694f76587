// Shell. Load generator for framed TCP echoes: keeps `window` frames in flight on each of `connections`
// connections for `ms` after `warmup`, checks every answer, and prints what it saw as JSON.
// With window=0 it only opens the connections, says that it is ready, and holds them.
//   tcp_load host=127.0.0.1 port=N connections=N window=N ms=N warmup=N pid=N
// `pid` is the process whose processor time is taken.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY_BYTES = 21, FRAME_BYTES = 8 + BODY_BYTES, READ_BYTES = 65536, EVENTS = 256 };

typedef struct {
  int fd;
  uint32_t answered_bytes;
} peer;

static clockid_t server_clock;
static int server_known = 0;

static double read_s(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static double now_s(void) { return read_s(CLOCK_MONOTONIC); }

static double server_cpu_s(void) { return server_known ? read_s(server_clock) : -1; }

static const char *text_of(int argc, char **argv, const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') return argv[i] + length + 1;
  }
  return otherwise;
}

static int number_of(int argc, char **argv, const char *name) {
  return atoi(text_of(argc, argv, name, "0"));
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int connect_to(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail("host");
  if (fd < 0) fail("socket");
  while (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
    if (errno != EINTR && errno != EAGAIN) fail("connect");
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void send_frames(int fd, const uint8_t *frames, size_t count) {
  size_t bytes = count * FRAME_BYTES;
  while (bytes > 0) {
    ssize_t sent = send(fd, frames, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("send");
    frames += sent;
    bytes -= (size_t)sent;
  }
}

static void allow_files(rlim_t count) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return;
  limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  const char *host = text_of(argc, argv, "host", "127.0.0.1");
  int port = number_of(argc, argv, "port"), connections = number_of(argc, argv, "connections");
  int window = number_of(argc, argv, "window"), pid = number_of(argc, argv, "pid");
  double seconds = number_of(argc, argv, "ms") / 1000.0;
  double warmup = number_of(argc, argv, "warmup") / 1000.0;
  peer *peers = calloc((size_t)connections, sizeof *peers);
  uint8_t *frames = calloc((size_t)(window > 0 ? window : 1), FRAME_BYTES);
  uint8_t *expected = malloc(READ_BYTES + FRAME_BYTES), *buffer = malloc(READ_BYTES);
  int poller = epoll_create1(0);
  uint8_t frame[FRAME_BYTES] = {1, 0, 0, 0, BODY_BYTES, 0, 0, 0};
  for (int i = 8; i < FRAME_BYTES; i++) frame[i] = (uint8_t)(i * 7);
  for (int i = 0; i < READ_BYTES + FRAME_BYTES; i++) expected[i] = frame[i % FRAME_BYTES];
  server_known = pid != 0 && clock_getcpuclockid(pid, &server_clock) == 0;
  allow_files((rlim_t)connections + 64);
  for (int i = 0; i < connections; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
    peers[i].fd = connect_to(host, port);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, peers[i].fd, &event) != 0) fail("epoll_ctl");
  }
  if (window == 0) {
    printf("{\"event\":\"ready\",\"addresses\":[]}\n");
    fflush(stdout);
    pause();
    return 0;
  }
  for (int i = 0; i < window; i++) memcpy(frames + i * FRAME_BYTES, frame, FRAME_BYTES);
  for (int i = 0; i < connections; i++) send_frames(peers[i].fd, frames, (size_t)window);
  double start = now_s() + warmup, at = 0, cpu = -1, end = start + seconds;
  long answers = 0;
  int measuring = 0;
  while ((at = now_s()) < end) {
    struct epoll_event events[EVENTS];
    if (!measuring && at >= start) measuring = 1, answers = 0, start = at, cpu = server_cpu_s();
    int ready = epoll_wait(poller, events, EVENTS, 100);
    for (int i = 0; i < ready; i++) {
      peer *one = events[i].data.ptr;
      ssize_t got = recv(one->fd, buffer, READ_BYTES, 0);
      if (got <= 0) fail("recv");
      if (memcmp(buffer, expected + one->answered_bytes, (size_t)got) != 0) {
        fprintf(stderr, "wrong answer\n");
        return 1;
      }
      uint32_t bytes = one->answered_bytes + (uint32_t)got;
      one->answered_bytes = bytes % FRAME_BYTES;
      answers += bytes / FRAME_BYTES;
      send_frames(one->fd, frames, bytes / FRAME_BYTES);
    }
  }
  double used = cpu < 0 ? -1 : server_cpu_s() - cpu;
  printf("{\"ok\":%ld,\"seconds\":%.6f,\"cpuSeconds\":%.9f}\n", answers, at - start, used);
  return 0;
}
