// Shell. A batch loop as a guest on a thread that does other things too, with timers and promises.
//
// While there is something to do the thread waits in the kernel, a millisecond at most, and lets the
// runtime have its turn in between. Once nothing has come for a while a helper thread waits instead,
// so that an idle loop costs nothing.

import { setImmediate } from "node:timers";
import type { Clock } from "../time/clock.ts";
import { messageOf } from "../errors.ts";
import { runtime } from "../runtime/mod.ts";
import { BatchLoop, WakeUp } from "./batch_loop.ts";
import { ARMED, type LookoutInit, STOPPING, WOKEN, WORDS } from "./lookout_words.ts";

/** Longest time that the runtime waits for its turn while sockets are busy, but for one turn. */
export const SLICE_MS = 1;

/**
 * Longest time that sockets of the runtime wait for their turn while ours are busy, about. Milliseconds.
 */
export const SOCKETS_MS = 10;

/**
 * Immediates that give them their turn: Deno looks at sockets after 61 pieces of work (the interval of its
 * event loop, tokio), however long these take. A timer of 0 ms would do as well, and rest for one.
 */
const SOCKET_HOPS = 128;

/** Turns of {@linkcode SLICE_MS} in which nothing came before the helper thread waits instead. */
export const QUIET_TURNS_MAX = 4;

/** What a {@linkcode GuestLoop} is given. */
export interface GuestLoopOptions {
  readonly clock: Clock;
  /** The loop or its helper thread has failed: nothing is served any more. */
  onError(error: unknown): void;
}

/** Serves a {@linkcode BatchLoop} on this thread, beside whatever the runtime does there. */
export class GuestLoop {
  readonly loop: BatchLoop;
  /** The same clock, but for the time: within a turn it is the one when the turn woke. */
  readonly clock: Clock;
  readonly #options: GuestLoopOptions;
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  readonly #wakeUp = new WakeUp();
  readonly #lookout: Worker;
  #quietTurns = 0;
  /** When sockets of the runtime last had their turn. */
  #socketsAtMs = -Infinity;
  #hops = 0;
  /** Turns are taken on this thread, with the runtime in between. */
  #busy = false;
  /** The helper thread waits, and will wake this one. */
  #watched = false;
  #wanted = false;
  #closed = false;
  /** The helper thread has ended. */
  #gone = false;
  readonly #end = Promise.withResolvers<void>();

  /** @throws {Error} when there is no libc to be used, or no file descriptor left. */
  constructor(options: GuestLoopOptions) {
    this.#options = options;
    const { clock } = options;
    const loop = new BatchLoop(() => clock.nowMs(), -1, undefined, () => this.#want());
    this.loop = loop;
    this.clock = {
      nowMs: () => loop.turning ? loop.wokeAtMs : clock.nowMs(),
      wallMs: () => clock.wallMs(),
      setTimer: (delayMs, action) => clock.setTimer(delayMs, action),
    };
    this.#lookout = runtime.spawnWorker(new URL("./lookout_worker.ts", import.meta.url));
    this.#lookout.onerror = (event): void => {
      event.preventDefault?.();
      this.#fail(new Error(`Lookout failed: ${event.message}`));
      // It has stopped where it was, and will not say so.
      this.#ended();
    };
    const init: LookoutInit = {
      words: this.#words.buffer as SharedArrayBuffer,
      epollFd: this.loop.epollFd,
      wakeFd: this.#wakeUp.fd,
    };
    this.#lookout.postMessage(init);
    this.#sleep();
  }

  /**
   * Ends serving. The sockets of the loop must be closed before. Harmless when repeated.
   *
   * @returns when the helper thread has ended.
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      // The helper ends by itself: to terminate a blocked thread would wait for ever.
      this.#lookout.onmessage = (): void => this.#ended();
      Atomics.store(this.#words, STOPPING, 1);
      // Also for one that is about to wait for it.
      Atomics.store(this.#words, ARMED, 1);
      Atomics.notify(this.#words, ARMED);
      this.#wakeUp.wake();
    }
    return this.#end.promise;
  }

  #ended(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#lookout.terminate();
    this.#wakeUp.close();
    this.loop.close();
    this.#end.resolve();
  }

  /** Somebody outside of a turn has something to be done. While busy the next turn does it. */
  #want(): void {
    if (this.#wanted || this.#busy) return;
    this.#wanted = true;
    queueMicrotask(() => {
      this.#wanted = false;
      if (this.#busy || this.#turn(0) < 0 || !this.loop.hasMore) return;
      // Not in another microtask: a peer could keep the runtime from its turn for ever.
      this.#busy = true;
      setImmediate(this.#slice);
    });
  }

  /** @returns how much was handled; -1: the loop has ended. */
  #turn(waitMs: number): number {
    if (this.#closed) return -1;
    try {
      return this.loop.turn(waitMs);
    } catch (error) {
      this.#fail(error);
      return -1;
    }
  }

  /** Turns for a millisecond, then the runtime has its own, and so on until it is quiet. */
  readonly #slice = (): void => {
    const { clock } = this.#options;
    const endMs = clock.nowMs() + SLICE_MS;
    do {
      const handled = this.#turn(SLICE_MS);
      if (handled < 0) return;
      this.#quietTurns = handled > 0 ? 0 : this.#quietTurns + 1;
      if (this.#quietTurns >= QUIET_TURNS_MAX) return this.#sleep();
    } while (clock.nowMs() < endMs);
    if (endMs - this.#socketsAtMs < SOCKETS_MS) return void setImmediate(this.#slice);
    this.#hops = SOCKET_HOPS;
    setImmediate(this.#hop);
  };

  readonly #hop = (): void => {
    if (--this.#hops > 0) return void setImmediate(this.#hop);
    this.#socketsAtMs = this.#options.clock.nowMs();
    this.#slice();
  };

  #sleep(): void {
    this.#busy = false;
    if (this.#closed || this.#watched) return;
    this.#watched = true;
    const woken = Atomics.load(this.#words, WOKEN);
    Atomics.store(this.#words, ARMED, 1);
    Atomics.notify(this.#words, ARMED);
    const waiting = Atomics.waitAsync(this.#words, WOKEN, woken);
    if (waiting.async) void waiting.value.then(this.#awake);
    else this.#awake();
  }

  readonly #awake = (): void => {
    this.#watched = false;
    if (this.#busy) return;
    this.#busy = true;
    this.#quietTurns = 0;
    this.#slice();
  };

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#options.onError(new Error(`Batch loop ended: ${messageOf(error)}`, { cause: error }));
    void this.close();
  }
}
