// What a caller remembers: places of modules, last good nodes, budgets, explanations, addresses.

#include "memory.h"

#include <string.h>

#include "caller.h"
#include "check.h"

static lars_places places;

static void test_places(void) {
  bool is_new;
  for (uint32_t at = 0; at < 5000; at++) {
    lars_places_take(&places, at, at * 7, &is_new);
    CHECK(is_new);
    /* The first one is used again and again, and so is never the oldest. */
    lars_places_take(&places, 0, 0, &is_new);
    CHECK(!is_new);
  }
  CHECK(lars_places_find(&places, 0, 0) >= 0);
  CHECK(lars_places_find(&places, 1, 7) < 0);
  uint32_t known = 0;
  for (uint32_t at = 0; at < 5000; at++) known += lars_places_find(&places, at, at * 7) >= 0;
  CHECK(known == LARS_MODULES_MAX);
  for (uint32_t at = 0; at < 5000; at++) {
    int place = lars_places_find(&places, at, at * 7);
    if (place >= 0) lars_places_drop(&places, place);
  }
  CHECK(places.youngest == 0 && places.oldest == 0);
  for (uint32_t at = 0; at < LARS_MODULES_MAX; at++) lars_places_take(&places, at, 1, &is_new);
  CHECK(places.used == LARS_MODULES_MAX);
}

static lars_last_good good;

static lars_host node(uint32_t ip) {
  lars_host host;
  memset(&host, 0, sizeof host);
  host.ip = ip;
  host.port = 80;
  return host;
}

static uint32_t next_ip(bool rested, int64_t now_ms) {
  lars_host host;
  bool found = lars_last_good_next(&good, 1, 1, 60000, rested, now_ms, &host);
  return found ? host.ip : 0;
}

static void test_last_good(void) {
  for (uint32_t ip = 1; ip <= 10; ip++) {
    lars_host host = node(ip);
    lars_last_good_remember(&good, 1, 1, &host, 0);
  }
  /* The first two had to go for the last two. */
  for (uint32_t ip = 3; ip <= 10; ip++) CHECK(next_ip(true, 0) == ip);
  CHECK(next_ip(true, 0) == 3);
  lars_last_good_judge(&good, 1, 1, 4, 80, false, 0);
  CHECK(lars_last_good_rests(&good, 1, 1, 4, 80, 999));
  CHECK(next_ip(true, 0) == 5);
  /* It rests for a second, then for two. */
  CHECK(next_ip(true, 1000) == 4);
  lars_last_good_judge(&good, 1, 1, 4, 80, false, 1000);
  CHECK(lars_last_good_rests(&good, 1, 1, 4, 80, 2999));
  CHECK(!lars_last_good_rests(&good, 1, 1, 4, 80, 3000));
  for (int failures = 0; failures < 100; failures++) {
    lars_last_good_judge(&good, 1, 1, 4, 80, false, 5000);
  }
  CHECK(lars_last_good_rests(&good, 1, 1, 4, 80, 34999));
  CHECK(!lars_last_good_rests(&good, 1, 1, 4, 80, 35000));
  for (uint32_t ip = 3; ip <= 10; ip++) lars_last_good_judge(&good, 1, 1, ip, 80, false, 0);
  CHECK(next_ip(true, 0) == 0 && next_ip(false, 0) != 0);
  CHECK(next_ip(false, 60001) == 0);
  /* A table that is left fills up what is there, and displaces nothing. */
  lars_host host = node(100), first = node(1);
  lars_last_good_remember(&good, 2, 1, &host, 0);
  for (uint32_t ip = 1; ip <= 7; ip++) {
    host = node(ip);
    CHECK(lars_last_good_fill(&good, 2, 1, &host, 0));
    CHECK(ip == 7 || lars_last_good_fill(&good, 2, 1, &first, 0));
  }
  host = node(8);
  CHECK(!lars_last_good_fill(&good, 2, 1, &host, 0));
  CHECK(lars_last_good_next(&good, 2, 1, -1, false, 0, &host) && host.ip == 100);
}

