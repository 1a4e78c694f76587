// Shell. The agent's table in this process: found, mapped, looked after, and a cursor for each module.
package lars.client;

import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.SplittableRandom;
import java.util.function.Predicate;

/** Picks without asking anybody, where the agent keeps a table. */
final class TableReader {
  /** The table is looked at again after this time, of the 100 ms that it may be. */
  private static final long LOOK_MS = 50;
  /** A file is looked for once in this time, and whether there is another one. */
  private static final long OPEN_MS = 1000;
  /** Looks without a pick between, after which nobody looks until the next pick. */
  private static final int IDLE_LOOKS_MAX = 20;
  /** A caller that only picks says once in so many looks that it uses a module: 10 s. */
  private static final int TELL_LOOKS = 200;
  /** Nodes of a table known as objects at once; others are made anew for each pick. */
  private static final int NODES_MAX = 1 << 17;
  /** Entries of an old table that are looked at for one that is well. */
  private static final int OLD_LOOKS_MAX = 64;

  /** An entry as a node. */
  private record Node(long entry, Host host) {}

  /** Where a thread is in the schedules of a table, and at which look it told that it uses them. */
  private static final class Cursors {
    final Mapping mapping;
    final int[] next;
    final int[] told;

    Cursors(Mapping mapping) {
      this.mapping = mapping;
      next = new SplittableRandom().ints(mapping.image.slotCount()).toArray();
      told = new int[next.length];
    }
  }

  /** A table that is mapped; the memory is given back when nobody reads it any more. */
  private static final class Mapping {
    final TableImage image;
    final Object fileKey;
    /** By the word of the entry; a race of two threads makes a node twice. */
    final Node[] nodes;
    volatile int looks = TELL_LOOKS;
    volatile boolean isUsed;

    Mapping(TableImage image, Object fileKey) {
      this.image = image;
      this.fileKey = fileKey;
      int wanted = Math.max(1, Math.min(image.words - image.firstWord, NODES_MAX));
      nodes = new Node[Integer.highestOneBit(2 * wanted - 1)];
    }

    Host host(int word, long entry) {
      int at = word & nodes.length - 1;
      Node node = nodes[at];
      if (node == null || node.entry != entry) {
        node = new Node(entry, Host.of(TableImage.ipOf(entry), TableImage.portOf(entry)));
        nodes[at] = node;
      }
      return node.host;
    }
  }

  /** What a pick gives in the place of a node: every node is overloaded. */
  static final Host REFUSAL = Host.of(0, 0);

  private final String path;
  private final int port;
  private final Batch batch;
  private final ThreadLocal<Cursors> cursors = new ThreadLocal<>();
  /** What picks come from; null while there is none, or while nobody looks. */
  private volatile Mapping usable;
  private Mapping last;
  private boolean isBroken;
  private boolean isClosed;
  private long nextOpenMs = Long.MIN_VALUE;

  /** {@code path} of the file, empty for none; {@code port}: the agent's first one. */
  TableReader(String path, int port, Batch batch) {
    this.path = path;
    this.port = port;
    this.batch = batch;
  }

  /** Where the agent of this host keeps its table; that of another host is not here. */
  static String defaultPath(String hostname, int firstPort) {
    return hostname.startsWith("127.") ? "/dev/shm/lars-agent-" + firstPort + ".table" : "";
  }

  boolean isUsable() {
    return usable != null;
  }

  /** The next node of a module, or that of a key; REFUSAL; null: ask the agent. */
  Host pick(int modId, int cmdId, byte[] key) {
    Mapping mapping = usable;
    if (mapping == null) {
      mapping = wake();
      if (mapping == null) {
        return null;
      }
    }
    TableImage image = mapping.image;
    int slot = image.find(modId, cmdId);
    if (slot < 0) {
      return null;
    }
    Cursors own = cursors.get();
    if (own == null || own.mapping != mapping) {
      own = new Cursors(mapping);
      cursors.set(own);
    }
    long word = image.place(slot, own.next[slot]++);
    long entry = word < 0 ? word : image.entry((int) word);
    if (key != null && entry >= 0) {
      long chosen = image.keyed(slot, key, entry);
      word = chosen == entry ? word : chosen >>> 7 ^ chosen; // any place in the cache of nodes
      entry = chosen;
    }
    if (!mapping.isUsed) {
      mapping.isUsed = true;
    }
    if (entry < 0) {
      if (entry == TableImage.BROKEN) {
        leave(mapping);
      }
      return null;
    }
    boolean isRefused = (entry & TableImage.REFUSED) != 0;
    if (isRefused || mapping.looks - own.told[slot] >= TELL_LOOKS) {
      own.told[slot] = mapping.looks;
      batch.add(modId, cmdId, 0, isRefused ? 1 : 0, Batch.TIME_UNKNOWN);
    }
    return isRefused ? REFUSAL : mapping.host((int) word, entry);
  }

