// Core. Metrics in the text format of Prometheus.

/** Of what kind a metric is: `untyped` when nobody said. */
export type MetricType = "counter" | "gauge" | "histogram" | "summary" | "untyped";

/** One value of a metric. */
export interface MetricSample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
  /** Of a histogram or summary: what the value is of it. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

/** A metric with all its values. */
export interface Metric {
  /** `lars_agent_picks_total`: letters, digits and `_`; unit last, `_total` for counters. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly type: MetricType;
  readonly samples: readonly MetricSample[];
}

/** The content type of {@linkcode renderMetrics}. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
}

/**
 * All metrics as one text. Values of one name that are spread over several entries are gathered
 * under the first; an entry without values is left out.
 *
 * @throws {TypeError} when a name is none, or one name has two types.
 */
export function renderMetrics(metrics: readonly Metric[]): string {
  const byName = new Map<string, Metric[]>();
  for (const metric of metrics) {
    if (metric.samples.length === 0) continue;
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(metric.name)) {
      throw new TypeError(`Metric name must be letters, digits and _: "${metric.name}"`);
    }
    const known = byName.get(metric.name);
    if (known === undefined) byName.set(metric.name, [metric]);
    else if (known[0].type === metric.type) known.push(metric);
    else throw new TypeError(`Metric ${metric.name} must have one type`);
  }
  const lines: string[] = [];
  for (const [name, entries] of byName) {
    lines.push(
      `# HELP ${name} ${escapeHelp(entries[0].help)}`,
      `# TYPE ${name} ${entries[0].type}`,
    );
    for (const { labels = {}, value, suffix = "" } of entries.flatMap((entry) => entry.samples)) {
      const pairs = Object.entries(labels).map(([label, text]) =>
        `${label}="${escapeLabel(text)}"`
      );
      lines.push(
        `${name}${suffix}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${valueText(value)}`,
      );
    }
  }
  return lines.map((line) => `${line}\n`).join("");
}
