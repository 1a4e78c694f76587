// Core. The part of a call that is the caller's own.
package lars.client;

/**
 * The part of a call that is the caller's own: throwing means that the node failed.
 *
 * @param <T> what it returns
 * @param <E> what it throws
 */
@FunctionalInterface
public interface CallFunction<T, E extends Exception> {
  /** Calls the node. */
  T apply(Attempt attempt) throws E;
}
