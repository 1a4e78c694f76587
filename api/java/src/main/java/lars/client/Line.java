// Shell. One connected UDP socket towards the agent, for one question at a time.
package lars.client;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.net.SocketTimeoutException;
import java.security.SecureRandom;

/** Connected, so that the kernel keeps strangers out and says when nobody listens. */
final class Line implements AutoCloseable {
  private static final int DATAGRAM_BYTES_MAX = 65_536;
  private static final SecureRandom CHANCE = new SecureRandom();

  private final String address;
  private final Counters counters;
  private final DatagramSocket socket;
  private final Sealer sealer;
  private final DatagramPacket packet =
      new DatagramPacket(new byte[DATAGRAM_BYTES_MAX], DATAGRAM_BYTES_MAX);
  /** Begins far from the numbers of any other socket. */
  private int seq = CHANCE.nextInt();

  /** @throws IOException when there is no socket to be had, or no such host */
  Line(Settings settings, int portIndex, Counters counters) throws IOException {
    this.address = settings.addressOf(portIndex);
    this.counters = counters;
    InetAddress ip = InetAddress.getByName(settings.hostname);
    socket = new DatagramSocket(null);
    try {
      socket.connect(new InetSocketAddress(ip, settings.ports[portIndex]));
    } catch (IOException error) {
      socket.close();
      throw error;
    }
    sealer = Sealer.of(settings.secret(), CHANCE);
  }

  /** Ends also a question under way. */
  @Override
  public void close() {
    socket.close();
  }

  /**
   * Sends, or loses; true when an agent's absence is the reason.
   *
   * @throws IOException when the socket is of no use any more
   */
  boolean send(byte[] datagram) throws IOException {
    for (int attempt = 0; attempt < 2; attempt++) {
      byte[] sealed =
          sealer == null ? datagram : sealer.seal(datagram, System.currentTimeMillis());
      try {
        socket.send(new DatagramPacket(sealed, sealed.length));
        return false;
      } catch (PortUnreachableException error) {
        // An earlier datagram was refused, and this one has only delivered the news: once more.
        continue;
      }
    }
    counters.dropped.increment();
    return true;
  }

  /**
   * The answer; the question is sent a second time at half its deadline.
   *
   * @throws LarsException when none comes in time
   * @throws IOException when the socket is of no use any more
   */
  Answer ask(Question question, long deadlineNanos) throws IOException {
    seq++;
    byte[] datagram = question.datagram().apply(seq);
    Answer.Key key = question.key(seq);
    long start = System.nanoTime();
    long wait = deadlineNanos / 2;
    boolean isRefused = send(datagram);
    boolean hasResent = false;
    while (true) {
      // Looked at before the time is, so that a thread that slept too long finds its answer.
      try {
        Answer answer = read(start + wait - System.nanoTime());
        if (answer != null && answer.key.equals(key)) {
          return answer;
        }
        if (answer != null) {
          counters.late.increment();
        }
      } catch (PortUnreachableException error) {
        // The first one is forgiven: an agent that restarts may be there for the second try.
        if (hasResent) {
          throw noAgent();
        }
        isRefused = true;
      }
      if (System.nanoTime() - start < wait) {
        continue;
      }
      if (hasResent) {
        throw isRefused ? noAgent() : timeout(System.nanoTime() - start);
      }
      hasResent = true;
      wait = deadlineNanos;
      counters.resent.increment();
      isRefused |= send(datagram);
    }
  }

  /** The next answer; null when none came in time, or no good one, which is counted. */
  private Answer read(long waitNanos) throws IOException {
    // In whole milliseconds, and 0 would be for ever.
    socket.setSoTimeout((int) Math.max(1, (waitNanos + 999_999) / 1_000_000));
    packet.setLength(DATAGRAM_BYTES_MAX);
    try {
      socket.receive(packet);
    } catch (SocketTimeoutException error) {
      return null;
    }
    if (sealer != null && !sealer.isAnswer(packet.getData(), packet.getLength())) {
      counters.foreign.increment();
      return null;
    }
    try {
      return Answer.read(packet.getData(), packet.getLength());
    } catch (ProtocolException error) {
      counters.garbage.increment();
      return null;
    }
  }

  private NoAgentException noAgent() {
    return new NoAgentException(address + ": no Lars agent listens here: is it running?");
  }

  private LarsTimeoutException timeout(long nanos) {
    return new LarsTimeoutException(
        "No answer in " + nanos / 1_000_000 + " ms from the agent at " + address
            + ": is it running?");
  }
}
