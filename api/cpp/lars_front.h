// Core. The C++ front of the client; joined with the C sources into lars.hpp, and not included itself.

// ---- What programs use: namespace lars.

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace lars {

using Milliseconds = std::chrono::milliseconds;

/** Why there is no answer. */
enum class Error {
  /** Every node of the module is overloaded: shed the call, or try again a little later. */
  overload = c::LARS_OVERLOAD,
  /** The agent could not do its work, or answered with a code that is not known. */
  agent = c::LARS_AGENT_ERROR,
  /** The agent knows no node of the module (yet). */
  no_route = c::LARS_NO_ROUTE,
  /** No answer in time. */
  timeout = c::LARS_TIMEOUT,
  /** Nobody listens at the agent's address. */
  no_agent = c::LARS_NO_AGENT,
  /** A socket failed, or the agent's name does not resolve. */
  connect = c::LARS_CONNECT_FAILED,
  /** Too many questions are under way. */
  limit = c::LARS_LIMIT,
  /** The client was moved from. */
  closed = c::LARS_CLOSED,
  /** An argument is out of range: a fault of the program. */
  out_of_range = c::LARS_OUT_OF_RANGE,
  /** No memory. */
  no_memory = c::LARS_NO_MEMORY,
  /** The function of a call failed. */
  call_failed = c::LARS_CALL_FAILED
};

/** What an error means, as a short English text. */
inline const char *text_of(Error error) {
  return c::lars_result_text(static_cast<c::lars_result>(error));
}

/** The return code of the original for an error: 1, 2 or 3. */
inline int retcode_of(Error error) {
  return c::lars_retcode(static_cast<c::lars_result>(error));
}

/** Thrown by Result::value() and by the constructor of Client. */
class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(text_of(error)), error_(error) {}
  Error error() const noexcept { return error_; }

 private:
  Error error_;
};

/** A value, or why there is none; as std::expected of C++23. */
template <class Value>
class [[nodiscard]] Result {
 public:
  Result(Value value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, error) {}
  /** Makes the value in its place, of what converts to it. */
  template <class From>
  Result(std::in_place_t, From &&from) : held_(std::in_place_index<0>, std::forward<From>(from)) {}

  bool has_value() const noexcept { return held_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /** The value; throws Failure when there is none. */
  Value &value() & {
    check();
    return *std::get_if<0>(&held_);
  }
  const Value &value() const & {
    check();
    return *std::get_if<0>(&held_);
  }
  Value &&value() && {
    check();
    return std::move(*std::get_if<0>(&held_));
  }

  /** The value; only where there is one. */
  Value &operator*() noexcept { return *std::get_if<0>(&held_); }
  const Value &operator*() const noexcept { return *std::get_if<0>(&held_); }
  Value *operator->() noexcept { return std::get_if<0>(&held_); }
  const Value *operator->() const noexcept { return std::get_if<0>(&held_); }

  template <class Other>
  Value value_or(Other &&other) const {
    return has_value() ? **this : static_cast<Value>(std::forward<Other>(other));
  }

  /** Why there is no value; only where there is none. */
  Error error() const noexcept { return *std::get_if<1>(&held_); }

 private:
  void check() const {
    if (!has_value()) throw Failure(error());
  }

  std::variant<Value, Error> held_;
};

/** A node. */
struct Host {
  /** IPv4 address in host order: 192.168.1.177 is 3232235953. */
  std::uint32_t address = 0;
  /** 1 to 65535. */
  std::uint16_t port = 0;
  /** The agent did not answer in time, and this is a node it named earlier. */
  bool stale = false;
  /** In routes: gets no new picks. */
  bool draining = false;
  /** 0 to 10000; none when the agent does not say. */
  std::optional<int> weight;
  /** UTF-8; empty when the node is in none, or the agent does not say. */
  std::string zone;

  /** The address as dotted text. */
  std::string ip() const {
    char text[16];
    c::lars_format_ip(address, text);
    return text;
  }

