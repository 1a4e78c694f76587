// Core. Answers of an agent to a caller, as in the original.
package lars.client;

/** Answers of an agent to a caller, as in the original. */
public final class RetCode {
  /** A node was picked. */
  public static final int SUCCESS = 0;
  /** Every node of the module is overloaded. */
  public static final int OVERLOAD = 1;
  /** The agent could not do its work, or did not answer. */
  public static final int SYSTEM_ERROR = 2;
  /** The module is unknown, or its route has not arrived yet. */
  public static final int NO_EXIST = 3;

  private RetCode() {}
}
