// Core. Varints of protobuf, for the programs beside it.
#include <stdint.h>

static int read_varint(const unsigned char *bytes, int at, int end, uint64_t *value) {
  *value = 0;
  for (int shift = 0; at < end && shift < 64; shift += 7) {
    unsigned char byte = bytes[at++];
    *value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return at;
  }
  return -1;
}

static int write_varint(unsigned char *bytes, int at, uint64_t value) {
  for (; value >= 128; value >>= 7) bytes[at++] = (unsigned char)(value | 128);
  bytes[at++] = (unsigned char)value;
  return at;
}
