// Shell. The client: asks the agent for nodes and tells it how the calls went.
package lars.client;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A caller's side of Lars. Ask for a node, call it, report how it went:
 *
 * <pre>{@code
 * try (LarsClient client = LarsClient.create()) {
 *   Host host = client.getHost(1, 1);
 *   System.out.println("calling " + host.address());
 *   client.report(1, 1, host.ip(), host.port(), 0, Duration.ofMillis(12));
 * }
 * }</pre>
 *
 * or all three at once: {@code client.call(1, 1, node -> fetch(node.address()))}.
 *
 * <p>Making a client opens nothing: sockets are opened by the first question. One client serves a
 * whole program; any thread may use it. Module and command ids are numbers of 32 bits, from 0 to
 * 4294967295. Every method throws an {@link IllegalArgumentException} when an argument is out of
 * range, and a {@link ClosedException} when the client is closed.
 */
public final class LarsClient implements AutoCloseable {
  /** The original tries this often to get the first route of a module, with pauses between. */
  private static final int REG_INIT_TRIES = 3;
  private static final long REG_INIT_PAUSE_MS = 50;

  final Counters counters = new Counters();
  final RetryBudgets budgets;
  final Settings settings;
  /** An agent that did not answer is not waited for again for so long, where an old table stands in. */
  private static final long SILENT_MS = 1000;

  private final Lines lines;
  private final Batch batch;
  private final TableReader table;
  private volatile long silentUntilMs = Long.MIN_VALUE;
  private final LastGood lastGood;
  private final FirstRoutes firstRoutes;
  private final Explanations explanations;

  private LarsClient(Settings settings) {
    this.settings = settings;
    lines = new Lines(settings, counters);
    Duration keep = settings.lastGood;
    lastGood = new LastGood(keep == null ? Long.MAX_VALUE : keep.toMillis());
    budgets = new RetryBudgets(settings.retryShare, settings.retryFloorPerSecond);
    firstRoutes = new FirstRoutes(this::askRoute);
    explanations = new Explanations(lines);
    batch = new Batch(counters, settings::secretFor);
    TableReader.OnLeave fill = (modId, cmdId, host) ->
        lastGood.fill(new ModuleId(modId, cmdId), host, nowMs());
    table = new TableReader(settings.tablePath(), settings.ports[0], batch, fill);
    AtExit.remember(this);
  }

  /** A client of the agent on this host. */
  public static LarsClient create() {
    return builder().build();
  }

  /** A client that is told more. */
  public static Builder builder() {
    return new Builder();
  }

  /** Counters for whoever watches the program. */
  public Stats stats() {
    return counters.stats(lines.pending());
  }

  /** Ends questions under way with a {@link ClosedException}, and closes. May be repeated. */
  @Override
  public void close() {
    table.close();
    batch.close();
    lines.close();
    AtExit.forget(this);
  }

  /** Sends the outcomes that wait. */
  void flush() {
    batch.flush();
  }

  /** {@link #getHost(long, long, Options)} as the client was told. */
  public Host getHost(long modId, long cmdId) {
    // The way of nearly all picks; ids out of range are none of the table's.
    if ((modId | cmdId) >>> 32 == 0) {
      Host host = table.pick((int) modId, (int) cmdId);
      if (host != null && host != TableReader.REFUSAL) {
        return host;
      }
      if (host != null) {
        throw overload(ModuleId.of(modId, cmdId));
      }
    }
    return getHost(modId, cmdId, Options.none());
  }

  /**
   * The next node of a module; waits for the first route of a module.
   *
   * @throws OverloadException when every node is overloaded
   * @throws NoRouteException when there is no node of the module
   * @throws LarsTimeoutException when the agent does not answer, and has named no node before
   * @throws ConnectException when there was no agent to ask ({@link NoAgentException}), or no socket
   * @throws LimitException when too many questions are under way
   */
  public Host getHost(long modId, long cmdId, Options options) {
    ModuleId module = ModuleId.of(modId, cmdId);
    long start = System.nanoTime();
    HostAnswer answer = pick(module, options);
    if (FirstRoutes.isAbsent(answer)) {
      answer = pickAgain(module, options, start, answer);
    }
    if (answer.host() != null) {
      firstRoutes.arrived(module);
      return answer.host();
    }
    if (answer.error() != null) {
      throw answer.error();
    }
    throw switch (answer.retcode()) {
      case RetCode.OVERLOAD -> overload(module);
      case RetCode.NO_EXIST -> new NoRouteException("The agent knows no node of module " + module);
      default -> new AgentException(
          "The agent answered for module " + module + " with return code " + answer.retcode(),
          answer.retcode());
    };
  }

