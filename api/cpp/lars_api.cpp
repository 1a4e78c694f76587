// Shell. liblarsclient: the original's class on the client of this repository.

#include "lars_api.h"

#include "lars.hpp"

namespace {

enum { PORT_MAX = 65533, DEADLINE_MS = 500 };

/** A number of the environment; what is missing or out of range counts as not set. */
long number_of(const char *name, long least, long most, long missing) {
  const char *text = std::getenv(name);
  char *end = nullptr;
  if (text == nullptr) return missing;
  long value = std::strtol(text, &end, 10);
  return end != text && *end == 0 && value >= least && value <= most ? value : missing;
}

lars::Options options_of_environment() {
  lars::Options options;
  const char *host = std::getenv("LARS_AGENT_IP");
  if (host != nullptr && *host != 0) options.host = host;
  long first = number_of("LARS_AGENT_PORT", 1, PORT_MAX, options.ports[0]);
  for (std::size_t at = 0; at < options.ports.size(); at++) {
    options.ports[at] = static_cast<std::uint16_t>(static_cast<std::size_t>(first) + at);
  }
  options.deadline = lars::Milliseconds(
      number_of("LARS_AGENT_DEADLINE_MS", 1, lars::c::LARS_DEADLINE_MS_MAX, DEADLINE_MS));
  const char *table = std::getenv("LARS_AGENT_SHARED_TABLE");
  if (table != nullptr) options.shared_table = table;
  return options;
}

/** The client of the process; none when the agent's name does not resolve. */
lars::Client *shared_client() {
  static lars::Result<lars::Client> client = lars::Client::open(options_of_environment());
  return client ? &*client : nullptr;
}

std::uint32_t id_of(int id) { return static_cast<std::uint32_t>(id); }

}  // namespace

lars_client::lars_client() { shared_client(); }

lars_client::~lars_client() {}

int lars_client::reg_init(int modid, int cmdid) {
  lars::Client *client = shared_client();
  bool has_nodes = client != nullptr && !client->reg_init(id_of(modid), id_of(cmdid));
  return has_nodes ? lars::RET_SUCC : lars::RET_NOEXIST;
}

int lars_client::get_host(int modid, int cmdid, std::string &ip, int &port) {
  lars::Client *client = shared_client();
  if (client == nullptr) return lars::RET_SYSTEM_ERROR;
  /* As the original: a module whose first route has not come yet does not exist at this moment. */
  lars::Result<lars::Host> host = client->try_get_host(id_of(modid), id_of(cmdid));
  if (!host) return lars::retcode_of(host.error());
  ip = host->ip();
  port = host->port;
  return lars::RET_SUCC;
}

void lars_client::report(int modid, int cmdid, const std::string &ip, int port, int retcode) {
  lars::Client *client = shared_client();
  std::optional<std::uint32_t> address = lars::parse_ip(ip);
  /* Old callers report an overload with whatever ip and port they had before. */
  if (client == nullptr || !address || port < 1 || port > 65535) return;
  lars::Host host;
  host.address = *address;
  host.port = static_cast<std::uint16_t>(port);
  (void)client->report(id_of(modid), id_of(cmdid), host, retcode);
}

int lars_client::get_route(int modid, int cmdid, route_set &route) {
  lars::Client *client = shared_client();
  if (client == nullptr) return lars::RET_SYSTEM_ERROR;
  lars::Result<std::vector<lars::Host>> hosts = client->get_route(id_of(modid), id_of(cmdid));
  if (!hosts) return lars::RET_SYSTEM_ERROR;
  for (const lars::Host &host : *hosts) {
    /* The original knows no nodes that are there and get no calls. */
    if (!host.draining) route.push_back(ip_port(host.ip(), host.port));
  }
  return lars::RET_SUCC;
}
