// Core. What every service may ask of the database, whichever database it is.

import type { CallHistoryStore } from "./results/call_history.ts";
import type { ConsoleStore } from "./console/console_store.ts";
import type { MailStore } from "./mail/mail_store.ts";
import type { RefusedRow } from "./results/divided_write.ts";
import type { EventStore } from "./results/event.ts";
import type { NodeLeaseStore } from "./leases/lease_store.ts";
import type { ModuleChange, ModuleKey, ModuleRow } from "../model/module.ts";
import type { DatabaseState } from "../model/database_state.ts";
import type { NodeAddress, NodeKey, RouteEdit, RouteRow } from "../model/node.ts";

export type { ModuleChange, ModuleRow } from "../model/module.ts";
export type { NodeSpec, RouteEdit, RouteRow } from "../model/node.ts";

/** How an edit is to be taken. */
export interface EditOptions {
  /**
   * True: somebody means this change, however many nodes it removes, so agents take it at once.
   * False, for changes that nobody looked at node by node: agents hold back a push that empties a
   * route or cuts it by more than half.
   * @default {true}
   */
  readonly meant?: boolean;
}

/** A change by which a database is known again. */
export interface SeenChange {
  readonly id: number;
  readonly version: number;
  /**
   * A database has been read that went on without it: one that was set back. From then on only one that
   * has it counts, because edits prune old changes, and then nothing shows any more what became of it.
   *
   * @default {false}
   */
  readonly mustBeThere?: boolean;
}

/** How routes are to be read. */
export interface RouteReadOptions {
  /**
   * The version that was read before, which the server that is asked must have reached: one to which
   * a connection failed over may lag behind. Reading fails otherwise, transient, and the next call
   * goes to another server of the url.
   * @default {0}
   */
  readonly atLeastVersion?: number;
  /** The epoch that was read before. One that is later makes every version count. @default {0} */
  readonly atLeastEpoch?: number;
  /**
   * The newest change that was seen in this epoch. A database that has changes from before and from
   * after it, and not this one, was set back, whatever its version says: reading it fails, for good,
   * with the refusal `setBack`. So does one without it, where it must be there.
   *
   * @default nothing was seen
   */
  readonly seenChange?: SeenChange | undefined;
  /**
   * Told of the state that is read, neither older nor newer, and of its newest change. Names and
   * policies may be newer.
   */
  onPlan?(plan: DatabaseState, newest: SeenChange | undefined): void;
}

/** How the mark of the routes is to be read. */
export interface RouteMarkOptions extends RouteReadOptions {
  /**
   * The largest change id that was read before. With it a version below `atLeastVersion` is taken
   * where a foreign hand has lowered it: programs of the original write the time as the version,
   * while edits of ours that are faster than the clock run ahead of it. Such a version is the time of
   * the database, to two seconds, or comes with a newer change; one of a server that lags is
   * neither.
   * @default {undefined} every lower version is refused
   */
  readonly changeIdMax?: number;
}

/** What an edit did. */
export interface EditResult {
  /** Modules whose rows differ now; empty when every edit was already the case. */
  readonly changed: ModuleKey[];
  /** RouteVersion after the edit. */
  readonly version: number;
}

/**
 * State of the routes at one instant. They have changed when any of the three differs: the version
 * alone is in seconds, and a row committed late can carry an id below `changeIdMax`, which only the
 * count betrays. Statements that touch RouteData alone leave no trace here.
 */
export interface RouteMark {
  /** RouteVersion of row 1, unix seconds by custom; 0 when the row is missing. */
  readonly version: number;
  /** Largest RouteChange.id, 0 when there is none. */
  readonly changeIdMax: number;
  /** Number of RouteChange rows. */
  readonly changeCount: number;
  /** RouteVersion of row 2: what `acceptRestored` raises; 0 where it never was. */
  readonly epoch?: number;
  /** Version of the change with the largest id; undefined when there is none. */
  readonly changeVersion?: number | undefined;
}

/** Outcome of the calls of one caller to one node in one window: one row of ServerCallStatus. */
export interface CallStatusRow extends NodeKey {
  /** IPv4 address of the caller as an unsigned number. */
  readonly caller: number;
  /** Calls that succeeded in the window; stored clipped to 2147483647. */
  readonly succCount: number;
  /** Calls that failed in the window; stored clipped to 2147483647. */
  readonly errCount: number;
  /** When, in unix seconds. */
  readonly ts: number;
  /** True when the agent of the caller holds the node for overloaded. */
  readonly overload: boolean;
  /** Successes since the agent first saw the node. Left as stored when absent. */
  readonly succTotal?: number;
  /** Failures since the agent first saw the node. Left as stored when absent. */
  readonly errTotal?: number;
  /** Set in a row about calls that got no node: its address and port are 0. */
  readonly refused?: RefusedCounts;
}

