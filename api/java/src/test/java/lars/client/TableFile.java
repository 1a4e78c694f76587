// Test. Writes tables as the agent does, for readers: proto/shared_table.md.
package lars.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;

/** A table of a few modules; everything about it can be changed while it is mapped. */
final class TableFile {
  static final int SLOTS = 16;
  private static final int FIRST_WORD =
      (TableImage.HEADER_BYTES + SLOTS * TableImage.SLOT_BYTES) / 8;

  final Path path;
  final ByteBuffer data =
      ByteBuffer.allocate((FIRST_WORD + 4096) * 8).order(ByteOrder.LITTLE_ENDIAN);
  private int free = FIRST_WORD;
  private final Map<ModuleId, Integer> slots = new HashMap<>();

  TableFile(Path path, int port) {
    this.path = path;
    data.putLong(0, TableImage.MAGIC);
    data.putInt(8, TableImage.VERSION).putInt(12, TableImage.HEADER_BYTES);
    data.putLong(16, data.capacity()).putLong(24, 7);
    data.putInt(32, SLOTS).putInt(36, TableImage.SLOT_BYTES).putInt(40, FIRST_WORD);
    data.putInt(48, 0x7f000001).putShort(52, (short) port);
    beat(0);
  }

  /** An entry: address, port, tag. */
  static long word(int ip, int port, int tag) {
    return ip | (long) port << 32 | (long) tag << 48;
  }

  /** The heartbeat, so old. */
  TableFile beat(long ageMs) {
    data.putLong(64, System.nanoTime() / 1_000_000 - ageMs);
    return this;
  }

  void retire() {
    data.putInt(128, 1);
  }

  int slot(int modId, int cmdId) {
    ModuleId module = new ModuleId(modId, cmdId);
    Integer at = slots.get(module);
    if (at == null) {
      at = Math.floorMod(TableImage.hash(modId, cmdId), SLOTS);
      while (slots.containsValue(at)) {
        at = (at + 1) % SLOTS;
      }
      slots.put(module, at);
      data.putInt(TableImage.HEADER_BYTES + at * TableImage.SLOT_BYTES, modId);
      data.putInt(TableImage.HEADER_BYTES + at * TableImage.SLOT_BYTES + 4, cmdId);
    }
    return TableImage.HEADER_BYTES + at * TableImage.SLOT_BYTES;
  }

  private long block(long... words) {
    int at = free;
    for (long word : words) {
      data.putLong(8 * free++, word);
    }
    return at;
  }

  TableFile setSchedule(int modId, int cmdId, long... entries) {
    data.putLong(slot(modId, cmdId) + 8, block(entries) | (long) entries.length << 32);
    return this;
  }

  TableFile setKeyed(int modId, int cmdId, long... words) {
    data.putLong(slot(modId, cmdId) + 16, block(words) | 1L << 32);
    return this;
  }

  /** A new file at the path. */
  TableFile write() throws IOException {
    Path other = path.resolveSibling("new");
    Files.write(other, data.array());
    Files.move(other, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    return this;
  }

  /** The same file, in place. */
  void rewrite() throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(data.array()), 0);
    }
  }
}
