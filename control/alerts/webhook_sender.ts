// Shell. Tells webhooks of alerts: one message at a time to each, until it is taken.

import type { Timer } from "../../reactor/time/clock.ts";
import type { WebhookRow } from "../../sql/console/console_store.ts";
import type { AlertState } from "./alert_engine.ts";
import { type Delivery, Outbox } from "./outbox.ts";
import { formatRules, type MessageContext } from "./receiver_formats.ts";
import { postSigned, type SignedPostOptions, type WebhookOutcome } from "./signed_post.ts";

/** Longest pause between two attempts at one receiver; they begin with 1 s and double. */
export const PAUSE_MAX_MS = 60_000;

/** What is known of one webhook since the start. */
export interface WebhookFacts {
  readonly last: WebhookOutcome | null;
  /** Beginnings and ends of alerts that it has not confirmed. */
  readonly waitingCount: number;
}

/** Counts over all webhooks since the start, those that are gone among them. */
export interface WebhookTotals {
  /** Attempts that were answered with a status 2xx. */
  readonly doneCount: number;
  readonly failedCount: number;
  /** Beginnings and ends that wait now. */
  readonly waitingCount: number;
}

/** What the sender works with. */
export interface WebhookSenderOptions extends SignedPostOptions {
  /** Address of the console for people, without a slash at its end. */
  readonly consoleUrl: () => string;
  /** A new id for each message. */
  makeId(): string;
}

/** A message that is tried until it is taken, or until it is true no more. */
interface Message {
  readonly id: string;
  readonly body: string;
  readonly deliveries: readonly Delivery[];
}

class Receiver {
  hook: WebhookRow;
  readonly outbox: Outbox;
  last: WebhookOutcome | null = null;
  message: Message | undefined;
  failures = 0;
  isSending = false;
  timer: Timer | undefined;
  repeatedAtMs = -Infinity;

  constructor(hook: WebhookRow, told: readonly AlertState[]) {
    this.hook = hook;
    this.outbox = new Outbox(told);
  }
}

