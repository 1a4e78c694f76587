// Goal: messages are what Alertmanager, Slack and PagerDuty take. Method: what their documents ask of
// a message, checked on every message that the formats make.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import type { AlertState } from "./alert_engine.ts";
import type { Delivery } from "./outbox.ts";
import { WEBHOOK_FORMATS, type WebhookFormat } from "../schemas.ts";
import { formatRules, takesAlerts } from "./receiver_formats.ts";

const context = { secret: "R0UTINGKEY000000", consoleUrl: "http://console:8080", atMs: 60_000 };

const alert: AlertState = {
  ...{ key: "3 1/2 10.0.0.1:80", subject: "1/2 10.0.0.1:80", ruleId: 3, kind: "node_out" },
  ...{ title: "Node kept out", text: "a <b> & c", value: 1, severity: "critical" },
  ...{ state: "firing", isSilenced: false, modId: 1, cmdId: 2, node: "10.0.0.1:80" },
  ...{ service: null, sinceMs: 1000, firedAtMs: 2000, heldMs: 0, overMs: 0 },
};
const service: AlertState = {
  ...{ ...alert, key: "5 dns 10.0.0.5:7778", modId: null, cmdId: null, node: null },
  service: "dns 10.0.0.5:7778",
};
const deliveries: Delivery[] = [
  { state: "firing", alert },
  { state: "ended", alert: service },
];

const time = z.iso.datetime();
/** https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml, postableAlerts. */
const Alertmanager = z.array(z.strictObject({
  labels: z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string().min(1)),
  annotations: z.record(z.string(), z.string()),
  startsAt: time,
  endsAt: time,
  generatorURL: z.url(),
}));
/** https://developer.pagerduty.com/docs/send-alert-event */
const PagerDuty = z.strictObject({
  routing_key: z.string().length(16),
  event_action: z.enum(["trigger", "resolve"]),
  dedup_key: z.string().min(1).max(255),
  client: z.string(),
  client_url: z.url(),
  links: z.array(z.strictObject({ href: z.url(), text: z.string() })),
  payload: z.strictObject({
    summary: z.string().min(1).max(1024),
    source: z.string(),
    severity: z.enum(["critical", "error", "warning", "info"]),
    timestamp: time,
    custom_details: z.record(z.string(), z.unknown()),
  }),
});
/** https://api.slack.com/messaging/webhooks; Mattermost and Rocket.Chat take the same. */
const Slack = z.strictObject({ text: z.string().min(1).max(40_000) });
const Own = z.looseObject({ version: z.literal(1), type: z.enum(["alert", "alerts"]) });

const SHAPES: Readonly<Record<WebhookFormat, z.ZodType>> = {
  lars: Own,
  alertmanager: Alertmanager,
  slack: Slack,
  pagerduty: PagerDuty,
  scaling: z.union([Own, z.looseObject({ type: z.literal("scale.test") })]),
};

test("every message of every format is one that its receiver takes", () => {
  const many = Array.from({ length: 500 }, () => deliveries[0]);
  for (const format of WEBHOOK_FORMATS) {
    const rules = formatRules(format);
    for (const batch of [deliveries.slice(0, 1), deliveries.slice(1), deliveries, many]) {
      const most = rules.batchOf(batch.length, true);
      SHAPES[format].parse(rules.body(batch.slice(0, most), context));
    }
    const tests = rules.test("ann", context);
    assert.ok(tests.length > 0);
    for (const body of tests) SHAPES[format].parse(body);
  }
});

test("a webhook for scaling is told of no alerts", () => {
  const told = WEBHOOK_FORMATS.filter((format) => takesAlerts({ format }));
  assert.deepEqual(told, ["lars", "alertmanager", "slack", "pagerduty"]);
});

test("an alert and its end are one thing to a receiver, and lead to its page", () => {
  const ended: Delivery = { state: "ended", alert };
  const bodyOf = (format: WebhookFormat, one: Delivery): unknown =>
    formatRules(format).body([one], context);
  const [begins] = Alertmanager.parse(bodyOf("alertmanager", deliveries[0]));
  const [ends] = Alertmanager.parse(bodyOf("alertmanager", ended));
  assert.deepEqual(begins.labels, ends.labels);
  assert.equal(begins.labels.alertname, "lars_node_out");
  assert.equal(begins.generatorURL, "http://console:8080/modules/1/2");
  assert.ok(Date.parse(begins.endsAt) > context.atMs && Date.parse(ends.endsAt) <= context.atMs);
  assert.ok(Date.parse(begins.endsAt) - context.atMs >= 2 * formatRules("alertmanager").repeatMs);
  const triggered = PagerDuty.parse(bodyOf("pagerduty", deliveries[0]));
  const resolved = PagerDuty.parse(bodyOf("pagerduty", ended));
  assert.equal(triggered.dedup_key, resolved.dedup_key);
  assert.deepEqual([triggered.event_action, resolved.event_action], ["trigger", "resolve"]);
  const { text } = Slack.parse(bodyOf("slack", deliveries[0]));
  const link = "<http://console:8080/modules/1/2|Node kept out>";
  assert.equal(text, `*critical* ${link}: a &lt;b&gt; &amp; c`);
  const [, own] = Slack.parse(formatRules("slack").body(deliveries, context)).text.split("\n");
  assert.equal(own, text, "many are a line each");
  for (const format of WEBHOOK_FORMATS) {
    const is = JSON.stringify(bodyOf(format, deliveries[0]));
    const was = JSON.stringify(bodyOf(format, ended));
    assert.ok(
      !is.includes("ended: a") && was.includes("ended: a"),
      `${format} tells the end as such`,
    );
  }
});
