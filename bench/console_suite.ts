// Shell. The console under a busy fleet: how soon the overview answers, what looking costs.

import { get } from "node:http";
import { join } from "node:path";
import { sleep } from "../reactor/time/clock.ts";
import { messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { randomSecret, secretHash } from "../control/access/secrets.ts";
import { fillStore } from "./fill_store.ts";
import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import { ServerProcess } from "./server_process.ts";

const MEDIAN_ROW = "console: overview of 1,000 modules x 20 nodes under traffic: p50";
const WORST_ROW = "console: overview of 1,000 modules x 20 nodes under traffic: p99";
const LIVE_ROW = "console: live update of the list of modules";
const PAGE_ROW = "console: the page of a module, all it loads";

const MODULES = 1000;
const MODULES_OF_SMOKE = 20;
const NODES = 20;
/** Pause between two questions: people do not ask all the time. */
const ASK_PAUSE_MS = 20;
const TRAFFIC_MS_MAX = 60_000;

/** A console to ask. */
interface Target {
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Routes, and a viewer with a token; gives the token. */
async function fill(url: string, modules: number): Promise<string> {
  const secret = `lars_${randomSecret()}`;
  await fillStore(url, modules, NODES, async (store) => {
    const outcome = "done" as const;
    const audit = { atMs: 1, who: "bench", target: "", outcome, detail: "", address: "" };
    await store.console.addUser({
      name: "bench",
      role: "viewer",
      passwordHash: "",
      mustChange: false,
      disabled: false,
      createdAtMs: 1,
      loginAtMs: 0,
    }, { ...audit, action: "user.add" });
    await store.console.addToken({
      title: "bench",
      owner: "bench",
      role: "viewer",
      hash: secretHash(secret),
      createdAtMs: 1,
      expiresAtMs: 0,
      usedAtMs: 0,
    }, { ...audit, action: "token.add" });
  });
  return secret;
}

async function ask({ base, headers }: Target, path: string): Promise<Response> {
  const response = await fetch(base + path, { headers });
  if (response.status === 200) return response;
  throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
}

/** Waits until the console has seen calls. */
async function untilTraffic(target: Target): Promise<void> {
  const endMs = systemClock.nowMs() + TRAFFIC_MS_MAX;
  for (;;) {
    const response = await ask(target, "/api/v1/overview");
    const { callsPerSecond } = await response.json() as { callsPerSecond: number };
    if (callsPerSecond > 0) return;
    if (systemClock.nowMs() > endMs) throw new Error("the console sees no traffic");
    await sleep(systemClock, 200);
  }
}

/** Milliseconds of each answer, whole, sorted. */
async function overviewTimes(target: Target, ms: number): Promise<number[]> {
  const times: number[] = [];
  const endMs = systemClock.nowMs() + ms;
  do {
    const startMs = systemClock.nowMs();
    await (await ask(target, "/api/v1/overview")).arrayBuffer();
    times.push(systemClock.nowMs() - startMs);
    await sleep(systemClock, ASK_PAUSE_MS);
  } while (systemClock.nowMs() < endMs);
  return times.sort((a, b) => a - b);
}

/** Kilobytes a second of one stream. */
async function liveRate({ base, headers }: Target, ms: number): Promise<number> {
  const abort = new AbortController();
  const timer = systemClock.setTimer(ms, () => abort.abort());
  let bytes = 0;
  try {
    const { signal } = abort;
    const response = await fetch(`${base}/api/v1/live?view=modules`, { headers, signal });
    for await (const chunk of response.body ?? []) bytes += chunk.length;
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  } finally {
    timer.cancel();
  }
  return bytes / ms;
}

/** Bytes of an answer's body as they were sent: fetch unpacks what it reads, and tells no length. */
function sentBytes({ base, headers }: Target, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const packed = { ...headers, "Accept-Encoding": "gzip" };
    get(`${base}${path}`, { headers: packed }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Uint8Array) => (bytes += chunk.length));
      response.on("end", () => resolve(bytes));
      response.on("error", reject);
    }).on("error", reject);
  });
}

/** Kilobytes of the files as a browser gets them, and of the module. */
async function pageSize(target: Target): Promise<number> {
  const html = await (await ask(target, "/")).text();
  const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path);
  let bytes = 0;
  for (const path of new Set(["/", ...files, "/api/v1/modules/1/1"])) {
    bytes += await sentBytes(target, path);
  }
  return bytes / 1000;
}

async function measure(bench: Bench, on: BenchRuntime): Promise<Row[]> {
  const subject = on.name;
  const modules = bench.smoke ? MODULES_OF_SMOKE : MODULES;
  const url = `sqlite:${join(bench.directory, `console-${on.name}.db`)}`;
  const secret = await fill(url, modules);
  const own = ["--json", "--web-port", "0", "--metrics-port", "0", "--log-level", "error"];
  const argv = on.command("web/main.ts", ...own, "--store", url);
  const { addresses: [address] } = await bench.start(`console, ${on.name}`, argv);
  const target = {
    base: `http://${address.hostname}:${address.port}`,
    headers: { Authorization: `Bearer ${secret}` },
  };
  const [first] = bench.runtimes;
  const writer = first.command("bench/console_traffic.ts", url, `${modules}`, `${NODES}`);
  const traffic = await ServerProcess.start("traffic", bench.onLoadProcessor(writer));
  try {
    await untilTraffic(target);
    const medians: number[] = [];
    const worst: number[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      const times = await overviewTimes(target, bench.smoke ? 100 : 2000);
      medians.push(times[times.length >> 1]);
      worst.push(times[Math.min(times.length - 1, Math.floor(times.length * 0.99))]);
    }
    const rate = await liveRate(target, bench.smoke ? 200 : 10_000);
    const size = await pageSize(target);
    return [
      rowOf({ name: MEDIAN_ROW, subject, unit: "ms", values: medians }),
      rowOf({ name: WORST_ROW, subject, unit: "ms", values: worst, target: { atMost: 100 } }),
      rowOf({ name: LIVE_ROW, subject, unit: "kB/s", values: [rate], target: { atMost: 50 } }),
      rowOf({ name: PAGE_ROW, subject, unit: "kB", values: [size], target: { atMost: 150 } }),
    ];
  } finally {
    await traffic.stop();
  }
}

/** Rows of the console. */
export const consoleSuite: Suite = {
  name: "console",
  rows: [MEDIAN_ROW, WORST_ROW, LIVE_ROW, PAGE_ROW],
  async run(bench): Promise<Row[]> {
    const rows: Row[] = [];
    for (const on of bench.runtimes) {
      try {
        rows.push(...await measure(bench, on));
      } catch (error) {
        if (bench.smoke) throw error;
        rows.push(missingRow(WORST_ROW, on.name, messageOf(error)));
      }
      await bench.stopServers();
    }
    return rows;
  },
};
