// Shell. The structs of the discovery protocol, as seed programs declare them.
#ifndef PUBLIC_HEAD_H
#define PUBLIC_HEAD_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum {
  cmd_connect = 0,
  cmd_backconnect,
  cmd_unconnect,
  cmd_register,
  cmd_unregister,
  cmd_heart,
  cmd_max
} command;

typedef struct {
  int id;
  char ip[16];
  in_port_t port;
} serverinfo;

typedef struct {
  command cmd;
  int arglen;
  unsigned char argv[0];
} message;

typedef struct {
  int back;
  int id;
} connectback;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int dial(const char *ip, int port) {
  struct sockaddr_in address;
  struct timeval limit = {5, 0};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = inet_addr(ip);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) fail("connect");
  return fd;
}

static void writen(int fd, const void *buffer, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t some = write(fd, (const char *)buffer + done, n - done);
    if (some <= 0) fail("write");
    done += some;
  }
}

static void readn(int fd, void *buffer, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t some = read(fd, (char *)buffer + done, n - done);
    if (some <= 0) fail("read");
    done += some;
  }
}

/* Sends one command as one block of memory, as seed programs do. */
static void send_command(int fd, int cmd, const void *argv, int arglen) {
  char block[4096];
  message *msg = (message *)block;
  memset(block, 0, sizeof(block));
  msg->cmd = cmd;
  msg->arglen = arglen;
  if (arglen > 0) memcpy(msg->argv, argv, arglen);
  writen(fd, block, sizeof(message) + arglen);
}

#endif
