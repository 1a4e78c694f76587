// Edits through a cluster whose nodes are killed, stopped and left without their neighbours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError } from "../../reactor/errors.ts";
import { openStore } from "../../sql/mod.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import { nodeOf } from "../support/fleet.ts";
import { statusOf, withGalera } from "../support/galera.ts";
import { skipUnlessLong } from "../support/in_time.ts";
import { runAdmin } from "../support/mariadb.ts";
import { withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { monotonicMs, WireConnection } from "../support/wire_client.ts";
import { reasonAgainst } from "./needs.ts";

/** Edits between two faults; 1,000 in all in a run of a minute. */
const EDITS_PER_FAULT = Math.max(20, Math.round(faultSeconds() * 5));

test("edits through a Galera cluster of which nodes are killed and stopped: none is lost", {
  timeout: 600_000,
  skip: reasonAgainst(["galera"]) ?? skipUnlessLong(),
}, () =>
  withGalera(3, (nodes) =>
    withProcesses(async (processes) => {
      await runAdmin(nodes[0].url, "CREATE DATABASE lars");
      // The first began the cluster and cannot come back to it by its own words: it is used last.
      const list = [...nodes.slice(1), nodes[0]].map(({ port }) => `127.0.0.1:${port}`).join(",");
      const url = `${nodes[0].url.replace(/@.*/, "")}@${list}/lars`;
      const store = await openStore(url);
      await store.migrate();
      const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
      const peer = await WireConnection.open(dns.port());
      await peer.route(1, 1);
      const stalls: number[] = [];
      let [edits, refused, isOver] = [0, 0, false];
      const write = async (): Promise<void> => {
        while (!isOver) {
          const startMs = monotonicMs();
          const edit = { op: "add", modId: 1, cmdId: 1, ...nodeOf(edits + 1) } as const;
          // Refused means: not made, and said so; it is tried again until it is made.
          await until(async () => {
            try {
              await store.editRoutes([edit]);
              return true;
            } catch (error) {
              // It had been made, and only its answer was lost.
              if (error instanceof ConflictError) return true;
              refused++;
              return false;
            }
          }, { timeoutMs: 60_000, what: `edit ${edits}` });
          stalls.push(monotonicMs() - startMs);
          edits++;
        }
      };
      const writing = write();
      const more = (count: number): Promise<void> => {
        const goal = edits + count;
        return until(() => edits >= goal, { timeoutMs: 120_000, what: `${count} edits` });
      };
      const synced = (index: number): Promise<void> =>
        until(
          async () => await statusOf(nodes[index], "wsrep_local_state").catch(() => "") === "4",
          {
            timeoutMs: 60_000,
            what: `node ${index + 1} to be synced`,
          },
        );
      await more(EDITS_PER_FAULT);
      for (const index of [1, 2]) {
        await nodes[index].kill9();
        await more(EDITS_PER_FAULT);
        await nodes[index].restart();
        await synced(index);
        await nodes[index].suspend();
        await more(EDITS_PER_FAULT);
        nodes[index].resume();
        await synced(index);
      }
      isOver = true;
      await writing;
      const stored = new Set<number>();
      await store.readRoutes((rows) => rows.forEach(({ ip }) => stored.add(ip)));
      const lost = Array.from({ length: edits }, (_, i) => nodeOf(i + 1).ip)
        .filter((ip) => !stored.has(ip));
      await until(async () => (await peer.route(1, 1)).hosts.length === stored.size, {
        timeoutMs: 30_000,
        what: "dns to have what the table has",
      });
      const longestMs = Math.max(...stalls);
      figure(`${edits} acknowledged edits, 4 faults: ${lost.length} lost, ${refused} refused once`);
      timeFigure({ what: "the longest edit", value: longestMs / 1000, atMost: 8, unit: "s" });
      assert.deepEqual(lost, []);
      peer.close();
      await store.close();
    })));
