// Shell. The driver of the Java client: commands as lines, see api/conformance/README.md.
package lars.driver;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import lars.client.AgentException;
import lars.client.ClosedException;
import lars.client.ConnectException;
import lars.client.Host;
import lars.client.HostAnswer;
import lars.client.LarsClient;
import lars.client.LarsTimeoutException;
import lars.client.LimitException;
import lars.client.NoAgentException;
import lars.client.NoRouteException;
import lars.client.Options;
import lars.client.OverloadException;
import lars.client.Stats;

/** Runs the Java client by lines on its standard input. */
public final class ConformanceDriver {
  /** The function of a call throws it for a node that is to fail. */
  private static final class NodeFailure extends Exception {
    private static final long serialVersionUID = 1;
  }

  /** The words of a command after its name. */
  private static final class Words {
    final List<String> plain = new ArrayList<>();
    final Map<String, String> named = new HashMap<>();

    Words(List<String> words) {
      for (String word : words) {
        int at = word.indexOf('=');
        if (at < 0) {
          plain.add(word);
        } else {
          named.put(word.substring(0, at), word.substring(at + 1));
        }
      }
    }

    long id(int at) {
      return Long.parseLong(plain.get(at));
    }

    int number(String name, int other) {
      return named.containsKey(name) ? Integer.parseInt(named.get(name)) : other;
    }

    Duration ms(String name) {
      return Duration.ofNanos((long) (Double.parseDouble(named.getOrDefault(name, "0")) * 1e6));
    }

    List<String> list(String name) {
      return Arrays.asList(named.getOrDefault(name, "").split(","));
    }

    Options options() {
      Options all = Options.none();
      if (named.containsKey("deadline_ms")) {
        all = all.deadline(ms("deadline_ms"));
      }
      if (named.containsKey("first_route_ms")) {
        all = all.firstRoute(ms("first_route_ms"));
      }
      if (named.containsKey("timeout_ms")) {
        all = all.timeout(ms("timeout_ms"));
      }
      if (named.containsKey("key")) {
        all = all.key(HexFormat.of().parseHex(named.get("key")));
      }
      return all.retries(number("retries", 0));
    }
  }

  /** What load saw. */
  private static final class LoadCounts {
    private int ok;
    private int stale;
    private int failed;
    private long longestMs;
    private final Map<String, Integer> nodes = new TreeMap<>();

    synchronized void add(Host host, long tookNanos) {
      longestMs = Math.max(longestMs, tookNanos / 1_000_000 + 1);
      if (host == null) {
        failed++;
        return;
      }
      if (host.stale()) {
        stale++;
      } else {
        ok++;
      }
      nodes.merge(host.address(), 1, Integer::sum);
    }

    synchronized String words() {
      String most =
          nodes.entrySet().stream().max(Map.Entry.comparingByValue()).map(Map.Entry::getKey)
              .orElse("");
      return "load ok=" + ok + " stale=" + stale + " failed=" + failed + " longest_ms=" + longestMs
          + " nodes=" + String.join(",", nodes.keySet()) + " most=" + most;
    }
  }

  /** Calls that each thread of {@code load} makes at least, however late it is. */
  private static final int LOAD_CALLS_MIN = 20;
  private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

  private volatile LarsClient client = LarsClient.create();

  private ConformanceDriver() {}

