// Shell. Reads a shared table all the time, in several threads, and says whether an entry ever was torn.
//
//   table_check PATH MODULES THREADS MS
//
// Its writer gives node n of module m the address 10.m.m.n (m in 16 bits) and the port
// 10000 + (m * 31 + n * 7) % 50000, so that an entry that is made of two, or of another module, shows.
// Prints one line of JSON.
#include "shared_table.h"

#include <pthread.h>
#include <stdio.h>

static const char *path;
static uint32_t modules;
static uint64_t end_ms;
static uint64_t seed;

struct counts {
  uint64_t picks, torn, asked, refused, probes, maps, stale;
  uint32_t number;
};

static int is_whole(uint32_t module, uint64_t entry) {
  uint32_t ip = (uint32_t)entry, port = (uint32_t)(entry >> 32) & 0xffff;
  uint32_t node = ip & 0xff;
  return ip >> 24 == 10 && (ip >> 8 & 0xffff) == module &&
         port == 10000 + (module * 31 + node * 7) % 50000;
}

static void look(struct counts *n, uint32_t module, uint64_t entry) {
  uint32_t tag = (uint32_t)(entry >> 48);
  if (entry == 0) n->asked++;
  else if (tag & ENTRY_REFUSED) n->refused += (uint32_t)entry == 0;
  else if (!is_whole(module, entry)) n->torn++;
  else n->probes += (tag & ENTRY_PROBE) != 0;
  n->picks++;
}

/* Picks from one mapping while it can be used. */
static void read_one(struct counts *n, struct table *t) {
  struct table_cursors c;
  if (cursors_make(&c, t, seed + n->number * 7919 + n->maps) != 0) exit(2);
  n->maps++;
  uint32_t module = n->number;
  while (table_usable(t, monotonic_ms(CLOCK_MONOTONIC)) && monotonic_ms(CLOCK_MONOTONIC) < end_ms) {
    for (int i = 0; i < 20000; i++) {
      module = module % modules + 1;
      int64_t slot = table_slot(t, module, 1);
      look(n, module, slot < 0 ? 0 : table_pick(t, &c, (uint32_t)slot));
    }
  }
  free(c.next);
}

static void *run(void *argument) {
  struct counts *n = argument;
  while (monotonic_ms(CLOCK_MONOTONIC) < end_ms) {
    struct table t;
    if (table_open(&t, path) != 0 || !table_usable(&t, monotonic_ms(CLOCK_MONOTONIC))) {
      if (n->maps > 0) n->stale++;
      usleep(1000);
      continue;
    }
    read_one(n, &t);
    table_close(&t);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: table_check PATH MODULES THREADS MS\n");
    return 2;
  }
  path = argv[1];
  modules = (uint32_t)strtoul(argv[2], NULL, 10);
  int threads = atoi(argv[3]);
  if (modules < 1 || threads < 1 || threads > 64) return 2;
  seed = monotonic_ms(CLOCK_MONOTONIC) * 2654435761u + (uint64_t)getpid();
  end_ms = monotonic_ms(CLOCK_MONOTONIC) + strtoul(argv[4], NULL, 10);
  struct counts all[64] = {{0}};
  pthread_t ids[64];
  for (int i = 0; i < threads; i++) {
    all[i].number = (uint32_t)i;
    if (pthread_create(&ids[i], NULL, run, &all[i]) != 0) return 2;
  }
  struct counts n = {0};
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    n.picks += all[i].picks;
    n.torn += all[i].torn;
    n.asked += all[i].asked;
    n.refused += all[i].refused;
    n.probes += all[i].probes;
    n.maps += all[i].maps;
    n.stale += all[i].stale;
  }
  printf("{\"picks\":%llu,\"torn\":%llu,\"asked\":%llu,\"refused\":%llu,\"probes\":%llu,"
         "\"maps\":%llu,\"stale\":%llu}\n",
         (unsigned long long)n.picks, (unsigned long long)n.torn, (unsigned long long)n.asked,
         (unsigned long long)n.refused, (unsigned long long)n.probes, (unsigned long long)n.maps,
         (unsigned long long)n.stale);
  return 0;
}