  /** {@link #tryGetHost(long, long, Options)} as the client was told. */
  public HostAnswer tryGetHost(long modId, long cmdId) {
    return tryGetHost(modId, cmdId, Options.none());
  }

  /** Like getHost, at once, and with the return codes of the original for errors. */
  public HostAnswer tryGetHost(long modId, long cmdId, Options options) {
    return pick(ModuleId.of(modId, cmdId), options);
  }

  /** {@link #report(long, long, String, int, int, Duration)} of a call whose time nobody knows. */
  public void report(long modId, long cmdId, String ip, int port, int retcode) {
    report(modId, cmdId, ip, port, retcode, null);
  }

  /**
   * Tells how a call went. It never waits; the agent does not answer.
   *
   * @param retcode 0 for success; anything else is a failure
   * @param took time the call took, or null; a failure that took long weighs more
   */
  public void report(long modId, long cmdId, String ip, int port, int retcode, Duration took) {
    ModuleId module = ModuleId.of(modId, cmdId);
    int address = Host.parseIpv4(ip);
    if (port < 1 || port > 65535) {
      throw new IllegalArgumentException("Port must be from 1 to 65535: it is " + port);
    }
    if (took != null && took.isNegative()) {
      throw new IllegalArgumentException("Time of a call must be 0 or more: it is " + took);
    }
    if (lines.closed()) {
      throw Lines.closedError();
    }
    if (retcode != Outcomes.SUCCESS || lastGood.hasFailures()) {
      lastGood.judge(module, ip + ":" + port, retcode == Outcomes.SUCCESS, nowMs());
    }
    long timeMs = took == null ? -1 : wholeMs(took);
    if (table.isUsable()) {
      long node = Integer.toUnsignedLong(address) | (long) port << 32;
      batch.add(module.modId(), module.cmdId(), node, retcode, (int) timeMs); // -1: not known
      return;
    }
    byte[] datagram = Question.report(module, address, port, retcode, timeMs);
    lines.send(module.portIndex(), datagram);
  }

  /** {@link #getRoute(long, long, Options)} as the client was told. */
  public List<Host> getRoute(long modId, long cmdId) {
    return getRoute(modId, cmdId, Options.none());
  }

  /** Every node of a module, overloaded ones too; none when there is no such module. */
  public List<Host> getRoute(long modId, long cmdId, Options options) {
    return askRoute(ModuleId.of(modId, cmdId), deadlineOf(options));
  }

  /**
   * Fetches the route of a module when a program starts; three tries, 50 ms apart.
   *
   * @return 0 when there are nodes, 3 when there are none, 2 when nobody could be asked
   */
  public int regInit(long modId, long cmdId) {
    ModuleId module = ModuleId.of(modId, cmdId);
    boolean hasAnswered = false;
    for (int attempt = 0; attempt < REG_INIT_TRIES; attempt++) {
      if (attempt > 0) {
        pause(REG_INIT_PAUSE_MS);
      }
      try {
        if (!askRoute(module, settings.deadline).isEmpty()) {
          return RetCode.SUCCESS;
        }
        hasAnswered = true;
      } catch (ClosedException error) {
        throw error;
      } catch (LarsException error) {
        continue;
      }
    }
    return hasAnswered ? RetCode.NO_EXIST : RetCode.SYSTEM_ERROR;
  }

  /** {@link #explain(long, long, Options)} as the client was told. */
  public Map<String, Object> explain(long modId, long cmdId) {
    return explain(modId, cmdId, Options.none());
  }

  /**
   * Why which node is picked: the agent's explanation as maps, lists, texts and numbers; null for a
   * module it does not know.
   *
   * @throws LarsTimeoutException also when the agent speaks the original protocol only
   * @throws ProtocolException when it makes no sense
   */
  public Map<String, Object> explain(long modId, long cmdId, Options options) {
    return explanations.explain(ModuleId.of(modId, cmdId), deadlineOf(options).toNanos());
  }

