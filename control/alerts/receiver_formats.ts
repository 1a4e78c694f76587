// Core. What a message about alerts looks like to the receivers that are out there.

import { type AlertState, alertText } from "./alert_engine.ts";
import type { WebhookFormat } from "../schemas.ts";
import type { Delivery } from "./outbox.ts";

/** Alerts in one message of a format that takes many. */
export const MESSAGE_ALERTS_MAX = 500;

/** Lines that a person is shown in one message; of more the rest is counted. */
const LINES_MAX = 20;

/**
 * Alertmanager takes an alert for over when nobody has repeated it for so long, and is told of each
 * three times meanwhile. Milliseconds.
 */
const ALERTMANAGER_ENDS_MS = 180_000;

/** What all messages of one receiver have in common. */
export interface MessageContext {
  /** Of the receiver: PagerDuty's routing key. */
  readonly secret: string;
  /** Address of the console for people, without a slash at its end: `http://10.0.0.5:8080`. */
  readonly consoleUrl: string;
  readonly atMs: number;
}

/** How one format is sent. */
export interface FormatRules {
  /** Alerts that go into one message while so many wait. */
  batchOf(waitingCount: number, isGrouped: boolean): number;
  /** What still fires is said again after so many milliseconds; Infinity: once is enough. */
  readonly repeatMs: number;
  body(deliveries: readonly Delivery[], context: MessageContext): unknown;
  /** Messages of a test, one after another. */
  test(who: string, context: MessageContext): readonly unknown[];
}

