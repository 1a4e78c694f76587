// Shell. Looks whether nodes serve that ask for it, at their registered addresses alone.

import { checkNode, type CheckOutcome } from "../daemon/node_check.ts";
import { parseNodeCheck } from "../daemon/node_check_rules.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { HearingTime } from "./hearing_time.ts";
import type { LeaseWish } from "./lease_plan.ts";
import type { Lease, LeaseTable } from "./lease_table.ts";
import type { LossGuard } from "./loss_guard.ts";

/** Between two rounds. */
const ROUND_MS = 250;
/** Between two looks at a node that serves, and at one that does not; a fifth of it by chance. */
const SERVING_MS = 2_000;
const WAITING_MS = 500;
/** Longest wait for an answer. */
const LOOK_TIMEOUT_MS = 1_000;
/** Looks at once; further nodes wait for their turn, so of very many each is looked at less often. */
export const NODE_CHECKS_AT_ONCE_MAX = 128;
/** Looks in a row that must fail before a node that served gets no more calls. */
export const CHECK_FAILURES_MAX = 3;

/** What {@linkcode NodeChecks} work with. */
export interface NodeChecksOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly time: HearingTime;
  readonly table: LeaseTable;
  /** Holds nodes in their routes when too many fail at once; it judges checks alone. */
  readonly guard: LossGuard;
  /** This discovery. */
  readonly holder: number;
  /** False: nodes are not looked at, and their own word counts. @default {true} */
  readonly looks?: boolean;
  ask(wish: LeaseWish): Promise<unknown>;
  /** A check could not be made, or what it found could not be written; it is tried again. */
  onFault(error: unknown): void;
  /** One look. @default {checkNode} */
  look?(lease: Lease): Promise<CheckOutcome>;
}

/** What is known of one node. */
interface Watched {
  readonly incarnation: number;
  dueMs: number;
  failures: number;
  isRefused: boolean;
  isBusy: boolean;
  /** What was found is being written. */
  isAsked: boolean;
}

/** Begin with {@linkcode NodeChecks.start}. It rests while no lease asks for a check. */
export class NodeChecks {
  readonly #options: NodeChecksOptions;
  readonly #watched = new Map<Lease, Watched>();
  #running = 0;
  #timer: Timer | undefined;

  constructor(options: NodeChecksOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setRepeating(this.#options.clock, ROUND_MS, () => this.round());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Nodes that are looked at. */
  get count(): number {
    return this.#options.looks === false ? 0 : this.#watched.size;
  }

  /** Looks at those whose turn it is, and says of whom calls are kept. */
  round(): void {
    const { table, clock } = this.#options;
    for (const [lease, watched] of this.#watched) {
      const isOver = !table.checked.has(lease) || lease.row.incarnation !== watched.incarnation;
      if (isOver) this.#watched.delete(lease);
    }
    const nowMs = clock.nowMs();
    if (this.#options.looks === false) return this.#trust(nowMs);
    const due: [Lease, Watched][] = [];
    for (const lease of table.checked) {
      if (!wantsCalls(lease)) continue;
      const watched = this.#watchedOf(lease, nowMs);
      if (!watched.isBusy && watched.dueMs <= nowMs) due.push([lease, watched]);
    }
    // Whoever waits longest is first.
    due.sort(([, a], [, b]) => a.dueMs - b.dueMs);
    for (const [lease, watched] of due.slice(0, NODE_CHECKS_AT_ONCE_MAX - this.#running)) {
      void this.#look(lease, watched);
    }
    this.#judge();
  }

  /** Nodes that waited for a check when checks were switched off would wait for ever. */
  #trust(nowMs: number): void {
    for (const lease of this.#options.table.checked) {
      if (!wantsCalls(lease) || isServing(lease)) continue;
      this.#tell(lease, this.#watchedOf(lease, nowMs), true);
    }
  }

  #watchedOf(lease: Lease, nowMs: number): Watched {
    const known = this.#watched.get(lease);
    if (known !== undefined) return known;
    const { incarnation } = lease.row;
    const made: Watched = {
      ...{ incarnation, dueMs: nowMs, failures: 0 },
      ...{ isRefused: false, isBusy: false, isAsked: false },
    };
    this.#watched.set(lease, made);
    return made;
  }

  async #look(lease: Lease, watched: Watched): Promise<void> {
    const { clock, rng, time } = this.#options;
    watched.isBusy = true;
    this.#running++;
    const result = await this.#resultOf(lease);
    this.#running--;
    watched.isBusy = false;
    const isGood = result === "good";
    watched.dueMs = clock.nowMs() + (isGood ? SERVING_MS : WAITING_MS) * (0.8 + rng.next() * 0.4);
    // What was not heard while this process was held up says nothing of the node.
    if (!isGood && time.isSettling) return;
    watched.failures = isGood ? 0 : watched.failures + 1;
    watched.isRefused = result === "refused";
    if (isGood) this.#tell(lease, watched, true);
  }

  /** A check that cannot be made, as of a foreign hand in the database, is a node that does not answer. */
  async #resultOf(lease: Lease): Promise<CheckOutcome["result"]> {
    const { clock, onFault } = this.#options;
    const look = this.#options.look ??
      ((one: Lease) => checkNode(one.row, parseNodeCheck(one.row.check), clock, LOOK_TIMEOUT_MS));
    try {
      return (await look(lease)).result;
    } catch (error) {
      onFault(error);
      return "bad";
    }
  }

  /** Takes calls from nodes that failed often enough, unless they are too many at once. */
  #judge(): void {
    const { guard, table, clock } = this.#options;
    const failing = [...this.#watched].filter(([lease, { failures }]) =>
      failures >= CHECK_FAILURES_MAX && isServing(lease)
    ).map(([lease, watched]) => ({
      ...{ lease, watched, module: lease.module, id: lease.id, isProved: watched.isRefused },
    }));
    const { go } = guard.split(failing, (module) => table.liveCount(module), clock.nowMs());
    for (const { lease, watched } of go) this.#tell(lease, watched, false);
  }

  /** One wish of a node at a time: while the database is away they would fill the queue of all. */
  #tell(lease: Lease, watched: Watched, isGood: boolean): void {
    const { incarnation, isAsked } = watched;
    const { holder, ask, onFault, guard } = this.#options;
    if (lease.row.incarnation !== incarnation || isServing(lease) === isGood) return;
    if (isGood) guard.returned(lease.row, lease.id);
    if (isAsked) return;
    watched.isAsked = true;
    const wish = { op: "check", node: lease.row, incarnation, holder, isGood } as const;
    void ask(wish).catch(onFault).finally(() => {
      watched.isAsked = false;
    });
  }
}

/** Whether it gets calls as far as the check goes. */
function isServing({ row: { phase } }: Lease): boolean {
  return phase === "live" || phase === "doubt";
}

/** A node that wants no calls is not looked at. */
function wantsCalls({ row: { phase } }: Lease): boolean {
  return phase !== "waiting" && phase !== "drain";
}
