// Core. No answer came within the time allowed, or the time of a call was over.
package lars.client;

/** No answer came within the time allowed, or the time of a call was over. */
public final class LarsTimeoutException extends LarsException {
  private static final long serialVersionUID = 1;

  LarsTimeoutException(String message) {
    super(message);
  }

  LarsTimeoutException(String message, Throwable cause) {
    super(message, cause);
  }
}
