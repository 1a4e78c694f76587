// Shell. Gives a running service its side door: /metrics, /healthz, /readyz, and what it adds.

import type { Clock } from "../../reactor/time/clock.ts";
import { BindError } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { MetricsSettings } from "../settings/common_settings.ts";
import type { HttpAnswer } from "./http_get.ts";
import { type Metric, METRICS_CONTENT_TYPE, renderMetrics } from "./metrics_text.ts";
import { type MonitorRoute, MonitorServer, monitorUrl } from "./monitor_server.ts";
import { metricsOf, type MetricTable } from "./service_metrics.ts";
import type { SettingsOf } from "../settings/settings.ts";
import { VERSION } from "../version.ts";

/** What a service shows of itself. */
export interface MonitoredService {
  readonly name: string;
  stats(): Record<string, number | string>;
  /** Why it cannot do its work just now; undefined when it can. */
  readiness?(): string | undefined;
  /** Metrics that are no plain counters. */
  metrics?(): Metric[];
  /** Further pages by path. */
  readonly monitorRoutes?: ReadonlyMap<string, MonitorRoute>;
}

/** Facts about this process, for every service in it. */
export function processMetrics(software: string): Metric[] {
  return [
    {
      name: "lars_build_info",
      help: "1; version and runtime are in the labels.",
      type: "gauge",
      samples: [{ labels: { version: VERSION, software }, value: 1 }],
    },
    {
      name: "process_cpu_seconds_total",
      help: "Processor time used by the process, all its threads.",
      type: "counter",
      samples: [{ value: runtime.cpuSeconds() }],
    },
    {
      name: "process_resident_memory_bytes",
      help: "Resident memory of the process.",
      type: "gauge",
      samples: [{ value: runtime.memoryBytes() }],
    },
  ];
}

/**
 * The text of `/metrics`. For any HTTP server: it comes with {@linkcode METRICS_CONTENT_TYPE}.
 *
 * @param startedAtSeconds When the service started, in unix seconds.
 */
export function metricsText(
  service: MonitoredService,
  table: MetricTable,
  software: string,
  startedAtSeconds: number,
): string {
  return renderMetrics([
    ...processMetrics(software),
    {
      name: "process_start_time_seconds",
      help: "When the service started, in unix seconds.",
      type: "gauge",
      samples: [{ value: startedAtSeconds }],
    },
    ...metricsOf(service.name, table, service.stats()),
    ...service.metrics?.() ?? [],
  ]);
}

/** Names the service that answers at `/healthz` and `/readyz`, whose bodies are the same for all. */
export const SERVICE_HEADER = "X-Lars-Service";

/** The answer of `/readyz`. */
export function readinessAnswer(service: MonitoredService): HttpAnswer {
  const reason = service.readiness?.();
  const headers = { [SERVICE_HEADER]: service.name };
  return reason === undefined
    ? { status: 200, headers, body: "ready\n" }
    : { status: 503, headers, body: `not ready: ${reason}\n` };
}

/** What {@linkcode startMonitor} is given. */
export interface MonitorOptions {
  readonly service: MonitoredService;
  readonly table: MetricTable;
  readonly settings: SettingsOf<MetricsSettings>;
  /** The port when none is set: taken, it costs a warning and not the service. */
  readonly defaultPort: number;
  readonly token: Uint8Array | undefined;
  readonly software: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Opens the side door.
 *
 * @returns the server, or undefined when it is off, or its default port is taken.
 * @throws {BindError} when a port other than the default one is taken.
 */
export function startMonitor(options: MonitorOptions): MonitorServer | undefined {
  const { service, table, settings, defaultPort, token, software, clock, log } = options;
  if (settings.metricsPort === 0) return undefined;
  const startedAtSeconds = Math.floor(clock.wallMs() / 1000);
  const routes = new Map<string, MonitorRoute>([
    ["/metrics", () => ({
      status: 200,
      contentType: METRICS_CONTENT_TYPE,
      body: metricsText(service, table, software, startedAtSeconds),
    })],
    ["/healthz", () => ({
      status: 200,
      headers: { [SERVICE_HEADER]: service.name },
      body: "ok\n",
    })],
    ["/readyz", () => readinessAnswer(service)],
    ...service.monitorRoutes ?? [],
  ]);
  const server = new MonitorServer({
    hostname: settings.metricsIp,
    port: settings.metricsPort,
    routes,
    token,
    openPaths: new Set(["/healthz", "/readyz"]),
    clock,
    log,
  });
  try {
    log.info("Metrics are shown", { url: `${monitorUrl(server.listen())}/metrics` });
    return server;
  } catch (error) {
    if (!(error instanceof BindError) || settings.metricsPort !== defaultPort) throw error;
    log.warn("Metrics are not shown: set [metrics] port to a free one", {
      port: defaultPort,
      error: error.message,
    });
    return undefined;
  }
}
