// Core. What a client has seen since it was made.
package lars.client;

/**
 * Counters for whoever watches the program.
 *
 * @param pending questions asked and not answered yet
 * @param resent questions sent a second time
 * @param late answers that nobody waited for (any more)
 * @param garbage datagrams of the agent that could not be read
 * @param foreign datagrams without a good seal, where there is a secret
 * @param dropped datagrams that could not be sent
 * @param stale times a node named earlier was given because the agent did not answer
 * @param retried tries made by {@code call} after the first one
 * @param retriesRefused tries that {@code call} did not make because the budget was spent
 */
public record Stats(
    int pending,
    long resent,
    long late,
    long garbage,
    long foreign,
    long dropped,
    long stale,
    long retried,
    long retriesRefused) {}
