// Shell. A soak of the whole: all services at a steady rate of calls, and a fault every 20 s, from a seed.

import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { writeFileSync } from "node:fs";
import { describeMachine } from "../../bench/machine.ts";
import { compileNative } from "../../bench/native_tools.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { printLine } from "../../tools/terminal.ts";
import { startMariaDb } from "../support/mariadb.ts";
import { type TestProcess, withProcesses } from "../support/processes.ts";
import type { SoakRow } from "../soak/soak.ts";
import {
  type CallerSecond,
  callerTotals,
  drawSoak,
  type FaultMark,
  handleGrowth,
  type ProcessSample,
  slopeMbPerHour,
  type SoakRecord,
} from "./soak_report.ts";
import { SOAK_MODULES, SoakSystem } from "./soak_system.ts";

/** What is wanted of a soak. */
export interface SoakWish {
  readonly minutes: number;
  /** Questions a second; each answer is reported as well. */
  readonly rate: number;
  /** Of the faults and edits. */
  readonly seed: number;
  /** Where its picture goes. */
  readonly svg?: string | undefined;
  readonly json: boolean;
}

/** Time between two faults, of which the last is given this time to heal. */
const FAULT_EVERY_MS = 20_000;
const SAMPLE_MS = 2_000;
/**
 * The share of a run in which heaps find their size. Code does so for longer: V8 compiles what is called
 * once a second after 7 and 50 minutes, so that its size grows with the logarithm of the time.
 */
const WARM_UP_SHARE = 0.5;
/** A slope is judged in runs of this length only: a shorter one says nothing of an hour. */
const JUDGED_MINUTES_MIN = 10;
/** What is promised. */
const SLOPE_MAX = 1;
const HANDLES_MAX = 2;
const ANSWERED_SHARE_MIN = 0.9999;
const RATE_SHARE_MIN = 0.95;

async function look(process: TestProcess): Promise<Omit<ProcessSample, "atMs"> | undefined> {
  const bytes = await process.residentBytes();
  const handles = await readdir(`/proc/${process.pid}/fd`).catch(() => undefined);
  return bytes === undefined || handles === undefined
    ? undefined
    : { bytes, handles: handles.length };
}

interface Watched {
  readonly isSteady: boolean;
  readonly samples: ProcessSample[];
}

/** Looks at every service until it is stopped. */
class ServiceWatch {
  readonly watched = new Map<string, Watched>();
  readonly #loop: Promise<void>;
  #isOver = false;

  constructor(system: SoakSystem, startMs: number) {
    this.#loop = this.#watch(system, startMs);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#loop;
  }

  async #watch(system: SoakSystem, startMs: number): Promise<void> {
    while (!this.#isOver) {
      for (const { name, process, isSteady } of system.services()) {
        const seen = await look(process);
        if (seen === undefined) continue;
        const record = this.watched.get(name) ?? { isSteady, samples: [] };
        this.watched.set(name, record);
        record.samples.push({ atMs: systemClock.nowMs() - startMs, ...seen });
      }
      await sleep(systemClock, SAMPLE_MS);
    }
  }
}

/** The callers, and the seconds that they have told of. */
class Callers {
  readonly seconds: CallerSecond[] = [];
  readonly #child;
  #rest = "";

