// Shell. A client of the relay in C, written from its contract alone; made by the tests where there is a compiler.
//
// L0 names two ports, the relay connects to both, two processes ask over L1 and are answered over L2,
// in frames of 200 bytes.
//
//   seed_client RELAY_PORT ROUNDS FIRST_PID OPTIONS
//     FIRST_PID  process ids to be told, FIRST_PID and one more; 0: the real ones
//     OPTIONS    letters: x = lower case x in L0; s = frames in pieces; f = forged sid;
//                l = listens a second after L0, and again before L2; - = none
//
// Prints "ok SID" and ends with 0 when each process got each of its answers.

#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_BYTES 200
#define ANSWER_TIMEOUT_MS 20000

struct frame {
  int32_t mtype, cpid, sid, msgid;
  char data[184];
};

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int bound(int *port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0) fail("socket");
  // As rresvport does, where that is allowed: a port below 1024.
  for (int low = 1023 - getpid() % 200; low >= 512; low--) {
    name.sin_port = htons(low);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0) {
      *port = low;
      return fd;
    }
    if (errno == EACCES) break;
  }
  name.sin_port = 0;
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) fail("bind");
  socklen_t length = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &length) < 0) fail("getsockname");
  *port = ntohs(name.sin_port);
  return fd;
}

static int accepted(int listener) {
  struct pollfd one = {.fd = listener, .events = POLLIN};
  if (listen(listener, 1) < 0) fail("listen");
  if (poll(&one, 1, 15000) != 1) fail("nobody connected");
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("accept");
  close(listener);
  return fd;
}

static void write_all(int fd, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    ssize_t count = write(fd, at, length);
    if (count <= 0) fail("write");
    at += count;
    length -= (size_t)count;
  }
}

static int read_all(int fd, void *bytes, size_t length) {
  for (char *at = bytes; length > 0;) {
    ssize_t count = read(fd, at, length);
    if (count <= 0) return 0;
    at += count;
    length -= (size_t)count;
  }
  return 1;
}

// One process: each round it asks, waits for its answer, and looks whether it is its own.
static int ask(int index, int32_t cpid, int rounds, int forged, int to_parent, int from_parent) {
  for (int round = 1; round <= rounds; round++) {
    struct frame request = {.mtype = 1, .cpid = cpid, .sid = forged ? 77777 : 0, .msgid = round};
    struct frame answer;
    snprintf(request.data, sizeof request.data, "process %d of %d, round %d", index, getppid(), round);
    memset(request.data + 100, round, 84);
    write_all(to_parent, &request, FRAME_BYTES);
    if (!read_all(from_parent, &answer, FRAME_BYTES)) return 1;
    if (answer.mtype != 1 || answer.cpid != cpid || answer.msgid != round || answer.sid < 1 ||
        memcmp(answer.data, request.data, sizeof request.data) != 0) {
      fprintf(stderr, "process %d got another's answer in round %d: %s\n", index, round, answer.data);
      return 1;
    }
  }
  return 0;
}

static void send_frame(int l1, const struct frame *frame, int split) {
  if (!split) return write_all(l1, frame, FRAME_BYTES);
  const char *bytes = (const char *)frame;
  for (size_t at = 0, length; at < FRAME_BYTES; at += length) {
    length = 1 + (size_t)rand() % 90;
    if (length > FRAME_BYTES - at) length = FRAME_BYTES - at;
    write_all(l1, bytes + at, length);
    usleep(2000);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int relay_port = atoi(argv[1]), rounds = atoi(argv[2]), first_pid = atoi(argv[3]);
  const char *options = argv[4];
  int port1, port2, l1_listener = bound(&port1), l2_listener = bound(&port2);
  srand((unsigned)getpid());

  int l0 = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in relay = {.sin_family = AF_INET, .sin_port = htons(relay_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(l0, (struct sockaddr *)&relay, sizeof relay) < 0) fail("connect to the relay");
  char text[32];
  int length = snprintf(text, sizeof text, "%d%c%d", port1, strchr(options, 'x') ? 'x' : 'X', port2);
  write_all(l0, text, (size_t)length + 1);
  char end;
  if (read(l0, &end, 1) != 0) fail("the relay did not close L0");
  close(l0);

  int late = strchr(options, 'l') != NULL;
  if (late) sleep(1);
  int l1 = accepted(l1_listener);
  if (late) sleep(1);
  int l2 = accepted(l2_listener);

  int up[2], down[2][2];
  int32_t cpids[2];
  if (pipe(up) < 0) fail("pipe");
  for (int index = 0; index < 2; index++) {
    if (pipe(down[index]) < 0) fail("pipe");
    int go[2];
    if (pipe(go) < 0) fail("pipe");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      int32_t cpid;
      if (!read_all(go[0], &cpid, sizeof cpid)) _exit(1);
      _exit(ask(index, cpid, rounds, strchr(options, 'f') != NULL, up[1], down[index][0]));
    }
    cpids[index] = first_pid > 0 ? first_pid + index : (int32_t)child;
    write_all(go[1], &cpids[index], sizeof cpids[index]);
  }

  int32_t sid = 0;
  for (int answers = 0; answers < 2 * rounds;) {
    struct pollfd ready[2] = {{.fd = up[0], .events = POLLIN}, {.fd = l2, .events = POLLIN}};
    struct frame frame;
    if (poll(ready, 2, ANSWER_TIMEOUT_MS) <= 0) fail("no answer in time");
    if (ready[0].revents & POLLIN) {
      if (!read_all(up[0], &frame, FRAME_BYTES)) fail("a process ended");
      send_frame(l1, &frame, strchr(options, 's') != NULL);
    }
    if (ready[1].revents == 0) continue;
    if (!read_all(l2, &frame, FRAME_BYTES)) fail("L2 ended");
    if (sid != 0 && frame.sid != sid) fail("an answer of another link");
    sid = frame.sid;
    for (int index = 0; index < 2; index++) {
      if (frame.cpid == cpids[index]) write_all(down[index][1], &frame, FRAME_BYTES);
    }
    answers++;
  }
  int bad = 0, status;
  while (wait(&status) > 0) bad |= status;
  if (bad == 0) printf("ok %d\n", sid);
  return bad != 0;
}
