// Core. The store over any driver: what to say, when to say it again, and what went wrong.

import { type Clock, sleep } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { StoreCore } from "./console/console_sql_store.ts";
import { partStores } from "./part_stores.ts";
import type {
  CallHistory,
  CallHistoryQuery,
  CallHistoryRow,
  MarkedBucket,
  MarkedOutcome,
  RollUpOptions,
  RollUpResult,
} from "./results/call_history.ts";
import { type Driver, type ScriptMaker, StatementFault, storeErrorOf } from "./drivers/driver.ts";
import { pageRowsOf, PageSize } from "./routes/page_size.ts";
import { type RefusedRow, RowsRefusedError, writeDivided } from "./results/divided_write.ts";
import {
  EVENT_KEEP_S,
  type EventQuery,
  type EventRecord,
  type EventRetention,
  type NewEvent,
} from "./results/event.ts";
import {
  addEventsScript,
  checkEvents,
  pruneEventsScript,
  readEventsScript,
} from "./results/event_scripts.ts";
import {
  CALL_HISTORY_CHUNK_ROWS,
  readCallHistoryScript,
  sortCallHistory,
  writeCallHistoryScript,
} from "./results/history_scripts.ts";
import { rollUpHistory } from "./results/history_roll_up.ts";
import {
  forgetInstanceScript,
  forgetSilentScript,
  heartbeatScript,
  instancesScript,
  sightingsScript,
  sortInstances,
  trimInstancesScript,
} from "./instances/instance_scripts.ts";
import { migrateScript, MIGRATION_ATTEMPTS_MAX, schemaVersionScript } from "./schema/migrations.ts";
import { validateEdits, validateModuleChanges, validateModuleKeys } from "./routes/route_edits.ts";
import { checkVersionScript, exactScript, tellPlan } from "./routes/plan_scripts.ts";
import {
  acceptRestoredScript,
  changedModulesScript,
  confirmRoutesScript,
  editRoutesScript,
  MODULE_PAGE_ROWS,
  modulePageScript,
  moduleRowsScript,
  pingScript,
  readModulesScript,
  routeMarkScript,
  routePageScript,
  setModulesScript,
  wallMsScript,
} from "./routes/route_scripts.ts";
import type { DatabaseState } from "../model/database_state.ts";
import { NewerSchemaError } from "./schema/newer_schema.ts";
import type { SchemaShape } from "./schema/schema_shape.ts";
import { SchemaWatch } from "./schema/schema_watch.ts";
import { chunksOf, type Dialect, type Script } from "./drivers/sql_script.ts";
import type { MarkState } from "./results/mark_state.ts";
import {
  MarkingState,
  pruneMarksScript,
  readMarkStatesScript,
  writeMarkedBucket,
} from "./results/session_marks.ts";
import {
  CALL_STATUS_CHUNK_ROWS,
  pruneRefusedScript,
  pruneStatusScript,
  readCallStatusScript,
  readRefusedScript,
  recentCallersScript,
  refusedTotalsScript,
  sortCallStatus,
  statusModulesScript,
  writeCallStatusScript,
  writeRefusedScript,
} from "./results/status_scripts.ts";
import {
  type CallerQuery,
  type CallStatusFilter,
  type CallStatusRow,
  type EditOptions,
  type EditResult,
  INSTANCE_ROWS_MAX,
  type MigrateResult,
  MODULE_ROWS_MAX,
  type ModuleChange,
  type ModuleRow,
  type RecentCallers,
  type RefusedTotal,
  type RouteEdit,
  type RouteMark,
  type RouteMarkOptions,
  type RouteReadOptions,
  type RouteRow,
  type ServiceInstance,
  type Store,
} from "./store.ts";
import type { ModuleKey } from "../model/module.ts";

/**
 * Attempts at a transaction that the database keeps undoing, and more until half of the query time-out has
 * passed; then the call fails, transient. Edits through two nodes of a cluster undo each other many
 * times where the machine is busy.
 */
const DEADLOCK_ATTEMPTS_MAX = 8;
/** First pause before another attempt, in milliseconds; doubles up to the longest, with jitter. */
const RETRY_PAUSE_MIN_MS = 5;
const RETRY_PAUSE_MAX_MS = 200;
/** The longest of them where somebody else writes, who mostly needs a few milliseconds. */
const BUSY_PAUSE_MAX_MS = 40;
/** Silent instances are looked for once in this time, in milliseconds: an hour. */
const FORGET_SILENT_INTERVAL_MS = 3_600_000;
/** Rows of one statement about other services. */
const SIGHTINGS_CHUNK_ROWS = 200;