/** Calls that got no node, by cause. */
export interface RefusedCounts {
  /** Too few nodes of the module were well. */
  readonly overload: number;
  /** It has nodes, and none of them may be called: drained, off, weight 0. */
  readonly unusable: number;
  /** It has no nodes. */
  readonly noNode: number;
  /** Its route was not known yet. */
  readonly noRoute: number;
}

/** Refused calls of one module, of all callers together. */
export interface RefusedTotal extends ModuleKey, RefusedCounts {
  /** Of the latest report, in unix seconds. */
  readonly ts: number;
}

/** A running service, as it last described itself; an agent, as the dns it is linked to knows it. */
export interface ServiceInstance {
  readonly kind: "dns" | "reporter" | "discovery" | "agent" | "export";
  /**
   * `host:port` it listens on; with `kind` it names the instance. At most 128 characters. Of an
   * agent the address of its host and the first of its UDP ports, of an export its name.
   */
  readonly address: string;
  /** Program, version and runtime. At most 128 characters are kept. */
  readonly software: string;
  /** Start, in unix seconds. */
  readonly startedAt: number;
  /** Last sign of life, in unix seconds. Instances silent for 7 days are forgotten. */
  readonly seenAt: number;
  /** Counters and settings worth showing; at most 16384 characters as JSON. */
  readonly detail: Record<string, number | string>;
}

/** Which call results to read. */
export type CallStatusFilter = Partial<ModuleKey>;

/** Whose reports of calls are wanted. */
export interface CallerQuery extends ModuleKey {
  /** Of one node of the module. @default all nodes */
  readonly node?: NodeAddress;
  /** Of reports from this unix second on. */
  readonly sinceTs: number;
  /** Callers that are given; all are counted. */
  readonly limit: number;
}

/** Callers whose agents reported lately. */
export interface RecentCallers {
  /** Addresses of hosts with the calls of their last windows, those with most calls first. */
  readonly callers: readonly { readonly caller: number; readonly calls: number }[];
  /** All of them, however many are given. */
  readonly count: number;
}

/** What {@linkcode Store.migrate} did. */
export interface MigrateResult {
  /** Names of the migrations of which something was missing. */
  readonly applied: string[];
  /** Schema version now. */
  readonly version: number;
}

/**
 * The database behind all services. Every method may fail with `StoreError`, whose `transient` says
 * whether the same call may succeed later. No method waits longer than the time-outs given to
 * `openStore`, except `migrate`.
 */