  /** Ends at the end of its input. */
  public static void main(String[] args) throws IOException, InterruptedException {
    ConformanceDriver driver = new ConformanceDriver();
    say("driver", "1 threads table");
    ExecutorService threads = Executors.newCachedThreadPool();
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      List<String> words = Arrays.asList(line.split(" "));
      Words rest = new Words(words.subList(2, words.size()));
      threads.execute(() -> say(words.get(0), driver.answer(words.get(1), rest)));
    }
    threads.shutdown();
    threads.awaitTermination(1, TimeUnit.MINUTES);
  }

  private static synchronized void say(String id, String result) {
    OUT.print(id + " " + result + "\n");
    OUT.flush();
  }

  private String answer(String name, Words words) {
    try {
      return switch (name) {
        case "open" -> open(words);
        case "get_host" -> hostWords(
            client.getHost(words.id(0), words.id(1), words.options()));
        case "try_get_host" -> tryGetHost(words);
        case "report" -> report(words);
        case "get_route" -> getRoute(words);
        case "reg_init" -> "code " + client.regInit(words.id(0), words.id(1));
        case "explain" -> explain(words);
        case "call" -> call(words);
        case "load" -> load(words);
        case "stats" -> stats();
        case "close" -> close();
        default -> "unsupported";
      };
    } catch (RuntimeException error) {
      return errorWords(error);
    }
  }

  private static String errorWords(Exception error) {
    String word =
        error instanceof OverloadException ? "overload"
            : error instanceof NoRouteException ? "no_route"
            : error instanceof NoAgentException ? "no_agent"
            : error instanceof LarsTimeoutException ? "timeout"
            : error instanceof ConnectException ? "connect"
            : error instanceof AgentException ? "agent"
            : error instanceof LimitException ? "limit"
            : error instanceof ClosedException ? "closed"
            : error instanceof IllegalArgumentException ? "range"
            : error.toString().replace('\n', ' ');
    return "error " + word;
  }

  private String open(Words words) {
    List<Integer> ports = words.list("ports").stream().map(Integer::valueOf).toList();
    LarsClient.Builder builder =
        LarsClient.builder().ports(ports.get(0), ports.get(1), ports.get(2));
    if (words.named.containsKey("deadline_ms")) {
      builder.deadline(words.ms("deadline_ms"));
    }
    if (words.named.containsKey("first_route_ms")) {
      builder.firstRoute(words.ms("first_route_ms"));
    }
    if (words.named.containsKey("last_good_ms")) {
      builder.lastGood(words.ms("last_good_ms"));
    }
    if (words.named.containsKey("retry_share")) {
      builder.retryShare(Double.parseDouble(words.named.get("retry_share")));
    }
    if (words.named.containsKey("retry_floor")) {
      builder.retryFloorPerSecond(Double.parseDouble(words.named.get("retry_floor")));
    }
    if (words.named.containsKey("table")) {
      builder.sharedTable(words.named.get("table"));
    }
    if (words.named.containsKey("host")) {
      builder.hostname(words.named.get("host"));
    }
    if (words.named.containsKey("token")) {
      builder.token(words.named.get("token").getBytes(StandardCharsets.UTF_8));
    }
    client = builder.build();
    return "ok";
  }

  private static String hostWords(Host host) {
    StringBuilder text = new StringBuilder("host ").append(host.address());
    host.weight().ifPresent(weight -> text.append(" weight=").append(weight));
    if (!host.zone().isEmpty()) {
      byte[] zone = host.zone().getBytes(StandardCharsets.UTF_8);
      text.append(" zone=").append(HexFormat.of().formatHex(zone));
    }
    return text.append(host.stale() ? " stale" : "").toString();
  }

  private String tryGetHost(Words words) {
    HostAnswer answer = client.tryGetHost(words.id(0), words.id(1), words.options());
    return answer.host() == null ? "code " + answer.retcode() : hostWords(answer.host());
  }

  private String report(Words words) {
    Duration took = words.plain.size() > 5 ? Duration.ofMillis(words.id(5)) : null;
    client.report(
        words.id(0),
        words.id(1),
        words.plain.get(2),
        Integer.parseInt(words.plain.get(3)),
        Integer.parseInt(words.plain.get(4)),
        took);
    return "ok";
  }

  private String getRoute(Words words) {
    StringBuilder text = new StringBuilder("route");
    for (Host host : client.getRoute(words.id(0), words.id(1), words.options())) {
      text.append(' ').append(host.address());
    }
    return text.toString();
  }

  private String explain(Words words) {
    Map<String, Object> explanation = client.explain(words.id(0), words.id(1));
    if (explanation == null) {
      return "none";
    }
    Map<?, ?> module = (Map<?, ?>) explanation.get("module");
    return "json nodes=" + ((List<?>) module.get("nodes")).size();
  }

  private String call(Words words) {
    List<String> bad = words.list("bad");
    int badCode = words.number("bad_code", 0);
    AtomicInteger tries = new AtomicInteger();
    try {
      Host called =
          client.call(
              words.id(0),
              words.id(1),
              node -> {
                tries.incrementAndGet();
                Thread.sleep(words.ms("took_ms").toMillis());
                if (bad.contains(node.address())) {
                  throw new NodeFailure();
                }
                return node.host();
              },
              words.options().retcodeOf((error, host) -> badCode));
      return "called " + called.address() + " tries=" + tries;
    } catch (NodeFailure error) {
      return "failed tries=" + tries;
    } catch (IllegalArgumentException error) {
      return errorWords(error);
    } catch (Exception error) {
      return errorWords(error) + " tries=" + tries;
    }
  }

  /** Picks and reports in a row, several at a time, for as long as is said. */
  private String load(Words words) {
    LoadCounts counts = new LoadCounts();
    List<String> bad = words.list("bad");
    long start = System.nanoTime();
    long span = words.ms("ms").toNanos();
    long pauseMs = words.named.containsKey("pause_ms") ? words.ms("pause_ms").toMillis() : 1;
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < words.number("threads", 1); i++) {
      Thread thread = new Thread(() -> {
        for (int calls = 0; calls < LOAD_CALLS_MIN || System.nanoTime() - start < span; calls++) {
          long pickStart = System.nanoTime();
          Host host = client.tryGetHost(words.id(0), words.id(1)).host();
          counts.add(host, System.nanoTime() - pickStart);
          if (host != null) {
            int code = bad.contains(host.address()) ? 111 : 0;
            client.report(
                words.id(0), words.id(1), host.ip(), host.port(), code, Duration.ofMillis(1));
          }
          sleep(pauseMs);
        }
      });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) {
      join(thread);
    }
    return counts.words();
  }

  private static void sleep(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private static void join(Thread thread) {
    try {
      thread.join();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private String stats() {
    Stats all = client.stats();
    return "stats pending=" + all.pending() + " resent=" + all.resent() + " late=" + all.late()
        + " garbage=" + all.garbage() + " foreign=" + all.foreign() + " dropped=" + all.dropped()
        + " stale=" + all.stale() + " retried=" + all.retried()
        + " retries_refused=" + all.retriesRefused();
  }

  private String close() {
    client.close();
    return "ok";
  }
}
