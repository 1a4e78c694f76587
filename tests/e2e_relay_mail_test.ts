// What a relay has acknowledged is on disk: it is killed in mid-load, again and again.

import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { freePort } from "./support/free_port.ts";
import { MailSender, MailTaker } from "./support/mail_load.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const TIMEOUT = { timeout: 600_000 };

/** How often the relay is killed; more for a longer look. */
const KILLS = Number(process.env.RELAY_TEST_KILLS ?? 6);

/** Messages of each sender that are acknowledged between two kills, at least. */
const BETWEEN_KILLS = 15;

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
      const receiver = new MailTaker([name]);
      const senders = ["ann", "bob"].map((one) => new MailSender(one, [name], receiver));
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
        if (kill % 3 === 2) await receiver.restart();
        relay = await startRelay(processes, port);
      }
      for (const sender of senders) await sender.stop();
      await receiver.checkAll(senders);
      for (const { acknowledged } of senders) {
        assert.ok(acknowledged.length >= KILLS * BETWEEN_KILLS);
      }
      await receiver.close();
      assert.equal((await relay.stop()).code, 0);
    });
  },
);
