// Core. What the counters of the agent are called as metrics.

import {
  counter,
  gauge,
  type MetricSpec,
  type MetricTable,
} from "../../daemon/monitor/service_metrics.ts";

function refused(reason: string): MetricSpec {
  return counter("lars_agent_picks_refused_total", "Questions answered without a node.", {
    labels: { reason },
  });
}

function change(to: string): MetricSpec {
  return counter("lars_agent_node_changes_total", "Changes of a node's state.", {
    labels: { to },
  });
}

function dropped(reason: string): MetricSpec {
  return counter("lars_agent_datagrams_dropped_total", "Datagrams that were not served.", {
    labels: { reason },
  });
}

const balancer: MetricTable = {
  modules: gauge("lars_agent_modules", "Modules that callers asked for."),
  modulesReady: gauge("lars_agent_modules_ready", "Modules with a route."),
  hosts: gauge("lars_agent_nodes", "Nodes of all modules."),
  hostsOverload: gauge("lars_agent_nodes_overload", "Nodes that are overloaded."),
  activeHosts: gauge("lars_agent_nodes_timed", "Nodes with a window or time-out running."),
  pullsPending: gauge("lars_agent_pulls_pending", "Modules whose route is asked for."),
  pullsSent: counter("lars_agent_pulls_total", "Questions for a route."),
  picks: counter("lars_agent_picks_total", "Nodes given to callers, probes among them."),
  probes: counter("lars_agent_probes_total", "Overloaded nodes given to callers as probes."),
  refusedOverload: refused("overload"),
  refusedNoExist: refused("no_node"),
  reports: counter("lars_agent_reports_total", "Outcomes of calls that callers told."),
  reportsIgnored: counter(
    "lars_agent_reports_ignored_total",
    "Outcomes of calls to nodes that are not in the route.",
  ),
  changesToOverload: change("overload"),
  changesToIdle: change("idle"),
  modulesEvicted: counter("lars_agent_modules_evicted_total", "Modules forgotten for room."),
  nodesCut: counter("lars_agent_nodes_cut_total", "Nodes beyond the limit of a module."),
};

const network: MetricTable = {
  datagramsIn: counter("lars_agent_datagrams_received_total", "Datagrams received."),
  datagramsOut: counter("lars_agent_datagrams_sent_total", "Datagrams sent."),
  answersDropped: counter(
    "lars_agent_answers_dropped_total",
    "Answers that the system would not send.",
  ),
  datagramsDropped: counter(
    "lars_agent_datagrams_unreceived_total",
    "Datagrams that the system dropped because the socket was full; only on the fast path.",
  ),
  malformed: dropped("malformed"),
  unknownIds: dropped("unknown_id"),
  refusedToken: dropped("no_token"),
  answersCut: counter("lars_agent_answers_cut_total", "Routes cut to fit the answer to a caller."),
  loopMessagesDropped: counter(
    "lars_agent_loop_messages_dropped_total",
    "Messages between threads that found no room; they are said again.",
  ),
  loopRestarts: counter("lars_agent_loop_restarts_total", "Event loops started anew."),
};

const links: MetricTable = {
  dnsConnected: gauge("lars_agent_dns_connected", "1 while connected to a dns, else 0."),
  dnsExtended: gauge("lars_agent_dns_extended", "1 while that dns knows the extensions, else 0."),
  dnsConnects: counter("lars_agent_dns_connects_total", "Connections made to a dns."),
  dnsRequests: counter("lars_agent_dns_requests_total", "Questions sent to dns."),
  dnsRequestsOpen: gauge("lars_agent_dns_requests_open", "Questions without an answer yet."),
  dnsRequestsDropped: counter(
    "lars_agent_dns_requests_dropped_total",
    "Questions not sent for want of a connection.",
  ),
  dnsRoutes: counter("lars_agent_dns_routes_total", "Routes received."),
  dnsRouteAgeS: gauge(
    "lars_agent_dns_route_age_seconds",
    "Time since dns was last heard of; absent before the first time.",
    { min: 0 },
  ),
  dnsRank: gauge("lars_agent_dns_rank", "0 when the dns in use is the one that suits best."),
  dnsReturns: counter("lars_agent_dns_returns_total", "Changes to a better dns that was back."),
  dnsBehindS: gauge(
    "lars_agent_dns_behind_seconds",
    "For how long the dns in use has not read the database; absent while it does.",
    { min: 0 },
  ),
  dnsLeftBehind: counter(
    "lars_agent_dns_left_behind_total",
    "Changes to a dns that reads the database from one that did not.",
  ),
  reporterRank: gauge(
    "lars_agent_reporter_rank",
    "0 when the reporter in use is the one that suits best.",
  ),
  dnsRoutesUnchanged: counter(
    "lars_agent_routes_unchanged_total",
    "Answers of dns that the route which the agent has still holds.",
  ),
  dnsRoutesOlder: counter(
    "lars_agent_routes_older_total",
    "Routes of a dns that lags or whose database was set back: older than those served, not taken.",
  ),
  dnsPartsDropped: counter(
    "lars_agent_dns_route_parts_dropped_total",
    "Pieces of routes that did not fit together.",
  ),
  dnsSilentFailOvers: counter(
    "lars_agent_dns_silent_failovers_total",
    "Times that a silent dns was left for the next.",
  ),
  reporterConnected: gauge("lars_agent_reporter_connected", "1 while connected, else 0."),
  reporterConnects: counter("lars_agent_reporter_connects_total", "Connections made."),
  reportsSent: counter("lars_agent_reports_sent_total", "Reports sent to the reporter."),
  resultsSent: counter("lars_agent_results_sent_total", "Results of nodes sent."),
  resultsResent: counter("lars_agent_results_resent_total", "Results sent once more."),
  resultsPending: gauge("lars_agent_results_pending", "Results that wait for the reporter."),
  resultsUnconfirmed: gauge(
    "lars_agent_results_unconfirmed",
    "Results that are sent or about to be, and not known to be in SQL.",
  ),
  resultsDropped: counter("lars_agent_results_dropped_total", "Results that found no room."),
  cacheWrites: counter("lars_agent_cache_writes_total", "Route caches written to disk."),
  cacheFailures: counter("lars_agent_cache_failures_total", "Route caches not written."),
  routeNodesCut: counter("lars_agent_route_nodes_cut_total", "Nodes of routes beyond the limit."),
};

