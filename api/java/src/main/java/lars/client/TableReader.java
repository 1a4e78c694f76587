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
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;

/** Picks without asking anybody, where the agent keeps a table. */
final class TableReader {
  /** The table is looked at again after this time, of the 100 ms that it may be. */
  private static final long LOOK_MS = 50;
  /** A file is looked for once in this time, and whether there is another one. */
  private static final long OPEN_MS = 1000;
  /** Looks without a pick between, after which nobody looks until the next pick. */
  private static final int IDLE_LOOKS_MAX = 20;
  /**
   * A caller that only picks says once in the sum of both that it uses a module, which is less than
   * 10 s: every module is looked at anew after so many looks, and it is said when the last time was so
   * many looks ago.
   */
  private static final int ANEW_LOOKS = 80;
  private static final int TELL_LOOKS = 100;
  /** Nodes of a table known as objects at once; others are made anew for each pick. */
  private static final int NODES_MAX = 1 << 17;
  /** Entries of an old table that are looked at for one that is well. */
  private static final int OLD_LOOKS_MAX = 64;

  /** An entry as a node. */
  private record Node(long entry, Host host) {}

  /** A table that is mapped; the memory is given back when nobody reads it any more. */
  private static final class Mapping {
    final TableImage image;
    final Object fileKey;
    /** By the bits of the entry; a race of two threads makes a node twice. */
    final Node[] nodes;
    /** By slot: a module that this program has picked. */
    final boolean[] used;
    volatile int looks = ANEW_LOOKS;
    volatile boolean isUsed;
    /** Above bit 32 another number every few seconds. */
    private volatile long stampBits = 1L << 32;

    Mapping(TableImage image, Object fileKey) {
      this.image = image;
      this.fileKey = fileKey;
      int wanted = Math.max(1, Math.min(image.words - image.firstWord, NODES_MAX));
      nodes = new Node[Integer.highestOneBit(2 * wanted - 1)];
      used = new boolean[image.slotCount()];
    }

    /** What is read at this number of changes is known by; no number: by nothing. */
    long stamp(long changes) {
      return stampBits | changes;
    }

    /** Only by the thread that looks after the table. */
    void countLook() {
      looks++;
      stampBits = (long) (looks / ANEW_LOOKS) << 32;
    }

    /** Reads nodes anew if they are others than before; false: each entry is to be read in its turn. */
    boolean refresh(Cursors.Turn turn) {
      // Both before what they stand for: a change meanwhile then shows at the next pick.
      long changes = image.changes();
      long version = image.version(turn.slot);
      if (changes == 0 || version >>> 32 == 0) {
        return false;
      }
      if (version != turn.version) {
        turn.setHosts(readHosts(turn.slot));
        turn.version = version;
      }
      if (turn.hasHosts()) {
        turn.stamp = stamp(changes);
      }
      return turn.hasHosts();
    }

    /** Null when not all entries are nodes, or there are too many. */
    private Host[] readHosts(int slot) {
      long schedule = image.schedule(slot);
      int count = (int) (schedule >>> 32);
      if (schedule < 0 || count > Cursors.KEPT_ENTRIES_MAX) {
        return null;
      }
      Host[] hosts = new Host[count];
      for (int at = 0; at < count; at++) {
        long entry = image.entry((int) schedule + at);
        if (entry < 0 || (entry & TableImage.REFUSED) != 0) {
          return null;
        }
        hosts[at] = host(entry);
      }
      return hosts;
    }

    /** The node of an entry: the same object for every module that has it, as far as there is room. */
    Host host(long entry) {
      long node = entry & TableImage.NODE_BITS;
      int at = (int) ((node ^ node >>> 32) * 0x9e3779b1L >>> 8) & nodes.length - 1;
      Node known = nodes[at];
      if (known == null || known.entry != node) {
        known = new Node(node, Host.of(TableImage.ipOf(node), TableImage.portOf(node)));
        nodes[at] = known;
      }
      return known.host;
    }
  }

  /**
   * Told nodes of the modules that were picked, when a table is left for another one, which may know
   * less: that of an agent that has just started.
   */
  interface OnLeave {
    /** False: no more of this module. */
    boolean take(int modId, int cmdId, Host host);
  }

  /** What a pick gives in the place of a node: every node is overloaded. */
  static final Host REFUSAL = Host.of(0, 0);

  private final String path;
  private final int port;
  private final Batch batch;
  private final OnLeave onLeave;
  private final ThreadLocal<Cursors> cursors = new ThreadLocal<>();
  /** What picks come from; null while there is none, or while nobody looks. */
  private volatile Mapping usable;
  private Mapping last;
  private boolean isBroken;
  private boolean isClosed;
  private long nextOpenMs = Long.MIN_VALUE;

