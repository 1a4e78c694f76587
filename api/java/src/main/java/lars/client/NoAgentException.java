// Core. Nobody listens at the address of the agent.
package lars.client;

/** Nobody listens at the address of the agent. */
public final class NoAgentException extends ConnectException {
  private static final long serialVersionUID = 1;

  NoAgentException(String message) {
    super(message);
  }

  NoAgentException(String message, Throwable cause) {
    super(message, cause);
  }
}