  /** {@link #call(long, long, CallFunction, Options)} with one try, and no limit of time. */
  public <T, E extends Exception> T call(long modId, long cmdId, CallFunction<T, E> fn) throws E {
    return call(modId, cmdId, fn, Options.none());
  }

  /**
   * Picks a node, runs {@code fn} with it, and reports how it went and how long it took. What it
   * returns or throws passes through; an exception counts as a failure of the node.
   *
   * @throws LarsException what getHost throws, before {@code fn} is run; a LarsTimeoutException when
   *     the time of the call is over
   * @throws E what {@code fn} throws
   */
  public <T, E extends Exception> T call(
      long modId, long cmdId, CallFunction<T, E> fn, Options options) throws E {
    return new Call<>(this, modId, cmdId, fn, options).run();
  }

  private static OverloadException overload(ModuleId module) {
    return new OverloadException("Every node of module " + module + " is overloaded");
  }

  private HostAnswer pick(ModuleId module, Options options) {
    Host found = table.pick(module.modId(), module.cmdId(), options.key);
    if (found == TableReader.REFUSAL) {
      return new HostAnswer(RetCode.OVERLOAD, null, null);
    }
    if (found != null) {
      return new HostAnswer(RetCode.SUCCESS, found, null);
    }
    Host old = nowMs() < silentUntilMs ? pickOld(module) : null;
    if (old != null) {
      String why = "No answer from the agent a moment ago: is it running?";
      return new HostAnswer(RetCode.SUCCESS, old, new LarsTimeoutException(why));
    }
    return ask(module, options);
  }

  /** A node of a table that nobody keeps any more; null for none. */
  private Host pickOld(ModuleId module) {
    if (!lastGood.isOn() || lines.closed()) {
      return null;
    }
    long now = nowMs();
    Host host =
        table.pickOld(module.modId(), module.cmdId(), one -> lastGood.rests(module, one, now));
    if (host == null) {
      return null;
    }
    counters.stale.increment();
    // One that is known can be judged: the next pick passes it over when its call fails.
    lastGood.learn(module, host, now);
    return host.asStale();
  }

  private HostAnswer ask(ModuleId module, Options options) {
    Answer reply;
    try {
      reply = lines.ask(Question.host(module, options.key), deadlineOf(options).toNanos());
    } catch (LarsTimeoutException | ConnectException error) {
      Host old = pickOld(module);
      if (old != null) {
        silentUntilMs = nowMs() + SILENT_MS;
        return new HostAnswer(RetCode.SUCCESS, old, error);
      }
      Host host = lastGood.next(module, nowMs());
      if (host == null) {
        return new HostAnswer(RetCode.SYSTEM_ERROR, null, error);
      }
      counters.stale.increment();
      return new HostAnswer(RetCode.SUCCESS, host.asStale(), error);
    } catch (LarsException error) {
      return new HostAnswer(RetCode.SYSTEM_ERROR, null, error);
    }
    silentUntilMs = Long.MIN_VALUE;
    table.forgetOld();
    // That there is no node takes nothing away: an agent that has just started says so of every
    // module whose route has not come yet.
    if (reply.host != null) {
      lastGood.remember(module, reply.host, nowMs());
    }
    return new HostAnswer(reply.retcode, reply.host, null);
  }

  /** Picks once more when the first route has come; the answer before when nobody waits for it. */
  private HostAnswer pickAgain(
      ModuleId module, Options options, long start, HostAnswer before) {
    boolean isNamed = options.deadline != null || settings.isDeadlineNamed;
    long wished = firstRouteOf(options).toNanos();
    long named = isNamed ? deadlineOf(options).toNanos() : Long.MAX_VALUE;
    if (wished == 0) {
      return before;
    }
    try {
      if (!firstRoutes.await(module, start + Math.min(wished, named))) {
        return before;
      }
    } catch (InterruptedException error) {
      throw interrupted(error);
    }
    if (!isNamed) {
      return pick(module, options);
    }
    long left = start + named - System.nanoTime();
    return left <= 0 ? before : pick(module, options.deadline(Duration.ofNanos(left)));
  }

  private List<Host> askRoute(ModuleId module, Duration deadline) {
    return lines.ask(Question.route(module), deadline.toNanos()).hosts;
  }

  Duration deadlineOf(Options options) {
    return options.deadline == null ? settings.deadline : options.deadline;
  }

  Duration firstRouteOf(Options options) {
    return options.firstRoute == null ? settings.firstRoute : options.firstRoute;
  }

