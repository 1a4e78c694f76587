// Shell. What runs of many minutes share: their options, samples of memory, and what is said at the end.

import process from "node:process";
import { Command } from "commander";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { reportFailure } from "../../tools/cli_errors.ts";
import { printLine } from "../../tools/terminal.ts";
import type { TestProcess } from "../support/processes.ts";

/** Time between two samples; a short run has as many as a longer one. */
const SAMPLE_MS_MAX = 5_000;
const SAMPLES_MIN = 60;

/** Bytes in a megabyte, as memory is shown. */
const MB = 1024 * 1024;

/** Options of every run. */
export interface SoakFlags {
  /** How long, in minutes. */
  readonly minutes: number;
  /** Calls or questions a second. */
  readonly rate: number;
}

/** A promise, and whether it was kept. */
export interface SoakRow {
  readonly what: string;
  readonly figure: string;
  readonly isKept: boolean;
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new RangeError(`Must be a number above 0: current value is ${text}`);
}

/** Reads the options, runs `run`, prints its rows, and ends with 1 when a promise was not kept. */
export async function soak(
  about: string,
  defaults: SoakFlags,
  run: (flags: SoakFlags) => Promise<readonly SoakRow[]>,
): Promise<void> {
  const command = new Command().description(about)
    .option("--minutes <N>", "how long", positive, defaults.minutes)
    .option("--rate <N>", "calls or questions a second", positive, defaults.rate)
    .parse(process.argv);
  try {
    const rows = await run(command.opts<SoakFlags>());
    for (const { what, figure, isKept } of rows) {
      printLine(`${isKept ? "kept  " : "BROKEN"} ${what}: ${figure}`);
    }
    process.exitCode = rows.every(({ isKept }) => isKept) ? 0 : 1;
  } catch (error) {
    process.exitCode = reportFailure(error);
  }
}

/** One look at the memory of some processes. */
interface Sample {
  readonly atMs: number;
  readonly bytes: readonly number[];
}

/** Watches what processes hold. */
export class MemoryWatch {
  readonly #processes: readonly TestProcess[];
  readonly #samples: Sample[] = [];
  readonly #sampleMs: number;
  readonly #startMs = systemClock.nowMs();
  #isStopped = false;
  #loop: Promise<void> | undefined;

  /** `minutes`: of the whole run. */
  constructor(processes: readonly TestProcess[], minutes: number) {
    this.#processes = processes;
    this.#sampleMs = Math.min(SAMPLE_MS_MAX, minutes * 60_000 / SAMPLES_MIN);
  }

  /** Samples from now on, until {@linkcode MemoryWatch.stop}; each minute is printed. */
  start(): void {
    this.#loop = this.#watch();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
  }

  /** Megabytes of each process now. */
  async now(): Promise<number[]> {
    const bytes = await this.#look();
    return bytes.map((one) => Math.round(one / MB));
  }

  /** Largest value of each process from a time on, in megabytes. */
  peak(fromMs = 0): number[] {
    return this.#of(fromMs, (values) => Math.max(...values));
  }

  /** By how much each differs between its middle values of two times, in megabytes. */
  growth(firstMs: readonly [number, number], lastMs: readonly [number, number]): number[] {
    const first = this.#of(firstMs[0], middle, firstMs[1]);
    const last = this.#of(lastMs[0], middle, lastMs[1]);
    return last.map((value, index) => value - first[index]);
  }

  /** `name 12, name 13`. */
  text(values: readonly number[]): string {
    return values.map((value, index) => `${this.#processes[index].name} ${Math.round(value)}`)
      .join(", ");
  }

  #of(fromMs: number, choose: (values: readonly number[]) => number, toMs = Infinity): number[] {
    const within = this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
    return this.#processes.map((_, index) =>
      within.length === 0 ? 0 : choose(within.map(({ bytes }) => bytes[index])) / MB
    );
  }

  #look(): Promise<number[]> {
    return Promise.all(this.#processes.map(async (one) => await one.residentBytes() ?? 0));
  }

  async #watch(): Promise<void> {
    let printedMs = -Infinity;
    while (!this.#isStopped) {
      const atMs = systemClock.nowMs() - this.#startMs;
      const bytes = await this.#look();
      this.#samples.push({ atMs, bytes });
      if (atMs - printedMs >= 60_000) {
        printedMs = atMs;
        const megabytes = this.text(bytes.map((one) => one / MB));
        printLine(`${Math.round(atMs / 60_000)} min: ${megabytes} MB`);
      }
      await sleep(systemClock, this.#sampleMs);
    }
  }
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Time between two bursts of a paced load, and how much of a late one is made up for. */
const TICK_MS = 10;
const LATE_MS_MAX = 50;

/**
 * Calls `act` so many times a second, in bursts; less often where this process gets no time for it.
 *
 * @returns what ends it, once the burst under way is done.
 */
export function paced(rate: number, act: () => void): () => Promise<void> {
  let isStopped = false;
  const loop = (async (): Promise<void> => {
    let doneMs = systemClock.nowMs();
    let owed = 0;
    while (!isStopped) {
      const nowMs = systemClock.nowMs();
      owed += Math.min(LATE_MS_MAX, nowMs - doneMs) * rate / 1000;
      doneMs = nowMs;
      for (; owed >= 1; owed--) act();
      await sleep(systemClock, TICK_MS);
    }
  })();
  return async () => {
    isStopped = true;
    await loop;
  };
}
