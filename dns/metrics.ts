// Core. What the counters of dns are called as metrics.

import {
  counter,
  gauge,
  type MetricTable,
  serverMetrics,
  storeMetrics,
} from "../daemon/monitor/service_metrics.ts";

/** Metrics of dns by counter. */
export const dnsMetrics: MetricTable = {
  ...serverMetrics("dns"),
  ...storeMetrics("dns"),
  requests: counter("lars_dns_requests_total", "Questions for a route."),
  answers: counter("lars_dns_answers_total", "Answers to such questions."),
  pushes: counter("lars_dns_pushes_total", "Routes pushed to agents after a change."),
  pushes_held_back: counter(
    "lars_dns_pushes_held_back_total",
    "Pushes that waited for an agent that reads slowly.",
  ),
  requests_dropped: counter(
    "lars_dns_requests_dropped_total",
    "Questions not answered because the peer does not read.",
  ),
  surveys_dropped: counter(
    "lars_dns_surveys_dropped_total",
    "Questions who uses a node that found no room.",
  ),
  explains_dropped: counter(
    "lars_dns_explains_dropped_total",
    "Questions to agents why they pick which node that found no room.",
  ),
  followers: gauge("lars_dns_followers", "Peers that follow the whole system, as exports do."),
  followers_refused: counter(
    "lars_dns_followers_refused_total",
    "Peers refused because too many followed the whole system.",
  ),
  modules_with_nodes_out: gauge(
    "lars_dns_modules_with_nodes_out",
    "Modules of which some linked agent keeps a node out.",
  ),
  nodes_out_ignored: counter(
    "lars_dns_nodes_out_ignored_total",
    "Messages of agents about nodes that are out beyond their limit: not heard.",
  ),
  subscriptions: gauge("lars_dns_subscriptions", "Modules that connections are subscribed to."),
  subscriptions_nodeless: gauge(
    "lars_dns_subscriptions_nodeless",
    "Those of them to modules without nodes.",
  ),
  subscription_bytes: gauge(
    "lars_dns_subscription_bytes",
    "What the subscriptions cost in memory, by estimate.",
  ),
  peers_held: counter(
    "lars_dns_peers_held_total",
    "Times that a peer had to wait because it asked for too many modules without nodes.",
  ),
  subscriptions_ended: counter(
    "lars_dns_subscriptions_ended_total",
    "Subscriptions that gave way to others: told to the agent, which asks again.",
  ),
  subscriptions_refused: counter(
    "lars_dns_subscriptions_refused_total",
    "Subscriptions beyond a limit: answered, not pushed.",
  ),
  agents_linked: gauge("lars_dns_agents_linked", "Agents linked now that tell of themselves."),
  agents_known: gauge("lars_dns_agents_known", "Agents that were linked in the last 7 days."),
  agents_refused: counter(
    "lars_dns_agents_refused_total",
    "Reports of agents that found no room in the list; they are served all the same.",
  ),
  exports_linked: gauge("lars_dns_exports_linked", "Exports linked now that tell of themselves."),
  clients_linked: gauge(
    "lars_dns_clients_linked",
    "Programs linked now that follow routes in their own process, without an agent.",
  ),
  clients_behind: gauge(
    "lars_dns_clients_behind",
    "Of them those that a change has not reached for seconds.",
  ),
  loaded: gauge("lars_dns_routes_loaded", "1 when the routes have been read, else 0."),
  routes_from_disk: gauge(
    "lars_dns_routes_from_disk",
    "1 while the routes are those of the last run, as the database has not been read yet.",
  ),
  routes_behind_ms: gauge(
    "lars_dns_routes_behind_seconds",
    "For how long the database has not been read; 0 while it is.",
    { scale: 0.001 },
  ),
  file_writes: counter("lars_dns_file_writes_total", "Times that the routes were written to disk."),
  file_failures: counter(
    "lars_dns_file_failures_total",
    "Times that the routes could not be written to disk.",
  ),
  revision: gauge("lars_dns_route_revision", "Revision of the newest change that is served."),
  version: gauge("lars_dns_route_version", "RouteVersion last seen in the database."),
  epoch: gauge("lars_dns_epoch", "Epoch of the database, which accept-restored raises; 0: none."),
  answers_unchanged: counter(
    "lars_dns_answers_unchanged_total",
    "Answers that the route which the peer has still holds.",
  ),
  modules: gauge("lars_dns_modules", "Modules with nodes."),
  nodes: gauge("lars_dns_nodes", "Nodes of all modules."),
  modules_wanted: gauge("lars_dns_modules_wanted", "Modules that some connection wants."),
  rows_bad_port: gauge("lars_dns_rows_bad_port", "Rows left out: their port is none."),
  rows_over_limit: gauge("lars_dns_rows_over_limit", "Rows left out: too many in one module."),
  routes_cut: counter("lars_dns_routes_cut_total", "Routes cut for a peer that takes no parts."),
  polls: counter("lars_dns_polls_total", "Looks at the route version."),
  reloads: counter("lars_dns_reloads_total", "Full reads of the routes."),
  reload_ms: gauge("lars_dns_reload_duration_seconds", "Time the last full read took.", {
    scale: 0.001,
  }),
  module_reads: counter("lars_dns_module_reads_total", "Reads of single modules."),
  changed_modules: counter("lars_dns_changed_modules_total", "Modules found changed."),
  nodes_lost: counter("lars_dns_nodes_lost_total", "Nodes that full reads no longer found."),
  shrink_percent_max: gauge(
    "lars_dns_shrink_ratio_max",
    "Largest share of all nodes that one full read no longer found.",
    { scale: 0.01 },
  ),
};
