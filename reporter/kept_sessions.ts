// Core. Senders that keep their reports until they are stored: how far each is, and who tells them.

import type { ReportsStored } from "../proto/codec.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { SessionMark } from "../sql/results/call_history.ts";

/** Sessions known at once; senders beyond it are treated as those that keep nothing. */
export const KEPT_SESSIONS_MAX = 100_000;

/**
 * Times that a session may go on after reports that others have while what came of it before is not
 * stored; then its sender is treated as one that keeps nothing. Each costs a bucket of its own.
 */
export const SESSION_JUMPS_MAX = 16;

/** Sessions that are looked up with one question to the database. */
const LOOK_UP_MAX = 1_000;

/** Pause after a look-up that failed. */
const LOOK_UP_RETRY_MS = 1_000;

/** A connection of a loop. */
export interface KeptPeer {
  readonly loop: number;
  readonly peer: number;
}

/** What {@linkcode KeptSessions} are given. */
export interface KeptSessionsOptions {
  readonly clock: Clock;
  /**
   * Up to which report each session is stored; of those that are missing nothing is. Undefined where
   * the database cannot hold it: then senders keep nothing.
   */
  lookUp(sessions: readonly number[]): Promise<ReadonlyMap<number, number> | undefined>;
  /** Tells a sender how far it is. */
  tell(peer: KeptPeer, answer: ReportsStored): void;
  /** Ends the connection: the sender comes again, and asks where to begin. */
  sendAgain(peer: KeptPeer): void;
  /** Nothing of the session is held any more. */
  onForgotten(session: number): void;
  /**
   * True: what arrives is kept on disk, so that a sender may begin while the database is away: what
   * is in it already is found when it is to be written.
   *
   * @default () => false
   */
  isSpooling?(): boolean;
  /**
   * A sender goes on after reports that others have. What came of it before is to be in a bucket of
   * its own.
   */
  onJump?(): void;
}

/**
 * What a session is waiting for: `gone`, its sender waits no more; `stored`, nothing is held that is
 * not stored; `open`, some of it is in no bucket that is closed; `closed`, all is.
 */
export type Standing = "gone" | "stored" | "open" | "closed";

/**
 * Who has what is held of a session besides this reporter: its sender; the spool, on disk; nobody, as its
 * sender has `ended`; its sender if it went on elsewhere, as it is `gone` without a word.
 */
export type ResultKeeper = "sender" | "spool" | "gone" | "ended";

interface Session {
  peer: KeptPeer | undefined;
  /** Its sender has said that it ends soon. */
  isLeaving: boolean;
  keeper: Exclude<ResultKeeper, "spool">;
  /** False until the database has said how far it is. */
  isKnown: boolean;
  /** All in SQL up to this report. */
  stored: number;
  /** Up to this report in a bucket that is closed. */
  closed: number;
  /** All that arrived, and was taken. */
  held: number;
  /** All given to the spool, or in SQL, up to this report. */
  spooled: number;
  /** The same on disk: its sender may forget it. */
  durable: number;
  /** See {@linkcode SESSION_JUMPS_MAX}. */
  jumps: number;
}

/**
 * A session goes on over any number of connections, to this reporter or others. While reports of it
 * are held here that are not stored, this is where it stands; else the database knows.
 */
export class KeptSessions {
  readonly #options: KeptSessionsOptions;
  readonly #sessions = new Map<number, Session>();
  readonly #wanted = new Set<number>();
  /** Sessions by connection. */
  readonly #byPeer = new Map<string, number>();
  #looking: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** Of an earlier run: up to this report all is on disk. */
  #spooledBefore: ReadonlyMap<number, number> = new Map();
  #againCount = 0;
  #refusedCount = 0;
  #stopped = false;
  /** This reporter ends: whoever is connected now goes elsewhere because of that. */
  #isLeaving = false;

  constructor(options: KeptSessionsOptions) {
    this.#options = options;
  }

  /** Takes over what is on disk of an earlier run; an empty map once it is in SQL. */
  setSpooledBefore(spooled: ReadonlyMap<number, number>): void {
    this.#spooledBefore = spooled;
  }

  /** Sessions known, how often one had to begin again, and how often one found no room. */
  get stats(): Record<
    "kept_sessions" | "kept_sessions_again" | "kept_sessions_refused",
    number
  > {
    return {
      kept_sessions: this.#sessions.size,
      kept_sessions_again: this.#againCount,
      kept_sessions_refused: this.#refusedCount,
    };
  }

