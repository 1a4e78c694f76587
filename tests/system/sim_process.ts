// Core. A simulated process: started, paused, killed, with a clock, a host and a store of its own.

import type { Logger } from "../../reactor/log.ts";
import type { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { SessionTransport } from "../../session/handshake.ts";
import type { SimNetwork } from "../../session/testing/sim_network.ts";
import { ProcessClock } from "./process_clock.ts";
import type { SimDatabase } from "./sim_database.ts";
import { calmWeather, SimStore, type StoreBugs, type StoreWeather } from "./sim_store.ts";

/** Said in Hello. */
export const SIM_SOFTWARE = "sim/1";

/** What all processes of a simulation stand in. */
export interface SimWorld {
  readonly clock: ManualClock;
  readonly network: SimNetwork;
  readonly database: SimDatabase;
  readonly rng: Rng;
  readonly storeBugs: StoreBugs;
  /** For the log of a process. */
  logOf(name: string): Logger;
  /** A rule is broken. */
  broken(rule: string): void;
}

/** What a process is made of from one start to its end. */
export interface ProcessParts {
  readonly clock: ProcessClock;
  readonly store: SimStore;
  readonly transport: SessionTransport;
  readonly rng: Rng;
  readonly log: Logger;
}

/** See the file's first line. */
export abstract class SimProcess {
  readonly weather: StoreWeather = calmWeather();
  #parts: ProcessParts | undefined;
  #isPaused = false;
  /** When it was last killed. */
  endedAtMs = 0;

  constructor(readonly world: SimWorld, readonly name: string, readonly host: string) {}

  /** It was started and not killed. */
  get isUp(): boolean {
    return this.#parts !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Up, and not paused. */
  get runs(): boolean {
    return this.isUp && !this.#isPaused;
  }

  /** Of the process that runs. */
  get parts(): ProcessParts {
    if (this.#parts === undefined) throw new Error(`${this.name} is not up`);
    return this.#parts;
  }

  start(): void {
    if (this.isUp) return;
    const { world } = this;
    const clock = new ProcessClock(world.clock, this.wallAheadMs);
    this.#parts = {
      clock,
      store: new SimStore(world.database, clock, world.rng, this.weather, world.storeBugs),
      transport: world.network.client(this.host),
      rng: world.rng,
      log: world.logOf(this.name),
    };
    this.#isPaused = false;
    world.network.set(this.host, "up");
    this.begin(this.#parts);
  }

  /** Ends without a word, as by SIGKILL. */
  kill(): void {
    if (!this.isUp) return;
    this.ended();
    this.parts.clock.kill();
    this.#parts = undefined;
    this.endedAtMs = this.world.clock.nowMs();
    this.world.network.set(this.host, "dead");
    this.world.network.deafen(this.host);
  }

  /** Stands still, as by SIGSTOP. */
  pause(): void {
    if (!this.runs) return;
    this.#isPaused = true;
    this.parts.clock.pause();
    this.world.network.set(this.host, "frozen");
  }

  resume(): void {
    if (!this.isUp || !this.#isPaused) return;
    this.#isPaused = false;
    this.parts.clock.resume();
    this.world.network.set(this.host, "up");
  }

  /** How far its wall clock is ahead. */
  protected get wallAheadMs(): number {
    return 0;
  }

  protected abstract begin(parts: ProcessParts): void;

  /** It is killed: what the next one may find on disk is kept elsewhere. */
  protected ended(): void {}
}
