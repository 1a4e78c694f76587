// Core. What one simulated process asks the database with: answers take time, may be lost, and come from
// a server that may lag. The rules are those of sql/, on maps.

import { groupModules } from "../../sql/console/route_difference.ts";
import { type ModuleKey, type ModuleRow, uniqueModules } from "../../model/module.ts";
import { nodeId, type RouteEdit } from "../../model/node.ts";
import { StoreError } from "../../reactor/errors.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import type {
  LeaseChangeOutcome,
  LeaseChangeWish,
  LeaseHolder,
  LeasePage,
} from "../../sql/leases/lease_store.ts";
import type {
  CallHistoryRow,
  MarkedBucket,
  MarkedOutcome,
  MovedSession,
} from "../../sql/results/call_history.ts";
import { afterRanges, type MarkState, NO_MARK } from "../../sql/results/mark_state.ts";
import { StatementFault, storeErrorOf } from "../../sql/drivers/driver.ts";
import { checkState } from "../../sql/routes/plan_scripts.ts";
import type {
  RouteMark,
  RouteMarkOptions,
  RouteReadOptions,
  RouteRow,
  ServiceInstance,
  Store,
} from "../../sql/store.ts";
import { type RouteState, SERVERS, type SimDatabase } from "./sim_database.ts";

/** Longest wait for a statement, after which it counts as failed. */
const QUERY_TIMEOUT_MS = 10_000;

/** How a process finds its database. */
export interface StoreWeather {
  /** It refuses connections, or says nothing at all. */
  away: "no" | "refused" | "silent";
  /** Share of the calls that are carried out, and whose answer is lost. */
  lostShare: number;
  /** Share of the calls whose answer takes up to {@linkcode slowMs}. */
  slowShare: number;
  slowMs: number;
}

/** All is well. */
export function calmWeather(): StoreWeather {
  return { away: "no", lostShare: 0, slowShare: 0, slowMs: 1500 };
}

/** Bugs that can be planted into the database. */
export interface StoreBugs {
  /** A server that lags is believed. */
  readonly believesLag?: boolean;
  /** Marks of sessions are written and not compared. */
  readonly ignoresMarks?: boolean;
  /** A bucket that comes again is written beside the first. */
  readonly writesAgain?: boolean;
  /** A full read leaves out the last module, and a look at changes the last change. */
  readonly losesLast?: boolean;
}

/** The store of one process. What the simulation does not ask for is not there. */
export class SimStore {
  readonly dialect = "mysql";
  readonly label = "sim";
  /** The server that reads go to. */
  server: number;
  #retold = 0;

  constructor(
    readonly database: SimDatabase,
    readonly clock: Clock,
    readonly rng: Rng,
    readonly weather: StoreWeather,
    readonly bugs: StoreBugs = {},
  ) {
    this.server = nextInt(rng, SERVERS);
  }

  /** As services want it. */
  get asStore(): Store {
    return this as unknown as Store;
  }