static lars_budgets budgets;

static void test_budget(void) {
  lars_budget *budget = lars_budgets_of(&budgets, 1, 1);
  CHECK(!lars_budget_take(budget, 0, 1000));
  for (int calls = 0; calls < 5; calls++) lars_budget_add(budget, 0.2, 1000);
  CHECK(lars_budget_take(budget, 0, 5000));
  CHECK(!lars_budget_take(budget, 0, 5000));
  lars_budget_add(budget, 1, 5000);
  CHECK(lars_budget_take(budget, 0, 5000));
  CHECK(lars_budget_take(budget, 0.1, 60000));
  CHECK(!lars_budget_take(budget, 0.1, 60000));
  /* Calls of eleven seconds ago allow nothing. */
  for (int calls = 0; calls < 50; calls++) lars_budget_add(budget, 0.2, 100000);
  CHECK(!lars_budget_take(budget, 0, 111000));
  CHECK(lars_budgets_of(&budgets, 1, 1) == budget);
}

static int joins(char **json, const char *page, uint32_t *here, uint32_t *all) {
  return lars_join_pages(json, (const uint8_t *)page, strlen(page), here, all);
}

static void test_explanations(void) {
  char *json = NULL;
  uint32_t here = 0, all = 0;
  CHECK(joins(&json,
              "{\"state\":\"ready\",\"module\":{\"a\":\"],\\\"nodes\\\":[\",\"nodes\":[{\"x\":[1,2]},{}],"
              "\"nodeCount\":4}}",
              &here, &all));
  CHECK(here == 2 && all == 4);
  CHECK(joins(&json, "{\"state\":\"ready\",\"module\":{\"nodes\":[{\"y\":1}],\"nodeCount\":4}}",
              &here, &all));
  CHECK(here == 1);
  CHECK(joins(&json, "{\"state\":\"ready\",\"module\":{\"nodes\":[],\"nodeCount\":4}}", &here, &all));
  CHECK(here == 0);
  CHECK(strcmp(json, "{\"state\":\"ready\",\"module\":{\"a\":\"],\\\"nodes\\\":[\",\"nodes\":["
                     "{\"x\":[1,2]},{},{\"y\":1}],\"nodeCount\":4}}") == 0);
  free(json);
  json = NULL;
  CHECK(joins(&json, "{\"state\":\"pulling\",\"ageMs\":4}", &here, &all));
  CHECK(here == 0 && all == 0);
  free(json);
  static const char *const none[] = {"", "[", "{}", "{\"state\":1", "{\"state\":\"ready\",\"module\":{\"nodes\":[",
                                     "{\"state\":\"x\",\"module\":{\"nodes\":[]}}", "{\"state\":\"\\"};
  for (size_t at = 0; at < sizeof none / sizeof none[0]; at++) {
    json = NULL;
    CHECK(!joins(&json, none[at], &here, &all));
  }
}

static void test_addresses(void) {
  uint32_t ip;
  char text[16];
  CHECK(lars_parse_ip("192.168.1.177", &ip) && ip == 3232235953u);
  lars_format_ip(UINT32_MAX, text);
  CHECK(strcmp(text, "255.255.255.255") == 0);
  static const char *const none[] = {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.4 ",
                                     " 1.2.3.4", "1..3.4", "01.2.3.4", "1.2.3.0004", "localhost"};
  for (size_t at = 0; at < sizeof none / sizeof none[0]; at++) CHECK(!lars_parse_ip(none[at], &ip));
  CHECK(lars_port_index(1, 1) == 2 && lars_port_index(UINT32_MAX, 0) == 2);
  CHECK(lars_retcode(LARS_NO_ROUTE) == 3 && lars_retcode(LARS_TIMEOUT) == 2);
}

int main(void) {
  test_places();
  test_last_good();
  test_budget();
  test_explanations();
  test_addresses();
  return checks_done("memory_test");
}
