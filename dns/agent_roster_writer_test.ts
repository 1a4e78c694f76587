import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import type { ServiceInstance } from "../sql/store.ts";
import { AGENT_ROUND_MS, AgentWriter } from "./agent_roster.ts";
import type { AgentSighting } from "./linked_peers.ts";

function agent(ip: number): AgentSighting {
  return {
    status: {
      ip,
      port: 8888,
      zone: "",
      startedAt: 0,
      modules: 0,
      held: 0,
      heldRoutes: "",
      policiesRefused: 0,
      reporterConnected: false,
    },
    software: "",
    heardMsAgo: 0,
    behindMs: 0,
  };
}

/** A writer, what it wrote, and the rounds it began. */
function bench(loopCount: number): {
  clock: ManualClock;
  writer: AgentWriter;
  writes: string[];
  rounds: number[];
  setFault(error: Error | undefined): void;
} {
  const clock = new ManualClock();
  const writes: string[] = [];
  const rounds: number[] = [];
  let fault: Error | undefined;
  const writer = new AgentWriter({
    store: {
      sightings(rows: readonly ServiceInstance[]): Promise<void> {
        if (fault !== undefined) return Promise.reject(fault);
        writes.push(rows.map(({ address }) => address).join(" "));
        return Promise.resolve();
      },
      forgetInstance(kind: string, address: string): Promise<void> {
        if (fault !== undefined) return Promise.reject(fault);
        writes.push(`forget ${kind} ${address}`);
        return Promise.resolve();
      },
    },
    clock,
    log: silentLogger,
    loopCount,
    address: "dns:1",
    version: () => 1,
    ask: (round) => void rounds.push(round),
  });
  writer.start();
  return { clock, writer, writes, rounds, setFault: (error) => void (fault = error) };
}

/** Lets promises run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

test("AgentWriter writes once for all loops, in rounds", async () => {
  const { clock, writer, writes, rounds } = bench(2);
  clock.advance(AGENT_ROUND_MS);
  assert.deepEqual(rounds, [1]);
  writer.take(0, 1, [agent(1)]);
  assert.deepEqual(writes, []);
  writer.take(1, 1, [agent(2)]);
  await settle();
  assert.deepEqual(writes, ["0.0.0.1:8888 0.0.0.2:8888"]);
  assert.deepEqual(writer.stats(), {
    ...{ agents_linked: 2, agents_known: 2, agents_refused: 0 },
    ...{ exports_linked: 0, clients_linked: 0, clients_behind: 0 },
  });

  // The second loop has died: what the first one said is written all the same.
  clock.advance(AGENT_ROUND_MS);
  writer.take(0, 2, [agent(1)]);
  writer.take(1, 1, [agent(3)]);
  writer.lostLoop(1);
  clock.advance(AGENT_ROUND_MS);
  await settle();
  assert.deepEqual(writes.slice(1), ["0.0.0.1:8888"]);
  await writer.stop();
  clock.advance(10 * AGENT_ROUND_MS);
  assert.deepEqual(rounds, [1, 2, 3]);
});

test("AgentWriter writes what a database that was away has missed", async () => {
  const { clock, writer, writes, setFault } = bench(1);
  for (const transient of [true, false]) {
    setFault(new StoreError("away", transient));
    clock.advance(AGENT_ROUND_MS);
    writer.take(0, transient ? 1 : 2, [agent(1)]);
    await settle();
  }
  assert.deepEqual(writes, []);
  setFault(undefined);
  clock.advance(AGENT_ROUND_MS);
  writer.take(0, 3, [agent(1), agent(2)]);
  await settle();
  assert.deepEqual(writes, ["0.0.0.1:8888 0.0.0.2:8888"]);
  await writer.stop();
});

test("AgentWriter takes out the row of an agent that said goodbye, once the database can, unless it is back", async () => {
  const { clock, writer, writes, setFault } = bench(1);
  const round = (number: number, ...agents: AgentSighting[]): void => {
    clock.advance(AGENT_ROUND_MS);
    writer.take(0, number, agents);
  };
  round(1, agent(1), agent(2));
  await settle();
  writer.goodbye({ ip: 1, port: 8888 });
  await settle();
  assert.deepEqual(writes.slice(1), ["forget agent 0.0.0.1:8888"]);
  setFault(new StoreError("away", true));
  writer.goodbye({ ip: 2, port: 8888 });
  await settle();
  setFault(undefined);
  round(2);
  await settle();
  assert.deepEqual(writes.slice(2), ["forget agent 0.0.0.2:8888"]);
  setFault(new StoreError("away", true));
  writer.goodbye({ ip: 1, port: 8888 });
  await settle();
  setFault(undefined);
  round(3, agent(1));
  await settle();
  assert.deepEqual(writes.slice(3), ["0.0.0.1:8888"], "it runs again: its row stays");
  await writer.stop();
});

test("AgentWriter removes each row of those who have stopped once, however many do at once", async () => {
  const { clock, writer, writes, setFault } = bench(1);
  for (let ip = 1; ip <= 200; ip++) writer.goodbye({ ip, port: 8888 });
  for (let i = 0; i < 200; i++) await settle();
  assert.equal(writes.length, 200);
  assert.equal(new Set(writes).size, 200);
  // While the database is away they wait for the next round, and are tried once in it.
  setFault(new StoreError("away", true));
  for (let ip = 1; ip <= 20; ip++) writer.goodbye({ ip, port: 9999 });
  await settle();
  setFault(undefined);
  assert.equal(writes.length, 200);
  clock.advance(AGENT_ROUND_MS);
  writer.take(0, 1, [agent(1)]);
  for (let i = 0; i < 50; i++) await settle();
  assert.equal(writes.filter((line) => line.endsWith(":9999")).length, 20);
});