  /** A sender says which session it goes on with, and up to which report it keeps none any more. */
  open(session: number, peer: KeptPeer, stored = 0): void {
    const known = this.#sessions.get(session);
    const isHeld = known?.isKnown === true && known.held > known.stored;
    const isJump = isHeld && stored > known.held;
    if (
      known === undefined && this.#sessions.size >= KEPT_SESSIONS_MAX ||
      isJump && known.jumps >= SESSION_JUMPS_MAX
    ) {
      this.#refusedCount++;
      this.#options.tell(peer, { held: 0, plain: true });
      return;
    }
    const earlier = this.#byPeer.get(keyOf(peer));
    if (earlier !== undefined && earlier !== session) this.gone(peer);
    this.#byPeer.set(keyOf(peer), session);
    const { tell } = this.#options;
    if (isHeld) {
      Object.assign(known, ofPeer(peer));
      if (isJump) {
        this.#options.onJump?.();
        Object.assign(known, startedAt(stored), { jumps: known.jumps + 1 });
      }
      tell(peer, progressOf(known));
      return;
    }
    const state = { isKnown: false, ...startedAt(0), stored, jumps: 0 };
    this.#sessions.set(session, { ...ofPeer(peer), ...state });
    this.#wanted.add(session);
    tell(peer, { held: 0, plain: false });
    this.#look();
  }

  /**
   * Report `seq` of a session has come. One that does not follow the last ends the connection: what
   * is in between would count as stored with it.
   *
   * @returns false when it is not to be counted: it has come before, or will come again.
   */
  take(session: number, seq: number): boolean {
    const known = this.#sessions.get(session);
    if (known === undefined || !known.isKnown || seq <= known.held) return false;
    if (seq === known.held + 1) {
      known.held = seq;
      return true;
    }
    if (known.peer !== undefined) this.#options.sendAgain(known.peer);
    return false;
  }

  /**
   * Whether all before this report is in the spool or in SQL. Else it must not be in the spool: what
   * is missing between would count as kept with it.
   */
  mayBeSpooled(session: number, seq: number): boolean {
    const known = this.#sessions.get(session);
    return known !== undefined && seq - 1 <= Math.max(known.spooled, known.stored);
  }

  /** The spool has taken this report. */
  noteSpooled(session: number, seq: number): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) known.spooled = Math.max(known.spooled, seq);
  }

  /** Reports up to these are on disk: their senders may forget them. */
  noteDurable(reached: ReadonlyMap<number, number>): void {
    for (const [session, seq] of reached) {
      const known = this.#sessions.get(session);
      if (known === undefined || !known.isKnown || seq <= known.durable) continue;
      known.durable = seq;
      if (known.peer !== undefined && seq > known.stored) {
        this.#options.tell(known.peer, progressOf(known));
      }
    }
  }

  /** Whether this connection goes on with this session already. */
  isOpen(session: number, peer: KeptPeer): boolean {
    return this.#byPeer.get(keyOf(peer)) === session;
  }

  /** Its sender ends soon: it waits a moment until all is stored, here or elsewhere. */
  noteLeaving(session: number): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) known.isLeaving = true;
  }

  /** This reporter ends soon. Call before senders are told. */
  leave(): void {
    this.#isLeaving = true;
  }

  /** Who has what is held of a session here, and is not stored. */
  keeperOf(session: number): ResultKeeper {
    const known = this.#sessions.get(session);
    // Of what was forgotten here all is stored, or its sender has been told to send it again.
    if (known === undefined || known.held <= known.stored) return "sender";
    if (known.held <= known.durable) return "spool";
    // It may not live until it has found another reporter.
    return known.keeper === "sender" && known.isLeaving ? "gone" : known.keeper;
  }

  /** How a session does, seen by a sender that waits until all is stored. */
  standing(session: number): Standing {
    const known = this.#sessions.get(session);
    if (known?.peer === undefined) return "gone";
    const { isKnown, held, closed, stored, durable } = known;
    if (!isKnown || held <= Math.max(stored, durable)) return "stored";
    return held > closed ? "open" : "closed";
  }

  /** A bucket is closed: which reports are in it that are in none before. */
  close(): SessionMark[] {
    return this.closeOf(this.#sessions.keys());
  }

  /** The same for one that has nothing but what came from these sessions. */
  closeOf(sessions: Iterable<number>): SessionMark[] {
    const marks: SessionMark[] = [];
    for (const session of sessions) {
      const known = this.#sessions.get(session);
      if (known === undefined || known.held === known.closed) continue;
      marks.push({ session, from: known.closed, to: known.held });
      known.closed = known.held;
    }
    return marks;
  }

  /** The reports of a bucket are in SQL. */
  noteStored(marks: readonly SessionMark[]): void {
    for (const { session, to } of marks) {
      const known = this.#sessions.get(session);
      if (known === undefined || to <= known.stored) continue;
      this.#setStored(session, known, to);
    }
  }

  /**
   * Others have written reports of a session, up to this one. Of what is held here the rest stays. To
   * be called when all of it is in buckets that are closed.
   */
  noteElsewhere(session: number, seq: number): void {
    const known = this.#sessions.get(session);
    if (known === undefined) return;
    if (seq > known.held) known.held = known.closed = seq;
    if (seq > known.stored) this.#setStored(session, known, seq);
  }

  #setStored(session: number, known: Session, stored: number): void {
    known.stored = stored;
    if (known.peer === undefined) this.#forgetIdle(session, known);
    // Else it would begin to send what is not taken yet.
    else if (known.isKnown && stored > known.durable) {
      this.#options.tell(known.peer, progressOf(known));
    }
  }

  /** What is held of a session is not to be counted: its sender has to begin after what is stored. */
  again(session: number): void {
    const known = this.#sessions.get(session);
    if (known === undefined) return;
    this.#againCount++;
    this.#forget(session);
    if (known.peer !== undefined) this.#options.sendAgain(known.peer);
  }

  /** A connection has ended. */
  gone(peer: KeptPeer): void {
    const session = this.#byPeer.get(keyOf(peer));
    if (session === undefined) return;
    this.#byPeer.delete(keyOf(peer));
    const known = this.#sessions.get(session);
    if (known === undefined || known.peer === undefined || keyOf(known.peer) !== keyOf(peer)) {
      return;
    }
    known.peer = undefined;
    if (!this.#isLeaving) known.keeper = known.isLeaving ? "ended" : "gone";
    this.#forgetIdle(session, known);
  }

  /** All connections of a loop have ended. */
  loopGone(loop: number): void {
    for (const { peer } of [...this.#sessions.values()]) if (peer?.loop === loop) this.gone(peer);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #forgetIdle(session: number, { isKnown, held, stored }: Session): void {
    if (!isKnown || held <= stored) this.#forget(session);
  }

  #forget(session: number): void {
    const peer = this.#sessions.get(session)?.peer;
    if (peer !== undefined) this.#byPeer.delete(keyOf(peer));
    this.#sessions.delete(session);
    this.#wanted.delete(session);
    this.#options.onForgotten(session);
  }

  #look(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#looking ??= this.#lookUp().finally(() => {
      this.#looking = undefined;
      if (this.#wanted.size > 0) this.#look();
    });
  }

  async #lookUp(): Promise<void> {
    const { clock, lookUp } = this.#options;
    const asked = [...this.#wanted].slice(0, LOOK_UP_MAX);
    for (const session of asked) this.#wanted.delete(session);
    let found: ReadonlyMap<number, number> | undefined;
    try {
      found = await lookUp(asked);
    } catch {
      if (this.#options.isSpooling?.() === true) {
        for (const session of asked) this.#noteFound(session, 0);
        return;
      }
      // The database is away, which others say: senders keep what they have.
      for (const session of asked) if (this.#sessions.has(session)) this.#wanted.add(session);
      this.#timer = clock.setTimer(LOOK_UP_RETRY_MS, () => {
        this.#timer = undefined;
        this.#look();
      });
      return;
    }
    for (const session of asked) {
      if (found === undefined) this.#goPlain(session);
      else this.#noteFound(session, found.get(session) ?? 0);
    }
  }

  #noteFound(session: number, found: number): void {
    const known = this.#sessions.get(session);
    // Asked again meanwhile: this answer may be older than what that connection brings.
    if (known === undefined || known.isKnown || this.#wanted.has(session)) return;
    // The database may have forgotten an idle session, or keep nothing of any.
    const stored = Math.max(found, known.stored, this.#spooledBefore.get(session) ?? 0);
    Object.assign(known, { isKnown: true, ...startedAt(stored) });
    if (known.peer === undefined) this.#forget(session);
    else this.#options.tell(known.peer, progressOf(known));
  }

  #goPlain(session: number): void {
    const peer = this.#sessions.get(session)?.peer;
    this.#forget(session);
    if (peer !== undefined) this.#options.tell(peer, { held: 0, plain: true });
  }
}

