// Core. Results and addresses as text, and an explanation put together from its pages.

#include "caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Longest explanation that is put together; a module has 20,000 nodes at most. */
static const size_t EXPLANATION_BYTES_MAX = 64u << 20;

int lars_retcode(lars_result result) {
  return result >= LARS_OK && result <= LARS_NO_ROUTE ? (int)result : (int)LARS_AGENT_ERROR;
}

const char *lars_result_text(lars_result result) {
  switch (result) {
    case LARS_OK: return "it went well";
    case LARS_OVERLOAD: return "every node of the module is overloaded";
    case LARS_AGENT_ERROR: return "the agent could not do its work";
    case LARS_NO_ROUTE: return "the agent knows no node of the module";
    case LARS_TIMEOUT: return "no answer in time: is the agent running?";
    case LARS_NO_AGENT: return "no agent listens at its address: is it running?";
    case LARS_CONNECT_FAILED: return "the socket towards the agent failed, or its name is not known";
    case LARS_LIMIT: return "too many questions are under way";
    case LARS_CLOSED: return "the caller is closed";
    case LARS_OUT_OF_RANGE: return "an argument is out of range";
    case LARS_NO_MEMORY: return "there is no memory";
    case LARS_CALL_FAILED: return "the call failed";
  }
  return "an unknown result";
}

void lars_format_ip(uint32_t ip, char text[16]) {
  snprintf(text, 16, "%u.%u.%u.%u", ip >> 24 & 255, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

bool lars_parse_ip(const char *text, uint32_t *ip) {
  uint32_t value = 0;
  for (int part = 0; part < 4; part++) {
    uint32_t number = 0;
    int digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++) {
      number = number * 10 + (uint32_t)(*text - '0');
    }
    bool has_zero_first = digits > 1 && text[-digits] == '0';
    if (digits == 0 || number > 255 || has_zero_first) return false;
    if (part < 3 && *text++ != '.') return false;
    value = value << 8 | number;
  }
  if (*text != 0) return false;
  *ip = value;
  return true;
}

/** What is looked for in the JSON of a page: its list of nodes, and their number. */
typedef struct lars_page {
  bool has_state, has_count, has_nodes;
  /** Where the list's brackets are. */
  size_t nodes_begin, nodes_end;
  uint32_t nodes_here, node_count;
} lars_page;

/** The end of a text that begins at a quote: behind its last one. */
static size_t text_end(const char *json, size_t length, size_t at) {
  for (at++; at < length && json[at] != '"'; at++) {
    if (json[at] == '\\') at++;
  }
  return at + 1;
}

static bool is_name(const char *json, size_t begin, size_t end, const char *name) {
  size_t length = strlen(name);
  return end - begin == length + 2 && memcmp(json + begin + 1, name, length) == 0;
}

/** Counts the elements of a list, and finds its end. */
static bool read_list(const char *json, size_t length, size_t begin, lars_page *page) {
  int depth = 0;
  bool is_empty = true;
  page->nodes_begin = begin;
  page->nodes_here = 0;
  for (size_t at = begin; at < length; at++) {
    char c = json[at];
    if (at > begin && depth == 1 && c != ']' && c != ',' && c != ' ') is_empty = false;
    if (c == '"') at = text_end(json, length, at) - 1;
    else if (c == '[' || c == '{') depth++;
    else if (c == ']' || c == '}') depth--;
    else if (c == ',' && depth == 1) page->nodes_here++;
    if (depth == 0) {
      page->nodes_end = at;
      if (!is_empty) page->nodes_here++;
      return true;
    }
  }
  return false;
}

/** Finds state, module.nodes and module.nodeCount by depth; false when the JSON has an odd end. */
static bool read_page(const char *json, size_t length, lars_page *page) {
  int depth = 0;
  size_t last_begin = 0, last_end = 0;
  memset(page, 0, sizeof *page);
  for (size_t at = 0; at < length; at++) {
    char c = json[at];
    if (c == '"') {
      last_begin = at;
      last_end = text_end(json, length, at);
      at = last_end - 1;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
    } else if (c == ':' && last_end == at) {
      const char *value = json + at + 1;
      if (depth == 1 && is_name(json, last_begin, last_end, "state")) page->has_state = true;
      if (depth == 2 && is_name(json, last_begin, last_end, "nodeCount")) {
        page->has_count = true;
        page->node_count = (uint32_t)strtoul(value, NULL, 10);
      }
      if (depth == 2 && *value == '[' && is_name(json, last_begin, last_end, "nodes")) {
        if (!read_list(json, length, at + 1, page)) return false;
        page->has_nodes = true;
        at = page->nodes_end;
      }
    }
  }
  return depth == 0 && page->has_state && page->has_nodes == page->has_count;
}

/** Puts bytes into text at a place; false without memory. */
static bool insert(char **text, size_t at, const char *bytes, size_t count) {
  size_t length = strlen(*text);
  if (length + count > EXPLANATION_BYTES_MAX) return false;
  char *longer = (char *)realloc(*text, length + count + 1);
  if (longer == NULL) return false;
  memmove(longer + at + count, longer + at, length - at + 1);
  memcpy(longer + at, bytes, count);
  *text = longer;
  return true;
}

bool lars_join_pages(char **json, const uint8_t *page, size_t page_bytes, uint32_t *nodes_here,
                     uint32_t *node_count) {
  char *copy = (char *)malloc(page_bytes + 1);
  if (copy == NULL) return false;
  memcpy(copy, page, page_bytes);
  copy[page_bytes] = 0;
  lars_page next, joined;
  bool works = strlen(copy) == page_bytes && read_page(copy, page_bytes, &next);
  if (works) {
    *nodes_here = next.nodes_here;
    *node_count = next.node_count;
  }
  if (works && *json == NULL) {
    *json = copy;
    return true;
  }
  works = works && read_page(*json, strlen(*json), &joined) && joined.has_nodes;
  if (works && next.nodes_here > 0) {
    size_t count = next.nodes_end - next.nodes_begin - 1;
    works = insert(json, joined.nodes_end, copy + next.nodes_begin + 1, count) &&
            (joined.nodes_here == 0 || insert(json, joined.nodes_end, ",", 1));
  }
  free(copy);
  return works;
}
