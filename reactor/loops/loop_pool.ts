// Shell. Several event loops, each in a worker, and messages to and from them.

import type { Clock, Timer } from "../time/clock.ts";
import { messageOf, TimeoutError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { LoopMessage, PoolMessage } from "./loop_messages.ts";
import { runtime } from "../runtime/mod.ts";

/** Most workers in one pool: each costs about 10 MB and a thread. */
export const LOOPS_MAX = 256;
/** Time for all workers to report that they run; a runtime may compile and check sources first. */
export const LOOP_START_MS = 30_000;
/** Default time for a worker to stop by itself before it is terminated. */
export const LOOP_STOP_MS = 1000;

/** Options of {@linkcode LoopPool.start}. */
export interface LoopPoolOptions<Init, Note> {
  /** The worker's file; it calls `runLoop`. */
  readonly entry: URL;
  /** Number of workers, 1 to {@linkcode LOOPS_MAX}. */
  readonly count: number;
  /** Start value of every worker, or a function of its index. Must survive structured cloning. */
  readonly init: Init | ((index: number) => Init);
  onNote(note: Note, index: number): void;
  /** A task threw, or the worker itself failed; a worker that failed is gone. */
  onError(error: Error, index: number): void;
  /** After `onError`: the worker that ran is gone; see {@linkcode LoopPool.replace}. */
  onGone?(index: number): void;
  readonly log: Logger;
  readonly clock: Clock;
}

/** One worker as the pool sees it. */
class Loop<Init, Task, Note> {
  readonly index: number;
  readonly started: Promise<void>;
  readonly stopped: Promise<void>;
  readonly #worker: Worker;
  #running = false;
  #settleStart: { resolve(): void; reject(error: Error): void };
  #settleStop: () => void;
  readonly #options: LoopPoolOptions<Init, Note>;

  constructor(index: number, options: LoopPoolOptions<Init, Note>) {
    this.index = index;
    this.#options = options;
    const start = Promise.withResolvers<void>();
    const stop = Promise.withResolvers<void>();
    this.started = start.promise;
    this.stopped = stop.promise;
    this.#settleStart = start;
    this.#settleStop = stop.resolve;
    this.#worker = runtime.spawnWorker(options.entry);
    this.#worker.onmessage = (event): void => this.#receive(event.data as LoopMessage<Note>);
    // Without these an error in a worker is silent in one runtime and ends the other.
    this.#worker.onerror = (event): void => this.#crash(event);
    this.#worker.onmessageerror = (): void => this.#fail(new Error("Message could not be read"));
    const init = options.init instanceof Function ? options.init(index) : options.init;
    this.post({ type: "start", index, init });
  }

  post(message: PoolMessage<Init, Task>, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  terminate(): void {
    this.#worker.terminate();
    this.#settleStop();
  }

  #receive(message: LoopMessage<Note>): void {
    if (message.type === "note") {
      try {
        this.#options.onNote(message.note, this.index);
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(messageOf(error)));
      }
    } else if (message.type === "ready") {
      this.#running = true;
      this.#settleStart.resolve();
    } else if (message.type === "stopped") {
      this.terminate();
    } else {
      const error = new Error(message.message);
      if (message.stack !== undefined) error.stack = message.stack;
      this.#fail(error);
    }
  }

  #crash(event: ErrorEvent): void {
    event.preventDefault();
    const error = new Error(event.message || "Worker failed", { cause: event.error });
    const ran = this.#running;
    this.#running = false;
    this.#worker.terminate();
    this.#settleStop();
    if (!ran) return this.#settleStart.reject(error);
    this.#tell(error);
    this.#options.onGone?.(this.index);
  }

  #fail(error: Error): void {
    if (!this.#running) return this.#settleStart.reject(error);
    this.#tell(error);
  }

  #tell(error: Error): void {
    this.#options.log.error("Loop reported an error", { loop: this.index, error: error.message });
    this.#options.onError(error, this.index);
  }
}

