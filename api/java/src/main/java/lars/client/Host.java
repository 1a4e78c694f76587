// Core. A node as callers see it, and its address on the wire.
package lars.client;

import java.net.InetSocketAddress;
import java.util.OptionalInt;

/**
 * A node of a module.
 *
 * @param ip dotted IPv4 address
 * @param port 1 to 65535
 * @param weight 0 to 10000; empty when the agent does not say
 * @param zone empty when the node is in none
 * @param stale true when the agent did not answer in time and this is a node it named earlier: it may
 *     be overloaded or gone by now
 */
public record Host(String ip, int port, OptionalInt weight, String zone, boolean stale) {

  /** {@code ip:port}. */
  public String address() {
    return ip + ":" + port;
  }

  /** The address for sockets. */
  public InetSocketAddress socketAddress() {
    return new InetSocketAddress(ip, port);
  }

  Host asStale() {
    return new Host(ip, port, weight, zone, true);
  }

  /** A node without weight and zone. */
  static Host of(int ip, int port) {
    return new Host(formatIpv4(ip), port, OptionalInt.empty(), "", false);
  }

  /** 3232235953, as the int it is on the wire, is 192.168.1.177. */
  static String formatIpv4(int ip) {
    return (ip >>> 24) + "." + (ip >>> 16 & 255) + "." + (ip >>> 8 & 255) + "." + (ip & 255);
  }

  /** An address that was read a moment ago. */
  private record Parsed(String text, int ip) {}

  /** By the hash of the text; a race of two threads reads an address twice. */
  private static final Parsed[] PARSED = new Parsed[1024];

  /**
   * 192.168.1.177 is 3232235953, as an int.
   *
   * @throws IllegalArgumentException when it is no dotted IPv4 address
   */
  static int parseIpv4(String text) {
    int place = text.hashCode() & PARSED.length - 1;
    Parsed known = PARSED[place];
    if (known != null && known.text.equals(text)) {
      return known.ip;
    }
    int ip = readIpv4(text);
    PARSED[place] = new Parsed(text, ip);
    return ip;
  }

  private static int readIpv4(String text) {
    int ip = 0;
    int dots = 0;
    int digits = 0;
    int part = 0;
    for (int i = 0; i <= text.length(); i++) {
      char c = i == text.length() ? '.' : text.charAt(i);
      if (c >= '0' && c <= '9' && digits < 3 && (digits == 0 || part > 0)) {
        part = part * 10 + (c - '0');
        digits++;
      } else if (c == '.' && digits > 0 && part < 256 && dots < 4) {
        ip = ip << 8 | part;
        dots++;
        digits = 0;
        part = 0;
      } else {
        dots = -1;
        break;
      }
    }
    if (dots == 4) {
      return ip;
    }
    throw new IllegalArgumentException(
        "Address must be a dotted IPv4 address: current value is \"" + text + "\"");
  }
}
