// Core. Connections that have sent nothing yet: who of them has to go, and when.

import type { Address } from "../address.ts";
import type { Clock, Timer } from "../time/clock.ts";

/**
 * Time for the first frame of a connection while the server is half full; then the connection is
 * closed. Agents of the original connect long before they ask, so with room they may be silent.
 */
export const FIRST_FRAME_MS = 5_000;

/**
 * Connections that may have sent nothing of a host that may have any number of them. Of more the oldest
 * are closed, full or not, once they have had {@linkcode CROWD_FIRST_FRAME_MS}: an agent of the original
 * has one.
 */
export const SILENT_OF_HOST_MAX = 64;
export const CROWD_FIRST_FRAME_MS = 1_000;

/** Time between two looks at a crowd. One that comes much later waits again: so did its frames. */
const CROWD_LOOK_MS = 100;

/** What is needed of a connection. */
export interface SilentPeer {
  readonly remote: Address;
  /** It could not say anything yet; it has a time limit of its own. @default {false} */
  readonly isOpening?: boolean;
  /** Calls {@linkcode SilentPeers.remove} in turn. */
  closeNow(reason: string): void;
}

/** Those of one server. Bounded by its connections. */
export class SilentPeers<C extends SilentPeer> {
  readonly #clock: Clock;
  readonly #onEvict: () => void;
  readonly #isBounded: (hostname: string) => boolean;
  /** By the time of their coming; the oldest first. */
  readonly #silent = new Map<C, number>();
  readonly #ofHost = new Map<string, number>();
  #timer: Timer | undefined;

  /**
   * @param onEvict Called before each that has to go.
   * @param isBounded True for hosts that may have so many connections only, whether silent or not.
   */
  constructor(clock: Clock, onEvict: () => void, isBounded: (hostname: string) => boolean) {
    this.#clock = clock;
    this.#onEvict = onEvict;
    this.#isBounded = isBounded;
  }

  /** One has come; with too many of its host they have little time. */
  add(connection: C): void {
    this.#silent.set(connection, this.#clock.nowMs());
    const { hostname } = connection.remote;
    if (this.#isBounded(hostname)) return;
    const count = (this.#ofHost.get(hostname) ?? 0) + 1;
    this.#ofHost.set(hostname, count);
    if (count > SILENT_OF_HOST_MAX && this.#timer === undefined) {
      this.#watch(CROWD_FIRST_FRAME_MS, false);
    }
  }

  /** It has spoken, or is gone. */
  remove(connection: C): void {
    if (!this.#silent.delete(connection)) return;
    const { hostname } = connection.remote;
    const count = (this.#ofHost.get(hostname) ?? 0) - 1;
    if (count > 0) this.#ofHost.set(hostname, count);
    else this.#ofHost.delete(hostname);
  }

  /** The one that has been silent for longest makes room; false: there is none. */
  evictOldest(): boolean {
    const [oldest] = this.#silent.keys();
    if (oldest === undefined) return false;
    this.#onEvict();
    oldest.closeNow("made room: it had sent nothing");
    return true;
  }

  /** Ends those who have had {@linkcode FIRST_FRAME_MS}, for as long as room `isShort`. */
  endOverdue(isShort: () => boolean): void {
    this.#end(FIRST_FRAME_MS, isShort);
  }

  /** Looks at no crowd any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #watch(waitMs: number, wasLate: boolean): void {
    const dueMs = this.#clock.nowMs() + waitMs;
    this.#timer = this.#clock.setTimer(waitMs, () => {
      this.#timer = undefined;
      // A loop that was busy has not read what they may have sent.
      const isLate = !wasLate && this.#clock.nowMs() - dueMs > CROWD_LOOK_MS;
      if (!isLate) this.#end(CROWD_FIRST_FRAME_MS, (one) => this.#isOfCrowd(one));
      if ([...this.#ofHost.keys()].some((hostname) => this.#isCrowd(hostname))) {
        this.#watch(CROWD_LOOK_MS, isLate);
      }
    });
  }

  #isOfCrowd({ remote, isOpening = false }: C): boolean {
    return !isOpening && this.#isCrowd(remote.hostname);
  }

  #isCrowd(hostname: string): boolean {
    return (this.#ofHost.get(hostname) ?? 0) > SILENT_OF_HOST_MAX;
  }

  #end(limitMs: number, isDue: (connection: C) => boolean): void {
    const nowMs = this.#clock.nowMs();
    for (const [connection, sinceMs] of this.#silent) {
      if (nowMs - sinceMs < limitMs) return;
      if (!isDue(connection)) continue;
      this.#onEvict();
      connection.closeNow(`nothing received for ${limitMs} ms`);
    }
  }
}
