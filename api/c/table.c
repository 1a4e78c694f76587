// Core. Picks from the bytes of the shared table: two loads each, and nothing that can tear.

#include "table.h"

#include "wire.h"

#include <string.h>

/** Offsets in the header and in a slot; see proto/shared_table.md. */
enum { AT_VERSION = 8, AT_HEADER = 12, AT_LENGTH = 16, AT_GENERATION = 24, AT_SLOTS = 32 };
enum { AT_SLOT_BYTES = 36, AT_FIRST_WORD = 40, AT_IP = 48, AT_PORT = 52, AT_HEARTBEAT = 64 };
enum { AT_TAKES = 56, TAKES_RUNS = 1, AT_RETIRED = 128, SLOT_KEYED = 16, SLOT_FLAGS = 24 };
enum { KIND_RING = 1, KIND_MAGLEV = 2, FLAG_KEYS_BY_AGENT = 1 };

static uint64_t load_word(const uint8_t *at, int order) {
  return order == __ATOMIC_ACQUIRE ? __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_ACQUIRE)
                                   : __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
}

static uint32_t load_half(const uint8_t *at) {
  return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
}

static uint64_t word_at(const lars_table *table, uint64_t word) {
  return load_word(table->bytes + word * 8, __ATOMIC_RELAXED);
}

bool lars_table_check(const uint8_t *bytes, uint64_t length, lars_table *table) {
  static const char magic[] = "LARSTBL1";
  const uint16_t order = 1;
  uint8_t first_byte;
  memcpy(&first_byte, &order, 1);
  if (first_byte != 1 || length < LARS_TABLE_HEADER_BYTES) return false;
  uint64_t found = load_word(bytes, __ATOMIC_ACQUIRE);
  if (memcmp(&found, magic, sizeof found) != 0) return false;
  if (load_half(bytes + AT_VERSION) != LARS_TABLE_VERSION) return false;
  if (load_half(bytes + AT_HEADER) != LARS_TABLE_HEADER_BYTES) return false;
  if (load_half(bytes + AT_SLOT_BYTES) != LARS_TABLE_SLOT_BYTES) return false;
  if (load_word(bytes + AT_LENGTH, __ATOMIC_RELAXED) != length) return false;
  uint32_t slots = load_half(bytes + AT_SLOTS), first_word = load_half(bytes + AT_FIRST_WORD);
  uint64_t directory_end = LARS_TABLE_HEADER_BYTES + (uint64_t)slots * LARS_TABLE_SLOT_BYTES;
  if (slots == 0 || (slots & (slots - 1)) != 0 || slots > INT32_MAX) return false;
  if (directory_end > length || (uint64_t)first_word * 8 < directory_end) return false;
  table->bytes = bytes;
  table->words = length / 8;
  table->slots = slots;
  table->first_word = first_word;
  table->generation = load_word(bytes + AT_GENERATION, __ATOMIC_RELAXED);
  table->agent_ip = load_half(bytes + AT_IP);
  table->agent_port = (uint16_t)load_half(bytes + AT_PORT);
  table->takes_runs = (load_half(bytes + AT_TAKES) & TAKES_RUNS) != 0;
  return true;
}

bool lars_table_is_fresh(const lars_table *table, int64_t now_ms) {
  int64_t beat_ms = (int64_t)load_word(table->bytes + AT_HEARTBEAT, __ATOMIC_RELAXED);
  return beat_ms >= now_ms - LARS_TABLE_OLD_MS && beat_ms <= now_ms + LARS_TABLE_AHEAD_MS;
}

bool lars_table_is_retired(const lars_table *table) {
  return load_half(table->bytes + AT_RETIRED) != 0;
}

static uint32_t rotate_left(uint32_t value, int bits) {
  return value << bits | value >> (32 - bits);
}

static uint32_t murmur_block(uint32_t block) {
  return rotate_left(block * 0xcc9e2d51u, 15) * 0x1b873593u;
}

