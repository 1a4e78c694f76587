// Core. The client was closed before the answer came, or before the call.
package lars.client;

/** The client was closed before the answer came, or before the call. */
public final class ClosedException extends LarsException {
  private static final long serialVersionUID = 1;

  ClosedException(String message) {
    super(message);
  }

  ClosedException(String message, Throwable cause) {
    super(message, cause);
  }
}
