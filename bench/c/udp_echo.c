// Shell. The least a UDP server can cost: what every agent is measured against.

/*
 *   udp_echo single|batch|answer|spin FIRST_PORT PORT_COUNT
 *
 * single: recvfrom and sendto, one datagram at a time, after poll when there are several ports.
 * batch:  epoll, recvmmsg, sendmmsg; what came in goes back.
 * answer: as batch, but a GetHostRequest (4) is answered with a GetHostResponse (5) of the same
 *         seq, modid and cmdid and a fixed node; everything else, reports above all, is swallowed.
 * spin:   as answer, and it never sleeps.
 *
 * FIRST_PORT 0 takes any free ports in a row. Prints one line of JSON when it is ready.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "varint.h"

enum { PORTS_MAX = 16, BATCH = 64, DATAGRAM_BYTES = 2048 };

static int sockets[PORTS_MAX];
static int port_count;

static int bind_all(int first) {
  for (int i = 0; i < port_count; i++) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(first + i))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
    int bytes = 1 << 20;
    setsockopt(sockets[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (bind(sockets[i], (struct sockaddr *)&address, sizeof address) != 0) {
      for (int k = 0; k <= i; k++) close(sockets[k]);
      return 0;
    }
  }
  return 1;
}

static void serve_single(void) {
  static unsigned char bytes[65536];
  struct pollfd waits[PORTS_MAX];
  for (int i = 0; i < port_count; i++) waits[i] = (struct pollfd){sockets[i], POLLIN, 0};
  for (;;) {
    if (port_count > 1 && poll(waits, (nfds_t)port_count, -1) < 0) continue;
    for (int i = 0; i < port_count; i++) {
      if (port_count > 1 && !(waits[i].revents & POLLIN)) continue;
      struct sockaddr_in from;
      socklen_t from_bytes = sizeof from;
      ssize_t got = recvfrom(sockets[i], bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_bytes);
      if (got >= 0) sendto(sockets[i], bytes, (size_t)got, 0, (struct sockaddr *)&from, from_bytes);
    }
  }
}

/* Writes the answer to `bytes` into `out`; 0 when there is none. */
static int answer(const unsigned char *bytes, int length, unsigned char *out) {
  int32_t head[2];
  if (length < 8) return 0;
  memcpy(head, bytes, 8);
  if (head[0] != 4 || head[1] != length - 8) return 0;
  uint64_t field[4] = {0};
  for (int at = 8; at < length;) {
    uint64_t tag, value;
    if ((at = read_varint(bytes, at, length, &tag)) < 0 || (tag & 7) != 0) return 0;
    if ((at = read_varint(bytes, at, length, &value)) < 0) return 0;
    if (tag >> 3 < 4) field[tag >> 3] = value;
  }
  int at = 8;
  for (int number = 1; number <= 3; number++) {
    out[at++] = (unsigned char)(number << 3);
    at = write_varint(out, at, field[number]);
  }
  out[at++] = 5 << 3 | 2;
  int length_at = at++;
  out[at++] = 1 << 3;
  at = write_varint(out, at, (uint64_t)(int64_t)(int32_t)0xC0A801B1); /* 192.168.1.177 */
  out[at++] = 2 << 3;
  at = write_varint(out, at, 7777);
  out[length_at] = (unsigned char)(at - length_at - 1);
  int32_t answer_head[2] = {5, at - 8};
  memcpy(out, answer_head, 8);
  return at;
}

static void serve_batch(int answers, int wait_ms) {
  static unsigned char in[BATCH][DATAGRAM_BYTES], out[BATCH][128];
  static struct mmsghdr received[BATCH], sent[BATCH];
  static struct iovec in_parts[BATCH], out_parts[BATCH];
  static struct sockaddr_in from[BATCH];
  int poller = epoll_create1(0);
  for (int i = 0; i < port_count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sockets[i]};
    epoll_ctl(poller, EPOLL_CTL_ADD, sockets[i], &event);
  }
  for (int i = 0; i < BATCH; i++) {
    in_parts[i] = (struct iovec){in[i], DATAGRAM_BYTES};
    received[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_iov = &in_parts[i], .msg_iovlen = 1};
    sent[i].msg_hdr = (struct msghdr){.msg_iov = &out_parts[i], .msg_iovlen = 1};
  }
  for (;;) {
    struct epoll_event events[PORTS_MAX];
    int ready = epoll_wait(poller, events, PORTS_MAX, wait_ms);
    for (int e = 0; e < ready; e++) {
      int socket = events[e].data.fd;
      for (int i = 0; i < BATCH; i++) received[i].msg_hdr.msg_namelen = sizeof from[i];
      int got = recvmmsg(socket, received, BATCH, MSG_DONTWAIT, NULL);
      int count = 0;
      for (int i = 0; i < got; i++) {
        int length = (int)received[i].msg_len;
        if (answers) {
          length = answer(in[i], length, out[count]);
          if (length == 0) continue;
          out_parts[count] = (struct iovec){out[count], (size_t)length};
        } else {
          out_parts[count] = (struct iovec){in[i], (size_t)length};
        }
        sent[count].msg_hdr.msg_name = &from[i];
        sent[count].msg_hdr.msg_namelen = sizeof from[i];
        count++;
      }
      for (int at = 0; at < count;) {
        int gone = sendmmsg(socket, sent + at, (unsigned)(count - at), 0);
        at += gone > 0 ? gone : 1;
      }
    }
  }
}

int main(int count, char **words) {
  if (count != 4) return fprintf(stderr, "udp_echo single|batch|answer|spin FIRST_PORT PORT_COUNT\n"), 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int first = atoi(words[2]);
  port_count = atoi(words[3]);
  if (port_count < 1 || port_count > PORTS_MAX) return 2;
  int bound = 0;
  srand((unsigned)(getpid() ^ time(NULL)));
  for (int attempt = 0; attempt < 200 && !bound; attempt++) {
    int port = first != 0 ? first : 20000 + rand() % 12000;
    bound = bind_all(port);
    if (bound) first = port;
  }
  if (!bound) return fprintf(stderr, "no free ports\n"), 1;
  printf("{\"event\":\"ready\",\"addresses\":[");
  for (int i = 0; i < port_count; i++) printf("%s\"127.0.0.1:%d\"", i ? "," : "", first + i);
  printf("]}\n");
  fflush(stdout);
  if (strcmp(words[1], "single") == 0) serve_single();
  int spins = strcmp(words[1], "spin") == 0;
  serve_batch(spins || strcmp(words[1], "answer") == 0, spins ? 0 : -1);
}
