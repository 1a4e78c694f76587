// Core. A log in memory for tests, with the faults that real ones have: lost answers, late entries, silence.

import { StoreError } from "../../reactor/errors.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import {
  type LogFollower,
  LogFullError,
  type LogPosition,
  type LogSpan,
  type MailLog,
} from "../cluster/mail_log.ts";

/** What becomes of an append. */
export type LogFault =
  /** It never arrives. */
  | "lost"
  /** It is stored, and the answer is lost. */
  | "unheard"
  /** It times out, and arrives some seconds later. */
  | "late";

/** How late a `late` append arrives. */
export const LATE_APPEND_MS = 7_000;

/** Entries in memory, which any number of stores may use. */
export class FakeLog {
  readonly entries = new Map<number, { name: string; body: Uint8Array }>();
  readonly #heads = new Map<string, number>();
  readonly #followers = new Set<FakeLogFollower>();
  readonly #clock: Clock;
  epoch = 7;
  last = 0;
  isFull = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One relay's way to it. */
  connect(): FakeLogLink {
    return new FakeLogLink(this, this.#clock);
  }

  append(name: string, body: Uint8Array): number {
    if (this.isFull) throw new LogFullError("no room");
    const seq = ++this.last;
    this.entries.set(seq, { name, body: body.slice() });
    this.#heads.set(name, seq);
    for (const follower of this.#followers) follower.pump();
    return seq;
  }

  /** Number of the newest entry of a name, as whoever knows them up to `upTo` says. */
  lastOf(name: string, upTo = Infinity): number {
    const head = this.#heads.get(name) ?? 0;
    if (head <= upTo) return head;
    const known = [...this.entries].filter(([seq, one]) => one.name === name && seq <= upTo);
    return Math.max(0, ...known.map(([seq]) => seq));
  }

  follow(follower: FakeLogFollower): () => void {
    this.#followers.add(follower);
    follower.pump();
    return () => void this.#followers.delete(follower);
  }

  /** Somebody removes it, and makes it again. */
  renew(): void {
    this.entries.clear();
    this.#heads.clear();
    this.last = 0;
    this.epoch++;
  }

  /** What was kept back goes out. */
  pump(): void {
    for (const follower of this.#followers) follower.pump();
  }
}

/** Reads on in turns of its own. */
class FakeLogFollower {
  #running = false;

  constructor(
    readonly log: FakeLog,
    readonly link: FakeLogLink,
    readonly epoch: number,
    public after: number,
    readonly follower: LogFollower,
  ) {}

  pump(): void {
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => {
      this.#running = false;
      if (this.link.isDeaf || this.link.isAway) return;
      if (this.epoch !== this.log.epoch) return this.follower.onAnew();
      while (this.after < this.log.last) {
        const entry = this.log.entries.get(++this.after);
        if (entry !== undefined) this.follower.onEntry(this.after, entry.body);
      }
    });
  }
}

/** A {@linkcode MailLog} whose faults a test chooses. */
export class FakeLogLink implements MailLog {
  /** Of the appends to come. */
  readonly faults: LogFault[] = [];
  /** Nothing arrives and nothing comes back. */
  isAway = false;
  /** Nothing is heard by those who follow; cured by following anew. */
  isDeaf = false;
  /** Who answers has stood still since this entry, and knows nothing newer; undefined: it knows all. */
  behindAt: number | undefined;
  appendCount = 0;
  removeCount = 0;
  readonly #log: FakeLog;
  readonly #clock: Clock;

  constructor(log: FakeLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  async span(): Promise<LogSpan> {
    await this.#reach();
    const { epoch, last } = this.#log;
    return { epoch, last: Math.min(last, this.behindAt ?? last) };
  }

  async append(name: string, body: Uint8Array): Promise<number> {
    this.appendCount++;
    await this.#reach();
    const fault = this.faults.shift();
    const timedOut = new StoreError("no answer", true, { inDoubt: true });
    if (fault === "lost") throw timedOut;
    if (fault === "late") {
      const copy = body.slice();
      this.#clock.setTimer(LATE_APPEND_MS, () => void this.#log.append(name, copy));
      throw timedOut;
    }
    const seq = this.#log.append(name, body);
    if (fault === "unheard") throw timedOut;
    return seq;
  }

  async lastOf(name: string): Promise<number> {
    await this.#reach();
    return this.#log.lastOf(name, this.behindAt);
  }

  async get(seq: number): Promise<Uint8Array | undefined> {
    await this.#reach();
    return seq > (this.behindAt ?? seq) ? undefined : this.#log.entries.get(seq)?.body;
  }

  async remove(seq: number): Promise<void> {
    this.removeCount++;
    await this.#reach();
    this.#log.entries.delete(seq);
  }

  follow({ epoch, after }: LogPosition, follower: LogFollower): () => void {
    this.isDeaf = false;
    return this.#log.follow(new FakeLogFollower(this.#log, this, epoch, after, follower));
  }

  async #reach(): Promise<void> {
    await undefined;
    if (this.isAway) throw new StoreError("the log is away", true);
  }
}
