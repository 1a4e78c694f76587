// Test. The client against an agent whose answers the test decides.
package lars.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.Test;

public class ClientTest {
  private static final Duration PATIENT = Duration.ofSeconds(20);

  private static <T> List<T> inThreads(int count, Callable<T> work) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(count);
    try {
      List<Future<T>> futures = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        futures.add(threads.submit(work));
      }
      List<T> results = new ArrayList<>();
      for (Future<T> future : futures) {
        results.add(future.get());
      }
      return results;
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  public void manyThreadsGetEachTheirOwnAnswer() throws Exception {
    AtomicInteger commands = new AtomicInteger();
    try (FakeAgent agent =
            new FakeAgent(
                q -> List.of(FakeAgent.hostResponse(q, 0, q.module().cmdId(), 80)));
        LarsClient client = agent.client().deadline(PATIENT).build()) {
      List<Boolean> good =
          inThreads(
              32,
              () -> {
                boolean all = true;
                for (int i = 0; i < 50; i++) {
                  int command = commands.incrementAndGet();
                  String ip = client.getHost(1, command).ip();
                  all &= ip.equals(Host.formatIpv4(command));
                }
                return all;
              });
      assertFalse(good.contains(false));
      assertEquals(0, client.stats().pending());
      assertEquals(0, client.stats().garbage());
    }
  }

  @Test
  public void questionsBeyondTheLimitAreRefusedAndCloseEndsTheOthers() throws Exception {
    AtomicReference<Throwable> outcome = new AtomicReference<>();
    try (FakeAgent agent = new FakeAgent(q -> List.of());
        LarsClient client = agent.client().pendingMax(1).build()) {
      Options long1 = Options.none().deadline(Duration.ofMinutes(1));
      Thread thread =
          new Thread(
              () ->
                  outcome.set(
                      assertThrows(
                          LarsException.class, () -> client.getRoute(1, 1, long1))));
      thread.start();
      FakeAgent.until("the question", () -> client.stats().pending() == 1);
      assertThrows(LimitException.class, () -> client.getRoute(1, 1));
      client.close();
      thread.join(20_000);
      assertTrue("" + outcome.get(), outcome.get() instanceof ClosedException);
    }
  }

  @Test
  public void aNameThatDoesNotResolveIsAConnectException() {
    try (LarsClient client =
        LarsClient.builder().hostname("no-such-host.invalid").firstRoute(Duration.ZERO).build()) {
      assertThrows(ConnectException.class, () -> client.getHost(1, 1));
      client.report(1, 1, "10.0.0.1", 80, 0);
      assertEquals(1, client.stats().dropped());
    }
  }

  @Test
  public void aRefusalDoesNotEatTheNextDatagram() throws Exception {
    FakeAgent gone = new FakeAgent(FakeAgent::oneNode);
    gone.close();
    Settings settings = new Settings();
    settings.ports = gone.ports;
    try (Line line = new Line(settings, 2, new Counters())) {
      byte[] datagram = Question.route(new ModuleId(1, 1)).datagram().apply(0);
      // On loopback the refusal waits in the socket when the send is done.
      assertFalse(line.send(datagram));
      try (FakeAgent agent = new FakeAgent(FakeAgent::oneNode, gone.ports)) {
        assertFalse(line.send(datagram));
        FakeAgent.until("the datagram", () -> agent.received.size() == 1);
      }
    }
  }

  @Test
  public void oneThreadAsksForAllThatWaitForARoute() throws Exception {
    AtomicInteger questions = new AtomicInteger();
    try (FakeAgent agent =
            new FakeAgent(
                q -> {
                  if (q.messageId() == MessageIds.GET_ROUTE_REQUEST) {
                    questions.incrementAndGet();
                  }
                  if (questions.get() > 3) {
                    return FakeAgent.oneNode(q);
                  }
                  return q.messageId() == MessageIds.GET_ROUTE_REQUEST
                      ? List.of(FakeAgent.routeResponse(q.module()))
                      : List.of(FakeAgent.hostResponse(q, RetCode.NO_EXIST, 0, 0));
                });
        LarsClient client = agent.client().build()) {
      Options patient = Options.none().firstRoute(PATIENT);
      List<String> nodes = inThreads(16, () -> client.getHost(1, 1, patient).address());
      assertEquals(16, nodes.stream().filter("10.0.0.1:80"::equals).count());
      int count = agent.of(MessageIds.GET_ROUTE_REQUEST).size();
      assertTrue(count + " questions for 16 threads", count >= 4 && count <= 16);
    }
  }

  @Test
  public void anInterruptedTryIsNotReported() throws Exception {
    try (FakeAgent agent = new FakeAgent(FakeAgent::oneNode);
        LarsClient client = agent.client().deadline(PATIENT).build()) {
      assertThrows(
          InterruptedException.class,
          () ->
              client.<Void, InterruptedException>call(
                  1,
                  1,
                  node -> {
                    Thread.currentThread().interrupt();
                    Thread.sleep(1000);
                    return null;
                  },
                  Options.none().retries(3)));
      client.report(1, 1, "10.0.0.9", 80, 0);
      FakeAgent.until("the report", () -> !agent.of(MessageIds.REPORT_REQUEST).isEmpty());
      assertEquals(1, agent.of(MessageIds.REPORT_REQUEST).size());
    }
  }

  @Test
  public void checkedExceptionsPassThroughAsTheyAre() throws Exception {
    IOException fault = new IOException("down");
    try (FakeAgent agent = new FakeAgent(FakeAgent::oneNode);
        LarsClient client = agent.client().deadline(PATIENT).build()) {
      CallFunction<String, IOException> fails =
          node -> {
            throw fault;
          };
      assertEquals(fault, assertThrows(IOException.class, () -> client.call(1, 1, fails)));
      int port = client.call(1, 1, node -> node.host().port());
      assertEquals(80, port);
    }
  }

  @Test
  public void datagramsToARemoteAgentAreSealedAndAnswersMustBe() throws Exception {
    byte[] secret = "the shared secret".getBytes("UTF-8");
    try (FakeAgent agent =
        new FakeAgent(
            q -> {
              byte[] bare = FakeAgent.hostResponse(q, 0, 0x0a000001, 80);
              byte[] good = Arrays.copyOf(bare, bare.length + Sealer.SEAL_BYTES);
              int from = q.datagram().length - Sealer.SEAL_BYTES;
              System.arraycopy(
                  q.datagram(), from, good, bare.length, Sealer.SEAL_BYTES - Sealer.MAC_BYTES);
              WireWriter.putInt32(good, 4, good.length - WireWriter.HEAD_BYTES);
              int macAt = good.length - Sealer.MAC_BYTES;
              byte[] mac = Sealer.macOf("lars answer", good, macAt, secret);
              System.arraycopy(mac, 0, good, macAt, mac.length);
              byte[] bad = good.clone();
              bad[bad.length - 1] ^= 1;
              return List.of(FakeAgent.hostResponse(q, 0, 0x0a000066, 80), bad, good);
            })) {
      Settings settings = new Settings();
      settings.ports = agent.ports;
      settings.token = secret;
      assertEquals("loopback wants no proof", null, settings.secret());
      // Another name of loopback stands in for another host.
      settings.hostname = "localhost";
      Counters counters = new Counters();
      try (Line line = new Line(settings, 2, counters)) {
        Answer answer = line.ask(Question.host(new ModuleId(1, 1), null), PATIENT.toNanos());
        assertEquals("10.0.0.1", answer.host.ip());
        assertEquals(2, counters.foreign.sum());
      }
    }
  }
}