  /** {@code path} of the file, empty for none; {@code port}: the agent's first one. */
  TableReader(String path, int port, Batch batch, OnLeave onLeave) {
    this.onLeave = onLeave;
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

  /** The next node of a module; REFUSAL; null: ask the agent. The way of nearly all picks. */
  Host pick(int modId, int cmdId) {
    Mapping mapping = usable;
    Cursors own = cursors.get();
    if (mapping != null && own != null && own.table == mapping) {
      Cursors.Turn turn = own.find(modId, cmdId);
      if (turn != null && turn.stamp == mapping.stamp(mapping.image.changes())) {
        if (!mapping.isUsed) {
          mapping.isUsed = true;
        }
        return turn.nextHost();
      }
    }
    return pick(modId, cmdId, null);
  }

  /** The next node of a module, or that of a key if there is one; REFUSAL; null: ask the agent. */
  Host pick(int modId, int cmdId, byte[] key) {
    Mapping mapping = usable;
    if (mapping == null) {
      mapping = wake();
      if (mapping == null) {
        return null;
      }
    }
    Cursors.Turn turn = turnOf(mapping, modId, cmdId);
    if (turn == null) {
      return null;
    }
    if (!mapping.isUsed) {
      mapping.isUsed = true;
    }
    if (turn.told == 0 || mapping.looks - turn.told >= TELL_LOOKS) {
      turn.told = mapping.looks;
      mapping.used[turn.slot] = true;
      batch.add(modId, cmdId, 0, 0, Batch.TIME_UNKNOWN);
    }
    if (key == null && mapping.refresh(turn)) {
      return turn.nextHost();
    }
    return pickEntry(mapping, turn, key);
  }

  /** Where this thread is in the schedule of a module; null: it is not in the table. */
  private Cursors.Turn turnOf(Mapping mapping, int modId, int cmdId) {
    Cursors own = cursors.get();
    if (own == null || own.table != mapping) {
      own = new Cursors(mapping);
      cursors.set(own);
    }
    Cursors.Turn turn = own.find(modId, cmdId);
    if (turn != null) {
      return turn;
    }
    int slot = mapping.image.find(modId, cmdId);
    return slot < 0 ? null : own.add(modId, cmdId, slot);
  }

  private Host pickEntry(Mapping mapping, Cursors.Turn turn, byte[] key) {
    TableImage image = mapping.image;
    long word = image.place(turn.slot, turn.next++);
    long entry = word < 0 ? word : image.entry((int) word);
    if (key != null && entry >= 0) {
      long chosen = image.keyed(turn.slot, key, entry);
      entry = chosen;
    }
    if (entry < 0) {
      if (entry == TableImage.BROKEN) {
        leave(mapping);
      }
      return null;
    }
    if ((entry & TableImage.REFUSED) != 0) {
      batch.add(turn.modId, turn.cmdId, 0, 1, Batch.TIME_UNKNOWN);
      return REFUSAL;
    }
    return mapping.host(entry);
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
    Cursors.Turn turn = mapping == null ? null : turnOf(mapping, modId, cmdId);
    if (turn == null) {
      return null;
    }
    Host best = null;
    int bestRank = 0;
    for (int looks = 0; looks < OLD_LOOKS_MAX && bestRank < 3; looks++) {
      long word = mapping.image.place(turn.slot, turn.next++);
      long entry = word < 0 ? word : mapping.image.entry((int) word);
      if (entry < 0) {
        break;
      }
      if ((entry & TableImage.REFUSED) != 0) {
        continue;
      }
      Host host = mapping.host(entry);
      // A node that failed a moment ago is worse than a probe, which failed some time ago.
      int rank = rests.test(host) ? 1 : (entry & TableImage.PROBE) != 0 ? 2 : 3;
      if (rank > bestRank) {
        best = host;
        bestRank = rank;
      }
    }
    return best;
  }

  /** Tells nodes of a table that is left: probes where a module has nothing else. */
  private void remember(Mapping mapping) {
    for (int slot = 0; mapping != null && !isBroken && slot < mapping.used.length; slot++) {
      if (mapping.used[slot] && !rememberModule(mapping, slot, 0)) {
        rememberModule(mapping, slot, TableImage.PROBE);
      }
    }
  }

  /** False when no entry is a node with these marks. */
  private boolean rememberModule(Mapping mapping, int slot, long marks) {
    long ids = mapping.image.ids(slot);
    int cursor = ThreadLocalRandom.current().nextInt() >>> 1;
    boolean hasSome = false;
    for (int looks = 0; looks < OLD_LOOKS_MAX; looks++) {
      long word = mapping.image.place(slot, cursor + looks);
      long entry = word < 0 ? word : mapping.image.entry((int) word);
      if (entry < 0) {
        break;
      }
      if ((entry & TableImage.REFUSED) != 0 || (entry & TableImage.PROBE) != marks) {
        continue;
      }
      hasSome = true;
      if (!onLeave.take((int) ids, (int) (ids >>> 32), mapping.host(entry))) {
        break;
      }
    }
    return hasSome;
  }

  /** The agent answers again: what an old table says is not used any more. */
  void forgetOld() {
    if (usable != null) {
      return;
    }
    synchronized (this) {
      if (usable == null && last != null && !last.image.isUsable(nowMs())) {
        remember(last);
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
      mapping.countLook();
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
        remember(last);
        last = new Mapping(image, before.fileKey());
        isBroken = false;
        batch.open(image.ip, image.port, image.takesRuns);
      }
    } catch (IOException error) {
      return; // no file, or none that may be read
    }
  }
}
