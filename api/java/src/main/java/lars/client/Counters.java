// Core. Counts for Stats, from any thread.
package lars.client;

import java.util.concurrent.atomic.LongAdder;

final class Counters {
  final LongAdder resent = new LongAdder();
  final LongAdder late = new LongAdder();
  final LongAdder garbage = new LongAdder();
  final LongAdder foreign = new LongAdder();
  final LongAdder dropped = new LongAdder();
  final LongAdder stale = new LongAdder();
  final LongAdder retried = new LongAdder();
  final LongAdder retriesRefused = new LongAdder();

  Stats stats(int pending) {
    return new Stats(
        pending,
        resent.sum(),
        late.sum(),
        garbage.sum(),
        foreign.sum(),
        dropped.sum(),
        stale.sum(),
        retried.sum(),
        retriesRefused.sum());
  }
}
