// Shell. dns: how soon the last of many subscribers has a change, and answers during a full read.

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openStore } from "../sql/mod.ts";
import { type Bench, type BenchRuntime, openFilesFault, type Suite } from "./harness.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import type { ServerProcess } from "./server_process.ts";

const SUBSCRIBERS = 10_000;
const ROWS = 1_000_000;
const NODES_PER_MODULE = 20;
const PUSH_ROW = "dns: a change by our own writer reaches the last of 10,000 subscribers";
const READ_ROW = "dns: answers while 1,000,000 rows are read again and again, delay p99";
const REST_ROW = "dns: the same at rest";
const READ_MS = 6000;

async function fill(url: string, path: string, rows: number): Promise<void> {
  const store = await openStore(url);
  try {
    await store.migrate();
  } finally {
    await store.close();
  }
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA synchronous = OFF;
      WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows - 1})
      INSERT INTO RouteData (modid, cmdid, serverip, serverport)
      SELECT i / ${NODES_PER_MODULE}, 1, 167772160 + i, 8000 FROM n`);
    database.exec(
      "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, 1, 80)",
    );
  } finally {
    database.close();
  }
}

function startDns(
  bench: Bench,
  on: BenchRuntime,
  url: string,
  reloadSeconds: number,
): Promise<ServerProcess> {
  const times = ["--dns-poll-interval", "1", "--dns-reload-interval", String(reloadSeconds)];
  const max = ["--reactor-max-conn", String(SUBSCRIBERS + 100)];
  return bench.startService("dns", on, url, ...max, ...times);
}

async function pushRow(bench: Bench, on: BenchRuntime): Promise<Row> {
  const subscribers = bench.smoke ? 100 : SUBSCRIBERS;
  const why = openFilesFault(subscribers);
  if (why !== undefined) return missingRow(PUSH_ROW, on.name, why);
  const path = join(bench.directory, `push-${on.name}.db`);
  const url = `sqlite:${path}`;
  await fill(url, path, 1000);
  const dns = await startDns(bench, on, url, 0);
  const words = [url, dns.addresses[0].port, subscribers, bench.rounds].map(String);
  const program = bench.runtimes[bench.runtimes.length - 1];
  const values = JSON.parse(
    await bench.runLoad(program.command("bench/dns_subscribers.ts", ...words)),
  ) as number[];
  await bench.stopServers();
  return rowOf({
    name: PUSH_ROW,
    subject: on.name,
    unit: "ms",
    values,
    target: { atMost: 500 },
  });
}

async function readRows(bench: Bench, on: BenchRuntime): Promise<Row[]> {
  const rows = bench.smoke ? 2000 : ROWS;
  const path = join(bench.directory, "million.db");
  const url = `sqlite:${path}`;
  if (on === bench.runtimes[0]) await fill(url, path, rows);
  const values = new Map<string, number>();
  // Each second, but never sooner than twice the time of the last read: a third of the time it reads.
  for (const [name, reloadSeconds] of [[REST_ROW, 0], [READ_ROW, 1]] as const) {
    const dns = await startDns(bench, on, url, reloadSeconds);
    const ms = bench.smoke ? 50 : READ_MS;
    const words = [dns.addresses[0].port, rows / NODES_PER_MODULE, ms].map(String);
    const program = bench.runtimes[bench.runtimes.length - 1];
    const output = await bench.runLoad(program.command("bench/dns_asker.ts", ...words));
    values.set(name, (JSON.parse(output) as { p99: number }).p99);
    await bench.stopServers();
  }
  return [REST_ROW, READ_ROW].map((name) =>
    rowOf({
      name,
      subject: on.name,
      unit: "ms",
      values: [values.get(name) ?? NaN],
      target: name === READ_ROW ? { atMost: 5 } : undefined,
    })
  );
}

/** Rows of dns. */
export const dnsSuite: Suite = {
  name: "dns",
  rows: [PUSH_ROW, REST_ROW, READ_ROW],
  async run(bench): Promise<Row[]> {
    const rows: Row[] = [];
    for (const on of bench.subjects) {
      if (bench.wants("dns", PUSH_ROW)) rows.push(await pushRow(bench, on));
      if (bench.wants("dns", READ_ROW) || bench.wants("dns", REST_ROW)) {
        rows.push(...await readRows(bench, on));
      }
    }
    return rows;
  },
};
