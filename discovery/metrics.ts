// Core. What the counters of discovery are called as metrics.

import {
  counter,
  gauge,
  type MetricTable,
  serverMetrics,
  storeMetrics,
} from "../daemon/monitor/service_metrics.ts";

/** Metrics of discovery by counter. */
export const discoveryMetrics: MetricTable = {
  ...serverMetrics("discovery"),
  ...storeMetrics("discovery"),
  leases: gauge("lars_discovery_leases", "Nodes that are registered, with every discovery."),
  leases_live: gauge("lars_discovery_leases_live", "Of these, nodes that get calls."),
  leases_held_back: gauge(
    "lars_discovery_leases_held_back",
    "Nodes that seem to be lost and stay in their routes, because too many are.",
  ),
  nodes_checked: gauge("lars_discovery_nodes_checked", "Nodes that are checked, as they asked."),
  requests_waiting: gauge("lars_discovery_requests_waiting", "Requests that wait to be written."),
  requests_refused: counter(
    "lars_discovery_requests_refused_total",
    "Requests answered busy: too many waited, or there were too many leases.",
  ),
  lease_writes: counter("lars_discovery_lease_writes_total", "Transactions about leases."),
  lease_write_failures: counter(
    "lars_discovery_lease_write_failures_total",
    "Looks and transactions about leases that failed.",
  ),
  registrations: counter("lars_discovery_registrations_total", "Registrations written."),
  connections_lost_leases: counter(
    "lars_discovery_leases_doubted_total",
    "Nodes that were put in doubt because their connection ended.",
  ),
  leases_ended: counter("lars_discovery_leases_ended_total", "Registrations that ended."),
  stalls: counter("lars_discovery_stalls_total", "Times that this process was held up."),
  stalled_ms: counter(
    "lars_discovery_stalled_seconds_total",
    "How long this process was held up, and no lease ended by it.",
    { scale: 0.001 },
  ),
  seed_servers: gauge("lars_discovery_seed_servers", "Servers known to the seed's protocol."),
};
