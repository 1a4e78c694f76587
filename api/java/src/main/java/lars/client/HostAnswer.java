// Core. What tryGetHost answers.
package lars.client;

/**
 * What {@link LarsClient#tryGetHost(long, long)} answers.
 *
 * @param retcode one of {@link RetCode}, or a code that nobody here knows
 * @param host there when the code is 0, else null
 * @param error why no answer of the agent was had; beside code 2, or beside a stale host; else null
 */
public record HostAnswer(int retcode, Host host, LarsException error) {}
