// What the C++ front adds to the C client: results, times, functions of calls, moves.

#include <cstdio>
#include <cstdlib>
#include <type_traits>

#include "lars.hpp"

namespace {

int checks = 0;

void check(bool condition, const char *what, int line) {
  checks++;
  if (condition) return;
  std::fprintf(stderr, "client_test.cpp:%d: must hold: %s\n", line, what);
  std::exit(1);
}

#define CHECK(condition) check(condition, #condition, __LINE__)

void test_results() {
  lars::Result<int> good = 7, bad = lars::Error::overload;
  CHECK(good && *good == 7 && good.value() == 7 && good.value_or(1) == 7);
  CHECK(!bad && bad.error() == lars::Error::overload && bad.value_or(1) == 1);
  bool thrown = false;
  try {
    bad.value();
  } catch (const lars::Failure &failure) {
    thrown = failure.error() == lars::Error::overload;
  }
  CHECK(thrown);
  CHECK(lars::retcode_of(lars::Error::no_route) == 3 && lars::retcode_of(lars::Error::timeout) == 2);
}

/** A client whose agent is not there: port 1 of loopback, and no table. */
lars::Options nobody() {
  lars::Options options;
  options.ports = {1, 2, 3};
  options.deadline = lars::Milliseconds(20);
  options.shared_table = "";
  return options;
}

void test_options() {
  lars::Options options = nobody();
  options.deadline = lars::Milliseconds(0);
  CHECK(lars::Client::open(options).error() == lars::Error::out_of_range);
  options.deadline = lars::Milliseconds(-1);
  CHECK(!lars::Client::open(options));
  options = nobody();
  options.retry_share = 1.5;
  CHECK(!lars::Client::open(options));
  bool thrown = false;
  try {
    lars::Client client(options);
  } catch (const lars::Failure &) {
    thrown = true;
  }
  CHECK(thrown);
}

void test_moves() {
  static_assert(!std::is_copy_constructible_v<lars::Client>);
  static_assert(std::is_nothrow_move_constructible_v<lars::Client>);
  lars::Client one(nobody());
  lars::Client other = std::move(one);
  CHECK(one.get_host(1, 1).error() == lars::Error::closed);
  auto host = other.get_host(1, 1);
  CHECK(!host && (host.error() == lars::Error::no_agent || host.error() == lars::Error::timeout));
}

void test_arguments() {
  lars::Client client(nobody());
  lars::Pick pick;
  pick.key = "";
  CHECK(client.get_host(1, 1, pick).error() == lars::Error::out_of_range);
  std::string longest(256, 'k'), longer(257, 'k');
  pick.key = longer;
  CHECK(client.get_host(1, 1, pick).error() == lars::Error::out_of_range);
  pick.key = longest;
  CHECK(client.get_host(1, 1, pick).error() != lars::Error::out_of_range);
  lars::Host host;
  CHECK(client.report(1, 1, host, 0) == lars::Error::out_of_range);
  host.port = 80;
  CHECK(client.report(1, 1, host, 0, lars::Milliseconds(-1)) == lars::Error::out_of_range);
  CHECK(!lars::parse_ip("10.0.0.256") && *lars::parse_ip("192.168.1.177") == 3232235953u);
  host.address = 3232235953u;
  CHECK(host.ip() == "192.168.1.177");
  int runs = 0;
  auto result = client.call(1, 1, [&](const lars::Host &, const lars::Attempt &) { runs++; });
  CHECK(!result && result.tries == 0 && runs == 0);
}

}  // namespace

int main() {
  test_results();
  test_options();
  test_moves();
  test_arguments();
  std::printf("client_test: %d checks\n", checks);
}
