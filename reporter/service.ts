// Shell. The reporter service: call results of agents into the database.

import { formatAddress, formatIpv4 } from "../reactor/address.ts";
import { HashRing } from "../balancer/picking/hash_ring.ts";
import { METRICS_PORTS } from "../daemon/settings/common_settings.ts";
import type { DaemonContext, DaemonDefinition } from "../daemon/daemon.ts";
import { ConfigError, messageOf, StoreError } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { FileLock } from "../reactor/runtime/types.ts";
import { setRepeating } from "../reactor/time/clock.ts";
import type { Metric } from "../daemon/monitor/metrics_text.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { reachableAddress } from "../daemon/reachable_address.ts";
import { seqsOf } from "../sql/results/mark_state.ts";
import { type CallStatusRow, openStore, type ServiceInstance, type Store } from "../sql/mod.ts";
import { endsWithin } from "../service/store_health.ts";
import { LoopService, startService } from "../service/store_service.ts";
import { moduleMetrics } from "./metrics.ts";
import { ModuleNames } from "./module_names.ts";
import { reporterSettings } from "./config.ts";
import {
  type HistoryLeft,
  type HistoryRetention,
  HistoryWriter,
  type HistoryWriterOptions,
} from "./history_writer.ts";
import {
  ReportLoop,
  type ReportLoopInit,
  type ReportNote,
  type ReportTask,
} from "./report_loop.ts";
import { type KeptRow, type ReportedRow, unpackRows } from "./report_rows.ts";
import { ConfirmRounds, KeptSessions, type ResultKeeper } from "./kept_sessions.ts";
import { ReportSpool } from "./spool/report_spool.ts";
import { SpoolFolder } from "./spool/spool_files.ts";
import { lockSpool } from "./spool/spool_lock.ts";
import type { WaitingStatus } from "./status_columns.ts";
import { StoreQueue, type StoreQueueStats } from "./store_queue.ts";
import { type ModuleKey, modulePair } from "../model/module.ts";
import { callsId, nodeText } from "../model/node.ts";
import type { RefusedRow } from "../sql/results/divided_write.ts";

/** Time that a stop gives the loops to hand over what they have read. */
const LOOPS_CLOSE_MS = 400;

/** Time that a stop gives the queues to write out what they hold. */
const FLUSH_LIMIT_MS = 800;

/** What the queues, and the disk, may take beyond it. */
const FLUSH_GRACE_MS = 300;

/** Time that a start waits for what the database holds of the time before. */
const ADOPT_LIMIT_MS = 1_000;

/** A reporter that was seen within this time may be alive, in seconds. */
const OTHER_REPORTER_S = 60;

/** Time between two looks at what is stored, where no history is kept. */
const CONFIRM_ROUND_MS = 1_000;

/** Time that a stop waits for the database to close. */
const STORE_CLOSE_MS = 200;

type ReporterSettings = SettingsOf<typeof reporterSettings>;

type SessionNote = Extract<ReportNote, { readonly type: "session" }>;

/** See the file's first line. */
export class ReporterService extends LoopService<
  ReporterSettings,
  ReportLoopInit,
  ReportTask,
  ReportNote