/**
 * Runs the same body in several workers. The kernel can spread TCP connections over them
 * (`reusePort`); sockets themselves never move from one loop to another.
 */
export class LoopPool<Init, Task, Note> {
  readonly #loops: Loop<Init, Task, Note>[];
  readonly #options: LoopPoolOptions<Init, Note>;
  #closing = false;

  private constructor(loops: Loop<Init, Task, Note>[], options: LoopPoolOptions<Init, Note>) {
    this.#loops = loops;
    this.#options = options;
  }

  /**
   * Starts the workers; resolves when all of them run.
   *
   * @throws {RangeError} when `count` is out of range.
   * @throws {Error} what a body threw in `start`; the other workers are ended then.
   * @throws {TimeoutError} when they take more than {@linkcode LOOP_START_MS}.
   */
  static async start<Init, Task, Note>(
    options: LoopPoolOptions<Init, Note>,
  ): Promise<LoopPool<Init, Task, Note>> {
    const { count, clock } = options;
    if (!Number.isInteger(count) || count < 1 || count > LOOPS_MAX) {
      throw new RangeError(`Loop count must be 1 to ${LOOPS_MAX}: current value is ${count}`);
    }
    const loops = Array.from(
      { length: count },
      (_, index) => new Loop<Init, Task, Note>(index, options),
    );
    await allStarted(loops, clock);
    return new LoopPool(loops, options);
  }

  /**
   * Starts a new worker in the place of one that is gone; resolves when it runs. Tasks for it are
   * lost until then.
   *
   * @throws {Error} what the body threw in `start`, or that the pool is closed.
   * @throws {TimeoutError} when it takes more than {@linkcode LOOP_START_MS}.
   */
  async replace(index: number): Promise<void> {
    const loop = new Loop<Init, Task, Note>(index, this.#options);
    await allStarted([loop], this.#options.clock);
    if (this.#closing) {
      loop.terminate();
      throw new Error("The pool was closed meanwhile");
    }
    this.#loops[index] = loop;
  }

  /** Number of loops. */
  get count(): number {
    return this.#loops.length;
  }

  /**
   * Gives a task to one loop.
   *
   * @throws {RangeError} when there is no such loop.
   */
  send(index: number, task: Task, transfer: Transferable[] = []): void {
    const loop = this.#loops[index];
    if (loop === undefined) {
      throw new RangeError(`Loop must be 0 to ${this.count - 1}: current value is ${index}`);
    }
    loop.post({ type: "task", task }, transfer);
  }

  /** Gives a copy of a task to every loop. */
  broadcast(task: Task): void {
    for (const loop of this.#loops) loop.post({ type: "task", task });
  }

  /** Asks every loop to stop and ends those that have not done so within `timeoutMs`. */
  async close(timeoutMs: number = LOOP_STOP_MS): Promise<void> {
    this.#closing = true;
    let limit: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      limit = this.#options.clock.setTimer(timeoutMs, resolve);
    });
    for (const loop of this.#loops) loop.post({ type: "stop" });
    await Promise.race([Promise.all(this.#loops.map((loop) => loop.stopped)), late]);
    limit?.cancel();
    for (const loop of this.#loops) loop.terminate();
  }
}

/** Waits until all of them run; when one of them cannot, all are ended. */
async function allStarted<Init, Task, Note>(
  loops: readonly Loop<Init, Task, Note>[],
  clock: Clock,
): Promise<void> {
  const late = Promise.withResolvers<never>();
  const limit = clock.setTimer(LOOP_START_MS, () => {
    const what = `Loops did not start within ${LOOP_START_MS} ms`;
    late.reject(new TimeoutError(what, LOOP_START_MS));
  });
  try {
    await Promise.race([Promise.all(loops.map((loop) => loop.started)), late.promise]);
  } catch (error) {
    for (const loop of loops) loop.terminate();
    throw error;
  } finally {
    limit.cancel();
  }
}
