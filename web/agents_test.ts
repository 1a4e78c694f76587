// Agents through the REST interface: listed page by page, and forgotten when they are gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { withConsole } from "../tests/support/console_bench.ts";
import { until } from "../tests/support/until.ts";
import type { ServiceInstance } from "../sql/store.ts";
import type { ResponseOf } from "./contract.ts";

type AgentList = ResponseOf<"listAgents">;

function row(index: number, seenAt: number): ServiceInstance {
  return {
    kind: "agent",
    address: `10.1.${index >> 8}.${index & 255}:8888`,
    software: "lars/1",
    startedAt: 1_700_000_000,
    seenAt,
    detail: { dns: "10.0.0.1:7778", zone: "east", modules: 3, modulesHeld: 0 },
  };
}

test("GET /agents and DELETE /agents/{address}", { timeout: 120_000 }, async () => {
  await withConsole(async ({ clients: { viewer, operator }, store }) => {
    const nowS = Math.floor(Date.now() / 1000);
    // Seen in an hour: they stay alive however slow this machine is.
    await store.sightings(Array.from({ length: 1000 }, (_, index) => row(index, nowS + 3600)));
    await store.sightings([row(1000, nowS - 300)]);
    const list = (query = ""): Promise<AgentList> => viewer.get(`GET /agents${query}`);
    await until(async () => (await list()).total === 1001, { what: "the agents" });
    const { counts, agents } = await list("?limit=2");
    assert.deepEqual(counts, { all: 1001, silent: 1, holding: 0, behind: 0, ok: 1000 });
    assert.deepEqual(agents.map(({ address, state }) => [address, state]), [
      ["10.1.3.232:8888", "silent"],
      ["10.1.0.0:8888", "ok"],
    ]);
    assert.equal((await list("?search=10.1.3.")).total, 233);
    assert.equal((await viewer.ask("GET /agents?state=odd")).status, 422);
    // Neither the services nor the state for scripts grow with the fleet.
    const services = await viewer.get<ResponseOf<"listServices">>("GET /services?kind=agent");
    assert.deepEqual([services.total, services.services.length], [1001, 200]);
    const status = await viewer.get<ResponseOf<"getStatus">>("GET /status");
    assert.equal(status.services.length, 100);
    assert.equal(status.overview.agents.all, 1001);

    const gone = "DELETE /agents/10.1.3.232:8888";
    assert.equal((await viewer.ask(gone)).status, 403);
    const alive = await operator.ask("DELETE /agents/10.1.0.1:8888");
    assert.equal(alive.status, 409);
    assert.match(alive.problem.detail, /is alive/);
    assert.equal((await operator.ask("DELETE /agents/10.9.9.9:8888")).status, 404);
    assert.equal((await operator.ask(gone)).status, 204);
    assert.equal((await list()).counts.silent, 0);
    assert.equal((await operator.ask(gone)).status, 404);
    assert.equal((await store.instances(["agent"])).length, 1000);
    const { entries } = await operator.get<ResponseOf<"listAudit">>(
      "GET /audit?action=agent.forget",
    );
    assert.deepEqual(entries.map(({ who, target, outcome }) => [who, target, outcome]).at(-1), [
      "operator",
      "10.1.3.232:8888",
      "done",
    ]);
  });
});
