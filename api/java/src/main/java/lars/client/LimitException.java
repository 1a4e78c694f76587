// Core. A named limit was reached, and the request was refused rather than queued.
package lars.client;

/** A named limit was reached, and the request was refused rather than queued. */
public final class LimitException extends LarsException {
  private static final long serialVersionUID = 1;

  LimitException(String message) {
    super(message);
  }

  LimitException(String message, Throwable cause) {
    super(message, cause);
  }
}
