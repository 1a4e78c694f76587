// Core. How one question or call differs from what the client was told.
package lars.client;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.function.BiPredicate;
import java.util.function.ToIntBiFunction;

/**
 * How one question or call differs from what the client was told. Immutable: each method gives a
 * changed copy. {@code Options.none().retries(1).timeout(Duration.ofSeconds(2))}.
 */
public final class Options {
  /** Longest key, in bytes. */
  public static final int KEY_BYTES_MAX = 256;
  /** Longest deadline. */
  public static final Duration DEADLINE_MAX = Duration.ofMinutes(1);
  /** Most tries of one call after its first. */
  public static final int RETRIES_MAX = 10;
  /** Longest time of a call with all its tries. */
  public static final Duration CALL_TIMEOUT_MAX = Duration.ofDays(1);

  private static final Options NONE = new Options();

  Duration deadline;
  Duration firstRoute;
  byte[] key;
  int retries;
  Duration timeout;
  BiPredicate<Exception, Host> isRetryable = (error, host) -> true;
  ToIntBiFunction<Exception, Host> retcodeOf = (error, host) -> 0;

  private Options() {}

  private Options(Options other) {
    deadline = other.deadline;
    firstRoute = other.firstRoute;
    key = other.key;
    retries = other.retries;
    timeout = other.timeout;
    isRetryable = other.isRetryable;
    retcodeOf = other.retcodeOf;
  }

  /** As the client was told. */
  public static Options none() {
    return NONE;
  }

  /** Time the question may take, up to a minute; the wait for a first route then, too. */
  public Options deadline(Duration value) {
    Options copy = new Options(this);
    copy.deadline = checkDeadline(value);
    return copy;
  }

  /** How long to go on asking for the first route of a module, up to a minute; zero does not. */
  public Options firstRoute(Duration value) {
    Options copy = new Options(this);
    copy.firstRoute = checkFirstRoute(value);
    return copy;
  }

  /**
   * Calls of one key stay on one node, where the policy of the module heeds keys (ring_hash,
   * bounded_ring_hash, maglev); elsewhere it does nothing.
   */
  public Options key(String value) {
    return key(value.getBytes(StandardCharsets.UTF_8));
  }

  /** The same with 1 to 256 bytes. */
  public Options key(byte[] value) {
    if (value.length < 1 || value.length > KEY_BYTES_MAX) {
      throw new IllegalArgumentException(
          "Key must be 1 to " + KEY_BYTES_MAX + " bytes long: it has " + value.length);
    }
    Options copy = new Options(this);
    copy.key = value.clone();
    return copy;
  }

  /**
   * Further nodes that a call tries after a failure, 0 to 10; never the node just tried, and never
   * more than the budget of the client allows. For calls that may be made twice.
   */
  public Options retries(int count) {
    if (count < 0 || count > RETRIES_MAX) {
      throw new IllegalArgumentException(
          "Retries must be from 0 to " + RETRIES_MAX + ": they are " + count);
    }
    Options copy = new Options(this);
    copy.retries = count;
    return copy;
  }

  /**
   * Time for the picks and all tries of a call, up to a day. When it is over no further try begins;
   * a function that returns later has failed, and the call ends with a {@link LarsTimeoutException}.
   */
  public Options timeout(Duration value) {
    if (value.isNegative() || value.isZero() || value.compareTo(CALL_TIMEOUT_MAX) > 0) {
      throw new IllegalArgumentException(
          "Timeout must be more than 0 and at most a day: it is " + value);
    }
    Options copy = new Options(this);
    copy.timeout = value;
    return copy;
  }

  /** Whether another node may do better after an exception; always, when it is left out. */
  public Options isRetryable(BiPredicate<Exception, Host> test) {
    Options copy = new Options(this);
    copy.isRetryable = test;
    return copy;
  }

  /** Return code to report for an exception, where the caller knows more; 0 leaves it open. */
  public Options retcodeOf(ToIntBiFunction<Exception, Host> code) {
    Options copy = new Options(this);
    copy.retcodeOf = code;
    return copy;
  }

  Options withoutKey() {
    Options copy = new Options(this);
    copy.key = null;
    return copy;
  }

  static Duration checkDeadline(Duration value) {
    if (value.isNegative() || value.isZero() || value.compareTo(DEADLINE_MAX) > 0) {
      throw new IllegalArgumentException(
          "Deadline must be more than 0 and at most a minute: it is " + value);
    }
    return value;
  }

  static Duration checkFirstRoute(Duration value) {
    if (value.isNegative() || value.compareTo(DEADLINE_MAX) > 0) {
      throw new IllegalArgumentException("First route must be from 0 to a minute: it is " + value);
    }
    return value;
  }
}
