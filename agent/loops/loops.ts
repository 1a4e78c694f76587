// Shell. The agent's UDP loops, on the main thread or in workers, behind one face.

import { AGENT_PORT_COUNT } from "../../proto/message_ids.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { LoopPool } from "../../reactor/loops/loop_pool.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";
import { FastPathFault, startFastLoops } from "./fast_loops.ts";
import type { AgentLoopInit, AgentNote, AgentTask, ShardInit } from "./loop_messages.ts";
import { UdpService } from "../worker/udp_service.ts";

/** Time a loop has to hand over its last reports. */
const STOP_MS = 500;

/** Tries to find three free ports in a row. */
const FREE_PORT_TRIES = 50;

/** Which way datagrams take: many in a system call, or one by one through the runtime. */
export type UdpPath = "fast" | "portable";

/** Loops that run. */
export interface AgentLoops {
  readonly path: UdpPath;
  /** Why the fast path, which was wanted, cannot be taken here, now or later. */
  readonly fastPathFault?: string;
  /** Tasks and notes that found no room between the threads. */
  readonly droppedCount: number;
  /** Gives a task to the loop of one shard; false when it had to be dropped. */
  send(shard: number, task: AgentTask): boolean;
  /** Gives a task to every loop. */
  broadcast(task: AgentTask): void;
  /** Stops serving; the last notes come before it resolves. */
  close(): Promise<void>;
}

/** How loops are started. */
export interface StartLoopsOptions {
  /** 0 = on this thread, 1 = one worker for all shards, 3 = a worker for each shard. */
  readonly threads: number;
  /** Take the fast path if it can be. */
  readonly fast: boolean;
  readonly init: AgentLoopInit;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  onNote(note: AgentNote): void;
  /** A worker died; the loops must be closed and started anew. */
  onCrash(error: Error): void;
}

/**
 * Starts the loops.
 *
 * @throws {BindError} when a port is taken (a plain Error from a worker).
 */
export async function startLoops(options: StartLoopsOptions): Promise<AgentLoops> {
  const { threads, init } = options;
  const inits = threads === 3
    ? init.shards.map((shard): AgentLoopInit => ({ ...init, shards: [shard] }))
    : [init];
  if (!options.fast || threads === 0) runtime.dropWarmWorkers();
  if (!options.fast) return startPortableLoops(inits, options);
  if (threads === 0) {
    const fastPathFault = "with threads = 0 the main thread would block";
    return { ...await startPortableLoops(inits, options), fastPathFault };
  }
  try {
    return await startFastLoops({ ...options, inits });
  } catch (error) {
    const loops = startPortableLoops(inits, options);
    if (error instanceof FastPathFault) return { ...await loops, fastPathFault: error.message };
    // If it is the port that is taken, the portable path says so.
    options.log.warn("Fast UDP path did not start, the portable one is used", {
      error: messageOf(error),
    });
    return await loops;
  }
}

/** @throws as {@linkcode startLoops} does. */
async function startPortableLoops(
  inits: readonly AgentLoopInit[],
  { threads, init, clock, rng, log, onNote, onCrash }: StartLoopsOptions,
): Promise<AgentLoops> {
  if (threads === 0) {
    const service = new UdpService(init, { clock, rng, log, note: onNote });
    await service.start();
    return {
      path: "portable",
      droppedCount: 0,
      send: (_shard, task) => {
        service.onTask(task);
        return true;
      },
      broadcast: (task) => service.onTask(task),
      close: () => service.stop(),
    };
  }
  const pool = await LoopPool.start<AgentLoopInit, AgentTask, AgentNote>({
    entry: new URL("./udp_loop.ts", import.meta.url),
    count: inits.length,
    init: (index: number): AgentLoopInit => inits[index],
    onNote,
    onError: onCrash,
    log,
    clock,
  });
  return {
    path: "portable",
    droppedCount: 0,
    send: (shard, task) => {
      pool.send(inits.length === 1 ? 0 : shard, task);
      return true;
    },
    broadcast: (task) => pool.broadcast(task),
    close: () => pool.close(STOP_MS),
  };
}

/**
 * Finds out whether the ports can be had, here, where the error can be told well.
 *
 * @param port First of three; 0 = find three free ones.
 * @returns the first port.
 * @throws {BindError} when one is taken.
 */
export async function claimPorts(
  hostname: string,
  port: number,
  clock: Clock,
  log: Logger,
): Promise<number> {
  for (let attempt = 1;; attempt++) {
    const servers: UdpServer[] = [];
    const bind = async (wanted: number): Promise<number> => {
      const server = new UdpServer({ hostname, port: wanted, clock, log, onDatagram: () => {} });
      servers.push(server);
      return (await server.bind()).port;
    };
    try {
      const first = await bind(port);
      for (let i = 1; i < AGENT_PORT_COUNT; i++) await bind(first + i);
      return first;
    } catch (error) {
      // A free port may have no free neighbours, or be too near to 65535.
      const again = port === 0 && attempt < FREE_PORT_TRIES;
      if (!again || !(error instanceof BindError || error instanceof RangeError)) throw error;
    } finally {
      for (const server of servers) await server.close();
    }
  }
}

/** Shards for the ports from `firstPort` on. */
export function shardInits(
  firstPort: number,
  preloadOf: (shard: number) => ShardInit["preload"],
): ShardInit[] {
  return Array.from({ length: AGENT_PORT_COUNT }, (_, index) => ({
    index,
    port: firstPort + index,
    preload: preloadOf(index),
  }));
}
