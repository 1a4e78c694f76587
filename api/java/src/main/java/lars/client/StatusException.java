// Core. A node answered with an HTTP status that says it failed; reported for it as it is.
package lars.client;

/** A node answered with an HTTP status that says it failed; reported for it as it is. */
public final class StatusException extends LarsException {
  private static final long serialVersionUID = 1;

  private final int status;

  StatusException(String message, int status) {
    super(message);
    this.status = status;
  }

  /** The status itself. */
  public int status() {
    return status;
  }
}
