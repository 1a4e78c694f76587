// Goal: the console sees every agent of the fleet, whichever dns it is linked to. Two agents and two
// dns as processes: a dns is killed, a change is held back, an agent is killed and forgotten.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { ResponseOf } from "../web/contract.ts";
import { type ConsoleBench, withConsole } from "./support/console_bench.ts";
import { addNodes, agentFlags, nodeOf } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller, WireConnection } from "./support/wire_client.ts";

type AgentList = ResponseOf<"listAgents">;
type Agent = AgentList["agents"][number];

/** A caller of each agent asks for this module. */
const MODULE = [1, 1] as const;
/** dns writes what it knows every 10 s, on a machine that may be slow. */
const ROUNDS = { timeoutMs: 90_000, intervalMs: 200 };

function untilSeen(what: string, condition: () => Promise<boolean>): Promise<void> {
  return until(condition, { ...ROUNDS, what });
}

interface Fleet {
  readonly bench: ConsoleBench;
  /** By address: of the first, `west`, 10.1.0.1 and of the second, `east`, 10.1.0.2. */
  readonly agents: readonly TestProcess[];
  readonly callers: readonly WireCaller[];
  /** By address. */
  readonly dns: ReadonlyMap<string, TestProcess>;
}

async function addRules({ clients: { operator } }: ConsoleBench): Promise<void> {
  for (const [kind, threshold] of [["agent_silent", 25], ["push_refused", 0]] as const) {
    await operator.get("POST /alert-rules", {
      body: {
        kind,
        title: kind,
        severity: "warning",
        isEnabled: true,
        threshold,
        forS: 2,
        clearS: 2,
        modId: null,
        cmdId: null,
      },
    });
  }
}

async function startFleet(bench: ConsoleBench, processes: Processes): Promise<Fleet> {
  await addNodes(bench.store, ...MODULE, [0, 1, 2, 3].map((index) => nodeOf(index)));
  const shared = [`--store=${bench.url}`, "--dns-poll-interval=0.1"];
  // Agents go on knocking on the port of the one that is killed.
  const servers = await Promise.all([
    processes.start("dns", [...shared, `--reactor-port=${await freePort()}`]),
    processes.start("dns", [
      ...shared,
      `--reactor-port=${await freePort()}`,
      "--reactor-thread-num=2",
    ]),
  ]);
  const ports = servers.map((dns) => dns.port());
  const agents = await Promise.all(["west", "east"].map((zone, index) =>
    processes.start("agent", [
      ...agentFlags(processes, ports, [9], `cache_${zone}`),
      `--agent-caller-ip=10.1.0.${index + 1}`,
      `--agent-zone=${zone}`,
    ])
  ));
  const callers = await Promise.all(agents.map((agent) => WireCaller.open(agent.port())));
  for (const caller of callers) await caller.untilHost(...MODULE);
  const dns = new Map(servers.map((one) => [`127.0.0.1:${one.port()}`, one]));
  return { bench, agents, callers, dns };
}

async function listed({ bench }: Fleet): Promise<AgentList> {
  return await bench.clients.viewer.get<AgentList>("GET /agents");
}

async function agentsByZone(fleet: Fleet): Promise<[Agent | undefined, Agent | undefined]> {
  const { agents } = await listed(fleet);
  const of = (zone: string): Agent | undefined => agents.find(({ detail }) => detail.zone === zone);
  return [of("west"), of("east")];
}

async function firing(fleet: Fleet, kind: string): Promise<string[]> {
  const { alerts } = await fleet.bench.clients.viewer.get<ResponseOf<"listAlerts">>("GET /alerts");
  return alerts.filter((alert) => alert.kind === kind && alert.state === "firing")
    .map(({ text }) => text);
}

