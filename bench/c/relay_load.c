// Shell. Load generator for relays: clients and workers in one process. A request of 184 bytes goes to
// a worker, which sends it back; each next one goes out over the next client in turn. Prints what it
// saw as JSON. With ms=0 it only connects, says that it is ready, and holds the connections.
//   relay_load mode=lars host=127.0.0.1 port=N sessions=N links=N ...   this project's relay
//   relay_load mode=plain host=127.0.0.1 port=N worker_port=N sessions=N ...   bench/relay_plain.ts
//   relay_load mode=web host=127.0.0.1 port=N worker_port=N sessions=N ...   the same over WebSocket
//   relay_load mode=nats host=127.0.0.1 port=N sessions=N ...   a NATS server, as request and reply
//   ... workers=N window=N ms=N warmup=N pid=N [rate=N] [burst=N] [deaf=N deaf_requests=N]
// `links` are clients of the original, `window` requests in flight of all clients, `burst` requests
// that go out over one client before the next has its turn, `rate` requests a
// second at even distances in place of a window, `deaf` clients that ask and never read, `pid` the
// process whose processor time is taken.
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

enum {
  DATA_BYTES = 184,
  FRAME_BYTES = 200,
  HEAD_BYTES = 8,
  READ_BYTES = 262144,
  HELD_BYTES = 1024,
  EVENTS = 256,
  SLOTS_MAX = 65536,
  CLASSES = 1000000,
  HELLO = 64,
  JOIN = 100,
  JOINED = 101,
  REQUEST = 102,
  REPLY = 103,
  WORK = 104,
  TASK = 105,
  DONE = 106,
  CREDIT = 10000,
  WEB_BINARY = 2,
  WEB_PING = 9,
  WEB_PONG = 10,
};

typedef enum { SESSION, LINK1, LINK2, WORKER, PLAIN, PLAIN_WORKER, NATS, NATS_WORKER, WEB } kind;

typedef struct {
  kind what;
  int fd;
  int held;
  int joined;
  int id; // of its inbox at a NATS server
  uint8_t *bytes; // of a frame that is not whole
} peer;

static clockid_t server_clock;
static int server_known = 0, poller, plain = 0;
static double slot_since[SLOTS_MAX];
static int slot_free[SLOTS_MAX], slots_free = 0;
static uint32_t latencies[CLASSES + 1];
static long answers = 0, wrong = 0, tasks = 0;
static int joined_count = 0;
static peer **askers;
static int askers_count = 0, asker_next = 0;
static int burst = 1, burst_at = 0;
static peer *asked_of = NULL;
static uint8_t asked[16384];
static size_t asked_bytes = 0;
static double rate = 0;
static uint8_t incoming[READ_BYTES + HELD_BYTES], outgoing[2 * READ_BYTES];

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

static void send_all(int fd, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("send");
    bytes += sent;
    count -= (size_t)sent;
  }
}

static size_t put_varint(uint8_t *to, uint32_t value) {
  size_t at = 0;
  for (; value >= 128; value >>= 7) to[at++] = (uint8_t)(value | 128);
  to[at++] = (uint8_t)value;
  return at;
}

static size_t get_varint(const uint8_t *from, uint32_t *value) {
  size_t at = 0;
  *value = 0;
  do *value |= (uint32_t)(from[at] & 127) << (7 * at);
  while (from[at++] >= 128 && at < 5);
  return at;
}

static void put32(uint8_t *to, uint32_t value) { memcpy(to, &value, 4); }

static uint32_t get32(const uint8_t *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return value;
}

static size_t head(uint8_t *to, uint32_t id, size_t bytes) {
  put32(to, id);
  put32(to + 4, (uint32_t)bytes);
  return HEAD_BYTES + bytes;
}

// Fields of a body: the number of the first field, and data.
static int read_body(const uint8_t *body, uint32_t bytes, uint32_t data_field, uint32_t *number,
                     const uint8_t **data) {
  uint32_t at = 0;
  *data = NULL;
  *number = 0;
  while (at < bytes) {
    uint32_t tag, value;
    at += get_varint(body + at, &tag);
    at += get_varint(body + at, &value);
    if (tag == 8) *number = value;
    if ((tag & 7) == 0) continue;
    if ((tag & 7) != 2) return 0;
    if (tag >> 3 == data_field) {
      if (value != DATA_BYTES) return 0;
      *data = body + at;
    }
    at += value;
  }
  return *data != NULL;
}

