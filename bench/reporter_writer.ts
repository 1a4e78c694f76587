// Shell. Writes call results as the reporter does, and one upsert for each row; prints both speeds.

import process from "node:process";
import { HashRing } from "../balancer/picking/hash_ring.ts";
import { sleep } from "../reactor/time/clock.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { StoreQueue } from "../reporter/store_queue.ts";
import { type CallStatusRow, openStore } from "../sql/mod.ts";
import { tell } from "./program.ts";

/** As `[reporter] db_thread_cnt` has it by default; one connection each. */
const QUEUES = 3;
const KEYS = 60_000;
const NODES_PER_MODULE = 20;
/** Rows that wait at most, so that none replaces one of its own key. */
const WAITING_MAX = 20_000;

const [url, roundsText, batchedText, singleText] = runtime.args;
const [rounds, batchedRows, singleRows] = [roundsText, batchedText, singleText].map(Number);

/** Speed and processor time of one round. */
interface Sample {
  readonly rowsPerSecond: number;
  readonly cpuMicros: number;
}

const stores = await Promise.all(
  Array.from({ length: QUEUES }, () => openStore(url, { connectionsMax: 1 })),
);
await stores[0].migrate();
const ring = new HashRing(stores.map((_, index) => `queue ${index}`));
let made = 0;

function nextRow(): CallStatusRow {
  const key = made++ % KEYS;
  return {
    modId: Math.floor(key / NODES_PER_MODULE),
    cmdId: 1,
    ip: 0xc0a80000 + key % NODES_PER_MODULE,
    port: 7777,
    caller: 0x7f000001,
    succCount: made % 1000,
    errCount: made % 7,
    ts: 1_700_000_000 + made % 1000,
    overload: made % 50 === 0,
    succTotal: made,
    errTotal: made % 997,
  };
}

async function timed(rows: number, write: () => Promise<void>): Promise<Sample> {
  const cpu = process.cpuUsage();
  const startMs = systemClock.nowMs();
  await write();
  const seconds = (systemClock.nowMs() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { rowsPerSecond: rows / seconds, cpuMicros: (user + system) / rows };
}

async function batched(): Promise<void> {
  const queues = stores.map((store) =>
    new StoreQueue({
      store,
      clock: systemClock,
      rng: systemRng,
      keysMax: KEYS,
      flushIntervalMs: 100,
      onOutcome: (error) => {
        if (error !== undefined) throw error;
      },
    })
  );
  const waiting = (): number => queues.reduce((sum, { stats }) => sum + stats.waiting, 0);
  for (let count = 0; count < batchedRows; count++) {
    const row = nextRow();
    queues[ring.pick(`${row.modId},${row.cmdId}`)].add(row);
    if (count % 1000 === 999) { while (waiting() > WAITING_MAX) await sleep(systemClock, 0); }
  }
  const left = await Promise.all(queues.map((queue) => queue.stop(30_000)));
  const written = queues.reduce((sum, { stats }) => sum + stats.written, 0);
  if (written !== batchedRows || left.some((rows) => rows.length > 0)) {
    throw new Error(`${written} of ${batchedRows} rows were written`);
  }
}

async function single(): Promise<void> {
  let left = singleRows;
  await Promise.all(stores.map(async (store) => {
    while (left-- > 0) await store.writeCallStatus([nextRow()]);
  }));
}

await batched(); // All rows are there, and all code is warm, before anything counts.
const samples: { batched: Sample[]; single: Sample[] } = { batched: [], single: [] };
for (let round = 0; round < rounds; round++) {
  samples.single.push(await timed(singleRows, single));
  samples.batched.push(await timed(batchedRows, batched));
}
await Promise.all(stores.map((store) => store.close()));
tell(samples);
runtime.exit(0);
