// Core. What a failed call says about its node: the return code to report for an exception.
package lars.client;

import java.io.EOFException;
import java.net.NoRouteToHostException;
import java.net.PortUnreachableException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.channels.ClosedChannelException;
import java.util.concurrent.TimeoutException;

/** What calls say about nodes, as return codes. */
public final class Outcomes {
  static final int SUCCESS = 0;
  static final int OTHER = 2;
  static final int TIMED_OUT = 110;
  static final int REFUSED = 111;

  /** Exceptions in a chain of causes that are looked at. */
  private static final int CAUSES_MAX = 8;

  private Outcomes() {}

  /**
   * The return code that says what kind of failure an exception is: 111 for a connection that was
   * refused or lost, 110 for time that was over, the status of a {@link StatusException}, 2 for all
   * else. Its causes are looked at as well.
   */
  public static int retcodeOf(Throwable error) {
    Throwable cause = error;
    for (int depth = 0; depth < CAUSES_MAX && cause != null; depth++) {
      int code = codeOf(cause);
      if (code != OTHER) {
        return code;
      }
      cause = cause.getCause();
    }
    return OTHER;
  }

  private static int codeOf(Throwable error) {
    if (error instanceof StatusException status) {
      return status.status();
    }
    boolean isTimeout =
        error instanceof SocketTimeoutException
            || error instanceof TimeoutException
            || error instanceof LarsTimeoutException
            // Of java.net.http, a module that this one does not need.
            || error.getClass().getName().startsWith("java.net.http.Http")
                && error.getClass().getName().endsWith("TimeoutException");
    if (isTimeout) {
      return TIMED_OUT;
    }
    boolean isLost =
        error instanceof java.net.ConnectException
            || error instanceof NoRouteToHostException
            || error instanceof PortUnreachableException
            || error instanceof SocketException
            || error instanceof ClosedChannelException
            || error instanceof EOFException;
    return isLost ? REFUSED : OTHER;
  }

  /**
   * Lets an HTTP status through, or throws when it blames the node: 500 and above, 429 (it pushes
   * back) and 408 (it gave up). Any other one of 400 to 499 is the caller's own fault, and no reason
   * to avoid a node.
   *
   * @throws StatusException for those
   */
  public static void checkStatus(int status) {
    if (status >= 500 || status == 429 || status == 408) {
      throw new StatusException("The node answered with status " + status, status);
    }
  }
}