/** Page of the console about an alert. */
export function alertLink(
  { modId, cmdId }: Pick<AlertState, "modId" | "cmdId">,
  base: string,
): string {
  return modId === null || cmdId === null ? `${base}/alerts` : `${base}/modules/${modId}/${cmdId}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function counted(deliveries: readonly Delivery[]): string {
  const firing = deliveries.filter(({ state }) => state === "firing").length;
  const ended = deliveries.length - firing;
  const parts = [
    ...(firing > 0 ? [`${firing} firing`] : []),
    ...(ended > 0 ? [`${ended} over`] : []),
  ];
  return parts.join(", ");
}

// ---- Ours

function ownAlert({ state, alert }: Delivery, base: string): Record<string, unknown> {
  const { key, kind, title, severity, value, modId, cmdId, node, service, sinceMs } = alert;
  const text = alertText(state, alert);
  const about = { key, kind, title, severity, text, value, modId, cmdId, node, service, sinceMs };
  return { state, ...about, link: alertLink(alert, base) };
}

const lars: FormatRules = {
  // One by one, as long as that is a matter of seconds.
  batchOf: (waitingCount, isGrouped) =>
    isGrouped || waitingCount > MESSAGE_ALERTS_MAX ? MESSAGE_ALERTS_MAX : 1,
  repeatMs: Infinity,
  body(deliveries, { consoleUrl, atMs }): unknown {
    if (deliveries.length === 1) {
      return { version: 1, type: "alert", ...ownAlert(deliveries[0], consoleUrl), atMs };
    }
    const alerts = deliveries.map((one) => ownAlert(one, consoleUrl));
    return { version: 1, type: "alerts", text: counted(deliveries), alerts, atMs };
  },
  test: (who, { atMs }) => [{
    ...{ version: 1, type: "alert", state: "test", text: `Test of a webhook by ${who}` },
    atMs,
  }],
};

// ---- Alertmanager: POST /api/v2/alerts

function labelsOf(alert: AlertState): Record<string, string> {
  const { kind, severity, modId, cmdId, node, service, key } = alert;
  return {
    ...{ alertname: `lars_${kind}`, severity, subject: key },
    ...(modId === null || cmdId === null ? {} : { modid: `${modId}`, cmdid: `${cmdId}` }),
    ...(node === null ? {} : { node }),
    ...(service === null ? {} : { service }),
  };
}

const alertmanager: FormatRules = {
  // All that can be: each is to be repeated in time.
  batchOf: () => Infinity,
  repeatMs: ALERTMANAGER_ENDS_MS / 3,
  body: (deliveries, { consoleUrl, atMs }) =>
    deliveries.map(({ state, alert }) => ({
      labels: labelsOf(alert),
      annotations: { summary: alert.title, description: alertText(state, alert) },
      startsAt: iso(alert.sinceMs),
      endsAt: iso(state === "ended" ? atMs : atMs + ALERTMANAGER_ENDS_MS),
      generatorURL: alertLink(alert, consoleUrl),
    })),
  test: (who, { consoleUrl, atMs }) => [[{
    labels: { alertname: "lars_test", severity: "info" },
    annotations: { summary: "Test", description: `Test of a webhook by ${who}` },
    startsAt: iso(atMs),
    endsAt: iso(atMs + 60_000),
    generatorURL: `${consoleUrl}/alerts`,
  }]],
};

// ---- Slack and those that take its incoming webhooks

/** Slack's three signs of markup. */
function slackText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const slack: FormatRules = {
  batchOf: () => MESSAGE_ALERTS_MAX,
  repeatMs: Infinity,
  body(deliveries, { consoleUrl }): unknown {
    const lines = deliveries.slice(0, LINES_MAX).map(({ state, alert }) => {
      const sign = state === "ended" ? "over" : alert.severity;
      const link = `<${alertLink(alert, consoleUrl)}|${slackText(alert.title)}>`;
      return `*${sign}* ${link}: ${slackText(alertText(state, alert))}`;
    });
    const restCount = deliveries.length - lines.length;
    if (restCount > 0) lines.push(`and ${restCount} more: <${consoleUrl}/alerts|all alerts>`);
    const head = deliveries.length === 1 ? [] : [`*Lars*: ${counted(deliveries)}`];
    return { text: [...head, ...lines].join("\n") };
  },
  test: (who, { consoleUrl }) => [{
    text: `Test of a webhook by ${slackText(who)}: <${consoleUrl}/alerts|alerts>`,
  }],
};

// ---- PagerDuty: Events API v2

function pagerDutyEvent(
  action: "trigger" | "resolve",
  key: string,
  about: { summary: string; severity: string; details: unknown; link: string },
  { secret, consoleUrl, atMs }: MessageContext,
): Record<string, unknown> {
  return {
    routing_key: secret,
    event_action: action,
    dedup_key: `lars ${key}`.slice(0, 255),
    client: "Lars",
    client_url: consoleUrl,
    links: [{ href: about.link, text: "Console" }],
    payload: {
      summary: about.summary.slice(0, 1024),
      source: consoleUrl,
      severity: about.severity,
      timestamp: iso(atMs),
      custom_details: about.details,
    },
  };
}

const pagerduty: FormatRules = {
  // It has one event a message, and groups by itself.
  batchOf: () => 1,
  repeatMs: Infinity,
  body([delivery], context): unknown {
    const { state, alert } = delivery;
    const { consoleUrl } = context;
    return pagerDutyEvent(state === "firing" ? "trigger" : "resolve", alert.key, {
      summary: `${alert.title}: ${alertText(state, alert)}`,
      severity: alert.severity,
      details: ownAlert(delivery, consoleUrl),
      link: alertLink(alert, consoleUrl),
    }, context);
  },
  test: (who, context) => {
    const summary = `Test of a webhook by ${who}`;
    const about = { summary, severity: "info", details: {}, link: `${context.consoleUrl}/alerts` };
    return (["trigger", "resolve"] as const).map((action) =>
      pagerDutyEvent(action, "test", about, context)
    );
  },
};

/** Orders to start and stop nodes go to these, and no alerts. */
const scaling: FormatRules = {
  ...lars,
  test: (who, { atMs }) => [{ type: "scale.test", at: iso(atMs), text: `Test by ${who}` }],
};

const FORMATS: Readonly<Record<WebhookFormat, FormatRules>> = {
  lars,
  alertmanager,
  slack,
  pagerduty,
  scaling,
};

/** True when a webhook of this format is told of alerts. */
export function takesAlerts({ format }: { readonly format: string }): boolean {
  return format !== ("scaling" satisfies WebhookFormat);
}

/** How messages of a format are made; one of a later version is sent as our own. */
export function formatRules(format: string): FormatRules {
  return FORMATS[format as WebhookFormat] ?? lars;
}
