// Goal: every service is replaced in turn, under calls, and no caller notices. Method: two dns, two
// reporters and an agent as processes; each is stopped in good order and started anew, twice.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { batchUdpFault } from "../reactor/fast/batch_udp.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { agentFlags, nodeOf, withStoredNode } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { SteadyLoad } from "./support/load.ts";
import type { TestProcess } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const fault = batchUdpFault({ clock: systemClock, log: silentLogger });
const OPTIONS = { timeout: 300_000, ...(fault === undefined ? {} : { skip: fault }) };
const ROUNDS = 2;

test(
  "a rolling restart of dns, reporters and agent fails no call, and each result counts once",
  OPTIONS,
  async (t) => {
    await withStoredNode(async ({ processes, url, store }) => {
      const start = (name: "dns" | "reporter", port: number): Promise<TestProcess> =>
        processes.start(name, [
          ...[`--reactor-port=${port}`, `--store=${url}`, "--metrics-port=0"],
          ...(name === "dns"
            ? [`--dns-cache-dir=${join(processes.directory, `dns ${port}`)}`]
            : []),
        ]);
      // Those that the system gives may be those of a connection when they are to be listened on again.
      const [one, two, three, four] = await Promise.all([1, 2, 3, 4].map(freePort));
      const dns = await Promise.all([start("dns", one), start("dns", two)]);
      const reporters = await Promise.all([start("reporter", three), start("reporter", four)]);
      const ports = (all: readonly TestProcess[]): number[] => all.map((one) => one.port());
      const flags = [
        ...agentFlags(processes, ports(dns), ports(reporters)),
        ...["--agent-server-return=1", "--metrics-port=0"],
      ];
      let agent = await processes.start("agent", flags);
      const port = agent.port();
      const caller = await WireCaller.open(port);
      await caller.untilHost(1, 1);
      const load = new SteadyLoad(caller, 1, 1);
      const later = async (count: number): Promise<void> => {
        const goal = load.calls + count;
        await until(() => load.calls >= goal, { timeoutMs: 30_000, what: `${count} calls` });
      };
      const roll = async (all: TestProcess[], name: "dns" | "reporter"): Promise<void> => {
        for (const [index, one] of all.entries()) {
          const kept = one.port();
          const ended = await one.stop();
          assert.equal(ended.code, 0, ended.stderr);
          all[index] = await start(name, kept);
          await later(100);
        }
      };
      await later(100);
      for (let round = 1; round <= ROUNDS; round++) {
        await roll(dns, "dns");
        await roll(reporters, "reporter");
        const next = await processes.spawn("next", "agent/main.ts", [
          ...["--json", ...flags.filter((flag) => !flag.startsWith("--agent-port"))],
          ...[`--agent-port=${port}`, "--agent-take-over=1"],
        ]).untilReady();
        const ended = await agent.untilEnded();
        assert.equal(ended.code, 0, ended.stderr);
        agent = next;
        await later(100);
        // What is changed meanwhile comes as ever.
        await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ...nodeOf(1 + round) }]);
        await until(() => load.hasSeen(nodeOf(1 + round)), {
          what: "a node added after the round",
        });
      }
      await load.stop();
      t.diagnostic(
        `${load.calls} calls, ${load.faults.length} failed, slowest ${
          load.slowestMs.toFixed(1)
        } ms`,
      );
      assert.deepEqual(load.faults, []);
      let counted = 0;
      await until(async () => {
        const nowS = Math.floor(systemClock.wallMs() / 1000);
        const range = { fromSeconds: nowS - 3600, toSeconds: nowS + 3600, stepSeconds: 3600 };
        const { points } = await store.readCallHistory(range);
        counted = points.reduce((sum, { succCount }) => sum + succCount, 0);
        return counted >= load.reported;
      }, { timeoutMs: 30_000, what: () => `${counted} of ${load.reported} results counted` });
      assert.equal(counted, load.reported, "each result counts once");
      caller.close();
    });
  },
);
