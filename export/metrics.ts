// Core. What the counters of exports are called as metrics.

import { counter, gauge, type MetricTable } from "../daemon/monitor/service_metrics.ts";

/** Metrics of exports by counter. */
export const exportMetrics: MetricTable = {
  dns_connected: gauge("lars_export_dns_connected", "1 while routes come from a dns, else 0."),
  dns_followed: gauge("lars_export_dns_followed", "Dns that tell of modules and of their agents."),
  dns_connects: counter("lars_export_dns_connects_total", "Connections made to a dns for routes."),
  dns_requests: counter("lars_export_dns_requests_total", "Questions for a route."),
  routes: counter("lars_export_routes_total", "Routes that came, asked for or pushed."),
  modules: gauge("lars_export_modules", "Modules there are."),
  modules_wanted: gauge("lars_export_modules_wanted", "Modules whose routes are followed."),
  names_questions: counter("lars_export_names_questions_total", "Questions to the name server."),
  names_answers_kept: counter(
    "lars_export_names_answers_kept_total",
    "Of them those answered as before, without a look at the modules.",
  ),
  names_refused: counter("lars_export_names_refused_total", "Questions that were none."),
  names_dropped: counter(
    "lars_export_names_dropped_total",
    "Questions without an answer: rubbish, or beyond the share of one address.",
  ),
  names_streams_refused: counter(
    "lars_export_names_streams_refused_total",
    "Connections closed because there were too many.",
  ),
  xds_streams: gauge("lars_export_xds_streams", "Streams of gRPC programs and Envoy."),
  xds_sent: counter("lars_export_xds_sent_total", "Answers sent to them."),
  xds_taken: counter("lars_export_xds_taken_total", "Answers that they took."),
  xds_refused: counter("lars_export_xds_refused_total", "Answers that they refused."),
  xds_names_refused: counter(
    "lars_export_xds_names_refused_total",
    "Names not answered: too many of one stream, or too long.",
  ),
  xds_too_large: counter(
    "lars_export_xds_too_large_total",
    "Modules not sent because they have more nodes than a client takes.",
  ),
  xds_left: counter(
    "lars_export_xds_left_total",
    "Streams that ended without having taken what they were sent last.",
  ),
  xds_reports: counter("lars_export_xds_reports_total", "Reports of clients on their calls."),
  xds_malformed: counter(
    "lars_export_xds_malformed_total",
    "Messages of xDS that could not be read: their stream ends.",
  ),
  xds_streams_refused: counter(
    "lars_export_xds_streams_refused_total",
    "Streams refused because there were too many.",
  ),
  xds_connections_refused: counter(
    "lars_export_xds_connections_refused_total",
    "Connections closed because there were too many.",
  ),
  xds_results_dropped: counter(
    "lars_export_xds_results_dropped_total",
    "Results that the reporter was not told, because it was away for too long.",
  ),
  haproxy_commands: counter("lars_export_haproxy_commands_total", "Commands sent to HAProxy."),
  haproxy_commands_refused: counter(
    "lars_export_haproxy_commands_refused_total",
    "Commands that HAProxy did not take.",
  ),
  haproxy_failures: counter(
    "lars_export_haproxy_failures_total",
    "Rounds in which HAProxy did not answer, or not with its servers.",
  ),
  haproxy_rounds: counter("lars_export_haproxy_rounds_total", "Comparisons with HAProxy."),
  haproxy_agent_checks: counter(
    "lars_export_haproxy_agent_checks_total",
    "Agent checks of HAProxy that were answered.",
  ),
  haproxy_agent_unknown: counter(
    "lars_export_haproxy_agent_unknown_total",
    "Agent checks that asked for nothing that is known.",
  ),
  haproxy_agent_refused: counter(
    "lars_export_haproxy_agent_refused_total",
    "Connections of agent checks closed because there were too many.",
  ),
  nginx_installs: counter("lars_export_nginx_installs_total", "Files of upstreams put in place."),
  nginx_failures: counter(
    "lars_export_nginx_failures_total",
    "Files that nginx refused, or that could not be written or told.",
  ),
  file_installs: counter("lars_export_file_installs_total", "Files of a template put in place."),
  file_failures: counter(
    "lars_export_file_failures_total",
    "Files that their check refused, or that could not be written or told.",
  ),
};
