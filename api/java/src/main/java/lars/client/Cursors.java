// Core. Where a thread is in the schedules of a table, and the nodes that it read of them last.
package lars.client;

import java.util.concurrent.ThreadLocalRandom;

/** Of one thread and one table. */
final class Cursors {
  /** Entries of a schedule that are kept as nodes; of a longer one each is read in its turn. */
  static final int KEPT_ENTRIES_MAX = 1024;

  private static final int FIRST_SIZE = 64;
  private static final Host[] NONE = {};

  /** Where the thread is in the schedule of a module. */
  static final class Turn {
    final int modId;
    final int cmdId;
    /** The slot of the module, which stays. */
    final int slot;
    /** What stood in the table when the nodes were read; 0: they are not to be used as they are. */
    long stamp;
    /** Flags and version of the slot before they were read. */
    long version;
    /** At which look the agent was told that the module is in use; 0: never. */
    int told;
    int next;
    private Host[] hosts = NONE;

    private Turn(int modId, int cmdId, int slot) {
      this.modId = modId;
      this.cmdId = cmdId;
      this.slot = slot;
      next = ThreadLocalRandom.current().nextInt();
    }

    boolean hasHosts() {
      return hosts.length > 0;
    }

    /** Nodes of a schedule of which every entry is one; null: it is not, or it is too long. */
    void setHosts(Host[] all) {
      hosts = all == null ? NONE : all;
      stamp = 0;
      if (hosts.length > 0) {
        next = Integer.remainderUnsigned(next, hosts.length);
      }
    }

    /** The next node; only where there are some. */
    Host nextHost() {
      // Keyed picks count on, round to the numbers below zero.
      int at = Integer.compareUnsigned(next, hosts.length) < 0 ? next : 0;
      next = at + 1;
      return hosts[at];
    }
  }

  /** Whose cursors they are. */
  final Object table;
  /** By the hash of the module, at most half full. */
  private Turn[] turns = new Turn[FIRST_SIZE];
  private int count;

  Cursors(Object table) {
    this.table = table;
  }

  /** Null: this thread has not picked the module. */
  Turn find(int modId, int cmdId) {
    Turn[] all = turns;
    int at = TableImage.hash(modId, cmdId) & all.length - 1;
    Turn turn = all[at];
    while (turn != null && (turn.modId != modId || turn.cmdId != cmdId)) {
      at = at + 1 & all.length - 1;
      turn = all[at];
    }
    return turn;
  }

  /** A module that was not there; it begins at a random place. */
  Turn add(int modId, int cmdId, int slot) {
    if (++count * 2 > turns.length) {
      Turn[] before = turns;
      turns = new Turn[before.length * 2];
      for (Turn turn : before) {
        if (turn != null) {
          put(turn);
        }
      }
    }
    Turn turn = new Turn(modId, cmdId, slot);
    put(turn);
    return turn;
  }

  private void put(Turn turn) {
    int at = TableImage.hash(turn.modId, turn.cmdId) & turns.length - 1;
    while (turns[at] != null) {
      at = at + 1 & turns.length - 1;
    }
    turns[at] = turn;
  }
}
