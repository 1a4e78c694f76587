// Goal: any agent of the fleet says why it picks which node, from console and command line, over the
// link that it has. Two dns, one with two loops, and two agents as processes.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResponseOf } from "../web/contract.ts";
import { withConsole } from "./support/console_bench.ts";
import { addNodes, agentFlags, nodeOf } from "./support/fleet.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

type Explanation = ResponseOf<"explainModule">;

const NODES = 1200;
const [WEST, EAST] = ["10.1.0.1", "10.1.0.2"];

test("any agent of the fleet explains its picks, and one that is away is an error that says why", {
  timeout: 300_000,
}, async () => {
  await withConsole(({ store, url, clients: { viewer } }) =>
    withProcesses(async (processes) => {
      await addNodes(store, 1, 1, [nodeOf(1), nodeOf(2)]);
      await addNodes(store, 2, 1, Array.from({ length: NODES }, (_, index) => nodeOf(index)));
      const shared = ["--reactor-port=0", `--store=${url}`];
      const servers = [
        await processes.start("dns", shared),
        await processes.start("dns", [...shared, "--reactor-thread-num=2"]),
      ];
      const agents = await Promise.all([WEST, EAST].map((ip, index) =>
        processes.start("agent", [
          ...agentFlags(processes, [servers[index].port()], [9], `cache_${index}`),
          `--agent-caller-ip=${ip}`,
        ])
      ));
      const callers = await Promise.all(agents.map((agent) => WireCaller.open(agent.port())));
      for (const caller of callers) await caller.untilHost(1, 1);
      await callers[1].untilHost(2, 1);
      for (let call = 0; call < 15; call++) callers[0].report(1, 1, nodeOf(2), 1);
      await until(async () => (await store.instances(["agent"])).length === 2, {
        timeoutMs: 60_000,
        what: "both agents to be known",
      });

      const ask = (agent: string, module = "1/1", query = ""): Promise<Explanation> =>
        viewer.get<Explanation>(`GET /modules/${module}/explain?agent=${agent}${query}`);
      const conditions = async (agent: string): Promise<string[]> =>
        (await ask(agent)).nodes.map(({ condition }) => condition).sort();
      await until(async () => (await conditions(WEST)).includes("overload"), {
        what: "the node that is out on one host",
      });
      assert.deepEqual(await conditions(EAST), ["idle", "idle"]);
      const west = `${WEST}:${agents[0].port()}`;
      const explained = await ask(west);
      assert.equal(explained.agent, west);
      const out = explained.nodes.find(({ condition }) => condition === "overload");
      assert.match(out?.reason ?? "", /15/, "and why");
      assert.equal((await ask(WEST, "9/9")).routeState, "unknown");
      const many = await ask(EAST, "2/1", `&limit=${NODES}`);
      assert.deepEqual([many.nodeCount, new Set(many.nodes.map(({ node }) => node)).size], [
        NODES,
        NODES,
      ]);

      const lars = (...args: string[]) =>
        processes.run("tools/lars.ts", ["explain", "1", "1", "--store", url, ...args]);
      const text = await lars("--agent", WEST);
      assert.equal(text.code, 0, text.stderr);
      assert.match(text.stdout, /10\.0\.0\.2:7000 .* overload /);
      const unknown = await lars("--agent", `${EAST}:9`);
      assert.equal(unknown.code, 1);
      assert.match(unknown.stderr, new RegExp(`did you mean ${EAST}:${agents[1].port()}\\?`));
      await agents[1].kill9();
      await until(async () => {
        const { status, problem } = await viewer.ask(`GET /modules/1/1/explain?agent=${EAST}`);
        assert.equal(status, 502);
        return /linked to no dns that answers; it was heard \d+ s ago/.test(problem?.detail ?? "");
      }, { timeoutMs: 60_000, what: "the agent to be away" });
      assert.equal((await lars("--agent", EAST)).code, 1);
      for (const caller of callers) caller.close();
    })
  );
});
