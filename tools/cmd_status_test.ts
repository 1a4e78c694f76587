import assert from "node:assert/strict";
import { test } from "node:test";
import { sqliteTestStore, startFleet } from "../tests/support/fleet.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { tutorialEdits } from "../tests/support/tutorial_routes.ts";

test("lars status: database, services, agent and call results, as JSON and as text", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.editRoutes(tutorialEdits());
    await store.setModules([{ modId: 1, cmdId: 2, name: "shop" }]);
    await store.writeCallStatus([{
      modId: 1,
      cmdId: 2,
      ip: 0xc0a801b2,
      port: 7776,
      caller: 0x7f000001,
      succCount: 3,
      errCount: 1,
      // Still a recent result when the services have come up on a busy machine.
      ts: Math.floor(Date.now() / 1000) + 60,
      overload: true,
    }]);
    const atSeconds = Math.floor(Date.now() / 10_000) * 10 - 20;
    const none = {
      modId: 1,
      cmdId: 2,
      ip: 0,
      port: 0,
      caller: 0,
      reportCount: 1,
      overloadCount: 0,
      timedCount: 3,
      timeMsSum: 37,
      refusedCount: 5,
    };
    await store.writeCallHistory(1, [{ ...none, atSeconds, succCount: 30, errCount: 10 }]);
    await store.addEvents([{ atMs: 1_700_000_000_000, kind: "node.overload", text: "Node out" }]);
    const { agent, dns } = await startFleet(processes, url);
    await until(async () => (await store.instances()).length >= 2, { what: "services to sign in" });
    await store.close();
    const args = ["status", "--store", url, "--agent", `127.0.0.1:${agent.port()}`];
    let output = "";
    await until(async () => {
      const asJson = await processes.run("tools/lars.ts", [...args, "--json"]);
      assert.equal(asJson.code, 0, asJson.stderr);
      output = asJson.stdout;
      return JSON.parse(output).agent.status.dnsConnected === 1 &&
        JSON.parse(output).agents.total === 1;
    }, { timeoutMs: 60_000, what: "the agent to be connected to dns, and dns to write so" });
    const status = JSON.parse(output);
    assert.equal(status.store.ok, true);
    assert.deepEqual([status.store.modules, status.store.nodes], [3, 7]);
    const services = status.services as { kind: string; address: string; alive: boolean }[];
    const signedIn = services.find(({ kind }) => kind === "dns");
    assert.equal(signedIn?.address, `127.0.0.1:${dns.port()}`);
    assert.equal(signedIn?.alive, true);
    assert.ok(services.some(({ kind }) => kind === "reporter"));
    assert.equal(status.agent.ok, true);
    const { silent, holding, behind, agents } = status.agents;
    assert.deepEqual([silent, holding, behind], [0, 0, 0]);
    assert.equal(agents[0].address, status.agent.status.address);
    assert.equal(agents[0].dns, signedIn?.address);
    assert.equal(agents[0].version, status.store.route_version);
    assert.match(status.agent.software, /^lars\//);
    assert.equal(typeof status.agent.status.picks, "number");
    assert.deepEqual(status.calls.modules, [
      {
        modid: 1,
        cmdid: 2,
        name: "shop",
        succ: 3,
        err: 1,
        error_share: 0.25,
        mean_ms: 12.333,
        refused: 5,
        overloaded_nodes: 1,
      },
    ]);
    assert.deepEqual(status.calls.overloaded, [
      {
        modid: 1,
        cmdid: 2,
        name: "shop",
        node: "192.168.1.178:7776",
        agents: 1,
        agents_total: 1,
      },
    ]);

    assert.deepEqual(status.recent, {
      seconds: 300,
      succ: 30,
      err: 10,
      meanMs: 12.333,
      refused: 5,
    });
    assert.deepEqual(status.events.map((event: { kind: string }) => event.kind), ["node.overload"]);

    const asText = await processes.run("tools/lars.ts", args);
    assert.equal(asText.code, 0);
    assert.match(asText.stdout, /^database {2}sqlite:.*: schema version \d+, 3 modules, 7 nodes/);
    assert.match(asText.stdout, /^agent {5}answers at 127\.0\.0\.1:\d+, lars\//m);
    assert.match(asText.stdout, /^Agents {2}1 that dns heard of, all well$/m);
    assert.match(asText.stdout, /dns 127\.0\.0\.1:\d+ connected/);
    assert.match(
      asText.stdout,
      /^SUCC, ERR: last window \(idle_timeout\) of each agent, if reported within 60 min$/m,
    );
    assert.match(asText.stdout, /^MEAN TIME, REFUSED: last 5 min$/m);
    const followers = await processes.run("tools/lars.ts", ["followers", "--store", url]);
    assert.equal(followers.code, 0, followers.stderr);
    assert.match(followers.stdout, /^WAY +THROUGH +AT +HOW MANY +ROUTES +LAG +STATE$/m);
    assert.match(followers.stdout, /^agents +dns +1 +newest +\d+ s +ok$/m);
    assert.equal(status.calls.within_seconds, 3600);
    assert.match(asText.stdout, /^ +1 +2 +shop +3 +1 +25\.0 % +12\.3 ms +5 +1$/m);
    assert.match(asText.stdout, /^ +1 +2 +shop +192\.168\.1\.178:7776 +1 of 1 agent$/m);
    assert.match(
      asText.stdout,
      /^Last 5 minutes {2}40 calls, 25\.0 % failed, 12\.3 ms on average, 5 callers refused \(/m,
    );
    assert.match(asText.stdout, /^2023-11-14 22:13:20 {2}node\.overload +Node out$/m);
  });
});
