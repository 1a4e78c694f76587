// Where a thread is in the schedules of modules, and the pick that looks at nothing else.

#include "cursors.h"

#include <stdlib.h>

#include "check.h"

enum { MODULES = 3000, FIRST_WORD = 1024, WORDS = 2048, NODES = 3 };

static uint64_t words[WORDS];
static lars_mapping mapping;
static lars_caller *caller;

static void test_every_module_has_its_own(void) {
  lars_new_epoch();
  mapping.epoch = lars_new_epoch();
  for (uint32_t module = 0; module < MODULES; module++) {
    lars_cursor *cursor = lars_cursor_of(&mapping, module, 7);
    CHECK(cursor != NULL && cursor->told_s == 0);
    cursor->told_s = 1;
    cursor->next = module;
  }
  for (uint32_t module = 0; module < MODULES; module++) {
    lars_cursor *cursor = lars_cursor_of(&mapping, module, 7);
    CHECK(cursor->told_s == 1 && cursor->next == module);
  }
  CHECK(lars_hot_cursors.used == MODULES && lars_hot_cursors.mask + 1 >= 2 * MODULES);
}

/** Of more tables than a thread has cursors for at once the earlier ones begin anew. */
static void test_many_tables(void) {
  uint64_t first = mapping.epoch;
  for (int table = 0; table < 20; table++) {
    mapping.epoch = lars_new_epoch();
    lars_cursor *cursor = lars_cursor_of(&mapping, 1, 1);
    CHECK(cursor != NULL && cursor->told_s == 0);
    cursor->told_s = 1;
    CHECK(lars_hot_cursors.epoch == mapping.epoch);
  }
  mapping.epoch = first;
  CHECK(lars_cursor_of(&mapping, 1, 7)->told_s == 0);
}

static void put_changes(uint32_t changes) { words[LARS_TABLE_CHANGES / 8] = changes; }

static uint32_t picked_ip(void) { return lars_entry_ip(lars_pick_hot(caller, 1, 1)); }

static void test_hot_picks(void) {
  for (uint32_t node = 0; node < NODES; node++) {
    words[FIRST_WORD + node] = (uint64_t)80 << 32 | (node + 1);
  }
  mapping.epoch = lars_new_epoch();
  mapping.table.bytes = (const uint8_t *)words;
  CHECK(picked_ip() == 0);
  caller->kept = &mapping;
  caller->kept_stamp = (uint64_t)1 << 32;
  put_changes(5);
  CHECK(picked_ip() == 0);
  lars_cursor *cursor = lars_cursor_of(&mapping, 1, 1);
  cursor->told_s = 1;
  cursor->first = FIRST_WORD;
  cursor->count = NODES;
  cursor->next = NODES - 1;
  cursor->stamp = lars_stamp(caller, 5);
  static const uint32_t turns[] = {3, 1, 2, 3, 1};
  for (size_t turn = 0; turn < sizeof turns / sizeof turns[0]; turn++) {
    CHECK(picked_ip() == turns[turn]);
  }
  CHECK(caller->is_picked);
  /* A refusal, or no entry at all, is for the long way, and is still there for it. */
  words[FIRST_WORD + 1] = (uint64_t)1 << 50;
  CHECK(picked_ip() == 0 && cursor->next == 1);
  words[FIRST_WORD + 1] = 0;
  CHECK(picked_ip() == 0 && cursor->next == 1);
  words[FIRST_WORD + 1] = (uint64_t)80 << 32 | 9;
  CHECK(picked_ip() == 9);
  /* So is everything after a change, and after some seconds. */
  put_changes(6);
  CHECK(picked_ip() == 0);
  put_changes(5);
  CHECK(picked_ip() == 3);
  caller->kept_stamp += (uint64_t)1 << 32;
  CHECK(picked_ip() == 0);
  put_changes(0);
  cursor->stamp = 0;
  CHECK(picked_ip() == 0);
}

int main(void) {
  caller = (lars_caller *)calloc(1, sizeof *caller);
  if (caller == NULL) return 1;
  test_every_module_has_its_own();
  test_many_tables();
  test_hot_picks();
  free(caller);
  return checks_done("cursors_test");
}
