// Shell. Agents, two reporters with spools and a database under virtual time, of which any may be lost.

import { StoreError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { type Rng, seededRng } from "../../reactor/time/rng.ts";
import type { ReportsStored } from "../../proto/codec.ts";
import {
  HISTORY_KEEP_S,
  type MarkedBucket,
  type MarkedOutcome,
  type MovedSession,
} from "../../sql/results/call_history.ts";
import { afterRanges, type MarkState, NO_MARK, seqsOf } from "../../sql/results/mark_state.ts";
import { HistoryWriter } from "../history_writer.ts";
import { KeptSessions } from "../kept_sessions.ts";
import type { ReportedRow } from "../report_rows.ts";
import { ReportSpool } from "../spool/report_spool.ts";
import { FakeDisk } from "./fake_disk.ts";

/** What a database does with the next statements. */
type DatabaseState = "up" | "away" | "forgetful";

/** Marks and counts, written together or not at all. */
export class LabDatabase {
  readonly marks = new Map<number, MarkState>();
  /** Times that each report counts, by sender and number. */
  readonly counts = new Map<string, number>();
  /** `forgetful`: it does as told, and the answer is lost. */
  state: DatabaseState = "up";

  readMarkStates(sessions: readonly number[]): Promise<Map<number, MarkState>> {
    if (this.state !== "up") return Promise.reject(new StoreError("away", true));
    return Promise.resolve(
      new Map(sessions.flatMap((one) => {
        const state = this.marks.get(one);
        return state === undefined ? [] : [[one, state] as const];
      })),
    );
  }

  writeMarkedHistory({ rows, marks, writer, number }: MarkedBucket): Promise<MarkedOutcome> {
    if (this.state === "away") return Promise.reject(new StoreError("away", true));
    const answer = (moved: MovedSession[]): Promise<MarkedOutcome> =>
      this.state === "up"
        ? Promise.resolve({ moved, bad: [] })
        : Promise.reject(new StoreError("answer lost", true));
    if ((this.marks.get(writer)?.seq ?? 0) >= number) return answer([]);
    const sessions = [...new Set(marks.map(({ session }) => session))];
    const after = sessions.map((session) =>
      afterRanges(
        this.marks.get(session) ?? NO_MARK,
        marks.filter((mark) => mark.session === session),
      )
    );
    const moved = sessions.filter((_, i) => after[i] === undefined)
      .map((session) => ({ session, state: this.marks.get(session) ?? NO_MARK }));
    if (moved.length > 0) return answer(moved);
    for (const [i, session] of sessions.entries()) this.marks.set(session, after[i] ?? NO_MARK);
    this.marks.set(writer, { seq: number, gaps: [] });
    for (const { caller, port, succCount } of rows) {
      if (port === 0) continue;
      const key = `${caller} ${port}`;
      this.counts.set(key, (this.counts.get(key) ?? 0) + succCount);
    }
    return answer([]);
  }
}

/** One run of a reporter. */
class LabReporter {
  isAlive = true;
  readonly sessions: KeptSessions;
  readonly history: HistoryWriter;
  spool: ReportSpool | undefined;

  constructor(lab: SpoolLab, rng: Rng) {
    const { clock, database } = lab;
    const never = new Promise<never>(() => {});
    const asLiving = <T>(work: () => Promise<T>): Promise<T> => this.isAlive ? work() : never;
    const store = {
      readMarkStates: (some: readonly number[]) => asLiving(() => database.readMarkStates(some)),
      writeMarkedHistory: (bucket: MarkedBucket) =>
        asLiving(() => database.writeMarkedHistory(bucket)),
    };
    const sessions = this.sessions = new KeptSessions({
      clock,
      lookUp: async (some) => seqsOf(await store.readMarkStates(some)),
      tell: ({ peer }, answer) => lab.tell(this, peer, answer),
      sendAgain: ({ peer }) => lab.hangUp(this, peer),
      onForgotten: (session) => this.history.dropKept(session),
      isSpooling: () => this.spool?.isTaking === true,
      onJump: () => this.history.closeBucket(),
    });
    this.history = new HistoryWriter({
      store: {
        writeMarkedHistory: store.writeMarkedHistory,
        writeCallHistory: () => Promise.resolve([]),
        rollUpCallHistory: () => Promise.resolve({ windowCount: 0, deletionCount: 0 }),
        addEvents: () => Promise.resolve(),
        pruneEvents: () => Promise.resolve(),
        pruneCallStatus: () => Promise.resolve(),
      },
      ...{ clock, rng, log: silentLogger, keysMax: 100_000 },
      retention: { keepSeconds: HISTORY_KEEP_S, eventKeepSeconds: 3600 },
      sessions: {
        take: (session, seq) => sessions.take(session, seq),
        again: (session) => sessions.again(session),
        noteElsewhere: (session, seq) => sessions.noteElsewhere(session, seq),
        closeOf: (some) => sessions.closeOf(some),
        standing: (session) => sessions.standing(session),
        keeperOf: (session) => sessions.keeperOf(session),
        close: () => [...sessions.close(), ...this.spool?.close() ?? []],
        noteStored: (marks) => {
          sessions.noteStored(marks);
          this.spool?.noteStored(marks);
        },
      },
      divide: () => () => this.spool?.isReplayed !== false,
      recounts: {
        note: (session) => this.spool?.note(session),
        run: async () => await this.spool?.run(),
      },
    });
    this.#opening = ReportSpool.open({
      ...{ store, clock, rng, log: silentLogger, sessions, label: "lab", history: true },
      ...{ disk: lab.diskOf(this), bytesMax: lab.spoolBytesMax, keysMax: 100_000 },
      onLeftRows: () => {},
    });
  }

  readonly #opening: Promise<ReportSpool>;

  async start(): Promise<void> {
    this.spool = await this.#opening;
    this.history.start([]);
    void this.spool.replay(() => () => true);
  }

  async stop(): Promise<void> {
    await this.spool?.flush();
    await this.history.stop(800);
    await this.spool?.end();
  }

  take(row: ReportedRow): void {
    const { kept } = row;
    if (kept === undefined || this.spool === undefined) return;
    if (this.history.addKept(kept, [row])) this.spool.keep(kept, [row]);
  }
}

