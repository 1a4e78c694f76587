// Core. Which worker next, by the balancer: outcomes of requests say which ones are well.

import {
  defaultBalanceSettings,
  type ModulePolicy,
  NO_TURN,
  RouteLb,
  TICK_MS,
} from "../../balancer/mod.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleOf } from "../../model/module.ts";
import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";

/** How a request ended at a worker, as the balancer counts it. */
export const WorkOutcome = { Done: 0, Failed: 5, TimedOut: 110 } as const;

/** Any of {@linkcode WorkOutcome}. */
export type WorkOutcome = (typeof WorkOutcome)[keyof typeof WorkOutcome];

/** Port of every worker as a node: they are told apart by a made-up address. */
const NODE_PORT = 1;

/** Modules of which this keeps workers apart; of a further one workers are picked in turn. */
export const CHOICE_MODULES_MAX = 10_000;

/** What a {@linkcode WorkerChoice} is given. */
export interface WorkerChoiceOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** By which workers are picked and judged, for all modules. */
  readonly policy: ModulePolicy;
}

/** The balancer with workers in the place of nodes. */
export class WorkerChoice<W extends object> {
  readonly #clock: Clock;
  readonly #lb: RouteLb;
  /** Runs while there are workers. */
  #ticker: Timer | undefined;
  /** The made-up address of each worker, and who has it. */
  readonly #ips = new Map<W, number>();
  readonly #workers = new Map<number, W>();
  /** Modules whose route the balancer wants to hear again. */
  readonly #asked = new Set<ModuleId>();
  readonly #routes = new Map<ModuleId, readonly W[]>();
  #lastIp = 0;

  constructor({ clock, rng, policy }: WorkerChoiceOptions) {
    this.#clock = clock;
    this.#lb = new RouteLb({
      ...{ settings: defaultBalanceSettings, rng, modulePolicy: policy },
      modulesMax: CHOICE_MODULES_MAX,
      onPull: (modId, cmdId) => void this.#asked.add(moduleId(modId >>> 0, cmdId >>> 0)),
      onStateChange: () => {},
    });
  }

  /** The workers of a module now; none: it is forgotten. */
  setWorkers({ modId, cmdId }: ModuleKey, workers: readonly W[]): void {
    const id = moduleId(modId, cmdId);
    const nowMs = this.#clock.nowMs();
    if (workers.length === 0) {
      this.#routes.delete(id);
      this.#asked.delete(id);
      // Else the balancer fills with what workers named once, and looks through all of it for room.
      this.#lb.forget(modId, cmdId);
      if (this.#routes.size === 0) this.close();
      return;
    }
    if (this.#routes.size >= CHOICE_MODULES_MAX && !this.#routes.has(id)) return;
    this.#routes.set(id, [...workers]);
    this.#ticker ??= setRepeating(this.#clock, TICK_MS, () => this.#tick());
    this.#lb.use(modId, cmdId, nowMs);
    this.#lb.update(modId, cmdId, workers.map((one) => this.#nodeOf(one)), nowMs);
  }

  /** A worker is gone, with all that was known of it. It has left its modules before. */
  forget(worker: W): void {
    const ip = this.#ips.get(worker);
    if (ip === undefined) return;
    this.#ips.delete(worker);
    this.#workers.delete(ip);
  }

  /** The next worker; undefined: the balancer knows none, or refuses. */
  pick({ modId, cmdId }: ModuleKey, nowMs: number): W | undefined {
    const isFull = this.#routes.size >= CHOICE_MODULES_MAX;
    if (isFull && !this.#routes.has(moduleId(modId, cmdId))) return undefined;
    const turn = this.#lb.nextTurn(modId, cmdId, nowMs);
    if (turn !== NO_TURN) return this.#workers.get(this.#lb.turnIp(turn) >>> 0);
    const host = this.#lb.getHost(modId, cmdId, nowMs);
    return typeof host === "number" ? undefined : this.#workers.get(host.ip);
  }

  /** True when a worker is kept out for what became of its requests. */
  isOut({ modId, cmdId }: ModuleKey, worker: W): boolean {
    const ip = this.#ips.get(worker);
    return ip !== undefined &&
      this.#lb.findHost(modId, cmdId, ip, NODE_PORT)?.overload === true;
  }

  /** A request has ended at a worker, after `tookMs`. */
  report(
    { modId, cmdId }: ModuleKey,
    worker: W,
    outcome: WorkOutcome,
    tookMs: number,
    nowMs: number,
  ): void {
    const ip = this.#ips.get(worker);
    if (ip === undefined) return;
    this.#lb.report(modId, cmdId, ip, NODE_PORT, outcome, tookMs, nowMs);
  }

  /** Nothing is due any more. */
  close(): void {
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }

  #nodeOf(worker: W): { ip: number; port: number } {
    let ip = this.#ips.get(worker);
    if (ip === undefined) {
      do this.#lastIp = (this.#lastIp + 1) >>> 0; while (
        this.#lastIp === 0 || this.#workers.has(this.#lastIp)
      );
      ip = this.#lastIp;
      this.#ips.set(worker, ip);
      this.#workers.set(ip, worker);
    }
    return { ip, port: NODE_PORT };
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    for (const id of this.#asked) {
      const { modId, cmdId } = moduleOf(id);
      const nodes = (this.#routes.get(id) ?? []).map((one) => this.#nodeOf(one));
      this.#lb.update(modId, cmdId, nodes, nowMs);
    }
    this.#asked.clear();
    this.#lb.tick(nowMs);
    this.#lb.drainReports(nowMs);
  }
}
