// Shell. A client of a relay: asks workers it knows nothing of, several requests at a time.

import type { ModuleKey } from "../model/module.ts";
import {
  decodeRelayReply,
  encodeRelayJoin,
  encodeRelayRequest,
  type RelayReply,
} from "../proto/codec.ts";
import {
  DEFAULT_PORTS,
  MessageId,
  PICK_KEY_BYTES_MAX,
  RELAY_MESSAGE_BYTES_MAX,
  RelayStatus,
} from "../proto/message_ids.ts";
import { LimitError, TimeoutError } from "../reactor/errors.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { SessionClient } from "../session/session_client.ts";
import { ClosedError, RelayError } from "./errors.ts";
import { checkAddresses } from "./in_process_options.ts";
import { openRelayLink } from "./relay_link.ts";

/** Requests of one client without an answer; a further one is refused. */
export const RELAY_REQUESTS_MAX = 10_000;

/** How long an answer may take longer than the relay's own limit, in milliseconds. */
const GRACE_MS = 1_000;

/** How a client of a relay works. */
export interface RelayClientOptions {
  /** Relays, tried in turn: `host` or `host:port`. @default {["127.0.0.1:2000"]} */
  relays?: readonly string[];
  /** Shared secret, for a relay that wants one. */
  token?: Uint8Array;
  /** Time for an answer, in milliseconds. @default {20000} */
  timeoutMs?: number;
  /** Gets answers that come after their time, which are dropped without it. */
  onLate?: (number: number, data: Uint8Array) => void;
  /** Source of time. @default {the clock of the machine} */
  clock?: Clock;
}

/** Of one request. */
export interface RelayRequestOptions {
  /** Time for the answer, in milliseconds. @default {that of the client} */
  timeoutMs?: number;
  /** Requests of one key go to one worker where that can be; at most 256 bytes. */
  key?: Uint8Array | string;
}

/** A request without an answer. */
interface PendingAnswer {
  readonly resolve: (data: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  /** What is sent once the relay is there; undefined: it has been sent. */
  unsent: Uint8Array | undefined;
}

const REASONS: Readonly<Record<number, string>> = {
  [RelayStatus.NoWorker]: "no worker serves this module",
  [RelayStatus.Full]: "a queue of the relay is full",
  [RelayStatus.WorkerLost]: "the worker that had the request is gone",
  [RelayStatus.NoClient]: "whom it is for is not here",
  [RelayStatus.Stopping]: "the relay stops",
  [RelayStatus.TooLarge]: "more data than a message may carry",
};

const UNSEEN: readonly number[] = [
  RelayStatus.NoWorker,
  RelayStatus.Full,
  RelayStatus.Stopping,
];

/**
 * One connection to the first of several relays that answers, with many requests under way. It
 * connects by itself and comes back by itself; a request that was sent when a connection broke is
 * not sent again, because a worker may have seen it.
 *
 * @example
 * ```ts ignore
 * const client = new RelayClient({ relays: ["127.0.0.1:2000"] });
 * const answer = await client.request({ modId: 1, cmdId: 1 }, new TextEncoder().encode("hello"));
 * await client.close();
 * ```
 */
export class RelayClient {
  readonly #options: RelayClientOptions;
  readonly #clock: Clock;
  readonly #link: SessionClient;
  readonly #pending = new Map<number, PendingAnswer>();
  #lastNumber = 0;
  #closed = false;

  /** Begins to connect. @throws {RangeError} when an option is wrong. */
  constructor(options: RelayClientOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#link = openRelayLink({
      addresses: checkAddresses("relays", options.relays, DEFAULT_PORTS.relay),
      token: options.token,
      role: "client",
      clock: this.#clock,
      onReady: () => this.#ready(),
      onLost: () => this.#lost(),
    });
    this.#link.router
      .add(MessageId.RelayJoined, () => {})
      .add(MessageId.RelayReply, (body) => this.#reply(decodeRelayReply(body)));
    this.#link.start();
  }

  /** True while requests can leave at once. */
  get connected(): boolean {
    return this.#link.ready;
  }

