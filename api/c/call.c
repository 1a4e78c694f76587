// Shell. A call from the pick to its outcome, with further tries at other nodes.

#include "caller.h"

#include <string.h>

enum {
  /** Picks made to find a node that was not tried yet; with fewer nodes a known one comes back. */
  PICKS_MAX = 8
};

void lars_call_options_init(lars_call_options *options) {
  memset(options, 0, sizeof *options);
  lars_pick_init(&options->pick);
  options->timeout_ms = LARS_DEFAULT;
}

/** A call while it runs. */
typedef struct lars_running {
  lars_caller *caller;
  uint32_t modid, cmdid;
  const lars_call_options *options;
  /** INT64_MAX: no limit. */
  int64_t end_ms;
  lars_host tried[LARS_RETRIES_MAX + 1];
  int tried_count;
} lars_running;

static bool is_same_node(const lars_host *one, const lars_host *other) {
  return one->ip == other->ip && one->port == other->port;
}

/** A pick that does not outlast the call. */
static lars_result pick_in_time(const lars_running *running, const lars_pick *wanted,
                                lars_host *host) {
  lars_pick pick = *wanted;
  if (running->end_ms != INT64_MAX) {
    int64_t left_ms = running->end_ms - lars_now_ms();
    if (left_ms < 1) left_ms = 1;
    int deadline_ms, first_route_ms;
    if (!lars_check_pick(running->caller, &pick, &deadline_ms, &first_route_ms)) {
      return LARS_OUT_OF_RANGE;
    }
    if (left_ms < deadline_ms) pick.deadline_ms = (int)left_ms;
    if (left_ms < first_route_ms) pick.first_route_ms = (int)left_ms;
  }
  return lars_get_host(running->caller, running->modid, running->cmdid, &pick, host);
}

/** A node that was not tried yet, else one that was not the last; false when there is none. */
static bool pick_another(const lars_running *running, lars_host *host) {
  lars_pick pick;
  lars_pick_init(&pick);
  /* The key names one node: whoever looks for another one does so without it. */
  pick.deadline_ms = running->options->pick.deadline_ms;
  pick.first_route_ms = 0;
  bool has_known = false;
  for (int picks = 0; picks < PICKS_MAX; picks++) {
    lars_host found;
    if (pick_in_time(running, &pick, &found) != LARS_OK) return has_known;
    bool is_tried = false;
    for (int at = 0; at < running->tried_count; at++) {
      if (is_same_node(&running->tried[at], &found)) is_tried = true;
    }
    if (is_tried && is_same_node(&running->tried[running->tried_count - 1], &found)) continue;
    *host = found;
    if (!is_tried) return true;
    has_known = true;
  }
  return has_known;
}

/** Runs the function once and reports; true when the time of the call was over by then. */
static bool run_once(lars_running *running, lars_call_function function, void *context,
                     lars_outcome *outcome) {
  lars_attempt attempt;
  int64_t start_ms = lars_now_ms();
  attempt.number = outcome->tries++;
  attempt.left_ms = running->end_ms == INT64_MAX ? -1 : running->end_ms - start_ms;
  if (attempt.left_ms < 0 && running->end_ms != INT64_MAX) attempt.left_ms = 0;
  outcome->code = function(&outcome->host, &attempt, context);
  int64_t now_ms = lars_now_ms();
  bool is_late = now_ms >= running->end_ms;
  if (is_late) outcome->code = LARS_CODE_TIMED_OUT;
  lars_report(running->caller, running->modid, running->cmdid, &outcome->host, outcome->code,
              now_ms - start_ms);
  return is_late;
}

/** Adds to the budget of the module, or takes one retry out of it; false when it is spent. */
static bool use_budget(const lars_running *running, double retries) {
  lars_caller *caller = running->caller;
  pthread_mutex_lock(&caller->memory_lock);
  lars_budget *budget = lars_budgets_of(&caller->budgets, running->modid, running->cmdid);
  bool has_some = true;
  if (retries < 0) {
    has_some = lars_budget_take(budget, caller->retry_floor_per_second, lars_now_ms());
  } else {
    lars_budget_add(budget, retries, lars_now_ms());
  }
  pthread_mutex_unlock(&caller->memory_lock);
  return has_some;
}

/** Finds the node for the next try; false when there is to be none. */
static bool may_retry(lars_running *running, void *context, lars_outcome *outcome) {
  const lars_call_options *options = running->options;
  running->tried[running->tried_count++] = outcome->host;
  if (outcome->tries > options->retries) return false;
  if (options->is_retryable != NULL &&
      !options->is_retryable(outcome->code, &outcome->host, context)) {
    return false;
  }
  /* The budget first: when it is spent, looking for another node would be load for nothing. */
  if (!use_budget(running, -1)) {
    lars_count(&running->caller->stats.retries_refused, 1);
    return false;
  }
  if (!pick_another(running, &outcome->host)) {
    use_budget(running, 1);
    return false;
  }
  lars_count(&running->caller->stats.retried, 1);
  return true;
}

lars_result lars_call(lars_caller *caller, uint32_t modid, uint32_t cmdid,
                      const lars_call_options *options, lars_call_function function,
                      void *context, lars_outcome *outcome) {
  lars_call_options defaults;
  lars_outcome own;
  if (caller == NULL) return LARS_CLOSED;
  if (options == NULL) {
    lars_call_options_init(&defaults);
    options = &defaults;
  }
  if (outcome == NULL) outcome = &own;
  memset(outcome, 0, sizeof *outcome);
  bool has_end = options->timeout_ms != LARS_DEFAULT;
  bool is_end = options->timeout_ms > 0 && options->timeout_ms <= LARS_CALL_MS_MAX;
  if (options->retries < 0 || options->retries > LARS_RETRIES_MAX || (has_end && !is_end)) {
    return LARS_OUT_OF_RANGE;
  }
  lars_running running;
  memset(&running, 0, sizeof running);
  running.caller = caller;
  running.modid = modid;
  running.cmdid = cmdid;
  running.options = options;
  running.end_ms = has_end ? lars_now_ms() + options->timeout_ms : INT64_MAX;
  lars_result result = pick_in_time(&running, &options->pick, &outcome->host);
  if (result != LARS_OK) return result;
  if (options->retries > 0) use_budget(&running, caller->retry_share);
  for (;;) {
    if (run_once(&running, function, context, outcome)) return LARS_TIMEOUT;
    if (outcome->code == 0) return LARS_OK;
    if (!may_retry(&running, context, outcome)) return LARS_CALL_FAILED;
  }
}
