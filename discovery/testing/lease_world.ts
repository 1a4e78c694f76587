// Core. Leases with a database of maps and virtual time, for tests of the rules alone.

import type { LeaseRow } from "../../model/lease.ts";
import { nodeId, type NodeKey, type RouteRow } from "../../model/node.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { HEARING_TICK_MS, HearingTime } from "../hearing_time.ts";
import {
  type LeaseOutcome,
  type LeasePlan,
  type LeaseSpec,
  type LeaseWish,
  planLeases,
} from "../lease_plan.ts";
import { type Keeper, LeaseTable } from "../lease_table.ts";
import { LOSS_GUARD_DEFAULTS, LossGuard, type LossGuardSettings } from "../loss_guard.ts";

/** What a node says of itself unless a test says otherwise. */
export const PLAIN_SPEC: LeaseSpec = {
  ...{ ttlMs: 15_000, weight: 100, zone: "", note: "", isReady: true },
  ...{ source: "lars", owner: "test", check: "" },
};

/** Node number `index` of module 1/1. */
export function leaseNode(index: number, modId = 1, cmdId = 1): NodeKey {
  return { modId, cmdId, ip: 0x0a000000 + index, port: 80 };
}

/** What two discoveries share. */
export class LeaseDatabase {
  readonly leases = new Map<string, LeaseRow>();
  readonly routes = new Map<string, RouteRow>();
  /** False: it takes nothing. */
  up = true;
  #incarnation = 0;

  /** Carries wishes out, as one transaction. */
  write(wishes: readonly LeaseWish[]): LeasePlan {
    const plan = planLeases({
      leases: [...this.leases.values()],
      routes: [...this.routes.values()],
      named: [{ modId: 1, cmdId: 1 }, { modId: 2, cmdId: 1 }],
      nowS: 1000,
    }, wishes);
    for (const row of plan.leases) this.leases.set(nodeId(row), row);
    for (const edit of plan.routes) {
      const id = nodeId(edit);
      const { op: _op, ...values } = edit;
      if (edit.op === "remove") this.routes.delete(id);
      else this.routes.set(id, values as RouteRow);
    }
    return plan;
  }

  /** An operator changes what the route says of a node. */
  operate(node: NodeKey, values: Partial<RouteRow>): void {
    const route = this.routes.get(nodeId(node));
    if (route === undefined) throw new Error("There is no such route");
    this.routes.set(nodeId(node), { ...route, ...values });
  }

  /** State of a node in the route; "none" when it has no row. */
  stateOf(node: NodeKey): string {
    return this.routes.get(nodeId(node))?.state ?? "none";
  }

  nextIncarnation(): number {
    return ++this.#incarnation;
  }
}

/** One discovery in virtual time. */
export class LeaseWorld {
  readonly clock: ManualClock;
  readonly time: HearingTime;
  readonly guard: LossGuard;
  readonly checkGuard: LossGuard;
  readonly table: LeaseTable;
  readonly database: LeaseDatabase;
  readonly holder: number;

  constructor(
    settings: Partial<LossGuardSettings> = {},
    { database = new LeaseDatabase(), clock = new ManualClock(), holder = 1 } = {},
  ) {
    this.database = database;
    this.clock = clock;
    this.holder = holder;
    this.time = new HearingTime(this.clock);
    this.guard = new LossGuard({ ...LOSS_GUARD_DEFAULTS, ...settings });
    this.checkGuard = new LossGuard({ ...LOSS_GUARD_DEFAULTS, ...settings });
    const { time, guard, checkGuard } = this;
    this.table = new LeaseTable({ time, guard, checkGuard, holder });
    this.table.apply(database.leases.values());
  }

  /** Registers a node and binds it to a connection. */
  register(
    node: NodeKey,
    { keeper, spec = {}, previous = 0, makesModule = false }: {
      keeper?: Keeper;
      spec?: Partial<LeaseSpec>;
      previous?: number;
      makesModule?: boolean;
    } = {},
  ): LeaseOutcome {
    const [outcome] = this.write([{
      ...{ op: "register", node, spec: { ...PLAIN_SPEC, ...spec }, previous, makesModule },
      ...{ holder: this.holder, incarnation: this.database.nextIncarnation() },
    }]);
    if (outcome.result === "done" && outcome.row !== undefined) {
      this.table.heard(node, outcome.row.incarnation, keeper);
    }
    return outcome;
  }

  /** Carries wishes out and takes in what came of them. */
  write(wishes: readonly LeaseWish[]): LeaseOutcome[] {
    const { outcomes, leases } = this.database.write(wishes);
    this.table.apply(leases);
    return outcomes;
  }

  /** One tick, with what it leads to. */
  tick(): void {
    this.time.tick();
    this.table.tick();
    if (!this.database.up) return;
    const wishes = this.table.wishes(1000);
    if (wishes.length > 0) this.write(wishes);
  }

  /** Time passes, and everything is done in time. */
  run(ms: number, each: () => void = () => {}): void {
    for (let passedMs = 0; passedMs < ms; passedMs += HEARING_TICK_MS) {
      this.clock.advance(HEARING_TICK_MS);
      each();
      this.tick();
    }
  }

  /** Time passes while nothing is done. */
  stall(ms: number): void {
    this.clock.advance(ms);
  }
}
