// Shell. The driver of the C++ client: commands as lines, see api/conformance/README.md.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "lars.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using lars::Milliseconds;

/** A number that the types of the client cannot hold. */
struct OutOfRange {};

/** One line: its id, its command and its words. */
class Command {
 public:
  explicit Command(const std::string &line) {
    std::istringstream words(line);
    words >> id >> name;
    for (std::string word; words >> word;) {
      std::size_t at = word.find('=');
      if (at == std::string::npos) plain_.push_back(word);
      else named_[word.substr(0, at)] = word.substr(at + 1);
    }
  }

  std::optional<std::string> named(const std::string &key) const {
    auto found = named_.find(key);
    if (found == named_.end()) return std::nullopt;
    return found->second;
  }

  /** A number among the words without a name. */
  long long number(std::size_t index, long long least, long long most) const {
    if (index >= plain_.size()) throw OutOfRange();
    return checked(plain_[index], least, most);
  }

  int number_or(const std::string &key, int missing) const {
    auto text = named(key);
    return text ? static_cast<int>(checked(*text, INT32_MIN, INT32_MAX)) : missing;
  }

  std::optional<Milliseconds> time(const std::string &key) const {
    auto text = named(key);
    if (!text) return std::nullopt;
    return Milliseconds(checked(*text, INT32_MIN, INT32_MAX));
  }

  const std::string &word(std::size_t index) const { return plain_.at(index); }
  std::size_t count() const { return plain_.size(); }

  std::uint32_t modid() const { return static_cast<std::uint32_t>(number(0, INT32_MIN, UINT32_MAX)); }
  std::uint32_t cmdid() const { return static_cast<std::uint32_t>(number(1, INT32_MIN, UINT32_MAX)); }

  std::string id, name;

 private:
  static long long checked(const std::string &text, long long least, long long most) {
    std::size_t end = 0;
    long long value = 0;
    try {
      value = std::stoll(text, &end);
    } catch (const std::exception &) {
      throw OutOfRange();
    }
    if (end != text.size() || value < least || value > most) throw OutOfRange();
    return value;
  }

  std::vector<std::string> plain_;
  std::map<std::string, std::string> named_;
};

std::optional<lars::Client> client;
std::mutex output;

std::string word_of(lars::Error error) {
  switch (error) {
    case lars::Error::overload: return "overload";
    case lars::Error::agent: return "agent";
    case lars::Error::no_route: return "no_route";
    case lars::Error::timeout: return "timeout";
    case lars::Error::no_agent: return "no_agent";
    case lars::Error::connect: return "connect";
    case lars::Error::limit: return "limit";
    case lars::Error::closed: return "closed";
    case lars::Error::out_of_range: return "range";
    case lars::Error::no_memory: return "memory";
    case lars::Error::call_failed: return "failed";
  }
  return "unknown";
}

std::string error_text(lars::Error error) { return "error " + word_of(error); }

std::string error_or_ok(const std::optional<lars::Error> &error) {
  return error ? error_text(*error) : "ok";
}

std::string node_of(const lars::Host &host) { return host.ip() + ":" + std::to_string(host.port); }

