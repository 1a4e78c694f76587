// Shell. Alerts of a running console: rules from the database, news to webhooks and events.

import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { RuleRow, SilenceRow, WebhookRow } from "../../sql/console/console_store.ts";
import type { EventKind, NewEvent } from "../../sql/results/event.ts";
import type { Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import {
  AlertEngine,
  type AlertNews,
  type AlertState,
  alertText,
  DEFAULT_RULES,
} from "./alert_engine.ts";
import { AlertSettings, webhookSettings } from "./alert_settings.ts";
import { RELAY_RULE_KINDS, type SeenRelay } from "./relay_checks.ts";
import { parseNode } from "../changes/change_edits.ts";
import type { SystemReader } from "../system/system_reader.ts";
import { LeaderLease } from "../../service/leader_lease.ts";
import { takesAlerts } from "./receiver_formats.ts";
import type { WebhookSender } from "./webhook_sender.ts";
import {
  type Alert,
  type Rule,
  type RuleKind,
  type SilenceWish,
  type Webhook,
  type WebhookWish,
} from "../schemas.ts";

/** Rules, silences and webhooks that another console changed are read this often, in ms. */
const RELOAD_INTERVAL_MS = 5_000;
/** What fires is written down this often, and at once when it changes, in ms. */
const SAVE_INTERVAL_MS = 30_000;
/** Events that wait for the database; when full the oldest are given up. */
const EVENTS_WAITING_MAX = 1000;
const STATE_NAME = "alerts";

/** What the service works with. */
export interface AlertServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reader: SystemReader;
  readonly sender: WebhookSender;
  /** Tells consoles on one database apart. */
  readonly holder: string;
  /** Relays as they last answered; they are asked now and then while this is called. */
  relays(): readonly SeenRelay[];
  /** Alerts differ from before. */
  onChanged(): void;
}

function alertView(alert: AlertState): Alert {
  const { subject: _subject, endText: _end, heldMs: _held, overMs: _over, ...view } = alert;
  return { ...view, kind: view.kind as RuleKind };
}

/** Name under which is kept what a webhook has confirmed to know. */
function toldName(id: number): string {
  return `${STATE_NAME}.told.${id}`;
}

/** Relays are asked only where a rule wants to know. */
function isAboutRelays({ enabled, kind }: RuleRow): boolean {
  return enabled && RELAY_RULE_KINDS.some((one) => one === kind);
}

/** The alerts in a text that an earlier run has kept. */
function parseAlerts(text: string | undefined): AlertState[] {
  const alerts: unknown = JSON.parse(text ?? "[]");
  return Array.isArray(alerts) ? alerts as AlertState[] : [];
}

function newsEvent({ type, alert }: AlertNews, atMs: number): NewEvent {
  const { modId, cmdId, node, key, severity } = alert;
  return {
    atMs,
    kind: `alert.${type}` satisfies EventKind,
    ...(modId === null || cmdId === null ? {} : { module: { modId, cmdId } }),
    ...(node === null ? {} : { node: parseNode(node) }),
    text: `${alert.title}: ${alertText(type, alert)}`,
    detail: { key, severity, isSilenced: alert.isSilenced },
  };
}

/** Watches the system, and answers for rules, silences and webhooks. */
export class AlertService {
  readonly #options: AlertServiceOptions;
  readonly #settings: AlertSettings;
  #engine = new AlertEngine();
  #rules: RuleRow[] = [];
  #silences: SilenceRow[] = [];
  #hooks: WebhookRow[] = [];
  readonly #timers: Timer[] = [];
  #stopListening: (() => void) | undefined;
  readonly #lease: LeaderLease;
  #events: NewEvent[] = [];
  #isWriting = false;
  #isUnsaved = false;
  /** Webhooks whose confirmations are to be written, and whether that is under way. */
  readonly #toldUnsaved = new Map<number, readonly AlertState[]>();
  #isSavingTold = false;