/** A sender that keeps its reports until it is told that they are kept elsewhere. */
class LabAgent {
  readonly session: number;
  readonly caller: number;
  isAlive = true;
  last = 0;
  confirmed = 0;
  at: { readonly reporter: LabReporter; readonly peer: number } | undefined;
  /** All up to this was sent over this connection; undefined: nobody has said where to begin. */
  sent: number | undefined;

  constructor(caller: number) {
    this.caller = caller;
    this.session = 1_000 + caller;
  }
}

/** All of them. */
export class SpoolLab {
  readonly clock = new ManualClock(0, 1_700_000_000_000);
  readonly database = new LabDatabase();
  readonly disks = [new FakeDisk(), new FakeDisk()];
  readonly agents: LabAgent[] = [];
  readonly spoolBytesMax: number;
  readonly #rng = seededRng(5);
  readonly #reporters: (LabReporter | undefined)[] = [undefined, undefined];
  #peers = 0;

  constructor(spoolBytesMax = 1e8) {
    this.spoolBytesMax = spoolBytesMax;
    for (let i = 0; i < 3; i++) this.agents.push(new LabAgent(this.agents.length + 1));
    this.startReporter(0);
    this.startReporter(1);
  }

  diskOf(reporter: LabReporter): ReturnType<FakeDisk["handle"]> {
    const at = this.#starting;
    return this.disks[at].handle(() => reporter.isAlive, () => this.#rng.next());
  }

  #starting = 0;

  startReporter(at: number): void {
    this.#starting = at;
    const reporter = new LabReporter(this, this.#rng);
    this.#reporters[at] = reporter;
    void reporter.start();
  }

  /** With all that it has not written, and another one started in its place. */
  kill(at: number): void {
    const reporter = this.#reporters[at];
    if (reporter === undefined) return;
    reporter.isAlive = false;
    reporter.sessions.stop();
    this.disks[at].kill();
    for (const agent of this.agents) if (agent.at?.reporter === reporter) agent.at = undefined;
    this.startReporter(at);
  }

  /** In good order, as far as its time goes, and another one started in its place. */
  async stop(at: number): Promise<void> {
    const reporter = this.#reporters[at];
    for (const agent of this.agents) if (agent.at?.reporter === reporter) this.#leave(agent);
    void reporter?.stop();
    for (let i = 0; i < 4; i++) await this.step(500);
    this.kill(at);
  }

  /** With all that it keeps, and another one in its place. */
  loseAgent(index: number): void {
    const agent = this.agents.filter(({ isAlive }) => isAlive)[index];
    if (agent === undefined) return;
    agent.isAlive = false;
    if (agent.at !== undefined) this.#leave(agent);
    this.agents.push(new LabAgent(this.agents.length + 1));
  }

  #leave(agent: LabAgent): void {
    const { at } = agent;
    agent.at = undefined;
    agent.sent = undefined;
    at?.reporter.sessions.gone({ loop: 0, peer: at.peer });
  }

  /** The reporter closes the connection. */
  hangUp(reporter: LabReporter, peer: number): void {
    const agent = this.agents.find(({ at }) => at?.reporter === reporter && at.peer === peer);
    if (agent !== undefined) this.#leave(agent);
  }

  /** Connects an agent, elsewhere if it is connected. */
  connect(index: number, to: number): void {
    const agent = this.agents.filter(({ isAlive }) => isAlive)[index];
    const reporter = this.#reporters[to];
    if (agent === undefined || reporter?.spool === undefined) return;
    if (agent.at !== undefined) this.#leave(agent);
    agent.at = { reporter, peer: ++this.#peers };
    agent.sent = undefined;
    reporter.sessions.open(agent.session, { loop: 0, peer: agent.at.peer }, agent.confirmed);
  }

  tell(reporter: LabReporter, peer: number, { stored, held }: ReportsStored): void {
    const agent = this.agents.find(({ at }) => at?.reporter === reporter && at.peer === peer);
    if (agent === undefined || !reporter.isAlive || stored === undefined) return;
    agent.confirmed = Math.max(agent.confirmed, Math.min(stored, agent.last));
    agent.sent ??= Math.max(agent.confirmed, held);
  }

  report(index: number): void {
    const agent = this.agents.filter(({ isAlive }) => isAlive)[index];
    if (agent !== undefined) agent.last++;
  }

  #send(agent: LabAgent): void {
    while (agent.at !== undefined && agent.sent !== undefined && agent.sent < agent.last) {
      const seq = Math.max(agent.sent, agent.confirmed) + 1;
      if (seq > agent.last) return;
      agent.sent = seq;
      const gains = { succ: 1, err: 0, timed: 0, timeMs: 0 };
      agent.at.reporter.take({
        ...{ modId: 1, cmdId: 1, ip: 1, port: seq, caller: agent.caller, ts: 1, peer: 0 },
        ...{ succCount: 1, errCount: 0, overload: false, succTotal: seq, errTotal: 0 },
        kept: { session: agent.session, seq, gains, refusedNew: 0 },
      });
    }
  }

  async step(ms = 500): Promise<void> {
    for (let i = 0; i < 40; i++) await Promise.resolve();
    for (const agent of this.agents) this.#send(agent);
    this.clock.advance(ms);
    for (let i = 0; i < 40; i++) await Promise.resolve();
  }

  /** Until nothing is on its way any more. */
  async settle(): Promise<void> {
    this.database.state = "up";
    for (const disk of this.disks) {
      disk.fault = undefined;
      disk.isFast = true;
      disk.release();
    }
    for (let i = 0; i < 120; i++) {
      for (const [index, { at }] of this.agents.filter(({ isAlive }) => isAlive).entries()) {
        if (at === undefined) this.connect(index, index % 2);
      }
      await this.step(1_000);
    }
  }

  /** Reports that count more than once. */
  doubles(): string[] {
    return [...this.database.counts].filter(([, count]) => count > 1).map(([key]) => key);
  }

  /** Reports that must count, and do not: what was told to be kept, and what agents have. */
  missing(): string[] {
    return this.agents.flatMap(({ caller, isAlive, last, confirmed }) =>
      Array.from({ length: isAlive ? last : confirmed }, (_, i) => `${caller} ${i + 1}`)
        .filter((key) => !this.database.counts.has(key))
    );
  }
}
