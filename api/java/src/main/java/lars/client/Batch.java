// Shell. Outcomes in batches: 512 records at once, or after 10 ms, or when a node fails: proto/batched_reports.md.
package lars.client;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;

/** The outcomes of one client on their way to an agent whose table it has mapped. */
final class Batch {
  static final int MESSAGE_ID = 83;
  /** Records that are sent as soon as so many wait; and how long the first one may wait. */
  static final int RECORDS_MAX = 512;
  /** Outcomes of all runs of a batch. */
  private static final int OUTCOMES_MAX = 65_536;
  /** Mark of a record that stands for several outcomes, in its node. */
  static final long RUN = 1L << 63;
  /** Places that say which record may be that of a node. */
  private static final int PLACES = 1024;
  private static final long WAIT_NANOS = 10_000_000;
  /** Nodes known as failing; first failures of further ones wait with the batch. */
  static final int FAILING_MAX = 1024;
  static final int RECORD_BYTES = 24;
  private static final int HEAD_MAX = 64;
  static final int TIME_UNKNOWN = -1;

  private record Failing(int modId, int cmdId, long node) {}

  private final Counters counters;
  private final Function<String, byte[]> secretFor;
  /** Room for a head, which ends where the records begin, and the records that wait. */
  private final ByteBuffer records =
      ByteBuffer.allocate(HEAD_MAX + RECORDS_MAX * RECORD_BYTES)
          .order(ByteOrder.LITTLE_ENDIAN)
          .position(HEAD_MAX);
  private final Set<Failing> failing = new HashSet<>();
  /** Where records begin; one that is left of an earlier batch is another's, or none. */
  private final short[] places = new short[PLACES];
  private boolean takesRuns;
  /** Outcomes that wait, and where the first record behind all failures begins. */
  private int outcomes;
  private int behindFailures = HEAD_MAX;
  private InetSocketAddress address;
  private DatagramSocket socket;
  private Sealer sealer;
  private int sender;
  private long first;
  /** True while the thread is to send what waits. */
  private boolean isTimed;
  private boolean isClosed;
  private Thread thread;

  /** {@code secretFor} an address gives what datagrams to it are sealed with, null for nothing. */
  Batch(Counters counters, Function<String, byte[]> secretFor) {
    this.counters = counters;
    this.secretFor = secretFor;
  }

  /** A table was mapped: its outcomes go to the agent that it names, by a new sender. */
  synchronized void open(int ip, int port, boolean takesRuns) {
    send();
    closeSocket();
    this.takesRuns = takesRuns;
    byte[] bytes = {(byte) (ip >>> 24), (byte) (ip >>> 16), (byte) (ip >>> 8), (byte) ip};
    try {
      address = new InetSocketAddress(InetAddress.getByAddress(bytes), port);
    } catch (IOException error) {
      throw new IllegalStateException("Four bytes are an address", error);
    }
  }

  /** An outcome, by the node's entry; of no node: in use (0), or refused (1). */
  synchronized void add(int modId, int cmdId, long node, int retcode, int timeMs) {
    boolean mayRun = takesRuns && retcode == 0 && node != 0;
    if (!mayRun || !addToRun(modId, cmdId, node, timeMs)) {
      records.putInt(modId).putInt(cmdId).putLong(node).putInt(retcode).putInt(timeMs);
      if (retcode != 0 && node != 0) {
        behindFailures = records.position();
      }
    }
    outcomes++;
    boolean isFull = !records.hasRemaining() || outcomes == OUTCOMES_MAX;
    if (isFirstFailure(modId, cmdId, node, retcode) || isFull) {
      send();
    } else if (!isTimed && !isClosed) {
      isTimed = true;
      wake();
    }
  }

