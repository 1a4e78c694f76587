// Shell. The event loops of a TCP service: one on this thread, or several in workers on one port.

import type { Address } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { TcpTransport } from "../../reactor/runtime/types.ts";
import { LOOP_STOP_MS, LoopPool } from "../../reactor/loops/loop_pool.ts";
import type { PeerTrust } from "../../session/peer_trust.ts";

/** Pause before a worker that is gone is replaced, and between tries. */
export const LOOP_RESTART_MS = 1000;

/** Counters that tell how things are now: those of a loop that is gone count no more. */
const GAUGES: ReadonlySet<string> = new Set([
  "connections",
  "connections_plain",
  "connections_tls",
  "followers",
  "hosts_refused_lately",
  "subscriptions",
]);

/** Counters of a loop; those of several add up. */
export type LoopStats = Record<string, number>;

/** One event loop of a service: a server and what it does with messages. */
export interface ServiceLoop<Task> {
  /**
   * Begins to accept connections.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  listen(port: number, reusePort: boolean): Promise<Address>;
  /** Takes what the main thread sends. */
  onTask(task: Task): void;
  /** Believes this of peers from now on. */
  setTrust(trust: PeerTrust): void;
  stats(): LoopStats;
  /** Accepts nobody any more and sends peers elsewhere; ends when they have gone, or had the time. */
  leave?(): Promise<void>;
  close(): Promise<void>;
}

/** What a loop is given. */
export interface LoopSurroundings<Note> {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where connections come from. @default the sockets of the runtime */
  readonly sockets?: TcpTransport | undefined;
  /** Tells the main thread something. */
  note(note: Note, transfer?: Transferable[]): void;
}

/** Makes a loop from plain values; the same function serves on this thread and in workers. */
export type LoopMaker<Init, Task, Note> = (
  init: Init,
  surroundings: LoopSurroundings<Note>,
) => ServiceLoop<Task>;

/** What the main thread hears of its loops, which are numbered from 0. */
export interface LoopListener<Note> {
  onNote(note: Note, loop: number): void;
  /** A worker reported an error; it may be gone. */
  onFailed(loop: number): void;
  /** A worker is gone, with its connections and all it knew; another one will take its place. */
  onGone?(loop: number): void;
}

/** Loops behind one address. */
export interface LoopGroup<Task> {
  /**
   * Begins to accept connections in every loop.
   *
   * @throws {BindError} when the port is taken.
   */
  listen(port: number): Promise<Address>;
  send(loop: number, task: Task, transfer?: Transferable[]): void;
  /** Has every loop believe this of peers from now on. */
  setTrust(trust: PeerTrust): void;
  /** Sum over all loops; of workers about half a second old. */
  stats(): LoopStats;
  /** Sends the peers of every loop elsewhere, before a `close`. */
  leave(): Promise<void>;
  close(timeoutMs?: number): Promise<void>;
}

/** What passes to a worker. */
export type WorkerTask<Task> =
  | { readonly type: "listen"; readonly port: number }
  | { readonly type: "trust"; readonly trust: PeerTrust }
  | { readonly type: "leave" }
  | { readonly type: "task"; readonly task: Task };

/** What passes from a worker. */
export type WorkerNote<Note> =
  | { readonly type: "listening"; readonly address: Address }
  | {
    readonly type: "bindFailed";
    readonly address: string;
    readonly inUse: boolean;
    readonly message: string;
  }
  | { readonly type: "stats"; readonly stats: LoopStats }
  | { readonly type: "left" }
  | {
    readonly type: "log";
    readonly level: keyof Logger;
    readonly message: string;
    readonly fields: Record<string, unknown> | undefined;
  }
  | { readonly type: "note"; readonly note: Note };

/** What {@linkcode startLoops} is given. */
export interface LoopsOptions<Init, Task, Note> {
  /** Number of loops, from 1. */
  readonly count: number;
  /** Makes the one loop on this thread. */
  readonly make: LoopMaker<Init, Task, Note>;
  /** File of the worker, which calls `runServiceLoop` with the same maker. */
  readonly entry: URL;
  readonly init: Init;
  readonly listener: LoopListener<Note>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the one loop on this thread. @default the sockets of the runtime */
  readonly sockets?: TcpTransport | undefined;
}

/** One loop on this thread for a count of 1, else as many workers. */
export async function startLoops<Init, Task, Note>(
  options: LoopsOptions<Init, Task, Note>,
): Promise<LoopGroup<Task>> {
  if (options.count === 1) return loopOnThisThread(options);
  const { count, listener, log, clock, entry, init } = options;
  const group = new WorkerLoops<Init, Task, Note>(count, listener, log, clock);
  await group.start(entry, init);
  return group;
}

/** One loop on this thread. */
function loopOnThisThread<Init, Task, Note>(
  { make, init, listener, clock, log, sockets }: LoopsOptions<Init, Task, Note>,
): LoopGroup<Task> {
  const loop = make(init, { clock, log, sockets, note: (note) => listener.onNote(note, 0) });
  return {
    listen: (port) => loop.listen(port, false),
    send: (_loop, task) => loop.onTask(task),
    setTrust: (trust) => loop.setTrust(trust),
    stats: () => loop.stats(),
    leave: () => loop.leave?.() ?? Promise.resolve(),
    close: () => loop.close(),
  };
}

