// Core. Call results over time: totals that agents report become counts of ten seconds, and events.

import { refusedSum } from "../balancer/routes/refused_calls.ts";
import { formatIpv4 } from "../reactor/address.ts";
import { type CallHistoryRow, HISTORY_STEPS_S } from "../sql/results/call_history.ts";
import type { EventKind, NewEvent } from "../sql/results/event.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { BucketReports } from "./bucket_reports.ts";
import type { KeptRow, TimedStatusRow } from "./report_rows.ts";
import type { RowGains } from "./spool/spool_format.ts";
import { STATUS_KEYS_MAX } from "./store_queue.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleText } from "../model/module.ts";
import { addressId, addressText, callsId } from "../model/node.ts";

/** Most rows for nodes and callers in one bucket; beyond, only the sum of the module is kept. */
export const HISTORY_ROWS_MAX = 50_000;

/** A node that an agent has not spoken of for so long is forgotten, in milliseconds: an hour. */
export const BASELINE_AGE_MAX_MS = 3_600_000;

/**
 * Time after the start in which totals found in the database stand in for those not seen yet: agents
 * are back within a few seconds, or with another reporter.
 */
export const ADOPT_MS = 30_000;

/** Totals in the database that are older than this are not used, in seconds. */
export const ADOPT_AGE_MAX_S = 600;

/** Modules whose calls are totalled one by one for metrics; those of all others are one total. */
export const TOTAL_MODULES_MAX = 1_000;

/** A node that a caller has not spoken of for longer is none of its module's any more, for shares. */
const WEIGHED_AGE_MAX_MS = 600_000;

const BUCKET_S = HISTORY_STEPS_S[0];

/** Totals, or what stands in for them. */
interface Totals {
  succ: number;
  err: number;
  /** Calls whose time was told, and what those took. */
  timed: number;
  timeMs: number;
  refused: number;
}

/** What an agent last said about one node, and what it added in the open bucket. */
interface Baseline extends Totals {
  /** False for agents of the original, whose counts begin anew with each window. */
  hasTotals: boolean;
  overload: boolean;
  seenMs: number;
  /** True while the counts below are not zero. */
  touched: boolean;
  succCount: number;
  errCount: number;
  reportCount: number;
  overloadCount: number;
  timedCount: number;
  timeMsSum: number;
  refusedCount: number;
}

/** The nodes of one module as one caller told them over one connection. */
interface ModuleNodes {
  readonly modId: number;
  readonly cmdId: number;
  readonly caller: number;
  readonly peer: string;
  /** Of a sender that keeps what it sends. */
  readonly session: number | undefined;
  /** By the number of their address; 0 stands for calls that got no node. */
  readonly nodes: Map<number, Baseline>;
}

/** A node of which something was told in the open bucket. */
interface Touched {
  readonly module: ModuleNodes;
  readonly node: number;
  readonly base: Baseline;
}

/** The rows of a bucket that is over. */
export interface ClosedBucket {
  /** Begin, in unix seconds. */
  readonly atSeconds: number;
  readonly rows: CallHistoryRow[];
  /** What of it came from senders that keep what they send, by session. */
  readonly kept: ReadonlyMap<number, readonly CallHistoryRow[]>;
  /** The same report by report; undefined: that is not known. */
  readonly reports?: BucketReports | undefined;
}

/** A row as the tracker takes it. */
export type TrackedRow = TimedStatusRow & { readonly kept?: KeptRow };

/** Calls of one module since the start; without a module, those of all further ones. */
export interface CallTotal {
  readonly module?: ModuleKey;
  readonly succ: number;
  readonly err: number;
  /** Calls that got no node. */
  readonly refused: number;
  /** Of the calls, those whose time was told, and what those took, in milliseconds. */
  readonly timed: number;
  readonly timeMs: number;
}

/** What {@linkcode CallTracker} is given; all but `onEvent` optional. */
export interface CallTrackerOptions {
  /** Most nodes (of one connection, module and caller) that are followed. @default {200_000} */
  readonly keysMax?: number;
  /** @default {HISTORY_ROWS_MAX} */
  readonly rowsMax?: number;
  /** True: {@linkcode ClosedBucket.reports} are wanted. @default {false} */
  readonly keepsReports?: boolean;
  /** A node is out, or back. */
  onEvent(event: NewEvent): void;
}

/**
 * Follows what each connection reports. Agents send totals that only grow; what a node gained since
 * the report before counts in the bucket of its arrival. A connection seen for the first time has
 * no report before: its totals may have been counted by another reporter, so the first one counts
 * only when the agent has just started, or continues what the database holds from before a restart
 * of the reporter. So calls can be missing from the history after an agent has changed its
 * reporter, but none is ever counted twice.
 */
