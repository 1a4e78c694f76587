// Shell. The client of the C++ original, by its names: old callers compile against it unchanged.

/*
 *     #include "lars_api.h"      and      -llarsclient
 *
 * The agent is at 127.0.0.1, UDP 8888 to 8890; LARS_AGENT_IP and LARS_AGENT_PORT (the first of three)
 * name another one, LARS_AGENT_DEADLINE_MS (500) how long a question may take. The original waits for
 * ever; here a question that is not answered in time gives lars::RET_SYSTEM_ERROR, unless a node that
 * the agent named earlier can stand in for it.
 *
 * Any number of objects may be made, by any thread; all of a process share one set of sockets.
 */
#ifndef LARS_API_H
#define LARS_API_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

namespace lars {

enum LarsRetCode { RET_SUCC = 0, RET_OVERLOAD = 1, RET_SYSTEM_ERROR = 2, RET_NOEXIST = 3 };

}  // namespace lars

typedef std::pair<std::string, int> ip_port;
typedef std::vector<ip_port> route_set;
typedef route_set::iterator route_set_it;

class __attribute__((visibility("default"))) lars_client {
 public:
  lars_client();
  ~lars_client();

  /** Makes the agent fetch the route of a module: three tries, 50 ms apart. 0, or 3 for no node. */
  int reg_init(int modid, int cmdid);

  /** The next node: 0, 1 overload, 2 system error, 3 does not exist. Only 0 touches ip and port. */
  int get_host(int modid, int cmdid, std::string &ip, int &port);

  /** Tells how a call went: 0 for success. What is no address or port is not told to anybody. */
  void report(int modid, int cmdid, const std::string &ip, int port, int retcode);

  /** Appends every node of a module: 0, or 2 system error. A module that is not known has none. */
  int get_route(int modid, int cmdid, route_set &route);
};

#endif
