// Relays through the REST interface: real ones in this process, and one that is away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RelayClient } from "../../api/relay_client.ts";
import { RelayWorker } from "../../api/relay_worker.ts";
import { withRelay } from "../../relay/testing/test_relay.ts";
import { withConsole } from "../../tests/support/console_bench.ts";
import { until } from "../../tests/support/until.ts";
import type { ResponseOf } from "../contract.ts";

type RelayRows = ResponseOf<"listRelays">;

test(
  "GET /relays: what relays have, and DELETE puts a client out",
  { timeout: 120_000 },
  () =>
    withRelay({}, async (relay) => {
      const settings = { relays: `${relay.name}, 127.0.0.1:1` };
      await withConsole(async ({ clients: { viewer, operator } }) => {
        const list = (): Promise<RelayRows> => viewer.get("GET /relays");
        const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
        const client = new RelayClient({ relays: [relay.name], name: "ann" });
        try {
          await until(() => relay.stats().workers === 1, { what: "the worker" });
          await client.request({ modId: 0, cmdId: 0 }, new Uint8Array(3));
          await until(async () => (await list()).relays[0].facts?.requestsPerSecond === 0, {
            what: "a second look, so that rates are known",
          });
          const [here, away] = (await list()).relays;
          assert.deepEqual([here.fault, here.facts?.clients, here.facts?.workers], [null, 1, 1]);
          assert.equal(here.facts?.mailWaiting, null);
          assert.equal(away.facts, null);
          assert.match(away.fault ?? "", /^No relay answers at 127\.0\.0\.1:1: /);

          const path = `/relays/${encodeURIComponent(relay.name)}`;
          const workers = await viewer.get<ResponseOf<"listRelayWorkers">>(`GET ${path}/workers`);
          assert.deepEqual(workers.workers.map(({ modules, answered }) => [modules, answered]), [
            [[{ modId: 0, cmdId: 0 }], 1],
          ]);
          const queues = await viewer.get<ResponseOf<"listRelayQueues">>(`GET ${path}/queues`);
          assert.deepEqual(queues.queues, [
            { modId: 0, cmdId: 0, workers: 1, waiting: 0, waitingBytes: 0, oldestMs: 0 },
          ]);
          const mail = await viewer.ask(`GET ${path}/mail`);
          assert.equal(mail.status, 409);
          assert.match(mail.problem.detail, /\[relay\] store/);
          const gone = await viewer.ask("GET /relays/127.0.0.1:1/clients");
          assert.deepEqual([gone.status, gone.problem.type], [502, "urn:lars:relay-away"]);
          assert.equal((await viewer.ask("GET /relays/10.0.0.1:1/clients")).status, 404);

          const { clients } = await viewer.get<ResponseOf<"listRelayClients">>(
            `GET ${path}/clients`,
          );
          const [{ sid, name, kind }] = clients;
          assert.deepEqual([name, kind], ["ann", "session"]);
          const kick = `DELETE ${path}/clients/${sid}`;
          assert.equal((await viewer.ask(kick)).status, 403);
          assert.equal((await operator.ask(kick)).status, 204);
          await until(() => !relay.loop.broker.clients.has(sid), { what: "the client to be out" });
          assert.equal((await operator.ask(kick)).status, 404);
          const { entries } = await operator.get<ResponseOf<"listAudit">>(
            "GET /audit?action=relay.kick",
          );
          assert.deepEqual(entries.map(({ who, target }) => [who, target]).at(-1), [
            "operator",
            `${relay.name} client ${sid}`,
          ]);
        } finally {
          await client.close();
          await worker.close();
        }
      }, { settings });
    }),
);

test(
  "rules about relays: a console asks relays for them, and one that ends is told as away",
  { timeout: 120_000 },
  () =>
    withRelay({}, async (relay) => {
      await withConsole(async ({ clients: { viewer, operator } }) => {
        const rule = {
          ...{ kind: "relay_away", title: "Relay away", severity: "critical", isEnabled: true },
          ...{ threshold: 0, forS: 1, clearS: 1, modId: null, cmdId: null },
        };
        assert.equal(relay.stats().connections_accepted, 0);
        assert.equal((await operator.ask("POST /alert-rules", { body: rule })).status, 201);
        await until(() => relay.stats().connections === 1, { what: "the console to look" });
        const firing = async (): Promise<string[]> => {
          const { alerts } = await viewer.get<ResponseOf<"listAlerts">>("GET /alerts");
          return alerts.filter(({ state }) => state === "firing").map(({ text }) => text);
        };
        assert.deepEqual(await firing(), []);
        await relay.loop.close();
        await until(async () => (await firing()).length > 0, { timeoutMs: 60_000 });
        const [text] = await firing();
        assert.ok(text.startsWith(`relay ${relay.name} does not answer: `), text);
      }, { settings: { relays: relay.name } });
    }),
);

test(
  "a console holds no connection to a relay that nobody looks at",
  { timeout: 60_000 },
  () =>
    withRelay({}, async (relay) => {
      await withConsole(async ({ clients: { viewer } }) => {
        assert.equal(relay.stats().connections_accepted, 0);
        await viewer.get("GET /relays");
        assert.equal(relay.stats().connections_accepted, 1);
      }, { settings: { relays: relay.name } });
      await until(() => relay.stats().connections === 0, { what: "the end of the connection" });
    }),
);