  /** Requests without an answer. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /**
   * Has a worker of the module answer.
   *
   * @throws {RelayError} when there will be no answer: no worker, a full queue, a lost worker.
   * @throws {TimeoutError} when none came in time.
   * @throws {LimitError} when too many requests have no answer.
   * @throws {ClosedError} when the client is closed.
   * @throws {RangeError} when data or key are too long.
   */
  request(
    { modId, cmdId }: ModuleKey,
    data: Uint8Array,
    options: RelayRequestOptions = {},
  ): Promise<Uint8Array> {
    const { timeoutMs = this.#options.timeoutMs ?? 20_000 } = options;
    const key = typeof options.key === "string"
      ? new TextEncoder().encode(options.key)
      : options.key;
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new ClosedError();
      checkBytes("data", data.length, RELAY_MESSAGE_BYTES_MAX);
      checkBytes("key", key?.length ?? 0, PICK_KEY_BYTES_MAX);
      if (this.#pending.size >= RELAY_REQUESTS_MAX) {
        throw new LimitError(
          "RELAY_REQUESTS_MAX",
          `At most ${RELAY_REQUESTS_MAX} requests may have no answer`,
        );
      }
      const number = this.#newNumber();
      const ttlMs = Math.max(1, Math.round(timeoutMs));
      const body = encodeRelayRequest({
        ...{ number, modId, cmdId, ttlMs, data },
        ...(key === undefined ? {} : { key }),
      });
      const isSent = this.#link.send(MessageId.RelayRequest, body);
      if (!isSent && this.#link.ready) {
        throw new LimitError("RELAY_OUTPUT_BYTES_MAX", "The relay does not read fast enough");
      }
      const unsent = isSent ? undefined : body;
      const timer = this.#clock.setTimer(timeoutMs + GRACE_MS, () => this.#timeOut(number, ttlMs));
      this.#pending.set(number, { resolve, reject, timer, unsent });
    });
  }

  /** Gives up what has no answer, and ends the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const number of [...this.#pending.keys()]) this.#take(number)?.reject(new ClosedError());
    await this.#link.close();
  }

  #newNumber(): number {
    do {
      this.#lastNumber = (this.#lastNumber + 1) >>> 0;
    } while (this.#pending.has(this.#lastNumber));
    return this.#lastNumber;
  }

  #take(number: number): PendingAnswer | undefined {
    const pending = this.#pending.get(number);
    this.#pending.delete(number);
    pending?.timer.cancel();
    return pending;
  }

  #ready(): void {
    const late = this.#options.onLate !== undefined;
    this.#link.send(MessageId.RelayJoin, encodeRelayJoin({ name: "", late }));
    for (const pending of this.#pending.values()) {
      if (pending.unsent === undefined) continue;
      if (!this.#link.send(MessageId.RelayRequest, pending.unsent)) return;
      pending.unsent = undefined;
    }
  }

  /** What was sent may have been seen; what was not waits for the next connection. */
  #lost(): void {
    for (const [number, { unsent }] of [...this.#pending]) {
      if (unsent !== undefined) continue;
      this.#take(number)?.reject(
        new RelayError(
          RelayStatus.WorkerLost,
          `The connection to the relay is lost: ${this.#link.fault ?? "no reason"}`,
          false,
        ),
      );
    }
  }

  #reply({ number, status, late, data }: RelayReply): void {
    if (late) return this.#options.onLate?.(number, data);
    const pending = this.#take(number);
    if (pending === undefined) return;
    if (status === RelayStatus.Ok) return pending.resolve(data);
    if (status === RelayStatus.TimedOut) {
      return pending.reject(new TimeoutError("No worker answered in time", 0));
    }
    const reason = status === RelayStatus.Failed
      ? `the worker failed: ${new TextDecoder().decode(data)}`
      : REASONS[status] ?? `status ${status}`;
    pending.reject(
      new RelayError(status, `Request is not answered: ${reason}`, UNSEEN.includes(status)),
    );
  }

  #timeOut(number: number, ttlMs: number): void {
    const { fault } = this.#link;
    const why = fault === undefined ? "" : `: ${fault}`;
    this.#take(number)?.reject(new TimeoutError(`The relay did not answer in time${why}`, ttlMs));
  }
}

function checkBytes(name: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new RangeError(`${name} must be at most ${bytesMax} bytes: current value is ${bytes}`);
}
