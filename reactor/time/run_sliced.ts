// Core. Long work in slices, between which the event loop runs.

import { type Clock, sleep } from "./clock.ts";

/** Longest time a slice holds the event loop, give or take one step. */
const SLICE_MS = 2;

/** Runs a generator to its end, letting the event loop run whenever a slice is used up. */
export async function runSliced<T>(clock: Clock, steps: Generator<void, T>): Promise<T> {
  let startMs = clock.nowMs();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (clock.nowMs() - startMs < SLICE_MS) continue;
    await sleep(clock, 0);
    startMs = clock.nowMs();
  }
}