static int connect_to(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail("host");
  if (fd < 0) fail("socket");
  for (int tries = 0; connect(fd, (struct sockaddr *)&to, sizeof to) != 0; tries++) {
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno != ECONNREFUSED || tries == 100) fail("connect");
    usleep(20000); // it starts just now
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static int listen_any(int *port) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t bytes = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 64) != 0) {
    fail("listen");
  }
  getsockname(fd, (struct sockaddr *)&at, &bytes);
  *port = ntohs(at.sin_port);
  return fd;
}

static peer *add_peer(kind what, int fd) {
  peer *one = calloc(1, sizeof *one);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
  one->what = what;
  one->fd = fd;
  one->bytes = malloc(HELD_BYTES);
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  return one;
}

static void add_asker(peer *one) { askers[askers_count++] = one; }

// The head of a message from a client, with a mask that changes nothing; returns its length.
static size_t web_head(uint8_t *to, int opcode, size_t bytes) {
  size_t at = 0;
  to[at++] = (uint8_t)(128 | opcode);
  if (bytes < 126) to[at++] = (uint8_t)(128 | bytes);
  else {
    to[at++] = 128 | 126;
    to[at++] = (uint8_t)(bytes >> 8);
    to[at++] = (uint8_t)bytes;
  }
  memset(to + at, 0, 4);
  return at + 4;
}

static size_t request_to(uint8_t *to, const peer *one, uint32_t number) {
  size_t at = HEAD_BYTES;
  if (one->what == NATS) {
    at = (size_t)sprintf((char *)to, "PUB work inbox.%d %d\r\n", one->id, DATA_BYTES);
    memset(to + at, 'a', DATA_BYTES);
    put32(to + at, number);
    memcpy(to + at + DATA_BYTES, "\r\n", 2);
    return at + DATA_BYTES + 2;
  }
  if (one->what == WEB) {
    uint8_t frame[256];
    peer session = {.what = SESSION};
    size_t bytes = request_to(frame, &session, number);
    at = web_head(to, WEB_BINARY, bytes);
    memcpy(to + at, frame, bytes);
    return at + bytes;
  }
  if (one->what != SESSION) {
    memset(to, 0, FRAME_BYTES);
    put32(to, 1);
    put32(to + 4, 4242);
    put32(to + 12, number);
    put32(to + 16, number);
    return FRAME_BYTES;
  }
  to[at++] = 8; // number
  at += put_varint(to + at, number);
  to[at++] = 6 << 3 | 2; // data
  at += put_varint(to + at, DATA_BYTES);
  memset(to + at, 'a', DATA_BYTES);
  put32(to + at, number);
  return head(to, REQUEST, at + DATA_BYTES - HEAD_BYTES);
}

static void send_asked(void) {
  if (asked_bytes > 0) send_all(asked_of->fd, asked, asked_bytes);
  asked_bytes = 0;
}

// Requests of a burst that are asked at once leave together.
static void ask(uint32_t number, double due) {
  peer *one = askers[asker_next];
  if (one != asked_of || asked_bytes > sizeof asked - 256) send_asked();
  asked_of = one;
  slot_since[number] = due;
  asked_bytes += request_to(asked + asked_bytes, one, number);
  if (++burst_at < burst) return;
  burst_at = 0;
  asker_next = (asker_next + 1) % askers_count;
}

static void answered(uint32_t number, const uint8_t *data) {
  double at = now_s();
  if (number >= SLOTS_MAX || data == NULL || get32(data) != number || slot_since[number] == 0) {
    wrong++;
    return;
  }
  double us = (at - slot_since[number]) * 1e6;
  slot_since[number] = 0;
  latencies[us < CLASSES ? (int)us : CLASSES]++;
  answers++;
  if (rate > 0) slot_free[slots_free++] = (int)number;
  else ask(number, at);
}

// Takes one whole frame; writes what is answered to `to`, and returns its length.
static size_t on_frame(peer *one, const uint8_t *frame, uint32_t bytes, uint8_t *to) {
  uint32_t number;
  const uint8_t *data;
  if (one->what == PLAIN || one->what == LINK2) {
    answered(get32(frame + 12), frame + 16);
    return 0;
  }
  if (one->what == PLAIN_WORKER) {
    memcpy(to, frame, FRAME_BYTES);
    return FRAME_BYTES;
  }
  uint32_t id = get32(frame);
  if (id == JOINED) joined_count += one->joined == 0, one->joined = 1;
  if (id == REPLY) {
    if (!read_body(frame + HEAD_BYTES, bytes - HEAD_BYTES, 4, &number, &data)) data = NULL;
    answered(number, data);
  }
  if (id != TASK) return 0;
  tasks++;
  if (!read_body(frame + HEAD_BYTES, bytes - HEAD_BYTES, 8, &number, &data)) {
    wrong++;
    return 0;
  }
  size_t at = HEAD_BYTES;
  to[at++] = 8; // task
  at += put_varint(to + at, number);
  to[at++] = 3 << 3; // credit
  to[at++] = 1;
  to[at++] = 4 << 3 | 2; // data
  at += put_varint(to + at, DATA_BYTES);
  memcpy(to + at, data, DATA_BYTES);
  return head(to, DONE, at + DATA_BYTES - HEAD_BYTES);
}

