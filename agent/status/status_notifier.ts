// Core. When an agent tells dns how it does: seldom, because each message wakes somebody.

import type { AgentStatus } from "../../proto/codec.ts";

/** Least time between two statuses on one connection, however often they differ. */
export const STATUS_PAUSE_MS = 10_000;

/** A status that stays the same is told again after this time. */
export const STATUS_REPEAT_MS = 60_000;

/** Remembers what dns was told last. */
export class StatusNotifier {
  #text: string | undefined;
  #atMs = 0;

  /** The connection is lost: whoever comes next knows nothing. */
  reset(): void {
    this.#text = undefined;
  }

  /**
   * Hands `status` to `tell` when it is time; call it as often as is convenient. What `tell` could
   * not pass on is tried again the next time.
   */
  offer(status: AgentStatus, nowMs: number, tell: (status: AgentStatus) => boolean): void {
    const text = JSON.stringify(status);
    if (this.#text !== undefined) {
      const waitedMs = nowMs - this.#atMs;
      if (waitedMs < (text === this.#text ? STATUS_REPEAT_MS : STATUS_PAUSE_MS)) return;
    }
    if (!tell(status)) return;
    this.#text = text;
    this.#atMs = nowMs;
  }
}
