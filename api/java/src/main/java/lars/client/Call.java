// Shell. A call from the pick to its outcome, with further tries at other nodes.
package lars.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** One call of one client. */
final class Call<T, E extends Exception> {
  /** Picks made to find a node that was not tried yet; with fewer nodes a known one comes back. */
  private static final int PICKS_MAX = 8;

  private final LarsClient client;
  private final long modId;
  private final long cmdId;
  private final ModuleId module;
  private final CallFunction<T, E> fn;
  private final Options options;
  private final long startNanos = System.nanoTime();
  private final List<Host> tried = new ArrayList<>();

  Call(LarsClient client, long modId, long cmdId, CallFunction<T, E> fn, Options options) {
    this.client = client;
    this.modId = modId;
    this.cmdId = cmdId;
    this.module = ModuleId.of(modId, cmdId);
    this.fn = fn;
    this.options = options;
  }

  T run() throws E {
    Host host = pick(options);
    if (options.retries > 0) {
      client.budgets.addCall(module, LarsClient.nowMs());
    }
    while (true) {
      try {
        return attempt(host);
      } catch (Exception error) {
        boolean isFinal =
            tried.size() > options.retries
                || leftNanos() <= 0
                || isInterruption(error)
                || !options.isRetryable.test(error, host);
        Host next = isFinal ? null : nextHost();
        if (next == null) {
          throw Call.<E>passOn(error);
        }
        host = next;
      }
    }
  }

  /** Runs the function with one node and reports what came of it. */
  private T attempt(Host host) throws Exception {
    int number = tried.size();
    tried.add(host);
    Duration left =
        options.timeout == null
            ? Options.CALL_TIMEOUT_MAX
            : Duration.ofNanos(Math.max(1, leftNanos()));
    long tryNanos = System.nanoTime();
    T result;
    try {
      result = fn.apply(new Attempt(host, number, left));
    } catch (Exception error) {
      if (isInterruption(error)) {
        throw error; // says nothing about the node
      }
      if (leftNanos() <= 0) {
        throw late(host, tryNanos, error);
      }
      report(host, retcodeOf(error, host), tryNanos);
      throw error;
    }
    if (leftNanos() <= 0) {
      throw late(host, tryNanos, null);
    }
    report(host, Outcomes.SUCCESS, tryNanos);
    return result;
  }

  private static boolean isInterruption(Exception error) {
    return error instanceof InterruptedException
        || error instanceof InterruptedCallException
        || Thread.currentThread().isInterrupted();
  }

  private int retcodeOf(Exception error, Host host) {
    int code = options.retcodeOf.applyAsInt(error, host);
    return code == 0 ? Outcomes.retcodeOf(error) : code;
  }

  private LarsTimeoutException late(Host host, long tryNanos, Exception cause) {
    report(host, Outcomes.TIMED_OUT, tryNanos);
    return new LarsTimeoutException(
        "No outcome of the call in " + options.timeout.toMillis() + " ms; the last node was "
            + host.address(),
        cause);
  }

  private void report(Host host, int retcode, long tryNanos) {
    // The outcome of the call matters more than that nobody can be told.
    if (client.isClosed()) {
      return;
    }
    Duration took = Duration.ofNanos(System.nanoTime() - tryNanos);
    try {
      client.report(modId, cmdId, host.ip(), host.port(), retcode, took);
    } catch (ClosedException error) {
      return;
    }
  }

  /** What is left of the time of the call; more than 0 where there is no limit. */
  private long leftNanos() {
    return options.timeout == null
        ? Long.MAX_VALUE
        : startNanos + options.timeout.toNanos() - System.nanoTime();
  }

  /** Asks for a node; the question does not outlast the call. */
  private Host pick(Options wished) {
    if (options.timeout == null) {
      return client.getHost(modId, cmdId, wished);
    }
    Duration left = Duration.ofNanos(Math.max(1_000_000, leftNanos()));
    Options own = wished.firstRoute(shorter(client.firstRouteOf(wished), left));
    if (left.compareTo(client.deadlineOf(wished)) < 0) {
      own = own.deadline(left);
    }
    return client.getHost(modId, cmdId, own);
  }

  private static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? one : other;
  }

  /** Another node, when the budget allows it and there is one; else null. */
  private Host nextHost() {
    // The budget first: when it is spent, looking for another node would be load for nothing.
    if (!client.budgets.take(module, LarsClient.nowMs())) {
      client.counters.retriesRefused.increment();
      return null;
    }
    Host host = another();
    if (host == null) {
      client.budgets.giveBack(module, LarsClient.nowMs());
      return null;
    }
    client.counters.retried.increment();
    return host;
  }

  /** A node that was not tried yet, else one that was not the last; null when there is none. */
  private Host another() {
    // The key names one node: whoever looks for another one does so without it.
    Options own = options.withoutKey().firstRoute(Duration.ZERO);
    Host last = tried.get(tried.size() - 1);
    Host known = null;
    for (int picks = 0; picks < PICKS_MAX; picks++) {
      Host host;
      try {
        host = pick(own);
      } catch (LarsException error) {
        return known;
      }
      if (tried.stream().noneMatch(one -> one.address().equals(host.address()))) {
        return host;
      }
      if (!host.address().equals(last.address())) {
        known = host;
      }
    }
    return known;
  }

  /** Checked or not, what the function threw is thrown again as it was. */
  @SuppressWarnings("unchecked")
  private static <E extends Exception> E passOn(Exception error) throws E {
    throw (E) error;
  }
}
