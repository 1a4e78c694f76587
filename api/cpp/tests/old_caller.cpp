// A caller as it was written for the C++ original, from its description alone: no name of ours.

#include "lars_api.h"

#include <iostream>
#include <map>

/*
 *     old_caller ModID CmdID ERRORS_OF_TEN CALLS
 *
 * Prints the route, then calls nodes; those whose last digit of the port is 9 fail. At the end it
 * prints what each node got. The exit code is that of reg_init.
 */
int main(int argc, char **argv) {
  if (argc < 5) {
    std::cout << "usage: ./old_caller ModID CmdID errRate callCount" << std::endl;
    return 100;
  }
  int modid = atoi(argv[1]);
  int cmdid = atoi(argv[2]);
  int fails_all = atoi(argv[3]) == 10;
  int count = atoi(argv[4]);

  lars_client api;
  int registered = api.reg_init(modid, cmdid);

  route_set route;
  route.push_back(ip_port("0.0.0.0", 1));
  int ret = api.get_route(modid, cmdid, route);
  std::cout << "get_route " << ret << " " << route.size() - 1 << std::endl;
  for (route_set_it it = route.begin() + 1; it != route.end(); ++it) {
    std::cout << "node " << it->first << ":" << it->second << std::endl;
  }

  std::map<std::pair<std::string, int>, int> picked;
  int codes[4] = {0, 0, 0, 0};
  for (int i = 0; i < count; ++i) {
    std::string ip = "untouched";
    int port = -5;
    ret = api.get_host(modid, cmdid, ip, port);
    if (ret < 0 || ret > 3) return 101;
    codes[ret]++;
    if (ret == lars::RET_SUCC) {
      picked[std::make_pair(ip, port)]++;
      api.report(modid, cmdid, ip, port, fails_all || port % 10 == 9 ? 1 : 0);
    } else {
      if (ip != "untouched" || port != -5) return 102;
      // Old callers do so after an overload; it must not hurt.
      api.report(modid, cmdid, ip, port, 1);
    }
    usleep(500);
  }
  std::map<std::pair<std::string, int>, int>::iterator it;
  for (it = picked.begin(); it != picked.end(); ++it) {
    std::cout << "picked " << it->first.first << ":" << it->first.second << " " << it->second
              << std::endl;
  }
  std::cout << "codes " << codes[lars::RET_SUCC] << " " << codes[lars::RET_OVERLOAD] << " "
            << codes[lars::RET_SYSTEM_ERROR] << " " << codes[lars::RET_NOEXIST] << std::endl;
  return registered;
}