  bool operator==(const Host &other) const noexcept {
    return address == other.address && port == other.port;
  }
  bool operator!=(const Host &other) const noexcept { return !(*this == other); }
};

/** The address as a number; none for a text that is no dotted IPv4 address. */
inline std::optional<std::uint32_t> parse_ip(const std::string &text) {
  std::uint32_t address = 0;
  if (!c::lars_parse_ip(text.c_str(), &address)) return std::nullopt;
  return address;
}

/** Where the agent is and how patient to be. */
struct Options {
  /** Address of the agent, which should run on this very host. */
  std::string host = "127.0.0.1";
  /** The agent's three UDP ports. */
  std::array<std::uint16_t, 3> ports{{8888, 8889, 8890}};
  /** Time a question may take; none: 50 ms. One that is set ends waiting for a first route too. */
  std::optional<Milliseconds> deadline;
  /** How long get_host waits for the first route of a module; none: a second; 0 does not. */
  std::optional<Milliseconds> first_route;
  /** For how long a node named earlier may stand in for the agent; none: no limit; 0: never. */
  std::optional<Milliseconds> last_good;
  /** Retries that each call with retries allows, 0 to 1. */
  double retry_share = 0.2;
  /** Retries for each second whatever the number of calls, 0 to 1000. */
  double retry_floor_per_second = 1;
  /** Path of the agent's table; none: that of the agent with the first port; empty: no table. */
  std::optional<std::string> shared_table;
  /** Shared secret of 1 to 1024 bytes, for an agent on another host that wants one. */
  std::optional<std::string> token;
};

/** What a pick can be told. */
struct Pick {
  /** 1 to 256 bytes: calls of one key stay on one node where the policy of the module heeds keys. */
  std::optional<std::string_view> key;
  /** None: that of the client. */
  std::optional<Milliseconds> deadline;
  /** None: that of the client. */
  std::optional<Milliseconds> first_route;
};

/** Which try of a call it is. */
struct Attempt {
  /** 0 for the first try. */
  int number = 0;
  /** Time until the call is over; none without `timeout`. */
  std::optional<Milliseconds> left;
};

/** What a call can be told. */
struct CallOptions {
  Pick pick;
  /** Further nodes to try after a failure, 0 to 10; for calls that may be made twice. */
  int retries = 0;
  /** Time for picks and tries together; none: no limit. */
  std::optional<Milliseconds> timeout;
  /** Whether another node may do better after this code; empty: always. */
  std::function<bool(int code, const Host &host)> is_retryable;
};

/** How a call went. */
struct [[nodiscard]] CallResult {
  /** None: it went well. */
  std::optional<Error> error;
  /** The node of the last try. */
  Host host;
  /** What the function returned last; 110 when the time was over first. */
  int code = 0;
  /** How often the function ran. */
  int tries = 0;

  explicit operator bool() const noexcept { return !error.has_value(); }
};

using Stats = c::lars_stats;

/** An explanation of a module. */
struct Explanation {
  /** All nodes, with the reasons of their states. */
  std::string json;
  std::size_t nodes = 0;
};

/**
 * A caller's side of Lars. Ask for a node, call it, tell how it went:
 *
 *     lars::Client client;
 *     if (auto host = client.get_host(1, 1)) {
 *       int code = my_call(host->ip(), host->port);
 *       client.report(1, 1, *host, code, took);
 *     }
 *
 * One client serves a whole process: every function may be called by any number of threads at once,
 * and on both sides of a fork. Each question ends by its deadline. The destructor sends what waits.
 */
class Client {
 public:
  /** Nothing is sent yet. Throws Failure for an option that is out of range. */
  explicit Client(const Options &options = {}) : caller_(open_caller(options).value()) {}

  /** The same without exceptions. */
  static Result<Client> open(const Options &options = {}) {
    Result<Caller> caller = open_caller(options);
    if (!caller) return caller.error();
    return Client(std::move(*caller));
  }

  /** The next node of a module; waits for the first route of one that is asked for first. */
  Result<Host> get_host(std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    return pick_with(c::lars_get_host, modid, cmdid, pick);
  }

  /** The same without waiting for a first route. */
  Result<Host> try_get_host(std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    return pick_with(c::lars_try_get_host, modid, cmdid, pick);
  }

  /** The next node as the client was told: the way of nearly all picks, as short as it can be. */
  Result<Host> get_host(std::uint32_t modid, std::uint32_t cmdid) {
    std::uint64_t entry = hot_entry(modid, cmdid);
    if (entry == 0) return pick_with(c::lars_get_host, modid, cmdid, Pick());
    return Result<Host>(std::in_place, HostOfEntry{entry});
  }

  Result<Host> try_get_host(std::uint32_t modid, std::uint32_t cmdid) {
    std::uint64_t entry = hot_entry(modid, cmdid);
    if (entry == 0) return pick_with(c::lars_try_get_host, modid, cmdid, Pick());
    return Result<Host>(std::in_place, HostOfEntry{entry});
  }

