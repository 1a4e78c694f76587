// Core. The leases as this discovery knows them: who was heard when, who is lost, whose time is over.

import { isHeld, type LeaseRow, NO_TTL } from "../model/lease.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { nodeId, type NodeKey } from "../model/node.ts";
import type { HearingTime } from "./hearing_time.ts";
import type { LeaseWish } from "./lease_plan.ts";
import type { LossGuard } from "./loss_guard.ts";

/** Leases of all discoveries together; a further registration is refused. */
export const LEASES_MAX = 200_000;

/** Ends of leases are looked at in steps of this many milliseconds. */
const SLOT_MS = 250;

/** What a node is heard through: a connection, for as long as it stands. */
export class Keeper {
  heardMs: number;
  readonly leases = new Set<Lease>();
  /** Of them: another discovery has taken them over meanwhile, as this one seemed silent. */
  readonly taken = new Set<Lease>();

  constructor(heardMs: number) {
    this.heardMs = heardMs;
  }
}

/** A lease with what only this process knows of it. */
export class Lease {
  readonly id: string;
  row: LeaseRow;
  heardMs: number;
  keeper: Keeper | undefined;
  /** Step of time in which its end is looked at. */
  slot = 0;
  /** Its host refused a connection: it is not there. */
  isProved = false;

  constructor(row: LeaseRow, heardMs: number) {
    this.id = nodeId(row);
    this.row = row;
    this.heardMs = heardMs;
  }

  /** Its module, for the guard. */
  get module(): ModuleKey {
    return this.row;
  }

  /** When it ends unless it is heard. */
  get endMs(): number {
    return Math.max(this.heardMs, this.keeper?.heardMs ?? 0) + this.row.ttlMs;
  }
}

const NO_LEASES: ReadonlySet<Lease> = new Set();

/** What a heartbeat found. */
export type HeardResult = "heard" | "superseded" | "unknown";

/** What {@linkcode LeaseTable} is given. */
export interface LeaseTableOptions {
  readonly time: HearingTime;
  readonly guard: LossGuard;
  /** Told of nodes that do not answer the checks of other discoveries, and of those that do again. */
  readonly checkGuard?: LossGuard;
  /** This discovery, as the database knows it. */
  readonly holder: number;
}

/**
 * The database has the leases, this has the time. Nothing here is believed until it was written:
 * {@linkcode LeaseTable.wishes} says what should be, and {@linkcode LeaseTable.apply} what is. So a
 * database that is away holds ends up, and who is heard meanwhile is wished away no more.
 */
export class LeaseTable {
  readonly #options: LeaseTableOptions;
  readonly #leases = new Map<string, Lease>();
  readonly #byModule = new Map<ModuleId, Set<Lease>>();
  readonly #slots = new Map<number, Lease[]>();
  #slotDone: number;
  /** Nodes of each module that get calls. */
  readonly #liveCounts = new Map<ModuleId, number>();
  #liveCount = 0;
  /** Lost their connection, and nothing was heard of them since. */
  readonly #lost = new Set<Lease>();
  readonly #overdue = new Set<Lease>();
  /** Are to be checked from here. */
  readonly #checked = new Set<Lease>();
  /** Were heard here, and the database does not say so: another holds them, or doubts. */
  readonly #heardAnew = new Set<Lease>();

  constructor(options: LeaseTableOptions) {
    this.#options = options;
    this.#slotDone = Math.floor(options.time.nowMs() / SLOT_MS);
  }

  /** Leases known. */
  get count(): number {
    return this.#leases.size;
  }

  /** Nodes of a module that get calls; without one, of all. */
  liveCount(module?: ModuleKey): number {
    if (module === undefined) return this.#liveCount;
    return this.#liveCounts.get(moduleId(module.modId, module.cmdId)) ?? 0;
  }

  /** Every lease, in no order. */
  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  /** Leases of one module. */
  ofModule({ modId, cmdId }: ModuleKey): ReadonlySet<Lease> {
    return this.#byModule.get(moduleId(modId, cmdId)) ?? NO_LEASES;
  }