/** Several loops in workers that share one port; the kernel spreads connections over them. */
class WorkerLoops<Init, Task, Note> implements LoopGroup<Task> {
  readonly #listener: LoopListener<Note>;
  readonly #log: Logger;
  readonly #stats: LoopStats[];
  readonly #listening: PromiseWithResolvers<Address>[];
  readonly #clock: Clock;
  /** Pending restarts. */
  readonly #restarts = new Set<Timer>();
  #pool: LoopPool<Init, WorkerTask<Task>, WorkerNote<Note>> | undefined;
  #port: number | undefined;
  /** What the loops were told since they were started. */
  #trust: PeerTrust | undefined;
  #closing = false;
  /** Loops that have not sent their peers elsewhere yet, while this service stops. */
  readonly #leaving = new Map<number, () => void>();
  /** Loops that are gone and have not been replaced. */
  readonly #gone = new Set<number>();
  /** Counters of loops that are gone. */
  #lost: LoopStats = {};

  constructor(count: number, listener: LoopListener<Note>, log: Logger, clock: Clock) {
    this.#listener = listener;
    this.#log = log;
    this.#clock = clock;
    this.#stats = Array.from({ length: count }, () => ({}));
    this.#listening = Array.from({ length: count }, newListening);
  }

  async start(entry: URL, init: Init): Promise<void> {
    this.#pool = await LoopPool.start<Init, WorkerTask<Task>, WorkerNote<Note>>({
      entry,
      count: this.#stats.length,
      init,
      onNote: (note, loop) => this.#onNote(note, loop),
      onError: (_error, loop) => this.#onError(loop),
      onGone: (loop) => this.#onGone(loop),
      log: this.#log,
      clock: this.#clock,
    });
  }

  async listen(port: number): Promise<Address> {
    // The first loop learns the real port when 0 was asked for; the others share it.
    this.#pool?.send(0, { type: "listen", port });
    const address = await this.#listening[0].promise;
    for (let loop = 1; loop < this.#listening.length; loop++) {
      this.#pool?.send(loop, { type: "listen", port: address.port });
    }
    await Promise.all(this.#listening.map((one) => one.promise));
    this.#port = address.port;
    return address;
  }

  send(loop: number, task: Task, transfer: Transferable[] = []): void {
    this.#pool?.send(loop, { type: "task", task }, transfer);
  }

  setTrust(trust: PeerTrust): void {
    this.#trust = trust;
    for (let loop = 0; loop < this.#stats.length; loop++) this.#tellTrust(loop);
  }

  #tellTrust(loop: number): void {
    if (this.#trust === undefined) return;
    this.#pool?.send(loop, { type: "trust", trust: this.#trust });
  }

  stats(): LoopStats {
    return sumOf([...this.#stats, this.#lost]);
  }

  async leave(): Promise<void> {
    this.#stopReplacing();
    await Promise.all(this.#stats.map((_, loop) =>
      new Promise<void>((resolve) => {
        if (this.#gone.has(loop)) return resolve();
        this.#leaving.set(loop, resolve);
        this.#pool?.send(loop, { type: "leave" });
      })
    ));
  }

  #stopReplacing(): void {
    this.#closing = true;
    for (const timer of this.#restarts) timer.cancel();
  }

  async close(timeoutMs: number = LOOP_STOP_MS): Promise<void> {
    this.#stopReplacing();
    await this.#pool?.close(timeoutMs);
  }

  #onNote(note: WorkerNote<Note>, loop: number): void {
    switch (note.type) {
      case "listening":
        return this.#listening[loop].resolve(note.address);
      case "bindFailed":
        return this.#listening[loop].reject(
          new BindError(note.address, note.inUse, note.message),
        );
      case "stats":
        this.#stats[loop] = note.stats;
        return;
      case "left":
        return this.#leaving.get(loop)?.();
      case "log":
        return this.#log[note.level](note.message, { loop, ...note.fields });
      case "note":
        return this.#listener.onNote(note.note, loop);
    }
  }

  #onError(loop: number): void {
    this.#listening[loop].reject(new Error(`Loop ${loop} failed`));
    this.#listener.onFailed(loop);
  }

  /** The other loops go on, and take the connections of the lost one meanwhile. */
  #onGone(loop: number): void {
    this.#lost = sumOf([this.#lost, totalsOf(this.#stats[loop])]);
    this.#stats[loop] = {};
    this.#gone.add(loop);
    this.#leaving.get(loop)?.();
    this.#listener.onGone?.(loop);
    this.#replaceLater(loop);
  }

  #replaceLater(loop: number): void {
    if (this.#closing) return;
    const timer = this.#clock.setTimer(LOOP_RESTART_MS, () => {
      this.#restarts.delete(timer);
      void this.#replace(loop);
    });
    this.#restarts.add(timer);
  }

  async #replace(loop: number): Promise<void> {
    const pool = this.#pool;
    if (pool === undefined || this.#closing) return;
    try {
      await pool.replace(loop);
      this.#gone.delete(loop);
      this.#tellTrust(loop);
      this.#listening[loop] = newListening();
      if (this.#port !== undefined) {
        pool.send(loop, { type: "listen", port: this.#port });
        await this.#listening[loop].promise;
      }
      this.#log.info("Loop runs again", { loop });
    } catch (error) {
      if (this.#closing) return;
      this.#log.error("Loop cannot be started again", { loop, error: messageOf(error) });
      this.#replaceLater(loop);
    }
  }
}

/** What a loop that is gone has counted, without what it only had at the time. */
function totalsOf(stats: LoopStats): LoopStats {
  return Object.fromEntries(Object.entries(stats).filter(([name]) => !GAUGES.has(name)));
}

function newListening(): PromiseWithResolvers<Address> {
  const listening = Promise.withResolvers<Address>();
  // A loop may fail when nobody waits for it to listen.
  listening.promise.catch(() => undefined);
  return listening;
}

function sumOf(all: readonly LoopStats[]): LoopStats {
  const sum: LoopStats = {};
  for (const stats of all) {
    for (const [name, value] of Object.entries(stats)) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum;
}
