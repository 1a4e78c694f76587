// Shell. Carries tasks and notes through rings in shared memory, to workers that block in the
// kernel: the supervisor's side of the fast path.

import { AGENT_PORT_COUNT } from "../../proto/message_ids.ts";
import { WakeUp } from "../../reactor/fast/batch_loop.ts";
import { messageOf } from "../../reactor/errors.ts";
import { LoopPool } from "../../reactor/loops/loop_pool.ts";
import { SharedRing } from "../../reactor/fast/shared_ring.ts";
import type { Timer } from "../../reactor/time/clock.ts";
import {
  type AgentTask,
  type CarrierOptions,
  WORKER_STOP_MS,
  type WorkerInit,
  type Workers,
} from "../worker/messages.ts";
import {
  cutMessage,
  decodeNote,
  encodeTask,
  NO_FAST_PATH,
  type RingWorkerInit,
  socketPlace,
} from "../worker/ring_codec.ts";

/** Bytes of the ring to a loop: 512 KiB, some 2,000 routes of 20 nodes that came at once. */
const TASK_RING_BYTES = 512 * 1024;

/** Bytes of the ring from a loop: 1 MiB, the results of 30,000 nodes. */
const NOTE_RING_BYTES = 1024 * 1024;

/** Tasks that wait for room in the ring; further ones are dropped. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

/** Pause before what waits is tried again. */
const RETRY_MS = 2;

/** There is no fast path on this machine, or not for this process; the message says why. */
export class FastPathFault extends Error {
  override readonly name = "FastPathFault";
}

/** One worker, seen from the main thread. */
class RingLink {
  readonly init: RingWorkerInit;
  readonly #options: CarrierOptions;
  readonly #tasks = SharedRing.create(TASK_RING_BYTES);
  readonly #notes = SharedRing.create(NOTE_RING_BYTES);
  readonly #descriptors = new Int32Array(new SharedArrayBuffer(4 * socketPlace(AGENT_PORT_COUNT)));
  #wakeUp: WakeUp | undefined;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #retry: Timer | undefined;
  #tasksDropped = 0;

  constructor(agent: WorkerInit, options: CarrierOptions) {
    this.#options = options;
    this.init = {
      agent,
      tasks: this.#tasks.memory,
      notes: this.#notes.memory,
      descriptors: this.#descriptors.buffer,
    };
  }

  /** True when the worker has found that there is no fast path. */
  get isImpossible(): boolean {
    return this.#descriptors[0] === NO_FAST_PATH;
  }

  send(task: AgentTask): boolean {
    const message = encodeTask(task);
    if (this.#waitingBytes + message.length > WAITING_BYTES_MAX) {
      this.#tasksDropped++;
      return false;
    }
    this.#waiting.push(...cutMessage(message, this.#tasks.recordBytesMax));
    this.#waitingBytes += message.length;
    this.#flush();
    return true;
  }

  /** Tasks dropped here, and notes that the loop had no room for. */
  get droppedCount(): number {
    return this.#tasksDropped + this.#notes.refusedCount;
  }

  /** Sockets of its ports, by shard. */
  sockets(): [shard: number, fd: number][] {
    return this.init.agent.shards.map(({ index }) => [
      index,
      Atomics.load(this.#descriptors, socketPlace(index)),
    ]);
  }

  /** Hands on notes as they come, until the end. */
  async listen(): Promise<void> {
    while (!this.#notes.stopping) {
      this.drain();
      await this.#notes.news();
    }
  }

  drain(): void {
    const { onNote, log } = this.#options;
    this.#notes.drain((record) => {
      try {
        onNote(decodeNote(record));
      } catch (error) {
        log.error("Note of a UDP loop could not be handled", { error: messageOf(error) });
      }
    });
  }

  /** Makes the worker come back from the kernel, for good. */
  stopWorker(): void {
    this.#retry?.cancel();
    this.#tasks.stop();
    this.#wakeUpIfAny()?.wake();
  }

  /** Takes what is left. The worker must have ended, or it still wakes by a descriptor. */
  end(): void {
    this.drain();
    this.#notes.stop();
    this.#wakeUpIfAny()?.close();
  }

  #flush(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    let sent = 0;
    while (sent < this.#waiting.length && this.#tasks.push(this.#waiting[sent])) sent++;
    this.#waiting = this.#waiting.slice(sent);
    if (this.#waiting.length === 0) this.#waitingBytes = 0;
    else this.#retry = this.#options.clock.setTimer(RETRY_MS, () => this.#flush());
    if (this.#tasks.mustWake()) this.#wakeUpIfAny()?.wake();
  }

  /**
   * None before the worker has made it: it looks for tasks before it sleeps. Not opened earlier than
   * needed, because the first answer should not wait for it.
   */
  #wakeUpIfAny(): WakeUp | undefined {
    const fd = Atomics.load(this.#descriptors, 0);
    return fd > 0 ? this.#wakeUp ??= new WakeUp(fd) : undefined;
  }
}

/**
 * Starts a worker for each element of `inits`.
 *
 * @throws {FastPathFault} when there is no fast path here.
 * @throws {Error} when one cannot start; nothing is left then, in either case.
 */
export async function startRingWorkers(options: CarrierOptions): Promise<Workers> {
  const { inits, clock, log, onCrash } = options;
  const links = inits.map((init) => new RingLink(init, options));
  let pool: LoopPool<RingWorkerInit, never, never>;
  try {
    pool = await LoopPool.start<RingWorkerInit, never, never>({
      entry: new URL("../worker/ring_worker.ts", import.meta.url),
      count: links.length,
      init: (index) => links[index].init,
      onNote: () => {},
      onError: onCrash,
      log,
      clock,
    });
  } catch (error) {
    for (const link of links) link.stopWorker();
    const isImpossible = links.some((link) => link.isImpossible);
    for (const link of links) link.end();
    throw isImpossible ? new FastPathFault(messageOf(error)) : error;
  }
  for (const link of links) void link.listen();
  return {
    path: "fast",
    get droppedCount(): number {
      return links.reduce((sum, link) => sum + link.droppedCount, 0);
    },
    send: (shard, task) => links[links.length === 1 ? 0 : shard].send(task),
    broadcast(task: AgentTask): void {
      for (const link of links) {
        link.send(task);
        // In case a signal was missed: nothing waits for longer than the next status.
        link.drain();
      }
    },
    sockets: () =>
      links.flatMap((link) => link.sockets()).sort(([one], [other]) => one - other)
        .map(([, fd]) => fd),
    async close(): Promise<void> {
      for (const link of links) link.stopWorker();
      await pool.close(WORKER_STOP_MS);
      for (const link of links) link.end();
    },
  };
}
