// Core. What the tests of the C client share: CHECK, and random numbers that are the same each time.
#ifndef LARS_TESTS_CHECK_H
#define LARS_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int checks_made;

/** Ends the program with the place and the condition when it does not hold. */
#define CHECK(condition)                                                          \
  do {                                                                            \
    checks_made++;                                                                \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

/** Says how many checks were made, so that a test without any is seen. */
static inline int checks_done(const char *name) {
  printf("%s: %d checks\n", name, checks_made);
  return checks_made > 0 ? 0 : 1;
}

/** The next of a row of numbers that only its start decides. */
static inline uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

#endif
