// Shell. Rules, silences and webhooks as they are kept, for a running console and for commands alike.

import type { Clock } from "../../reactor/time/clock.ts";
import type { RuleRow, SilenceRow, WebhookRow } from "../../sql/console/console_store.ts";
import type { Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import { randomSecret } from "../access/secrets.ts";
import { ControlError } from "../control_error.ts";
import {
  type Rule,
  type RuleKind,
  type SilenceWish,
  WEBHOOK_FORMATS,
  type WebhookFormat,
  type WebhookWish,
} from "../schemas.ts";

/** A webhook without its secret, and without what a running console knows of it. */
export type WebhookSettings = Required<Omit<WebhookWish, "secret">> & { readonly id: number };

function ruleView({ enabled, ...rule }: RuleRow): Rule {
  return { ...rule, kind: rule.kind as RuleKind, isEnabled: enabled };
}

function ruleRow({ isEnabled, ...rule }: Omit<Rule, "id">): Omit<RuleRow, "id"> {
  return { ...rule, enabled: isEnabled };
}

/** A webhook as clients see it. */
export function webhookSettings(row: WebhookRow): WebhookSettings {
  const { enabled, secret: _secret, format, ...rest } = row;
  const kind: WebhookFormat = WEBHOOK_FORMATS.find((one) => one === format) ?? "lars";
  return { ...rest, isEnabled: enabled, format: kind };
}

/** Reads and edits what alerts go by; each edit with its row of the audit. */
export class AlertSettings {
  readonly #options: { readonly store: Store; readonly clock: Clock };

  constructor(options: { readonly store: Store; readonly clock: Clock }) {
    this.#options = options;
  }

  async rules(): Promise<Rule[]> {
    return (await this.#options.store.console.rules()).map(ruleView);
  }

  async addRule(actor: Actor, input: Omit<Rule, "id">): Promise<Rule> {
    const row = ruleRow(input);
    const audit = this.#audit(actor, "rule.add", input);
    const id = await this.#options.store.console.addRule(row, audit);
    return ruleView({ ...row, id });
  }

  async putRule(actor: Actor, id: number, input: Omit<Rule, "id">): Promise<Rule> {
    const row = { ...ruleRow(input), id };
    const audit = this.#audit(actor, "rule.set", input);
    const done = await this.#options.store.console.putRule(row, audit);
    if (!done) throw new ControlError("not-found", `There is no alert rule ${id}`);
    return ruleView(row);
  }

  async removeRule(actor: Actor, id: number): Promise<void> {
    const audit = this.#audit(actor, "rule.remove", { title: String(id) });
    const done = await this.#options.store.console.removeRule(id, audit);
    if (!done) throw new ControlError("not-found", `There is no alert rule ${id}`);
  }

  /** Those that have not ended. */
  silences(): Promise<SilenceRow[]> {
    return this.#options.store.console.silences(this.#wallMs());
  }

  async addSilence(actor: Actor, { minutes, ...input }: SilenceWish): Promise<SilenceRow> {
    const createdAtMs = this.#wallMs();
    const row = {
      ...input,
      who: actor.name,
      createdAtMs,
      endsAtMs: createdAtMs + minutes * 60_000,
    };
    const audit = this.#audit(actor, "silence.add", { title: input.why });
    return { ...row, id: await this.#options.store.console.addSilence(row, audit) };
  }

  async removeSilence(actor: Actor, id: number): Promise<void> {
    const audit = this.#audit(actor, "silence.remove", { title: String(id) });
    const done = await this.#options.store.console.removeSilence(id, audit);
    if (!done) throw new ControlError("not-found", `There is no silence ${id}`);
  }

  /** With their secrets. */
  webhookRows(): Promise<WebhookRow[]> {
    return this.#options.store.console.webhooks();
  }

  async addWebhook(actor: Actor, input: WebhookWish): Promise<WebhookRow> {
    const { title, url, secret = randomSecret(), isEnabled = true } = input;
    const { format = "lars", timeoutS = 10, groupS = 0 } = input;
    if (format === "pagerduty" && input.secret === undefined) {
      throw new ControlError("invalid", "PagerDuty's routing key must be given as secret");
    }
    const row = { title, url, secret, enabled: isEnabled, format, timeoutS, groupS };
    const audit = this.#audit(actor, "webhook.add", { title });
    return { ...row, id: await this.#options.store.console.addWebhook(row, audit) };
  }

  async patchWebhook(actor: Actor, id: number, patch: Partial<WebhookWish>): Promise<WebhookRow> {
    const known = await this.webhook(id);
    const row = {
      id,
      title: patch.title ?? known.title,
      url: patch.url ?? known.url,
      secret: patch.secret ?? known.secret,
      enabled: patch.isEnabled ?? known.enabled,
      format: patch.format ?? known.format,
      timeoutS: patch.timeoutS ?? known.timeoutS,
      groupS: patch.groupS ?? known.groupS,
    };
    const audit = this.#audit(actor, "webhook.set", { title: row.title });
    const done = await this.#options.store.console.putWebhook(row, audit);
    if (!done) throw new ControlError("not-found", `There is no webhook ${id}`);
    return row;
  }

  async removeWebhook(actor: Actor, id: number): Promise<void> {
    const audit = this.#audit(actor, "webhook.remove", { title: String(id) });
    const done = await this.#options.store.console.removeWebhook(id, audit);
    if (!done) throw new ControlError("not-found", `There is no webhook ${id}`);
  }

  /** One of them. @throws {ControlError} not-found. */
  async webhook(id: number): Promise<WebhookRow> {
    const found = (await this.webhookRows()).find((hook) => hook.id === id);
    if (found === undefined) throw new ControlError("not-found", `There is no webhook ${id}`);
    return found;
  }

  #wallMs(): number {
    return Math.trunc(this.#options.clock.wallMs());
  }

  #audit(actor: Actor, action: string, input: { title: string }): ReturnType<typeof auditOf> {
    return auditOf(actor, this.#wallMs(), action, input.title);
  }
}
