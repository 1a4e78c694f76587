// Shell. Registers nodes and hears heartbeats as discovery does, and one registration at a time;
// prints the speeds and the memory of the leases.

import process from "node:process";
import { HearingTime } from "../discovery/hearing_time.ts";
import { LeaseRegistry } from "../discovery/lease_registry.ts";
import { type Keeper, LeaseTable } from "../discovery/lease_table.ts";
import { LossGuard } from "../discovery/loss_guard.ts";
import type { LeaseRow } from "../model/lease.ts";
import type { NodeKey } from "../model/node.ts";
import { decodeLeaseBeat, encodeLeaseBeat } from "../proto/codec.ts";
import { silentLogger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { StoreHealth } from "../service/store_health.ts";
import { openStore } from "../sql/mod.ts";
import { tell } from "./program.ts";

const [url, roundsText, batchedText, singleText] = runtime.args;
const [rounds, batchedCount, singleCount] = [roundsText, batchedText, singleText].map(Number);
/** Nodes of one module, and nodes that one connection holds. */
const NODES_PER_MODULE = 50;
const NODES_PER_HOST = 50;
/** Leases whose memory is measured. */
const LEASES_KEPT = 100_000;
/** Frames of heartbeats in one round. */
const BEATS = 20_000;

const store = await openStore(url, { connectionsMax: 3 });
await store.migrate();
const clock = systemClock;
const time = new HearingTime(clock);
const guard = new LossGuard();
const holder = 1 + Math.floor(systemRng.next() * 2 ** 50);
const table = new LeaseTable({ time, guard, holder });
const health = new StoreHealth({ clock, log: silentLogger, label: store.label, meanwhile: "" });
const registry = new LeaseRegistry({
  ...{
    store,
    table,
    time,
    guards: [guard],
    clock,
    rng: systemRng,
    log: silentLogger,
    health,
    holder,
  },
  notify: { store, clock, software: "bench", secrets: undefined, addresses: [] },
  address: () => "127.0.0.1:0",
  ...{ watched: [], onRoutes: () => {}, pollMs: 500 },
});
registry.start();

let made = 0;

function nextNode(): NodeKey {
  const index = made++;
  const modId = 1 + Math.floor(index / NODES_PER_MODULE);
  return { modId, cmdId: 1, ip: 0x0a000000 + index % NODES_PER_MODULE, port: 8080 };
}

let incarnation = 0;

async function registerOne(): Promise<void> {
  const { result } = await registry.ask({
    ...{ op: "register", node: nextNode(), previous: 0, makesModule: true, holder },
    incarnation: ++incarnation,
    spec: {
      ...{ ttlMs: 15_000, weight: 100, zone: "a", note: '{"version":"1.2.3"}', isReady: true },
      ...{ source: "lars", owner: "10.0.0.1", check: "" },
    },
  });
  if (result !== "done") throw new Error(`A registration is ${result}`);
}

/** @returns registrations a second, and what each took of the processor, in microseconds. */
async function registered(
  count: number,
  run: (count: number) => Promise<unknown>,
): Promise<{ perSecond: number; cpuMicros: number }> {
  const cpu = process.cpuUsage();
  const startMs = clock.nowMs();
  await run(count);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (clock.nowMs() - startMs) / 1000;
  return { perSecond: count / seconds, cpuMicros: (user + system) / count };
}

const together = (count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, registerOne));

async function singly(count: number): Promise<void> {
  for (let index = 0; index < count; index++) await registerOne();
}

/** Frames of hosts, decoded, and renewed as a session does. @returns instances a second. */
function heard(keepers: readonly Keeper[]): number {
  const frame = encodeLeaseBeat({ seq: 1, lease: [], owner: "" });
  const startMs = clock.nowMs();
  let instances = 0;
  for (let index = 0; index < BEATS; index++) {
    const keeper = keepers[index % keepers.length];
    if (decodeLeaseBeat(frame).lease.length === 0) table.heardKeeper(keeper);
    instances += keeper.leases.size;
  }
  table.tick();
  return instances / ((clock.nowMs() - startMs) / 1000);
}

/** The same of single leases, each named. */
function heardSingly(): number {
  const some = [...table.all()].slice(0, BEATS);
  const startMs = clock.nowMs();
  for (const { row } of some) {
    const { modId, cmdId, ip, port } = row;
    const name = { modId, cmdId, ip, port, incarnation: row.incarnation };
    const { lease } = decodeLeaseBeat(encodeLeaseBeat({ seq: 1, lease: [name], owner: "" }));
    for (const one of lease) table.heard(one, one.incarnation);
  }
  return some.length / ((clock.nowMs() - startMs) / 1000);
}

function bind(): Keeper[] {
  const keepers: Keeper[] = [];
  let index = 0;
  for (const { row } of table.all()) {
    if (index++ % NODES_PER_HOST === 0) keepers.push(table.openKeeper());
    table.heard(row, row.incarnation, keepers[keepers.length - 1]);
  }
  return keepers;
}

/** Memory of the process by so many leases, each with a note of its own, in bytes. */
function memoryOf(count: number): number {
  const before = process.memoryUsage().rss;
  const kept = new LeaseTable({ time, guard: new LossGuard(), holder });
  const keepers = Array.from({ length: count / NODES_PER_HOST }, () => kept.openKeeper());
  for (let index = 0; index < count; index++) {
    const row: LeaseRow = {
      ...{ ...nextNode(), incarnation: index + 1, holder, phase: "live", ttlMs: 15_000 },
      ...{ weight: 100, zone: "a", source: "lars", owner: `10.0.${index % 256}.1`, sinceS: 1 },
      note: JSON.stringify({ version: "1.2.3", build: index }),
      written: { weight: 100, zone: "a", state: "on" },
      ...{ check: "", hand: {} },
    };
    kept.apply([row]);
    kept.heard(row, row.incarnation, keepers[index % keepers.length]);
  }
  const bytes = process.memoryUsage().rss - before;
  if (kept.count !== count) throw new Error("Leases are missing");
  return bytes;
}

const leaseBytes = memoryOf(LEASES_KEPT);
made = 0;
await together(1_000);
const out = {
  batched: [] as unknown[],
  single: [] as unknown[],
  beats: [] as number[],
  named: [] as number[],
};
for (let round = 0; round < rounds; round++) {
  out.batched.push(await registered(batchedCount, together));
  out.single.push(await registered(singleCount, singly));
  out.beats.push(heard(bind()));
  out.named.push(heardSingly());
}
await registry.stop();
await tell({ ...out, leaseBytes });
await store.close();
