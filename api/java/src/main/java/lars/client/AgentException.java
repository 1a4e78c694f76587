// Core. The agent answered that it could not do its work: 2, or a code that nobody here knows.
package lars.client;

/** The agent answered that it could not do its work: 2, or a code that nobody here knows. */
public final class AgentException extends LarsException {
  private static final long serialVersionUID = 1;

  private final int retcode;

  AgentException(String message, int retcode) {
    super(message);
    this.retcode = retcode;
  }

  /** The retcode itself. */
  public int retcode() {
    return retcode;
  }
}
