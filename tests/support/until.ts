// Shell. Waiting for something to become true, with a deadline instead of a lucky sleep.

import { systemClock } from "../../reactor/time/system_clock.ts";
import { sleep } from "../../reactor/time/clock.ts";

/** How {@linkcode until} waits. */
export interface UntilOptions {
  /** Longest wait in milliseconds. @default {20000} */
  timeoutMs?: number;
  /** Pause between two looks, in milliseconds. @default {10} */
  intervalMs?: number;
  /** What is waited for, for the message when it never comes. */
  what?: string | (() => string);
}

/**
 * Looks again and again until `condition` holds.
 *
 * @throws {Error} naming `what` when the time is over; an exception of `condition` passes through.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  options: UntilOptions = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 20_000;
  const endMs = systemClock.nowMs() + timeoutMs;
  for (;;) {
    if (await condition()) return;
    if (systemClock.nowMs() >= endMs) {
      const what = typeof options.what === "function" ? options.what() : options.what;
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what ?? "a condition"}`);
    }
    await sleep(systemClock, options.intervalMs ?? 10);
  }
}
