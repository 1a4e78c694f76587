// Shell. Random edits by writers of every kind, dns and agents as processes, faults of all of them, of the
// database and of what lies between; and a record of what each observer saw, for the checker.

import { join } from "node:path";
import { sleep } from "../../reactor/time/clock.ts";
import { nextInt, type Rng, seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { addNodes, agentFlags } from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { type MariaDb, runAdmin, startMariaDb } from "../support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { NO_NOISE, type Noise } from "../support/noisy_paths.ts";
import { Id, monotonicMs, readRoute, WireConnection } from "../support/wire_client.ts";
import { AgentEyes } from "./agent_eyes.ts";
import { checkHistory, type HistoryRecord, type LookRecord } from "./history_checker.ts";
import {
  BARE_WRITER,
  EDITED_MODULES,
  firstNodes,
  HistoryNotes,
  IDLE_WRITER,
  WRITERS,
} from "./history_notes.ts";
import { HistoryPaths, type Hold, type Strike } from "./history_paths.ts";
import { type HistoryWriter, openWriters } from "./history_writers.ts";

const DATABASE = "lars_dns";
const LOOK_PAUSE_MS = 50;
/** A subscriber asks again after so many pauses; between them it only hears what is pushed. */
const PAUSES_PER_QUESTION = 40;
const EDIT_PAUSE_MAX_MS = 300;
const FAULT_PAUSE_MAX_MS = 800;
const FAULT_MAX_MS = 2_000;
/** Once all is well everybody must have everything within this time; usually it takes a second. */
const CALM_LIMIT_MS = 60_000;
const ANSWER_LIMIT_MS = 500;
/** Of the datagrams between an agent and who asks it; answers must not be taken for later ones. */
const AGENT_NOISE = { ...NO_NOISE, loss: 0.2, delayMs: 50, jitterMs: 20 };
/** Parts of a run that have a chance of their own, beside the writers. */
const STRIKE_PART = 0;
const NET_STRIKE_PART = 1 + IDLE_WRITER;
const PATHS_PART = NET_STRIKE_PART + 1;
const PARTS = 16;

/** How long, and by which chance. */
export interface HistoryLabOptions {
  /** Faults go on for so long; in any case each of them comes once, and each writer edits. */
  readonly seconds: number;
  readonly seed: number;
  /** Told of faults and of edits that went wrong. */
  say?(line: string): void;
}

/** A record, and what it took. */
export interface HistoryRun {
  readonly record: HistoryRecord;
  /** Faults by name. */
  readonly faults: ReadonlyMap<string, number>;
  /** From the last fault until everybody had everything. */
  readonly calmTookMs: number;
}

/** Runs it once. */
export async function recordHistory(options: HistoryLabOptions): Promise<HistoryRun> {
  let run: HistoryRun | undefined;
  const server = await startMariaDb();
  try {
    await runAdmin(server.url, `CREATE DATABASE ${DATABASE}`);
    const store = await openStore(`${server.url}/${DATABASE}`, { queryTimeoutMs: 3_000 });
    try {
      await store.migrate();
      await withProcesses(async (processes) => {
        run = await new HistoryLab({ processes, server, store }, options).run();
      });
    } finally {
      await store.close();
    }
  } finally {
    await server.stop();
  }
  if (run === undefined) throw new Error("Nothing was recorded");
  return run;
}

/** Edits by writer, faults, looks, in one line; without what the checker says of them. */
export function historySummary({ record, faults, calmTookMs }: HistoryRun): string {
  const { edits, looks } = record;
  const done = edits.filter(({ outcome }) => outcome === "done").length;
  const byWriter = WRITERS.slice(0, IDLE_WRITER).map((name, index) =>
    `${edits.filter(({ writer }) => writer === index).length} by ${name}`
  ).join(", ");
  const observers = new Set(looks.map(({ observer }) => observer)).size;
  const struck = [...faults.values()].reduce((sum, count) => sum + count, 0);
  return `${edits.length} edits (${byWriter}), ${done} of them known to be done, ` +
    `${struck} faults, ${looks.length} looks by ${observers} observers, ` +
    `all seen ${(calmTookMs / 1000).toFixed(1)} s after the last edit`;
}

/** What the lab is made of. */
interface LabParts {
  readonly processes: Processes;
  readonly server: MariaDb;
  readonly store: Store;
}

class HistoryLab {
  readonly #notes = new HistoryNotes(monotonicMs);
  readonly #dns: TestProcess[] = [];
  readonly #agents: TestProcess[] = [];
  readonly #dnsPorts: number[] = [];
  /** How often each agent was started. */
  readonly #agentRuns = [0, 0];
  #agentNoise: Noise = NO_NOISE;
  #openPaths: HistoryPaths | undefined;
  /** Who looks at each dns now. */
  readonly #subscribers = ["", ""];
  readonly #faultCounts = new Map<string, number>();
  #areEditsOver = false;
  #isOver = false;

  constructor(readonly parts: LabParts, readonly options: HistoryLabOptions) {}

  async run(): Promise<HistoryRun> {
    const { store } = this.parts;
    for (let module = 0; module < EDITED_MODULES; module++) {
      await addNodes(store, module + 1, 1, firstNodes(module));
    }
    this.#dnsPorts.push(await freePort(), await freePort());
    const { server } = this.parts;
    this.#openPaths = await HistoryPaths.open(this.#dnsPorts, server.port, this.#rng(PATHS_PART));
    try {
      return await this.#runOver(this.#openPaths);
    } finally {
      await this.#openPaths.close();
    }
  }

  async #runOver(paths: HistoryPaths): Promise<HistoryRun> {
    await Promise.all([this.#startDns(0), this.#startDns(1)]);
    await Promise.all([this.#startAgent(0), this.#startAgent(1)]);
    const { writers, close } = await openWriters({
      ...this.parts,
      url: this.#urlOver(paths.writersPort),
      notes: this.#notes,
      say: (line) => this.#say(line),
    });
    const looks = [0, 1].flatMap((index) => [this.#lookAtAgent(index), this.#lookAtDns(index)]);
    const edits = writers.map((writer, index) => this.#editOn(writer, this.#rng(1 + index)));
    try {
      const strikes = Promise.all([
        this.#strikeOn(this.#faults(), this.#rng(STRIKE_PART)),
        this.#strikeOn(this.#netFaults(paths), this.#rng(NET_STRIKE_PART)),
      ]);
      await Promise.race([strikes, failureOf([...looks, ...edits])]);
      this.#areEditsOver = true;
      await Promise.all(edits);
      return await this.#judge();
    } finally {
      this.#areEditsOver = true;
      this.#isOver = true;
      await Promise.allSettled([...looks, ...edits]);
      await close();
    }
  }

  /** Waits until everybody has everything; whoever never has is found by the checker. */
  async #judge(): Promise<HistoryRun> {
    const quietMs = monotonicMs();
    const { looks } = this.#notes;
    const since = looks.length;
    let settledMs = quietMs;
    const isSettled = (): boolean => {
      const latest = new Map(
        looks.slice(since).map((look) => [`${look.observer} ${look.module}`, look]),
      );
      settledMs = monotonicMs();
      return checkHistory(this.#record(quietMs, [...latest.values()])).length === 0;
    };
    await until(isSettled, { timeoutMs: CALM_LIMIT_MS, intervalMs: 250, what: "all edits" })
      .catch((error) => this.#say(`${error}`));
    // Everybody looks once more, and has to have everything still.
    const end = looks.length;
    const haveLooked = (): boolean => {
      const done = new Set(
        looks.slice(end).filter(({ askedMs }) => askedMs >= settledMs)
          .map(({ observer, module }) => `${observer} ${module}`),
      );
      return this.#observers().every((observer) =>
        Array.from({ length: EDITED_MODULES }, (_, module) => `${observer} ${module}`)
          .every((key) => done.has(key))
      );
    };
    await until(haveLooked, {
      ...{ timeoutMs: CALM_LIMIT_MS, intervalMs: 250, what: "a last look of everybody" },
    }).catch((error) => this.#say(`${error}`));
    const record = this.#record(settledMs, [...looks]);
    return { record, faults: this.#faultCounts, calmTookMs: settledMs - quietMs };
  }

  #record(calmMs: number, looks: readonly LookRecord[]): HistoryRecord {
    return {
      ...{ modules: EDITED_MODULES, writers: WRITERS.length, edits: this.#notes.edits, looks },
      unversioned: [BARE_WRITER],
      ...{ calmMs, lastObservers: this.#observers() },
    };
  }

  /** Who looks now. */
  #observers(): string[] {
    return [this.#agentName(0), this.#agentName(1), ...this.#subscribers];
  }

  #say(line: string): void {
    this.options.say?.(`${(monotonicMs() / 1000).toFixed(1)} s: ${line}`);
  }

  /** Chance of one part of the run: what the others do changes nothing of it. */
  #rng(part: number): Rng {
    return seededRng(this.options.seed * PARTS + part);
  }

  get #paths(): HistoryPaths {
    if (this.#openPaths === undefined) throw new Error("The paths are not open yet");
    return this.#openPaths;
  }

  #urlOver(port: number): string {
    return `mysql://lars:pw@127.0.0.1:${port}/${DATABASE}`;
  }

  async #startDns(index: number): Promise<void> {
    const { processes } = this.parts;
    this.#dns[index] = await processes.start("dns", [
      `--reactor-port=${this.#dnsPorts[index]}`,
      `--store=${this.#urlOver(this.#paths.databasePort(index))}`,
      "--metrics-port=0",
      `--dns-cache-dir=${join(processes.directory, `dns ${index}`)}`,
    ]);
  }

  async #startAgent(index: number): Promise<void> {
    const ports = this.#paths.dnsPorts(index);
    const order = index === 0 ? ports : ports.toReversed();
    this.#agents[index] = await this.parts.processes.start("agent", [
      ...agentFlags(this.parts.processes, order, [1], `cache ${index}`),
      "--metrics-port=0",
    ]);
    this.#agentRuns[index]++;
  }

  #agentName(index: number): string {
    return `agent ${index}, run ${this.#agentRuns[index]}`;
  }

  async #editOn(writer: HistoryWriter, rng: Rng): Promise<void> {
    while (!this.#areEditsOver) {
      await writer.edit(nextInt(rng, EDITED_MODULES));
      await sleep(systemClock, nextInt(rng, EDIT_PAUSE_MAX_MS));
    }
  }

  /** Asks an agent for its routes, again and again. */
  async #lookAtAgent(index: number): Promise<void> {
    let observer = "";
    let eyes: AgentEyes[] = [];
    const known = new Set<number>();
    const rng = this.#rng(PATHS_PART + 1 + index);
    while (!this.#isOver) {
      if (observer !== this.#agentName(index)) {
        for (const one of eyes) one.close();
        known.clear();
        observer = this.#agentName(index);
        const port = this.#agents[index].port();
        eyes = Array.from({ length: EDITED_MODULES }, (_, at) => new AgentEyes(port, at + 1, rng));
      }
      for (const [module, one] of eyes.entries()) {
        const askedMs = monotonicMs();
        one.noise = this.#agentNoise;
        const route = await one.route(ANSWER_LIMIT_MS);
        // Not known yet, as after a start without a file; when it was known it must not be empty.
        if (route === undefined || (route.hosts.length === 0 && !known.has(module))) continue;
        known.add(module);
        this.#notes.look({ observer, mayMove: true }, module, askedMs, route.hosts);
      }
      await sleep(systemClock, LOOK_PAUSE_MS);
    }
    for (const one of eyes) one.close();
  }

  /** Subscribes to a dns as a program of the original, again and again. */
  async #lookAtDns(index: number): Promise<void> {
    for (let run = 1; !this.#isOver; run++) {
      const port = this.#paths.subscriberPort(index);
      const connection = await WireConnection.open(port).catch(() => undefined);
      const observer = this.#subscribers[index] = `subscriber ${index}, run ${run}`;
      const asked = new Array<number>(EDITED_MODULES).fill(0);
      for (let pause = 0; connection !== undefined && !connection.ended && !this.#isOver; pause++) {
        for (const { msgId, body } of connection.frames.splice(0)) {
          if (msgId !== Id.GetRouteResponse) continue;
          const { modId, hosts } = readRoute(body);
          // A push counts as an answer to the latest question: what was known when that was asked it has.
          this.#notes.look({ observer }, modId - 1, asked[modId - 1], hosts);
        }
        if (pause % PAUSES_PER_QUESTION === 0) {
          for (let module = 0; module < EDITED_MODULES; module++) {
            asked[module] = monotonicMs();
            connection.askRoute(module + 1, 1);
          }
        }
        await sleep(systemClock, LOOK_PAUSE_MS);
      }
      connection?.close();
      await sleep(systemClock, LOOK_PAUSE_MS);
    }
  }

  /** Every fault in turn, in an order by chance, again and again until the time is over. */
  async #strikeOn(faults: Record<string, Strike>, rng: Rng): Promise<void> {
    const startMs = monotonicMs();
    const all = Object.entries(faults);
    do {
      for (const [name, strike] of shuffled(all, rng)) {
        await sleep(systemClock, nextInt(rng, FAULT_PAUSE_MAX_MS));
        const [index, holdMs] = [nextInt(rng, 2), nextInt(rng, FAULT_MAX_MS)];
        this.#say(`${name}, number ${index}, ${holdMs} ms`);
        await strike(index, () => sleep(systemClock, holdMs));
        this.#faultCounts.set(name, (this.#faultCounts.get(name) ?? 0) + 1);
      }
    } while (monotonicMs() - startMs < this.options.seconds * 1000);
  }

  #netFaults(paths: HistoryPaths): Record<string, Strike> {
    return {
      ...paths.faults(),
      "agents hard to ask": async (_index, hold) => {
        this.#agentNoise = AGENT_NOISE;
        await hold();
        this.#agentNoise = NO_NOISE;
      },
    };
  }

  #faults(): Record<string, Strike> {
    const { server } = this.parts;
    const pause = async (process: TestProcess, hold: Hold): Promise<void> => {
      process.signal("SIGSTOP");
      await hold();
      process.signal("SIGCONT");
    };
    return {
      "dns killed": async (index, hold) => {
        await this.#dns[index].kill9();
        await hold();
        await this.#startDns(index);
      },
      "dns stopped": async (index, hold) => {
        await this.#dns[index].stop();
        await hold();
        await this.#startDns(index);
      },
      "dns paused": (index, hold) => pause(this.#dns[index], hold),
      "agent killed": async (index) => {
        await this.#agents[index].kill9();
        await this.#startAgent(index);
      },
      "agent stopped": async (index) => {
        await this.#agents[index].stop();
        await this.#startAgent(index);
      },
      "agent paused": (index, hold) => pause(this.#agents[index], hold),
      "database paused": async (_index, hold) => {
        await server.suspend();
        await hold();
        server.resume();
      },
      "database killed": async (_index, hold) => {
        await server.kill9();
        await hold();
        await server.restart();
      },
      "dns restarted without database": async (index) => {
        await server.kill9();
        await this.#dns[index].kill9();
        await this.#startDns(index);
        await server.restart();
      },
    };
  }
}

/** The first of the promises that fails; nothing else ends it. */
function failureOf(promises: readonly Promise<void>[]): Promise<never> {
  return new Promise((_, reject) => {
    for (const promise of promises) promise.catch(reject);
  });
}

function shuffled<T>(items: readonly T[], rng: Rng): T[] {
  const rest = [...items];
  return items.map(() => rest.splice(nextInt(rng, rest.length), 1)[0]);
}
