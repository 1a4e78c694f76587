// Core. Every node of the module is overloaded: shed the call, or try again a little later.
package lars.client;

/** Every node of the module is overloaded: shed the call, or try again a little later. */
public final class OverloadException extends LarsException {
  private static final long serialVersionUID = 1;

  OverloadException(String message) {
    super(message);
  }

  OverloadException(String message, Throwable cause) {
    super(message, cause);
  }
}