  /** Tells how a call went: 0 for success, anything else is a failure; and what it took. */
  std::optional<Error> report(std::uint32_t modid, std::uint32_t cmdid, const Host &host, int code,
                              std::optional<Milliseconds> took = std::nullopt) {
    c::lars_host node;
    node.ip = host.address;
    node.port = host.port;
    std::int64_t took_ms = took ? took->count() : LARS_TIME_UNKNOWN;
    /* A negative time is no unknown one. */
    if (took && took_ms < 0) return Error::out_of_range;
    return error_of(c::lars_report(caller_.get(), modid, cmdid, &node, code, took_ms));
  }

  /**
   * Picks a node, runs the function with it, and reports how it went and how long it took. The
   * function is given the node, and an Attempt if it wants one; it returns 0 or the code of the
   * failure, or nothing. One that throws has failed with code 2, and what the last try threw is
   * thrown again here.
   */
  template <class Function>
  CallResult call(std::uint32_t modid, std::uint32_t cmdid, Function &&function,
                  const CallOptions &options = {}) {
    Run<Function> run{function, options, nullptr};
    c::lars_call_options told;
    c::lars_call_options_init(&told);
    if (!read_pick(options.pick, &told.pick)) return failed_call(Error::out_of_range);
    told.retries = options.retries;
    if (options.timeout) told.timeout_ms = options.timeout->count() > 0 ? options.timeout->count() : 0;
    if (options.is_retryable) told.is_retryable = Run<Function>::may_retry;
    c::lars_outcome outcome;
    std::memset(&outcome, 0, sizeof outcome);
    c::lars_result result = c::lars_call(caller_.get(), modid, cmdid, &told, Run<Function>::once,
                                         &run, &outcome);
    if (result == c::LARS_CALL_FAILED && run.thrown) std::rethrow_exception(run.thrown);
    return {error_of(result), host_of(outcome.host), outcome.code, outcome.tries};
  }

  /** Every node of a module, overloaded ones too; none when there is no such module. */
  Result<std::vector<Host>> get_route(std::uint32_t modid, std::uint32_t cmdid,
                                      std::optional<Milliseconds> deadline = std::nullopt) {
    /* The smallest node takes 6 bytes of a datagram. */
    std::vector<c::lars_host> nodes(256);
    for (;;) {
      std::size_t count = 0;
      c::lars_result result = c::lars_get_route(caller_.get(), modid, cmdid, ms_of(deadline),
                                                nodes.data(), nodes.size(), &count);
      if (result != c::LARS_OK) return static_cast<Error>(result);
      if (count <= nodes.size()) {
        std::vector<Host> hosts;
        hosts.reserve(count);
        for (std::size_t at = 0; at < count; at++) hosts.push_back(host_of(nodes[at]));
        return hosts;
      }
      nodes.resize(count);
    }
  }

  /** Fetches the route of a module when a program starts; none: there are nodes. */
  std::optional<Error> reg_init(std::uint32_t modid, std::uint32_t cmdid) {
    return error_of(c::lars_reg_init(caller_.get(), modid, cmdid));
  }

  /** Why which node of a module is picked; none inside when the agent does not know the module. */
  Result<std::optional<Explanation>> explain(
      std::uint32_t modid, std::uint32_t cmdid,
      std::optional<Milliseconds> deadline = std::nullopt) {
    char *json = nullptr;
    Explanation explanation;
    c::lars_result result = c::lars_explain(caller_.get(), modid, cmdid, ms_of(deadline), &json,
                                            &explanation.nodes);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    if (json == nullptr) return std::optional<Explanation>();
    std::unique_ptr<char, void (*)(char *)> kept(json, c::lars_free);
    explanation.json = json;
    return std::optional<Explanation>(std::move(explanation));
  }

  /** Counters for whoever watches the program. */
  Stats stats() const {
    Stats stats;
    std::memset(&stats, 0, sizeof stats);
    c::lars_read_stats(caller_.get(), &stats);
    return stats;
  }

 private:
  struct Close {
    void operator()(c::lars_caller *caller) const noexcept { c::lars_close(caller); }
  };
  using Caller = std::unique_ptr<c::lars_caller, Close>;

  /** The function of a call, and what it threw last. */
  template <class Function>
  struct Run {
    Function &function;
    const CallOptions &options;
    std::exception_ptr thrown;

