// Core. A socket towards the agent failed, or its name does not resolve.
package lars.client;

/** A socket towards the agent failed, or its name does not resolve. */
public class ConnectException extends LarsException {
  private static final long serialVersionUID = 1;

  ConnectException(String message) {
    super(message);
  }

  ConnectException(String message, Throwable cause) {
    super(message, cause);
  }
}
