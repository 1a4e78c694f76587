// Shell. Clients of relays that send messages to be kept without end, and one that takes them.

import assert from "node:assert/strict";
import { RelayClient } from "../../api/relay_client.ts";
import type { RelayResume } from "../../api/relay_options.ts";
import { until } from "./until.ts";

/** For one that is in the way of several faults, one after the other; it must be acknowledged in the end. */
const SEND_MS_MAX = 600_000;

/** One that sends without end, several at a time, and notes what was acknowledged. */
export class MailSender {
  readonly acknowledged: number[] = [];
  readonly #client: RelayClient;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(readonly name: string, relays: readonly string[]) {
    this.#client = new RelayClient({ relays, name, timeoutMs: SEND_MS_MAX });
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    let next = 0;
    const one = async (): Promise<void> => {
      while (!this.#stopped) {
        const number = next++;
        const data = new TextEncoder().encode(`${this.name} ${number}`);
        await this.#client.send("receiver", data, { stored: true, id: `${number}` });
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

/** The one they all write to; its program may die too, and keeps where it stood with what it got. */
export class MailTaker {
  readonly #relays: readonly string[];
  readonly #got = new Map<string, number[]>();
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
        const number = Number(new TextDecoder().decode(data).split(" ")[1]);
        this.#got.set(from, [...this.#got.get(from) ?? [], number]);
      },
    });
  }

  async restart(): Promise<void> {
    this.#resume = this.#client.resume;
    await this.#client.close();
    this.#client = this.#newClient();
  }

  /** Waits for all that was acknowledged, and looks that it came in order and once. */
  async checkAll(senders: readonly MailSender[], timeoutMs = 60_000): Promise<void> {
    const missing = (): string[] =>
      senders.flatMap(({ name, acknowledged }) => {
        const own = new Set(this.#got.get(name));
        return acknowledged.filter((number) => !own.has(number)).map((one) => `${name} ${one}`);
      });
    const what = (): string => `${missing().length} messages: ${missing().slice(0, 20).join()}`;
    await until(() => missing().length === 0, { timeoutMs, what });
    for (const { name: from } of senders) {
      const numbers = this.#got.get(from) ?? [];
      assert.equal(new Set(numbers).size, numbers.length, `${from}: none twice`);
      assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), `${from}: in order`);
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
