// Shell. The loops that serve connections: one on this thread, or several in workers.

import type { Address } from "../reactor/address.ts";
import type { Clock } from "../reactor/clock.ts";
import { BindError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { LoopPool } from "../reactor/loop_pool.ts";
import type { ModuleKey } from "../sql/store.ts";
import type { ModuleId } from "./module_id.ts";
import type { LoopNote, LoopTask } from "./loop_messages.ts";
import type { RouteFrames } from "./route_frames.ts";
import { RouteLoop, type RouteLoopInit, type RouteLoopStats } from "./route_loop.ts";

/** What the loops ask of the main thread; `loop` counts from 0. */
export interface LoopGroupOwner {
  want(loop: number, modId: number, cmdId: number): void;
  drop(loop: number, keys: readonly ModuleId[]): void;
  routesChanged(keys: readonly ModuleKey[]): void;
  /** A loop ended by itself. */
  loopFailed(loop: number): void;
}

/** Loops behind one address. */
export interface LoopGroup {
  /**
   * Begins to accept connections in every loop.
   *
   * @throws {BindError} when the port is taken.
   */
  listen(port: number): Promise<Address>;
  deliver(loop: number, modId: number, cmdId: number, frames: RouteFrames): void;
  /** Sum over all loops; of workers about half a second old. */
  stats(): RouteLoopStats;
  close(): Promise<void>;
}

/** One loop on this thread. */
export function inProcessLoop(
  init: RouteLoopInit,
  owner: LoopGroupOwner,
  clock: Clock,
  log: Logger,
): LoopGroup {
  const loop = new RouteLoop(
    init,
    {
      want: (modId, cmdId) => owner.want(0, modId, cmdId),
      drop: (keys) => owner.drop(0, keys),
      routesChanged: (keys) => owner.routesChanged(keys),
    },
    clock,
    log,
  );
  return {
    listen: (port) => loop.listen(port, false),
    deliver: (_loop, modId, cmdId, frames) => loop.deliver(modId, cmdId, frames),
    stats: () => loop.stats(),
    close: () => loop.close(),
  };
}

/** Several loops in workers that share one port; the kernel spreads connections over them. */
export async function workerLoops(
  count: number,
  init: RouteLoopInit,
  owner: LoopGroupOwner,
  clock: Clock,
  log: Logger,
): Promise<LoopGroup> {
  const group = new WorkerLoopGroup(count, owner, log);
  await group.start({
    ...init,
    connectionsMax: Math.ceil(init.connectionsMax / count),
    subscriptionsTotalMax: Math.ceil(init.subscriptionsTotalMax / count),
  }, clock);
  return group;
}

class WorkerLoopGroup implements LoopGroup {
  readonly #owner: LoopGroupOwner;
  readonly #log: Logger;
  readonly #stats: RouteLoopStats[];
  readonly #listening: PromiseWithResolvers<Address>[];
  #pool: LoopPool<RouteLoopInit, LoopTask, LoopNote> | undefined;

  constructor(count: number, owner: LoopGroupOwner, log: Logger) {
    this.#owner = owner;
    this.#log = log;
    this.#stats = Array.from({ length: count }, () => ({}));
    this.#listening = Array.from({ length: count }, () => Promise.withResolvers<Address>());
  }

  async start(init: RouteLoopInit, clock: Clock): Promise<void> {
    this.#pool = await LoopPool.start<RouteLoopInit, LoopTask, LoopNote>({
      entry: new URL("./loop.ts", import.meta.url),
      count: this.#stats.length,
      init,
      onNote: (note, loop) => this.#onNote(note, loop),
      onError: (_error, loop) => this.#onError(loop),
      log: this.#log,
      clock,
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
    return address;
  }

  deliver(loop: number, modId: number, cmdId: number, frames: RouteFrames): void {
    const { revision, legacy, extended } = frames;
    this.#pool?.send(loop, { type: "frames", modId, cmdId, revision, legacy, extended });
  }

  stats(): RouteLoopStats {
    const sum: RouteLoopStats = {};
    for (const stats of this.#stats) {
      for (const [name, value] of Object.entries(stats)) sum[name] = (sum[name] ?? 0) + value;
    }
    return sum;
  }

  async close(): Promise<void> {
    await this.#pool?.close();
  }

  #onNote(note: LoopNote, loop: number): void {
    switch (note.type) {
      case "want":
        return this.#owner.want(loop, note.modId, note.cmdId);
      case "drop":
        return this.#owner.drop(loop, note.keys);
      case "routesChanged":
        return this.#owner.routesChanged(note.keys);
      case "listening":
        return this.#listening[loop].resolve(note.address);
      case "bindFailed":
        return this.#listening[loop].reject(
          new BindError(note.address, note.inUse, note.message),
        );
      case "stats":
        this.#stats[loop] = note.stats;
        return;
      case "log":
        this.#log[note.level](note.message, { loop, ...note.fields });
    }
  }

  #onError(loop: number): void {
    this.#listening[loop].reject(new Error(`Loop ${loop} failed`));
    this.#owner.loopFailed(loop);
  }
}