export class CallTracker {
  readonly #options: Required<CallTrackerOptions>;
  readonly #peers = new Map<string, Map<string, ModuleNodes>>();
  readonly #adopted = new Map<string, CallStatusRow>();
  #adoptUntilMs = 0;
  readonly #totals = new Map<
    ModuleId,
    { -readonly [Name in keyof CallTotal]: CallTotal[Name] }
  >();
  #bucketS: number | undefined;
  #keyCount = 0;
  #refusedCount = 0;
  #detailDroppedCount = 0;
  #touched: Touched[] = [];
  #reports = new BucketReports();

  constructor(options: CallTrackerOptions) {
    this.#options = {
      ...{ keysMax: STATUS_KEYS_MAX, rowsMax: HISTORY_ROWS_MAX, keepsReports: false },
      ...options,
    };
  }

  /** Nodes followed, results of nodes beyond the limit, and rows left out of full buckets. */
  get stats(): { keys: number; refused: number; detailDropped: number } {
    return {
      keys: this.#keyCount,
      refused: this.#refusedCount,
      detailDropped: this.#detailDroppedCount,
    };
  }

  /** Calls of closed buckets by module: the first {@linkcode TOTAL_MODULES_MAX} that had any. */
  callTotals(): CallTotal[] {
    return [...this.#totals.values()];
  }

  /** Begin of the open bucket in unix seconds; undefined before the first result. */
  get bucketSeconds(): number | undefined {
    return this.#bucketS;
  }

  /** Takes what the database holds at the start of the reporter. */
  adopt(rows: readonly CallStatusRow[], wallMs: number): void {
    this.#adoptUntilMs = wallMs + ADOPT_MS;
    const fromS = wallMs / 1000 - ADOPT_AGE_MAX_S;
    for (const row of rows) {
      if (row.ts < fromS || !hasTotals(row)) continue;
      if (this.#adopted.size >= this.#options.keysMax) return;
      this.#adopted.set(callsId(row), row);
    }
  }

  /**
   * Takes results that arrived over connection `peer` at `wallMs`.
   *
   * @returns what of each row counts; undefined for those beyond the limit.
   */
  add(peer: string, rows: readonly TrackedRow[], wallMs: number): (RowGains | undefined)[] {
    this.#bucketS ??= Math.floor(wallMs / 1000 / BUCKET_S) * BUCKET_S;
    let modules = this.#peers.get(peer);
    if (modules === undefined) this.#peers.set(peer, modules = new Map());
    let module: ModuleNodes | undefined;
    const gains: (RowGains | undefined)[] = [];
    for (const row of rows) {
      const { modId, cmdId, caller, kept } = row;
      if (module?.modId !== modId || module.cmdId !== cmdId || module.caller !== caller) {
        const key = `${modId},${cmdId},${caller}`;
        module = modules.get(key);
        if (module === undefined) {
          const session = kept?.session;
          modules.set(key, module = { modId, cmdId, caller, peer, session, nodes: new Map() });
        }
      }
      gains.push(this.#addRow(module, row, wallMs));
    }
    return gains;
  }

  /** What came from this peer since the last bucket is not to be counted. */
  leaveOut(peer: string): void {
    const sessions = new Set<number>();
    for (const { module, base } of this.#touched) {
      if (module.peer !== peer) continue;
      clear(base);
      if (module.session !== undefined) sessions.add(module.session);
    }
    this.#touched = this.#touched.filter(({ base }) => base.touched);
    if (sessions.size > 0) this.#reports.split(sessions);
  }

  /** Connection `peer` is gone. */
  drop(peer: string): void {
    const modules = this.#peers.get(peer);
    if (modules === undefined) return;
    for (const { nodes } of modules.values()) this.#keyCount -= nodes.size;
    this.#peers.delete(peer);
  }

  /** All connections whose names begin with `prefix` are gone. */
  dropAll(prefix: string): void {
    for (const peer of [...this.#peers.keys()]) if (peer.startsWith(prefix)) this.drop(peer);
  }

  /**
   * Ends the open bucket when its time is over at `wallMs` (or the clock was set back), or with
   * `force`.
   *
   * @returns undefined while it is open, or when nothing came.
   */
  close(wallMs: number, force = false): ClosedBucket | undefined {
    const atSeconds = this.#bucketS;
    if (atSeconds === undefined) return undefined;
    const nowS = wallMs / 1000;
    if (!force && nowS >= atSeconds && nowS < atSeconds + BUCKET_S) return undefined;
    this.#bucketS = undefined;
    if (wallMs >= this.#adoptUntilMs) this.#adopted.clear();
    const touched = this.#touched;
    const reports = this.#reports;
    this.#touched = [];
    this.#reports = new BucketReports();
    return { atSeconds, ...this.#takeRows(atSeconds, touched, reports) };
  }

  /** Takes what came from these sessions out of the open bucket. @returns it, as one of its own. */
  closeOf(sessions: ReadonlySet<number>): ClosedBucket | undefined {
    const atSeconds = this.#bucketS;
    if (atSeconds === undefined) return undefined;
    const isOf = ({ module }: Touched): boolean =>
      module.session !== undefined && sessions.has(module.session);
    const touched = this.#touched.filter(isOf);
    this.#touched = this.#touched.filter((one) => !isOf(one));
    return { atSeconds, ...this.#takeRows(atSeconds, touched, this.#reports.split(sessions)) };
  }

  /** Forgets nodes that nobody has spoken of for {@linkcode BASELINE_AGE_MAX_MS}. */
  sweep(wallMs: number): void {
    for (const modules of this.#peers.values()) {
      for (const [key, { nodes }] of modules) {
        for (const [node, base] of nodes) {
          if (Math.abs(wallMs - base.seenMs) < BASELINE_AGE_MAX_MS) continue;
          nodes.delete(node);
          this.#keyCount--;
        }
        if (nodes.size === 0) modules.delete(key);
      }
    }
  }

  #addRow(module: ModuleNodes, row: TrackedRow, wallMs: number): RowGains | undefined {
    const node = addressId(row.ip, row.port);
    let base = module.nodes.get(node);
    const isTotal = hasTotals(row);
    const { succ, err, timed, timeMs, refused } = totalsOf(row);
    if (base === undefined) {
      if (this.#keyCount >= this.#options.keysMax) {
        this.#refusedCount++;
        return undefined;
      }
      base = this.#firstSight(row, wallMs);
      module.nodes.set(node, base);
      this.#keyCount++;
    } else if (base.hasTotals !== isTotal) {
      // The peer has only now said that it knows totals.
      Object.assign(base, this.#startOf(row, wallMs));
      base.hasTotals = isTotal;
    }
    const gained = row.kept === undefined
      ? gainedSince(base, { succ, err, timed, timeMs, refused })
      : { ...row.kept.gains, refused: row.kept.refusedNew };
    base.succCount += gained.succ;
    base.errCount += gained.err;
    base.timedCount += gained.timed;
    base.timeMsSum += gained.timeMs;
    base.refusedCount += gained.refused;
    // Refused calls tell nothing of a node: they must not thin the share of those that are out.
    if (node !== NO_NODE) base.reportCount++;
    if (row.overload) base.overloadCount++;
    if (row.kept !== undefined && this.#options.keepsReports) {
      this.#reports.add(row.kept, row, gained);
    }
    if (row.overload !== base.overload) this.#noteChange(row, wallMs);
    base.succ = succ;
    base.err = err;
    base.timed = timed;
    base.timeMs = timeMs;
    base.refused = refused;
    base.overload = row.overload;
    base.seenMs = wallMs;
    if (!base.touched) {
      base.touched = true;
      this.#touched.push({ module, node, base });
    }
    return gained;
  }

  #firstSight(row: TimedStatusRow, wallMs: number): Baseline {
    const stored = this.#adoptedFor(row, wallMs);
    return {
      ...this.#startOf(row, wallMs),
      hasTotals: hasTotals(row),
      overload: stored?.overload ?? false,
      seenMs: wallMs,
      touched: false,
      succCount: 0,
      errCount: 0,
      reportCount: 0,
      overloadCount: 0,
      timedCount: 0,
      timeMsSum: 0,
      refusedCount: 0,
    };
  }

  /** The totals that a first report over a connection is compared with. */
  #startOf(row: TimedStatusRow, wallMs: number): Totals {
    const now = totalsOf(row);
    if (!hasTotals(row)) return now;
    const stored = this.#adoptedFor(row, wallMs);
    if (stored !== undefined) {
      this.#adopted.delete(callsId(row)); // Once: another connection would count it again.
      const { succ, err, refused } = totalsOf(stored);
      // The database keeps no times: the calls in between count without them.
      if (succ <= now.succ && err <= now.err && refused <= now.refused) {
        return { ...now, succ, err, refused };
      }
    }
    return isNewborn(row) ? NO_TOTALS : now;
  }

  #adoptedFor(row: CallStatusRow, wallMs: number): CallStatusRow | undefined {
    if (this.#adopted.size === 0 || wallMs >= this.#adoptUntilMs) return undefined;
    return this.#adopted.get(callsId(row));
  }

  #noteChange(row: CallStatusRow, wallMs: number): void {
    const { modId, cmdId, ip, port, caller, succCount, errCount, overload } = row;
    const node = addressText(row);
    this.#options.onEvent({
      atMs: wallMs,
      kind: (overload ? "node.overload" : "node.idle") satisfies EventKind,
      module: { modId, cmdId },
      node: { ip, port },
      host: caller,
      text: `Node ${node} of module ${moduleText(row)} is ${overload ? "out" : "back"} ` +
        `for callers on ${formatIpv4(caller)}`,
      detail: { succ: succCount, err: errCount },
    });
  }

  /** What was gained, as rows: one for each node and caller, one for each module. */
  #takeRows(
    atSeconds: number,
    touched: readonly Touched[],
    reports: BucketReports,
  ): Omit<ClosedBucket, "atSeconds"> {
    const gains = new BucketGains(atSeconds, this.#options.rowsMax);
    for (const { module, node, base } of touched) {
      if (!gains.add(module, node, base)) this.#detailDroppedCount++;
      clear(base);
    }
    for (const [key, sum] of gains.sums()) this.#addTotal(key, sum);
    const isKnown = this.#options.keepsReports && reports.isWhole;
    return { rows: gains.rows, kept: gains.kept, ...(isKnown ? { reports } : {}) };
  }

  #addTotal(key: ModuleId, sum: Gain): void {
    const { modId, cmdId } = sum;
    const isKnown = this.#totals.has(key) || this.#totals.size < TOTAL_MODULES_MAX;
    const total = this.#totals.get(isKnown ? key : OTHER_MODULES) ??
      {
        ...(isKnown ? { module: { modId, cmdId } } : {}),
        succ: 0,
        err: 0,
        refused: 0,
        timed: 0,
        timeMs: 0,
      };
    total.succ += sum.succCount;
    total.err += sum.errCount;
    total.refused += sum.refusedCount;
    total.timed += sum.timedCount;
    total.timeMs += sum.timeMsSum;
    this.#totals.set(isKnown ? key : OTHER_MODULES, total);
  }
}

const OTHER_MODULES = "other";

/** The rows of one bucket, added up over connections. */
class BucketGains {
  readonly rows: Gain[] = [];
  readonly kept = new Map<number, Gain[]>();
  readonly #atSeconds: number;
  readonly #rowsMax: number;
  readonly #modules = new Map<ModuleId, ModuleGains>();
  /** Those whose nodes stand in the sum of their module. */
  readonly #weighed = new Set<ModuleNodes>();
  #detailCount = 0;
  #last: { module: ModuleNodes; gains: ModuleGains; nodes: Map<number, Gain> } | undefined;

  constructor(atSeconds: number, rowsMax: number) {
    this.#atSeconds = atSeconds;
    this.#rowsMax = rowsMax;
  }

  /** Sums of the modules. */
  *sums(): Generator<[ModuleId, Gain]> {
    for (const [key, { sum }] of this.#modules) yield [key, sum];
  }

  /** @returns false when there was no room for more than the sum of the module. */
  add(module: ModuleNodes, node: number, base: Baseline): boolean {
    // What is touched together belongs together: the look-up of names is mostly saved.
    const last = this.#last?.module === module ? this.#last : this.#find(module);
    this.#last = last;
    addCounts(last.gains.sum, base);
    if (module.session !== undefined) this.#addKept(module, module.session, node, base);
    // What a sender without an address was refused: a row of its own would have the key of the sum.
    if (node === NO_NODE && module.caller === 0) return true;
    let row = last.nodes.get(node);
    if (row === undefined) {
      if (this.#detailCount >= this.#rowsMax) return false;
      this.#detailCount++;
      row = gain(this.#atSeconds, module.modId, module.cmdId, node, module.caller);
      last.nodes.set(node, row);
      this.rows.push(row);
    }
    addTo(row, base);
    return true;
  }

  #addKept(module: ModuleNodes, session: number, node: number, base: Baseline): void {
    const own = gain(this.#atSeconds, module.modId, module.cmdId, node, module.caller);
    addTo(own, base);
    const known = this.kept.get(session);
    if (known === undefined) this.kept.set(session, [own]);
    else known.push(own);
  }

  #find(
    module: ModuleNodes,
  ): { module: ModuleNodes; gains: ModuleGains; nodes: Map<number, Gain> } {
    const { modId, cmdId, caller } = module;
    const key = moduleId(modId, cmdId);
    let gains = this.#modules.get(key);
    if (gains === undefined) {
      gains = { sum: gain(this.#atSeconds, modId, cmdId, 0, 0), callers: new Map() };
      this.#modules.set(key, gains);
      this.rows.push(gains.sum);
    }
    let nodes = gains.callers.get(caller);
    if (nodes === undefined) gains.callers.set(caller, nodes = new Map());
    if (!this.#weighed.has(module)) {
      this.#weighed.add(module);
      weighNodes(gains.sum, module, this.#atSeconds * 1000);
    }
    return { module, gains, nodes };
  }
}

/**
 * In the sum of a module each node of a caller counts once, as its caller said last: how many are
 * out must not depend on how often somebody speaks of which.
 */
function weighNodes(sum: Gain, { nodes }: ModuleNodes, atMs: number): void {
  for (const [node, { overload, seenMs }] of nodes) {
    if (node === NO_NODE || atMs - seenMs > WEIGHED_AGE_MAX_MS) continue;
    sum.reportCount++;
    if (overload) sum.overloadCount++;
  }
}

/** What a module gained, and its nodes by caller. */
interface ModuleGains {
  readonly sum: Gain;
  readonly callers: Map<number, Map<number, Gain>>;
}

/** Number of the node of a row without one. */
const NO_NODE = 0;

const NO_TOTALS: Totals = { succ: 0, err: 0, timed: 0, timeMs: 0, refused: 0 };

/** True for agents of ours: what they tell grows as long as they live. */
function hasTotals({ succTotal, refused }: CallStatusRow): boolean {
  return succTotal !== undefined || refused !== undefined;
}

function totalsOf(row: TimedStatusRow): Totals {
  if (row.refused !== undefined) return { ...NO_TOTALS, refused: refusedSum(row.refused) };
  const { succTotal, errTotal = row.errCount, timedTotal = 0, timeMsTotal = 0 } = row;
  return succTotal === undefined
    ? { ...NO_TOTALS, succ: row.succCount, err: row.errCount }
    : { succ: succTotal, err: errTotal, timed: timedTotal, timeMs: timeMsTotal, refused: 0 };
}

/** True when all that the agent ever counted is in its first window: it has just started. */
function isNewborn(row: TimedStatusRow): boolean {
  if (row.refused !== undefined) return row.refusedFresh === true;
  return row.succTotal === row.succCount && row.errTotal === row.errCount;
}

type Gain = { -readonly [Name in keyof CallHistoryRow]: CallHistoryRow[Name] };

function gain(
  atSeconds: number,
  modId: number,
  cmdId: number,
  node: number,
  caller: number,
): Gain {
  return {
    modId,
    cmdId,
    ip: Math.floor(node / 65_536),
    port: node % 65_536,
    caller,
    atSeconds,
    succCount: 0,
    errCount: 0,
    reportCount: 0,
    overloadCount: 0,
    timedCount: 0,
    timeMsSum: 0,
    refusedCount: 0,
  };
}

/** What totals gained. One below that before: the agent, or the window of an original one, began anew. */
function gainedSince(base: Totals, now: Totals): Totals {
  const began = now.succ < base.succ || now.err < base.err || now.timed < base.timed ||
    now.timeMs < base.timeMs || now.refused < base.refused;
  return began ? now : {
    succ: now.succ - base.succ,
    err: now.err - base.err,
    timed: now.timed - base.timed,
    timeMs: now.timeMs - base.timeMs,
    refused: now.refused - base.refused,
  };
}

function clear(base: Baseline): void {
  base.touched = false;
  base.succCount =
    base.errCount =
    base.reportCount =
    base.overloadCount =
    base.timedCount =
    base.timeMsSum =
    base.refusedCount =
      0;
}

function addTo(sum: Gain, base: Omit<Baseline, "seenMs">): void {
  addCounts(sum, base);
  sum.reportCount += base.reportCount;
  sum.overloadCount += base.overloadCount;
}

/** The same without what is told of the node itself. */
function addCounts(sum: Gain, base: Omit<Baseline, "seenMs">): void {
  sum.succCount += base.succCount;
  sum.errCount += base.errCount;
  sum.timedCount += base.timedCount;
  sum.timeMsSum += base.timeMsSum;
  sum.refusedCount += base.refusedCount;
}
