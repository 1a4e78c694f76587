// Relays that have clients, workers and kept messages in common, over real NATS servers that die too.

import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import assert from "node:assert/strict";
import { test } from "node:test";
import { RelayClient } from "../api/relay_client.ts";
import type { RelayClientOptions } from "../api/relay_options.ts";
import { RelayWorker } from "../api/relay_worker.ts";
import { RelayStatus } from "../proto/message_ids.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { NatsLink, NatsMailLog } from "../relay/cluster/nats_link.ts";
import { natsProgram, startNats } from "./support/nats.ts";
import { withProcesses } from "./support/processes.ts";
import { isSettled, RelayPair, relayRounds } from "./support/relay_rounds.ts";
import { until } from "./support/until.ts";

const program = natsProgram();
const OPTIONS = { timeout: 300_000, skip: program === undefined ? "no nats-server" : false };

/** More by `deno run -A tests/relay/relay_rounds.ts`. */
const ROUNDS = { relay: 4, server: 2, leader: 2 };

for (const fault of ["relay", "server", "leader"] as const) {
  test(
    `e2e: two relays on NATS, the ${fault} killed in mid-load: all that was acknowledged arrives, in order, once`,
    OPTIONS,
    () =>
      withProcesses(async (processes) => {
        const end = await relayRounds(processes, program ?? "", fault, ROUNDS[fault]);
        assert.ok(end.acknowledged >= 2 * 15 * ROUNDS[fault]);
      }),
  );
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** A client with a name that keeps what it gets. */
async function newPerson(
  name: string,
  relays: readonly string[],
  more: RelayClientOptions = {},
): Promise<{ client: RelayClient; texts: string[] }> {
  const texts: string[] = [];
  let isHere = false;
  const client = new RelayClient({
    ...{ relays, name, timeoutMs: 30_000 },
    onMessage: ({ data }) => void texts.push(text(data)),
    onWelcome: () => (isHere = true),
    ...more,
  });
  await until(() => isHere);
  return { client, texts };
}

test(
  "e2e: clients and workers of two relays reach each other; without NATS what is at one goes on, and what is kept waits",
  OPTIONS,
  () =>
    withProcesses(async (processes) => {
      const pair = await RelayPair.start(processes, program ?? "", 1);
      const [a, b] = pair.names;
      await pair.together();
      const key = { modId: 3, cmdId: 4 };
      const worker = new RelayWorker({ relays: [b], modules: [key] }, ({ data }) => data);
      const ann = await newPerson("ann", [a]);
      const carl = await newPerson("carl", [a]);
      const bob = await newPerson("bob", [b, a], { mail: true });
      await until(async () => (await pair.stats(0)).relays_names === 1);
      await until(async () => (await pair.stats(0)).modules === 1);
      assert.equal(text(await ann.client.request(key, bytes("far"))), "far");
      await ann.client.send("bob", bytes("hello"));
      await ann.client.send("bob", bytes("kept"), { stored: true });
      await until(() => bob.texts.length === 2);
      await assert.rejects(ann.client.request({ modId: 9, cmdId: 9 }, bytes("x")), {
        status: RelayStatus.NoWorker,
      });
      await pair.servers[0].kill9();
      await until(async () => (await pair.stats(0)).relays_connected === 0);
      await ann.client.send("carl", bytes("here"));
      await assert.rejects(ann.client.send("bob", bytes("x")), { status: RelayStatus.NoClient });
      let isKept = false;
      const keeping = ann.client.send("bob", bytes("later"), { stored: true })
        .then(() => (isKept = true));
      await until(async () => (await pair.stats(0)).mail_failures > 0);
      assert.equal(isKept, false, "nothing is acknowledged that is not on disk");
      await pair.servers[0].start();
      await keeping;
      await until(() => bob.texts.length === 3 && carl.texts.length === 1);
      await pair.together();
      // Its relay dies: it goes to the other one, with what was kept meanwhile.
      await pair.relays[1].kill9();
      await ann.client.send("bob", bytes("moved"), { stored: true });
      await until(() => bob.texts.includes("moved"));
      assert.deepEqual(bob.texts, ["hello", "kept", "later", "moved"]);
      await until(async () => (await pair.stats(0)).relays === 0);
      await worker.close();
      for (const { client } of [ann, bob, carl]) await client.close();
      assert.equal((await pair.relays[0].stop()).code, 0);
    }),
);

test(
  "e2e: a stream that somebody removed is made anew: relays say what was lost, and keep messages again",
  OPTIONS,
  () =>
    withProcesses(async (processes) => {
      const pair = await RelayPair.start(processes, program ?? "", 1);
      const [a, b] = pair.names;
      const ann = await newPerson("ann", [a]);
      const bob = await newPerson("bob", [b], { mail: true });
      await ann.client.send("bob", bytes("first"), { stored: true });
      await until(() => bob.texts.length === 1);
      await ann.client.send("carl", bytes("lost"), { stored: true });
      await until(async () => (await pair.stats(1)).mail_waiting === 1);
      const connection = await connect({ servers: [pair.servers[0].url] });
      await (await jetstreamManager(connection)).streams.delete("lars_mail");
      await connection.close();
      // At once, and once both have noticed, which takes them one look of 10 s at most.
      await ann.client.send("bob", bytes("second"), { stored: true });
      for (const at of [0, 1]) {
        await until(async () => (await pair.stats(at)).mail_stores_lost === 1, {
          timeoutMs: 60_000,
          intervalMs: 100,
          what: `relay ${at} to notice`,
        });
        assert.equal((await pair.stats(at)).mail_refused_lost, 1);
        await until(() => pair.relays[at].stderr.includes("made anew: what waited in it is lost"));
      }
      await ann.client.send("bob", bytes("third"), { stored: true });
      await until(() => bob.texts.length === 3, { what: () => bob.texts.join() });
      assert.deepEqual(bob.texts, ["first", "second", "third"]);
      for (const at of [0, 1]) {
        await until(async () => isSettled(await pair.stats(at)), { intervalMs: 100 });
      }
      for (const { client } of [ann, bob]) await client.close();
    }),
);

test(
  "e2e: what is not in the stream any more is removed again without an error, wherever it was",
  OPTIONS,
  () =>
    withProcesses(async (processes) => {
      const [server] = await startNats(processes, program ?? "", 1);
      const options = {
        ...{ servers: [server.url], secret: undefined, caFile: undefined, prefix: "lars" },
        ...{ isStore: true, replicas: 1, monitors: [], clock: systemClock, log: silentLogger },
      };
      const link = new NatsLink(options);
      await until(() => link.connected);
      const log = new NatsMailLog(link, options);
      await log.span();
      for (let seq = 1; seq <= 4; seq++) assert.equal(await log.append("a", bytes("x")), seq);
      // In the middle, at the beginning, and the newest of all: servers say it differently.
      for (const seq of [2, 1, 4]) {
        await log.remove(seq);
        await log.remove(seq);
      }
      assert.deepEqual([await log.get(2), (await log.get(3))?.length], [undefined, 1]);
      await link.close();
    }),
);
