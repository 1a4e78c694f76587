// Core. The counters of a service as metrics: one table says what each is called.

import type { Metric, MetricType } from "./metrics_text.ts";

/** What a counter of `stats()` is as a metric. */
export interface MetricSpec {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  /** Tells counters of one metric apart. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The value in the unit of the name is the counter times this: 0.001 for milliseconds. */
  readonly scale?: number;
  /** The number that stands for each text. */
  readonly texts?: Readonly<Record<string, number>>;
  /** Values below this mean "never", and are left out. */
  readonly min?: number;
}

/** Metrics by the name of the counter. `null`: none on purpose. */
export type MetricTable = Readonly<Record<string, MetricSpec | null>>;

/** A metric that only grows. */
export function counter(
  name: string,
  help: string,
  more: Pick<MetricSpec, "labels" | "scale"> = {},
): MetricSpec {
  return { name, help, type: "counter", ...more };
}

/** A metric that goes up and down. */
export function gauge(
  name: string,
  help: string,
  more: Pick<MetricSpec, "labels" | "scale" | "texts" | "min"> = {},
): MetricSpec {
  return { name, help, type: "gauge", ...more };
}

function snakeCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replace(/\W+/g, "_").toLowerCase();
}

/**
 * The metrics of a service. A number that the table does not know is shown all the same, as
 * `lars_<service>_<counter>`, so that a new counter is never forgotten; an unknown text is not.
 */
export function metricsOf(
  service: string,
  table: MetricTable,
  stats: Readonly<Record<string, number | string>>,
): Metric[] {
  const metrics: Metric[] = [];
  for (const [stat, raw] of Object.entries(stats)) {
    const spec = Object.hasOwn(table, stat) ? table[stat] : undefined;
    if (spec === null) continue;
    if (spec === undefined) {
      if (typeof raw === "string") continue;
      const name = `lars_${snakeCase(service)}_${snakeCase(stat)}`;
      const help = `Counter ${stat} of ${service}.`;
      metrics.push({ name, help, type: "untyped", samples: [{ value: raw }] });
      continue;
    }
    const { name, help, type, labels, scale = 1, texts, min = -Infinity } = spec;
    const value = typeof raw === "string" ? texts?.[raw] : raw;
    if (value === undefined || value < min) continue;
    // Dividing keeps what multiplying by a fraction would blur: 1234 ms are 1.234 s.
    const scaled = scale < 1 ? value / Math.round(1 / scale) : value * scale;
    const samples = [{ ...(labels === undefined ? {} : { labels }), value: scaled }];
    metrics.push({ name, help, type, samples });
  }
  return metrics;
}

/** Metrics of the TCP server of a service, whose counters are those of its loops. */
export function serverMetrics(service: string): MetricTable {
  const prefix = `lars_${service}_`;
  const refused = (reason: string): MetricSpec =>
    counter(
      `${prefix}connections_refused_total`,
      "Connections closed at once because a limit was reached.",
      { labels: { reason } },
    );
  const closed = (reason: string): MetricSpec =>
    counter(
      `${prefix}connections_closed_total`,
      "Connections closed because of what the peer did, or a fault here.",
      { labels: { reason } },
    );
  return {
    connections: gauge(`${prefix}connections`, "Open connections."),
    connections_plain: gauge(
      `${prefix}connections_plain`,
      "Open connections that have not said Hello: of agents of the original, mostly.",
    ),
    connections_accepted: counter(
      `${prefix}connections_accepted_total`,
      "Connections accepted.",
    ),
    connections_refused: refused("limit"),
    connections_refused_of_host: refused("host_limit"),
    connections_evicted: closed("made_room"),
    protocol_errors: closed("protocol_error"),
    slow_readers: closed("slow_reader"),
    frame_timeouts: closed("frame_timeout"),
    handler_errors: closed("handler_error"),
    silent_peers: closed("silent"),
    not_authenticated: closed("not_authenticated"),
    tls_refused: closed("certificate"),
    tls_plain_refused: closed("no_tls"),
    connections_tls: gauge(`${prefix}connections_tls`, "Open connections over TLS."),
    tls_handshakes: counter(`${prefix}tls_handshakes_total`, "Handshakes of TLS that were made."),
    hosts_refused_lately: gauge(
      `${prefix}hosts_refused`,
      "Hosts that were refused, or refused this service, for the secret within the last minute; in each loop.",
    ),
    unknown_ids: counter(`${prefix}unknown_messages_total`, "Messages with an unknown id."),
    loop_errors: counter(`${prefix}loop_errors_total`, "Errors of event loops in workers."),
  };
}

/** Metrics of the database connection of a service, whose counters are those of its StoreHealth. */
export function storeMetrics(service: string): MetricTable {
  return {
    store: gauge(`lars_${service}_store_up`, "1 while the database answers, else 0.", {
      texts: { up: 1, away: 0, refuses: 0 },
    }),
    store_losses: counter(
      `lars_${service}_store_losses_total`,
      "Times that the database was lost.",
    ),
    store_away_since: null,
    store_reason: null,
  };
}
