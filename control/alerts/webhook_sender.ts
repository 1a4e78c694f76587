// Shell. Sends messages to webhooks: signed, repeated with back-off, never more than so many waiting.

import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { WebhookRow } from "../../sql/console/console_store.ts";
import { signatureOf } from "../access/secrets.ts";

/** Messages that wait for one webhook; when full the oldest is given up and counted. */
export const WEBHOOK_QUEUE_MAX = 100;
/** Attempts at one message, with pauses of 1, 2, 4, … 60 s between them: about three minutes. */
export const WEBHOOK_ATTEMPTS_MAX = 8;
const PAUSE_MAX_MS = 60_000;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_TIMEOUT_MS = 5_000;

/** How the last attempt went. */
export interface WebhookOutcome {
  readonly atMs: number;
  readonly isDone: boolean;
  readonly text: string;
}

/** What is known of one webhook since the start. */
export interface WebhookFacts {
  readonly last: WebhookOutcome | null;
  readonly waitingCount: number;
  readonly droppedCount: number;
}

/** Counts over all webhooks since the start, those that are gone among them. */
export interface WebhookTotals {
  /** Attempts that were answered with a status 2xx. */
  readonly doneCount: number;
  readonly failedCount: number;
  /** Messages that wait now. */
  readonly waitingCount: number;
  /** Messages given up. */
  readonly droppedCount: number;
}

/** What the sender works with. */
export interface WebhookSenderOptions {
  readonly clock: Clock;
  /** Says in `User-Agent` who sends. */
  readonly software: string;
  /** A new id for each message. */
  makeId(): string;
}

interface Message {
  readonly id: string;
  readonly body: string;
  attempts: number;
}

class Queue {
  hook: WebhookRow;
  readonly waiting: Message[] = [];
  last: WebhookOutcome | null = null;
  droppedCount = 0;
  isSending = false;
  timer: Timer | undefined;

  constructor(hook: WebhookRow) {
    this.hook = hook;
  }
}

/** Sends to any number of webhooks; a slow one holds up no other. */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #queues = new Map<number, Queue>();
  readonly #counts = { doneCount: 0, failedCount: 0, droppedCount: 0 };
  #stopped = false;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
  }

  /** Takes over which webhooks there are; what waits for those that are gone is given up. */
  setWebhooks(hooks: readonly WebhookRow[]): void {
    const ids = new Set(hooks.filter(({ enabled }) => enabled).map(({ id }) => id));
    for (const [id, queue] of this.#queues) {
      if (ids.has(id)) continue;
      queue.timer?.cancel();
      this.#drop(queue, queue.waiting.length);
      queue.waiting.length = 0;
      this.#queues.delete(id);
    }
    for (const hook of hooks) {
      if (!hook.enabled) continue;
      const known = this.#queues.get(hook.id);
      if (known === undefined) this.#queues.set(hook.id, new Queue(hook));
      else known.hook = hook;
    }
  }

  /** Hands a message to every webhook. */
  send(message: Record<string, unknown>): void {
    for (const queue of this.#queues.values()) {
      if (queue.waiting.length >= WEBHOOK_QUEUE_MAX) {
        queue.waiting.shift();
        this.#drop(queue, 1);
      }
      queue.waiting.push({
        id: this.#options.makeId(),
        body: JSON.stringify(message),
        attempts: 0,
      });
      void this.#work(queue);
    }
  }

  /** Sends one message now, past the queue. */
  async test(hook: WebhookRow, message: Record<string, unknown>): Promise<WebhookOutcome> {
    const body = JSON.stringify(message);
    const outcome = await this.#post(hook, { id: this.#options.makeId(), body, attempts: 0 });
    const queue = this.#queues.get(hook.id);
    if (queue !== undefined) queue.last = outcome;
    return outcome;
  }

  /** What is known of one webhook. */
  facts(id: number): WebhookFacts {
    const queue = this.#queues.get(id);
    return {
      last: queue?.last ?? null,
      waitingCount: queue?.waiting.length ?? 0,
      droppedCount: queue?.droppedCount ?? 0,
    };
  }

  /** Counts over all webhooks. */
  get totals(): WebhookTotals {
    let waitingCount = 0;
    for (const { waiting } of this.#queues.values()) waitingCount += waiting.length;
    return { ...this.#counts, waitingCount };
  }

  /** Gives up what waits. */
  stop(): void {
    this.#stopped = true;
    for (const queue of this.#queues.values()) queue.timer?.cancel();
  }

  #drop(queue: Queue, count: number): void {
    queue.droppedCount += count;
    this.#counts.droppedCount += count;
  }

  async #work(queue: Queue): Promise<void> {
    if (queue.isSending || queue.timer !== undefined) return;
    queue.isSending = true;
    while (queue.waiting.length > 0 && !this.#stopped) {
      const message = queue.waiting[0];
      message.attempts++;
      const outcome = await this.#post(queue.hook, message);
      queue.last = outcome;
      const isOver = outcome.isDone || message.attempts >= WEBHOOK_ATTEMPTS_MAX;
      // The queue may have dropped the message while it was under way.
      if (isOver && queue.waiting[0] === message) {
        queue.waiting.shift();
        if (!outcome.isDone) this.#drop(queue, 1);
      }
      if (outcome.isDone) continue;
      const pauseMs = Math.min(1000 * 2 ** (message.attempts - 1), PAUSE_MAX_MS);
      queue.timer = this.#options.clock.setTimer(pauseMs, () => {
        queue.timer = undefined;
        void this.#work(queue);
      });
      break;
    }
    queue.isSending = false;
  }

  async #post(hook: WebhookRow, message: Message): Promise<WebhookOutcome> {
    const outcome = await this.#attempt(hook, message);
    if (outcome.isDone) this.#counts.doneCount++;
    else this.#counts.failedCount++;
    return outcome;
  }

  async #attempt(hook: WebhookRow, message: Message): Promise<WebhookOutcome> {
    const { clock, software } = this.#options;
    const atMs = Math.trunc(clock.wallMs());
    const abort = new AbortController();
    const timer = clock.setTimer(ANSWER_TIMEOUT_MS, () => abort.abort());
    const timestamp = String(Math.trunc(atMs / 1000));
    try {
      const response = await fetch(hook.url, {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "User-Agent": software,
          "X-Lars-Delivery": message.id,
          "X-Lars-Timestamp": timestamp,
          "X-Lars-Signature": `sha256=${signatureOf(hook.secret, `${timestamp}.${message.body}`)}`,
        },
        body: message.body,
        redirect: "manual",
        signal: abort.signal,
      });
      await response.body?.cancel();
      return { atMs, isDone: response.ok, text: `answered ${response.status}` };
    } catch (error) {
      const text = abort.signal.aborted
        ? `no answer within ${ANSWER_TIMEOUT_MS / 1000} s`
        : messageOf(error);
      return { atMs, isDone: false, text: text.slice(0, 200) };
    } finally {
      timer.cancel();
    }
  }
}
