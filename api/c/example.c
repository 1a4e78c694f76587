// Shell. An example: calls a module through the agent of this host, and tells how the calls went.

/*
 *     example MODID CMDID [CALLS]
 *
 * A call here is a TCP connection to the node: it went well when the node accepts it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lars.h"

static int connect_to(const lars_host *host, const lars_attempt *attempt, void *context) {
  struct sockaddr_in node;
  char ip[16];
  (void)attempt;
  (void)context;
  memset(&node, 0, sizeof node);
  node.sin_family = AF_INET;
  node.sin_addr.s_addr = htonl(host->ip);
  node.sin_port = htons(host->port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return errno;
  int code = connect(fd, (const struct sockaddr *)(const void *)&node, sizeof node) == 0 ? 0 : errno;
  close(fd);
  lars_format_ip(host->ip, ip);
  printf("%s:%u %s%s\n", ip, (unsigned)host->port, code == 0 ? "ok" : strerror(code),
         host->stale ? " (the agent did not answer)" : "");
  /* The codes of Linux for a refused connection and a time that was over are those of Lars. */
  return code;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "Usage: example MODID CMDID [CALLS]\n");
    return 2;
  }
  uint32_t modid = (uint32_t)strtoul(argv[1], NULL, 10), cmdid = (uint32_t)strtoul(argv[2], NULL, 10);
  int calls = argc > 3 ? atoi(argv[3]) : 10, failed = 0;
  lars_caller *caller;
  lars_result result = lars_open(NULL, &caller);
  if (result != LARS_OK) {
    fprintf(stderr, "Cannot begin: %s\n", lars_result_text(result));
    return 1;
  }
  lars_call_options options;
  lars_call_options_init(&options);
  options.retries = 2;
  for (int at = 0; at < calls; at++) {
    result = lars_call(caller, modid, cmdid, &options, connect_to, NULL, NULL);
    if (result == LARS_OK) continue;
    failed++;
    fprintf(stderr, "Call %d: %s\n", at + 1, lars_result_text(result));
  }
  lars_close(caller);
  return failed == 0 ? 0 : 1;
}
