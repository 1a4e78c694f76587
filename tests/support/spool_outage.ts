// Shell. A reporter with a spool whose database hangs, killed with half of its agents: what is lost.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ReportSender } from "../../feed/report_sender.ts";
import type { HostResult } from "../../balancer/balance_records.ts";
import { silentLogger } from "../../reactor/log.ts";
import { setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { runtimeTransport } from "../../session/runtime_transport.ts";
import { SessionClient } from "../../session/session_client.ts";
import { openStore } from "../../sql/mod.ts";
import { freePort } from "./free_port.ts";
import { type MariaDb, runAdmin } from "./mariadb.ts";
import type { Processes, TestProcess } from "./processes.ts";
import { until } from "./until.ts";

/** How long it goes on, and how much there is. */
export interface OutageOptions {
  /** Results a second, all senders together. */
  readonly perSecond: number;
  readonly senders: number;
  /** Time that the database hangs, in milliseconds. */
  readonly awayMs: number;
  readonly spoolDir?: string;
  say(line: string): void;
}

/** What came of it. */
export interface OutageFigures {
  /** Results that were made, each with one call. */
  readonly made: number;
  /** Calls in the history. */
  readonly counted: number;
  /** Results that the senders had which were lost together with the reporter. */
  readonly heldByLost: number;
  /** Of a second of those senders. */
  readonly lostPerSecond: number;
  readonly spoolBytesMost: number;
  /** From the return of the database until all was in it, in milliseconds. */
  readonly replayMs: number;
}

/** An agent without callers: results of as many nodes, once a second. */
class Sender {
  readonly #sender: ReportSender;
  readonly #nodes: number;
  readonly #caller: number;
  readonly #timer: Timer;
  readonly #startMs = systemClock.nowMs();
  #seconds = 0;
  isEnded = false;

  constructor(caller: number, nodes: number, port: number) {
    this.#caller = caller;
    this.#nodes = nodes;
    const rng = seededRng(caller);
    const shared = { clock: systemClock, rng, log: silentLogger, transport: runtimeTransport };
    this.#sender = new ReportSender({
      ...{ clock: systemClock, rng, callerIp: () => caller },
      openLink: (events) =>
        new SessionClient({
          ...{ ...events, ...shared, name: "reporter", role: "agent", software: "test" },
          addresses: [{ hostname: "127.0.0.1", port }],
          secrets: undefined,
          welcomeWaitMs: 2_000,
        }),
    });
    this.#sender.link.start();
    // A timer that is late makes up for it: the rate is what was asked for.
    this.#timer = setRepeating(systemClock, 250, () => {
      const due = Math.floor((systemClock.nowMs() - this.#startMs) / 1000);
      while (this.#seconds < due) this.#report();
    });
  }

  /** Calls made, one for each result. */
  get made(): number {
    return this.#seconds * this.#nodes;
  }

  /** Results that nobody has said to keep. */
  get unconfirmed(): number {
    const { resultsPending, resultsUnconfirmed } = this.#sender.stats;
    return resultsPending + resultsUnconfirmed;
  }

  #report(): void {
    const total = ++this.#seconds;
    const results: HostResult[] = [];
    for (let i = 0; i < this.#nodes; i++) {
      results.push({
        ...{ ip: 0x0a000000 + i, port: 7000, succ: 1, err: 0, overload: false },
        ...{ succTotal: total, errTotal: 0, timedTotal: total, timeMsTotal: 3 * total },
      });
    }
    for (let at = 0; at < results.length; at += 50) {
      const cmdId = 1 + at / 50;
      this.#sender.add([{ modId: this.#caller, cmdId, results: results.slice(at, at + 50) }]);
    }
  }

  /** Makes no more, and goes on sending. */
  pause(): void {
    this.#timer.cancel();
  }

  flush(): void {
    this.#sender.flush();
  }

  /** With all that it keeps. */
  async lose(): Promise<void> {
    this.isEnded = true;
    this.#timer.cancel();
    await this.#sender.link.close();
  }
}

