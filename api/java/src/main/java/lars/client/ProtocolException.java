// Core. Bytes of the agent break the rules of the wire.
package lars.client;

/** Bytes of the agent break the rules of the wire. */
public final class ProtocolException extends LarsException {
  private static final long serialVersionUID = 1;

  ProtocolException(String message) {
    super(message);
  }

  ProtocolException(String message, Throwable cause) {
    super(message, cause);
  }
}
