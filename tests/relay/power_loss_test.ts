// A loss of power, as far as one machine can show it: what a NATS server had not synced is cut from its
// files. It needs a server of 2.10 or newer, whose program `LARS_TEST_NATS_SERVER` names, and strace.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RelayClient } from "../../api/relay_client.ts";
import { DiskTrace, tracedBy } from "../support/disk_trace.ts";
import { freePort } from "../support/free_port.ts";
import { canSyncAlways, natsProgram, type NatsServer, newNats } from "../support/nats.ts";
import { type Processes, type TestProcess, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { withRelayAdmin } from "../../tools/relay_admin.ts";

const MESSAGES = 40;

/** What a server says of a message that it has stored. */
const ACKNOWLEDGED = /\\"stream\\":\s*\\"lars_mail\\"[^}]*\\"seq\\":/;

const program = natsProgram();
const hasTrace = spawnSync("strace", ["-V"]).status === 0;
const skip = program === undefined || !canSyncAlways(program)
  ? "no nats-server of 2.10 or newer: LARS_TEST_NATS_SERVER names one"
  : hasTrace
  ? false
  : "no strace";

async function startRelay(processes: Processes, server: NatsServer): Promise<TestProcess> {
  const flags = [`--relay-port=${await freePort()}`, "--relay-store=nats", "--metrics-port=0"];
  const nats = [`--relay-nats=${server.url}`, `--relay-nats-monitor=${server.monitor}`];
  return await processes.start("relay", [...flags, ...nats]);
}

/** Messages that a relay finds. */
async function waitingAt(relay: TestProcess): Promise<unknown> {
  const address = { hostname: "127.0.0.1", port: relay.port() };
  const ask = { ask: "mail" };
  return (await withRelayAdmin({ relay: address }, (admin) => admin.ask(ask))).waiting;
}

/** What a client gets that comes after the loss of power. */
async function taken(relay: TestProcess): Promise<string[]> {
  const texts: string[] = [];
  let isHere = false;
  const client = new RelayClient({
    ...{ relays: [`127.0.0.1:${relay.port()}`], name: "bob", mail: true },
    onMessage: ({ data }) => void texts.push(new TextDecoder().decode(data)),
    onWelcome: () => (isHere = true),
  });
  await until(() => isHere);
  await until(() => texts.length >= MESSAGES, { timeoutMs: 60_000, what: "all messages" });
  await client.close();
  return texts;
}

/** Has messages acknowledged, cuts the power, and starts everything again. */
async function loseItsPower(
  processes: Processes,
  syncsAlways: boolean,
): Promise<{ readonly trace: DiskTrace; readonly early: number; readonly relay: TestProcess }> {
  const [server] = await newNats(processes, program ?? "", 1, syncsAlways);
  const file = join(processes.directory, "trace");
  await server.start(tracedBy(file));
  const first = await startRelay(processes, server);
  const ann = new RelayClient({ relays: [`127.0.0.1:${first.port()}`], timeoutMs: 30_000 });
  for (let i = 0; i < MESSAGES; i++) {
    await ann.send("bob", new TextEncoder().encode(`${i}`), { stored: true, id: `n${i}` });
  }
  server.kill9ByFile();
  await first.kill9();
  await ann.close();
  let lines: string[] = [];
  await until(() => {
    lines = readFileSync(file, "utf8").split("\n");
    return lines.some((line) => line.includes("+++ killed by SIGKILL +++"));
  });
  const trace = new DiskTrace(server.directory);
  let acknowledged = 0;
  let early = 0;
  for (const line of lines) {
    if (!ACKNOWLEDGED.test(trace.take(line) ?? "")) continue;
    acknowledged++;
    if (trace.dirty.some((path) => path.endsWith(".blk"))) early++;
  }
  assert.ok(acknowledged >= MESSAGES, `${acknowledged} acknowledgements in the trace`);
  trace.cut();
  await server.start();
  return { trace, early, relay: await startRelay(processes, server) };
}

test(
  "power lost: with sync_interval always every acknowledged message is on disk before its acknowledgement leaves",
  { timeout: 300_000, skip },
  () =>
    withProcesses(async (processes) => {
      const { early, relay } = await loseItsPower(processes, true);
      assert.equal(early, 0, "acknowledged before it was synced");
      const texts = await taken(relay);
      assert.deepEqual(texts, Array.from({ length: MESSAGES }, (_, i) => `${i}`));
      await until(() => relay.stderr.includes("A NATS server syncs each message to disk"));
    }),
);

test(
  "power lost: without it acknowledged messages are gone, and the relay has said so when it started",
  { timeout: 300_000, skip },
  () =>
    withProcesses(async (processes) => {
      const { early, relay } = await loseItsPower(processes, false);
      assert.ok(early > 0, "the trace shows acknowledgements of what is not synced");
      await until(() => relay.stderr.includes("acknowledges messages before they are on disk"));
      assert.equal(await waitingAt(relay), 0);
    }),
);
