// Core. Questions to a relay that runs, of those who look after it: the command line and the console.

import { decodeRelayTold, encodeRelayAsk } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { LarsError, LimitError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { type Clock, sleep } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { SessionTransport } from "../session/handshake.ts";
import type { Secrets } from "../session/secrets.ts";
import { SessionClient } from "../session/session_client.ts";

/** Longest wait for a connection, and for an answer. */
export const RELAY_ANSWER_MS = 5_000;

/** Questions without an answer over one connection; a further one is refused. */
export const RELAY_QUESTIONS_MAX = 64;

/** Time between two looks whether there is a connection. */
const LOOK_MS = 10;

/** An answer of a relay: JSON. */
export type RelayTelling = Readonly<Record<string, unknown>>;

/** What a {@linkcode RelayAdmin} is given. */
export interface RelayAdminOptions {
  readonly address: Address;
  /** Shared with the relay, if there are any. */
  readonly secrets: Secrets | undefined;
  readonly transport: SessionTransport;
  readonly software: string;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** No relay can be asked: there is none, it wants another secret, or it does not answer in time. */
export class RelayAwayError extends LarsError {
  override name = "RelayAwayError";
}

/** A relay has refused a question, in its own words. */
export class RelayAnswerError extends LarsError {
  override name = "RelayAnswerError";
}

/** A connection to one relay for questions; it comes back by itself until it is closed. */
export class RelayAdmin {
  /** `host:port`. */
  readonly name: string;
  readonly #clock: Clock;
  readonly #link: SessionClient;
  /** Who hears the answers, by the number of the question. */
  readonly #hearers = new Map<number, (telling: RelayTelling) => void>();
  /** Called when the connection is lost, by the number of the question. */
  readonly #losers = new Map<number, () => void>();
  #lastNumber = 0;
  #lost = false;
  #closed = false;

  /** Begins to connect. */
  constructor({ address, ...options }: RelayAdminOptions) {
    this.name = formatAddress(address);
    this.#clock = options.clock;
    this.#link = new SessionClient({
      ...options,
      ...{ addresses: [address], role: "tool", name: "relay", log: silentLogger },
      welcomeWaitMs: Infinity,
      secretMissingReason: "the relay wants a secret and there is none: set [auth] token_file",
      onReady: () => (this.#lost = false),
      onLost: () => this.#gone(),
    });
    this.#link.router.add(MessageId.RelayTold, (body) => {
      const { number, answer } = decodeRelayTold(body);
      this.#hearers.get(number)?.(JSON.parse(answer) as RelayTelling);
    });
    this.#link.start();
  }

  /** True when the connection is lost, and there is no other one yet. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Waits for a connection.
   *
   * @param isImpatient An attempt that failed is enough: the next one is not waited for.
   * @throws {RelayAwayError} when there is none within `waitMs`, or the relay wants another secret.
   */
  async connected(waitMs = RELAY_ANSWER_MS, isImpatient = false): Promise<void> {
    const endMs = this.#clock.nowMs() + waitMs;
    while (!this.#link.ready) {
      const { secretFault, fault } = this.#link;
      const isOver = this.#clock.nowMs() >= endMs || (isImpatient && fault !== undefined);
      if (secretFault !== undefined || this.#closed || isOver) {
        const why = secretFault ?? fault ?? "silence";
        const cause = new Error(why);
        throw new RelayAwayError(`No relay answers at ${this.name}: ${why}`, { cause });
      }
      await sleep(this.#clock, LOOK_MS);
    }
  }

  /**
   * Asks once.
   *
   * @throws {RelayAwayError} when there is no connection, or no answer within `waitMs`.
   * @throws {RelayAnswerError} when the relay says what is wrong.
   * @throws {LimitError} after {@linkcode RELAY_QUESTIONS_MAX} questions without an answer.
   */
  async ask(question: RelayTelling, waitMs = RELAY_ANSWER_MS): Promise<RelayTelling> {
    if (this.#hearers.size >= RELAY_QUESTIONS_MAX) {
      const most = RELAY_QUESTIONS_MAX;
      throw new LimitError("RELAY_QUESTIONS_MAX", `${most} questions have no answer yet`);
    }
    const number = ++this.#lastNumber;
    const { promise, resolve, reject } = Promise.withResolvers<RelayTelling>();
    const timer = this.#clock.setTimer(waitMs, () => {
      reject(new RelayAwayError(`The relay at ${this.name} does not answer`));
    });
    this.#hearers.set(number, resolve);
    const lost = (): void => reject(new RelayAwayError(`The relay at ${this.name} is gone`));
    this.#losers.set(number, lost);
    try {
      if (!this.#say(number, question)) lost();
      const telling = await promise;
      if (typeof telling.error === "string") throw new RelayAnswerError(telling.error);
      return telling;
    } finally {
      timer.cancel();
      this.#hearers.delete(number);
      this.#losers.delete(number);
    }
  }

  /** Asks, and hears everything that is told for it from now on. */
  follow(question: RelayTelling, hear: (telling: RelayTelling) => void): void {
    const number = ++this.#lastNumber;
    this.#hearers.set(number, hear);
    this.#say(number, question);
  }

  /** Ends the connection. */
  close(): Promise<void> {
    this.#closed = true;
    this.#gone();
    return this.#link.close();
  }

  #say(number: number, question: RelayTelling): boolean {
    const body = encodeRelayAsk({ number, question: JSON.stringify(question) });
    return this.#link.send(MessageId.RelayAsk, body);
  }

  #gone(): void {
    this.#lost = true;
    for (const lost of [...this.#losers.values()]) lost();
  }
}
