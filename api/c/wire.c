// Core. The messages a caller writes and reads, as bytes: Protocol Buffers by hand.

#include "wire.h"

#include <string.h>

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, GROUP = 3, GROUP_END = 4, FOUR_BYTES = 5 };

/** What is left of a message. */
typedef struct lars_reader {
  const uint8_t *at, *end;
  bool bad;
} lars_reader;

/** A field as it was read: a number, or bytes. */
typedef struct lars_field {
  uint32_t number, type;
  uint64_t value;
  const uint8_t *bytes;
  size_t length;
} lars_field;

static void put_le32(uint8_t *out, uint32_t value) {
  for (int at = 0; at < 4; at++) out[at] = (uint8_t)(value >> (8 * at));
}

static uint32_t get_le32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

static size_t put_varint(uint8_t *out, uint64_t value) {
  size_t at = 0;
  for (; value >= 0x80; value >>= 7) out[at++] = (uint8_t)(value | 0x80);
  out[at++] = (uint8_t)value;
  return at;
}

/** A field that is left out when it is 0. */
static size_t put_number(uint8_t *out, uint32_t field, uint64_t value) {
  if (value == 0) return 0;
  size_t at = put_varint(out, (uint64_t)field << 3 | VARINT);
  return at + put_varint(out + at, value);
}

/** Declared int32: numbers from 2^31 up are negative, ten bytes long. */
static size_t put_id(uint8_t *out, uint32_t field, uint32_t value) {
  return put_number(out, field, (uint64_t)(int64_t)(int32_t)value);
}

static size_t put_bytes(uint8_t *out, uint32_t field, const void *bytes, size_t length) {
  if (length == 0) return 0;
  size_t at = put_varint(out, (uint64_t)field << 3 | BYTES);
  at += put_varint(out + at, length);
  memcpy(out + at, bytes, length);
  return at + length;
}

static size_t finish_frame(uint8_t *out, uint32_t msg_id, size_t length) {
  put_le32(out, msg_id);
  put_le32(out + 4, (uint32_t)(length - LARS_HEAD_BYTES));
  return length;
}

size_t lars_write_get_host(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                           const void *key, size_t key_bytes) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, seq);
  at += put_id(out + at, 2, modid);
  at += put_id(out + at, 3, cmdid);
  at += put_bytes(out + at, 17, key, key_bytes);
  return finish_frame(out, LARS_GET_HOST_REQUEST, at);
}

size_t lars_write_report(uint8_t *out, uint32_t modid, uint32_t cmdid, const lars_host *host,
                         int32_t code, int64_t took_ms) {
  uint8_t node[32];
  size_t node_bytes = put_id(node, 1, host->ip);
  node_bytes += put_number(node + node_bytes, 2, host->port);
  size_t at = LARS_HEAD_BYTES;
  at += put_id(out + at, 1, modid);
  at += put_id(out + at, 2, cmdid);
  at += put_bytes(out + at, 3, node, node_bytes);
  at += put_number(out + at, 4, (uint64_t)(int64_t)code);
  if (took_ms >= 0) {
    at += put_varint(out + at, 5 << 3 | VARINT);
    at += put_varint(out + at, took_ms > UINT32_MAX ? UINT32_MAX : (uint64_t)took_ms);
  }
  return finish_frame(out, LARS_REPORT_REQUEST, at);
}

size_t lars_write_get_route(uint8_t *out, uint32_t modid, uint32_t cmdid) {
  size_t at = LARS_HEAD_BYTES;
  at += put_id(out + at, 1, modid);
  at += put_id(out + at, 2, cmdid);
  return finish_frame(out, LARS_GET_ROUTE_REQUEST, at);
}

size_t lars_write_explain(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                          uint32_t from) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, seq);
  at += put_id(out + at, 2, modid);
  at += put_id(out + at, 3, cmdid);
  at += put_number(out + at, 4, from);
  return finish_frame(out, LARS_EXPLAIN_REQUEST, at);
}

size_t lars_write_hello(uint8_t *out) {
  static const char software[] = "lars-c", role[] = "client";
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, 2);
  at += put_bytes(out + at, 2, software, sizeof software - 1);
  at += put_bytes(out + at, 3, role, sizeof role - 1);
  return finish_frame(out, LARS_HELLO, at);
}

