// The wall clock of a host is set forwards and backwards while services run; no caller may notice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { probeAgent } from "../control/explain/agent_probe.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { addNodes, nodeOf, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { SteadyLoad } from "./support/load.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { findFaketime, WallClock } from "./support/wall_clock.ts";
import { WireCaller } from "./support/wire_client.ts";

const NEEDS_FAKETIME = {
  skip: findFaketime() === undefined
    ? "libfaketime is not on this machine (Debian: apt-get install libfaketime, or let " +
      "`deno task test` fetch it)"
    : false,
};

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
/** Where the clock stands one after the other, as seconds ahead of the right time. */
const STEPS_S = [HOUR_S, -HOUR_S, DAY_S, -DAY_S, 0];

const BAD_NODE = nodeOf(3);

/** Calls of a module one of whose nodes always fails. */
async function callBadModule(caller: WireCaller, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { host } = await caller.getHost(2, 2);
    assert.ok(host !== undefined);
    caller.report(2, 2, host, host.ip === BAD_NODE.ip ? 1 : 0);
  }
}

test(
  "steps of the wall clock by an hour and a day change no choice, no refresh and no result",
  NEEDS_FAKETIME,
  async () => {
    await withProcesses(async (processes) => {
      const clock = new WallClock(processes.directory);
      const { url, store } = await sqliteTestStore(processes);
      await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2)]);
      await addNodes(store, 2, 2, [nodeOf(1), nodeOf(2), BAD_NODE]);
      // Their usual ports may be taken by another test's services, which they would warn of.
      const flags = ["--metrics-port=0"];
      const services = await startFleet(processes, url, {
        dns: flags,
        reporter: flags,
        agent: flags,
        processOptions: { env: clock.env },
      });
      const agent = { hostname: "127.0.0.1", port: services.agent.port() };
      const caller = await WireCaller.open(agent.port);
      for (const module of [1, 2]) await caller.untilHost(module, module);
      const load = new SteadyLoad(caller, 1, 1);
      const overloaded = async (): Promise<unknown> =>
        (await probeAgent(agent)).status.hostsOverload;
      const stored = async (): Promise<{ succ: number; newestS: number }> => {
        const rows = await store.readCallStatus({ modId: 1, cmdId: 1 });
        return {
          succ: rows.reduce((sum, row) => sum + (row.succTotal ?? 0), 0),
          newestS: Math.max(...rows.map(({ ts }) => ts)),
        };
      };

      await callBadModule(caller, 60);
      await until(async () => await overloaded() === 1, { what: "the bad node to be kept out" });

      for (const [index, aheadS] of STEPS_S.entries()) {
        const what = `with the clock ${aheadS} s ahead`;
        clock.step(aheadS);
        const node = nodeOf(10 + index);
        await addNodes(store, 1, 1, [node]);
        await until(() => load.hasSeen(node), { what: `a new node to be called ${what}` });
        const { reported } = load;
        await until(async () => (await stored()).succ >= reported, {
          what: `results to be stored ${what}`,
        });
        const { newestS } = await stored();
        // Shows that the services do live by the clock that was stepped.
        const errorS = newestS - (systemClock.wallMs() / 1000 + aheadS);
        assert.ok(
          Math.abs(errorS) < 60,
          `time of the newest result is wrong by ${errorS} s ${what}`,
        );
        await callBadModule(caller, 30);
        assert.equal(await overloaded(), 1, `the bad node is still kept out ${what}`);
      }

      await load.stop();
      assert.deepEqual(load.faults, []);
      for (const service of Object.values(services)) {
        assert.ok(service.alive, service.name);
        assert.doesNotMatch(service.stderr, /\b(error|warn)\b/i, service.name);
      }
      caller.close();
      await store.close();
    });
  },
);
