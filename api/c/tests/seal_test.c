// Seals: the hash and the mac of the standards, what is sent, and which answers are believed.

#include "seal.h"

#include "wire.h"

#include <string.h>

#include "check.h"

static bool is_hex(const uint8_t *bytes, size_t length, const char *hex) {
  char text[2 * LARS_SHA256_BYTES + 1];
  for (size_t at = 0; at < length; at++) snprintf(text + 2 * at, 3, "%02x", bytes[at]);
  return strcmp(text, hex) == 0;
}

static void hash_pieces(const char *text, size_t times, size_t piece, const char *hex) {
  uint8_t digest[LARS_SHA256_BYTES];
  lars_sha256 hash;
  lars_sha256_begin(&hash);
  for (size_t time = 0; time < times; time++) {
    for (size_t at = 0, length = strlen(text); at < length; at += piece) {
      lars_sha256_add(&hash, text + at, length - at < piece ? length - at : piece);
    }
  }
  lars_sha256_end(&hash, digest);
  CHECK(is_hex(digest, sizeof digest, hex));
}

/** The examples of FIPS 180-4. */
static void test_sha256(void) {
  hash_pieces("", 1, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  hash_pieces("abc", 1, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (size_t piece = 1; piece <= 56; piece++) {
    hash_pieces(two, 1, piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  }
  hash_pieces("aaaaaaaaaa", 100000, 10,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/** Cases 1, 2 and 6 of RFC 4231. */
static void test_hmac(void) {
  uint8_t digest[LARS_SHA256_BYTES], key[131];
  lars_secret secret;
  memset(key, 0x0b, 20);
  lars_secret_init(&secret, key, 20);
  lars_hmac(&secret, "Hi ", (const uint8_t *)"There", 5, digest);
  CHECK(is_hex(digest, sizeof digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
  lars_secret_init(&secret, "Jefe", 4);
  lars_hmac(&secret, "what do ya want ", (const uint8_t *)"for nothing?", 12, digest);
  CHECK(is_hex(digest, sizeof digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
  memset(key, 0xaa, sizeof key);
  lars_secret_init(&secret, key, sizeof key);
  lars_hmac(&secret, "", (const uint8_t *)"Test Using Larger Than Block-Size Key - Hash Key First", 54,
            digest);
  CHECK(is_hex(digest, sizeof digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

/** Reads hex, and gives how many bytes it is. */
static size_t bytes_of(const char *hex, uint8_t *bytes) {
  size_t length = strlen(hex) / 2;
  for (size_t at = 0; at < length; at++) {
    unsigned byte = 0;
    CHECK(sscanf(hex + 2 * at, "%2x", &byte) == 1);
    bytes[at] = (uint8_t)byte;
  }
  return length;
}

/** Those of proto/seal_vectors.json: secret, number, message, the same with its seal, a sealed answer. */
static void test_vectors(void) {
  static const struct {
    const char *secret;
    uint32_t number;
    const char *message, *sealed, *answer;
  } VECTORS[] = {
      {"6120736563726574206f66203230206279746573", 1,
       "0400000006000000080710011802",
       "040000002d000000080710011802fa012401020304050607080068e5cf8b010000010000007c1d47cca0"
       "790774f122e3e35a02fec6",
       "050000003d0000000807100118022a0e08b183a085fcffffffff0110e13cfa0124010203040506070800"
       "68e5cf8b0100000100000080a11c038f4217fa29a8b3a5bd19dce7"},
      {"6120736563726574206f66203230206279746573", 2,
       "530000001e000000080710031a180100000001000000b101a8c0611e0000000000000c000000",
       "5300000045000000080710031a180100000001000000b101a8c0611e0000000000000c000000fa012401"
       "020304050607080068e5cf8b010000020000007e132c63672b7948d2ad823b3b6d93b4",
       "0800000027000000fa012401020304050607080068e5cf8b010000020000003e63db8f64d00122934cf2"
       "1a890fbedd"},
      {"6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b", 3,
       "0400000006000000080710011802",
       "040000002d000000080710011802fa012401020304050607080068e5cf8b01000003000000b83a2825a5"
       "439c7284adf0924dd396e6",
       "050000003d0000000807100118022a0e08b183a085fcffffffff0110e13cfa0124010203040506070800"
       "68e5cf8b01000003000000dc4128dbe500afad1148718a3db4c47b"},
      {"00ff8000ff8000ff8000ff8000ff8000ff8000ff80", 1,
       "0700000000000000",
       "0700000027000000fa012401020304050607080068e5cf8b01000001000000168452ba4b6fd9e094df50"
       "127236097f",
       "0800000027000000fa012401020304050607080068e5cf8b01000001000000dd92faeef146e370094b38"
       "ee83a06b86"}};
  for (size_t at = 0; at < sizeof VECTORS / sizeof VECTORS[0]; at++) {
    uint8_t token[128], message[512], sealed[512], answer[512];
    lars_sealer sealer = {{1, 2, 3, 4, 5, 6, 7, 8}, 0};
    lars_secret secret;
    lars_secret_init(&secret, token, bytes_of(VECTORS[at].secret, token));
    size_t length = 0, bytes = bytes_of(VECTORS[at].message, message);
    while (sealer.number < VECTORS[at].number) {
      length = lars_seal(&secret, &sealer, 1700000000000u, message, bytes, sealed);
    }
    char text[1025];
    for (size_t byte = 0; byte < length; byte++) snprintf(text + 2 * byte, 3, "%02x", sealed[byte]);
    CHECK(strcmp(text, VECTORS[at].sealed) == 0);
    CHECK(!lars_seal_is_answer(&secret, &sealer, sealed, length));
    CHECK(lars_seal_is_answer(&secret, &sealer, answer, bytes_of(VECTORS[at].answer, answer)));
    /* Where it lies, as batches are sealed. */
    sealer.number--;
    CHECK(lars_seal(&secret, &sealer, 1700000000000u, message, bytes, message) == length);
    CHECK(memcmp(message, sealed, length) == 0);
  }
}

static void test_seals(void) {
  uint8_t question[LARS_QUESTION_BYTES_MAX], first[512], second[512], digest[LARS_SHA256_BYTES];
  lars_secret secret, other;
  lars_sealer sealer = {{1, 2, 3, 4, 5, 6, 7, 8}, 0};
  lars_secret_init(&secret, "a secret", 8);
  lars_secret_init(&other, "another", 7);
  size_t length = lars_write_get_host(question, 7, 1, 2, NULL, 0);
  size_t sealed = lars_seal(&secret, &sealer, 1700000000000u, question, length, first);
  CHECK(sealed == length + LARS_SEAL_BYTES && sealed == lars_seal(&secret, &sealer, 5, question, length, second));
  CHECK(memcmp(first, second, sealed) != 0 && sealer.number == 2);
  CHECK(first[4] == sealed - LARS_HEAD_BYTES && memcmp(first + 8, question + 8, length - 8) == 0);
  lars_hmac(&secret, "lars question", first, sealed - LARS_SEAL_MAC_BYTES, digest);
  CHECK(memcmp(first + sealed - LARS_SEAL_MAC_BYTES, digest, LARS_SEAL_MAC_BYTES) == 0);
  CHECK(!lars_seal_is_answer(&secret, &sealer, first, sealed));
  /* An answer bears the stamp of its question. */
  lars_hmac(&secret, "lars answer", first, sealed - LARS_SEAL_MAC_BYTES, digest);
  memcpy(first + sealed - LARS_SEAL_MAC_BYTES, digest, LARS_SEAL_MAC_BYTES);
  CHECK(lars_seal_is_answer(&secret, &sealer, first, sealed));
  CHECK(!lars_seal_is_answer(&other, &sealer, first, sealed));
  for (size_t cut = 0; cut < sealed; cut++) CHECK(!lars_seal_is_answer(&secret, &sealer, first, cut));
  for (size_t at = 0; at < sealed; at++) {
    first[at] ^= 1;
    CHECK(!lars_seal_is_answer(&secret, &sealer, first, sealed));
    first[at] ^= 1;
  }
  sealer.sender[0]++;
  CHECK(!lars_seal_is_answer(&secret, &sealer, first, sealed));
}

int main(void) {
  test_sha256();
  test_hmac();
  test_vectors();
  test_seals();
  return checks_done("seal_test");
}