std::string bytes_of_hex(const std::string &hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes.push_back(static_cast<char>(std::stoul(hex.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

/** What a pick is told; the key lives in `bytes`. */
lars::Pick pick_of(const Command &command, std::string &bytes) {
  lars::Pick pick;
  if (auto key = command.named("key")) {
    bytes = bytes_of_hex(*key);
    pick.key = bytes;
  }
  pick.deadline = command.time("deadline_ms");
  pick.first_route = command.time("first_route_ms");
  return pick;
}

std::string host_text(const lars::Host &host) {
  std::ostringstream text;
  text << "host " << node_of(host);
  if (host.weight) text << " weight=" << *host.weight;
  if (!host.zone.empty()) {
    static const char digits[] = "0123456789abcdef";
    text << " zone=";
    for (char c : host.zone) {
      unsigned byte = static_cast<unsigned char>(c);
      text << digits[byte >> 4] << digits[byte & 15];
    }
  }
  if (host.stale) text << " stale";
  return text.str();
}

std::string open(const Command &command) {
  lars::Options options;
  std::istringstream ports(command.named("ports").value_or(""));
  std::string port;
  for (auto &one : options.ports) {
    std::getline(ports, port, ',');
    one = static_cast<std::uint16_t>(std::stoul(port));
  }
  options.deadline = command.time("deadline_ms");
  options.first_route = command.time("first_route_ms");
  options.last_good = command.time("last_good_ms");
  if (auto share = command.named("retry_share")) options.retry_share = std::stod(*share);
  if (auto floor = command.named("retry_floor")) options.retry_floor_per_second = std::stod(*floor);
  options.shared_table = command.named("table");
  options.host = command.named("host").value_or(options.host);
  options.token = command.named("token");
  client.reset();
  auto opened = lars::Client::open(options);
  if (!opened) return error_text(opened.error());
  client.emplace(std::move(*opened));
  return "ok";
}

std::string get_host(const Command &command) {
  std::string bytes;
  auto host = client->get_host(command.modid(), command.cmdid(), pick_of(command, bytes));
  return host ? host_text(*host) : error_text(host.error());
}

std::string try_get_host(const Command &command) {
  std::string bytes;
  auto host = client->try_get_host(command.modid(), command.cmdid(), pick_of(command, bytes));
  if (host) return host_text(*host);
  if (host.error() == lars::Error::out_of_range) return error_text(host.error());
  return "code " + std::to_string(lars::retcode_of(host.error()));
}

std::string report(const Command &command) {
  lars::Host host;
  auto address = lars::parse_ip(command.word(2));
  if (!address) throw OutOfRange();
  host.address = *address;
  host.port = static_cast<std::uint16_t>(command.number(3, 0, UINT16_MAX));
  int code = static_cast<int>(command.number(4, INT32_MIN, INT32_MAX));
  std::optional<Milliseconds> took;
  if (command.count() > 5) took = Milliseconds(command.number(5, INT32_MIN, UINT32_MAX));
  return error_or_ok(client->report(command.modid(), command.cmdid(), host, code, took));
}

std::string get_route(const Command &command) {
  auto route = client->get_route(command.modid(), command.cmdid(), command.time("deadline_ms"));
  if (!route) return error_text(route.error());
  std::string text = "route";
  for (const auto &host : *route) text += " " + node_of(host);
  return text;
}

std::string reg_init(const Command &command) {
  auto error = client->reg_init(command.modid(), command.cmdid());
  return "code " + std::to_string(error ? lars::retcode_of(*error) : 0);
}

bool is_listed(const Command &command, const lars::Host &host) {
  std::istringstream list(command.named("bad").value_or(""));
  for (std::string node; std::getline(list, node, ',');) {
    if (node == node_of(host)) return true;
  }
  return false;
}

/** Thrown by the function of a call that has no code to tell. */
struct NodeFailure {};

std::string call(const Command &command) {
  std::string bytes;
  lars::CallOptions options;
  options.pick = pick_of(command, bytes);
  options.retries = command.number_or("retries", 0);
  options.timeout = command.time("timeout_ms");
  int tries = 0;
  try {
    auto result = client->call(command.modid(), command.cmdid(), [&](const lars::Host &host) {
      tries++;
      std::this_thread::sleep_for(Milliseconds(command.number_or("took_ms", 0)));
      if (!is_listed(command, host)) return 0;
      if (!command.named("bad_code")) throw NodeFailure();
      return command.number_or("bad_code", 0);
    }, options);
    std::string count = " tries=" + std::to_string(result.tries);
    if (result) return "called " + node_of(result.host) + count;
    if (*result.error == lars::Error::call_failed) return "failed" + count;
    return error_text(*result.error) + count;
  } catch (const NodeFailure &) {
    return "failed tries=" + std::to_string(tries);
  }
}

std::string explain(const Command &command) {
  auto explanation = client->explain(command.modid(), command.cmdid(), command.time("deadline_ms"));
  if (!explanation) return error_text(explanation.error());
  return *explanation ? "json nodes=" + std::to_string((*explanation)->nodes) : "none";
}

/** Calls that each thread of `load` makes at least, however late it is. */
constexpr int LOAD_CALLS_MIN = 20;

/** What the threads of `load` saw. */
struct Load {
  std::mutex lock;
  long ok = 0, stale = 0, failed = 0;
  Clock::duration longest{};
  std::map<std::string, long> nodes;
};

void run_load(const Command &command, Clock::time_point end, Load &load) {
  for (int calls = 0; calls < LOAD_CALLS_MIN || Clock::now() < end; calls++) {
    auto start = Clock::now();
    auto host = client->try_get_host(command.modid(), command.cmdid());
    auto took = Clock::now() - start;
    {
      std::lock_guard<std::mutex> guard(load.lock);
      load.longest = std::max(load.longest, took);
      if (!host) load.failed++;
      else if (host->stale) load.stale++;
      else load.ok++;
      if (host) load.nodes[node_of(*host)]++;
    }
    if (host) {
      int code = is_listed(command, *host) ? lars::c::LARS_CODE_REFUSED : 0;
      (void)client->report(command.modid(), command.cmdid(), *host, code, Milliseconds(1));
    }
    std::this_thread::sleep_for(Milliseconds(command.number_or("pause_ms", 1)));
  }
}

std::string load(const Command &command) {
  Load load;
  auto end = Clock::now() + Milliseconds(command.number_or("ms", 0));
  std::vector<std::thread> threads;
  for (int at = 0; at < command.number_or("threads", 1); at++) {
    threads.emplace_back([&] { run_load(command, end, load); });
  }
  for (auto &thread : threads) thread.join();
  std::string nodes, most;
  long most_picks = 0;
  for (const auto &[node, picks] : load.nodes) {
    nodes += (nodes.empty() ? "" : ",") + node;
    if (picks <= most_picks) continue;
    most_picks = picks;
    most = node;
  }
  auto longest = std::chrono::ceil<Milliseconds>(load.longest).count();
  std::ostringstream text;
  text << "load ok=" << load.ok << " stale=" << load.stale << " failed=" << load.failed
       << " longest_ms=" << longest << " nodes=" << nodes << " most=" << most;
  return text.str();
}

long pick_often(const Command &command) {
  long picked = 0;
  for (int at = 0; at < command.number_or("picks", 1); at++) {
    auto host = client->get_host(command.modid(), command.cmdid());
    if (host && !host->stale) picked++;
  }
  return picked;
}

/** Parent and child pick at the same time; the child tells what it saw through a pipe. */
std::string fork_and_pick(const Command &command) {
  int ends[2];
  std::uint64_t child_saw[2] = {0, 0};
  if (pipe(ends) != 0) std::abort();
  std::uint64_t late_before = client->stats().late;
  pid_t child = fork();
  if (child < 0) std::abort();
  std::uint64_t saw[2] = {static_cast<std::uint64_t>(pick_often(command)), 0};
  saw[1] = client->stats().late - late_before;
  if (child == 0) _exit(write(ends[1], saw, sizeof saw) == ssize_t{sizeof saw} ? 0 : 1);
  close(ends[1]);
  if (read(ends[0], child_saw, sizeof child_saw) != ssize_t{sizeof child_saw}) child_saw[0] = 0;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  std::ostringstream text;
  text << "forked parent=" << saw[0] << " child=" << child_saw[0] << " late=" << saw[1] + child_saw[1];
  return text.str();
}

std::string stats(const Command &) {
  lars::Stats stats = client->stats();
  std::ostringstream text;
  text << "stats resent=" << stats.resent << " late=" << stats.late << " garbage=" << stats.garbage
       << " stale=" << stats.stale << " retried=" << stats.retried
       << " retries_refused=" << stats.retries_refused << " dropped=" << stats.dropped
       << " outcomes_dropped=" << stats.outcomes_dropped << " tables=" << stats.tables;
  return text.str();
}

std::string close_client(const Command &) {
  client.reset();
  return "ok";
}

const std::map<std::string, std::string (*)(const Command &)> COMMANDS = {
    {"open", open},         {"close", close_client}, {"get_host", get_host},
    {"try_get_host", try_get_host}, {"report", report}, {"get_route", get_route},
    {"reg_init", reg_init}, {"call", call},          {"explain", explain},
    {"load", load},         {"fork", fork_and_pick}, {"stats", stats},
};

std::string result_of(const Command &command) {
  auto found = COMMANDS.find(command.name);
  if (found == COMMANDS.end()) return "unsupported";
  bool needs_client = command.name != "open" && command.name != "close";
  if (needs_client && !client) return error_text(lars::Error::closed);
  try {
    return found->second(command);
  } catch (const OutOfRange &) {
    return error_text(lars::Error::out_of_range);
  }
}

void answer(const Command &command) {
  std::string line = command.id + " " + result_of(command) + "\n";
  std::lock_guard<std::mutex> guard(output);
  std::cout << line << std::flush;
}

}  // namespace

int main() {
  std::cout << "driver 1 threads fork table" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    Command command(line);
    bool changes_client = command.name == "open" || command.name == "close";
    if (changes_client) answer(command);
    else std::thread([command] { answer(command); }).detach();
  }
  client.reset();
}
