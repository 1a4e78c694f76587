// Core. How fast peers may ask for modules that have no nodes, so that who makes them up takes no time
// and no memory from others.

import type { Clock } from "../reactor/time/clock.ts";

/**
 * Modules without nodes that one peer may ask for in one go: what an agent of ours asks for after a
 * restart of dns, and half as many again.
 */
export const MADE_UP_BURST_MAX = 1_500;

/** The same in the long run, per second: twice what an agent of ours asks for. */
export const MADE_UP_PER_SECOND_MAX = 100;

/** What all peers of a loop that ask for such modules share, in one go and per second. */
export const MADE_UP_BURST_OF_ALL = 15_000;
export const MADE_UP_PER_SECOND_OF_ALL = 1_000;

/** A share is never less than this, in one go and per second. */
const BURST_SHARE_MIN = 200;
const PER_SECOND_SHARE_MIN = 20;

/**
 * Bounds of the time for which nothing is read of a peer, in milliseconds: many short ones would cost
 * more, and the end of a peer is not seen meanwhile.
 */
const MADE_UP_HOLD_MS_MIN = 1_000;
export const MADE_UP_HOLD_MS_MAX = 10_000;

/** A peer that has had to wait again and again for so long is closed: it asks for ever more. */
export const MADE_UP_WAIT_MS_MAX = 60_000;

/** A peer that asked for none for so long begins anew. */
const FORGET_MS = 60_000;

/** What a peer that asks is: it can be made to wait. */
interface Held {
  hold(holdMs: number): void;
  close(reason: string): void;
}

/** What a peer has asked for and not been given again by time. */
interface Account {
  spent: number;
  atMs: number;
  /** Since when it has had to wait again and again, and when it had to last. */
  waitsSinceMs: number;
  heldAtMs: number;
}

/**
 * Counts for each peer which of its questions were for modules without nodes, and has one wait that
 * asks for too many: nothing more is read of it until its account is in order again, so that its own
 * questions wait and nobody else's. One that never gets there is closed. Bounded by the peers that are connected.
 */
export class MadeUpBudget<P extends Held> {
  readonly #clock: Clock;
  /** Those who asked lately, the latest last. */
  readonly #accounts = new Map<P, Account>();
  #heldCount = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Times that a peer had to wait, since start. */
  get heldCount(): number {
    return this.#heldCount;
  }

  /**
   * A module that a peer has asked for has no nodes.
   *
   * @returns false when that is beyond what it may ask for: then it has to wait.
   */
  spend(peer: P): boolean {
    const nowMs = this.#clock.nowMs();
    const account = this.#accounts.get(peer) ??
      { spent: 0, atMs: nowMs, waitsSinceMs: nowMs, heldAtMs: -Infinity };
    const perSecond = this.#share(
      MADE_UP_PER_SECOND_OF_ALL,
      PER_SECOND_SHARE_MIN,
      MADE_UP_PER_SECOND_MAX,
    );
    const before = Math.max(0, account.spent - (nowMs - account.atMs) * perSecond / 1000);
    account.spent = before + 1;
    account.atMs = nowMs;
    this.#accounts.delete(peer);
    this.#accounts.set(peer, account);
    this.#forgetOld(nowMs);
    const burst = this.#share(MADE_UP_BURST_OF_ALL, BURST_SHARE_MIN, MADE_UP_BURST_MAX);
    if (account.spent <= burst) return true;
    this.#heldCount++;
    if (nowMs - account.heldAtMs > 2 * MADE_UP_HOLD_MS_MAX) account.waitsSinceMs = nowMs;
    account.heldAtMs = nowMs;
    if (nowMs - account.waitsSinceMs >= MADE_UP_WAIT_MS_MAX) {
      peer.close("it asks for more modules without nodes than it may");
      return false;
    }
    const owedMs = Math.ceil((account.spent - burst) * 1000 / perSecond);
    peer.hold(Math.min(MADE_UP_HOLD_MS_MAX, Math.max(MADE_UP_HOLD_MS_MIN, owedMs)));
    return false;
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#accounts.delete(peer);
  }

  #share(ofAll: number, least: number, most: number): number {
    return Math.min(most, Math.max(least, ofAll / Math.max(1, this.#accounts.size)));
  }

  #forgetOld(nowMs: number): void {
    for (const [peer, { atMs }] of this.#accounts) {
      if (nowMs - atMs < FORGET_MS) return;
      this.#accounts.delete(peer);
    }
  }
}
