// Core. Seals of datagrams: proof of the secret, for an agent on another host that wants one.
#ifndef LARS_SEAL_H
#define LARS_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  LARS_SHA256_BYTES = 32,
  LARS_SEAL_SENDER_BYTES = 8,
  LARS_SEAL_MAC_BYTES = 16,
  /** By how much a seal makes a datagram longer: head of its field, sender, time, number, mac. */
  LARS_SEAL_BYTES = 3 + LARS_SEAL_SENDER_BYTES + 8 + 4 + LARS_SEAL_MAC_BYTES
};

/** A hash under way: FIPS 180-4. */
typedef struct lars_sha256 {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
} lars_sha256;

/** A secret, ready to be used: the states after the first block of each half of an HMAC. */
typedef struct lars_secret {
  lars_sha256 inner, outer;
} lars_secret;

/** Who seals: 8 random bytes, which no other sender has, and the number of its last datagram. */
typedef struct lars_sealer {
  uint8_t sender[LARS_SEAL_SENDER_BYTES];
  uint32_t number;
} lars_sealer;

void lars_sha256_begin(lars_sha256 *hash);
void lars_sha256_add(lars_sha256 *hash, const void *bytes, size_t length);
/** Ends the hash; the struct is used up. */
void lars_sha256_end(lars_sha256 *hash, uint8_t digest[LARS_SHA256_BYTES]);

void lars_secret_init(lars_secret *secret, const void *token, size_t length);

/** HMAC-SHA-256 of a label and bytes behind it: RFC 2104. */
void lars_hmac(const lars_secret *secret, const char *label, const uint8_t *bytes, size_t length,
               uint8_t digest[LARS_SHA256_BYTES]);

/**
 * Writes the datagram with its seal, and gives its length, LARS_SEAL_BYTES more. For each datagram
 * anew, also for a repeated one. wall_ms: milliseconds since 1970. out may be the datagram itself.
 */
size_t lars_seal(const lars_secret *secret, lars_sealer *sealer, uint64_t wall_ms,
                 const uint8_t *datagram, size_t length, uint8_t *out);

/** True when it is sealed by one who knows the secret, for a question of this sender. */
bool lars_seal_is_answer(const lars_secret *secret, const lars_sealer *sealer,
                         const uint8_t *datagram, size_t length);

#endif
