// Picks from a table in memory: schedules, keys, and files that are not to be trusted.

#include "table.h"

#include <string.h>

#include "check.h"

enum { SLOTS = 8, FIRST_WORD = (4096 + SLOTS * 32) / 8, WORDS = 1024 };

static uint64_t words[WORDS];

static uint8_t *bytes_at(size_t offset) { return (uint8_t *)words + offset; }

static void put32(size_t offset, uint32_t value) { memcpy(bytes_at(offset), &value, 4); }

static void put64(size_t offset, uint64_t value) { memcpy(bytes_at(offset), &value, 8); }

static uint64_t entry(uint32_t ip, uint64_t marks) { return ip | (uint64_t)80 << 32 | marks << 48; }

static void put_slot(uint32_t slot, uint32_t modid, uint32_t cmdid, uint32_t first, uint32_t count) {
  size_t at = 4096 + (size_t)slot * 32;
  put32(at, modid);
  put32(at + 4, cmdid);
  put64(at + 8, (uint64_t)count << 32 | first);
}

static void make_file(void) {
  memset(words, 0, sizeof words);
  memcpy(bytes_at(0), "LARSTBL1", 8);
  put32(8, 1);
  put32(12, 4096);
  put64(16, sizeof words);
  put32(32, SLOTS);
  put32(36, 32);
  put32(40, FIRST_WORD);
  put64(64, 5000);
}

static uint32_t slot_of(uint32_t modid, uint32_t cmdid) {
  uint32_t hash = modid * 0x9e3779b1u ^ cmdid * 0x85ebca6bu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  hash ^= hash >> 13;
  return hash & (SLOTS - 1);
}

static void test_checks(void) {
  lars_table table;
  make_file();
  CHECK(lars_table_check((const uint8_t *)words, sizeof words, &table));
  CHECK(!lars_table_check((const uint8_t *)words, sizeof words - 8, &table));
  CHECK(lars_table_is_fresh(&table, 5000) && lars_table_is_fresh(&table, 7000));
  CHECK(!lars_table_is_fresh(&table, 7001) && !lars_table_is_fresh(&table, 3999));
  static const struct {
    size_t offset;
    uint32_t value;
  } wrong[] = {{0, 0}, {8, 2}, {12, 8192}, {16, 1}, {32, 6}, {32, 0}, {32, 1u << 30}, {36, 64}, {40, 4}};
  for (size_t at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
    make_file();
    put32(wrong[at].offset, wrong[at].value);
    CHECK(!lars_table_check((const uint8_t *)words, sizeof words, &table));
  }
  make_file();
  CHECK(lars_table_check((const uint8_t *)words, sizeof words, &table));
  put32(128, 1);
  CHECK(lars_table_is_retired(&table));
}

/** Numbers of proto/shared_table_vectors.json: where modules begin to look for their slot. */
static void test_directory(void) {
  lars_table table;
  make_file();
  CHECK(slot_of(1, 1) == (2253955267u & 7) && slot_of(300, 2147483647) == (57862611u & 7));
  lars_table_check((const uint8_t *)words, sizeof words, &table);
  CHECK(lars_table_slot(&table, 1, 1) == -1);
  uint32_t slot = slot_of(1, 1);
  put_slot(slot, 9, 9, FIRST_WORD, 1);
  put_slot((slot + 1) % SLOTS, 1, 1, FIRST_WORD, 0);
  CHECK(lars_table_slot(&table, 1, 1) == (int32_t)((slot + 1) % SLOTS));
  /* A directory without a free slot ends the look all the same. */
  for (uint32_t at = 0; at < SLOTS; at++) put_slot(at, 9, at, FIRST_WORD, 1);
  CHECK(lars_table_slot(&table, 1, 1) == -1);
}

static void test_schedules(void) {
  lars_table table;
  uint64_t found;
  uint32_t cursor = UINT32_MAX, seen[5] = {0};
  make_file();
  lars_table_check((const uint8_t *)words, sizeof words, &table);
  for (uint32_t at = 0; at < 5; at++) words[FIRST_WORD + at] = entry(at + 1, 0);
  put_slot(0, 1, 1, FIRST_WORD, 5);
  for (int picks = 0; picks < 50; picks++) {
    CHECK(lars_table_next(&table, 0, &cursor, &found) == LARS_FOUND_NODE);
    CHECK(lars_entry_port(found) == 80);
    seen[lars_entry_ip(found) - 1]++;
  }
  for (int at = 0; at < 5; at++) CHECK(seen[at] == 10);
  words[FIRST_WORD] = (uint64_t)4 << 48;
  cursor = 0;
  CHECK(lars_table_next(&table, 0, &cursor, &found) == LARS_FOUND_REFUSAL);
  words[FIRST_WORD] = 0;
  cursor = 0;
  CHECK(lars_table_next(&table, 0, &cursor, &found) == LARS_FOUND_NOTHING);
  put_slot(0, 1, 1, FIRST_WORD, 0);
  CHECK(lars_table_next(&table, 0, &cursor, &found) == LARS_FOUND_NOTHING);
  static const uint32_t outside[][2] = {
      {0, 1}, {FIRST_WORD - 1, 1}, {WORDS, 1}, {FIRST_WORD, WORDS}, {UINT32_MAX, UINT32_MAX}};
  for (size_t at = 0; at < sizeof outside / sizeof outside[0]; at++) {
    put_slot(0, 1, 1, outside[at][0], outside[at][1]);
    CHECK(lars_table_next(&table, 0, &cursor, &found) == LARS_FOUND_BROKEN);
  }
}

