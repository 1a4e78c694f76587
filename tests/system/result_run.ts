// Shell. Results from senders over reporters into the database in virtual time: by one seed, with senders
// and reporters that come and go, and then calm; and says what was lost or counted twice.

import { DEFAULT_PORTS } from "../../proto/message_ids.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import { type Logger, silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, type Rng, seededRng } from "../../reactor/time/rng.ts";
import { SimNetwork } from "../../session/testing/sim_network.ts";
import { hostOf } from "./agent_process.ts";
import { ReporterProcess } from "./reporter_process.ts";
import { type SenderLife, SenderProcess } from "./sender_process.ts";
import { SimDatabase } from "./sim_database.ts";
import type { SimProcess, SimWorld } from "./sim_process.ts";
import { calmWeather } from "./sim_store.ts";
import type { SystemRun } from "./system_run.ts";

const REPORTERS = 3;
const SENDERS = 2;
/** Time in which things happen, unless told otherwise. */
const BUSY_MS = 120_000;
const PAUSE_MS = 2_500;
/** Until all is written that reporters hold. */
const COUNT_MS = 60_000;
/** Promises that go on after one event: what takes more goes on after the next. */
const TURNS = 16;
const LATENCY_MS_MAX = 4;
/** Answers of the database that take their time: a reporter that stops writes out several in 0.8 s. */
const SLOW_MS = 200;

/** How a run is made. */
export interface ResultRunOptions {
  /** True: everybody ends in good order. False: processes are killed as well, and the database is away. */
  readonly isOrderly: boolean;
  readonly busyMs?: number;
  /** Told what happens. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** Runs one seed. */
export function runResults(seed: number, options: ResultRunOptions): Promise<SystemRun> {
  return new ResultRun(seed, options).run();
}

/** How to see a seed again. */
export function replayOfResults(seed: number, isOrderly: boolean): string {
  const how = isOrderly ? "orderly" : "killed";
  return `deno task system-sim --results ${how} --seeds 1 --from ${seed} --trace`;
}

class ResultRun {
  readonly #options: ResultRunOptions;
  readonly #clock = new ManualClock(1_000_000);
  readonly #rng: Rng;
  readonly #database: SimDatabase;
  readonly #network: SimNetwork;
  readonly #reporters: readonly ReporterProcess[];
  readonly #senders: readonly SenderProcess[];
  readonly #faults: string[] = [];
  /** Reporters that end; they are down when they have. */
  readonly #ending = new Set<SimProcess>();
  #isOver = false;
  #events = 0;

