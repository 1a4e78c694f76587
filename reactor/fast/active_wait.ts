// Core. When a thread should wait for its next datagram by looking again and again, and not by sleeping.
//
// Where one caller asks, waits, and asks again, the thread that serves it sleeps and is woken for each
// call, which costs more than the call. Looking instead of sleeping is quicker as long as the next
// datagram comes soon, and a waste of the processor where it does not.

/** Pauses up to this length are waited out awake. Milliseconds. */
export const ACTIVE_MS_MAX = 0.1;

/** Datagrams in one turn up to which calls come one after the other; with more, sleeping makes batches. */
const HANDLED_MAX = 2;

/** Short pauses in a row after which waiting awake is tried, at first and at most. */
const STREAK_MIN = 16;
const STREAK_MAX = 65_536;

/** What it costs to sleep and be woken, about: a shorter wait awake saves, a longer one wastes. Milliseconds. */
const WAKE_UP_MS = 0.03;

/** Time that may be wasted at first, and most that a wait which came to something allows to be wasted. */
const CREDIT_FIRST_MS = 3 * ACTIVE_MS_MAX;
const CREDIT_EARNED_MS = 0.01;
const CREDIT_MS_MAX = 1;

/** A try with so many waits that came to something was worth it, however it ended. */
const HITS_WORTH = 256;

/**
 * Decides for each wait of a loop; told how the one before ended. On one processor with its callers a
 * thread that waits awake keeps them from running: then nothing comes in time, and it sleeps for ever
 * longer stretches of calls before it tries again. The same where others want the processor: time in
 * which it was taken away counts as wasted.
 */
export class ActiveWait {
  /** Short pauses in a row, while sleeping. */
  #streak = 0;
  #streakWanted = STREAK_MIN;
  #isActive = false;
  #hits = 0;
  /** Time that may be wasted from now on. Milliseconds. */
  #creditMs = 0;

  /** How long the next wait may be spent awake; 0: sleep at once. Milliseconds. */
  get limitMs(): number {
    return this.#isActive ? ACTIVE_MS_MAX : 0;
  }

  /** A sleep ended because something came; `handled` is how much, once it was done. */
  slept(waitedMs: number, handled: number): void {
    if (handled === 0 || this.#isActive) return;
    if (waitedMs > ACTIVE_MS_MAX || handled > HANDLED_MAX) {
      this.#streak = 0;
      return;
    }
    if (++this.#streak < this.#streakWanted) return;
    this.#isActive = true;
    this.#hits = 0;
    this.#creditMs = CREDIT_FIRST_MS;
  }

  /** A wait awake ended with something to do. */
  found(waitedMs: number, handled: number): void {
    // It cannot have been longer but by an interruption.
    if (waitedMs > 2 * ACTIVE_MS_MAX || handled > HANDLED_MAX) return this.#waste(waitedMs);
    this.#hits++;
    const gainMs = Math.min(WAKE_UP_MS - waitedMs, CREDIT_EARNED_MS);
    this.#creditMs = Math.min(this.#creditMs + gainMs, CREDIT_MS_MAX);
    if (this.#creditMs <= 0) this.#giveUp();
  }

  /** A wait awake came to nothing: the thread sleeps now. */
  missed(waitedMs: number): void {
    this.#waste(waitedMs);
  }

  #waste(wastedMs: number): void {
    this.#creditMs -= Math.max(wastedMs, ACTIVE_MS_MAX);
    if (this.#creditMs <= 0) this.#giveUp();
  }

  #giveUp(): void {
    const wasWorth = this.#hits >= HITS_WORTH;
    this.#isActive = false;
    this.#streak = 0;
    this.#streakWanted = wasWorth ? STREAK_MIN : Math.min(2 * this.#streakWanted, STREAK_MAX);
  }
}
