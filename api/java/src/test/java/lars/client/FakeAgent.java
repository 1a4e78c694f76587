// Test. An agent of three sockets whose answers the test decides.
package lars.client;

import java.io.IOException;
import java.net.BindException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BooleanSupplier;
import java.util.function.Function;

/** Listens from the start; {@code behave} may be exchanged at any time. */
final class FakeAgent implements AutoCloseable {
  /** A datagram as it came. */
  record Received(int messageId, int seq, ModuleId module, byte[] datagram) {}

  final int[] ports = new int[3];
  final List<Received> received = new CopyOnWriteArrayList<>();
  volatile Function<Received, List<byte[]>> behave;
  private final List<DatagramSocket> sockets = new ArrayList<>();
  private final List<Thread> threads = new ArrayList<>();

  FakeAgent(Function<Received, List<byte[]>> behave) throws IOException {
    this(behave, new int[] {0, 0, 0});
  }

  FakeAgent(Function<Received, List<byte[]>> behave, int[] wanted) throws IOException {
    this.behave = behave;
    for (int index = 0; index < 3; index++) {
      DatagramSocket socket = bound(wanted[index]);
      sockets.add(socket);
      ports[index] = socket.getLocalPort();
      Thread thread = new Thread(() -> serve(socket));
      thread.setDaemon(true);
      thread.start();
      threads.add(thread);
    }
  }

  /** A socket at a port that somebody may come back to; 0 is one that is given to nobody else. */
  private static DatagramSocket bound(int wanted) throws IOException {
    while (true) {
      // Below those that the system gives to any socket that asks for none.
      int port = wanted == 0 ? ThreadLocalRandom.current().nextInt(15_000, 30_000) : wanted;
      InetAddress loopback = InetAddress.getByName("127.0.0.1");
      try {
        return new DatagramSocket(new InetSocketAddress(loopback, port));
      } catch (BindException error) {
        if (wanted != 0) {
          throw error;
        }
      }
    }
  }

  LarsClient.Builder client() {
    return LarsClient.builder().ports(ports[0], ports[1], ports[2]);
  }

  List<Received> of(int messageId) {
    return received.stream().filter(one -> one.messageId() == messageId).toList();
  }

  @Override
  public void close() {
    sockets.forEach(DatagramSocket::close);
    for (Thread thread : threads) {
      try {
        thread.join(); // the port is free when it has ended
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private void serve(DatagramSocket socket) {
    byte[] buffer = new byte[65536];
    try {
      while (true) {
        DatagramPacket packet = new DatagramPacket(buffer, buffer.length);
        socket.receive(packet);
        Received one = read(Arrays.copyOf(buffer, packet.getLength()));
        received.add(one);
        for (byte[] reply : behave.apply(one)) {
          socket.send(new DatagramPacket(reply, reply.length, packet.getSocketAddress()));
        }
      }
    } catch (IOException error) {
      return; // closed
    }
  }

  private static Received read(byte[] datagram) {
    int messageId = datagram[0];
    boolean isNumbered =
        messageId == MessageIds.GET_HOST_REQUEST || messageId == MessageIds.EXPLAIN_REQUEST;
    int first = isNumbered ? 2 : 1;
    int[] numbers = new int[32];
    WireReader body = new WireReader(datagram, WireWriter.HEAD_BYTES, datagram.length);
    while (body.next()) {
      numbers[body.varintField() & 31] = body.int32();
    }
    ModuleId module = new ModuleId(numbers[first], numbers[first + 1]);
    return new Received(messageId, isNumbered ? numbers[1] : 0, module, datagram);
  }

  static byte[] hostResponse(Received question, int retcode, int ip, int port) {
    WireWriter body =
        new WireWriter()
            .uint32(1, question.seq())
            .int32(2, question.module().modId())
            .int32(3, question.module().cmdId())
            .int32(4, retcode);
    if (retcode == 0) {
      body.bytes(5, new WireWriter().int32(1, ip).int32(2, port).body());
    }
    return body.frame(MessageIds.GET_HOST_RESPONSE);
  }

  static byte[] routeResponse(ModuleId module, int... ips) {
    WireWriter body = new WireWriter().int32(1, module.modId()).int32(2, module.cmdId());
    for (int ip : ips) {
      body.bytes(3, new WireWriter().int32(1, ip).int32(2, 80).body());
    }
    return body.frame(MessageIds.GET_ROUTE_RESPONSE);
  }

  /** Answers with 10.0.0.1:80 always. */
  static List<byte[]> oneNode(Received question) {
    return switch (question.messageId()) {
      case MessageIds.GET_HOST_REQUEST -> List.of(hostResponse(question, 0, 0x0a000001, 80));
      case MessageIds.GET_ROUTE_REQUEST -> List.of(routeResponse(question.module(), 0x0a000001));
      default -> List.of();
    };
  }

  /** Waits for something to become true. */
  static void until(String what, BooleanSupplier condition) throws InterruptedException {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - start > 20_000_000_000L) {
        throw new AssertionError(what + " did not come");
      }
      Thread.sleep(2);
    }
  }
}