  /** A lease that is held. */
  get(node: NodeKey): Lease | undefined {
    return this.#leases.get(nodeId(node));
  }

  /** Leases heard here that want discovery to check their nodes. */
  get checked(): ReadonlySet<Lease> {
    return this.#checked;
  }

  /** Nodes that the guard may hold back, to be asked about. */
  seemingLost(): Lease[] {
    return [...new Set([...this.#lost, ...this.#overdue])].filter((lease) =>
      lease.row.phase === "live" && this.#isLost(lease)
    );
  }

  /** A connection that nodes are to be heard through. */
  openKeeper(): Keeper {
    return new Keeper(this.#options.time.nowMs());
  }

  /** Something came over a connection: all its nodes live. */
  heardKeeper(keeper: Keeper): void {
    keeper.heardMs = this.#options.time.nowMs();
    if (keeper.taken.size === 0) return;
    // They are heard here, and who took them over hears nothing and would let them end.
    for (const lease of keeper.taken) this.#heardAnew.add(lease);
    keeper.taken.clear();
  }

  /**
   * A node was heard by itself. With a keeper it is heard through that from now on.
   *
   * @param incarnation The registration that is meant.
   */
  heard(node: NodeKey, incarnation: number, keeper?: Keeper): HeardResult {
    const lease = this.get(node);
    if (lease === undefined) return "unknown";
    if (lease.row.incarnation !== incarnation) return "superseded";
    lease.heardMs = this.#options.time.nowMs();
    lease.isProved = false;
    if (keeper !== undefined && lease.keeper !== keeper) this.#bind(lease, keeper);
    this.#lost.delete(lease);
    const { holder, phase } = lease.row;
    if (holder !== this.#options.holder || phase === "doubt") this.#heardAnew.add(lease);
    return "heard";
  }

  /** A connection has ended without a goodbye: its nodes are in doubt. */
  lose(keeper: Keeper): void {
    this.#release(keeper, (lease) => void this.#lost.add(lease));
  }

  /** A connection has ended in good order: its nodes live on until their time is over. */
  leave(keeper: Keeper): void {
    this.#release(keeper, () => {});
  }

  /** Takes in what the database says now. */
  apply(rows: Iterable<LeaseRow>): void {
    for (const row of rows) this.#applyOne(row);
  }

  /**
   * The database was set back: takes in all that it has now, but for registrations that it has lost, and
   * what it has forgotten of nodes that are heard here.
   *
   * @returns what is to be written of those, once more if it fails.
   */
  setBack(stored: ReadonlyMap<string, LeaseRow>): (LeaseWish & { readonly op: "restore" })[] {
    const wishes: (LeaseWish & { readonly op: "restore" })[] = [];
    const kept = new Set<string>();
    for (const lease of [...this.#leases.values()]) {
      const row = stored.get(lease.id);
      const isOlder = isReplaced(lease.row, row) ||
        (this.#isHeardHere(lease) && isSetBack(lease.row, row));
      if (!isOlder) continue;
      wishes.push({ op: "restore", node: lease.row, row: lease.row, seen: row });
      kept.add(lease.id);
    }
    this.apply([...stored.values()].filter((row) => !kept.has(nodeId(row))));
    return wishes;
  }

  /**
   * The database was away for a while and is back: whose time is over has a full one again. Another
   * discovery that hears them could not say so meanwhile, and both write now.
   */
  databaseBack(): void {
    const nowMs = this.#options.time.nowMs();
    for (const lease of this.#overdue) {
      lease.heardMs = nowMs;
      this.#keepOn(lease);
    }
  }

  /** Looks whose time is over. To be called every tick. */
  tick(): void {
    const nowMs = this.#options.time.nowMs();
    for (const lease of this.#overdue) if (lease.endMs > nowMs) this.#keepOn(lease);
    const slotNow = Math.floor(nowMs / SLOT_MS);
    while (this.#slotDone < slotNow) {
      const slot = ++this.#slotDone;
      const due = this.#slots.get(slot);
      if (due === undefined) continue;
      this.#slots.delete(slot);
      for (const lease of due) if (lease.slot === slot) this.#lookAt(lease, nowMs);
    }
  }

  /** What should become of leases now, at most `most`. Asked again until it was applied. */
  wishes(most: number): LeaseWish[] {
    const { guard, time, holder } = this.#options;
    const out: LeaseWish[] = [];
    const add = (op: "renew" | "doubt" | "expire", { row }: Lease): void => {
      out.push({ op, node: row, incarnation: row.incarnation, holder });
    };
    for (const lease of this.#heardAnew) {
      if (out.length >= most) return out;
      add("renew", lease);
    }
    const lost = this.seemingLost();
    const { go } = guard.split(lost, (module) => this.liveCount(module), time.nowMs());
    // After a stall the connections that ended meanwhile may come again first.
    if (time.isSettling) return out;
    const goes = new Set(go);
    for (const lease of this.#overdue) {
      if (out.length >= most) return out;
      if (this.#isLost(lease) && (lease.row.phase !== "live" || goes.has(lease))) {
        add("expire", lease);
        goes.delete(lease);
      }
    }
    for (const lease of goes) {
      if (out.length >= most) return out;
      add("doubt", lease);
    }
    return out;
  }

  /** Leases of a discovery that is silent: from now on they are heard here. */
  adoptions(from: number, most: number): LeaseWish[] {
    const { holder } = this.#options;
    const out: LeaseWish[] = [];
    for (const { row } of this.#leases.values()) {
      if (row.holder !== from) continue;
      out.push({ op: "adopt", node: row, incarnation: row.incarnation, from, holder });
      if (out.length >= most) break;
    }
    return out;
  }

  /** Discoveries that hold leases, as far as is known here. */
  holders(): Set<number> {
    return new Set([...this.#leases.values()].map(({ row }) => row.holder));
  }

  #isHeardHere(lease: Lease): boolean {
    const { holder, ttlMs } = lease.row;
    const isInTime = ttlMs === NO_TTL || lease.endMs > this.#options.time.nowMs();
    return holder === this.#options.holder && isInTime;
  }

  #applyOne(row: LeaseRow): void {
    const id = nodeId(row);
    const known = this.#leases.get(id);
    const { guard, checkGuard, time, holder: own } = this.#options;
    if (known?.row.phase === "live" && row.holder !== own && row.holder !== 0) {
      const { phase } = row;
      // That one may be cut off from them, as this one is.
      if (phase === "doubt" || phase === "gone") guard.lostElsewhere(row, id, time.nowMs());
      if (phase === "failing") checkGuard?.lostElsewhere(row, id, time.nowMs());
    }
    if (!isHeld(row)) {
      if (known !== undefined) this.#forget(known, row);
      return;
    }
    const lease = known ?? new Lease(row, this.#options.time.nowMs());
    const before = known?.row;
    if (known === undefined) this.#add(lease);
    lease.row = row;
    this.#count(row, (row.phase === "live" ? 1 : 0) - (before?.phase === "live" ? 1 : 0));
    const isNew = before === undefined || before.incarnation !== row.incarnation;
    if (isNew && known !== undefined) this.#restart(known);
    const isMine = row.holder === this.#options.holder;
    if (isMine && (isNew || before.holder !== row.holder)) {
      lease.heardMs = Math.max(lease.heardMs, this.#options.time.nowMs());
    }
    if (row.phase === "live") { for (const one of [guard, checkGuard]) one?.returned(row, id); }
    if (isMine && row.phase !== "doubt") this.#heardAnew.delete(lease);
    if (isMine) lease.keeper?.taken.delete(lease);
    if (isMine && row.check !== "") this.#checked.add(lease);
    else this.#checked.delete(lease);
    if (!isMine) {
      this.#overdue.delete(lease);
      this.#lost.delete(lease);
      if (!isNew) lease.keeper?.taken.add(lease);
    } else if (isNew || before.holder !== row.holder || before.ttlMs !== row.ttlMs) {
      this.#schedule(lease);
    }
  }

  #add(lease: Lease): void {
    this.#leases.set(lease.id, lease);
    const key = moduleId(lease.row.modId, lease.row.cmdId);
    const group = this.#byModule.get(key);
    if (group === undefined) this.#byModule.set(key, new Set([lease]));
    else group.add(lease);
  }

  /** A new registration of a node: what was known of the old one is nothing to it. */
  #restart(lease: Lease): void {
    unbind(lease);
    lease.isProved = false;
    lease.heardMs = this.#options.time.nowMs();
    this.#lost.delete(lease);
    this.#overdue.delete(lease);
    this.#heardAnew.delete(lease);
  }

  #forget(lease: Lease, row: LeaseRow): void {
    if (lease.row.phase === "live") this.#count(lease.row, -1);
    this.#restart(lease);
    this.#checked.delete(lease);
    lease.row = row;
    lease.slot = 0;
    this.#leases.delete(lease.id);
    const key = moduleId(row.modId, row.cmdId);
    const group = this.#byModule.get(key);
    group?.delete(lease);
    if (group?.size === 0) this.#byModule.delete(key);
  }

  #count({ modId, cmdId }: ModuleKey, by: number): void {
    if (by === 0) return;
    this.#liveCount += by;
    const key = moduleId(modId, cmdId);
    const count = (this.#liveCounts.get(key) ?? 0) + by;
    if (count === 0) this.#liveCounts.delete(key);
    else this.#liveCounts.set(key, count);
  }

  #bind(lease: Lease, keeper: Keeper): void {
    unbind(lease);
    lease.keeper = keeper;
    keeper.leases.add(lease);
  }

  #release(keeper: Keeper, each: (lease: Lease) => void): void {
    for (const lease of keeper.leases) {
      lease.heardMs = Math.max(lease.heardMs, keeper.heardMs);
      lease.keeper = undefined;
      if (lease.row.holder === this.#options.holder && lease.row.ttlMs !== NO_TTL) each(lease);
    }
    keeper.leases.clear();
    keeper.taken.clear();
  }

  #lookAt(lease: Lease, nowMs: number): void {
    if (lease.row.holder !== this.#options.holder || lease.row.ttlMs === NO_TTL) return;
    if (lease.endMs <= nowMs) this.#overdue.add(lease);
    else this.#schedule(lease);
  }

  #keepOn(lease: Lease): void {
    this.#overdue.delete(lease);
    this.#schedule(lease);
  }

  #schedule(lease: Lease): void {
    if (lease.row.ttlMs === NO_TTL) return;
    const slot = Math.max(this.#slotDone + 1, Math.ceil(lease.endMs / SLOT_MS));
    lease.slot = slot;
    const others = this.#slots.get(slot);
    if (others === undefined) this.#slots.set(slot, [lease]);
    else others.push(lease);
  }

  /** True when it is still neither heard nor bound, or its time is over. */
  #isLost(lease: Lease): boolean {
    if (this.#lost.has(lease) && lease.keeper === undefined) return true;
    return this.#overdue.has(lease) && lease.endMs <= this.#options.time.nowMs();
  }
}

/** The database has lost this registration: whoever holds it may be gone by now. */
function isReplaced(known: LeaseRow, stored: LeaseRow | undefined): boolean {
  if (stored === undefined) return true;
  return stored.incarnation !== known.incarnation && stored.sinceS < known.sinceS;
}

/** It has an older state of a registration than is known here. */
function isSetBack(known: LeaseRow, stored: LeaseRow | undefined): boolean {
  if (stored?.incarnation !== known.incarnation) return false;
  return stored.phase !== known.phase || stored.ttlMs !== known.ttlMs ||
    stored.weight !== known.weight || stored.zone !== known.zone || stored.note !== known.note ||
    stored.check !== known.check;
}

function unbind(lease: Lease): void {
  lease.keeper?.leases.delete(lease);
  lease.keeper?.taken.delete(lease);
  lease.keeper = undefined;
}
