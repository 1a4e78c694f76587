// Core. Picks from the bytes of the table that the agent keeps in shared memory: proto/shared_table.md.
package lars.client;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** A table, word by word; one load reads one word. */
final class TableImage {
  static final long MAGIC = 0x314c42545352414cL; // the bytes LARSTBL1
  static final int VERSION = 1;
  static final int HEADER_BYTES = 4096;
  static final int SLOT_BYTES = 32;
  /** A heartbeat may be so much older, or newer, than now. */
  static final long OLD_MS = 2000;
  static final long AHEAD_MS = 1000;
  /** Entries of a keyed table that a pick looks at, at most. */
  static final int KEYED_LOOKS_MAX = 1024;

  /** Marks of an entry; below them are the address and, from bit 32, the port. */
  static final long PROBE = 1L << 48;
  static final long OUT = 1L << 49;
  static final long REFUSED = 1L << 50;
  static final long NODE_BITS = (1L << 48) - 1;

  /** No entry: ask the agent. No entry of the table is negative. */
  static final long NOTHING = -1;
  /** No entry, and the file is not used any more. */
  static final long BROKEN = -2;

  static final int KIND_RING = 1;
  static final int KIND_MAGLEV = 2;
  static final int KEYED_BY_AGENT = 1;
  static final int TAKES_RUNS = 1;

  private static final int WORD_FILE_BYTES = 2;
  private static final int WORD_SLOTS = 4;
  private static final int WORD_PLACES = 5;
  private static final int WORD_ADDRESS = 6;
  private static final int WORD_TAKES = 7;
  private static final int WORD_HEARTBEAT = 8;
  private static final int WORD_RETIRED = 16;
  private static final int WORD_CHANGES = 24;
  private static final int SLOT_WORDS = SLOT_BYTES / 8;
  private static final int DIRECTORY_WORD = HEADER_BYTES / 8;
  private static final int SLOT_SCHEDULE = 1;
  private static final int SLOT_KEYED = 2;
  private static final int SLOT_FLAGS = 3;

  private static final VarHandle WORDS =
      MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final ByteBuffer bytes;
  private final int slotMask;
  final int words;
  final int firstWord;
  final int ip;
  final int port;
  /** The agent takes records that stand for several outcomes. */
  final boolean takesRuns;

  private TableImage(ByteBuffer bytes) {
    this.bytes = bytes;
    words = bytes.capacity() / 8;
    slotMask = (int) load(WORD_SLOTS) - 1;
    firstWord = (int) load(WORD_PLACES);
    ip = (int) load(WORD_ADDRESS);
    port = (int) (load(WORD_ADDRESS) >>> 32) & 0xffff;
    takesRuns = (load(WORD_TAKES) & TAKES_RUNS) != 0;
  }

  /** The table in these bytes, which are mapped or direct ones; null when they are none. */
  static TableImage of(ByteBuffer bytes) {
    if (bytes.capacity() < HEADER_BYTES) {
      return null;
    }
    TableImage image = new TableImage(bytes);
    int slots = image.slotMask + 1;
    long directoryEnd = HEADER_BYTES + (long) slots * SLOT_BYTES;
    boolean isWhole =
        image.load(0) == MAGIC
            && image.load(1) == (VERSION | (long) HEADER_BYTES << 32)
            && image.load(WORD_FILE_BYTES) == bytes.capacity()
            && image.load(WORD_SLOTS) >>> 32 == SLOT_BYTES
            && slots > 0
            && (slots & image.slotMask) == 0
            && directoryEnd <= image.firstWord * 8L
            && image.firstWord * 8L <= bytes.capacity();
    return isWhole ? image : null;
  }

  /** An ordered load: what a schedule names was written before it. */
  private long load(int word) {
    return (long) WORDS.getAcquire(bytes, word * 8);
  }

  /** By the clock that only goes forward. */
  boolean isUsable(long nowMs) {
    long beatMs = load(WORD_HEARTBEAT);
    return load(0) == MAGIC
        && (int) load(WORD_RETIRED) == 0
        && beatMs >= nowMs - OLD_MS
        && beatMs <= nowMs + AHEAD_MS;
  }

  static int hash(int modId, int cmdId) {
    int h = modId * 0x9e3779b1 ^ cmdId * 0x85ebca6b;
    h ^= h >>> 15;
    h *= 0x2c1b3c6d;
    return h ^ h >>> 13;
  }

  int slotCount() {
    return slotMask + 1;
  }

  /** The slot of a module, which stays; -1 when it is not here. */
  int find(int modId, int cmdId) {
    long wanted = Integer.toUnsignedLong(modId) | (long) cmdId << 32;
    int slot = hash(modId, cmdId);
    for (int looks = 0; looks <= slotMask; looks++) {
      slot &= slotMask;
      int at = DIRECTORY_WORD + slot * SLOT_WORDS;
      if (load(at + SLOT_SCHEDULE) == 0) {
        return -1;
      }
      if (load(at) == wanted) {
        return slot;
      }
      slot++;
    }
    return -1;
  }

  /** Another number after each change of any module; 0: the writer does not say. */
  long changes() {
    return load(WORD_CHANGES) & 0xffffffffL;
  }