// Length of what begins with a line of a NATS server; 0: it is not whole.
static size_t nats_length(const uint8_t *bytes, size_t count) {
  const uint8_t *end = memchr(bytes, '\n', count);
  if (end == NULL) return 0;
  size_t line = (size_t)(end - bytes) + 1;
  return memcmp(bytes, "MSG ", 4) == 0 ? line + DATA_BYTES + 2 : line;
}

// MSG work 1 inbox.7 184, or MSG inbox.7 1 184.
static size_t on_nats(peer *one, const uint8_t *bytes, size_t length, uint8_t *to) {
  if (memcmp(bytes, "PING", 4) == 0) {
    memcpy(to, "PONG\r\n", 6);
    return 6;
  }
  if (memcmp(bytes, "PONG", 4) == 0) joined_count += one->joined == 0, one->joined = 1;
  if (memcmp(bytes, "-ERR", 4) == 0) fprintf(stderr, "%.*s", (int)length, bytes), exit(1);
  if (memcmp(bytes, "MSG ", 4) != 0) return 0;
  const uint8_t *data = bytes + length - DATA_BYTES - 2;
  if (one->what == NATS) {
    answered(get32(data), data);
    return 0;
  }
  int inbox = 0;
  sscanf((const char *)bytes, "MSG work 1 inbox.%d", &inbox);
  size_t at = (size_t)sprintf((char *)to, "PUB inbox.%d %d\r\n", inbox, DATA_BYTES);
  memcpy(to + at, data, DATA_BYTES + 2);
  return at + DATA_BYTES + 2;
}

// Takes one message of a WebSocket if it is whole. Returns its length, 0: it is not whole.
static size_t on_web(peer *one, const uint8_t *bytes, size_t count, uint8_t *to, size_t *out) {
  if (count < 2) return 0;
  size_t length = bytes[1] & 127, at = 2;
  if (length == 126) {
    if (count < 4) return 0;
    length = (size_t)bytes[2] << 8 | bytes[3];
    at = 4;
  }
  if (count < at + length) return 0;
  int opcode = bytes[0] & 15;
  if (opcode == WEB_BINARY) on_frame(one, bytes + at, (uint32_t)length, to + *out);
  if (opcode == WEB_PING) *out += web_head(to + *out, WEB_PONG, 0);
  return at + length;
}

static void on_ready(peer *one) {
  memcpy(incoming, one->bytes, (size_t)one->held);
  int is_worker = one->what == WORKER || one->what == PLAIN_WORKER || one->what == NATS_WORKER;
  size_t room = is_worker ? READ_BYTES : 4096;
  ssize_t got = recv(one->fd, incoming + one->held, room, 0);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    fprintf(stderr, "a connection of kind %d ended\n", one->what);
    exit(1);
  }
  size_t bytes = (size_t)got + (size_t)one->held, at = 0, out = 0;
  while (one->what == NATS || one->what == NATS_WORKER) {
    size_t length = nats_length(incoming + at, bytes - at);
    if (length == 0 || length > bytes - at) break;
    out += on_nats(one, incoming + at, length, outgoing + out);
    at += length;
    if (out > READ_BYTES) send_all(one->fd, outgoing, out), out = 0;
  }
  while (one->what == WEB) {
    size_t length = on_web(one, incoming + at, bytes - at, outgoing, &out);
    if (length == 0) break;
    at += length;
  }
  while (one->what < NATS && bytes - at >= HEAD_BYTES) {
    int framed = one->what == SESSION || one->what == WORKER;
    size_t length = framed ? HEAD_BYTES + get32(incoming + at + 4) : FRAME_BYTES;
    if (bytes - at < length) break;
    out += on_frame(one, incoming + at, (uint32_t)length, outgoing + out);
    at += length;
    if (out > READ_BYTES) send_all(one->fd, outgoing, out), out = 0;
  }
  if (out > 0) send_all(one->fd, outgoing, out);
  one->held = (int)(bytes - at);
  if (one->held > HELD_BYTES) fail("a frame is longer than it should be");
  memcpy(one->bytes, incoming + at, (size_t)one->held);
}