size_t lars_write_batch_start(uint8_t *out, uint32_t sender, uint64_t first,
                              size_t outcomes_bytes) {
  size_t at = LARS_HEAD_BYTES;
  at += put_number(out + at, 1, sender);
  at += put_number(out + at, 2, first);
  at += put_varint(out + at, 3 << 3 | BYTES);
  at += put_varint(out + at, outcomes_bytes);
  finish_frame(out, LARS_BATCHED_REPORT, at + outcomes_bytes);
  return at;
}

bool lars_read_datagram(const uint8_t *datagram, size_t length, int32_t *msg_id,
                        const uint8_t **body, size_t *body_bytes) {
  if (length < LARS_HEAD_BYTES || length > LARS_DATAGRAM_BYTES_MAX) return false;
  if (get_le32(datagram + 4) != length - LARS_HEAD_BYTES) return false;
  *msg_id = (int32_t)get_le32(datagram);
  *body = datagram + LARS_HEAD_BYTES;
  *body_bytes = length - LARS_HEAD_BYTES;
  return true;
}

static uint64_t take_varint(lars_reader *reader, int bytes_max) {
  uint64_t value = 0;
  for (int at = 0; at < bytes_max && reader->at < reader->end; at++) {
    uint8_t byte = *reader->at++;
    value |= (uint64_t)(byte & 0x7f) << (7 * at);
    if (byte < 0x80) return value;
  }
  reader->bad = true;
  return 0;
}

/** Takes a tag; false at the end of the message, and when it is bad. */
static bool take_tag(lars_reader *reader, lars_field *field) {
  if (reader->bad || reader->at == reader->end) return false;
  uint64_t tag = take_varint(reader, 5);
  if (tag > UINT32_MAX || tag >> 3 == 0) reader->bad = true;
  field->number = (uint32_t)(tag >> 3);
  field->type = (uint32_t)(tag & 7);
  return !reader->bad;
}

static void take_span(lars_reader *reader, lars_field *field, uint64_t length) {
  if (length > (uint64_t)(reader->end - reader->at)) {
    reader->bad = true;
    return;
  }
  field->bytes = reader->at;
  field->length = (size_t)length;
  reader->at += length;
}

/** Takes what follows a tag that is no group's. */
static void take_value(lars_reader *reader, lars_field *field) {
  if (field->type == VARINT) field->value = take_varint(reader, 10);
  else if (field->type == BYTES) take_span(reader, field, take_varint(reader, 10));
  else if (field->type == FOUR_BYTES) take_span(reader, field, 4);
  else if (field->type == EIGHT_BYTES) take_span(reader, field, 8);
  else reader->bad = true;
}

/** Passes over a group whose tag was taken, with those in it. */
static void skip_group(lars_reader *reader, uint32_t number) {
  uint32_t open[LARS_GROUP_DEPTH_MAX];
  size_t depth = 0;
  open[depth++] = number;
  lars_field field;
  while (depth > 0 && take_tag(reader, &field)) {
    if (field.type == GROUP_END) {
      if (open[--depth] != field.number) reader->bad = true;
    } else if (field.type != GROUP) {
      take_value(reader, &field);
    } else if (depth == LARS_GROUP_DEPTH_MAX) {
      reader->bad = true;
    } else {
      open[depth++] = field.number;
    }
  }
  if (depth > 0) reader->bad = true;
}

/** Takes the next field; groups are passed over. False at the end, and when the message is bad. */
static bool take_field(lars_reader *reader, lars_field *field) {
  memset(field, 0, sizeof *field);
  while (take_tag(reader, field)) {
    if (field->type != GROUP) {
      take_value(reader, field);
      return !reader->bad;
    }
    skip_group(reader, field->number);
  }
  return false;
}

static lars_reader reader_of(const uint8_t *bytes, size_t length) {
  lars_reader reader;
  reader.at = bytes;
  reader.end = bytes + length;
  reader.bad = false;
  return reader;
}

static bool is_number(const lars_field *field, uint32_t number) {
  return field->number == number && field->type == VARINT;
}

static bool is_span(const lars_field *field, uint32_t number) {
  return field->number == number && field->type == BYTES;
}

/** Length of the character at the beginning; 0 when it is none. */
static size_t character_bytes(const uint8_t *bytes, size_t length) {
  uint8_t head = bytes[0];
  if (head < 0x80) return 1;
  size_t size = head >= 0xf0 ? 4 : head >= 0xe0 ? 3 : 2;
  if (head < 0xc2 || head > 0xf4 || size > length) return 0;
  for (size_t at = 1; at < size; at++) {
    if ((bytes[at] & 0xc0) != 0x80) return 0;
  }
  if ((head == 0xe0 && bytes[1] < 0xa0) || (head == 0xed && bytes[1] > 0x9f)) return 0;
  if ((head == 0xf0 && bytes[1] < 0x90) || (head == 0xf4 && bytes[1] > 0x8f)) return 0;
  return size;
}