    static int once(const c::lars_host *node, const c::lars_attempt *told, void *context) {
      Run &run = *static_cast<Run *>(context);
      run.thrown = nullptr;
      try {
        Attempt attempt;
        attempt.number = told->number;
        if (told->left_ms >= 0) attempt.left = Milliseconds(told->left_ms);
        return run.invoke(host_of(*node), attempt);
      } catch (...) {
        run.thrown = std::current_exception();
        return c::LARS_CODE_OTHER;
      }
    }

    int invoke(const Host &host, const Attempt &attempt) {
      if constexpr (std::is_invocable_v<Function &, const Host &, const Attempt &>) {
        return code_of([&] { return function(host, attempt); });
      } else {
        return code_of([&] { return function(host); });
      }
    }

    template <class Bound>
    static int code_of(Bound &&bound) {
      if constexpr (std::is_void_v<decltype(bound())>) {
        bound();
        return 0;
      } else {
        return static_cast<int>(bound());
      }
    }

    static bool may_retry(int code, const c::lars_host *node, void *context) {
      return static_cast<Run *>(context)->options.is_retryable(code, host_of(*node));
    }
  };

  /** An entry of the table as a node, made where it is wanted. */
  struct HostOfEntry {
    std::uint64_t entry;
    operator Host() const {
      return {c::lars_entry_ip(entry), c::lars_entry_port(entry), false, false, std::nullopt, {}};
    }
  };

  std::uint64_t hot_entry(std::uint32_t modid, std::uint32_t cmdid) const noexcept {
    return caller_ ? c::lars_pick_hot(caller_.get(), modid, cmdid) : 0;
  }

  explicit Client(Caller caller) : caller_(std::move(caller)) {}

  static Result<Caller> open_caller(const Options &options) {
    c::lars_options told;
    c::lars_options_init(&told);
    told.host = options.host.c_str();
    for (std::size_t at = 0; at < options.ports.size(); at++) told.ports[at] = options.ports[at];
    told.deadline_ms = ms_of(options.deadline);
    told.first_route_ms = ms_of(options.first_route);
    if (options.last_good) told.last_good_ms = options.last_good->count();
    told.retry_share = options.retry_share;
    told.retry_floor_per_second = options.retry_floor_per_second;
    if (options.shared_table) told.shared_table = options.shared_table->c_str();
    if (options.token) {
      told.token = options.token->data();
      told.token_bytes = options.token->size();
    }
    c::lars_caller *caller = nullptr;
    c::lars_result result = c::lars_open(&told, &caller);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    return Caller(caller);
  }

  /** A time as the C functions take it; what they would take for none becomes out of range. */
  static int ms_of(const std::optional<Milliseconds> &time) {
    if (!time) return c::LARS_DEFAULT;
    auto count = time->count();
    return count < 0 || count > c::LARS_CALL_MS_MAX ? c::LARS_CALL_MS_MAX : static_cast<int>(count);
  }

  static bool read_pick(const Pick &pick, c::lars_pick *told) {
    c::lars_pick_init(told);
    if (pick.key) {
      if (pick.key->empty()) return false;
      told->key = pick.key->data();
      told->key_bytes = pick.key->size();
    }
    told->deadline_ms = ms_of(pick.deadline);
    told->first_route_ms = ms_of(pick.first_route);
    return true;
  }

  static Host host_of(const c::lars_host &node) {
    Host host;
    host.address = node.ip;
    host.port = node.port;
    host.stale = node.stale;
    host.draining = node.draining;
    if (node.weight >= 0) host.weight = node.weight;
    if (node.zone[0] != 0) host.zone = node.zone;
    return host;
  }

  static std::optional<Error> error_of(c::lars_result result) {
    if (result == c::LARS_OK) return std::nullopt;
    return static_cast<Error>(result);
  }

  static CallResult failed_call(Error error) {
    CallResult failed;
    failed.error = error;
    return failed;
  }

  template <class Asker>
  Result<Host> pick_with(Asker asker, std::uint32_t modid, std::uint32_t cmdid, const Pick &pick) {
    c::lars_pick told;
    c::lars_host node;
    bool is_plain = !pick.key && !pick.deadline && !pick.first_route;
    if (!is_plain && !read_pick(pick, &told)) return Error::out_of_range;
    c::lars_result result = asker(caller_.get(), modid, cmdid, is_plain ? nullptr : &told, &node);
    if (result != c::LARS_OK) return static_cast<Error>(result);
    return host_of(node);
  }

  Caller caller_;
};

}  // namespace lars