  /** Flags of a slot, and above them another number after each change; 0: the writer does not say. */
  long version(int slot) {
    return load(DIRECTORY_WORD + slot * SLOT_WORDS + SLOT_FLAGS);
  }

  /** Module of a slot below, command above. */
  long ids(int slot) {
    return load(DIRECTORY_WORD + slot * SLOT_WORDS);
  }

  /** First word of a schedule below, how many entries above; NOTHING or BROKEN. */
  long schedule(int slot) {
    long schedule = load(DIRECTORY_WORD + slot * SLOT_WORDS + SLOT_SCHEDULE);
    int first = (int) schedule;
    int count = (int) (schedule >>> 32);
    if (count == 0) {
      return NOTHING;
    }
    long end = Integer.toUnsignedLong(first) + Integer.toUnsignedLong(count);
    return first < firstWord || count < 0 || end > words ? BROKEN : schedule;
  }

  /** The word of the entry at the cursor; NOTHING or BROKEN. */
  long place(int slot, int cursor) {
    long schedule = schedule(slot);
    if (schedule < 0) {
      return schedule;
    }
    return (int) schedule + Integer.remainderUnsigned(cursor, (int) (schedule >>> 32));
  }

  /** The entry at a word; one without a node is NOTHING. */
  long entry(int word) {
    long entry = (long) WORDS.getOpaque(bytes, word * 8);
    boolean isSome = (entry & REFUSED) != 0 || (entry & NODE_BITS) >>> 32 != 0;
    return isSome ? entry & Long.MAX_VALUE : NOTHING;
  }

  static int ipOf(long entry) {
    return (int) entry;
  }

  static int portOf(long entry) {
    return (int) (entry >>> 32) & 0xffff;
  }

  /** The entry for a key, where the schedule gave {@code any}; NOTHING or BROKEN. */
  long keyed(int slot, byte[] key, long any) {
    int at = DIRECTORY_WORD + slot * SLOT_WORDS;
    if ((any & (PROBE | REFUSED)) != 0) {
      return any;
    }
    if ((load(at + SLOT_FLAGS) & KEYED_BY_AGENT) != 0 || !isText(key)) {
      return NOTHING;
    }
    long block = load(at + SLOT_KEYED) & 0xffffffffL;
    if (block == 0) {
      return any;
    }
    if (block < firstWord || block >= words) {
      return BROKEN;
    }
    int kind = (int) load((int) block);
    long count = load((int) block) >>> 32;
    if (kind != KIND_RING && kind != KIND_MAGLEV || count == 0) {
      return NOTHING;
    }
    long entries = block + 1 + (kind == KIND_RING ? (count + 1) / 2 : 0);
    if (entries + count > words) {
      return BROKEN;
    }
    int hash = tableKey(key);
    boolean isRing = kind == KIND_RING;
    long index = isRing ? ringIndex((int) block + 1, (int) count, hash) : hash % count;
    long step = isRing ? 1 : count == 1 ? 0 : maglevSkip(hash) % (count - 1) + 1;
    for (int looks = 0; looks < Math.min(count, KEYED_LOOKS_MAX); looks++) {
      long entry = entry((int) (entries + index));
      if (entry != NOTHING && (entry & OUT) == 0) {
        return entry;
      }
      index = (index + step) % count;
    }
    return any;
  }

  private int ringIndex(int first, int count, int key) {
    int low = 0;
    int high = count;
    while (low < high) {
      int middle = (low + high) >>> 1;
      int hash = (int) (load(first + middle / 2) >>> 32 * (middle & 1));
      if (Integer.compareUnsigned(hash, key) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low == count ? 0 : low;
  }

  private static boolean isText(byte[] key) {
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(key));
      return true;
    } catch (CharacterCodingException error) {
      return false;
    }
  }

  /** What keyed tables are looked up by: 31 bits, so never negative. */
  static int tableKey(byte[] key) {
    return murmur3(key) >>> 1;
  }

  /** What the step through a Maglev table comes from. */
  static int maglevSkip(int key) {
    byte[] bytes = new byte[4];
    WireWriter.putInt32(bytes, 0, key);
    return murmur3(bytes) >>> 1;
  }

  private static int mix(int block) {
    return Integer.rotateLeft(block * 0xcc9e2d51, 15) * 0x1b873593;
  }

  /** MurmurHash3 x86 32 with seed 0. */
  private static int murmur3(byte[] data) {
    int h = 0;
    int at = 0;
    for (; at + 4 <= data.length; at += 4) {
      int block =
          data[at] & 255
              | (data[at + 1] & 255) << 8
              | (data[at + 2] & 255) << 16
              | (data[at + 3] & 255) << 24;
      h = Integer.rotateLeft(h ^ mix(block), 13) * 5 + 0xe6546b64;
    }
    int tail = 0;
    for (int rest = data.length - 1; rest >= at; rest--) {
      tail = tail << 8 | data[rest] & 255;
    }
    h ^= at < data.length ? mix(tail) : 0;
    h ^= data.length;
    h = (h ^ h >>> 16) * 0x85ebca6b;
    h = (h ^ h >>> 13) * 0xc2b2ae35;
    return h ^ h >>> 16;
  }
}