bool lars_is_text(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    size_t size = character_bytes(bytes, length);
    if (size == 0) return false;
    bytes += size;
    length -= size;
  }
  return true;
}

/** Port and address as they are on the wire: any numbers. */
typedef struct lars_raw_host {
  lars_host host;
  int32_t port;
} lars_raw_host;

static void clear_host(lars_raw_host *raw) {
  memset(raw, 0, sizeof *raw);
  raw->host.weight = -1;
}

/** Merges a node into one that may have come in part before. */
static bool read_host(const lars_field *span, lars_raw_host *raw) {
  lars_reader reader = reader_of(span->bytes, span->length);
  lars_field field;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) raw->host.ip = (uint32_t)field.value;
    else if (is_number(&field, 2)) raw->port = (int32_t)(uint32_t)field.value;
    else if (is_number(&field, 16)) raw->host.weight = (int32_t)((uint32_t)field.value & 0x7fffffff);
    else if (is_span(&field, 17)) {
      if (!lars_is_text(field.bytes, field.length)) return false;
      size_t length = field.length > LARS_ZONE_BYTES_MAX ? 0 : field.length;
      if (length > 0) memcpy(raw->host.zone, field.bytes, length);
      raw->host.zone[length] = 0;
    }
  }
  return !reader.bad;
}

/** True when the node has a port that can be one. */
static bool settle_host(lars_raw_host *raw) {
  if (raw->port < 1 || raw->port > 65535) return false;
  raw->host.port = (uint16_t)raw->port;
  return true;
}

bool lars_read_host_answer(const uint8_t *body, size_t length, lars_host_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  lars_raw_host raw;
  clear_host(&raw);
  answer->seq = answer->modid = answer->cmdid = 0;
  answer->retcode = 0;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->seq = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 3)) answer->cmdid = (uint32_t)field.value;
    else if (is_number(&field, 4)) answer->retcode = (int32_t)(uint32_t)field.value;
    else if (is_span(&field, 5) && !read_host(&field, &raw)) return false;
  }
  answer->has_host = settle_host(&raw);
  answer->host = raw.host;
  return !reader.bad && (answer->retcode != 0 || answer->has_host);
}

static bool add_route_host(const lars_field *field, bool draining, lars_route_answer *answer) {
  lars_raw_host raw;
  clear_host(&raw);
  if (!read_host(field, &raw)) return false;
  if (!settle_host(&raw)) return true;
  raw.host.draining = draining;
  if (answer->count < answer->capacity) answer->hosts[answer->count] = raw.host;
  answer->count++;
  return true;
}

bool lars_read_route_answer(const uint8_t *body, size_t length, lars_route_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  answer->modid = answer->cmdid = 0;
  answer->count = 0;
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->cmdid = (uint32_t)field.value;
    else if (is_span(&field, 3) || is_span(&field, 19)) {
      if (!add_route_host(&field, field.number == 19, answer)) return false;
    } else if (is_span(&field, 17) || is_span(&field, 21)) {
      if (!lars_is_text(field.bytes, field.length)) return false;
    }
  }
  return !reader.bad;
}

bool lars_read_explain_answer(const uint8_t *body, size_t length, lars_explain_answer *answer) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  memset(answer, 0, sizeof *answer);
  while (take_field(&reader, &field)) {
    if (is_number(&field, 1)) answer->seq = (uint32_t)field.value;
    else if (is_number(&field, 2)) answer->modid = (uint32_t)field.value;
    else if (is_number(&field, 3)) answer->cmdid = (uint32_t)field.value;
    else if (is_span(&field, 5)) {
      answer->text = field.bytes;
      answer->text_bytes = field.length;
    }
  }
  return !reader.bad && lars_is_text(answer->text, answer->text_bytes);
}

bool lars_read_hello(const uint8_t *body, size_t length) {
  lars_reader reader = reader_of(body, length);
  lars_field field;
  while (take_field(&reader, &field)) {
    bool is_named = is_span(&field, 2) || is_span(&field, 3) || is_span(&field, 5);
    if (is_named && !lars_is_text(field.bytes, field.length)) return false;
  }
  return !reader.bad;
}