/** Sends to any number of webhooks; a slow one holds up no other. */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #receivers = new Map<number, Receiver>();
  readonly #counts = { doneCount: 0, failedCount: 0 };
  #onTold: (id: number, told: readonly AlertState[]) => void = () => {};
  #stopped = false;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
  }

  /** Has what a receiver has confirmed written down. */
  onTold(listener: (id: number, told: readonly AlertState[]) => void): void {
    this.#onTold = listener;
  }

  /** True when a webhook is known, and so what it was told. */
  knows(id: number): boolean {
    return this.#receivers.has(id);
  }

  /**
   * Takes over which webhooks there are.
   *
   * @param toldOf What a webhook that is new here was told before, by its id.
   */
  setWebhooks(
    hooks: readonly WebhookRow[],
    toldOf: ReadonlyMap<number, readonly AlertState[]> = new Map(),
  ): void {
    const ids = new Set(hooks.filter(({ enabled }) => enabled).map(({ id }) => id));
    for (const [id, { timer }] of this.#receivers) {
      if (ids.has(id)) continue;
      timer?.cancel();
      this.#receivers.delete(id);
    }
    for (const hook of hooks) {
      if (!hook.enabled) continue;
      const known = this.#receivers.get(hook.id);
      if (known !== undefined) known.hook = hook;
      else this.#receivers.set(hook.id, new Receiver(hook, toldOf.get(hook.id) ?? []));
    }
  }

  /** Forgets every webhook, and so what each was told. */
  clear(): void {
    this.setWebhooks([]);
  }

  /** What fires now, silenced ones among them: each webhook is told what it does not know of it. */
  update(firing: readonly AlertState[]): void {
    for (const receiver of this.#receivers.values()) {
      receiver.outbox.update(firing);
      this.#wake(receiver);
    }
  }

  /** Sends a test now, past what waits. */
  async test(hook: WebhookRow, who: string): Promise<WebhookOutcome> {
    let outcome: WebhookOutcome | undefined;
    for (const body of formatRules(hook.format).test(who, this.#context(hook))) {
      if (outcome?.isDone === false) break;
      outcome = await this.#post(hook, this.#options.makeId(), JSON.stringify(body));
    }
    const receiver = this.#receivers.get(hook.id);
    if (outcome === undefined) throw new Error("A format must have a test");
    if (receiver !== undefined) receiver.last = outcome;
    return outcome;
  }

  /** What is known of one webhook. */
  facts(id: number): WebhookFacts {
    const receiver = this.#receivers.get(id);
    return {
      last: receiver?.last ?? null,
      waitingCount: receiver?.outbox.waiting().length ?? 0,
    };
  }

  /** Counts over all webhooks. */
  get totals(): WebhookTotals {
    let waitingCount = 0;
    for (const { outbox } of this.#receivers.values()) waitingCount += outbox.waiting().length;
    return { ...this.#counts, waitingCount };
  }

  /** Tries no more; what was not taken is told after the next start. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#receivers.values()) timer?.cancel();
  }

  #context({ secret }: WebhookRow): MessageContext {
    const { clock, consoleUrl } = this.#options;
    return { secret, consoleUrl: consoleUrl(), atMs: Math.trunc(clock.wallMs()) };
  }

  /** Begins with what waits, after the time that a webhook gives others to come along. */
  #wake(receiver: Receiver): void {
    if (receiver.isSending || receiver.timer !== undefined || !this.#hasWork(receiver)) return;
    const { groupS } = receiver.hook;
    if (groupS > 0) this.#later(receiver, groupS * 1000);
    else void this.#work(receiver);
  }

  #later(receiver: Receiver, delayMs: number): void {
    receiver.timer = this.#options.clock.setTimer(delayMs, () => {
      receiver.timer = undefined;
      void this.#work(receiver);
    });
  }

  #isRepeatDue({ hook, outbox, repeatedAtMs }: Receiver): boolean {
    const { repeatMs } = formatRules(hook.format);
    if (repeatMs === Infinity || outbox.told.length === 0) return false;
    return this.#options.clock.nowMs() - repeatedAtMs >= repeatMs;
  }

  #hasWork(receiver: Receiver): boolean {
    return receiver.outbox.waiting().length > 0 || this.#isRepeatDue(receiver);
  }

  async #work(receiver: Receiver): Promise<void> {
    if (receiver.isSending) return;
    receiver.isSending = true;
    for (;;) {
      const { hook } = receiver;
      const message = this.#nextMessage(receiver);
      if (message === undefined || this.#stopped || !this.knows(hook.id)) break;
      receiver.last = await this.#post(hook, message.id, message.body);
      if (!receiver.last.isDone) {
        receiver.repeatedAtMs = -Infinity;
        const pauseMs = Math.min(1000 * 2 ** Math.min(receiver.failures++, 10), PAUSE_MAX_MS);
        if (!this.#stopped && this.knows(hook.id)) this.#later(receiver, pauseMs);
        break;
      }
      receiver.failures = 0;
      receiver.message = undefined;
      receiver.outbox.confirm(message.deliveries);
      this.#onTold(hook.id, receiver.outbox.told);
    }
    receiver.isSending = false;
  }

  /** The same message as before, with its id, while it is true; else what waits now. */
  #nextMessage(receiver: Receiver): Message | undefined {
    const { hook, outbox, message } = receiver;
    if (message?.deliveries.every((delivery) => outbox.isDue(delivery))) return message;
    const rules = formatRules(hook.format);
    const waiting = outbox.waiting();
    const isRepeat = this.#isRepeatDue(receiver);
    if (isRepeat) receiver.repeatedAtMs = this.#options.clock.nowMs();
    const due = isRepeat ? [...waiting, ...outbox.standing()] : waiting;
    const deliveries = due.slice(0, rules.batchOf(waiting.length, hook.groupS > 0));
    if (deliveries.length === 0) return undefined;
    const body = JSON.stringify(rules.body(deliveries, this.#context(hook)));
    receiver.message = { id: this.#options.makeId(), body, deliveries };
    return receiver.message;
  }

  async #post(hook: WebhookRow, id: string, body: string): Promise<WebhookOutcome> {
    const outcome = await this.#attempt(hook, id, body);
    if (outcome.isDone) this.#counts.doneCount++;
    else this.#counts.failedCount++;
    return outcome;
  }

  #attempt(hook: WebhookRow, id: string, body: string): Promise<WebhookOutcome> {
    return postSigned(this.#options, hook, id, body);
  }
}
