// Core. Seals of datagrams: proof of the secret, for an agent on another host that wants one.
package lars.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Seals the datagrams of one socket, and knows the answers to them. A seal is the last field of a
 * message, number 31: sender (8 bytes), milliseconds since 1970 (8), number of the datagram (4), and
 * the first 16 bytes of an HMAC-SHA256 of everything before them.
 */
final class Sealer {
  static final int SENDER_BYTES = 8;
  static final int MAC_BYTES = 16;
  static final byte[] FIELD_HEAD = {(byte) 0xfa, 0x01, 0x24};
  static final int SEAL_BYTES = FIELD_HEAD.length + SENDER_BYTES + 12 + MAC_BYTES;

  private final byte[] secret;
  private final byte[] sender;
  private int number;

  /** {@code sender}: 8 random bytes, which no other sender has. */
  Sealer(byte[] secret, byte[] sender) {
    this.secret = secret;
    this.sender = sender;
  }

  /** A sealer with a sender of its own; null without a secret. */
  static Sealer of(byte[] secret, SecureRandom chance) {
    if (secret == null) {
      return null;
    }
    byte[] sender = new byte[SENDER_BYTES];
    chance.nextBytes(sender);
    return new Sealer(secret, sender);
  }

  /** The message with its seal; to be called for each datagram anew, also for a repeated one. */
  byte[] seal(byte[] datagram, long wallMs) {
    number++;
    ByteBuffer sealed =
        ByteBuffer.allocate(datagram.length + SEAL_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    sealed.put(datagram).put(FIELD_HEAD).put(sender).putLong(wallMs).putInt(number);
    sealed.putInt(4, sealed.capacity() - WireWriter.HEAD_BYTES);
    sealed.put(macOf("lars question", sealed.array(), sealed.position(), secret));
    return sealed.array();
  }

  /** True when it is sealed by one who knows the secret, for a question of this sender. */
  boolean isAnswer(byte[] datagram, int size) {
    int at = size - SEAL_BYTES;
    int senderAt = at + FIELD_HEAD.length;
    if (at < WireWriter.HEAD_BYTES
        || !Arrays.equals(datagram, at, senderAt, FIELD_HEAD, 0, FIELD_HEAD.length)
        || !Arrays.equals(datagram, senderAt, senderAt + SENDER_BYTES, sender, 0, SENDER_BYTES)) {
      return false;
    }
    byte[] mac = macOf("lars answer", datagram, size - MAC_BYTES, secret);
    return MessageDigest.isEqual(mac, Arrays.copyOfRange(datagram, size - MAC_BYTES, size));
  }

  static byte[] macOf(String label, byte[] content, int size, byte[] secret) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(secret, "HmacSHA256"));
      mac.update(label.getBytes(StandardCharsets.US_ASCII));
      mac.update(content, 0, size);
      return Arrays.copyOf(mac.doFinal(), MAC_BYTES);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException("Every Java has HmacSHA256", error);
    }
  }
}
