// Goal: an agent whose dns has lost its database while another one has it hears of edits by that one,
// and comes back when the first has it again. Method: two dns and an agent as processes; the way of the
// first dns to MariaDB is cut, so that it hears nothing of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { openStore } from "../sql/mod.ts";
import { addNodes, agentFlags, nodeOf } from "./support/fleet.ts";
import { noTestDatabaseReason, withTestDatabase } from "./support/mariadb.ts";
import { NoisyStreams } from "./support/noisy_paths.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

test(
  "an agent goes to the dns that reads the database from the one that does not, and back",
  { skip: noTestDatabaseReason() ?? false, timeout: 300_000 },
  (t) =>
    withTestDatabase(t, (url) =>
      withProcesses(async (processes) => {
        const store = await openStore(url);
        await store.migrate();
        await addNodes(store, 1, 1, [nodeOf(1)]);
        const path = await NoisyStreams.open(Number(new URL(url).port), seededRng(1));
        try {
          const behindPath = new URL(url);
          behindPath.port = `${path.port}`;
          const start = (own: string) =>
            processes.start("dns", [
              ...["--reactor-port=0", `--store=${own}`, "--dns-poll-interval=0.1"],
            ]);
          const [first, second] = await Promise.all([start(behindPath.href), start(url)]);
          const agent = await processes.start("agent", [
            ...agentFlags(processes, [first.port(), second.port()], [1]),
            ...["--agent-server-return=1", "--loadbalance-update-timeout=1"],
          ]);
          const caller = await WireCaller.open(agent.port());
          await caller.untilHost(1, 1);
          const nodes = async (): Promise<number> => {
            const seen = new Set<number>();
            for (let call = 0; call < 20; call++) {
              seen.add((await caller.getHost(1, 1)).host?.ip ?? 0);
            }
            return seen.size;
          };
          const moves = (): string[] =>
            agent.stderr.split("\n").filter((line) =>
              line.includes("Changes to another connection")
            );
          path.cut("both");
          await addNodes(store, 1, 1, [nodeOf(2)]);
          await until(async () => await nodes() === 2, {
            timeoutMs: 120_000,
            what: "the edit that the first dns does not know",
          });
          assert.equal(moves().length, 1, agent.stderr);
          assert.match(moves()[0], new RegExp(`to=127.0.0.1:${second.port()} .*was behind`));
          // It has stayed there for a while, though the first one is there.
          path.cut("none");
          await addNodes(store, 1, 1, [nodeOf(3)]);
          await until(async () => await nodes() === 3, { what: "an edit by the second" });
          await until(() => moves().length === 2, { timeoutMs: 120_000, what: "the way back" });
          assert.match(moves()[1], new RegExp(`to=127.0.0.1:${first.port()}`));
          await addNodes(store, 1, 1, [nodeOf(4)]);
          await until(async () => await nodes() === 4, { what: "an edit by the first" });
          caller.close();
        } finally {
          await path.close();
          await store.close();
        }
      })),
);