  constructor(seed: number, options: ResultRunOptions) {
    this.#options = options;
    const clock = this.#clock;
    const rng = this.#rng = seededRng(seed);
    this.#network = new SimNetwork(clock, () => 1 + nextInt(rng, LATENCY_MS_MAX));
    this.#database = new SimDatabase(clock, new Map());
    const world: SimWorld = {
      ...{ clock, rng, storeBugs: {}, network: this.#network, database: this.#database },
      logOf: (name) => options.trace === undefined ? silentLogger : this.#logOf(name),
      broken: (rule) => void this.#faults.push(rule),
    };
    const several = <T>(count: number, make: (index: number) => T): T[] =>
      Array.from({ length: count }, (_, index) => make(index));
    this.#reporters = several(
      REPORTERS,
      (i) => new ReporterProcess(world, `reporter ${i}`, hostOf(2, i)),
    );
    const at = this.#reporters.map(({ host }) => ({
      hostname: host,
      port: DEFAULT_PORTS.reporter,
    }));
    this.#senders = several(
      SENDERS,
      (i) => new SenderProcess(world, `sender ${i}`, hostOf(4, i), at),
    );
    this.#database.results.onCounted = (caller) => this.#counted(caller);
  }

  async run(): Promise<SystemRun> {
    const startMs = this.#clock.nowMs();
    const all = [...this.#reporters, ...this.#senders];
    for (const one of all) one.start();
    this.#happen();
    await this.#pass(this.#options.busyMs ?? BUSY_MS);
    this.#isOver = true;
    this.#trace("all is calm");
    await this.#pass(COUNT_MS / 4);
    for (const one of all) {
      Object.assign(one.weather, calmWeather());
      one.start();
    }
    await this.#pass(COUNT_MS / 4);
    for (const sender of this.#senders) sender.isQuiet = true;
    await this.#pass(COUNT_MS);
    for (const sender of this.#senders) for (const one of sender.lives) this.#look(sender, one);
    for (const one of all) one.kill();
    const simulatedMs = this.#clock.nowMs() - startMs;
    return { broken: this.#faults, simulatedMs, events: this.#events };
  }

  /** One thing after the other, by chance. */
  #happen(): void {
    this.#after(nextInt(this.#rng, PAUSE_MS), () => {
      if (this.#isOver) return;
      this.#strike();
      this.#happen();
    });
  }

  #strike(): void {
    const die = this.#rng.next();
    const sender = this.#oneOf(this.#senders);
    const reporter = this.#oneOf(this.#reporters);
    const isHarsh = !this.#options.isOrderly && this.#rng.next() < 0.5;
    if (die < 0.35) this.#end(sender, () => isHarsh ? sender.kill() : sender.stop());
    else if (die < 0.75) {
      // One is always to be reached.
      const others = this.#reporters.filter((one) => one.isUp && !this.#ending.has(one));
      if (isHarsh || others.length > 1) {
        this.#end(reporter, () => isHarsh ? reporter.kill() : reporter.stop());
      }
    } else if (die < 0.85) {
      this.#trace(`reset of ${sender.name} and ${reporter.name}`);
      this.#network.reset(sender.host, reporter.host);
    } else this.#disturb(reporter, isHarsh);
  }

  /** Ends a process, and starts the next one in its place. */
  #end(process: SenderProcess | ReporterProcess, how: () => void | Promise<void>): void {
    if (!process.isUp || this.#ending.has(process)) return;
    this.#ending.add(process);
    this.#trace(`${process.name} ends`);
    void Promise.resolve(how()).then(() => {
      this.#trace(`${process.name} has ended`);
      this.#after(nextInt(this.#rng, 2 * PAUSE_MS), () => {
        this.#ending.delete(process);
        process.start();
      });
    });
  }

  #disturb({ weather, name }: ReporterProcess, isHarsh: boolean): void {
    this.#trace(`the database is ${isHarsh ? "away" : "slow"} for ${name}`);
    if (isHarsh) weather.away = this.#rng.next() < 0.5 ? "refused" : "silent";
    else Object.assign(weather, { slowShare: 0.5, slowMs: SLOW_MS, lostShare: 0.1 });
    this.#after(nextInt(this.#rng, 15_000), () => Object.assign(weather, calmWeather()));
  }

  #oneOf<T>(all: readonly T[]): T {
    return all[nextInt(this.#rng, all.length)];
  }

  #after(ms: number, action: () => void): void {
    this.#clock.setTimer(ms, action);
  }

  #counted(caller: number): void {
    const run = this.#senders.flatMap(({ lives }) => lives).find((one) => one.caller === caller);
    const counted = this.#database.results.byCaller.get(caller)?.succ ?? 0;
    if (run !== undefined && counted > run.made) {
      this.#faults.push(`${formatIpv4(caller)}: ${counted} counted, and ${run.made} made`);
    }
  }

  /** What must be there in the end: in good order everything; else what its sender has, or knows to be. */
  #look({ name }: SenderProcess, { caller, made, end }: SenderLife): void {
    const counted = this.#database.results.byCaller.get(caller)?.succ ?? 0;
    const lostCount = this.#reporters.reduce((sum, one) => sum + one.lostCount, 0);
    const mustBe = end === "none" || end === "stored" ||
      (end === "stopped" && this.#options.isOrderly && lostCount === 0);
    if (!mustBe || counted === made) return;
    this.#faults.push(`${name}, ${formatIpv4(caller)}, ${end}: ${counted} of ${made} counted`);
  }

  /** Time passes, one event after the other. */
  async #pass(ms: number): Promise<void> {
    const clock = this.#clock;
    const endMs = clock.nowMs() + ms;
    while (clock.nextDueMs <= endMs) {
      clock.fireNext();
      this.#events++;
      for (let turn = 0; turn < TURNS; turn++) await undefined;
    }
    clock.advance(endMs - clock.nowMs());
  }

  #trace(line: string): void {
    const atS = (this.#clock.nowMs() - 1_000_000) / 1000;
    this.#options.trace?.(`${atS.toFixed(3)} s: ${line}`);
  }

  #logOf(name: string): Logger {
    const write = (level: string) => (message: string, fields?: Record<string, unknown>): void =>
      this.#trace(`${name} ${level} ${message} ${JSON.stringify(fields ?? {})}`);
    return { debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") };
  }
}
