// Core. How many second tries are healthy: a share of the calls, and a floor for small traffic.
package lars.client;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Keeps retries from turning a slow module into a dead one: for each module and any ten seconds at
 * most {@code share} of the calls, and {@code floorPerSecond} more for each second, are tried again.
 */
final class RetryBudgets {
  /** Seconds that calls and retries are remembered. */
  private static final int WINDOW_SECONDS = 10;
  /** Modules with a budget of their own; beyond it the oldest begins anew. */
  static final int MODULES_MAX = 1000;

  private final double share;
  private final double floor;
  private final Map<ModuleId, Budget> budgets = new LinkedHashMap<>();

  RetryBudgets(double share, double floorPerSecond) {
    this.share = share;
    this.floor = floorPerSecond * WINDOW_SECONDS;
  }

  /** A call was made, whatever comes of it; its retries do not count as calls. */
  synchronized void addCall(ModuleId module, long nowMs) {
    of(module).add(nowMs, share);
  }

  /** Takes one retry out of the budget; false when there is none left. */
  synchronized boolean take(ModuleId module, long nowMs) {
    Budget budget = of(module);
    // Shares add up to a little less than a whole one at times.
    if (floor + budget.sum(nowMs) < 0.995) {
      return false;
    }
    budget.add(nowMs, -1);
    return true;
  }

  /** Puts a retry back that was taken and not made. */
  synchronized void giveBack(ModuleId module, long nowMs) {
    of(module).add(nowMs, 1);
  }

  private Budget of(ModuleId module) {
    Budget budget = budgets.get(module);
    if (budget == null) {
      budget = new Budget();
      budgets.put(module, budget);
      if (budgets.size() > MODULES_MAX) {
        Iterator<Budget> all = budgets.values().iterator();
        all.next();
        all.remove();
      }
    }
    return budget;
  }

  private static final class Budget {
    /** Retries that each of the last seconds allows; what was spent is taken off. */
    private final double[] slots = new double[WINDOW_SECONDS];
    private long second = Long.MIN_VALUE / 2;

    void add(long nowMs, double count) {
      slots[slotOf(nowMs)] += count;
    }

    double sum(long nowMs) {
      slotOf(nowMs);
      double sum = 0;
      for (double one : slots) {
        sum += one;
      }
      return sum;
    }

    /** The slot of this second, with all that are too old emptied. */
    private int slotOf(long nowMs) {
      long now = Math.floorDiv(nowMs, 1000L);
      for (long old = Math.max(second, now - WINDOW_SECONDS) + 1; old <= now; old++) {
        slots[(int) Math.floorMod(old, (long) WINDOW_SECONDS)] = 0;
      }
      second = Math.max(second, now);
      return (int) Math.floorMod(now, (long) WINDOW_SECONDS);
    }
  }
}