  /** Adds a success to a record that waits; false: there is none for it. */
  private boolean addToRun(int modId, int cmdId, long node, int timeMs) {
    int hash =
        ((int) node ^ (int) (node >>> 32)) * 0x9e3779b1
            ^ (modId + cmdId) * 0x85ebca6b
            ^ timeMs * 0x2c1b3c6d;
    int place = (hash ^ hash >>> 15) >>> 8 & PLACES - 1;
    int at = places[place];
    places[place] = (short) records.position();
    if (at < behindFailures || at >= records.position()) {
      return false;
    }
    long known = records.getLong(at + 8);
    boolean isSame =
        (known & ~RUN) == node
            && records.getInt(at) == modId
            && records.getInt(at + 4) == cmdId
            && records.getInt(at + 20) == timeMs;
    if (!isSame) {
      return false;
    }
    places[place] = (short) at;
    records.putLong(at + 8, known | RUN);
    records.putInt(at + 16, known < 0 ? records.getInt(at + 16) + 1 : 2);
    return true;
  }

  synchronized void flush() {
    isTimed = false;
    send();
  }

  /** Sends what waits, and ends the thread. */
  synchronized void close() {
    isClosed = true;
    send();
    closeSocket();
    LockSupport.unpark(thread);
  }

  private boolean isFirstFailure(int modId, int cmdId, long node, int retcode) {
    if (node == 0 || retcode == 0 && failing.isEmpty()) {
      return false;
    }
    Failing key = new Failing(modId, cmdId, node);
    if (retcode == 0) {
      failing.remove(key);
      return false;
    }
    return failing.size() < FAILING_MAX && failing.add(key);
  }

  private void wake() {
    if (thread == null) {
      thread = new Thread(this::run, "lars-reports");
      thread.setDaemon(true);
      thread.start();
    }
    LockSupport.unpark(thread);
  }

  private synchronized boolean isOver() {
    return isClosed;
  }

  private synchronized boolean isWaiting() {
    return isTimed;
  }

  private void run() {
    while (!isOver()) {
      if (isWaiting()) {
        long end = System.nanoTime() + WAIT_NANOS;
        for (long left = WAIT_NANOS; left > 0; left = end - System.nanoTime()) {
          LockSupport.parkNanos(left);
        }
        flush();
      } else {
        LockSupport.park();
      }
    }
  }

  private void send() {
    if (records.position() == HEAD_MAX) {
      return;
    }
    int bytes = records.position() - HEAD_MAX;
    long count = outcomes;
    records.position(HEAD_MAX);
    outcomes = 0;
    behindFailures = HEAD_MAX;
    try {
      if (socket == null && !openSocket()) {
        counters.dropped.add(count);
        return;
      }
      WireWriter body = new WireWriter().uint32(1, sender);
      byte[] head =
          (first == 0 ? body : body.present(2, first)).length(3, bytes).head(MESSAGE_ID, bytes);
      System.arraycopy(head, 0, records.array(), HEAD_MAX - head.length, head.length);
      // Also of one that is lost: the agent sees the gap, and counts what was in it.
      first += count;
      int start = HEAD_MAX - head.length;
      DatagramPacket packet = packetOf(start, head.length + bytes);
      try {
        socket.send(packet);
      } catch (PortUnreachableException error) {
        // The refusal was that of an earlier datagram, and this one was not sent.
        socket.send(packet);
      }
    } catch (IOException error) {
      counters.dropped.add(count);
    }
  }

  private DatagramPacket packetOf(int start, int bytes) {
    if (sealer == null) {
      return new DatagramPacket(records.array(), start, bytes);
    }
    byte[] plain = Arrays.copyOfRange(records.array(), start, start + bytes);
    byte[] sealed = sealer.seal(plain, System.currentTimeMillis());
    return new DatagramPacket(sealed, sealed.length);
  }

  private boolean openSocket() throws IOException {
    if (address == null) {
      return false;
    }
    DatagramSocket opened = new DatagramSocket(null);
    opened.connect(address);
    socket = opened;
    SecureRandom chance = new SecureRandom();
    sealer = Sealer.of(secretFor.apply(address.getAddress().getHostAddress()), chance);
    sender = chance.nextInt() | 1;
    first = 0;
    return true;
  }

  private void closeSocket() {
    if (socket != null) {
      socket.close();
      socket = null;
    }
  }
}
