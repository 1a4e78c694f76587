// Shell. Runs the whole system in virtual time: by one seed, with faults, and then calm; and says which
// rules were broken.

import { messageOf } from "../../reactor/errors.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { type Logger, silentLogger } from "../../reactor/log.ts";
import { SimNetwork } from "../../session/testing/sim_network.ts";
import { BY_HAND, Cast, firstRoutes } from "./cast.ts";
import { FaultPlan } from "./faults.ts";
import type { PlantedBug } from "./planted_bugs.ts";
import { Rules } from "./rules.ts";
import { SimDatabase } from "./sim_database.ts";
import type { SimWorld } from "./sim_process.ts";

/** Time with faults unless told otherwise. */
export const CHAOS_MS = 5 * 60_000;

/** Nodes have registered when agents start. */
const WARM_UP_MS = 5_000;
/** After the last fault all is well again: nothing is kept out any more. */
const SETTLE_MS = 150_000;
/** After the last fault one node is away for so long: longer than its lease may live. */
const NODE_AWAY_MS = 90_000;
/** From an edit on, until every agent has it. */
const EDIT_MS = 3_000;
/** After the last call, until all are counted. */
const COUNT_MS = 30_000;
/** Promises that go on after one event: what takes more goes on after the next. */
const TURNS = 12;
/** Rules that a run may break before it ends. */
const BROKEN_MAX = 5;
const LATENCY_MS_MAX = 4;

/** How a run is made. */
export interface SystemRunOptions {
  /** Time with faults, in milliseconds. @default {CHAOS_MS} */
  readonly chaosMs?: number;
  readonly bug?: PlantedBug | undefined;
  /** Told what happens. */
  trace?(line: string): void;
}

/** What came of it. */
export interface SystemRun {
  /** Rules that were broken, with the time; the run ends soon after the first ones. */
  readonly broken: readonly string[];
  /** Simulated time, in milliseconds. */
  readonly simulatedMs: number;
  readonly events: number;
}

/** Runs one seed. */
export async function runSystem(seed: number, options: SystemRunOptions = {}): Promise<SystemRun> {
  const undo = options.bug?.plant?.();
  try {
    return await new Run(seed, options).run();
  } finally {
    undo?.();
  }
}

class Run {
  readonly #options: SystemRunOptions;
  readonly #clock = new ManualClock(1_000_000);
  readonly #broken: string[] = [];
  readonly #cast: Cast;
  readonly #rules: Rules;
  readonly #faults: FaultPlan;
  #events = 0;

  constructor(seed: number, options: SystemRunOptions) {
    this.#options = options;
    const clock = this.#clock;
    const rng = seededRng(seed);
    const world: SimWorld = {
      ...{ clock, rng, storeBugs: options.bug?.store ?? {} },
      network: new SimNetwork(clock, () => 1 + nextInt(rng, LATENCY_MS_MAX)),
      database: new SimDatabase(clock, firstRoutes()),
      logOf: (name) => options.trace === undefined ? silentLogger : this.#logOf(name),
      broken: (rule) => this.#note(rule),
    };
    this.#rules = new Rules(world);
    this.#cast = new Cast(world, this.#rules);
    this.#rules.watch(this.#cast);
    this.#faults = new FaultPlan(world, this.#cast, this.#rules);
    for (const dns of this.#cast.dns) dns.bugs = options.bug?.dns ?? {};
    for (const one of this.#cast.discoveries) one.bugs = options.bug?.discovery ?? {};
    for (const agent of this.#cast.agents) agent.bugs = options.bug?.agent ?? {};
  }

  async run(): Promise<SystemRun> {
    const startMs = this.#clock.nowMs();
    const { agents, all } = this.#cast;
    for (const one of all) if (!agents.some((agent) => agent === one)) one.start();
    await this.#pass(WARM_UP_MS);
    for (const agent of agents) agent.start();
    this.#cast.startHand();
    this.#look();
    await this.#pass(WARM_UP_MS);
    this.#faults.start();
    await this.#pass(this.#options.chaosMs ?? CHAOS_MS);
    this.#faults.heal();
    this.#trace("all is healed");
    await this.#endOneNode();
    await this.#pass(SETTLE_MS);
    await this.#end();
    for (const one of all) one.kill();
    const simulatedMs = this.#clock.nowMs() - startMs;
    return { broken: this.#broken, simulatedMs, events: this.#events };
  }

  /** One node ends together with all who could have heard it, and comes back after a while. */
  async #endOneNode(): Promise<void> {
    const { nodes: [node], discoveries } = this.#cast;
    for (const one of [node, ...discoveries]) one.kill();
    await this.#pass(1_000);
    for (const one of discoveries) one.start();
    await this.#pass(NODE_AWAY_MS);
    node.start();
  }

  /** All is calm: every edit is known at once, and every call is counted once. */
  async #end(): Promise<void> {
    const { editor, agents } = this.#cast;
    editor.isIdle = true;
    this.#cast.isHandIdle = true;
    await this.#pass(WARM_UP_MS);
    if (!this.#isOver) void editor.edit().catch((error) => this.#note(messageOf(error)));
    this.#cast.editByHand(BY_HAND);
    await this.#pass(EDIT_MS);
    if (!this.#isOver) this.#rules.lookAtEnd();
    for (const agent of agents) agent.isQuiet = true;
    await this.#pass(COUNT_MS);
    if (!this.#isOver) this.#rules.lookAtCounts();
  }

  get #isOver(): boolean {
    return this.#broken.length >= (this.#options.bug === undefined ? BROKEN_MAX : 1);
  }

  #look(): void {
    this.#clock.setTimer(1000, () => {
      this.#rules.look();
      this.#look();
    });
  }

  /** Time passes, one event after the other. */
  async #pass(ms: number): Promise<void> {
    const clock = this.#clock;
    const endMs = clock.nowMs() + ms;
    while (!this.#isOver && clock.nextDueMs <= endMs) {
      clock.fireNext();
      this.#events++;
      for (let turn = 0; turn < TURNS; turn++) await undefined;
    }
    if (!this.#isOver) clock.advance(endMs - clock.nowMs());
  }

  #note(rule: string): void {
    const line = `${this.#time()} ${rule}`;
    this.#broken.push(line);
    this.#trace(`BROKEN ${rule}`);
  }

  #time(): string {
    return `${((this.#clock.nowMs() - 1_000_000) / 1000).toFixed(3)} s:`;
  }

  #trace(line: string): void {
    this.#options.trace?.(`${this.#time()} ${line}`);
  }

  #logOf(name: string): Logger {
    const write = (level: string) => (message: string, fields?: Record<string, unknown>): void =>
      this.#trace(`${name} ${level} ${message} ${JSON.stringify(fields ?? {})}`);
    return { debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") };
  }
}
