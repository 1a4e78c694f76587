// Core. What came from the agent, and what it is an answer to.
package lars.client;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/** One message of the agent; what it does not have is 0, null or empty. */
final class Answer {
  /**
   * What an answer must have to be the one to a question; without a number or module those are 0 and
   * null.
   */
  record Key(int messageId, int seq, ModuleId module) {}

  final Key key;
  final int retcode;
  final Host host;
  final List<Host> hosts;
  final String text;

  private Answer(Key key, int retcode, Host host, List<Host> hosts, String text) {
    this.key = key;
    this.retcode = retcode;
    this.host = host;
    this.hosts = hosts;
    this.text = text;
  }

  /**
   * Reads the first bytes of a datagram.
   *
   * @throws ProtocolException when it says nothing that a caller could have asked for
   */
  static Answer read(byte[] datagram, int size) {
    if (size < WireWriter.HEAD_BYTES) {
      throw new ProtocolException("Datagram must have a head of 8 bytes: it has " + size);
    }
    int messageId = int32(datagram, 0);
    int announced = int32(datagram, 4);
    if (announced != size - WireWriter.HEAD_BYTES) {
      throw new ProtocolException(
          "Body must have the " + announced + " bytes its head says: the datagram has " + size);
    }
    WireReader body = new WireReader(datagram, WireWriter.HEAD_BYTES, size);
    return switch (messageId) {
      case MessageIds.GET_HOST_RESPONSE -> readHost(body);
      case MessageIds.GET_ROUTE_RESPONSE -> readRoute(body);
      case MessageIds.EXPLAIN_RESPONSE -> readExplanation(body);
      case MessageIds.HELLO -> readHello(body);
      default -> throw new ProtocolException(
          "Message id must be one of an answer: it is " + messageId);
    };
  }

  private static int int32(byte[] bytes, int at) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
      value |= (bytes[at + i] & 255) << 8 * i;
    }
    return value;
  }

  private static Answer readHost(WireReader body) {
    int seq = 0;
    int modId = 0;
    int cmdId = 0;
    int retcode = 0;
    HostFields fields = null;
    while (body.next()) {
      switch (body.varintField()) {
        case 1 -> seq = body.int32();
        case 2 -> modId = body.int32();
        case 3 -> cmdId = body.int32();
        case 4 -> retcode = body.int32();
        default -> {}
      }
      if (body.is(5, WireReader.BYTES)) {
        fields = fields == null ? new HostFields() : fields;
        fields.read(body.inner());
      }
    }
    Host host = fields == null ? null : fields.host();
    if (retcode == 0 && host == null) {
      throw new ProtocolException("GetHostResponse must name a node when its code is 0");
    }
    Key key = new Key(MessageIds.GET_HOST_RESPONSE, seq, new ModuleId(modId, cmdId));
    return new Answer(key, retcode, retcode == 0 ? host : null, List.of(), "");
  }

  private static Answer readRoute(WireReader body) {
    int modId = 0;
    int cmdId = 0;
    List<Host> hosts = new ArrayList<>();
    List<Host> drained = new ArrayList<>();
    while (body.next()) {
      switch (body.varintField()) {
        case 1 -> modId = body.int32();
        case 2 -> cmdId = body.int32();
        default -> {}
      }
      switch (body.bytesField()) {
        case 3 -> addHost(body, hosts);
        case 19 -> addHost(body, drained);
        case 17, 21 -> body.text(); // refused as a whole when they are no text
        default -> {}
      }
    }
    hosts.addAll(drained);
    Key key = new Key(MessageIds.GET_ROUTE_RESPONSE, 0, new ModuleId(modId, cmdId));
    return new Answer(key, 0, null, List.copyOf(hosts), "");
  }

  private static void addHost(WireReader body, List<Host> hosts) {
    HostFields fields = new HostFields();
    fields.read(body.inner());
    Host host = fields.host();
    if (host != null) {
      hosts.add(host);
    }
  }

  private static Answer readExplanation(WireReader body) {
    int seq = 0;
    int modId = 0;
    int cmdId = 0;
    String text = "";
    while (body.next()) {
      switch (body.varintField()) {
        case 1 -> seq = body.int32();
        case 2 -> modId = body.int32();
        case 3 -> cmdId = body.int32();
        default -> {}
      }
      if (body.is(5, WireReader.BYTES)) {
        text = body.text();
      }
    }
    Key key = new Key(MessageIds.EXPLAIN_RESPONSE, seq, new ModuleId(modId, cmdId));
    return new Answer(key, 0, null, List.of(), text);
  }

  /** Looks only whether it can be read: nothing in it matters to a caller. */
  private static Answer readHello(WireReader body) {
    while (body.next()) {
      switch (body.bytesField()) {
        case 2, 3, 5, 7, 8 -> body.text();
        default -> {}
      }
    }
    return new Answer(new Key(MessageIds.HELLO, 0, null), 0, null, List.of(), "");
  }

  /** A HostInfo as it is gathered: an inner message that comes twice is merged. */
  private static final class HostFields {
    private int ip;
    private int port;
    private OptionalInt weight = OptionalInt.empty();
    private String zone = "";

    void read(WireReader fields) {
      while (fields.next()) {
        switch (fields.varintField()) {
          case 1 -> ip = fields.int32();
          case 2 -> port = fields.int32();
          case 16 -> weight = OptionalInt.of(fields.int32());
          default -> {}
        }
        if (fields.is(17, WireReader.BYTES)) {
          zone = fields.text();
        }
      }
    }

    /** A node; null when its port cannot be one. */
    Host host() {
      boolean isNode = port >= 1 && port <= 65535;
      return isNode ? new Host(Host.formatIpv4(ip), port, weight, zone, false) : null;
    }
  }
}
