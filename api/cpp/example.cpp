// Shell. An example: calls a module through the agent of this host, and tells how the calls went.

/*
 *     example MODID CMDID [CALLS]
 *
 * A call here is a TCP connection to the node: it went well when the node accepts it.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "lars.hpp"

/** 0, or the number of the error: 111 and 110 of Linux are those of Lars for refused and late. */
static int connect_to(const lars::Host &host) {
  sockaddr_in node{};
  node.sin_family = AF_INET;
  node.sin_addr.s_addr = htonl(host.address);
  node.sin_port = htons(host.port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return errno;
  int code = connect(fd, reinterpret_cast<const sockaddr *>(&node), sizeof node) == 0 ? 0 : errno;
  close(fd);
  std::cout << host.ip() << ":" << host.port << " " << (code == 0 ? "ok" : std::strerror(code)) << "\n";
  return code;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    std::cerr << "Usage: example MODID CMDID [CALLS]\n";
    return 2;
  }
  auto modid = static_cast<std::uint32_t>(std::stoul(argv[1]));
  auto cmdid = static_cast<std::uint32_t>(std::stoul(argv[2]));
  int calls = argc > 3 ? std::stoi(argv[3]) : 10, failed = 0;
  lars::Client client;
  lars::CallOptions options;
  options.retries = 2;
  for (int at = 0; at < calls; at++) {
    auto result = client.call(modid, cmdid, connect_to, options);
    if (result) continue;
    failed++;
    std::cerr << "Call " << at + 1 << ": " << lars::text_of(*result.error) << "\n";
  }
  return failed == 0 ? 0 : 1;
}
