// Shell. A program that ends sends the outcomes that wait, also when it has not closed its clients.
package lars.client;

import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;

final class AtExit {
  private static final Set<LarsClient> CLIENTS =
      Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

  static {
    Runtime.getRuntime().addShutdownHook(new Thread(AtExit::flushAll, "lars-exit"));
  }

  private AtExit() {}

  static void remember(LarsClient client) {
    CLIENTS.add(client);
  }

  static void forget(LarsClient client) {
    CLIENTS.remove(client);
  }

  private static void flushAll() {
    List<LarsClient> all;
    synchronized (CLIENTS) {
      all = List.copyOf(CLIENTS);
    }
    all.forEach(LarsClient::flush);
  }
}
