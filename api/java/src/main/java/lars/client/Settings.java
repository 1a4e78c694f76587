// Core. What a client was told when it was made, checked.
package lars.client;

import java.time.Duration;

/** The options of a client with their defaults; a builder fills them. */
final class Settings {
  static final int TOKEN_BYTES_MAX = 1024;

  String hostname = "127.0.0.1";
  int[] ports = {8888, 8889, 8890};
  Duration deadline = Duration.ofMillis(50);
  boolean isDeadlineNamed;
  Duration firstRoute = Duration.ofSeconds(1);
  byte[] token;
  /** Null: no limit. */
  Duration lastGood;
  int pendingMax = 1024;
  double retryShare = 0.2;
  double retryFloorPerSecond = 1;
  /** Path of the agent's table; empty: none; null: where the agent of this host keeps it. */
  String sharedTable;

  Settings() {}

  Settings(Settings other) {
    hostname = other.hostname;
    ports = other.ports.clone();
    deadline = other.deadline;
    isDeadlineNamed = other.isDeadlineNamed;
    firstRoute = other.firstRoute;
    token = other.token;
    lastGood = other.lastGood;
    pendingMax = other.pendingMax;
    retryShare = other.retryShare;
    retryFloorPerSecond = other.retryFloorPerSecond;
    sharedTable = other.sharedTable;
  }

  String tablePath() {
    return sharedTable == null ? TableReader.defaultPath(hostname, ports[0]) : sharedTable;
  }

  /** That of the agent that is asked. */
  byte[] secret() {
    return secretFor(hostname);
  }

  /** What datagrams to an address are sealed with; null for nothing: loopback wants no proof. */
  byte[] secretFor(String address) {
    return address.startsWith("127.") ? null : token;
  }

  String addressOf(int portIndex) {
    return hostname + ":" + ports[portIndex];
  }

  static double checkNumber(String name, double value, double most) {
    if (value >= 0 && value <= most) {
      return value;
    }
    throw new IllegalArgumentException(name + " must be from 0 to " + most + ": it is " + value);
  }
}
