// Core. What the counters of the console are called as metrics.

import { counter, gauge, type MetricTable } from "../daemon/monitor/service_metrics.ts";

function login(outcome: string): MetricTable[string] {
  return counter("lars_web_logins_total", "Logins with a password or a link, by how they ended.", {
    labels: { outcome },
  });
}

function attempt(outcome: string): MetricTable[string] {
  return counter("lars_web_webhook_attempts_total", "Messages posted to webhooks, by outcome.", {
    labels: { outcome },
  });
}

function ended(reason: string): MetricTable[string] {
  return counter(
    "lars_web_connections_ended_total",
    "Connections ended by the console, by reason.",
    {
      labels: { reason },
    },
  );
}

function firing(severity: string): MetricTable[string] {
  return gauge("lars_web_alerts_firing", "Alerts that fire and are not silenced.", {
    labels: { severity },
  });
}

function order(outcome: string): MetricTable[string] {
  return counter("lars_web_scaling_orders_total", "Orders to a driver of scaling, by outcome.", {
    labels: { outcome },
  });
}

/** Metrics of the console by counter. */
export const webMetrics: MetricTable = {
  // Told apart by route and status in `RequestCounts`.
  requests: null,
  request_faults: null,
  connections: gauge("lars_web_connections", "Open connections to the console."),
  connections_refused: ended("refused"),
  connections_evicted: ended("made_room"),
  connections_timed_out: ended("too_slow"),
  clock_ahead_seconds: gauge(
    "lars_web_clock_ahead_seconds",
    "How far the clock of this host is ahead of the database's.",
    { min: -Infinity },
  ),
  database_up: gauge("lars_web_store_up", "1 while the database answers, else 0."),
  modules: gauge("lars_web_modules", "Modules in the database."),
  nodes: gauge("lars_web_nodes", "Nodes in the database."),
  live_clients: gauge("lars_web_live_streams", "Streams of live updates that are open."),
  live_bytes: counter("lars_web_live_sent_bytes_total", "Bytes of live updates sent."),
  logins_done: login("done"),
  logins_refused: login("refused"),
  logins_braked: login("too_many"),
  alerts_firing: null,
  alerts_firing_critical: firing("critical"),
  alerts_firing_warning: firing("warning"),
  alerts_silenced: gauge("lars_web_alerts_silenced", "Alerts that fire and are silenced."),
  alerts_refused: counter("lars_web_alerts_refused_total", "Alerts that found no room."),
  webhook_attempts_done: attempt("done"),
  webhook_attempts_failed: attempt("failed"),
  webhook_waiting: gauge(
    "lars_web_webhook_messages_waiting",
    "Beginnings and ends of alerts that a webhook has not confirmed.",
  ),
  scaling_rules: gauge("lars_web_scaling_rules", "Modules that have a rule of scaling."),
  scaling_steps: counter(
    "lars_web_scaling_steps_total",
    "Changes of how many nodes a module shall have.",
  ),
  scaling_orders_done: order("done"),
  scaling_orders_failed: order("failed"),
};