/** The upper 31 bits of MurmurHash3 x86 32 with seed 0. */
static uint32_t hash_key(const uint8_t *bytes, size_t length) {
  uint32_t hash = 0;
  size_t at = 0;
  for (; at + 4 <= length; at += 4) {
    uint32_t block = (uint32_t)bytes[at] | (uint32_t)bytes[at + 1] << 8 |
                     (uint32_t)bytes[at + 2] << 16 | (uint32_t)bytes[at + 3] << 24;
    hash = rotate_left(hash ^ murmur_block(block), 13) * 5 + 0xe6546b64u;
  }
  uint32_t tail = 0;
  for (size_t rest = length; rest > at; rest--) tail = tail << 8 | bytes[rest - 1];
  if (length > at) hash ^= murmur_block(tail);
  hash ^= (uint32_t)length;
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  return (hash ^ hash >> 16) >> 1;
}

/** Where a keyed block begins, and how its entries are walked through. */
typedef struct lars_keyed {
  uint64_t hashes, entries;
  uint32_t count, index, step;
} lars_keyed;

static uint32_t ring_index(const lars_table *table, const lars_keyed *keyed, uint32_t key) {
  uint32_t low = 0, high = keyed->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    uint32_t hash = load_half(table->bytes + keyed->hashes * 8 + (uint64_t)middle * 4);
    if (hash < key) low = middle + 1;
    else high = middle;
  }
  return low == keyed->count ? 0 : low;
}

/** False when the block is none that this reader knows, or does not lie in the file. */
static bool begin_keyed(const lars_table *table, uint64_t word, uint32_t key, lars_keyed *keyed) {
  if (word < table->first_word || word >= table->words) return false;
  uint64_t head = word_at(table, word);
  uint32_t kind = (uint32_t)head;
  keyed->count = (uint32_t)(head >> 32);
  if (keyed->count == 0 || (kind != KIND_RING && kind != KIND_MAGLEV)) return false;
  keyed->hashes = word + 1;
  keyed->entries = word + 1 + (kind == KIND_RING ? ((uint64_t)keyed->count + 1) / 2 : 0);
  if (keyed->entries + keyed->count > table->words) return false;
  if (kind == KIND_RING) {
    keyed->index = ring_index(table, keyed, key);
    keyed->step = 1;
    return true;
  }
  uint8_t bytes[4] = {(uint8_t)key, (uint8_t)(key >> 8), (uint8_t)(key >> 16), (uint8_t)(key >> 24)};
  keyed->index = key % keyed->count;
  keyed->step = keyed->count == 1 ? 0 : hash_key(bytes, 4) % (keyed->count - 1) + 1;
  return true;
}

lars_found lars_table_keyed(const lars_table *table, uint32_t slot, uint32_t *cursor,
                            const void *key, size_t key_bytes, uint64_t *entry) {
  lars_found found = lars_table_next(table, slot, cursor, entry);
  if (found != LARS_FOUND_NODE || lars_entry_is_probe(*entry)) return found;
  const uint8_t *at = lars_slot_at(table, slot);
  if ((load_half(at + SLOT_FLAGS) & FLAG_KEYS_BY_AGENT) != 0) return LARS_FOUND_NOTHING;
  if (!lars_is_text((const uint8_t *)key, key_bytes)) return LARS_FOUND_NOTHING;
  uint64_t block = load_word(at + SLOT_KEYED, __ATOMIC_ACQUIRE);
  if (block == 0) return LARS_FOUND_NODE;
  lars_keyed keyed;
  uint32_t hash = hash_key((const uint8_t *)key, key_bytes);
  if (!begin_keyed(table, (uint32_t)block, hash, &keyed)) return LARS_FOUND_NOTHING;
  uint32_t looks = keyed.count;
  if (looks > LARS_TABLE_KEYED_LOOKS_MAX) looks = LARS_TABLE_KEYED_LOOKS_MAX;
  uint64_t index = keyed.index;
  for (uint32_t look = 0; look < looks; look++, index = (index + keyed.step) % keyed.count) {
    uint64_t found_entry = word_at(table, keyed.entries + index);
    if (lars_entry_is_out(found_entry) || lars_entry_port(found_entry) == 0) continue;
    *entry = found_entry;
    return LARS_FOUND_NODE;
  }
  return LARS_FOUND_NODE;
}