/** Both are there, with what they say of themselves, and with the newest routes. */
async function seesBoth(fleet: Fleet): Promise<void> {
  const { store } = fleet.bench;
  // One of the original: it asks for routes and never says Hello.
  const [[, first]] = [...fleet.dns];
  const original = await WireConnection.open(first.port());
  await original.route(...MODULE);
  await addNodes(store, ...MODULE, [nodeOf(4)]);
  const { version } = await store.routeMark();
  await until(async () => {
    const { agents, plainConnections } = await listed(fleet);
    return agents.length === 2 && plainConnections === 1 &&
      agents.every(({ revision, state, detail }) =>
        // An agent that has just started may not have counted its modules when it tells of itself.
        revision === version && state === "ok" && detail.modules === 1
      );
  }, { ...ROUNDS, what: "both agents with the newest routes, and the original" });
  const both = await agentsByZone(fleet);
  for (const [index, agent] of both.entries()) {
    assert.ok(agent !== undefined);
    assert.equal(agent.address, `10.1.0.${index + 1}:${fleet.agents[index].port()}`);
    assert.match(agent.software, /^lars\//);
    assert.equal(agent.detail.modulesHeld, 0);
    assert.ok(fleet.dns.has(String(agent.detail.dns)));
    assert.ok(Math.abs(agent.startedAtMs - Date.now()) < 300_000);
  }
  original.close();
}

/** The dns of the first agent is killed: the agent goes to the other one, and never looks silent. */
async function survivesDns(fleet: Fleet): Promise<void> {
  const [before] = await agentsByZone(fleet);
  const lost = String(before?.detail.dns);
  await fleet.dns.get(lost)?.kill9();
  let [seenAtMs, movedAtMs] = [0, 0];
  await until(async () => {
    const { agents, counts } = await listed(fleet);
    assert.deepEqual([counts.all, counts.silent], [2, 0]);
    const west = agents.find(({ detail }) => detail.zone === "west");
    assert.ok(west !== undefined && west.seenAtMs >= seenAtMs, "it is never seen earlier");
    seenAtMs = west.seenAtMs;
    const isMoved = west.detail.dns !== lost;
    assert.ok(isMoved || movedAtMs === 0, "it does not go back to the dns that is gone");
    if (isMoved && movedAtMs === 0) movedAtMs = seenAtMs;
    return movedAtMs > 0 && seenAtMs - movedAtMs >= 9_000;
  }, { ...ROUNDS, what: "a round of the other dns after the first one" });
  assert.deepEqual(await firing(fleet, "agent_silent"), []);
}

/** Everything is deleted by accident: both hold it back, which is one alert, until it is confirmed. */
async function holdsBack(fleet: Fleet): Promise<void> {
  const database = new DatabaseSync(fleet.bench.url.replace("sqlite:", ""));
  database.exec("PRAGMA busy_timeout = 10000; DELETE FROM RouteData");
  database.close();
  await untilSeen(
    "both agents to hold the change back",
    async () => (await listed(fleet)).counts.holding === 2,
  );
  const [west] = await agentsByZone(fleet);
  assert.match(String(west?.detail.routesHeldBack), /^1,1: 0 of 5 nodes/);
  await untilSeen("the alert", async () => (await firing(fleet, "push_refused")).length === 1);
  assert.match((await firing(fleet, "push_refused"))[0], /^2 agents .* hold a changed route back/);
  await fleet.bench.clients.operator.get("POST /modules/1/1/confirm", { body: {} });
  await untilSeen("nothing held back", async () => (await listed(fleet)).counts.holding === 0);
  await untilSeen(
    "the end of the alert",
    async () => (await firing(fleet, "push_refused")).length === 0,
  );
}

/** An agent is killed: it is silent, an alert fires for it alone, until somebody forgets it. */
async function missesAgent(fleet: Fleet): Promise<void> {
  const { operator } = fleet.bench.clients;
  const [, east] = await agentsByZone(fleet);
  assert.ok(east !== undefined);
  const forget = `DELETE /agents/${east.address}`;
  assert.equal((await operator.ask(forget)).status, 409, "it is alive");
  await fleet.agents[1].kill9();
  await untilSeen(
    "the alert of the agent that was killed",
    async () => (await firing(fleet, "agent_silent")).length > 0,
  );
  const [text, ...others] = await firing(fleet, "agent_silent");
  assert.ok(text.startsWith(`agent ${east.address} has been silent for`), text);
  assert.deepEqual(others, []);
  await untilSeen(
    "the agent to be listed as silent",
    async () => (await listed(fleet)).counts.silent === 1,
  );
  assert.equal((await listed(fleet)).agents[0].address, east.address, "worst first");
  assert.equal((await operator.ask(forget)).status, 204);
  assert.deepEqual((await agentsByZone(fleet)).map((agent) => agent?.state), ["ok", undefined]);
  await untilSeen(
    "the end of the alert",
    async () => (await firing(fleet, "agent_silent")).length === 0,
  );
}

test("the console sees every agent, over the death of a dns and of an agent", {
  timeout: 400_000,
}, async () => {
  await withConsole((bench) =>
    withProcesses(async (processes) => {
      await addRules(bench);
      const fleet = await startFleet(bench, processes);
      try {
        await seesBoth(fleet);
        await survivesDns(fleet);
        await holdsBack(fleet);
        await missesAgent(fleet);
      } finally {
        for (const caller of fleet.callers) caller.close();
      }
    })
  );
});
