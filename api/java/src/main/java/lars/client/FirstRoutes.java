// Core. Waiting for the first route of a module, so that the first call of a program need not fail.
package lars.client;

import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/**
 * Which modules have no route yet. One thread at a time asks for each of them, with pauses that grow,
 * and the others wait for it; when the time of a module is over nobody waits for it any more, until
 * it has had a route.
 */
final class FirstRoutes {
  /** Modules without a route that are remembered; for a new one the oldest is forgotten. */
  static final int MODULES_MAX = 1024;

  /** Pauses between two questions for a route: the first one, and the longest. */
  private static final long PAUSE_FIRST_NANOS = 5_000_000;
  private static final long PAUSE_MAX_NANOS = 100_000_000;

  /** A module without a route: until when it is waited for, and who asks for it. */
  private static final class Absence {
    final long endNanos;
    /** Null while nobody asks. */
    Round round;

    Absence(long endNanos) {
      this.endNanos = endNanos;
    }
  }

  private static final class Round {
    final CountDownLatch over = new CountDownLatch(1);
    volatile boolean isSettled;
  }

  private final BiFunction<ModuleId, Duration, List<Host>> getRoute;
  private final Map<ModuleId, Absence> absences = new LinkedHashMap<>();

  FirstRoutes(BiFunction<ModuleId, Duration, List<Host>> getRoute) {
    this.getRoute = getRoute;
  }

  /** True for an answer that may be another one when the route has come. */
  static boolean isAbsent(HostAnswer answer) {
    if (answer.host() != null) {
      return false;
    }
    return answer.error() != null
        ? answer.error() instanceof LarsTimeoutException
        : answer.retcode() == RetCode.NO_EXIST;
  }

  /** A module has a route. */
  synchronized void arrived(ModuleId module) {
    absences.remove(module);
  }

  /**
   * Waits until the module has a route, or until the end, or what that was for the first; false when
   * that time is over: nothing was asked.
   */
  boolean await(ModuleId module, long wishedEndNanos) throws InterruptedException {
    Absence absence = absence(module, wishedEndNanos);
    long end = wishedEndNanos - absence.endNanos < 0 ? wishedEndNanos : absence.endNanos;
    if (end - System.nanoTime() <= 0) {
      return false;
    }
    while (end - System.nanoTime() > 0) {
      Round mine = new Round();
      Round round = enter(absence, mine);
      if (round == mine) {
        try {
          mine.isSettled = ask(module, end);
        } finally {
          leave(absence, mine);
        }
        return true;
      }
      boolean isOver = round.over.await(end - System.nanoTime(), TimeUnit.NANOSECONDS);
      if (isOver && round.isSettled) {
        return true;
      }
    }
    return true;
  }

  private synchronized Absence absence(ModuleId module, long endNanos) {
    Absence absence = absences.get(module);
    if (absence == null) {
      absence = new Absence(endNanos);
      absences.put(module, absence);
      if (absences.size() > MODULES_MAX) {
        Iterator<Absence> all = absences.values().iterator();
        all.next();
        all.remove();
      }
    }
    return absence;
  }

  private synchronized Round enter(Absence absence, Round mine) {
    if (absence.round == null) {
      absence.round = mine;
    }
    return absence.round;
  }

  private synchronized void leave(Absence absence, Round mine) {
    absence.round = null;
    mine.over.countDown();
  }

  /** True when there is nothing more to wait for. */
  private boolean ask(ModuleId module, long endNanos) throws InterruptedException {
    long pause = PAUSE_FIRST_NANOS;
    while (true) {
      TimeUnit.NANOSECONDS.sleep(Math.min(pause, Math.max(0, endNanos - System.nanoTime())));
      long left = endNanos - System.nanoTime();
      if (left <= 0) {
        return false;
      }
      try {
        if (!getRoute.apply(module, Duration.ofNanos(Math.min(left, PAUSE_MAX_NANOS))).isEmpty()) {
          return true;
        }
      } catch (LarsTimeoutException | ConnectException error) {
        pause = Math.min(pause, PAUSE_MAX_NANOS); // asked again
      } catch (LarsException error) {
        return true;
      }
      pause = Math.min(2 * pause, PAUSE_MAX_NANOS);
    }
  }
}
