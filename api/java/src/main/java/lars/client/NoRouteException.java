// Core. The agent knows no node of the module: there is none, or its route has not arrived yet.
package lars.client;

/** The agent knows no node of the module: there is none, or its route has not arrived yet. */
public final class NoRouteException extends LarsException {
  private static final long serialVersionUID = 1;

  NoRouteException(String message) {
    super(message);
  }

  NoRouteException(String message, Throwable cause) {
    super(message, cause);
  }
}
