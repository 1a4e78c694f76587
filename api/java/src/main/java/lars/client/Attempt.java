// Core. One try of a call, as the caller's function sees it.
package lars.client;

import java.time.Duration;

/**
 * One try of a call.
 *
 * @param host the node to call
 * @param number 0 for the first try, 1 for the second, and so on
 * @param left what was left of the time of the whole call when the try began, for time-outs of
 *     sockets; a day where there is no limit
 */
public record Attempt(Host host, int number, Duration left) {

  /** {@code ip:port} of the node. */
  public String address() {
    return host.address();
  }
}
