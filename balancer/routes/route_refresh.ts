// Core. How fresh routes are kept: asked for when they are used and old, or over a new connection.

import type { Rng } from "../../reactor/time/rng.ts";
import type { TurnTable } from "../picking/turn_table.ts";
import type { ModuleEntry, ModuleRegistry } from "./module_registry.ts";
import { PullSchedule, type PullScheduleOptions } from "./pull_schedule.ts";

/**
 * A route is pulled again at an age of update_timeout plus up to this share of it, so that agents
 * started together do not ask together for ever.
 */
export const REFRESH_JITTER = 0.2;

/**
 * Time one known module takes when all are asked for again over a new connection to dns, of which
 * a random part is waited: three loops of 3,333 modules each spread 10,000 requests over 25 s,
 * 400 a second.
 */
export const RESUBSCRIBE_SPREAD_PER_MODULE_MS = 7.5;

/** What a {@linkcode RouteRefresh} needs. */
export interface RouteRefreshOptions extends PullScheduleOptions {
  readonly rng: Rng;
  /** Age from which the route of a used module is pulled again, read at each use. */
  updateTimeoutMs(): number;
}

/** The pulls of one loop. */
export class RouteRefresh extends PullSchedule<ModuleEntry> {
  readonly #options: RouteRefreshOptions;
  readonly #turns: TurnTable;

  constructor(turns: TurnTable, options: RouteRefreshOptions) {
    super(options);
    this.#options = options;
    this.#turns = turns;
  }

  /** A module is used: its route is pulled when it is due. */
  used(entry: ModuleEntry, nowMs: number): void {
    entry.usedAtMs = nowMs;
    if (nowMs < entry.refreshDueMs) return;
    this.#setDue(entry, Infinity);
    this.start(entry, nowMs, nowMs);
  }

  /** The route of a module came. */
  answered(entry: ModuleEntry, nowMs: number): void {
    const jitter = 1 + REFRESH_JITTER * this.#options.rng.next();
    this.stop(entry);
    entry.updatedAtMs = nowMs;
    this.#setDue(entry, nowMs + this.#options.updateTimeoutMs() * jitter);
  }

  /** Repeats what was not answered now, and asks for known modules again, spread over time. */
  resubscribe(modules: ModuleRegistry, nowMs: number): void {
    this.resume();
    const spreadMs = Math.max(
      Math.min(100, this.#options.updateTimeoutMs()),
      modules.count * RESUBSCRIBE_SPREAD_PER_MODULE_MS,
    );
    const again = (entry: ModuleEntry): void => {
      const known = entry.state !== "pulling";
      this.#setDue(entry, Infinity);
      const waitMs = known ? spreadMs * this.#options.rng.next() : 0;
      this.start(entry, nowMs + waitMs, nowMs);
    };
    // Those without a node first, oldest first, as the rate may not suffice for all of them.
    for (const entry of modules.nodeless) again(entry);
    for (const entry of modules) if (entry.list === undefined) again(entry);
  }

  #setDue(entry: ModuleEntry, dueMs: number): void {
    entry.refreshDueMs = dueMs;
    this.#turns.setUntil(entry.modId, entry.cmdId, dueMs);
  }
}