> {
  readonly name = "reporter";
  readonly #stores: Stores;
  readonly #sessions: KeptSessions;
  readonly #history: HistoryWriter | undefined;
  readonly #names: ModuleNames | undefined;
  readonly #queues: readonly StoreQueue[];
  readonly #ring: HashRing;
  /** Queues whose last write failed: the database is back when there is none. */
  readonly #failing = new Set<number>();
  readonly #refusedLimiter: LogRateLimiter;
  /** Rows that the last flush could not write. */
  #lostCount = 0;
  #spool: ReportSpool | undefined;
  #spoolLock: FileLock | undefined;
  /** What has come while results of an earlier run wait, which are older. */
  readonly #newer = new Set<string>();
  readonly #newerMax: number;
  /** How often a loop was replaced: its successor counts connections from the start again. */
  readonly #loopStarts = new Map<number, number>();

  constructor(settings: ReporterSettings, context: DaemonContext, stores: Stores) {
    super(context, stores.queues[0], "keeping the latest results in memory");
    const { clock, rng, log } = context;
    this.#stores = stores;
    this.#newerMax = settings.keysMax * stores.queues.length;
    this.#refusedLimiter = new LogRateLimiter(clock);
    const all = new Set([...stores.queues, stores.history]);
    this.onStop(0, () => this.#spoolLock?.unlock());
    this.onStop(STORE_CLOSE_MS, ...[...all].map((store) => () => store.close()));
    this.onStop(FLUSH_LIMIT_MS + FLUSH_GRACE_MS, () => this.#flush());
    this.#queues = stores.queues.map((store, index) =>
      new StoreQueue({
        store,
        clock,
        rng,
        keysMax: settings.keysMax,
        flushIntervalMs: settings.flushIntervalMs,
        onOutcome: (error) => this.#noteOutcome(index, error),
        onRefused: (rows) => this.#noteRefused(rows),
      })
    );
    this.#ring = new HashRing(stores.queues.map((_, index) => `queue ${index}`));
    this.#sessions = this.#makeSessions(settings.history);
    const divide = (): () => boolean => this.#divide();
    if (!settings.history) {
      const rounds = new ConfirmRounds({ sessions: this.#progress, divide });
      const timer = setRepeating(clock, CONFIRM_ROUND_MS, () => rounds.tick());
      this.onStop(0, () => timer.cancel());
      return;
    }
    this.#history = new HistoryWriter({
      store: stores.history,
      clock,
      rng,
      log,
      keysMax: settings.keysMax,
      retention: retentionOf(settings),
      sessions: this.#progress,
      divide,
      recounts: {
        note: (session) => this.#spool?.note(session),
        run: async () => await this.#spool?.run(),
      },
    });
    this.#names = new ModuleNames({
      ...{ store: stores.history, clock, log },
      modules: () => this.#history?.callTotals().flatMap(({ module }) => module ?? []) ?? [],
    });
  }

  /** How far senders, and the spool, are. */
  readonly #progress: HistoryWriterOptions["sessions"] = {
    take: (session, seq) => this.#sessions.take(session, seq),
    again: (session) => this.#sessions.again(session),
    noteElsewhere: (session, seq) => this.#sessions.noteElsewhere(session, seq),
    closeOf: (some) => this.#sessions.closeOf(some),
    keeperOf: (session) => this.#sessions.keeperOf(session),
    standing: (session) => this.#sessions.standing(session),
    close: () => [...this.#sessions.close(), ...this.#spool?.close() ?? []],
    noteStored: (marks) => {
      this.#sessions.noteStored(marks);
      this.#spool?.noteStored(marks);
    },
  };

  #makeSessions(history: boolean): KeptSessions {
    const sessions = new KeptSessions({
      clock: this.context.clock,
      // Without a history nothing counts twice: whatever is kept may come again.
      lookUp: async (some) =>
        history ? seqsOf(await this.#stores.history.readMarkStates(some)) : new Map(),
      tell: ({ loop, peer }, answer) => this.loops?.send(loop, { type: "stored", peer, answer }),
      sendAgain: ({ loop, peer }) => this.loops?.send(loop, { type: "again", peer }),
      onForgotten: (session) => this.#history?.dropKept(session),
      isSpooling: () => this.#spool?.isTaking === true,
      onJump: () => this.#history?.closeBucket(),
    });
    this.onStop(0, () => sessions.stop());
    return sessions;
  }

  /** Divides results that have come from those that come. @returns whether those before are in SQL. */
  #divide(): () => boolean {
    const areWritten = this.#areWritten();
    // What was before goes first.
    return () => this.#spool?.isReplayed !== false && areWritten();
  }

  async start(settings: ReporterSettings): Promise<void> {
    await this.#openSpool(settings);
    await this.startLoops(settings, {
      make: (init, around) => new ReportLoop(init, around),
      entry: new URL("./reporter_loop.ts", import.meta.url),
      init: { keysMax: settings.keysMax, inWorker: settings.loopCount > 1 },
      onNote: (note, loop) => this.#onNote(note, loop),
      onGone: (loop) => {
        this.#history?.dropAll(this.#peerPrefix(loop));
        this.#sessions.loopGone(loop);
        this.#loopStarts.set(loop, (this.#loopStarts.get(loop) ?? 0) + 1);
      },
      closeMs: LOOPS_CLOSE_MS,
    });
    await this.#startHistory(settings);
    const address = await this.listen(settings.listenPort);
    // Not before: whoever has the port has the spool.
    void this.#spool?.replay(() => this.#areWritten());
    this.signIn("reporter", address, () => this.#detail());
    this.onStop(0, () => this.#sessions.leave());
  }

  /** Reads what an earlier run has left. @throws {ConfigError} when its folder cannot be read. */
  async #openSpool(settings: ReporterSettings): Promise<void> {
    const { clock, rng, log } = this.context;
    const { spoolDir, spoolBytesMax, keysMax, history, listenPort } = settings;
    if (spoolDir === "") return;
    const label = `${spoolDir}/reporter-${listenPort}`;
    const disk = new SpoolFolder(label);
    await disk.list().catch((error: unknown) => {
      const reason = messageOf(error);
      throw new ConfigError(`[reporter] spool_dir cannot be used: ${reason}`, { cause: error });
    });
    this.#spoolLock = await lockSpool(label, { clock, log });
    this.#spool = await ReportSpool.open({
      ...{ disk, clock, rng, log, label, keysMax, history },
      ...{ store: this.#stores.history, bytesMax: spoolBytesMax, sessions: this.#sessions },
      onLeftRows: (rows) => this.#spread(rows.filter((row) => !this.#newer.has(callsId(row)))),
    });
  }

  /** Whether the results that have come up to now are in the database. */
  #areWritten(): () => boolean {
    const divisions = this.#queues.map((queue) => queue.divide());
    return () => this.#queues.every((queue, index) => queue.isWritten(divisions[index]));
  }

  /**
   * Before anything can arrive: what was reported before this start is in the database. With
   * another reporter about, its agents may come here later with calls that it has counted, so then
   * nothing is taken over.
   */
  async #startHistory({ listenIp, listenPort }: ReporterSettings): Promise<void> {
    const history = this.#history;
    if (history === undefined) return;
    const { clock } = this.context;
    const store = this.#stores.history;
    const own = reachableAddress(formatAddress({ hostname: listenIp, port: listenPort }));
    const isOther = ({ address, seenAt }: ServiceInstance): boolean =>
      address !== own && seenAt > clock.wallMs() / 1000 - OTHER_REPORTER_S;
    let stored: readonly CallStatusRow[] = [];
    const reading = async (): Promise<void> => {
      if ((await store.instances(["reporter"])).some(isOther)) return;
      // What is on disk is newer, and counts from there.
      const left = this.#spool?.leftRows ?? [];
      stored = [...await store.readRefused(), ...await store.readCallStatus(), ...left];
    };
    await endsWithin(clock, ADOPT_LIMIT_MS, reading());
    history.start(stored);
    this.#names?.start();
    this.onStop(0, () => this.#names?.stop());
  }

  stats(): Record<string, number | string> {
    const queues = this.#queueStats();
    return {
      ...this.loopStats(),
      queues: this.#queues.length,
      rows_waiting: queues.waiting,
      rows_written: queues.written,
      rows_replaced: queues.replaced,
      rows_refused: queues.refused,
      rows_bad: queues.bad,
      writes: queues.writes,
      write_failures: queues.failures,
      loop_errors: this.loopErrorCount,
      ...this.#sessions.stats,
      ...this.#history?.stats,
      ...this.#spool?.stats,
      ...this.health.stats(),
    };
  }

  /** Results are kept in memory meanwhile, but only for so long. */
  readiness(): string | undefined {
    return this.health.up ? undefined : "the database does not take results";
  }

  override metrics(): Metric[] {
    const nameOf = (module: ModuleKey): string | undefined => this.#names?.nameOf(module);
    return moduleMetrics(this.#history?.callTotals() ?? [], nameOf);
  }

  reload(settings: ReporterSettings): void {
    for (const queue of this.#queues) queue.setFlushInterval(settings.flushIntervalMs);
    this.#history?.setRetention(retentionOf(settings));
  }

  /** Writes out what has arrived, and says what the database took no more. */
  async #flush(): Promise<void> {
    const { clock } = this.context;
    const endMs = clock.nowMs() + FLUSH_LIMIT_MS;
    const [left] = await Promise.all([
      Promise.all(this.#queues.map((queue) => queue.stop(FLUSH_LIMIT_MS))),
      this.#spool?.flush(),
    ]);
    // After the results, whose place in the history it marks.
    const history = await this.#history?.stop(Math.max(0, endMs - clock.nowMs())) ??
      { lost: 0, unsure: 0 };
    const isOnDisk = await this.#spool?.end() === true;
    this.#noteLeft(left.flat(), history, isOnDisk);
  }

  /** Says what of results and history is not in the database, and who has it. */
  #noteLeft(left: readonly WaitingStatus[], history: HistoryLeft, isOnDisk: boolean): void {
    const { log } = this.context;
    if (isOnDisk) {
      const rows = left.length + history.lost + history.unsure;
      if (rows > 0) log.info("Results are left in the spool, for the next start", { rows });
      return;
    }
    const counts: Record<ResultKeeper, number> = { sender: 0, spool: 0, gone: 0, ended: 0 };
    for (const { keptBy } of left) {
      counts[keptBy === undefined ? "ended" : this.#sessions.keeperOf(keptBy)]++;
    }
    const { sender, spool, gone, ended } = counts;
    if (ended > 0) log.error("Results lost: the database took no more", { rows: ended });
    if (gone + history.unsure > 0) {
      log.warn("Results may be lost: their senders have gone, and have them if they still live", {
        ...{ rows: gone, history: history.unsure },
      });
    }
    if (sender > 0) log.info("Results are left to their senders, who keep them", { rows: sender });
    if (spool > 0) log.info("Results are left in the spool, for the next start", { rows: spool });
    this.#lostCount = ended + history.lost;
    if (history.lost > 0) log.error("Call history lost", { rows: history.lost });
  }

  /** @throws {StoreError} when the database took no more: then the process ends with 1. */
  override async stop(): Promise<void> {
    await super.stop();
    if (this.#lostCount === 0) return;
    throw new StoreError(
      `${this.#lostCount} rows of results and history are lost: the database took no more`,
      true,
    );
  }

  /** Which rows they are is told ten times a second at most. */
  #noteRefused(rows: readonly RefusedRow<CallStatusRow>[]): void {
    for (const { row, reason } of rows) {
      const held = this.#refusedLimiter.admit("refused");
      if (held === undefined) continue;
      const caller = formatIpv4(row.caller);
      this.context.log.error("A result is lost: the database refuses it for what is in it", {
        ...{ row: nodeText(row), caller, reason },
        ...held,
      });
    }
  }

  #onNote(note: ReportNote, loop: number): void {
    if (note.type === "gone") {
      this.#history?.drop(`${this.#peerPrefix(loop)}${note.peer}`);
      this.#sessions.gone({ loop, peer: note.peer });
    } else if (note.type === "session") {
      this.#openSession(note, loop);
    } else if (note.type === "rows") {
      this.#take(note.rows, loop);
    } else {
      this.#take(unpackRows(note.packed), loop);
      this.loops?.send(loop, { type: "received" });
    }
  }

  #openSession({ peer, session, stored, leaving }: SessionNote, loop: number): void {
    // Who asks again over the same connection goes on with it, and has sent nothing else since.
    const isOpen = this.#sessions.isOpen(session, { loop, peer });
    if (!isOpen) this.#history?.leaveOut(`${this.#peerPrefix(loop)}${peer}`);
    if (!leaving || !isOpen) this.#sessions.open(session, { loop, peer }, stored);
    if (!leaving) return;
    this.#sessions.noteLeaving(session);
    this.#history?.writeOut(session);
  }

  #peerPrefix(loop: number): string {
    return `${loop}.${this.#loopStarts.get(loop) ?? 0}:`;
  }

  /** Rows of one connection, and of one report that its sender keeps, come together. */
  #take(rows: readonly ReportedRow[], loop: number): void {
    if (this.#spool?.isReplayed === false) this.#noteNewer(rows);
    else this.#newer.clear();
    const prefix = this.#peerPrefix(loop);
    let start = 0;
    while (start < rows.length) {
      const { peer, kept, again } = rows[start];
      let end = start + 1;
      while (end < rows.length && isSameReport(rows[end], rows[start])) end++;
      const same = start === 0 && end === rows.length ? rows : rows.slice(start, end);
      if (kept === undefined) {
        this.#spread(same);
        const gains = again === true ? undefined : this.#history?.add(`${prefix}${peer}`, same);
        this.#spool?.add(same, gains);
      } else {
        this.#takeKept(kept, same);
      }
      start = end;
    }
  }

  /** As many as the queues hold: beyond them a result of an earlier run may stand for a moment. */
  #noteNewer(rows: readonly ReportedRow[]): void {
    for (const row of rows) if (this.#newer.size < this.#newerMax) this.#newer.add(callsId(row));
  }

  #takeKept(kept: KeptRow, rows: readonly ReportedRow[]): void {
    const { session, seq } = kept;
    const isNew = this.#history?.addKept(kept, rows) ?? this.#sessions.take(session, seq);
    if (!isNew) return;
    if (this.#spread(rows)) {
      this.#spool?.keep(kept, rows);
      return;
    }
    // No room: what is not held here cannot be told as stored, so its sender has to keep it.
    if (this.#history === undefined) this.#sessions.again(session);
    else this.#history.sendAgain(session);
  }

  /**
   * Rows of one module always go to the same queue, so that queues never meet in one row.
   *
   * @returns false when some found no room.
   */
  #spread(rows: readonly CallStatusRow[]): boolean {
    let modId = -1;
    let cmdId = -1;
    let queue = this.#queues[0];
    let isWhole = true;
    for (const row of rows) {
      if (this.#queues.length > 1 && (row.modId !== modId || row.cmdId !== cmdId)) {
        ({ modId, cmdId } = row);
        queue = this.#queues[this.#ring.pick(modulePair({ modId, cmdId }))];
      }
      if (queue.add(row) === "refused") isWhole = false;
    }
    return isWhole;
  }

  #noteOutcome(queue: number, error: unknown): void {
    if (error !== undefined) {
      this.#failing.add(queue);
      this.health.failed(error);
      return;
    }
    this.#failing.delete(queue);
    if (this.#failing.size === 0) this.health.succeeded();
  }

  #queueStats(): StoreQueueStats {
    const sum = { waiting: 0, written: 0, writes: 0, failures: 0, replaced: 0, refused: 0, bad: 0 };
    for (const { stats } of this.#queues) {
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += stats[name];
    }
    return sum;
  }

  #detail(): Record<string, number | string> {
    const queues = this.#queueStats();
    const loops = this.loopStats();
    return {
      connections: loops.connections ?? 0,
      hostsRefused: loops.hosts_refused_lately ?? 0,
      reports: loops.reports ?? 0,
      rows_written: queues.written,
      rows_waiting: queues.waiting,
      rows_refused: queues.refused,
    };
  }
}