  constructor(path: string, port: number, rate: number) {
    const words = [port, SOAK_MODULES, rate].map(String);
    this.#child = spawn(path, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout.on("data", (chunk: Uint8Array) => {
      const lines = (this.#rest + new TextDecoder().decode(chunk)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.seconds.push(JSON.parse(line) as CallerSecond);
    });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** Brings about one fault after the other. */
async function bringFaults(
  system: SoakSystem,
  { minutes, seed }: SoakWish,
  startMs: number,
  say: (text: string) => void,
): Promise<FaultMark[]> {
  const rng = seededRng(seed);
  const done: FaultMark[] = [];
  const endMs = startMs + minutes * 60_000;
  let queue: ReturnType<SoakSystem["faults"]> = [];
  for (let dueMs = startMs + FAULT_EVERY_MS; dueMs + FAULT_EVERY_MS <= endMs + 1000;) {
    await sleep(systemClock, Math.max(0, dueMs - systemClock.nowMs()));
    // Each once before any comes again, in an order of chance.
    if (queue.length === 0) queue = system.faults();
    const [fault] = queue.splice(nextInt(rng, queue.length), 1);
    const atMs = systemClock.nowMs() - startMs;
    done.push({ atMs, what: fault.what });
    say(`${(atMs / 60_000).toFixed(1)} min: ${fault.what}`);
    await fault.act();
    dueMs = Math.max(dueMs + FAULT_EVERY_MS, systemClock.nowMs());
  }
  await sleep(systemClock, Math.max(0, endMs - systemClock.nowMs()));
  return done;
}

/** Judges what was recorded. */
function judge(record: SoakRecord, { minutes, rate }: SoakWish, system: SoakSystem): SoakRow[] {
  const { asked, ok, lost, late, refused, wrong, p50us, p99us, maxUs } = callerTotals(
    record.seconds,
  );
  const warmMs = minutes * 60_000 * WARM_UP_SHARE;
  const steady = record.services.filter(({ isSteady }) => isSteady);
  const slopes = steady.map(({ name, samples }) => ({
    name,
    slope: slopeMbPerHour(samples, warmMs),
    growth: handleGrowth(samples, warmMs),
  }));
  const isJudged = minutes >= JUDGED_MINUTES_MIN;
  const perSecond = asked / Math.max(1, record.seconds.length);
  const { counts, expired } = system;
  return [
    {
      what: `${rate} requests a second are answered, each with a node of its module`,
      figure: `${ok} of ${asked} (${Math.round(perSecond)} a second), ${lost} lost (${late} of ` +
        `them late, ${system.dropped} dropped at the agent), ${refused} without a node, ` +
        `${wrong} wrong; middle ${p50us} µs, p99 ${p99us} µs, longest ` +
        `${(maxUs / 1000).toFixed(0)} ms`,
      isKept: wrong === 0 && refused === 0 && ok >= ANSWERED_SHARE_MIN * asked &&
        perSecond >= RATE_SHARE_MIN * rate,
    },
    {
      what: "edits are made or refused, and the agent ends up with them; no lease expires",
      figure: `${counts.edits} edits, ${counts.editsRefused} refused, ${expired} expired`,
      isKept: expired === 0,
    },
    {
      // One under way when its link is lost fails, and says so: it might have been made.
      what: "requests through the relay have their own answers",
      figure: `${counts.relayed}, ${counts.relayWrong} wrong, ${counts.relayFailed} failed`,
      isKept: counts.relayWrong === 0 && counts.relayed > 0,
    },
    {
      what: `memory after ${
        minutes * WARM_UP_SHARE
      } min grows by less than ${SLOPE_MAX} MB an hour`,
      figure: slopes.map(({ name, slope }) => `${name} ${slope.toFixed(2)}`).join(", ") +
        (isJudged ? "" : ` (not judged in less than ${JUDGED_MINUTES_MIN} min)`),
      isKept: !isJudged || slopes.every(({ slope }) => slope < SLOPE_MAX),
    },
    {
      what: `handles stay within ${HANDLES_MAX}`,
      figure: slopes.map(({ name, growth }) => `${name} ${growth}`).join(", "),
      isKept: slopes.every(({ growth }) => growth <= HANDLES_MAX),
    },
  ];
}

/**
 * Runs all services under load and faults.
 *
 * @param say Is told of each fault as it comes.
 * @returns what was promised and what came of it, and all that was recorded.
 * @throws {Error} when the callers cannot be compiled, or a service does not heal.
 */
export async function soakAll(
  wish: SoakWish,
  say: (text: string) => void,
): Promise<{ rows: SoakRow[]; record: SoakRecord }> {
  const server = await startMariaDb();
  let result: { rows: SoakRow[]; record: SoakRecord } | undefined;
  try {
    await withProcesses(async (processes) => {
      const compiled = compileNative(
        "soak_caller",
        processes.directory,
        new URL("./", import.meta.url),
      );
      if ("reason" in compiled) throw new Error(compiled.reason);
      const system = new SoakSystem(processes, server, seededRng(wish.seed + 1));
      try {
        const port = await system.start();
        const startMs = systemClock.nowMs();
        const watch = new ServiceWatch(system, startMs);
        const callers = new Callers(compiled.path, port, wish.rate);
        const faults = await bringFaults(system, wish, startMs, say);
        await system.settle();
        await callers.stop();
        await watch.stop();
        const services = [...watch.watched].map(([name, one]) => ({ name, ...one }));
        const record = { seconds: callers.seconds, services, faults, rate: wish.rate };
        result = { rows: judge(record, wish, system), record };
      } finally {
        await system.close();
      }
    });
  } finally {
    await server.stop();
  }
  if (result === undefined) throw new Error("The soak has ended before its end");
  return result;
}

/** The soak of the command line. @returns its exit code: 0 when every promise was kept. */
export async function runSoak(wish: SoakWish): Promise<number> {
  const { rows, record } = await soakAll(wish, (text) => {
    if (!wish.json) printLine(text);
  });
  if (wish.svg !== undefined) {
    const day = new Date(systemClock.wallMs()).toISOString().slice(0, 10);
    const about = `${day}, ${describeMachine()}; ${wish.rate} requests a second for ` +
      `${wish.minutes} min, seed ${wish.seed}, ${record.faults.length} faults`;
    writeFileSync(wish.svg, drawSoak(record, about));
  }
  if (wish.json) printLine(JSON.stringify({ rows, ...record }));
  else {
    for (const { what, figure, isKept } of rows) {
      printLine(`${isKept ? "kept  " : "BROKEN"} ${what}: ${figure}`);
    }
  }
  return rows.every(({ isKept }) => isKept) ? 0 : 1;
}