/** What a {@linkcode SqlStore} works with. */
export interface SqlStoreOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** How long a busy database is asked again, in milliseconds. */
  readonly queryTimeoutMs: number;
  /** Lets the event loop run what is waiting. */
  readonly yieldToLoop: () => Promise<unknown>;
}

/** The one implementation of {@linkcode Store}; the driver makes the difference. */
export class SqlStore implements Store {
  readonly console: Store["console"];
  readonly leases: Store["leases"];
  readonly mail: Store["mail"];
  readonly #driver: Driver;
  readonly #options: SqlStoreOptions;
  readonly #schema: SchemaWatch;
  #forgotSilentAtMs: number | undefined;
  readonly #marking = new MarkingState();

  constructor(options: SqlStoreOptions) {
    this.#driver = options.driver;
    this.#options = options;
    this.#schema = new SchemaWatch(options);
    const attempt: StoreCore["attempt"] = (action, work) => this.#attempt(action, work);
    const shape = (): Promise<SchemaShape> => this.#schema.current();
    const core = { driver: this.#schema.readingIfNewer(), attempt, shape };
    ({ console: this.console, leases: this.leases, mail: this.mail } = partStores(core));
  }

  get dialect(): Dialect {
    return this.#driver.dialect;
  }

  get label(): string {
    return this.#driver.label;
  }

  routeMark(options?: RouteMarkOptions): Promise<RouteMark> {
    return this.#plain("read the route version", () => routeMarkScript(this.dialect, options));
  }

  changedModules(afterChangeId: number): Promise<ModuleKey[]> {
    return this.#plain("read the changed modules", () => changedModulesScript(afterChangeId));
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options: RouteReadOptions & { pageRows?: number } = {},
  ): Promise<void> {
    const pageRows = pageRowsOf(options.pageRows);
    let delivered = false;
    await this.#attempt("read the routes", async () => {
      const shape = await this.#schema.current();
      await this.#driver.snapshot(async (run) => {
        const plan = await run(() => checkVersionScript(options));
        const pages = new PageSize(pageRows, this.dialect === "sqlite", this.#options.clock);
        let afterId: number | undefined = 0;
        while (afterId !== undefined) {
          const after: number = afterId;
          pages.begin();
          const page = await run(() => routePageScript(shape, after, pages.rows));
          delivered ||= page.rows.length > 0;
          if (page.rows.length > 0) await onRows(page.rows);
          pages.end();
          afterId = page.nextAfterId;
          await this.#options.yieldToLoop();
        }
        tellPlan(options, plan);
      });
    }, () => !delivered);
  }

  readModules(keys: readonly ModuleKey[], options: RouteReadOptions = {}): Promise<RouteRow[]> {
    if (keys.length === 0) return Promise.resolve([]);
    return this.#run(
      "read the routes of some modules",
      (shape) => exactScript(options, () => readModulesScript(shape, keys)),
    );
  }

  async editRoutes(edits: readonly RouteEdit[], options: EditOptions = {}): Promise<EditResult> {
    validateEdits(edits);
    return await this.#edit(
      "edit the routes",
      edits.length,
      (shape) => editRoutesScript(this.dialect, shape, edits, options.meant),
    );
  }

  async confirmRoutes(keys: readonly ModuleKey[]): Promise<EditResult> {
    validateModuleKeys(keys);
    return await this.#edit(
      "confirm the routes",
      keys.length,
      (shape) => confirmRoutesScript(this.dialect, shape, keys),
    );
  }

  moduleRows(
    keys?: readonly ModuleKey[],
    { onPlan: _, ...options }: RouteReadOptions = {},
  ): Promise<ModuleRow[]> {
    return this.#attempt("read the modules", async () => {
      const shape = await this.#schema.current();
      if (keys !== undefined) {
        return await this.#driver.run(function* (): Script<ModuleRow[]> {
          yield* checkVersionScript(options);
          return yield* moduleRowsScript(shape, keys);
        });
      }
      const rows: ModuleRow[] = [];
      while (rows.length < MODULE_ROWS_MAX) {
        const page = await this.#driver.run(() =>
          modulePageScript(this.dialect, shape, rows.at(-1), options)
        );
        for (const row of page) rows.push(row);
        if (page.length < MODULE_PAGE_ROWS[this.dialect]) break;
        await this.#options.yieldToLoop();
      }
      return rows.slice(0, MODULE_ROWS_MAX);
    });
  }

  acceptRestored(): Promise<DatabaseState> {
    const action = "accept the database as it is";
    return this.#transact(action, () => acceptRestoredScript(this.dialect), true);
  }

  async setModules(changes: readonly ModuleChange[]): Promise<EditResult> {
    validateModuleChanges(changes);
    return await this.#edit(
      "set the modules",
      changes.length,
      (shape) => setModulesScript(this.dialect, shape, changes),
    );
  }

  async writeCallStatus(
    rows: readonly CallStatusRow[],
  ): Promise<readonly RefusedRow<CallStatusRow>[]> {
    const sorted = sortCallStatus(rows);
    const nodes = sorted.filter(({ refused }) => refused === undefined);
    const refusals = sorted.filter(({ refused }) => refused !== undefined);
    const bad: RefusedRow<CallStatusRow>[] = [];
    for (const chunk of chunksOf(nodes, CALL_STATUS_CHUNK_ROWS)) {
      bad.push(...await this.#writeDivided("write call results", chunk, writeCallStatusScript));
    }
    for (const chunk of chunksOf(refusals, CALL_STATUS_CHUNK_ROWS)) {
      bad.push(...await this.#writeDivided("write refused calls", chunk, writeRefusedScript));
    }
    return bad;
  }

  recentCallers(query: CallerQuery): Promise<RecentCallers> {
    return this.#run("read who called lately", () => recentCallersScript(query));
  }

  readRefused(): Promise<CallStatusRow[]> {
    return this.#run("read refused calls", readRefusedScript);
  }

  refusedTotals(sinceTs: number): Promise<RefusedTotal[]> {
    return this.#run("add up refused calls", (shape) => refusedTotalsScript(shape, sinceTs));
  }

  async pruneCallStatus(beforeTs: number): Promise<void> {
    const modules = await this.#run("read modules with results", statusModulesScript);
    await this.#run("forget senders", (shape) => pruneMarksScript(shape, beforeTs));
    // Each number by itself: an embedded database deletes on this thread, and others hold locks.
    for (const modId of modules) {
      await this.#run("delete old results", () => pruneStatusScript(modId, beforeTs));
    }
  }

  readCallStatus(filter: CallStatusFilter = {}): Promise<CallStatusRow[]> {
    return this.#run("read call results", (shape) => readCallStatusScript(shape, filter));
  }

  async writeCallHistory(
    source: number,
    rows: readonly CallHistoryRow[],
  ): Promise<readonly RefusedRow<CallHistoryRow>[]> {
    const bad: RefusedRow<CallHistoryRow>[] = [];
    for (const chunk of chunksOf(sortCallHistory(rows), CALL_HISTORY_CHUNK_ROWS)) {
      bad.push(
        ...await this.#writeDivided(
          "write the call history",
          chunk,
          (dialect, shape, some) => writeCallHistoryScript(dialect, shape, source, some),
        ),
      );
    }
    return bad;
  }

  readMarkStates(sessions: readonly number[]): Promise<ReadonlyMap<number, MarkState> | undefined> {
    return this.#run("read how far reports are", (shape) => readMarkStatesScript(shape, sessions));
  }

  async writeMarkedHistory(unsorted: MarkedBucket): Promise<MarkedOutcome> {
    const action = "write the call history";
    const bucket = { ...unsorted, rows: sortCallHistory(unsorted.rows) };
    const { reportMarks } = await this.#attempt(action, () => this.#schema.current());
    const outcome = await writeMarkedBucket(bucket, {
      dialect: this.dialect,
      hasMarks: reportMarks,
      nowS: Math.trunc(this.#options.clock.wallMs() / 1000),
      state: this.#marking,
      transact: (script) => this.#transact(action, script, true),
      writeRows: () => this.writeCallHistory(bucket.source, bucket.rows),
    });
    await this.#options.yieldToLoop();
    return outcome;
  }

  readCallHistory(query: CallHistoryQuery): Promise<CallHistory> {
    const nowS = Math.trunc(this.#options.clock.wallMs() / 1000);
    return this.#run("read the call history", (shape) => readCallHistoryScript(shape, query, nowS));
  }

  rollUpCallHistory(options: RollUpOptions): Promise<RollUpResult> {
    return rollUpHistory(this.dialect, options, async (script) => {
      const result = await this.#transact("roll the call history up", script, false);
      await this.#options.yieldToLoop();
      return result;
    });
  }

  async addEvents(events: readonly NewEvent[]): Promise<void> {
    const values = checkEvents(events);
    if (values.length === 0) return;
    await this.#transact("store events", (shape) => addEventsScript(shape, values), false);
  }

  readEvents(query: EventQuery = {}): Promise<EventRecord[]> {
    return this.#run("read events", (shape) => readEventsScript(shape, query));
  }

  async pruneEvents(retention: EventRetention): Promise<void> {
    await this.#run("delete old events", (shape) => pruneEventsScript(shape, retention));
    const { nowMs, keepSeconds = EVENT_KEEP_S } = retention;
    const beforeTs = Math.floor(nowMs / 1000 - keepSeconds);
    await this.#run("delete old refusals", (shape) => pruneRefusedScript(shape, beforeTs));
  }

  async heartbeat(instance: ServiceInstance): Promise<void> {
    const script = (shape: SchemaShape): Script<void> =>
      heartbeatScript(this.dialect, shape, instance);
    await this.#run("write a sign of life", script);
    await this.#forgetSilent(instance.seenAt);
  }

  async sightings(instances: readonly ServiceInstance[]): Promise<void> {
    for (const chunk of chunksOf(sortInstances(instances), SIGHTINGS_CHUNK_ROWS)) {
      await this.#run(
        "write which agents are alive",
        (shape) => sightingsScript(this.dialect, shape, chunk),
      );
      await this.#options.yieldToLoop();
    }
    for (const kind of new Set(instances.map((instance) => instance.kind))) {
      await this.#plain(
        "forget what is too much",
        () => trimInstancesScript(kind, INSTANCE_ROWS_MAX),
      );
    }
  }

  async #forgetSilent(nowS: number): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const lastMs = this.#forgotSilentAtMs;
    if (lastMs !== undefined && nowMs - lastMs < FORGET_SILENT_INTERVAL_MS) return;
    this.#forgotSilentAtMs = nowMs;
    await this.#plain("forget silent services", () => forgetSilentScript(nowS));
  }

  forgetInstance(kind: ServiceInstance["kind"], address: string): Promise<void> {
    return this.#run("forget a service", (shape) => forgetInstanceScript(shape, kind, address));
  }

  instances(kinds?: readonly ServiceInstance["kind"][]): Promise<ServiceInstance[]> {
    return this.#run("read the services", (shape) => instancesScript(shape, kinds));
  }

  schemaVersion(): Promise<number> {
    return this.#plain("read the schema version", () => schemaVersionScript(this.dialect));
  }

  async wallMs(): Promise<number | undefined> {
    if (this.dialect === "sqlite") return undefined;
    return await this.#plain("read the time", wallMsScript);
  }

  newerSchema(): Promise<string | undefined> {
    return this.#attempt("read the schema version", () => this.#schema.newer());
  }

  async migrate(): Promise<MigrateResult> {
    this.#schema.forget();
    const newer = await this.newerSchema();
    if (newer !== undefined) throw new NewerSchemaError(`Nothing was migrated: ${newer}`);
    try {
      return await this.#attempt(
        "migrate the schema",
        () => this.#driver.migrate(() => migrateScript(this.dialect)),
        undefined,
        MIGRATION_ATTEMPTS_MAX,
      );
    } finally {
      this.#schema.forget();
    }
  }

  async ping(): Promise<void> {
    await this.#attempt("reach the database", async () => {
      try {
        await this.#driver.run(pingScript);
      } catch (error) {
        // Without tables it answers all the same.
        if (!(error instanceof StatementFault) || error.kind !== "schema") throw error;
      }
    });
  }

  close(): Promise<void> {
    return this.#driver.close();
  }

  /** Runs a script that needs no table of ours. */
  #plain<T>(action: string, makeScript: ScriptMaker<T>): Promise<T> {
    return this.#attempt(action, () => this.#driver.run(makeScript));
  }

  #run<T>(action: string, script: (shape: SchemaShape) => Script<T>): Promise<T> {
    return this.#attempt(action, async () => {
      const shape = await this.#schema.current();
      return await this.#driver.run(() => this.#schema.checked(shape, script(shape)));
    });
  }

  #transact<T>(
    action: string,
    script: (shape: SchemaShape) => Script<T>,
    durable: boolean,
  ): Promise<T> {
    return this.#attempt(action, async () => {
      const shape = await this.#schema.current();
      return await this.#driver.transact(() => this.#schema.checked(shape, script(shape)), {
        durable,
      });
    });
  }

  /** An edit of `count` things; of none only the version is read. */
  async #edit(
    action: string,
    count: number,
    script: (shape: SchemaShape) => Script<EditResult>,
  ): Promise<EditResult> {
    if (count === 0) return { changed: [], version: (await this.routeMark()).version };
    return await this.#transact(action, script, true);
  }

  /**
   * Writes one chunk, without the rows that are refused. Before any is, the columns are looked at
   * again: somebody may have changed their types.
   */
  async #writeDivided<Row>(
    action: string,
    chunk: readonly Row[],
    script: (dialect: Dialect, shape: SchemaShape, rows: readonly Row[]) => Script<void>,
  ): Promise<RefusedRow<Row>[]> {
    const write = (rows: readonly Row[]): Promise<void> =>
      this.#writeRows(action, (shape) => script(this.dialect, shape, rows));
    try {
      await write(chunk);
      return [];
    } catch (error) {
      if (!(error instanceof RowsRefusedError)) throw error;
      this.#schema.forget();
      return await writeDivided(chunk, write);
    }
  }

  /** Writes one chunk of many rows; others get their turn after it. */
  async #writeRows(action: string, script: (shape: SchemaShape) => Script<void>): Promise<void> {
    // In MySQL each statement is a transaction of its own, so it holds its locks for less.
    if (this.dialect === "mysql") await this.#run(action, script);
    else await this.#transact(action, script, false);
    await this.#options.yieldToLoop();
  }

  /**
   * Runs `work`, again after faults that another attempt may mend.
   *
   * @throws {StoreError} in place of every fault; other errors pass through.
   */
  async #attempt<T>(
    action: string,
    work: () => Promise<T>,
    mayRepeat: () => boolean = () => true,
    attemptsMax = DEADLOCK_ATTEMPTS_MAX,
  ): Promise<T> {
    const startMs = this.#options.clock.nowMs();
    let sawSchemaFault = false;
    for (let attempt = 1;; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof StatementFault)) throw error;
        const waitedMs = this.#options.clock.nowMs() - startMs;
        const again = mayRepeat() && (
          error.kind === "deadlock" &&
            (attempt < attemptsMax || waitedMs < this.#options.queryTimeoutMs / 2) ||
          error.kind === "busy" && waitedMs < this.#options.queryTimeoutMs ||
          error.kind === "schema" && !sawSchemaFault
        );
        if (!again) throw this.#storeError(action, error);
        if (error.kind === "schema") {
          sawSchemaFault = true;
          this.#schema.forget();
          continue;
        }
        this.#options.log.debug("Trying again", { store: this.label, action, attempt });
        await this.#pause(attempt, error.kind === "busy" ? BUSY_PAUSE_MAX_MS : RETRY_PAUSE_MAX_MS);
      }
    }
  }

  #pause(attempt: number, longestMs: number): Promise<void> {
    const fullMs = Math.min(RETRY_PAUSE_MIN_MS * 2 ** (attempt - 1), longestMs);
    return sleep(this.#options.clock, fullMs * (0.5 + this.#options.rng.next() / 2));
  }

  #storeError(action: string, fault: StatementFault): StoreError {
    const hint = fault.kind === "schema" ? " (are the migrations applied?)" : "";
    if (fault.kind === "rows") {
      const message = `Could not ${action} in ${this.label}: ${messageOf(fault)}`;
      return new RowsRefusedError(message, { cause: fault.cause ?? fault });
    }
    return storeErrorOf(fault, (words) => `Could not ${action} in ${this.label}: ${words}${hint}`);
  }
}
