// Core. The messages a caller writes and reads, as bytes; no I/O.
#ifndef LARS_WIRE_H
#define LARS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lars.h"

enum {
  LARS_HEAD_BYTES = 8,
  /** No question of a caller is longer: ids, a key of 256 bytes, a head. */
  LARS_QUESTION_BYTES_MAX = 384,
  /** Longest datagram there is. */
  LARS_DATAGRAM_BYTES_MAX = 65507,
  /** Groups in a group; deeper ones are refused. */
  LARS_GROUP_DEPTH_MAX = 100
};

/** Ids in the head. */
enum {
  LARS_GET_HOST_REQUEST = 4,
  LARS_GET_HOST_RESPONSE = 5,
  LARS_REPORT_REQUEST = 6,
  LARS_GET_ROUTE_REQUEST = 7,
  LARS_GET_ROUTE_RESPONSE = 8,
  LARS_HELLO = 64,
  LARS_EXPLAIN_REQUEST = 76,
  LARS_EXPLAIN_RESPONSE = 77,
  LARS_BATCHED_REPORT = 83
};

/** The answer to a question for a node. */
typedef struct lars_host_answer {
  uint32_t seq, modid, cmdid;
  int32_t retcode;
  /** True when the node has a port that can be one. */
  bool has_host;
  lars_host host;
} lars_host_answer;

/** The answer to a question for a route. */
typedef struct lars_route_answer {
  uint32_t modid, cmdid;
  lars_host *hosts;
  size_t capacity, count;
} lars_route_answer;

/** The answer to a question for an explanation; text is not ended by a 0. */
typedef struct lars_explain_answer {
  uint32_t seq, modid, cmdid;
  const uint8_t *text;
  size_t text_bytes;
} lars_explain_answer;

/** Each writes a datagram into out, LARS_QUESTION_BYTES_MAX long, and gives its length. */
size_t lars_write_get_host(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                           const void *key, size_t key_bytes);
size_t lars_write_report(uint8_t *out, uint32_t modid, uint32_t cmdid, const lars_host *host,
                         int32_t code, int64_t took_ms);
size_t lars_write_get_route(uint8_t *out, uint32_t modid, uint32_t cmdid);
size_t lars_write_explain(uint8_t *out, uint32_t seq, uint32_t modid, uint32_t cmdid,
                          uint32_t from);
size_t lars_write_hello(uint8_t *out);

/** Bytes before the outcomes of a batch, with the head; gives their length, at most 40. */
size_t lars_write_batch_start(uint8_t *out, uint32_t sender, uint64_t first,
                              size_t outcomes_bytes);

/** The head of a datagram and where its body is; false when the lengths do not agree. */
bool lars_read_datagram(const uint8_t *datagram, size_t length, int32_t *msg_id,
                        const uint8_t **body, size_t *body_bytes);

/** Each reads a body; false when it is malformed. */
bool lars_read_host_answer(const uint8_t *body, size_t length, lars_host_answer *answer);
bool lars_read_route_answer(const uint8_t *body, size_t length, lars_route_answer *answer);
bool lars_read_explain_answer(const uint8_t *body, size_t length, lars_explain_answer *answer);
bool lars_read_hello(const uint8_t *body, size_t length);

/** True when the bytes are text in UTF-8. */
bool lars_is_text(const uint8_t *bytes, size_t length);

#endif