static void serve(double wait_s) {
  struct epoll_event events[EVENTS];
  struct timespec wait = {.tv_sec = (time_t)wait_s, .tv_nsec = (long)((wait_s - (long)wait_s) * 1e9)};
  int ready = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
  for (int i = 0; i < ready; i++) on_ready(events[i].data.ptr);
  send_asked();
}

static size_t hello(uint8_t *to) {
  static const uint8_t body[] = {8, 2, 18, 5, 'b', 'e', 'n', 'c', 'h', 26, 4, 't', 'o', 'o', 'l'};
  memcpy(to + HEAD_BYTES, body, sizeof body);
  return head(to, HELLO, sizeof body);
}

static peer *join_session(const char *host, int port) {
  uint8_t frames[64];
  int fd = connect_to(host, port);
  size_t bytes = hello(frames);
  bytes += head(frames + bytes, JOIN, 0);
  send_all(fd, frames, bytes);
  return add_peer(SESSION, fd);
}

static peer *join_web(const char *host, int port) {
  uint8_t bytes[1024], frames[64];
  int fd = connect_to(host, port);
  int length = sprintf((char *)bytes,
                       "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       host, port);
  send_all(fd, bytes, (size_t)length);
  // The relay says nothing more before Hello.
  for (size_t held = 0; held < 4 || memcmp(bytes + held - 4, "\r\n\r\n", 4) != 0;) {
    ssize_t got = recv(fd, bytes + held, sizeof bytes - held, 0);
    if (got <= 0) fail("no upgrade");
    held += (size_t)got;
  }
  if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) fail("no upgrade");
  size_t frame = hello(frames), at = web_head(bytes, WEB_BINARY, frame);
  memcpy(bytes + at, frames, frame);
  at += frame;
  at += web_head(bytes + at, WEB_BINARY, HEAD_BYTES);
  at += head(bytes + at, JOIN, 0);
  send_all(fd, bytes, at);
  return add_peer(WEB, fd);
}

static void join_worker(const char *host, int port) {
  uint8_t frames[64];
  int fd = connect_to(host, port);
  size_t bytes = hello(frames), at = bytes + HEAD_BYTES;
  frames[at++] = 1 << 3 | 2; // module 0,0
  frames[at++] = 0;
  frames[at++] = 2 << 3; // credit
  at += put_varint(frames + at, CREDIT);
  head(frames + bytes, WORK, at - bytes - HEAD_BYTES);
  send_all(fd, frames, at);
  add_peer(WORKER, fd);
}

