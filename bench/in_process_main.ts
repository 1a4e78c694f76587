// Shell. Measures picks inside a process, on the runtime that runs it: NAME smoke|full.

import process from "node:process";
import { InProcessClient } from "../api/mod.ts";
import { POLICY_NAMES, PRESET_NAMES } from "../balancer/mod.ts";
import type { UpstreamEvents } from "../api/upstream.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import {
  IN_PROCESS_POLICIES,
  IN_PROCESS_POLICY_NODES,
  IN_PROCESS_SIZES,
  type InProcessSize,
  policyRowName,
  rowNames,
} from "./in_process_rows.ts";
import { type Row, rowOf, type Target } from "./rows.ts";
import { tell } from "./program.ts";

/** Keys of the rows of each policy. */
const KEYS = 1000;

/** A client, and what its upstream may tell it. */
function newClient(modules: number): { client: InProcessClient; events: UpstreamEvents } {
  let events: UpstreamEvents | undefined;
  const client = new InProcessClient({
    modulesMax: modules,
    openUpstream: (given) => {
      events = given;
      return {
        source: { ready: true, address: { hostname: "127.0.0.1", port: 1 }, fault: undefined },
        stats: { connects: 0, resultsPending: 0, resultsDropped: 0, batches: 0 },
        start: () => {},
        ask: () => {},
        forget: () => {},
        calls: { add: () => {} },
        addReports: () => {},
        tick: () => {},
        close: () => Promise.resolve(),
      };
    },
  });
  if (events === undefined) throw new Error("The client must open its upstream");
  return { client, events };
}

/** Text of a policy as dns tells it; "" stands for that of the original. */
function policyText(policy: string): string {
  return policy === "lars" ? "" : JSON.stringify({ policy });
}

/** A client with routes, in which one node of each module is out. */
function clientOf({ modules, nodes }: InProcessSize, policy: string): InProcessClient {
  const { client, events } = newClient(modules);
  const route = Array.from({ length: nodes }, (_, index) => ({ ip: index + 1, port: 80 }));
  for (let modId = 0; modId < modules; modId++) {
    client.pick(modId, 1);
    events.onRoute(modId, 1, route, policyText(policy));
    for (let i = 0; i < 15; i++) client.report(modId, 1, "0.0.0.1", 80, 1);
  }
  return client;
}

/** Picks from one module after the other; throws when one gives no node. */
function pickMany(client: InProcessClient, modules: number, count: number): void {
  let modId = 0;
  for (let i = 0; i < count; i++) {
    const host = client.pick(modId, 1);
    if (typeof host === "number") throw new Error(`pick() must give a node: it gave ${host}`);
    modId = modId + 1 === modules ? 0 : modId + 1;
  }
}

function callMany(client: InProcessClient, modules: number, count: number): void {
  let modId = 0;
  for (let i = 0; i < count; i++) {
    const host = client.pick(modId, 1);
    if (typeof host === "number") throw new Error(`pick() must give a node: it gave ${host}`);
    client.report(modId, 1, host.ip, host.port, 0, 1);
    modId = modId + 1 === modules ? 0 : modId + 1;
  }
}

/** Millions a second. */
function rate(count: number, work: () => void): number {
  const startMs = systemClock.nowMs();
  work();
  return count / (systemClock.nowMs() - startMs) / 1000;
}

/** Bytes by which the heap grows for each pick: growth of short rounds, collections left out. */
function bytesPerPick(picks: number, pickSome: (count: number) => void): number {
  const rounds = 50;
  let bytes = 0;
  for (let round = 0; round < rounds; round++) {
    const before = process.memoryUsage().heapUsed;
    pickSome(picks / rounds);
    bytes += Math.max(0, process.memoryUsage().heapUsed - before);
  }
  return bytes / picks;
}

function rowsOf(
  size: InProcessSize,
  policy: typeof IN_PROCESS_POLICIES[number],
  subject: string,
  smoke: boolean,
): Row[] {
  const client = clientOf(size, policy);
  const { modules } = size;
  const picks = smoke ? 100_000 : 10_000_000;
  const names = rowNames(size, policy);
  const rounds = (run: () => number): number[] => Array.from({ length: smoke ? 1 : 5 }, run);
  const row = (name: string, unit: string, values: number[], target?: Target): Row =>
    rowOf({ name, subject, unit, values, target });
  pickMany(client, modules, smoke ? picks : picks / 3);
  const speed = rounds(() => rate(picks / 5, () => pickMany(client, modules, picks / 5)));
  const bytes = bytesPerPick(picks, (count) => pickMany(client, modules, count));
  callMany(client, modules, picks / 10);
  const calls = rounds(() => rate(picks / 20, () => callMany(client, modules, picks / 20)));
  return [
    row(names.speed, "M/s", speed, { atLeast: 15 }),
    row(names.bytes, "B", [bytes], { atMost: 0.05 }),
    row(names.calls, "M/s", calls),
  ];
}

/** Picks by one policy, with a key each; one node is out. */
function policyRow(policy: string, subject: string, smoke: boolean): Row {
  const { client, events } = newClient(1);
  const nodes = Array.from({ length: IN_PROCESS_POLICY_NODES }, (_, index) => ({
    ip: index + 1,
    port: 80,
  }));
  client.pick(1, 1);
  events.onRoute(1, 1, nodes, policyText(policy));
  for (let i = 0; i < 15; i++) client.report(1, 1, "0.0.0.1", 80, 1);
  const keys = Array.from({ length: KEYS }, (_, index) => `user-${index}`);
  let next = 0;
  const pickSome = (count: number): void => {
    for (let i = 0; i < count; i++) {
      next = next + 1 === KEYS ? 0 : next + 1;
      const host = client.pick(1, 1, keys[next]);
      if (typeof host === "number") throw new Error(`pick() must give a node: it gave ${host}`);
    }
  };
  const picks = smoke ? 100_000 : 2_000_000;
  pickSome(picks);
  const values = [bytesPerPick(picks, pickSome)];
  const target = { atMost: 0.05 };
  return rowOf({ name: policyRowName(policy), subject, unit: "B", values, target });
}

const [subject, length] = runtime.args;
const isSmoke = length === "smoke";
const rows = [
  ...IN_PROCESS_SIZES.flatMap((size) =>
    IN_PROCESS_POLICIES.flatMap((policy) => rowsOf(size, policy, subject, isSmoke))
  ),
  ...[...PRESET_NAMES, ...POLICY_NAMES].map((policy) => policyRow(policy, subject, isSmoke)),
];
tell(rows);