  /**
   * A node of a table that nobody keeps any more, the best memory of them there is: one that has not
   * failed a moment ago, and is no probe, where there is one; else null.
   */
  Host pickOld(int modId, int cmdId, Predicate<Host> rests) {
    Mapping mapping;
    synchronized (this) {
      mapping = usable == null && !isBroken ? last : null;
    }
    int slot = mapping == null ? -1 : mapping.image.find(modId, cmdId);
    if (slot < 0) {
      return null;
    }
    Cursors own = cursors.get();
    if (own == null || own.mapping != mapping) {
      own = new Cursors(mapping);
      cursors.set(own);
    }
    Host best = null;
    int bestRank = 0;
    for (int looks = 0; looks < OLD_LOOKS_MAX && bestRank < 3; looks++) {
      long word = mapping.image.place(slot, own.next[slot]++);
      long entry = word < 0 ? word : mapping.image.entry((int) word);
      if (entry < 0) {
        break;
      }
      if ((entry & TableImage.REFUSED) != 0) {
        continue;
      }
      Host host = mapping.host((int) word, entry);
      // A node that failed a moment ago is worse than a probe, which failed some time ago.
      int rank = rests.test(host) ? 1 : (entry & TableImage.PROBE) != 0 ? 2 : 3;
      if (rank > bestRank) {
        best = host;
        bestRank = rank;
      }
    }
    return best;
  }

  /** The agent answers again: what an old table says is not used any more. */
  void forgetOld() {
    if (usable != null) {
      return;
    }
    synchronized (this) {
      if (usable == null && last != null && !last.image.isUsable(nowMs())) {
        last = null;
      }
    }
  }

  synchronized void close() {
    isClosed = true;
    last = null;
    usable = null;
  }

  /** CLOCK_MONOTONIC, which the agent's heartbeat is told by: on Linux this is what nanoTime reads. */
  private static long nowMs() {
    return System.nanoTime() / 1_000_000;
  }

  /** Looks for a table when none is in use; null when there is none. */
  private synchronized Mapping wake() {
    if (path.isEmpty() || isClosed || usable != null) {
      return usable;
    }
    if (!isGood() && nowMs() >= nextOpenMs) {
      open();
    }
    if (!isGood()) {
      return null;
    }
    last.isUsed = true;
    usable = last;
    Thread thread = new Thread(this::watch, "lars-table");
    thread.setDaemon(true);
    thread.start();
    return usable;
  }

  private boolean isGood() {
    return last != null && !isBroken && last.image.isUsable(nowMs());
  }

  /** Looks at heartbeat and mark, and for another file, as long as there are picks. */
  private void watch() {
    int idleLooks = 0;
    Mapping mapping = usable;
    while (mapping != null) {
      try {
        Thread.sleep(LOOK_MS);
      } catch (InterruptedException error) {
        break;
      }
      idleLooks = mapping.isUsed ? 0 : idleLooks + 1;
      mapping.isUsed = false;
      mapping.looks++;
      mapping = lookAgain(mapping, idleLooks > IDLE_LOOKS_MAX);
    }
  }

  /** The table that is in use from now on; null for none, or when nobody picks. */
  private synchronized Mapping lookAgain(Mapping mapping, boolean isIdle) {
    if (usable != mapping) {
      return null; // somebody else looks after the next one
    }
    if (!isGood() || nowMs() >= nextOpenMs) {
      open(); // when it was left at this moment, the next one may be there already
    }
    usable = isIdle || !isGood() ? null : last;
    return usable;
  }

  private synchronized void leave(Mapping mapping) {
    if (mapping == last) {
      isBroken = true;
      usable = null;
    }
  }

  /** Maps the file at the path, if it is another one. */
  private void open() {
    nextOpenMs = nowMs() + OPEN_MS;
    Path file = Path.of(path);
    try {
      BasicFileAttributes before = Files.readAttributes(file, BasicFileAttributes.class);
      boolean isSame = last != null && before.fileKey().equals(last.fileKey);
      if (isSame || before.size() > Integer.MAX_VALUE || !TableOwner.isTrusted(file, port)) {
        return;
      }
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
        long size = channel.size();
        MappedByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, size);
        TableImage image = TableImage.of(bytes.order(ByteOrder.LITTLE_ENDIAN));
        BasicFileAttributes after = Files.readAttributes(file, BasicFileAttributes.class);
        if (image == null || !after.fileKey().equals(before.fileKey())) {
          return; // none, or one that another took the place of: the next look finds that
        }
        if (!image.isUsable(nowMs())) {
          return; // nobody writes it any more: what is mapped is as good a memory
        }
        last = new Mapping(image, before.fileKey());
        isBroken = false;
        batch.open(image.ip, image.port);
      }
    } catch (IOException error) {
      return; // no file, or none that may be read
    }
  }
}
