// Shell. Whose file a table is: anybody may put one into /dev/shm.
package lars.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

final class TableOwner {
  private static final int OTHERS_WRITE = 022;
  private static final Path SOCKETS = Path.of("/proc/net/udp");
  /** Belongs to the user this program runs as. */
  private static final Path SELF = Path.of("/proc/self");

  private TableOwner() {}

  /** True for a plain file of root, of this user or of the agent's, which nobody else may write. */
  static boolean isTrusted(Path file, int port) throws IOException {
    int mode = (Integer) Files.getAttribute(file, "unix:mode");
    if (!Files.isRegularFile(file) || (mode & OTHERS_WRITE) != 0) {
      return false;
    }
    Object user = Files.getAttribute(file, "unix:uid");
    return user.equals(0)
        || user.equals(Files.getAttribute(SELF, "unix:uid"))
        || ownsPort(Files.readString(SOCKETS), user.toString(), port);
  }

  /** The second column of /proc/net/udp ends with the port as hex, the eighth is the user. */
  static boolean ownsPort(String sockets, String user, int port) {
    String suffix = String.format(Locale.ROOT, ":%04X", port);
    return sockets
        .lines()
        .map(line -> line.strip().split("\\s+"))
        .anyMatch(one -> one.length > 7 && one[1].endsWith(suffix) && one[7].equals(user));
  }
}
