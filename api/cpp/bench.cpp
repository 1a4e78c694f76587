// Shell. The bench program of the C++ client; see "Programs of the languages" in bench/README.md.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <thread>

#include "lars.hpp"

namespace {

constexpr std::uint32_t CMD_ID = 1;
constexpr std::size_t ECHO_BYTES = 21;
constexpr int CALLS_BETWEEN_LOOKS = 64;

using Clock = std::chrono::steady_clock;

/** What the program was started with. */
struct Words {
  int port = 0, echo_port = 0;
  std::uint32_t modules = 1;
  std::string table;
};

Words read_words(int count, char **words) {
  Words read;
  for (int at = 1; at < count; at++) {
    std::string word = words[at];
    std::string value = word.substr(word.find('=') + 1);
    if (word.rfind("port=", 0) == 0) read.port = std::stoi(value);
    if (word.rfind("table=", 0) == 0) read.table = value;
    if (word.rfind("modules=", 0) == 0) read.modules = static_cast<std::uint32_t>(std::stoul(value));
    if (word.rfind("echo=", 0) == 0) read.echo_port = std::stoi(value);
  }
  return read;
}

lars::Options options_of(const Words &words, const std::string &table) {
  lars::Options options;
  for (std::size_t at = 0; at < 3; at++) {
    options.ports[at] = static_cast<std::uint16_t>(static_cast<std::size_t>(words.port) + at);
  }
  options.deadline = std::chrono::seconds(1);
  options.shared_table = table;
  return options;
}

bool pick_and_report(lars::Client &client, std::uint32_t module, bool reports) {
  auto host = client.try_get_host(module, CMD_ID);
  if (!host || host->stale) return false;
  return !reports || !client.report(module, CMD_ID, *host, 0, lars::Milliseconds(1));
}

/** A socket to the server that sends datagrams back. */
class Echo {
 public:
  explicit Echo(int port) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval wait{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd_, reinterpret_cast<const sockaddr *>(&to), sizeof to) != 0) std::exit(2);
  }
  Echo(const Echo &) = delete;
  ~Echo() { close(fd_); }

  bool once() {
    unsigned char bytes[ECHO_BYTES] = {4}, answer[ECHO_BYTES + 1];
    return send(fd_, bytes, sizeof bytes, 0) == ssize_t{ECHO_BYTES} &&
           recv(fd_, answer, sizeof answer, 0) == ssize_t{ECHO_BYTES};
  }

 private:
  int fd_;
};

struct Counts {
  std::uint64_t calls = 0, failed = 0;
};

class Bench {
 public:
  explicit Bench(const Words &words)
      : words_(words),
        with_table_(options_of(words, words.table)),
        over_udp_(options_of(words, "")) {}

  /** Every module is asked for once before, so that the agent knows it and it is in the table. */
  void prepare() {
    lars::Pick patient;
    patient.deadline = patient.first_route = std::chrono::seconds(10);
    for (std::uint32_t module = 1; module <= words_.modules; module++) {
      (void)over_udp_.get_host(module, CMD_ID, patient);
    }
    for (int round = 0; round < 100; round++) {
      auto before = with_table_.stats().questions;
      for (std::uint32_t module = 1; module <= words_.modules; module++) {
        pick_and_report(with_table_, module, false);
      }
      if (with_table_.stats().questions == before) return;
      std::this_thread::sleep_for(lars::Milliseconds(20));
    }
  }

  void measure(const std::string &mode, int threads, int ms) {
    auto questions = with_table_.stats().questions;
    auto start = Clock::now();
    double cpu = cpu_ns();
    std::vector<Counts> counts(static_cast<std::size_t>(threads));
    std::vector<std::thread> running;
    for (std::size_t at = 0; at < counts.size(); at++) {
      running.emplace_back([&, at] { counts[at] = run(mode[0], at, counts.size(), start, ms); });
    }
    for (auto &thread : running) thread.join();
    Counts all;
    for (const auto &one : counts) {
      all.calls += one.calls;
      all.failed += one.failed;
    }
    double wall = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    // A pick that the table could not answer is none of the table.
    all.failed += with_table_.stats().questions - questions;
    double total = all.calls > 0 ? static_cast<double>(all.calls) : 1;
    std::cout << "{\"mode\":\"" << mode << "\",\"threads\":" << threads << ",\"calls\":" << all.calls
              << ",\"failed\":" << all.failed << ",\"ns\":" << wall * threads / total
              << ",\"cpuNs\":" << (cpu_ns() - cpu) / total << "}" << std::endl;
  }

 private:
  static double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
  }

  Counts run(char mode, std::size_t number, std::size_t threads, Clock::time_point start, int ms) {
    std::optional<Echo> echo;
    if (mode == 'e') echo.emplace(words_.echo_port);
    Counts counts;
    auto module = static_cast<std::uint32_t>(number) *
                  (words_.modules / static_cast<std::uint32_t>(threads));
    auto end = start + lars::Milliseconds(ms);
    // Only calls to the table are too short for a look at the clock after each.
    int between = mode == 'p' || mode == 't' ? CALLS_BETWEEN_LOOKS : 1;
    while (Clock::now() < end) {
      for (int at = 0; at < between; at++) {
        module = module < words_.modules ? module + 1 : 1;
        bool works = mode == 'e'   ? echo->once()
                     : mode == 'u' ? pick_and_report(over_udp_, module, true)
                                   : pick_and_report(with_table_, module, mode == 't');
        counts.calls++;
        if (!works) counts.failed++;
      }
    }
    return counts;
  }

  Words words_;
  lars::Client with_table_, over_udp_;
};

}  // namespace

int main(int count, char **words) {
  Bench bench(read_words(count, words));
  bool is_prepared = false;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream read(line);
    std::string mode;
    int threads = 1, ms = 0;
    if (!(read >> mode >> threads >> ms) || threads < 1) return 2;
    if (!is_prepared && mode != "echo") {
      bench.prepare();
      is_prepared = true;
    }
    bench.measure(mode, threads, ms);
  }
}
