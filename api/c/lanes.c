// Shell. Questions over UDP: sockets for each question under way, and the wait for its answer.

#include "caller.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t lars_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t lars_coarse_ms(void) {
#ifdef CLOCK_MONOTONIC_COARSE
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
#else
  return lars_now_ms();
#endif
}

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t lars_random(void) {
  uint64_t bits;
  /* Before the system has gathered enough it gives none: a clock and an address differ too. */
  if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits) return bits;
  bits = ((uint64_t)now_us() << 20) ^ (uint64_t)(uintptr_t)&bits ^ (uint64_t)getpid() << 44;
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
  return bits ^ bits >> 27;
}

void lars_count(uint64_t *counter, uint64_t more) {
  __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

int lars_port_index(uint32_t modid, uint32_t cmdid) {
  int64_t remainder = ((int64_t)(int32_t)modid + (int64_t)(int32_t)cmdid) % LARS_PORTS;
  return (int)(remainder < 0 ? remainder + LARS_PORTS : remainder);
}

int lars_open_socket(uint32_t ip, uint16_t port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct sockaddr_in agent;
  memset(&agent, 0, sizeof agent);
  agent.sin_family = AF_INET;
  agent.sin_addr.s_addr = htonl(ip);
  agent.sin_port = htons(port);
  /* Connected: the kernel refuses foreign datagrams, and tells that nobody listens. */
  if (connect(fd, (const struct sockaddr *)(const void *)&agent, sizeof agent) == 0) return fd;
  close(fd);
  return -1;
}

static lars_lane *new_lane(void) {
  lars_lane *lane = (lars_lane *)malloc(sizeof *lane);
  if (lane == NULL) return NULL;
  lane->seq = (uint32_t)lars_random();
  lars_sealer_init(&lane->sealer);
  lane->next_free = lane->next = NULL;
  for (int at = 0; at < LARS_PORTS; at++) {
    lane->sockets[at] = -1;
    lane->dirty[at] = false;
  }
  return lane;
}

static void close_sockets(lars_lane *lane) {
  for (int at = 0; at < LARS_PORTS; at++) {
    if (lane->sockets[at] >= 0) close(lane->sockets[at]);
    lane->sockets[at] = -1;
    lane->dirty[at] = false;
  }
}

void lars_lanes_close(lars_caller *caller) {
  for (lars_lane *lane = caller->lanes, *next; lane != NULL; lane = next) {
    next = lane->next;
    close_sockets(lane);
    free(lane);
  }
  caller->lanes = caller->free_lanes = NULL;
  caller->lane_count = 0;
}

void lars_lanes_after_fork(lars_caller *caller) {
  /* Lanes of threads that were asking have no owner in the child. */
  lars_lanes_close(caller);
  caller->pid = getpid();
  memset(caller->greeted, 0, sizeof caller->greeted);
}

lars_lane *lars_lane_take(lars_caller *caller, lars_result *fault) {
  pthread_mutex_lock(&caller->lanes_lock);
  /* A child that was made past the handlers of fork is seen here. */
  if (caller->pid != getpid()) lars_lanes_after_fork(caller);
  lars_lane *lane = caller->free_lanes;
  *fault = LARS_LIMIT;
  if (lane != NULL) {
    caller->free_lanes = lane->next_free;
  } else if (caller->lane_count < LARS_LANES_MAX) {
    lane = new_lane();
    *fault = LARS_NO_MEMORY;
    if (lane != NULL) {
      lane->next = caller->lanes;
      caller->lanes = lane;
      caller->lane_count++;
    }
  }
  pthread_mutex_unlock(&caller->lanes_lock);
  return lane;
}

void lars_lane_give(lars_caller *caller, lars_lane *lane) {
  pthread_mutex_lock(&caller->lanes_lock);
  lane->next_free = caller->free_lanes;
  caller->free_lanes = lane;
  pthread_mutex_unlock(&caller->lanes_lock);
}

static int lane_socket(lars_caller *caller, lars_lane *lane, int port_index) {
  int *fd = &lane->sockets[port_index];
  if (*fd < 0) {
    *fd = lars_open_socket(ntohl(caller->address.sin_addr.s_addr), caller->ports[port_index]);
  }
  return *fd;
}

static bool is_passing(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR ||
         error == ECONNREFUSED;
}

bool lars_send(int socket, const uint8_t *datagram, size_t length) {
  ssize_t sent = send(socket, datagram, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno == ECONNREFUSED) {
    /* An earlier datagram was refused, and this one has only brought the news. */
    sent = send(socket, datagram, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  return sent >= 0;
}

bool lars_is_loopback(uint32_t ip) { return ip >> 24 == 127; }

void lars_sealer_init(lars_sealer *sealer) {
  uint64_t sender = lars_random();
  memcpy(sealer->sender, &sender, sizeof sender);
  sealer->number = 0;
}

size_t lars_seal_now(const lars_caller *caller, lars_sealer *sealer, const uint8_t *datagram,
                     size_t length, uint8_t *sealed) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  return lars_seal(&caller->secret, sealer, wall_ms, datagram, length, sealed);
}

/** Sends from a lane, sealed where the agent wants it. */
static bool send_sealed(const lars_caller *caller, lars_lane *lane, int socket,
                        const uint8_t *datagram, size_t length) {
  if (!caller->is_sealed) return lars_send(socket, datagram, length);
  uint8_t sealed[LARS_QUESTION_BYTES_MAX + LARS_SEAL_BYTES];
  length = lars_seal_now(caller, &lane->sealer, datagram, length, sealed);
  return lars_send(socket, sealed, length);
}

lars_result lars_tell(lars_caller *caller, int port_index, const uint8_t *datagram, size_t length) {
  lars_result fault;
  lars_lane *lane = lars_lane_take(caller, &fault);
  if (lane == NULL) return fault;
  int fd = lane_socket(caller, lane, port_index);
  fault = LARS_OK;
  if (fd < 0) {
    fault = LARS_CONNECT_FAILED;
  } else if (!send_sealed(caller, lane, fd, datagram, length)) {
    lars_count(&caller->stats.dropped, 1);
    if (!is_passing(errno)) {
      close(fd);
      lane->sockets[port_index] = -1;
      fault = LARS_CONNECT_FAILED;
    }
  }
  lars_lane_give(caller, lane);
  return fault;
}

/** What a datagram is to a question. */
typedef enum lars_kind { IS_ANSWER, IS_LATE, IS_GARBAGE } lars_kind;

static lars_kind kind_of(bool is_well_formed, bool is_wanted) {
  if (!is_well_formed) return IS_GARBAGE;
  return is_wanted ? IS_ANSWER : IS_LATE;
}

/** Reads a datagram; question is NULL for one that nobody waits for. */
static lars_kind judge_datagram(const uint8_t *datagram, size_t length, lars_question *question) {
  int32_t msg_id;
  const uint8_t *body;
  size_t bytes;
  if (!lars_read_datagram(datagram, length, &msg_id, &body, &bytes)) return IS_GARBAGE;
  bool is_kind = question != NULL && question->answer_id == msg_id;
  if (msg_id == LARS_HELLO) return kind_of(lars_read_hello(body, bytes), is_kind);
  uint32_t seq = 0, modid = 0, cmdid = 0;
  bool is_well_formed = false;
  if (msg_id == LARS_GET_HOST_RESPONSE) {
    lars_host_answer answer;
    is_well_formed = lars_read_host_answer(body, bytes, &answer);
    seq = answer.seq, modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) question->host = answer;
  } else if (msg_id == LARS_GET_ROUTE_RESPONSE) {
    lars_route_answer answer;
    memset(&answer, 0, sizeof answer);
    if (is_kind) answer = question->route;
    is_well_formed = lars_read_route_answer(body, bytes, &answer);
    modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) seq = question->seq, question->route = answer;
  } else if (msg_id == LARS_EXPLAIN_RESPONSE) {
    lars_explain_answer answer;
    is_well_formed = lars_read_explain_answer(body, bytes, &answer);
    seq = answer.seq, modid = answer.modid, cmdid = answer.cmdid;
    if (is_kind) question->explanation = answer;
  } else {
    return IS_GARBAGE;
  }
  return kind_of(is_well_formed, is_kind && seq == question->seq && modid == question->modid &&
                                     cmdid == question->cmdid);
}