static void join_links(const char *host, int port, int count) {
  int port1, port2, first = listen_any(&port1), second = listen_any(&port2);
  for (int i = 0; i < count; i++) {
    char text[32];
    int length = snprintf(text, sizeof text, "%dX%d", port1, port2) + 1;
    int l0 = connect_to(host, port), one = 1;
    send_all(l0, (uint8_t *)text, (size_t)length);
    int l1 = accept(first, NULL, NULL), l2 = accept(second, NULL, NULL);
    if (l1 < 0 || l2 < 0) fail("accept");
    setsockopt(l1, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    add_asker(add_peer(LINK1, l1));
    add_peer(LINK2, l2);
    close(l0);
  }
}

static peer *join_nats(const char *host, int port, kind what, int id) {
  char text[128];
  int fd = connect_to(host, port);
  int length = sprintf(text, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
  if (what == NATS) length += sprintf(text + length, "SUB inbox.%d 1\r\nPING\r\n", id);
  else length += sprintf(text + length, "SUB work workers 1\r\n");
  send_all(fd, (uint8_t *)text, (size_t)length);
  peer *one = add_peer(what, fd);
  one->id = id;
  return one;
}

// Clients that ask so often and never read what comes back.
static void add_deaf(const char *host, int port, int count, int requests) {
  int bytes = 4096;
  uint8_t frame[256];
  for (int i = 0; i < count; i++) {
    uint8_t frames[64];
    int fd = connect_to(host, port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    size_t length = hello(frames);
    length += head(frames + length, JOIN, 0);
    send_all(fd, frames, length);
    peer one = {.what = SESSION};
    for (int request = 0; request < requests; request++) {
      length = request_to(frame, &one, (uint32_t)request);
      if (send(fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) break;
    }
    serve(0); // our own workers have to answer them
  }
  // Until the relay is done with them: their number is no part of what is measured.
  for (long before = -1; before != tasks;) {
    before = tasks;
    for (double end = now_s() + 1; now_s() < end;) serve(0.01);
  }
}

static void allow_files(rlim_t count) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return;
  limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static double quantile_us(double share) {
  double sum = 0, wanted = share * (double)answers;
  for (int i = 0; i <= CLASSES; i++) {
    sum += latencies[i];
    if (sum >= wanted) return i + 0.5;
  }
  return CLASSES;
}

static void ask_due(double start, double *due, long *missed) {
  double at = now_s();
  if (*due < start) *due = start;
  while (*due <= at) {
    if (slots_free > 0) ask((uint32_t)slot_free[--slots_free], *due);
    else (*missed)++;
    *due += 1 / rate;
  }
  send_asked();
}

int main(int argc, char **argv) {
  const char *host = text_of(argc, argv, "host", "127.0.0.1");
  int port = number_of(argc, argv, "port"), worker_port = number_of(argc, argv, "worker_port");
  int sessions = number_of(argc, argv, "sessions"), links = number_of(argc, argv, "links");
  int workers = number_of(argc, argv, "workers"), window = number_of(argc, argv, "window");
  int pid = number_of(argc, argv, "pid"), deaf = number_of(argc, argv, "deaf");
  double seconds = number_of(argc, argv, "ms") / 1000.0;
  double warmup = number_of(argc, argv, "warmup") / 1000.0;
  rate = number_of(argc, argv, "rate");
  if (number_of(argc, argv, "burst") > 0) burst = number_of(argc, argv, "burst");
  const char *mode = text_of(argc, argv, "mode", "lars");
  int nats = strcmp(mode, "nats") == 0;
  int web = strcmp(mode, "web") == 0;
  plain = strcmp(mode, "plain") == 0;
  poller = epoll_create1(0);
  askers = calloc((size_t)(sessions + links + 1), sizeof *askers);
  server_known = pid != 0 && clock_getcpuclockid(pid, &server_clock) == 0;
  allow_files((rlim_t)(sessions + 2 * links + workers + deaf + 64));
  for (int i = 0; i < workers; i++) {
    if (plain) add_peer(PLAIN_WORKER, connect_to(host, worker_port));
    else if (nats) join_nats(host, port, NATS_WORKER, 0);
    else join_worker(host, web ? worker_port : port);
  }
  for (int i = 0; i < sessions; i++) {
    if (plain) add_asker(add_peer(PLAIN, connect_to(host, port)));
    else if (nats) add_asker(join_nats(host, port, NATS, i));
    else add_asker(web ? join_web(host, port) : join_session(host, port));
    // A relay gives up those that it has not heard of yet when there are too many.
    while (!plain && i - joined_count > 256) serve(0.1);
  }
  for (double end = now_s() + 20; !plain && joined_count < sessions;) {
    serve(0.1);
    if (now_s() > end) fail("not all sessions are joined");
  }
  if (links > 0) join_links(host, port, links);
  if (deaf > 0) add_deaf(host, port, deaf, number_of(argc, argv, "deaf_requests"));
  if (seconds == 0) {
    printf("{\"event\":\"ready\",\"addresses\":[]}\n");
    fflush(stdout);
    for (;;) serve(1);
  }
  // One that is left over from the deaf ones is none of ours.
  for (int i = 0; rate > 0 && i < SLOTS_MAX; i++) slot_free[slots_free++] = i;
  for (int i = 0; rate == 0 && i < window; i++) ask((uint32_t)i, now_s());
  send_asked();
  double begin = now_s(), start = begin + warmup, at = 0, cpu = -1, end = start + seconds, due = 0;
  long missed = 0;
  int measuring = 0;
  while ((at = now_s()) < end) {
    if (!measuring && at >= start) {
      measuring = 1;
      answers = missed = 0;
      memset(latencies, 0, sizeof latencies);
      start = at;
      cpu = server_cpu_s();
    }
    if (rate > 0) ask_due(begin, &due, &missed);
    double wait = rate > 0 ? due - now_s() : 0.1;
    serve(wait > 0 ? wait : 0);
  }
  double used = cpu < 0 ? -1 : server_cpu_s() - cpu;
  printf("{\"ok\":%ld,\"wrong\":%ld,\"lost\":%ld,\"seconds\":%.6f,\"cpuSeconds\":%.9f,"
         "\"p50us\":%.1f,\"p99us\":%.1f}\n",
         answers, wrong, missed, at - start, used, quantile_us(0.5), quantile_us(0.99));
  return 0;
}
