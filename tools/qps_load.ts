// Shell. `lars test qps`: how many questions and reports a second.

import { RetCode } from "../proto/message_ids.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type AgentFlags, initModule, openClient } from "./agent_options.ts";
import { isOutputOver } from "../daemon/output.ts";
import { printJson, printLine, warningLine } from "./terminal.ts";

/** Most concurrent callers: each holds three sockets. */
export const QPS_THREADS_MAX = 300;

/** Options of the load test. */
export interface QpsFlags extends AgentFlags {
  readonly seconds?: number;
}

interface Totals {
  requests: number;
  errors: number;
}

/** Runs all callers; resolves with the exit code: 1 when it is strict and nothing was answered. */
export async function runQps(threads: number, flags: QpsFlags): Promise<number> {
  const totals: Totals = { requests: 0, errors: 0 };
  const startMs = systemClock.nowMs();
  await Promise.all(
    Array.from({ length: threads }, (_, thread) => runCaller(thread, flags, totals)),
  );
  const seconds = (systemClock.nowMs() - startMs) / 1000;
  const average = Math.round(totals.requests / seconds);
  if (flags.json === true) {
    printJson({ event: "total", threads, qps: average, ...totals });
  } else if (threads > 1) {
    printLine(`all ${threads} threads --> average = [${average}]`);
  }
  return flags.strict === true && totals.requests === 0 ? 1 : 0;
}

/** One caller: asks, reports, and prints a line each second. */
async function runCaller(thread: number, flags: QpsFlags, totals: Totals): Promise<void> {
  const [modId, cmdId] = [thread + 1, 1];
  const client = await openClient(flags);
  if (!await initModule(client, flags, modId, cmdId)) return await client.close();
  const meter = new Meter(thread, flags, modId, cmdId);
  while (!meter.over) {
    const { retcode, host } = await client.tryGetHost(modId, cmdId);
    if (host !== undefined) client.report(modId, cmdId, host.ip, host.port, RetCode.Success);
    // Success, overloaded and unknown are all good answers, as in the original.
    if (retcode === RetCode.SystemError) totals.errors += meter.countError();
    else totals.requests += meter.count();
  }
  await client.close();
}

/** Counts of one caller, printed once a second. */
class Meter {
  readonly #thread: number;
  readonly #flags: QpsFlags;
  readonly #module: string;
  readonly #startMs = systemClock.nowMs();
  #lineMs = this.#startMs;
  #count = 0;
  #errors = 0;
  #total = 0;
  #over = false;

  constructor(thread: number, flags: QpsFlags, modId: number, cmdId: number) {
    this.#thread = thread;
    this.#flags = flags;
    this.#module = `${modId},${cmdId}`;
  }

  /** True when the time given with `--seconds` is over, or nobody reads on. */
  get over(): boolean {
    return this.#over || isOutputOver();
  }

  count(): 1 {
    this.#count++;
    this.#tick();
    return 1;
  }

  countError(): 1 {
    this.#errors++;
    this.#tick();
    return 1;
  }

  #tick(): void {
    const nowMs = systemClock.nowMs();
    const sinceMs = nowMs - this.#lineMs;
    if (sinceMs < 1000) return;
    this.#total += this.#count;
    const qps = Math.round(this.#count * 1000 / sinceMs);
    const average = Math.round(this.#total * 1000 / (nowMs - this.#startMs));
    if (this.#flags.json === true) {
      printJson({ thread: this.#thread, qps, average, errors: this.#errors });
    } else {
      printLine(`thread:[${this.#thread}] --> qps = [${qps}], average = [${average}]`);
    }
    if (this.#errors > 0) {
      warningLine(`[${this.#module}] get error ${RetCode.SystemError}, ${this.#errors} times`);
    }
    this.#count = 0;
    this.#errors = 0;
    this.#lineMs = nowMs;
    const { seconds } = this.#flags;
    this.#over = seconds !== undefined && nowMs - this.#startMs >= seconds * 1000;
  }
}
