// Shell. Measures the Java client by lines, see bench/README.md, "Programs of the languages".
package lars.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import lars.client.Host;
import lars.client.LarsClient;
import lars.client.LarsException;

/** Measures the Java client by lines on its standard input. */
public final class BenchDriver {
  /** Echoes between two looks at the clock. */
  private static final int CALLS_PER_LOOK = 200;
  private static final Duration TOOK = Duration.ofMillis(1);

  /** Makes some calls, and says how many of them failed. */
  private interface Round {
    int go() throws IOException;
  }

  private final Map<String, String> words = new HashMap<>();

  private BenchDriver(String[] args) {
    for (String word : args) {
      int at = word.indexOf('=');
      words.put(word.substring(0, at), word.substring(at + 1));
    }
  }

  /** Ends at the end of its input. */
  public static void main(String[] args) throws IOException, InterruptedException {
    BenchDriver driver = new BenchDriver(args);
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] order = line.split(" ");
      System.out.println(
          driver.measure(order[0], Integer.parseInt(order[1]), Long.parseLong(order[2])));
    }
  }

  private int number(String name) {
    return Integer.parseInt(words.get(name));
  }

  private static Round picks(LarsClient client, int modules, boolean hasReport) {
    return () -> {
      int failed = 0;
      for (int modId = 1; modId <= modules; modId++) {
        try {
          Host host = client.getHost(modId, 1);
          if (hasReport) {
            client.report(modId, 1, host.ip(), host.port(), 0, TOOK);
          }
        } catch (LarsException error) {
          failed++;
        }
      }
      return failed;
    };
  }

  private static Round echoes(int port) throws IOException {
    DatagramSocket socket = new DatagramSocket(null);
    socket.connect(new InetSocketAddress("127.0.0.1", port));
    socket.setSoTimeout(1000);
    DatagramPacket message = new DatagramPacket(new byte[21], 21);
    DatagramPacket answer = new DatagramPacket(new byte[64], 64);
    return () -> {
      int failed = 0;
      for (int i = 0; i < CALLS_PER_LOOK; i++) {
        try {
          socket.send(message);
          socket.receive(answer);
        } catch (IOException error) {
          failed++;
        }
      }
      return failed;
    };
  }

  private String measure(String mode, int threads, long ms)
      throws IOException, InterruptedException {
    LarsClient client =
        LarsClient.builder()
            .port(number("port"))
            .sharedTable(mode.equals("udp") ? "" : words.get("table"))
            .deadline(Duration.ofSeconds(1))
            .build();
    boolean isEcho = mode.equals("echo");
    int callsEach = isEcho ? CALLS_PER_LOOK : number("modules");
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < threads; i++) {
      Round round =
          isEcho ? echoes(number("echo")) : picks(client, callsEach, !mode.equals("pick"));
      // Not counted: caches, modules and the compiler are cold.
      long warm = System.nanoTime();
      do {
        round.go();
      } while (System.nanoTime() - warm < ms * 200_000);
      rounds.add(round);
    }
    LongAdder calls = new LongAdder();
    LongAdder failed = new LongAdder();
    LongAdder wall = new LongAdder();
    long cpu = processorNanos();
    List<Thread> running = new ArrayList<>();
    for (Round round : rounds) {
      Thread thread = new Thread(() -> run(round, ms * 1_000_000, callsEach, calls, failed, wall));
      thread.start();
      running.add(thread);
    }
    for (Thread thread : running) {
      thread.join();
    }
    cpu = processorNanos() - cpu;
    client.close();
    return String.format(
        Locale.ROOT,
        "{\"mode\":\"%s\",\"threads\":%d,\"calls\":%d,\"failed\":%d,\"ns\":%.1f,\"cpuNs\":%.1f}",
        mode, threads, calls.sum(), failed.sum(), (double) wall.sum() / calls.sum(),
        (double) cpu / calls.sum());
  }

  private static void run(
      Round round, long nanos, int callsEach, LongAdder calls, LongAdder failed, LongAdder wall) {
    long start = System.nanoTime();
    try {
      do {
        failed.add(round.go());
        calls.add(callsEach);
      } while (System.nanoTime() - start < nanos);
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    wall.add(System.nanoTime() - start);
  }

  private static long processorNanos() {
    return ((com.sun.management.OperatingSystemMXBean)
            ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }
}