export interface Store extends CallHistoryStore, EventStore {
  readonly dialect: "mysql" | "sqlite";
  /** Url without the password, for log lines. */
  readonly label: string;
  /** Users, history of changes, alerts. */
  readonly console: ConsoleStore;
  /** Leases of nodes that register themselves. */
  readonly leases: NodeLeaseStore;
  /** Messages that a relay keeps for clients that are away. */
  readonly mail: MailStore;
  /** Cheap look whether routes have changed; one query. */
  routeMark(options?: RouteMarkOptions): Promise<RouteMark>;
  /**
   * Modules named by RouteChange rows with an id above `afterChangeId`, each once. A row committed
   * late with a smaller id is not among them: when the mark's count grew by more than the ids
   * explain, read all routes.
   */
  changedModules(afterChangeId: number): Promise<ModuleKey[]>;
  /**
   * Reads all routes from one consistent snapshot, in order of their id, in pages, and lets the
   * event loop run between pages. The next page is read after `onRows` has resolved.
   */
  readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions & { pageRows?: number },
  ): Promise<void>;
  /** Routes of some modules, in order of module and id. A module without routes gives no row. */
  readModules(keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]>;
  /**
   * Applies all edits or none, in one transaction, records each changed module in RouteChange,
   * gives it a row of Module (of at most `MODULE_ROWS_MAX`) and raises RouteVersion to max(version + 1, unix seconds).
   *
   * @throws {ConflictError} when adding what exists or touching what is missing.
   * @throws {RangeError} when an edit holds a number out of range.
   * @throws {TypeError} when an edit is malformed.
   * @throws {LimitError} with more than `ROUTE_EDITS_MAX` edits.
   */
  editRoutes(edits: readonly RouteEdit[], options?: EditOptions): Promise<EditResult>;
  /**
   * Says of routes as they are that they are meant, so that agents which hold a push of them back
   * take it: a RouteChange row for each module, its mark, and a new version.
   *
   * @throws {LimitError} with more than `ROUTE_EDITS_MAX` modules.
   */
  confirmRoutes(keys: readonly ModuleKey[]): Promise<EditResult>;
  /**
   * Says of a database that was set back, as from a backup, that it counts as it is: a new epoch, and
   * a version above every one that was read before. Routes stay as they are.
   *
   * @returns the epoch and the version from now on.
   */
  acceptRestored(): Promise<DatabaseState>;
  /**
   * Names and policies, in order of module: of `keys`, or of every module that has a row, at most
   * `MODULE_ROWS_MAX`. None on a schema that was never migrated.
   */
  moduleRows(keys?: readonly ModuleKey[], options?: RouteReadOptions): Promise<ModuleRow[]>;
  /**
   * Sets names and policies, all or none, in one transaction that records each changed module in
   * RouteChange and raises RouteVersion as `editRoutes` does.
   *
   * @throws {RangeError} when a number or text is out of range, or a policy is no JSON object.
   * @throws {TypeError} when a change is malformed.
   * @throws {LimitError} with more than `ROUTE_EDITS_MAX` changes, or `MODULE_ROWS_MAX` rows.
   */
  setModules(changes: readonly ModuleChange[]): Promise<EditResult>;
  /**
   * Inserts or overwrites call results by (modId, cmdId, ip, port, caller); of several rows with
   * one key the last counts. Safe to repeat after a failure. Rows about refused calls are kept in
   * a table of their own; a schema before migration 10 does not take them.
   *
   * @returns the rows that the database refuses for what is in them; all others are written.
   */
  writeCallStatus(rows: readonly CallStatusRow[]): Promise<readonly RefusedRow<CallStatusRow>[]>;
  /**
   * Deletes call results that were told before `beforeTs`, in unix seconds: of hosts and nodes that
   * are gone.
   */
  pruneCallStatus(beforeTs: number): Promise<void>;
  /** Call results in order of their key, at most `CALL_STATUS_ROWS_MAX`. */
  readCallStatus(filter?: CallStatusFilter): Promise<CallStatusRow[]>;
  /** Callers of a module or node whose last report is recent and tells of calls. */
  recentCallers(query: CallerQuery): Promise<RecentCallers>;
  /**
   * Refused calls as they were written, by module and caller, at most `CALL_STATUS_ROWS_MAX`. None
   * on a schema before migration 10.
   */
  readRefused(): Promise<CallStatusRow[]>;
  /** The same added up by module, of callers that were refused since `sinceTs`. */
  refusedTotals(sinceTs: number): Promise<RefusedTotal[]>;
  /** Says that a service is alive. Fails for good on a schema that was never migrated. */
  heartbeat(instance: ServiceInstance): Promise<void>;
  /**
   * Says which other services somebody has heard of, as dns does for the agents linked to it. A row
   * that was seen later stays, so that several may tell of one. Of a kind `INSTANCE_ROWS_MAX` rows
   * are kept, those seen last. Fails for good on a schema that was never migrated.
   */
  sightings(instances: readonly ServiceInstance[]): Promise<void>;
  /** Removes a service that ends in good order, or that somebody wants forgotten. */
  forgetInstance(kind: ServiceInstance["kind"], address: string): Promise<void>;
  /** Every known service, or those of some kinds, in order of kind and address. */
  instances(kinds?: readonly ServiceInstance["kind"][]): Promise<ServiceInstance[]>;
  /** Wall time of the database server in unix milliseconds; undefined where it is this process. */
  wallMs(): Promise<number | undefined>;
  /** 0 for the original tables alone, else the number of the last migration in force. */
  schemaVersion(): Promise<number>;
  /**
   * What to say of a database that a newer program has migrated; undefined for any other. There
   * every write fails for good, and reads go on.
   */
  newerSchema(): Promise<string | undefined>;
  /**
   * Brings the schema up to date; safe to repeat, and to run in several places at once.
   *
   * @throws {StoreError} for good, when a newer program has migrated it.
   */
  migrate(): Promise<MigrateResult>;
  /** Asks the database for any answer. */
  ping(): Promise<void>;
  /** Ends all connections; later calls fail. Does nothing the second time. */
  close(): Promise<void>;
}

/** Most edits in one `editRoutes`; more are refused with a LimitError, nothing is applied. */
export const ROUTE_EDITS_MAX = 100_000;

/** Most rows of Module: `moduleRows` leaves out the rest, `setModules` refuses to add more. */
export const MODULE_ROWS_MAX = 100_000;

/** Most rows of one kind in ServiceInstance, when `sightings` writes them; the oldest go first. */
export const INSTANCE_ROWS_MAX = 20_000;

/** Most rows `readCallStatus` gives; the rest, in order of the key, is left out. */
export const CALL_STATUS_ROWS_MAX = 200_000;

/** Rows of a page of `readRoutes` unless told otherwise: about 1 MB of memory. */
export const ROUTE_PAGE_ROWS = 5_000;