async function countedCalls(url: string): Promise<number> {
  const sql = "SELECT COALESCE(SUM(succ), 0) AS n FROM CallHistory WHERE step_s = 10 AND grain = 1";
  return Number((await runAdmin(url, sql))[0].n);
}

/** Bytes of the files of a spool. */
function bytesOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  const names = readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)));
  // One may be gone between the two looks.
  return names.reduce((sum, path) => {
    const status = statSync(path, { throwIfNoEntry: false });
    return sum + (status?.isFile() === true ? status.size : 0);
  }, 0);
}

/** Runs it on a fresh database of a server. */
export async function spoolOutage(
  server: MariaDb,
  processes: Processes,
  { perSecond, senders, awayMs, say, ...more }: OutageOptions,
): Promise<OutageFigures> {
  await runAdmin(server.url, "CREATE DATABASE lars_dns");
  const url = `${server.url}/lars_dns`;
  const store = await openStore(url);
  await store.migrate();
  await store.close();
  const port = await freePort();
  const spool = more.spoolDir ?? join(processes.directory, "spool");
  const start = (): Promise<TestProcess> =>
    processes.start("reporter", [
      ...[`--reactor-port=${port}`, `--store=${url}`, `--reporter-spool-dir=${spool}`],
    ]);
  let reporter = await start();
  const nodes = Math.floor(perSecond / senders);
  const all = Array.from({ length: senders }, (_, i) => new Sender(i + 1, nodes, port));
  const living = (): Sender[] => all.filter(({ isEnded }) => !isEnded);
  const made = (): number => all.reduce((sum, one) => sum + one.made, 0);
  let spoolBytesMost = 0;
  const startMs = systemClock.nowMs();
  const passed = (ms: number): Promise<void> =>
    until(() => {
      spoolBytesMost = Math.max(spoolBytesMost, bytesOf(spool));
      return systemClock.nowMs() - startMs >= ms;
    }, { timeoutMs: ms + 60_000, intervalMs: 200 });
  await until(async () => await countedCalls(url) > 0, { timeoutMs: 60_000, what: "history" });
  const awayFromMs = systemClock.nowMs() - startMs;
  await server.suspend();
  await passed(awayFromMs + awayMs / 2);
  const lost = living().slice(0, Math.floor(senders / 2));
  const killed = reporter.kill9();
  const heldByLost = lost.reduce((sum, one) => sum + one.unconfirmed, 0);
  await Promise.all([killed, ...lost.map((one) => one.lose())]);
  say(`killed with ${lost.length} senders, which had ${heldByLost} results that nobody kept`);
  reporter = await start();
  for (const _ of lost) all.push(new Sender(all.length + 1, nodes, port));
  await passed(awayFromMs + awayMs * 3 / 4);
  await reporter.kill9();
  reporter = await start();
  await passed(awayFromMs + awayMs);
  say(`made ${made()}, spool ${spoolBytesMost} bytes at most`);
  server.resume();
  const backMs = systemClock.nowMs();
  for (const one of living()) one.pause();
  let counted = 0;
  let steadyMs = systemClock.nowMs();
  await until(async () => {
    for (const one of living()) one.flush();
    const now = await countedCalls(url);
    if (now !== counted) steadyMs = systemClock.nowMs();
    counted = now;
    // Two buckets later nothing more comes.
    const isQuiet = systemClock.nowMs() - steadyMs > 25_000;
    return counted > made() ||
      (isQuiet && living().every(({ unconfirmed }) => unconfirmed === 0));
  }, { timeoutMs: 600_000, intervalMs: 500, what: () => `${made()} calls; ${counted} are there` });
  const replayMs = steadyMs - backMs;
  const figures = {
    ...{ made: made(), counted, heldByLost, spoolBytesMost, replayMs },
    lostPerSecond: lost.length * nodes,
  };
  await Promise.all(living().map((one) => one.lose()));
  await reporter.stop();
  return figures;
}