/** Counts a datagram that answers nothing; true for the answer. */
static bool take_datagram(lars_caller *caller, lars_lane *lane, size_t length,
                          lars_question *question) {
  bool is_believed = !caller->is_sealed ||
                     lars_seal_is_answer(&caller->secret, &lane->sealer, lane->buffer, length);
  lars_kind kind = is_believed ? judge_datagram(lane->buffer, length, question) : IS_GARBAGE;
  if (kind == IS_LATE) lars_count(&caller->stats.late, 1);
  if (kind == IS_GARBAGE) lars_count(&caller->stats.garbage, 1);
  return kind == IS_ANSWER;
}

/** Takes out what came for earlier questions. */
static void drain(lars_caller *caller, lars_lane *lane, int fd) {
  for (;;) {
    ssize_t length = recv(fd, lane->buffer, sizeof lane->buffer, MSG_DONTWAIT);
    if (length >= 0) take_datagram(caller, lane, (size_t)length, NULL);
    else if (errno != ECONNREFUSED && errno != EINTR) return;
  }
}

/** A question while it waits. */
typedef struct lars_wait {
  int fd;
  int64_t half_us, end_us;
  int sent_count;
  bool refused;
} lars_wait;

static void send_question(lars_caller *caller, lars_lane *lane, const lars_question *question,
                          lars_wait *wait) {
  wait->sent_count++;
  if (wait->sent_count > 1) lars_count(&caller->stats.resent, 1);
  if (!send_sealed(caller, lane, wait->fd, question->datagram, question->length)) {
    lars_count(&caller->stats.dropped, 1);
  }
}