  readonly leases = {
    change: (wish: LeaseChangeWish): Promise<LeaseChangeOutcome> =>
      this.#call(() => this.#changeLeases(wish)),
    since: (seq: number, limit: number): Promise<LeasePage> =>
      this.#call(() => {
        const later = [...this.database.leases.values()].filter((one) => one.seq > seq)
          .sort((one, other) => one.seq - other.seq).slice(0, limit);
        return { rows: later.map(({ row }) => row), seq: this.database.leaseSeq, isCut: false };
      }),
    foreignChanges: (
      after: number,
      ownVersions: readonly number[],
    ): Promise<{ changeIdMax: number; modules: ModuleKey[] }> =>
      this.#call(() => {
        const { changes } = this.database.state;
        const others = changes.filter(({ id, version }) =>
          id > after && !ownVersions.includes(version)
        );
        const changeIdMax = changes[changes.length - 1]?.id ?? 0;
        return { changeIdMax, modules: uniqueModules(others.map(moduleOfChange)) };
      }),
    beat: (holder: LeaseHolder): Promise<LeaseHolder[]> =>
      this.#call(() => {
        this.database.holders.set(holder.id, holder);
        return [...this.database.holders.values()];
      }),
    forgetHolder: (id: number): Promise<void> =>
      this.#call(() => void this.database.holders.delete(id)),
    putGuard: (): Promise<void> => this.#call(() => {}),
    guard: (): Promise<[]> => this.#call(() => []),
    prune: (): Promise<void> => this.#call(() => {}),
  };

  async #call<T>(work: () => T): Promise<T> {
    const { clock, rng, weather } = this;
    await sleep(clock, 1 + nextInt(rng, 4));
    if (weather.away !== "no") {
      await sleep(clock, weather.away === "refused" ? 5 : QUERY_TIMEOUT_MS);
      throw new StoreError("the database is away", true);
    }
    const result = work();
    const isSlow = weather.slowShare > 0 && rng.next() < weather.slowShare;
    await sleep(clock, 1 + nextInt(rng, isSlow ? weather.slowMs : 4));
    if (weather.lostShare > 0 && rng.next() < weather.lostShare) {
      throw new StoreError("the connection was lost", true);
    }
    return result;
  }

  async #read<T>(look: (state: RouteState) => T, options: RouteReadOptions = {}): Promise<T> {
    const read = await this.#call(() => {
      const state = this.database.servers[this.server];
      const { epoch, version, changes } = state;
      const newest = changes[changes.length - 1];
      const seenVersion = changes.find(({ id }) => id === options.seenChange?.id)?.version;
      try {
        if (this.bugs.believesLag !== true) {
          checkState({ epoch, version, changeIdMin: changes[0]?.id, seenVersion, newest }, options);
        }
      } catch (error) {
        this.server = (this.server + 1) % SERVERS;
        throw error instanceof StatementFault ? storeErrorOf(error) : error;
      }
      return { seen: look(state), epoch, version, newest };
    });
    options.onPlan?.({ epoch: read.epoch, version: read.version }, read.newest);
    return read.seen;
  }

  routeMark(options?: RouteMarkOptions): Promise<RouteMark> {
    return this.#read(({ epoch, version, changes }) => ({
      ...{ epoch, version, changeCount: changes.length },
      changeIdMax: changes[changes.length - 1]?.id ?? 0,
      changeVersion: changes[changes.length - 1]?.version,
    }), options);
  }

  changedModules(after: number): Promise<ModuleKey[]> {
    return this.#read(({ changes }) => {
      const seen = this.bugs.losesLast === true ? changes.slice(0, -1) : changes;
      return uniqueModules(seen.filter(({ id }) => id > after).map(moduleOfChange));
    });
  }

  readModules(keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]> {
    return this.#read(
      ({ routes }) => keys.flatMap(({ modId }) => routes.get(modId) ?? []),
      options,
    );
  }

  moduleRows(keys?: readonly ModuleKey[], options?: RouteReadOptions): Promise<ModuleRow[]> {
    return this.#read(({ modules }) => {
      const rows = [...modules.values()];
      if (keys === undefined) return rows;
      const wanted = new Set(keys.map(({ modId }) => modId));
      return rows.filter(({ modId }) => wanted.has(modId));
    }, options);
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions,
  ): Promise<void> {
    const rows = await this.#read(({ routes }) => {
      const all = [...routes.values()];
      return (this.bugs.losesLast === true ? all.slice(0, -1) : all).flat();
    }, options);
    await onRows(rows);
  }

  /** An edit of routes, as of the command line or by hand. */
  edit(modId: number, change: (rows: readonly RouteRow[]) => RouteRow[], meant: boolean): Promise<
    { readonly changed: ModuleKey[] }
  > {
    return this.#call(() => {
      this.database.setRoute(modId, change(this.database.rows(modId)), meant);
      return { changed: [{ modId, cmdId: 1 }] };
    });
  }

  #changeLeases(wish: LeaseChangeWish): LeaseChangeOutcome {
    const { database } = this;
    const keys = uniqueModules(wish.nodes);
    const { modules: rows } = database.state;
    const leases = wish.nodes.flatMap((node) => {
      const stored = database.leases.get(nodeId(node));
      return stored === undefined ? [] : [stored.row];
    });
    const modules = groupModules(
      keys,
      keys.flatMap(({ modId }) => database.rows(modId)),
      keys.flatMap(({ modId }) => rows.get(modId) ?? []),
    );
    const registered = uniqueModules(leases);
    const { nowS, leaseSeq: seq } = database;
    const edits = wish.decide({ leases, modules, registered, nowS, seq });
    const changed = uniqueModules(edits.routes);
    const versions = changed.map(({ modId }) => {
      const own = edits.routes.filter((edit) => edit.modId === modId);
      return database.setRoute(modId, editedRows(database.rows(modId), own), true);
    });
    database.putLeases(edits.leases);
    return { changed, versions, seq: database.leaseSeq };
  }

  writeCallStatus(): Promise<[]> {
    return this.#call(() => []);
  }

  writeCallHistory(source: number, rows: readonly CallHistoryRow[]): Promise<[]> {
    return this.#call(() => {
      this.database.results.write(source, rows);
      return [];
    });
  }

  readMarkStates(sessions: readonly number[]): Promise<ReadonlyMap<number, MarkState>> {
    return this.#call(() =>
      new Map(sessions.flatMap((one) => {
        const state = this.database.results.marks.get(one)?.state;
        return state === undefined ? [] : [[one, state]];
      }))
    );
  }

  writeMarkedHistory(bucket: MarkedBucket): Promise<MarkedOutcome> {
    return this.#call(() => {
      const { source, rows, marks, writer, number } = bucket;
      const { results } = this.database;
      const moved: MovedSession[] = [];
      const after = new Map<number, MarkState>();
      for (const session of new Set(marks.map((mark) => mark.session))) {
        const known = results.marks.get(session);
        if (known?.writer === writer && known.number === number) continue;
        const own = marks.filter((mark) => mark.session === session);
        const state = afterRanges(known?.state ?? NO_MARK, own);
        const last = own[own.length - 1].to;
        if (state !== undefined) after.set(session, state);
        else if (this.bugs.ignoresMarks === true) after.set(session, { seq: last, gaps: [] });
        else moved.push({ session, state: known?.state ?? NO_MARK });
      }
      if (moved.length > 0) return { moved, bad: [] };
      results.write(this.bugs.writesAgain === true ? source + 1e6 * ++this.#retold : source, rows);
      for (const [session, state] of after) results.marks.set(session, { state, writer, number });
      return { moved: [], bad: [] };
    });
  }

  heartbeat({ kind, address, seenAt }: ServiceInstance): Promise<void> {
    return this.#call(() =>
      void this.database.instances.set(`${kind} ${address}`, { kind, address, seenAt })
    );
  }

  forgetInstance(kind: string, address: string): Promise<void> {
    return this.#call(() => void this.database.instances.delete(`${kind} ${address}`));
  }

  instances(kinds?: readonly string[]): Promise<unknown[]> {
    return this.#call(() =>
      [...this.database.instances.values()].filter(({ kind }) => kinds?.includes(kind) !== false)
    );
  }

  rollUpCallHistory(): Promise<{ windowCount: number; deletionCount: number }> {
    return this.#call(() => ({ windowCount: 0, deletionCount: 0 }));
  }

  addEvents(): Promise<void> {
    return this.#call(() => {});
  }

  pruneEvents(): Promise<void> {
    return this.#call(() => {});
  }

  pruneCallStatus(): Promise<void> {
    return this.#call(() => {});
  }

  readRefused(): Promise<[]> {
    return this.#call(() => []);
  }

  readCallStatus(): Promise<[]> {
    return this.#call(() => []);
  }

  wallMs(): Promise<undefined> {
    return this.#call(() => undefined);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function moduleOfChange({ modId }: { readonly modId: number }): ModuleKey {
  return { modId, cmdId: 1 };
}

function editedRows(rows: readonly RouteRow[], edits: readonly RouteEdit[]): RouteRow[] {
  const all = new Map(rows.map((row) => [nodeId(row), row]));
  for (const edit of edits) {
    const { op, ...values } = edit;
    const id = nodeId(edit);
    if (op === "remove") all.delete(id);
    else all.set(id, { weight: 100, zone: "", state: "on", ...all.get(id), ...values } as RouteRow);
  }
  return [...all.values()];
}
