import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import {
  MADE_UP_BURST_MAX,
  MADE_UP_BURST_OF_ALL,
  MADE_UP_HOLD_MS_MAX,
  MADE_UP_PER_SECOND_MAX,
  MADE_UP_PER_SECOND_OF_ALL,
  MADE_UP_WAIT_MS_MAX,
  MadeUpBudget,
} from "./made_up_budget.ts";

/** Asks as often as it is let, as a connection does of which nothing is read while it waits. */
class Peer {
  readonly holds: number[] = [];
  heldUntilMs = 0;
  asked = 0;
  closed = "";
  readonly #clock: ManualClock;
  readonly #budget: MadeUpBudget<Peer>;

  constructor(clock: ManualClock, budget: MadeUpBudget<Peer>) {
    this.#clock = clock;
    this.#budget = budget;
  }

  hold(holdMs: number): void {
    this.holds.push(holdMs);
    this.heldUntilMs = this.#clock.nowMs() + holdMs;
  }

  close(reason: string): void {
    this.closed = reason;
    this.heldUntilMs = Infinity;
  }

  /** Up to `count` questions; true: they were all followed. */
  ask(count: number): boolean {
    let isFollowed = true;
    for (let index = 0; index < count && this.#clock.nowMs() >= this.heldUntilMs; index++) {
      this.asked++;
      isFollowed &&= this.#budget.spend(this);
    }
    return isFollowed;
  }
}

function bench(): { clock: ManualClock; budget: MadeUpBudget<Peer>; peer(): Peer } {
  const clock = new ManualClock();
  const budget = new MadeUpBudget<Peer>(clock);
  return { clock, budget, peer: () => new Peer(clock, budget) };
}

test("one peer may ask for so many modules without nodes at once, then it waits, and alone", () => {
  const { clock, budget, peer } = bench();
  const [greedy, other] = [peer(), peer()];
  assert.ok(greedy.ask(MADE_UP_BURST_MAX));
  assert.ok(!greedy.ask(10), "what is beyond is not followed");
  assert.deepEqual([greedy.asked, greedy.holds.length], [MADE_UP_BURST_MAX + 1, 1]);
  assert.ok(other.ask(100));
  assert.deepEqual(other.holds, []);
  const seconds = MADE_UP_WAIT_MS_MAX / 1000;
  for (let second = 1; second < seconds; second++) {
    clock.advance(1000);
    greedy.ask(1_000_000);
    assert.ok(greedy.holds.every((ms) => ms <= MADE_UP_HOLD_MS_MAX));
  }
  const perSecond = (greedy.asked - MADE_UP_BURST_MAX) / seconds;
  assert.ok(perSecond <= MADE_UP_PER_SECOND_MAX + 1, `${perSecond} a second`);
  assert.equal(greedy.closed, "");
  for (let second = 0; second < 10; second++) {
    clock.advance(1000);
    greedy.ask(1_000_000);
  }
  assert.match(greedy.closed, /more modules without nodes/, "in the end it has to go");
  assert.ok(budget.heldCount > 1);
});

test("who keeps to the rate never waits, and is never better off than at first", () => {
  const { clock, budget, peer } = bench();
  const one = peer();
  for (let second = 0; second < 100; second++) {
    assert.ok(one.ask(MADE_UP_PER_SECOND_MAX));
    clock.advance(1000);
  }
  assert.deepEqual(one.holds, []);
  clock.advance(3_600_000);
  assert.ok(one.ask(MADE_UP_BURST_MAX));
  assert.ok(!one.ask(1));
  budget.closed(one);
  one.heldUntilMs = 0;
  assert.ok(one.ask(1), "a new connection begins anew");
});

test("many peers share what all of them may ask for; those who stop leave their share", () => {
  const { clock, peer } = bench();
  const peers = Array.from({ length: 110 }, peer);
  for (const one of peers) one.ask(20_000);
  const first = peers.reduce((sum, one) => sum + one.asked, 0);
  assert.ok(first < 4 * MADE_UP_BURST_OF_ALL, `${first} at once`);
  for (let second = 0; second < 50; second++) {
    clock.advance(1000);
    for (const one of peers) one.ask(20_000);
  }
  const later = peers.reduce((sum, one) => sum + one.asked, 0) - first;
  assert.ok(later < 50 * 4 * MADE_UP_PER_SECOND_OF_ALL, `${later} in a minute`);
  clock.advance(120_000);
  const late = peer();
  assert.ok(late.ask(MADE_UP_BURST_MAX));
});