/** Receives until there is nothing more; LARS_OK with the answer, LARS_TIMEOUT without. */
static lars_result receive_all(lars_caller *caller, lars_lane *lane, lars_question *question,
                               lars_wait *wait) {
  for (;;) {
    ssize_t length = recv(wait->fd, lane->buffer, sizeof lane->buffer, MSG_DONTWAIT);
    if (length >= 0) {
      if (take_datagram(caller, lane, (size_t)length, question)) return LARS_OK;
    } else if (errno == ECONNREFUSED) {
      /* The first refusal is forgiven: an agent that restarts may be there for the second try. */
      wait->refused = true;
      if (wait->sent_count >= 2) return LARS_NO_AGENT;
    } else if (errno != EINTR) {
      return is_passing(errno) ? LARS_TIMEOUT : LARS_CONNECT_FAILED;
    }
  }
}

static lars_result wait_answer(lars_caller *caller, lars_lane *lane, lars_question *question,
                               lars_wait *wait) {
  for (;;) {
    int64_t until_us = wait->sent_count < 2 ? wait->half_us : wait->end_us;
    int64_t left_us = until_us - now_us();
    if (left_us <= 0 && wait->sent_count >= 2) return wait->refused ? LARS_NO_AGENT : LARS_TIMEOUT;
    if (left_us <= 0) {
      send_question(caller, lane, question, wait);
      continue;
    }
    struct pollfd polled;
    polled.fd = wait->fd;
    polled.events = POLLIN;
    polled.revents = 0;
    struct timespec left;
    left.tv_sec = left_us / 1000000;
    left.tv_nsec = left_us % 1000000 * 1000;
    if (ppoll(&polled, 1, &left, NULL) <= 0) continue;
    lars_result result = receive_all(caller, lane, question, wait);
    if (result != LARS_TIMEOUT) return result;
  }
}

lars_result lars_ask(lars_caller *caller, lars_lane *lane, lars_question *question) {
  lars_wait wait;
  int port_index = question->port_index;
  wait.fd = lane_socket(caller, lane, port_index);
  if (wait.fd < 0) return LARS_CONNECT_FAILED;
  /* Answers about routes have no number, so an old one must not wait in the socket. */
  bool is_numbered =
      question->answer_id != LARS_GET_ROUTE_RESPONSE && question->answer_id != LARS_HELLO;
  if (lane->dirty[port_index] || !is_numbered) drain(caller, lane, wait.fd);
  int64_t start_us = now_us();
  wait.half_us = start_us + (int64_t)question->deadline_ms * 500;
  wait.end_us = start_us + (int64_t)question->deadline_ms * 1000;
  wait.sent_count = 0;
  wait.refused = false;
  lars_count(&caller->stats.questions, 1);
  send_question(caller, lane, question, &wait);
  lars_result result = wait_answer(caller, lane, question, &wait);
  lane->dirty[port_index] = result != LARS_OK || wait.sent_count > 1;
  if (result == LARS_CONNECT_FAILED) {
    close(wait.fd);
    lane->sockets[port_index] = -1;
  }
  return result;
}
