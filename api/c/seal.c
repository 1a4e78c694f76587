// Core. Seals of datagrams by HMAC-SHA-256, which the C library does not have.

#include "seal.h"

#include "wire.h"

#include <string.h>

static const uint32_t SHA256_ROUNDS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t SHA256_START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

enum { SHA256_BLOCK = 64, HMAC_INNER = 0x36, HMAC_OUTER = 0x5c };

static const uint8_t SEAL_HEAD[3] = {0xfa, 0x01, LARS_SEAL_BYTES - 3};

static uint32_t rotate_right(uint32_t value, int bits) {
  return value >> bits | value << (32 - bits);
}

static uint32_t get_be32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
         (uint32_t)bytes[3];
}

static void put_be32(uint8_t *out, uint32_t value) {
  for (int at = 0; at < 4; at++) out[at] = (uint8_t)(value >> (24 - 8 * at));
}

static void put_le(uint8_t *out, uint64_t value, int bytes) {
  for (int at = 0; at < bytes; at++) out[at] = (uint8_t)(value >> (8 * at));
}

static void take_block(lars_sha256 *hash, const uint8_t *block) {
  uint32_t words[64], now[8];
  for (int at = 0; at < 16; at++) words[at] = get_be32(block + 4 * at);
  for (int at = 16; at < 64; at++) {
    uint32_t early = words[at - 15], late = words[at - 2];
    early = rotate_right(early, 7) ^ rotate_right(early, 18) ^ early >> 3;
    late = rotate_right(late, 17) ^ rotate_right(late, 19) ^ late >> 10;
    words[at] = words[at - 16] + early + words[at - 7] + late;
  }
  memcpy(now, hash->state, sizeof now);
  for (int at = 0; at < 64; at++) {
    uint32_t a = now[0], e = now[4];
    uint32_t mixed_e = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t mixed_a = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t choice = (e & now[5]) ^ (~e & now[6]);
    uint32_t most = (a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]);
    uint32_t first = now[7] + mixed_e + choice + SHA256_ROUNDS[at] + words[at];
    memmove(now + 1, now, 7 * sizeof now[0]);
    now[4] += first;
    now[0] = first + mixed_a + most;
  }
  for (int at = 0; at < 8; at++) hash->state[at] += now[at];
}

void lars_sha256_begin(lars_sha256 *hash) {
  memcpy(hash->state, SHA256_START, sizeof hash->state);
  hash->length = 0;
}

void lars_sha256_add(lars_sha256 *hash, const void *bytes, size_t length) {
  const uint8_t *at = (const uint8_t *)bytes;
  while (length > 0) {
    size_t used = (size_t)(hash->length % SHA256_BLOCK);
    size_t more = SHA256_BLOCK - used < length ? SHA256_BLOCK - used : length;
    memcpy(hash->block + used, at, more);
    hash->length += more;
    at += more;
    length -= more;
    if (hash->length % SHA256_BLOCK == 0) take_block(hash, hash->block);
  }
}

void lars_sha256_end(lars_sha256 *hash, uint8_t digest[LARS_SHA256_BYTES]) {
  static const uint8_t padding[SHA256_BLOCK] = {0x80};
  uint64_t bits = hash->length * 8;
  uint8_t length[8];
  put_be32(length, (uint32_t)(bits >> 32));
  put_be32(length + 4, (uint32_t)bits);
  size_t used = (size_t)(hash->length % SHA256_BLOCK);
  lars_sha256_add(hash, padding, used < 56 ? 56 - used : 56 + SHA256_BLOCK - used);
  lars_sha256_add(hash, length, sizeof length);
  for (int at = 0; at < 8; at++) put_be32(digest + 4 * at, hash->state[at]);
}

static void begin_half(lars_sha256 *hash, const uint8_t *key, uint8_t pad) {
  uint8_t block[SHA256_BLOCK];
  for (int at = 0; at < SHA256_BLOCK; at++) block[at] = (uint8_t)(key[at] ^ pad);
  lars_sha256_begin(hash);
  lars_sha256_add(hash, block, sizeof block);
}

void lars_secret_init(lars_secret *secret, const void *token, size_t length) {
  uint8_t key[SHA256_BLOCK] = {0};
  if (length <= SHA256_BLOCK) {
    memcpy(key, token, length);
  } else {
    lars_sha256 hash;
    lars_sha256_begin(&hash);
    lars_sha256_add(&hash, token, length);
    lars_sha256_end(&hash, key);
  }
  begin_half(&secret->inner, key, HMAC_INNER);
  begin_half(&secret->outer, key, HMAC_OUTER);
}

void lars_hmac(const lars_secret *secret, const char *label, const uint8_t *bytes, size_t length,
               uint8_t digest[LARS_SHA256_BYTES]) {
  lars_sha256 inner = secret->inner, outer = secret->outer;
  lars_sha256_add(&inner, label, strlen(label));
  lars_sha256_add(&inner, bytes, length);
  lars_sha256_end(&inner, digest);
  lars_sha256_add(&outer, digest, LARS_SHA256_BYTES);
  lars_sha256_end(&outer, digest);
}

size_t lars_seal(const lars_secret *secret, lars_sealer *sealer, uint64_t wall_ms,
                 const uint8_t *datagram, size_t length, uint8_t *out) {
  uint8_t digest[LARS_SHA256_BYTES];
  size_t at = length, sealed = length + LARS_SEAL_BYTES;
  sealer->number++;
  memmove(out, datagram, length);
  put_le(out + 4, sealed - LARS_HEAD_BYTES, 4);
  memcpy(out + at, SEAL_HEAD, sizeof SEAL_HEAD);
  at += sizeof SEAL_HEAD;
  memcpy(out + at, sealer->sender, LARS_SEAL_SENDER_BYTES);
  at += LARS_SEAL_SENDER_BYTES;
  put_le(out + at, wall_ms, 8);
  put_le(out + at + 8, sealer->number, 4);
  at += 12;
  lars_hmac(secret, "lars question", out, at, digest);
  memcpy(out + at, digest, LARS_SEAL_MAC_BYTES);
  return sealed;
}

bool lars_seal_is_answer(const lars_secret *secret, const lars_sealer *sealer,
                         const uint8_t *datagram, size_t length) {
  uint8_t digest[LARS_SHA256_BYTES], difference = 0;
  if (length < LARS_HEAD_BYTES + LARS_SEAL_BYTES) return false;
  const uint8_t *seal = datagram + length - LARS_SEAL_BYTES;
  const uint8_t *mac = datagram + length - LARS_SEAL_MAC_BYTES;
  if (memcmp(seal, SEAL_HEAD, sizeof SEAL_HEAD) != 0) return false;
  if (memcmp(seal + sizeof SEAL_HEAD, sealer->sender, LARS_SEAL_SENDER_BYTES) != 0) return false;
  lars_hmac(secret, "lars answer", datagram, length - LARS_SEAL_MAC_BYTES, digest);
  /* Takes the same time wherever they differ. */
  for (int at = 0; at < LARS_SEAL_MAC_BYTES; at++) difference |= (uint8_t)(mac[at] ^ digest[at]);
  return difference == 0;
}
