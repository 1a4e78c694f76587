// Core. What a client of a relay has asked and not been answered.

import { LimitError, TimeoutError } from "../reactor/errors.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { RelayStatus } from "../proto/message_ids.ts";
import type { Link } from "../session/link.ts";
import { ClosedError, RelayError } from "./errors.ts";

/** Requests and messages of one client without an answer; a further one is refused. */
export const RELAY_REQUESTS_MAX = 10_000;

/** Pause before calls of an earlier link go on to be sent, where they are more than the connection takes at once. */
const SEND_AGAIN_MS = 20;

/** An answer to a request or a message. */
export interface RelayAnswer {
  readonly status: number;
  readonly data?: Uint8Array;
  readonly receivers?: number;
}

/** What is asked. */
export interface RelayCall {
  readonly msgId: number;
  /** Body under the number it is given. */
  encode(number: number): Uint8Array;
  readonly timeoutMs: number;
  /** It does no harm when it is said again over another connection. */
  readonly repeatable: boolean;
}

interface PendingCall<T> {
  readonly msgId: number;
  readonly body: Uint8Array;
  readonly repeatable: boolean;
  readonly resolve: (answer: T) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  isSent: boolean;
}

const REASONS: Readonly<Record<number, string>> = {
  [RelayStatus.NoWorker]: "no worker serves this module",
  [RelayStatus.Full]: "a queue of the relay is full",
  [RelayStatus.WorkerLost]: "the worker that had it is gone",
  [RelayStatus.NoClient]: "whom it is for is not here",
  [RelayStatus.Stopping]: "the relay stops",
  [RelayStatus.TooLarge]: "more data than a message may carry",
  [RelayStatus.NoStore]: "the relay keeps no messages",
  [RelayStatus.BadName]: "a name, a group or an id is none, or there are too many",
};

const UNSEEN: readonly number[] = [
  RelayStatus.NoWorker,
  RelayStatus.Full,
  RelayStatus.NoClient,
  RelayStatus.Stopping,
];

/** The error that a status stands for. */
export function relayErrorOf(status: number, data: Uint8Array | undefined): Error {
  if (status === RelayStatus.TimedOut) return new TimeoutError("No worker answered in time", 0);
  const reason = status === RelayStatus.Failed
    ? `the worker failed: ${new TextDecoder().decode(data)}`
    : REASONS[status] ?? `status ${status}`;
  return new RelayError(status, `Not done by the relay: ${reason}`, UNSEEN.includes(status));
}

/** Calls over a link that comes and goes. */
export class RelayCalls<T> {
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #pending = new Map<number, PendingCall<T>>();
  #lastNumber = 0;
  /** Calls that were sent over the present link. */
  #sentCount = 0;
  /** Set while nothing further is sent over the present link; called when all calls are answered. */
  #onAnswered: (() => void) | undefined;
  /** Set while calls of an earlier link wait for room: whatever comes now goes behind them. */
  #sendingAll: Timer | undefined;
  #closed = false;

  constructor(link: Link, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  /** Calls without an answer. */
  get size(): number {
    return this.#pending.size;
  }

  /** Sends a call, now or once the link is ready. */
  start({ msgId, encode, timeoutMs, repeatable }: RelayCall): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new ClosedError();
      if (this.#pending.size >= RELAY_REQUESTS_MAX) {
        throw new LimitError(
          "RELAY_REQUESTS_MAX",
          `At most ${RELAY_REQUESTS_MAX} requests may have no answer`,
        );
      }
      const number = this.#newNumber();
      const body = encode(number);
      const mustWait = this.#onAnswered !== undefined || this.#sendingAll !== undefined;
      const isSent = !mustWait && this.#link.send(msgId, body);
      if (isSent) this.#sentCount++;
      if (!isSent && !mustWait && this.#link.ready) {
        throw new LimitError("RELAY_OUTPUT_BYTES_MAX", "The relay does not read fast enough");
      }
      const timer = this.#clock.setTimer(timeoutMs, () => this.#timeOut(number, timeoutMs));
      this.#pending.set(number, { msgId, body, repeatable, resolve, reject, timer, isSent });
    });
  }

  /** An answer has come; undefined: nobody waits for it any more. */
  take(number: number): Pick<PendingCall<T>, "resolve" | "reject"> | undefined {
    const pending = this.#pending.get(number);
    this.#pending.delete(number);
    pending?.timer.cancel();
    if (pending?.isSent === true) {
      this.#sentCount--;
      this.#checkAnswered();
    }
    return pending;
  }

  /** The link will be left: what is not sent waits for the next one; `onAnswered` when it can be left. */
  leave(onAnswered: () => void): void {
    this.#onAnswered = onAnswered;
    this.#stopSendingAll();
    this.#checkAnswered();
  }

  /** Not within the call that took the last answer, whose receiver has not seen it yet. */
  #checkAnswered(): void {
    if (this.#sentCount > 0 || this.#onAnswered === undefined) return;
    const onAnswered = this.#onAnswered;
    queueMicrotask(() => {
      if (this.#onAnswered === onAnswered) onAnswered();
    });
  }

  /** The link is ready: what has not been sent goes out, in its order, as fast as the link takes it. */
  sendAll(): void {
    this.#stopSendingAll();
    for (const pending of this.#pending.values()) {
      if (pending.isSent) continue;
      if (!this.#link.send(pending.msgId, pending.body)) {
        this.#sendingAll = this.#clock.setTimer(SEND_AGAIN_MS, () => this.sendAll());
        return;
      }
      pending.isSent = true;
      this.#sentCount++;
    }
  }

  #stopSendingAll(): void {
    this.#sendingAll?.cancel();
    this.#sendingAll = undefined;
  }

  /** The link is lost: what may have been seen is given up, the rest waits for the next one. */
  lost(): void {
    this.#onAnswered = undefined;
    this.#stopSendingAll();
    for (const [number, pending] of [...this.#pending]) {
      if (pending.isSent && !pending.repeatable) {
        const reason = `The connection to the relay is lost: ${this.#link.fault ?? "no reason"}`;
        this.take(number)?.reject(new RelayError(RelayStatus.WorkerLost, reason, false));
      }
      pending.isSent = false;
    }
    this.#sentCount = 0;
  }

  /** Gives up everything. */
  close(): void {
    this.#closed = true;
    this.#stopSendingAll();
    for (const number of [...this.#pending.keys()]) this.take(number)?.reject(new ClosedError());
  }

  #newNumber(): number {
    do {
      this.#lastNumber = (this.#lastNumber + 1) >>> 0;
    } while (this.#lastNumber === 0 || this.#pending.has(this.#lastNumber));
    return this.#lastNumber;
  }

  #timeOut(number: number, timeoutMs: number): void {
    const { fault } = this.#link;
    const error = fault === undefined
      ? new TimeoutError("The relay did not answer in time", timeoutMs)
      : new TimeoutError(`There is no connection to a relay: ${fault}`, timeoutMs, {
        cause: new Error(fault),
      });
    this.take(number)?.reject(error);
  }
}