const feed: MetricTable = {
  feedClients: gauge("lars_agent_feed_clients", "In-process clients connected."),
  feedModules: gauge("lars_agent_feed_modules", "Modules that in-process clients use."),
  feedPushes: counter("lars_agent_feed_pushes_total", "Routes pushed to in-process clients."),
  feedRefused: counter("lars_agent_feed_refused_total", "Clients or subscriptions refused."),
  feedBatches: counter("lars_agent_feed_batches_total", "Batches of calls counted."),
  feedBatchesRepeated: counter(
    "lars_agent_feed_batches_repeated_total",
    "Batches of calls that came again and were not counted again.",
  ),
  feedCalls: counter("lars_agent_feed_calls_total", "Calls in those batches."),
  feedProtocolErrors: counter(
    "lars_agent_feed_protocol_errors_total",
    "Connections closed for what a client sent.",
  ),
};

const table: MetricTable = {
  reportBatches: counter("lars_agent_report_batches_total", "Batches of outcomes of calls."),
  reportsLost: counter(
    "lars_agent_reports_lost_total",
    "Outcomes that callers sent in batches, and that never came.",
  ),
  reportsRepeated: counter(
    "lars_agent_reports_repeated_total",
    "Outcomes that came again in batches and were not counted again.",
  ),
  tableReaders: gauge(
    "lars_agent_table_readers",
    "Programs that told of calls by the table in shared memory in the last minute.",
  ),
  tableModules: gauge("lars_agent_table_modules", "Modules that callers pick from shared memory."),
  tableModulesLeftOut: gauge(
    "lars_agent_table_modules_left_out",
    "Modules for which shared memory has no room: callers ask by UDP.",
  ),
  tableBytes: gauge("lars_agent_table_bytes", "Size of the table in shared memory."),
  tableGrown: counter("lars_agent_table_grown_total", "Times it was replaced by a larger one."),
};

const guards: MetricTable = {
  policiesRefused: counter("lars_agent_policies_refused_total", "Policies with a fault, not used."),
  pushesHeld: counter("lars_agent_pushes_held_total", "Routes held back: too much was missing."),
  modulesHeld: gauge("lars_agent_modules_held", "Modules served by their last good route."),
  heldTakenByTime: counter(
    "lars_agent_held_routes_taken_total",
    "Routes taken after all because nobody contradicted them.",
  ),
  healthTargets: gauge("lars_agent_health_targets", "Nodes whose health is checked."),
  healthTargetsDropped: counter(
    "lars_agent_health_targets_dropped_total",
    "Nodes not checked for want of room.",
  ),
  healthRunning: gauge("lars_agent_health_checks_running", "Checks under way."),
  healthChecks: counter("lars_agent_health_checks_total", "Checks done."),
  healthChecksBad: counter("lars_agent_health_checks_failed_total", "Checks that failed."),
  healthVerdicts: counter("lars_agent_health_verdicts_total", "Changes of a node's health."),
};

/** Metrics of the agent by counter; those of parts that are off are absent. */
export const agentMetrics: MetricTable = {
  ...balancer,
  ...network,
  ...links,
  ...feed,
  ...table,
  ...guards,
};
