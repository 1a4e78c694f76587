// Shell. Carries tasks and notes by postMessage, to workers on the sockets of the runtime; or by
// calls, to one worker on this thread.

import { LoopPool } from "../../reactor/loops/loop_pool.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { UdpServer, type UdpServerOptions } from "../../reactor/udp/udp_server.ts";
import {
  type AgentNote,
  type AgentTask,
  type CarrierOptions,
  WORKER_STOP_MS,
  type WorkerInit,
  type Workers,
} from "../worker/messages.ts";

/**
 * Starts a thread for each element of `inits`.
 *
 * @throws {Error} when one cannot start, as with a port that is taken; nothing is left then.
 */
export async function startPostWorkers(options: CarrierOptions): Promise<Workers> {
  const { inits, clock, log, onNote, onCrash } = options;
  const pool = await LoopPool.start<WorkerInit, AgentTask, AgentNote>({
    entry: new URL("../worker/post_worker.ts", import.meta.url),
    count: inits.length,
    init: (index: number): WorkerInit => inits[index],
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
    close: () => pool.close(WORKER_STOP_MS),
  };
}

/**
 * Starts one worker for all shards on this thread. Its modules are loaded only here: with threads the
 * main one does without them.
 *
 * @throws {BindError} when a port is taken.
 */
export async function startWorkerHere(options: CarrierOptions & { rng: Rng }): Promise<Workers> {
  const { inits: [init], clock, rng, log, onNote } = options;
  const { UdpWorker } = await import("../worker/udp_worker.ts");
  const makeServer = (options: UdpServerOptions): UdpServer => new UdpServer(options);
  const worker = new UdpWorker(init, { clock, rng, log, note: onNote, makeServer });
  await worker.start();
  return {
    path: "portable",
    droppedCount: 0,
    send: (_shard, task) => {
      worker.onTask(task);
      return true;
    },
    broadcast: (task) => worker.onTask(task),
    close: () => worker.stop(),
  };
}
