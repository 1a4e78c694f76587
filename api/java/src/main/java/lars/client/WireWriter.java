// Core. Fields of a Protocol Buffers message, and the head before it.
package lars.client;

import java.util.Arrays;

/** Writes one message of Lars, its head included. */
final class WireWriter {
  static final int HEAD_BYTES = 8;

  private byte[] bytes = new byte[64];
  private int length = HEAD_BYTES;

  /** An unsigned number; 0 is not written. */
  WireWriter uint32(int field, int value) {
    return value == 0 ? this : tag(field, 0).varint(Integer.toUnsignedLong(value));
  }

  /** A signed number; negative ones take ten bytes, 0 is not written. */
  WireWriter int32(int field, int value) {
    return value == 0 ? this : tag(field, 0).varint(value);
  }

  /** An unsigned number, written also when it is 0. */
  WireWriter present(int field, long value) {
    return tag(field, 0).varint(value);
  }

  /** A field with a length, written also when it is empty. */
  WireWriter bytes(int field, byte[] content) {
    tag(field, 2).varint(content.length);
    reserve(content.length);
    System.arraycopy(content, 0, bytes, length, content.length);
    length += content.length;
    return this;
  }

  /** What was written, without a head: the content of an inner message. */
  byte[] body() {
    return Arrays.copyOfRange(bytes, HEAD_BYTES, length);
  }

  /** The whole datagram. */
  byte[] frame(int messageId) {
    putInt32(bytes, 0, messageId);
    putInt32(bytes, 4, length - HEAD_BYTES);
    return Arrays.copyOf(bytes, length);
  }

  /** The beginning of a field of so many bytes. */
  WireWriter length(int field, int count) {
    return tag(field, 2).varint(count);
  }

  /** What was written, as the beginning of a message of so many bytes more. */
  byte[] head(int messageId, int more) {
    putInt32(bytes, 0, messageId);
    putInt32(bytes, 4, length - HEAD_BYTES + more);
    return Arrays.copyOf(bytes, length);
  }

  static void putInt32(byte[] target, int at, int value) {
    for (int i = 0; i < 4; i++) {
      target[at + i] = (byte) (value >>> 8 * i);
    }
  }

  private WireWriter tag(int field, int kind) {
    return varint((long) field << 3 | kind);
  }

  private WireWriter varint(long value) {
    reserve(10);
    long rest = value;
    while ((rest & ~127L) != 0) {
      bytes[length++] = (byte) (rest & 127 | 128);
      rest >>>= 7;
    }
    bytes[length++] = (byte) rest;
    return this;
  }

  private void reserve(int count) {
    if (length + count > bytes.length) {
      bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, length + count));
    }
  }
}