  /** Rounded, and as many as the wire can tell. */
  private static long wholeMs(Duration took) {
    long seconds = Math.min(took.getSeconds(), 0xffffffffL);
    return Math.min(seconds * 1000 + (took.getNano() + 500_000) / 1_000_000, 0xffffffffL);
  }

  boolean isClosed() {
    return lines.closed();
  }

  static long nowMs() {
    return System.nanoTime() / 1_000_000;
  }

  private static void pause(long ms) {
    try {
      TimeUnit.MILLISECONDS.sleep(ms);
    } catch (InterruptedException error) {
      throw interrupted(error);
    }
  }

  private static InterruptedCallException interrupted(InterruptedException error) {
    Thread.currentThread().interrupt();
    return new InterruptedCallException("The thread was interrupted while it waited", error);
  }

  /** Says where the agent is and how patient to be. Every part may be left out. */
  public static final class Builder {
    private final Settings settings = new Settings();

    private Builder() {}

    /** Where the agent is: it should run on this very host. A name or an IPv4 address; 127.0.0.1. */
    public Builder hostname(String value) {
      if (value.isEmpty() || value.chars().anyMatch(c -> Character.isWhitespace(c) || c == ':')) {
        throw new IllegalArgumentException(
            "Hostname must be a name or an IPv4 address: current value is \"" + value + "\"");
      }
      settings.hostname = value.equals("localhost") ? "127.0.0.1" : value;
      return this;
    }

    /** First of the agent's three UDP ports, 1 to 65533; 8888. */
    public Builder port(int first) {
      return ports(first, first + 1, first + 2);
    }

    /** All three of them, where they are not in a row. */
    public Builder ports(int first, int second, int third) {
      for (int port : new int[] {first, second, third}) {
        if (port < 1 || port > 65535) {
          throw new IllegalArgumentException(
              "Port must be from 1 to 65533, or three of them: current value is " + first);
        }
      }
      settings.ports = new int[] {first, second, third};
      return this;
    }

    /** Time a question may take, up to a minute; 50 ms. */
    public Builder deadline(Duration value) {
      settings.deadline = Options.checkDeadline(value);
      settings.isDeadlineNamed = true;
      return this;
    }

    /**
     * How long getHost and call go on asking for a module that has no route yet, or whose agent does
     * not answer, up to a minute; zero does not. It counts from the first pick of the module, and
     * never exceeds a deadline that is given. One second.
     */
    public Builder firstRoute(Duration value) {
      settings.firstRoute = Options.checkFirstRoute(value);
      return this;
    }

    /** Shared secret, for an agent on another host that wants one; 1 to 1024 bytes. */
    public Builder token(byte[] value) {
      if (value.length < 1 || value.length > Settings.TOKEN_BYTES_MAX) {
        throw new IllegalArgumentException(
            "Token must be 1 to 1024 bytes long: current length is " + value.length);
      }
      settings.token = value.clone();
      return this;
    }

    /**
     * For how long a node named earlier may stand in while the agent does not answer; zero never.
     * Without limit, unless given.
     */
    public Builder lastGood(Duration value) {
      if (value.isNegative()) {
        throw new IllegalArgumentException("Last good must be 0 or more: it is " + value);
      }
      settings.lastGood = value;
      return this;
    }

    /** Questions under way at once, each with a socket of its own, 1 to 65536; 1024. */
    public Builder pendingMax(int value) {
      if (value < 1 || value > 65536) {
        throw new IllegalArgumentException("pendingMax must be from 1 to 65536: it is " + value);
      }
      settings.pendingMax = value;
      return this;
    }

    /** Retries that a call with retries allows, 0 to 1; 0.2. */
    public Builder retryShare(double value) {
      settings.retryShare = Settings.checkNumber("retryShare", value, 1);
      return this;
    }

    /** Retries allowed for each second whatever the number of calls, 0 to 1000; 1. */
    public Builder retryFloorPerSecond(double value) {
      settings.retryFloorPerSecond = Settings.checkNumber("retryFloorPerSecond", value, 1000);
      return this;
    }

    /** Path of the agent's table in shared memory, "" for none; that of the agent on this host. */
    public Builder sharedTable(String value) {
      settings.sharedTable = value;
      return this;
    }

    /** The client. */
    public LarsClient build() {
      return new LarsClient(new Settings(settings));
    }
  }
}
