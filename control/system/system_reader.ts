// Shell. Reads the database once a second for everybody who looks.

import { type Clock, sleep, type Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { RouteMark, RouteRow, ServiceInstance, Store } from "../../sql/store.ts";
import { withWatched } from "./agent_list.ts";
import { readNodeCalls } from "../counters/node_calls.ts";
import { CALLER_RECENT_S, SystemModel } from "./system_model.ts";

/** Pause between two readings, in milliseconds; longer when a reading takes long. */
export const READ_INTERVAL_MS = 1000;
/** A reading may take this share of the time. */
const READ_SHARE_MAX = 0.25;
/** A bare DELETE leaves no mark: all routes are read again after this time, in milliseconds. */
const ROUTES_AGE_MAX_MS = 15_000;
/** Distinct callers are counted less often. */
const CALLER_COUNT_AGE_MAX_MS = 10_000;
/** Agents are written down less often, and there may be thousands. */
const AGENTS_AGE_MAX_MS = 3_000;

/** What the reader works with. */
export interface SystemReaderOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** Agents that the console asks itself. */
  watchedAgents(): readonly ServiceInstance[];
}

/** Keeps a {@linkcode SystemModel} up to date. */
export class SystemReader {
  readonly model = new SystemModel();
  readonly #options: SystemReaderOptions;
  readonly #listeners = new Set<() => void>();
  #mark: RouteMark | undefined;
  #routesAtMs = -Infinity;
  #callerCount = 0;
  #callersAtMs = -Infinity;
  #agents: readonly ServiceInstance[] = [];
  #agentsAtMs = -Infinity;
  #timer: Timer | undefined;
  #reading: Promise<void> | undefined;
  #stopped = false;
  #isDown = false;

  constructor(options: SystemReaderOptions) {
    this.#options = options;
  }

  /** Why the last reading failed; undefined when it did not. */
  fault: string | undefined;

  /** What to say of a database that a newer program has migrated, and where nothing is written. */
  newerSchema: string | undefined;

  /** Reads for the first time; a database that is away is read later. */
  async start(): Promise<void> {
    await this.readNow();
    this.#arm(READ_INTERVAL_MS);
  }

  /** Calls `listener` after each reading; the result undoes it. */
  onReading(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Reads at once; never fails. Those who ask while a reading is under way get the next one. */
  async readNow(): Promise<void> {
    await this.#reading;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  /** The same, and reads the agents again whenever they were read last. */
  async readAgents(): Promise<void> {
    this.#agentsAtMs = -Infinity;
    await this.readNow();
  }

  /** Waits for a reading that is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#reading;
  }

  #arm(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      const startMs = this.#options.clock.nowMs();
      void this.readNow().then(() => {
        const tookMs = this.#options.clock.nowMs() - startMs;
        this.#arm(Math.max(READ_INTERVAL_MS - tookMs, tookMs / READ_SHARE_MAX - tookMs));
      });
    });
  }

  async #read(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      const { store } = this.#options;
      this.newerSchema = await store.newerSchema();
      await this.#readRoutes();
      const calls = await readNodeCalls(store, clock, this.#sinceTs());
      if (clock.nowMs() - this.#callersAtMs >= CALLER_COUNT_AGE_MAX_MS) {
        this.#callersAtMs = clock.nowMs();
        this.#callerCount = await store.console.callerCount(this.#sinceTs());
      }
      const steps = this.model.updateSteps({
        wallMs: Math.trunc(clock.wallMs()),
        nowMs: clock.nowMs(),
        version: this.#mark?.version ?? 0,
        calls,
        refused: await store.refusedTotals(0),
        services: await this.#readServices(),
        callerCount: this.#callerCount,
      });
      while (steps.next().done !== true) await sleep(clock, 0);
      if (this.#isDown) log.info("The database answers again");
      this.#isDown = false;
      this.fault = undefined;
    } catch (error) {
      if (this.#stopped) return;
      this.fault = messageOf(error);
      this.model.markStale();
      if (!this.#isDown) log.warn("The database does not answer", { error: this.fault });
      this.#isDown = true;
    }
    for (const listener of this.#listeners) listener();
  }

  async #readRoutes(): Promise<void> {
    const { store, clock } = this.#options;
    const mark = await store.routeMark();
    const isSame = this.#mark !== undefined && mark.version === this.#mark.version &&
      mark.changeIdMax === this.#mark.changeIdMax && mark.changeCount === this.#mark.changeCount;
    if (isSame && clock.nowMs() - this.#routesAtMs < ROUTES_AGE_MAX_MS) return;
    const rows: RouteRow[] = [];
    await store.readRoutes((page) => void rows.push(...page));
    this.model.setRoutes(rows, await store.moduleRows());
    this.#mark = mark;
    this.#routesAtMs = clock.nowMs();
  }

  async #readServices(): Promise<ServiceInstance[]> {
    const { store, clock, watchedAgents } = this.#options;
    if (clock.nowMs() - this.#agentsAtMs >= AGENTS_AGE_MAX_MS) {
      this.#agentsAtMs = clock.nowMs();
      this.#agents = await store.instances(["agent"]);
    }
    return [
      ...await store.instances(["dns", "reporter"]),
      ...withWatched(this.#agents, watchedAgents()),
    ];
  }

  #sinceTs(): number {
    return Math.trunc(this.#options.clock.wallMs() / 1000) - CALLER_RECENT_S;
  }
}