static void put_keyed(uint32_t kind, uint32_t count) {
  uint32_t block = FIRST_WORD + 8;
  words[block] = (uint64_t)count << 32 | kind;
  put64(4096 + 16, (uint64_t)1 << 32 | block);
}

static uint32_t keyed_ip(const lars_table *table, const char *key) {
  uint32_t cursor = 0;
  uint64_t found = 0;
  lars_found result = lars_table_keyed(table, 0, &cursor, key, strlen(key), &found);
  return result == LARS_FOUND_NODE ? lars_entry_ip(found) : 0;
}

static void test_keys(void) {
  lars_table table;
  make_file();
  lars_table_check((const uint8_t *)words, sizeof words, &table);
  words[FIRST_WORD] = entry(99, 0);
  put_slot(0, 1, 1, FIRST_WORD, 1);
  CHECK(keyed_ip(&table, "a") == 99);
  /* Numbers of proto/shared_table_vectors.json: "a" is 504542425, its step in Maglev 383398393. */
  enum { PRIME = 7 };
  put_keyed(2, PRIME);
  for (uint32_t at = 0; at < PRIME; at++) words[FIRST_WORD + 9 + at] = entry(at, 0);
  CHECK(keyed_ip(&table, "a") == 504542425u % PRIME);
  words[FIRST_WORD + 9 + 504542425u % PRIME] = entry(504542425u % PRIME, 2);
  CHECK(keyed_ip(&table, "a") == (504542425u + 383398393u % (PRIME - 1) + 1) % PRIME);
  for (uint32_t at = 0; at < PRIME; at++) words[FIRST_WORD + 9 + at] = entry(at, 2);
  CHECK(keyed_ip(&table, "a") == 99);
  put_keyed(1, 3);
  put32((FIRST_WORD + 9) * 8, 100);
  put32((FIRST_WORD + 9) * 8 + 4, 504542425u);
  put32((FIRST_WORD + 9) * 8 + 8, 600000000u);
  for (uint32_t at = 0; at < 3; at++) words[FIRST_WORD + 11 + at] = entry(at + 1, 0);
  CHECK(keyed_ip(&table, "a") == 2);
  CHECK(keyed_ip(&table, "user-1") == 1);
  CHECK(keyed_ip(&table, "z\xc3\xbcrich") == 1);
  CHECK(keyed_ip(&table, "0123456789abcdef") == 2);
  CHECK(keyed_ip(&table, "\xff") == 0);
  put32(4096 + 24, 1);
  CHECK(keyed_ip(&table, "a") == 0);
  put32(4096 + 24, 0);
  words[FIRST_WORD] = entry(98, 1);
  CHECK(keyed_ip(&table, "a") == 98);
}

/** A file whose bytes are anything: picks end, and none looks outside. */
static void test_changed_by_chance(void) {
  uint64_t state = 83;
  int used = 0;
  for (int round = 0; round < 20000; round++) {
    lars_table table;
    make_file();
    put_slot(slot_of(1, 1), 1, 1, FIRST_WORD, 5);
    for (uint32_t at = 0; at < 5; at++) words[FIRST_WORD + at] = entry(at + 1, 0);
    put_keyed(next_random(&state) % 3, next_random(&state) % 20);
    for (uint32_t changes = next_random(&state) % 6; changes > 0; changes--) {
      uint32_t at = next_random(&state) % (round % 2 == 0 ? 160 : WORDS * 8 - 4);
      *bytes_at(round % 2 == 0 && at > 132 ? 4096 + at : at) = (uint8_t)next_random(&state);
    }
    uint8_t *copy = malloc(sizeof words);
    if (copy == NULL) exit(1);
    memcpy(copy, words, sizeof words);
    if (lars_table_check(copy, sizeof words, &table)) {
      uint32_t cursor = next_random(&state);
      uint64_t found;
      int32_t slot = lars_table_slot(&table, 1, 1);
      if (slot >= 0) {
        used++;
        lars_table_next(&table, (uint32_t)slot, &cursor, &found);
        lars_table_keyed(&table, (uint32_t)slot, &cursor, "key", 3, &found);
      }
    }
    free(copy);
  }
  CHECK(used > 5000 && used < 20000);
}

int main(void) {
  test_checks();
  test_directory();
  test_schedules();
  test_keys();
  test_changed_by_chance();
  return checks_done("table_test");
}
