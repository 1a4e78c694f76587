// Messages as bytes: those that are right, and a hundred thousand that were changed by chance.

#include "wire.h"

#include <string.h>

#include "check.h"

static size_t from_hex(const char *hex, uint8_t *out) {
  size_t length = 0;
  for (; hex[0] != 0; hex += 2) {
    char pair[3] = {hex[0], hex[1], 0};
    out[length++] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return length;
}

static void test_golden_answers(void) {
  uint8_t body[512];
  lars_host_answer answer;
  CHECK(lars_read_host_answer(body, from_hex("0807100118022a0e08b183a085fcffffffff0110e13c", body),
                              &answer));
  CHECK(answer.seq == 7 && answer.modid == 1 && answer.cmdid == 2 && answer.retcode == 0);
  CHECK(answer.host.ip == 3232235953u && answer.host.port == 7777 && answer.host.weight == -1);
  CHECK(lars_read_host_answer(body, from_hex("0807100118022003", body), &answer));
  CHECK(answer.retcode == 3 && !answer.has_host);
  CHECK(!lars_read_host_answer(body, from_hex("0807100118022a00", body), &answer));
  lars_host hosts[2];
  lars_route_answer route;
  memset(&route, 0, sizeof route);
  route.hosts = hosts;
  route.capacity = 1;
  CHECK(lars_read_route_answer(
      body, from_hex("080110021a0e08b183a085fcffffffff0110e13c1a0a08818080f80710ffff03", body),
      &route));
  CHECK(route.count == 2 && hosts[0].ip == 3232235953u);
}

static void test_text(void) {
  CHECK(lars_is_text((const uint8_t *)"z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80", 16));
  static const char *const none[] = {"\xff",         "\xc3",         "\xc0\x80",        "\xed\xa0\x80",
                                     "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf5\x80\x80\x80", "a\x80"};
  for (size_t at = 0; at < sizeof none / sizeof none[0]; at++) {
    CHECK(!lars_is_text((const uint8_t *)none[at], strlen(none[at])));
  }
}

/** What a question says comes back from a decoder of answers that has the same fields. */
static void test_questions(void) {
  uint8_t frame[LARS_QUESTION_BYTES_MAX], key[LARS_KEY_BYTES_MAX];
  const uint8_t *body;
  size_t length;
  int32_t msg_id;
  memset(key, 'k', sizeof key);
  size_t bytes = lars_write_get_host(frame, UINT32_MAX, UINT32_MAX, 0x80000000u, key, sizeof key);
  CHECK(bytes <= sizeof frame);
  CHECK(lars_read_datagram(frame, bytes, &msg_id, &body, &length));
  CHECK(msg_id == LARS_GET_HOST_REQUEST && length == bytes - LARS_HEAD_BYTES);
  lars_host_answer answer;
  lars_read_host_answer(body, length, &answer);
  CHECK(answer.seq == UINT32_MAX && answer.modid == UINT32_MAX && answer.cmdid == 0x80000000u);
  lars_host host;
  memset(&host, 0, sizeof host);
  host.ip = UINT32_MAX;
  host.port = UINT16_MAX;
  CHECK(lars_write_report(frame, UINT32_MAX, UINT32_MAX, &host, INT32_MIN, INT64_MAX) <= sizeof frame);
}

/** Reads bytes that end where their memory ends, so that a byte too far is seen. */
static int read_all(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length > 0 ? length : 1);
  int taken = 0;
  if (copy == NULL) exit(1);
  memcpy(copy, bytes, length);
  lars_host_answer host;
  lars_host hosts[4];
  lars_route_answer route;
  lars_explain_answer explanation;
  int32_t msg_id;
  const uint8_t *body;
  size_t body_bytes;
  memset(&route, 0, sizeof route);
  route.hosts = hosts;
  route.capacity = 4;
  if (lars_read_datagram(copy, length, &msg_id, &body, &body_bytes)) taken++;
  if (lars_read_host_answer(copy, length, &host)) taken++;
  if (lars_read_route_answer(copy, length, &route)) taken++;
  if (lars_read_explain_answer(copy, length, &explanation)) taken++;
  if (lars_read_hello(copy, length)) taken++;
  free(copy);
  return taken;
}

static void test_changed_by_chance(void) {
  static const char *const seeds[] = {
      "0807100118022a1708b183a085fcffffffff0110e13c8001058a01067ac3bc726963",
      "080110021a1a08ffffffffffffffffff0110018001008a01077ac3bc726963681a088001904e8a010161",
      "0809100118022a0c7b226e6f646573223a5b5d7d",
      "0801120a6c6172732f302e312e301a03646e73220400ff10ab2a0d7b226d6f64756c6573223a327d",
      "050000001600000008071001180222ffffffffffffffffff012a00",
      "4b5b635c545308015401",
  };
  uint64_t state = 14;
  int taken = 0;
  for (int round = 0; round < 100000; round++) {
    uint8_t bytes[256];
    size_t length = from_hex(seeds[(size_t)round % (sizeof seeds / sizeof seeds[0])], bytes);
    for (uint32_t changes = next_random(&state) % 4; changes > 0; changes--) {
      uint32_t at = next_random(&state) % (uint32_t)length;
      uint32_t how = next_random(&state) % 4;
      if (how == 0) bytes[at] = (uint8_t)next_random(&state);
      if (how == 1) bytes[at] ^= (uint8_t)(1u << next_random(&state) % 8);
      if (how == 2) bytes[at] = 0xff;
      if (how == 3 && length > 1) length = at + 1;
    }
    taken += read_all(bytes, length);
  }
  /* Some are still messages and most are not: the loop changes what it should. */
  CHECK(taken > 10000 && taken < 400000);
}

int main(void) {
  test_golden_answers();
  test_text();
  test_questions();
  test_changed_by_chance();
  return checks_done("wire_test");
}
