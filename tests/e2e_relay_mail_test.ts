// What a relay has acknowledged is on disk: it is killed in mid-load, again and again.

import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { RelayClient } from "../api/relay_client.ts";
import type { RelayResume } from "../api/relay_options.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const TIMEOUT = { timeout: 600_000 };

/** How often the relay is killed; more for a longer look. */
const KILLS = Number(process.env.RELAY_TEST_KILLS ?? 6);

/** Messages of each sender that are acknowledged between two kills, at least. */
const BETWEEN_KILLS = 15;

/** One that sends without end, and notes what was acknowledged. */
class Sender {
  readonly acknowledged: number[] = [];
  readonly #client: RelayClient;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(readonly name: string, relay: string) {
    this.#client = new RelayClient({ relays: [relay], name, timeoutMs: 60_000 });
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

function startRelay(processes: Processes, port: number): Promise<TestProcess> {
  const store = `sqlite:${join(processes.directory, "mail.db")}`;
  const flags = [`--relay-port=${port}`, `--relay-store=${store}`, "--metrics-port=0"];
  return processes.start("relay", flags);
}

test(
  "e2e: of a relay that is killed in mid-load every acknowledged message arrives, in order, once",
  TIMEOUT,
  async () => {
    await withProcesses(async (processes) => {
      const port = await freePort();
      const name = `127.0.0.1:${port}`;
      let relay = await startRelay(processes, port);
      const got = new Map<string, number[]>();
      let resume: RelayResume | undefined;
      const newReceiver = (): RelayClient =>
        new RelayClient({
          ...{ relays: [name], name: "receiver", mail: true },
          ...(resume === undefined ? {} : { resume }),
          onMessage: ({ from, data }) => {
            const number = Number(new TextDecoder().decode(data).split(" ")[1]);
            got.set(from, [...got.get(from) ?? [], number]);
          },
        });
      let receiver = newReceiver();
      const senders = ["ann", "bob"].map((one) => new Sender(one, name));
      const count = (): number =>
        Math.min(...senders.map(({ acknowledged }) => acknowledged.length));
      for (let kill = 0; kill < KILLS; kill++) {
        const before = count();
        await until(() => count() >= before + BETWEEN_KILLS, { timeoutMs: 60_000 });
        await relay.kill9();
        // The beginning of a write that never ended.
        if (kill % 2 === 1) {
          appendFileSync(join(processes.directory, "mail.db-wal"), new Uint8Array(1000).fill(kill));
        }
        // The receiving program dies too, and keeps where it stood with what it got.
        if (kill % 3 === 2) {
          ({ resume } = receiver);
          await receiver.close();
          receiver = newReceiver();
        }
        relay = await startRelay(processes, port);
      }
      for (const sender of senders) await sender.stop();
      const arrived = (): boolean =>
        senders.every(({ name: from, acknowledged }) => {
          const own = new Set(got.get(from));
          return acknowledged.every((number) => own.has(number));
        });
      await until(arrived, { timeoutMs: 60_000, what: "all that was acknowledged" });
      for (const { name: from, acknowledged } of senders) {
        const numbers = got.get(from) ?? [];
        assert.equal(new Set(numbers).size, numbers.length, `${from}: none twice`);
        assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), `${from}: in order`);
        assert.ok(acknowledged.length >= KILLS * BETWEEN_KILLS);
      }
      await receiver.close();
      assert.equal((await relay.stop()).code, 0);
    });
  },
);
