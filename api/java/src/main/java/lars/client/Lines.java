// Shell. The sockets of one client: each question has one to itself while it waits.
package lars.client;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

final class Lines {
  /** Sockets kept for later, for each port of the agent; one more is closed. */
  static final int IDLE_MAX = 64;

  private final Settings settings;
  private final Counters counters;
  private final List<Deque<Line>> idle = new ArrayList<>();
  private final Set<Line> busy = new HashSet<>();
  private volatile boolean isClosed;

  Lines(Settings settings, Counters counters) {
    this.settings = settings;
    this.counters = counters;
    for (int index = 0; index < ModuleId.PORTS_PER_AGENT; index++) {
      idle.add(new ArrayDeque<>());
    }
  }

  /** Questions under way. */
  synchronized int pending() {
    return busy.size();
  }

  /** @throws LarsException when no answer comes in time */
  Answer ask(Question question, long deadlineNanos) {
    int index = question.module().portIndex();
    Line line = take(index);
    boolean isGood = false;
    try {
      Answer answer = line.ask(question, deadlineNanos);
      isGood = true;
      return answer;
    } catch (LarsException error) {
      isGood = question.isNumbered();
      throw error;
    } catch (IOException error) {
      if (closed()) {
        throw closedError();
      }
      throw socketError(index, error);
    } finally {
      if (isGood) {
        give(line, index);
      } else {
        drop(line);
      }
    }
  }

  /** Sends one datagram, or loses it: UDP promises nothing. */
  void send(int index, byte[] datagram) {
    Line line;
    try {
      line = take(index);
    } catch (LarsException error) {
      counters.dropped.increment();
      return;
    }
    try {
      line.send(datagram);
    } catch (IOException error) {
      counters.dropped.increment();
      drop(line);
      return;
    }
    give(line, index);
  }

  /** Ends the questions under way with a ClosedException. */
  synchronized void close() {
    isClosed = true;
    for (Deque<Line> lines : idle) {
      lines.forEach(Line::close);
      lines.clear();
    }
    busy.forEach(Line::close);
  }

  boolean closed() {
    return isClosed;
  }

  static ClosedException closedError() {
    return new ClosedException("The client is closed");
  }

  private Line take(int index) {
    synchronized (this) {
      checkRoom();
      Line line = idle.get(index).pollLast();
      if (line != null) {
        busy.add(line);
        return line;
      }
    }
    // Not under the lock: the agent's name may have to be looked up.
    Line opened;
    try {
      opened = new Line(settings, index, counters);
    } catch (IOException error) {
      throw socketError(index, error);
    }
    synchronized (this) {
      if (isClosed) {
        opened.close();
        throw closedError();
      }
      busy.add(opened);
    }
    return opened;
  }

  private void checkRoom() {
    if (isClosed) {
      throw closedError();
    }
    if (busy.size() >= settings.pendingMax) {
      throw new LimitException(
          "Questions under way must be at most " + settings.pendingMax + ": one more was refused");
    }
  }

  private synchronized void give(Line line, int index) {
    busy.remove(line);
    if (isClosed || idle.get(index).size() >= IDLE_MAX) {
      line.close();
    } else {
      idle.get(index).addLast(line);
    }
  }

  private synchronized void drop(Line line) {
    busy.remove(line);
    line.close();
  }

  private ConnectException socketError(int index, IOException cause) {
    String message = settings.addressOf(index) + ": the socket towards the agent failed: " + cause;
    return new ConnectException(message, cause);
  }
}
