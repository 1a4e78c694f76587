// Core. The database of a simulation: states of the routes, servers that lag or are set back, leases,
// results; and every state there ever was, for who checks what others saw of it.

import type { LeaseRow } from "../../model/lease.ts";
import type { ModuleRow } from "../../model/module.ts";
import { nodeId, type RouteRow } from "../../model/node.ts";
import { meantMark, pickableNodes } from "../../model/pickable_nodes.ts";
import { RECOMMENDED_TEXT } from "../../balancer/module_presets.ts";
import type { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { LeaseHolder } from "../../sql/leases/lease_store.ts";
import type { MarkState } from "../../sql/results/mark_state.ts";
import type { SeenChange } from "../../sql/store.ts";
import type { CallHistoryRow } from "../../sql/results/call_history.ts";

/** Servers of the database: the first takes edits. */
export const SERVERS = 2;

/** Changes that are kept. */
const CHANGES_KEPT = 40;

/** A change, and of which module. */
export interface ChangeRow extends SeenChange {
  readonly modId: number;
}

/** What a server of the database has of the routes. Modules are named by modId; cmdId is 1. */
export interface RouteState {
  readonly epoch: number;
  readonly version: number;
  readonly changes: readonly ChangeRow[];
  readonly routes: ReadonlyMap<number, readonly RouteRow[]>;
  readonly modules: ReadonlyMap<number, ModuleRow>;
}

/** The nodes of a module from some moment on. */
export interface KnownRoute {
  readonly atMs: number;
  readonly epoch: number;
  /** As {@linkcode routeText} has it. */
  readonly text: string;
  /** Nodes that may be picked. */
  readonly onCount: number;
}

/** A route in a line, to be compared. */
export function routeText(
  nodes: readonly {
    readonly ip: number;
    readonly port: number;
    readonly weight?: number;
    readonly state?: string;
  }[],
): string {
  return nodes.filter(({ state }) => state !== "off")
    .map(({ ip, port, weight = 100, state = "on" }) =>
      `${ip}:${port}*${weight}${state === "on" ? "" : "!"}`
    )
    .sort().join(" ");
}

/** Calls that are in the history, of one caller. */
export interface CountedCalls {
  succ: number;
  err: number;
  refused: number;
}

/** Results as the database has them. */
export class SimResults {
  readonly marks = new Map<number, { state: MarkState; writer: number; number: number }>();
  readonly byCaller = new Map<number, CountedCalls>();
  readonly #rows = new Map<string, CallHistoryRow>();
  /** Told of each caller whose calls have changed. */
  onCounted: (caller: number) => void = () => {};

  write(source: number, rows: readonly CallHistoryRow[]): void {
    for (const row of rows) {
      const { modId, ip, port, caller, atSeconds } = row;
      const key = `${source} ${modId} ${atSeconds} ${ip}:${port} ${caller}`;
      const before = this.#rows.get(key);
      this.#rows.set(key, row);
      const sums = this.byCaller.get(caller) ?? { succ: 0, err: 0, refused: 0 };
      this.byCaller.set(caller, sums);
      sums.succ += row.succCount - (before?.succCount ?? 0);
      sums.err += row.errCount - (before?.errCount ?? 0);
      sums.refused += row.refusedCount - (before?.refusedCount ?? 0);
      if (caller !== 0) this.onCounted(caller);
    }
  }
}

/** A lease as stored. */
export interface StoredLease {
  readonly row: LeaseRow;
  readonly seq: number;
}

/** All of a moment but results. */
interface Backup {
  readonly state: RouteState;
  readonly leases: ReadonlyMap<string, StoredLease>;
  readonly leaseSeq: number;
}

/** See the file's first line. */
export class SimDatabase {
  readonly servers: RouteState[];
  readonly lagging = new Set<number>();
  readonly results = new SimResults();
  readonly leases = new Map<string, StoredLease>();
  readonly holders = new Map<number, LeaseHolder>();
  readonly instances = new Map<string, { kind: string; address: string; seenAt: number }>();
  leaseSeq = 0;
  /** Its routes were set back, and nobody has said that they count. */
  isSetBack = false;
  readonly #clock: ManualClock;
  readonly #known = new Map<number, KnownRoute[]>();
  #changeId = 0;
  #backup: Backup | undefined;
  /** Told of each change of a lease. */
  onLease: (row: LeaseRow, before: LeaseRow | undefined) => void = () => {};

  constructor(clock: ManualClock, routes: ReadonlyMap<number, readonly RouteRow[]>) {
    this.#clock = clock;
    const empty: RouteState = {
      epoch: 0,
      version: 1,
      changes: [],
      routes: new Map(),
      modules: new Map(),
    };
    this.servers = Array.from({ length: SERVERS }, () => empty);
    for (const [modId, rows] of routes) this.setRoute(modId, rows, true);
  }

  get nowS(): number {
    return Math.floor(this.#clock.wallMs() / 1000);
  }

  /** The primary's. */
  get state(): RouteState {
    return this.servers[0];
  }

  /** The nodes that a module had, one after the other. */
  known(modId: number): readonly KnownRoute[] {
    return this.#known.get(modId) ?? [];
  }

  rows(modId: number): readonly RouteRow[] {
    return this.state.routes.get(modId) ?? [];
  }

  /**
   * Writes the nodes of a module.
   *
   * @param meant As edits of ours; false: as by hand, with no word whether it is meant.
   * @returns the version.
   */
  setRoute(modId: number, rows: readonly RouteRow[], meant: boolean): number {
    const { epoch, version: before, changes, routes, modules } = this.state;
    const version = Math.max(before + 1, this.nowS);
    // An id that was given is given again only after a restore, as AUTO_INCREMENT does.
    const last = changes[changes.length - 1]?.id ?? this.#changeId;
    this.#changeId = last + 1;
    const change = { id: this.#changeId, modId, version };
    const state = {
      ...{ epoch, version, changes: [...changes.slice(1 - CHANGES_KEPT), change] },
      routes: new Map(routes).set(modId, rows),
      modules: new Map(modules).set(modId, {
        ...{ modId, cmdId: 1, name: "", policy: RECOMMENDED_TEXT, updatedAt: this.nowS },
        meant: meant
          ? meantMark(version, pickableNodes(rows).name)
          : modules.get(modId)?.meant ?? "",
      }),
    };
    this.#set(state);
    this.#note(modId, rows, epoch);
    return version;
  }

  backUp(): void {
    const { state, leaseSeq } = this;
    this.#backup = { state, leaseSeq, leases: new Map(this.leases) };
  }

  /**
   * Routes as the backup has them, in every server; edits go on from there.
   *
   * @param kept Modules of leases, which stay as they are, as leases do; none: leases are set back as well.
   */
  restore(kept: readonly number[]): boolean {
    if (this.#backup === undefined) return false;
    const { state: backup, leases, leaseSeq } = this.#backup;
    if (backup.version === this.state.version) return false;
    if (kept.length === 0) {
      this.leases.clear();
      for (const [id, lease] of leases) this.leases.set(id, lease);
      this.leaseSeq = leaseSeq;
    }
    const routes = new Map(backup.routes);
    const modules = new Map(backup.modules);
    for (const modId of kept) {
      routes.set(modId, this.rows(modId));
      const module = this.state.modules.get(modId);
      if (module !== undefined) modules.set(modId, module);
    }
    this.servers.fill({ ...backup, routes, modules });
    this.isSetBack = true;
    return true;
  }

  /** As `lars sql accept-restored` does. */
  accept(): void {
    const { epoch, version, ...rest } = this.state;
    const { nowS } = this;
    const state = {
      ...rest,
      epoch: Math.max(epoch + 1, nowS),
      version: Math.max(version + 1, nowS),
    };
    this.#set(state);
    this.isSetBack = false;
    for (const [modId, rows] of state.routes) this.#note(modId, rows, state.epoch);
  }

  /** A server stands still, or catches up. */
  setLag(server: number, lags: boolean): void {
    if (lags) this.lagging.add(server);
    else {
      this.lagging.delete(server);
      this.servers[server] = this.state;
    }
  }

  putLeases(rows: readonly LeaseRow[]): void {
    if (rows.length === 0) return;
    this.leaseSeq++;
    for (const row of rows) {
      const id = nodeId(row);
      const before = this.leases.get(id)?.row;
      this.leases.set(id, { row, seq: this.leaseSeq });
      this.onLease(row, before);
    }
  }

  #set(state: RouteState): void {
    for (let server = 0; server < SERVERS; server++) {
      if (!this.lagging.has(server)) this.servers[server] = state;
    }
  }

  #note(modId: number, rows: readonly RouteRow[], epoch: number): void {
    const known = this.#known.get(modId) ?? [];
    this.#known.set(modId, known);
    const text = routeText(rows);
    const last = known[known.length - 1];
    if (last?.text === text && last.epoch === epoch) return;
    const onCount = rows.filter(({ state, weight }) => state === "on" && weight > 0).length;
    known.push({ atMs: this.#clock.nowMs(), epoch, text, onCount });
  }
}
