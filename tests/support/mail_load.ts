// Shell. Clients of relays that send messages to be kept without end, and one that takes them.

import assert from "node:assert/strict";
import { RelayClient } from "../../api/relay_client.ts";
import type { RelayResume } from "../../api/relay_options.ts";
import { messageOf } from "../../reactor/errors.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { until } from "./until.ts";

/** For one that is in the way of several faults, one after the other; it must be acknowledged in the end. */
const SEND_MS_MAX = 600_000;

/** Messages that may wait for who takes them; a mailbox takes 10,000. */
const AHEAD_MAX = 3_000;

/** Wrong arrivals that are told at most. */
const WRONG_MAX = 20;

/** One that sends without end, several at a time, and notes what was acknowledged. */
export class MailSender {
  readonly acknowledged: number[] = [];
  /** Why it has stopped before it was asked to. */
  failure: string | undefined;
  readonly #client: RelayClient;
  readonly #running: Promise<void>;
  #stopped = false;

  /** `taker`: waited for when it is far behind. */
  constructor(readonly name: string, relays: readonly string[], readonly taker: MailTaker) {
    this.#client = new RelayClient({ relays, name, timeoutMs: SEND_MS_MAX });
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    let next = 0;
    const one = async (): Promise<void> => {
      while (!this.#stopped) {
        if (this.acknowledged.length - this.taker.countOf(this.name) > AHEAD_MAX) {
          await sleep(systemClock, 20);
          continue;
        }
        const number = next++;
        const data = new TextEncoder().encode(`${this.name} ${number}`);
        try {
          await this.#client.send("receiver", data, { stored: true, id: `${number}` });
        } catch (error) {
          this.failure ??= `${this.name} ${number}: ${messageOf(error)}`;
          this.#stopped = true;
          return;
        }
        this.acknowledged.push(number);
      }
    };
    // Several under way, so that a kill falls between them.
    await Promise.all(Array.from({ length: 5 }, one));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await this.#client.close();
  }
}

/** What has come of one sender. */
class Arrivals {
  readonly numbers = new Set<number>();
  newest = -1;
  /** So many of the acknowledged ones were looked at, and had come. */
  checkedCount = 0;
}

/** The one they all write to; its program may die too, and keeps where it stood with what it got. */
export class MailTaker {
  readonly #relays: readonly string[];
  readonly #got = new Map<string, Arrivals>();
  /** What came twice, or behind something newer. */
  readonly #wrong: string[] = [];
  #resume: RelayResume | undefined;
  #client: RelayClient;

  constructor(relays: readonly string[]) {
    this.#relays = relays;
    this.#client = this.#newClient();
  }

  #newClient(): RelayClient {
    return new RelayClient({
      ...{ relays: this.#relays, name: "receiver", mail: true },
      ...(this.#resume === undefined ? {} : { resume: this.#resume }),
      onMessage: ({ from, data }) => {
        this.#take(from, Number(new TextDecoder().decode(data).split(" ")[1]));
      },
    });
  }

  #take(from: string, number: number): void {
    const own = this.#of(from);
    const isTwice = own.numbers.has(number);
    if ((isTwice || number < own.newest) && this.#wrong.length < WRONG_MAX) {
      this.#wrong.push(`${from} ${number} ${isTwice ? "twice" : `behind ${own.newest}`}`);
    }
    own.numbers.add(number);
    own.newest = Math.max(own.newest, number);
  }

  #of(from: string): Arrivals {
    const own = this.#got.get(from) ?? new Arrivals();
    this.#got.set(from, own);
    return own;
  }

  /** Messages of a sender that have come. */
  countOf(from: string): number {
    return this.#of(from).numbers.size;
  }

  async restart(): Promise<void> {
    await this.#client.close();
    // Not before: messages that wait for their turn are handled while it closes.
    this.#resume = this.#client.resume;
    this.#client = this.#newClient();
  }

  /**
   * Waits for all that was acknowledged before this call, and looks that everything came in order and
   * once; what was looked at by an earlier call is not looked at again.
   */
  async checkAll(senders: readonly MailSender[], timeoutMs = 60_000): Promise<void> {
    const counts = new Map(senders.map(({ name, acknowledged }) => [name, acknowledged.length]));
    const missing = (): string[] =>
      senders.flatMap(({ name, acknowledged }) => {
        const { numbers, checkedCount } = this.#of(name);
        return acknowledged.slice(checkedCount, counts.get(name))
          .filter((number) => !numbers.has(number)).map((one) => `${name} ${one}`);
      });
    const what = (): string => `${missing().length} messages: ${missing().slice(0, 20).join()}`;
    try {
      await until(() => missing().length === 0, { timeoutMs, what });
    } finally {
      assert.deepEqual(this.#wrong, [], "in order of each sender, none twice");
      assert.deepEqual(senders.flatMap(({ failure }) => failure ?? []), [], "all are acknowledged");
    }
    for (const [name, count] of counts) this.#of(name).checkedCount = count;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