  constructor(options: AlertServiceOptions) {
    this.#options = options;
    this.#settings = new AlertSettings(options);
    options.sender.onTold((id, told) => {
      this.#toldUnsaved.set(id, told);
      void this.#saveTold();
    });
    const { store, clock, log, holder } = options;
    this.#lease = new LeaderLease({
      store: store.console,
      clock,
      log,
      name: STATE_NAME,
      holder,
      onLead: async () => {
        this.#restore(await store.console.state(STATE_NAME));
        // What they were told meanwhile is in the database.
        this.#options.sender.clear();
        await this.#reload();
      },
    });
  }

  /** Alerts that fire and are not silenced. */
  get firingCount(): number {
    return this.#firing().filter(({ isSilenced }) => !isSilenced).length;
  }

  /** Counters for metrics. */
  stats(): Record<string, number> {
    const firing = this.#firing();
    const loud = firing.filter(({ isSilenced }) => !isSilenced);
    const critical = loud.filter(({ severity }) => severity === "critical").length;
    const { doneCount, failedCount, waitingCount } = this.#options.sender.totals;
    return {
      alerts_firing: loud.length,
      alerts_firing_critical: critical,
      alerts_firing_warning: loud.length - critical,
      alerts_silenced: firing.length - loud.length,
      alerts_refused: this.#engine.droppedCount,
      webhook_attempts_done: doneCount,
      webhook_attempts_failed: failedCount,
      webhook_waiting: waitingCount,
    };
  }

  /** Gives a new console its rules. */
  async addDefaultRules(): Promise<void> {
    const { store, clock } = this.#options;
    const who = { name: "lars", address: "" };
    for (const rule of DEFAULT_RULES) {
      const audit = auditOf(who, Math.trunc(clock.wallMs()), "rule.add", rule.title);
      await store.console.addRule(rule, audit);
    }
  }

  /** Begins to watch. */
  async start(): Promise<void> {
    const { clock, reader } = this.#options;
    await this.#lease.start();
    this.#stopListening = reader.onReading(() => this.#look());
    this.#timers.push(
      setRepeating(clock, RELOAD_INTERVAL_MS, () => void this.#reload()),
      setRepeating(clock, SAVE_INTERVAL_MS, () => {
        void this.#save();
        void this.#saveTold();
      }),
    );
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    this.#lease.stop();
    for (const timer of this.#timers) timer.cancel();
    this.#options.sender.stop();
    if (!this.#lease.leads) return;
    await this.#save();
    await this.#saveTold();
  }

  alerts(): Alert[] {
    return this.#engine.alerts.map(alertView);
  }

  rules(): Promise<Rule[]> {
    return this.#settings.rules();
  }

  addRule(actor: Actor, input: Omit<Rule, "id">): Promise<Rule> {
    return this.#reloaded(this.#settings.addRule(actor, input));
  }

  putRule(actor: Actor, id: number, input: Omit<Rule, "id">): Promise<Rule> {
    return this.#reloaded(this.#settings.putRule(actor, id, input));
  }

  removeRule(actor: Actor, id: number): Promise<void> {
    return this.#reloaded(this.#settings.removeRule(actor, id));
  }

  silences(): Promise<SilenceRow[]> {
    return this.#settings.silences();
  }

  addSilence(actor: Actor, wish: SilenceWish): Promise<SilenceRow> {
    return this.#reloaded(this.#settings.addSilence(actor, wish));
  }

  removeSilence(actor: Actor, id: number): Promise<void> {
    return this.#reloaded(this.#settings.removeSilence(actor, id));
  }

  async webhooks(): Promise<Webhook[]> {
    await this.#reload();
    return this.#hooks.map((hook) => this.#hookView(hook));
  }

  async addWebhook(actor: Actor, input: WebhookWish): Promise<Webhook & { secret: string }> {
    const row = await this.#reloaded(this.#settings.addWebhook(actor, input));
    return { ...this.#hookView(row), secret: row.secret };
  }

  async patchWebhook(actor: Actor, id: number, patch: Partial<WebhookWish>): Promise<Webhook> {
    return this.#hookView(await this.#reloaded(this.#settings.patchWebhook(actor, id, patch)));
  }

  async removeWebhook(actor: Actor, id: number): Promise<void> {
    await this.#settings.removeWebhook(actor, id);
    await this.#options.store.console.putState(toldName(id), "[]");
    await this.#reload();
  }

  async testWebhook(actor: Actor, id: number): Promise<{ isDone: boolean; text: string }> {
    const hook = await this.#settings.webhook(id);
    await this.#options.store.console.audit(
      this.#audit(actor, "webhook.test", { title: hook.title }),
    );
    const { isDone, text } = await this.#options.sender.test(hook, actor.name);
    return { isDone, text };
  }

  #firing(): AlertState[] {
    return this.#engine.alerts.filter(({ state }) => state === "firing");
  }

  #wallMs(): number {
    return Math.trunc(this.#options.clock.wallMs());
  }

  #audit(actor: Actor, action: string, input: { title: string }): ReturnType<typeof auditOf> {
    return auditOf(actor, this.#wallMs(), action, input.title);
  }

  /** What is watched and told follows an edit at once. */
  async #reloaded<T>(edit: Promise<T>): Promise<T> {
    const done = await edit;
    await this.#reload();
    return done;
  }

  #hookView(row: WebhookRow): Webhook {
    return { ...webhookSettings(row), ...this.#options.sender.facts(row.id) };
  }

  #look(): void {
    const { clock, reader, sender } = this.#options;
    const before = JSON.stringify(this.alerts());
    const relays = this.#rules.some(isAboutRelays) ? this.#options.relays() : [];
    const system = { ...reader.model.view, relays };
    const news = this.#engine.look(system, this.#rules, this.#silences, {
      nowMs: clock.nowMs(),
      wallMs: this.#wallMs(),
    });
    // A console that does not lead shows the same alerts, but tells nobody.
    if (this.#lease.leads) {
      for (const one of news) this.#events.push(newsEvent(one, this.#wallMs()));
      // A view that is stale says nothing of what has ended.
      if (!reader.model.view.isStale) sender.update(this.#firing());
      this.#events = this.#events.slice(-EVENTS_WAITING_MAX);
      if (news.length > 0) this.#isUnsaved = true;
      if (this.#isUnsaved) void this.#save();
      void this.#writeEvents();
    }
    if (JSON.stringify(this.alerts()) !== before) this.#options.onChanged();
  }

  #restore(text: string | undefined): void {
    try {
      this.#engine.restore(parseAlerts(text));
    } catch (error) {
      this.#options.log.warn("What fired before the start is unknown", { error: messageOf(error) });
    }
  }

  async #save(): Promise<void> {
    if (!this.#lease.leads) return;
    this.#isUnsaved = false;
    const firing = this.#engine.alerts.filter(({ state }) => state === "firing");
    try {
      await this.#options.store.console.putState(STATE_NAME, JSON.stringify(firing));
    } catch (error) {
      this.#isUnsaved = true;
      this.#options.log.debug("Alerts could not be saved", { error: messageOf(error) });
    }
  }

  async #reload(): Promise<void> {
    const { store, sender, log } = this.#options;
    try {
      this.#rules = await store.console.rules();
      this.#silences = await store.console.silences(this.#wallMs());
      this.#hooks = await store.console.webhooks();
      await this.#tellHooks(sender);
    } catch (error) {
      log.debug("Alert rules could not be read", { error: messageOf(error) });
    }
  }

  /** Gives the sender the webhooks, and what those new to it were told before. */
  async #tellHooks(sender: WebhookSender): Promise<void> {
    const toldOf = new Map<number, AlertState[]>();
    const hooks = this.#hooks.filter(takesAlerts);
    for (const { id, enabled } of hooks) {
      if (!enabled || sender.knows(id)) continue;
      toldOf.set(id, parseAlerts(await this.#options.store.console.state(toldName(id))));
    }
    sender.setWebhooks(hooks, toldOf);
  }

  /** Writes what webhooks have confirmed; what fails is tried again with the next save. */
  async #saveTold(): Promise<void> {
    if (this.#isSavingTold) return;
    this.#isSavingTold = true;
    try {
      for (const [id, told] of this.#toldUnsaved) {
        this.#toldUnsaved.delete(id);
        try {
          await this.#options.store.console.putState(toldName(id), JSON.stringify(told));
        } catch (error) {
          if (!this.#toldUnsaved.has(id)) this.#toldUnsaved.set(id, told);
          throw error;
        }
      }
    } catch (error) {
      this.#options.log.debug("What webhooks know could not be saved", { error: messageOf(error) });
    } finally {
      this.#isSavingTold = false;
    }
  }

  async #writeEvents(): Promise<void> {
    if (this.#isWriting || this.#events.length === 0) return;
    this.#isWriting = true;
    const events = this.#events;
    this.#events = [];
    try {
      await this.#options.store.addEvents(events);
    } catch (error) {
      this.#events = [...events, ...this.#events].slice(-EVENTS_WAITING_MAX);
      this.#options.log.debug("Events could not be written", { error: messageOf(error) });
    } finally {
      this.#isWriting = false;
    }
  }
}
