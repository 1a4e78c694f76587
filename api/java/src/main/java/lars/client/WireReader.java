// Core. Fields of a Protocol Buffers message, read strictly.
package lars.client;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Goes through the varint and bytes fields of a message; the others are passed over. */
final class WireReader {
  /** Groups inside groups beyond this are refused, as in other Protocol Buffers programs. */
  static final int GROUP_DEPTH_MAX = 100;

  static final int VARINT = 0;
  static final int BYTES = 2;
  private static final int FIXED64 = 1;
  private static final int GROUP = 3;
  private static final int GROUP_END = 4;
  private static final int FIXED32 = 5;

  private final byte[] bytes;
  private final int end;
  private int at;
  private int number;
  private int kind;
  private long value;
  private int start;

  WireReader(byte[] bytes, int start, int end) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /**
   * Goes to the next field; false at the end of the message.
   *
   * @throws ProtocolException when the bytes are no message
   */
  boolean next() {
    while (at < end) {
      readTag();
      if (kind == VARINT) {
        value = varint();
        return true;
      }
      if (kind == BYTES) {
        int size = length();
        start = at;
        at += size;
        return true;
      }
      skip(number, kind, 0);
    }
    return false;
  }

  /** True when the current field has this number and wire type. */
  boolean is(int wantedNumber, int wantedKind) {
    return number == wantedNumber && kind == wantedKind;
  }

  /** Number of the current field when it is a varint, else 0. */
  int varintField() {
    return kind == VARINT ? number : 0;
  }

  /** Number of the current field when it has a length, else 0. */
  int bytesField() {
    return kind == BYTES ? number : 0;
  }

  /** Low 32 bits of the current varint. */
  int int32() {
    return (int) value;
  }

  /** A reader of the current field, which is an inner message. */
  WireReader inner() {
    return new WireReader(bytes, start, at);
  }

  /** The bytes of the current field. */
  ByteBuffer content() {
    return ByteBuffer.wrap(bytes, start, at - start).slice();
  }

  /**
   * The text of the current field.
   *
   * @throws ProtocolException when it is not valid UTF-8
   */
  String text() {
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(bytes, start, at - start))
          .toString();
    } catch (CharacterCodingException error) {
      throw new ProtocolException("Text must be valid UTF-8", error);
    }
  }

  private void readTag() {
    int before = at;
    long tag = varint();
    if (at - before > 5 || tag >>> 32 != 0) {
      throw new ProtocolException("Tag must fit 32 bits");
    }
    if (tag >>> 3 == 0) {
      throw new ProtocolException("Field number must not be 0");
    }
    number = (int) (tag >>> 3);
    kind = (int) (tag & 7);
  }

  private long varint() {
    long result = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at >= end) {
        throw new ProtocolException("Message ends inside a field");
      }
      byte one = bytes[at++];
      result |= (one & 127L) << shift;
      if (one >= 0) {
        return result;
      }
    }
    throw new ProtocolException("Varint must end within 10 bytes");
  }

  private int length() {
    int before = at;
    long size = varint();
    if (at - before > 5 || size > Integer.MAX_VALUE) {
      throw new ProtocolException("Length must fit 31 bits");
    }
    if (size > end - at) {
      throw new ProtocolException(
          "Length must be at most the " + (end - at) + " bytes left: it is " + size);
    }
    return (int) size;
  }

  private void pass(int count) {
    if (count > end - at) {
      throw new ProtocolException("Message ends inside a field");
    }
    at += count;
  }

  private void skip(int skippedNumber, int skippedKind, int depth) {
    switch (skippedKind) {
      case VARINT -> varint();
      case FIXED64 -> pass(8);
      case BYTES -> pass(length());
      case GROUP -> skipGroup(skippedNumber, depth);
      case FIXED32 -> pass(4);
      default -> throw new ProtocolException(
          "Wire type must be 0, 1, 2, 3 or 5: it is " + skippedKind);
    }
  }

  private void skipGroup(int groupNumber, int depth) {
    if (depth >= GROUP_DEPTH_MAX) {
      throw new ProtocolException("Groups must nest at most " + GROUP_DEPTH_MAX + " deep");
    }
    while (true) {
      readTag();
      if (kind != GROUP_END) {
        skip(number, kind, depth + 1);
      } else if (number == groupNumber) {
        return;
      } else {
        throw new ProtocolException("Group must end with its own number");
      }
    }
  }
}
