// Core. The thread was interrupted while it waited; its interrupt flag is set again.
package lars.client;

/** The thread was interrupted while it waited; its interrupt flag is set again. */
public final class InterruptedCallException extends LarsException {
  private static final long serialVersionUID = 1;

  InterruptedCallException(String message) {
    super(message);
  }

  InterruptedCallException(String message, Throwable cause) {
    super(message, cause);
  }
}
