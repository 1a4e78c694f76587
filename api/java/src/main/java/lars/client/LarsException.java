// Core. Base of every exception this package throws on purpose.
package lars.client;

/**
 * Base of every exception this package throws on purpose. Arguments out of range are faults of the
 * program: those are an {@link IllegalArgumentException}.
 */
public class LarsException extends RuntimeException {
  private static final long serialVersionUID = 1;

  LarsException(String message) {
    super(message);
  }

  LarsException(String message, Throwable cause) {
    super(message, cause);
  }
}