/** What a sender that has come over this connection makes true. */
function ofPeer(peer: KeptPeer): Pick<Session, "peer" | "isLeaving" | "keeper"> {
  return { peer, isLeaving: false, keeper: "sender" };
}

/** All up to a report is done with. */
function startedAt(
  seq: number,
): Pick<Session, "stored" | "closed" | "held" | "spooled" | "durable"> {
  return { stored: seq, closed: seq, held: seq, spooled: seq, durable: seq };
}

function progressOf({ stored, durable, held }: Session): ReportsStored {
  return { stored: Math.max(stored, durable), held, plain: false };
}

function keyOf({ loop, peer }: KeptPeer): string {
  return `${loop}:${peer}`;
}

/** What {@linkcode ConfirmRounds} are given. */
export interface ConfirmRoundsOptions {
  readonly sessions: Pick<KeptSessions, "close" | "noteStored">;
  /** Divides what has come from what comes; the result says whether all before is in SQL. */
  divide(): () => boolean;
}

/** Where no history is kept: reports are stored when their results are. */
export class ConfirmRounds {
  readonly #options: ConfirmRoundsOptions;
  #open: { readonly marks: SessionMark[]; isWritten(): boolean } | undefined;

  constructor(options: ConfirmRoundsOptions) {
    this.#options = options;
  }

  /** Call about once a second. */
  tick(): void {
    const { sessions, divide } = this.#options;
    if (this.#open?.isWritten() === true) {
      sessions.noteStored(this.#open.marks);
      this.#open = undefined;
    }
    if (this.#open !== undefined) return;
    const marks = sessions.close();
    if (marks.length > 0) this.#open = { marks, isWritten: divide() };
  }
}