function isSameReport(row: ReportedRow, { peer, kept, again }: ReportedRow): boolean {
  return kept === undefined
    ? row.peer === peer && row.kept === undefined && row.again === again
    : row.kept?.session === kept.session && row.kept.seq === kept.seq;
}

/** One store for each queue, and one for the history, which may be one of them. */
interface Stores {
  readonly queues: readonly Store[];
  readonly history: Store;
}

/** SQLite lets one writer in at a time, so there one store is enough for all. */
async function openStores(url: string, queueCount: number, log: Logger): Promise<Stores> {
  // The second connection is for signs of life while a write is under way.
  const open = (): Promise<Store> => openStore(url, { log, connectionsMax: 2 });
  const queues = [await open()];
  if (queues[0].dialect === "sqlite") return { queues, history: queues[0] };
  while (queues.length < queueCount) queues.push(await open());
  return { queues, history: await open() };
}

function retentionOf(settings: ReporterSettings): HistoryRetention {
  return {
    keepSeconds: {
      10: settings.historyKeepMs / 1000,
      60: settings.historyKeepMinutesMs / 1000,
      3600: settings.historyKeepHoursMs / 1000,
    },
    eventKeepSeconds: settings.eventKeepMs / 1000,
  };
}

/** The service that writes what agents report into the database. */
export const reporterDaemon: DaemonDefinition<typeof reporterSettings> = {
  name: "reporter",
  summary: "Writes the call results that agents report into the database.",
  settings: reporterSettings,
  originalConfig: "./conf/lars_reporter.conf",
  monitor: {
    port: METRICS_PORTS.reporter,
    loadTable: async () => (await import("./metrics.ts")).reporterMetrics,
  },
  start: (settings, context) =>
    startService(
      settings,
      (url) => openStores(url, settings.queueCount, context.log),
      (stores) => new ReporterService(settings, context, stores),
    ),
};
