// Shell. Entry of the worker of the fast path: blocked in the kernel on its ports, it takes tasks
// from a ring in shared memory and puts notes into another.

import { ActiveWait } from "../../reactor/fast/active_wait.ts";
import { BatchLoop, EPOLLIN, WakeUp } from "../../reactor/fast/batch_loop.ts";
import { batchUdpFault, BatchUdpServer } from "../../reactor/fast/batch_udp.ts";
import { acceptUnix } from "../../reactor/fast/unix_peer.ts";
import { silentLogger } from "../../reactor/log.ts";
import { type LoopHandle, runLoop, type RunningLoop } from "../../reactor/loops/run_loop.ts";
import { SharedRing } from "../../reactor/fast/shared_ring.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { parseIpv4 } from "../../reactor/address.ts";
import { SharedTable } from "../table/shared_table.ts";
import { type AgentNote, noteLogger } from "./messages.ts";
import {
  decodeTask,
  encodeNote,
  NO_FAST_PATH,
  PieceJoiner,
  type RingWorkerInit,
  socketPlace,
} from "./ring_codec.ts";
import { UdpWorker } from "./udp_worker.ts";

/** Why there is no fast path; found out while the main thread still loads. */
const fault = batchUdpFault({ clock: systemClock, log: silentLogger });

/** Time in which the last results may wait for room in the ring, and the pause between tries. */
const LAST_NOTES_MS = 300;
const LAST_NOTES_PAUSE_MS = 5;

const LOOPBACK_IP = 0x7f00_0001;

/** Where callers of this host reach a socket that listens there. */
function reachableIp(listenIp: string): number {
  const ip = parseIpv4(listenIp);
  return ip === 0 ? LOOPBACK_IP : ip;
}

class RingWorker implements RunningLoop<never> {
  readonly #tasks: SharedRing;
  readonly #notes: SharedRing;
  readonly #loop: BatchLoop;
  readonly #worker: UdpWorker;
  readonly #descriptors: Int32Array;
  /** In the order of the shards. */
  readonly #servers: BatchUdpServer[] = [];
  readonly #joiner = new PieceJoiner();
  /** After this time notes wait for room no longer; undefined while serving: then they never do. */
  #lastNotesMs: number | undefined;

  constructor(init: RingWorkerInit) {
    this.#tasks = new SharedRing(init.tasks);
    this.#notes = new SharedRing(init.notes);
    const { fd } = new WakeUp();
    this.#descriptors = new Int32Array(init.descriptors);
    Atomics.store(this.#descriptors, 0, fd);
    const loop = new BatchLoop(() => systemClock.nowMs(), fd, new ActiveWait());
    this.#loop = loop;
    const note = (one: AgentNote): void => this.#note(one);
    this.#worker = new UdpWorker(init.agent, {
      clock: systemClock,
      rng: systemRng,
      log: noteLogger(note),
      note,
      blocks: true,
      makeTable: (place, modules) =>
        new SharedTable({
          ...place,
          ip: reachableIp(init.agent.hostname),
          port: init.agent.shards[0].port,
          modules,
          clock: systemClock,
          log: noteLogger(note),
        }),
      makeServer: (options, onQuick) => {
        const { fd } = init.agent.shards[this.#servers.length];
        const given = fd === undefined ? {} : { fd };
        const server = new BatchUdpServer({ ...options, loop, onQuick, ...given });
        this.#servers.push(server);
        return server;
      },
    });
  }

  /** @throws {BindError} when a port is taken. */
  async start(): Promise<void> {
    try {
      await this.#worker.start();
      this.#worker.init.shards.forEach(({ index }, i) =>
        Atomics.store(this.#descriptors, socketPlace(index), this.#servers[i].fd)
      );
    } catch (error) {
      this.#loop.close();
      throw error;
    }
  }

  /** Serves until the ring says stop; nothing else runs on this thread meanwhile. */
  serve(): void {
    const takeTask = (record: Uint8Array): void => this.#takeTask(record);
    try {
      while (!this.#tasks.stopping) {
        const taken = this.#tasks.drain(takeTask);
        const nowMs = taken > 0 ? systemClock.nowMs() : this.#loop.wokeAtMs;
        // A fraction of a millisecond is rounded up, or the loop would spin through it.
        const waitMs = Math.ceil(this.#worker.turn(nowMs));
        if (this.#tasks.fallAsleep()) {
          this.#loop.turn(waitMs);
          this.#tasks.awake();
        }
      }
    } catch (error) {
      // The sockets belong to the process: without this the next loop could not have the ports.
      this.#close();
      throw error;
    }
  }

  onTask(): void {}

  async stop(): Promise<void> {
    this.#lastNotesMs = systemClock.nowMs() + LAST_NOTES_MS;
    await this.#worker.stop();
    this.#close();
  }

  #close(): void {
    this.#worker.closeServers();
    this.#loop.close();
  }

  #takeTask(record: Uint8Array): void {
    const message = this.#joiner.take(record);
    if (message === undefined) return;
    const task = decodeTask(message);
    if (task.type === "watch") this.#watch(task.fd);
    else this.#worker.onTask(task);
  }

  #watch(listenFd: number): void {
    const onReady = (): number => {
      const fd = acceptUnix(listenFd);
      if (fd !== undefined) this.#note({ type: "knocked", fd });
      return 0;
    };
    this.#loop.watch(listenFd, { onReady }, EPOLLIN);
  }

  #note(note: AgentNote): void {
    for (const message of encodeNote(note)) {
      while (!this.#notes.push(message) && this.#mayWait());
    }
  }

  #mayWait(): boolean {
    if (this.#lastNotesMs === undefined || systemClock.nowMs() >= this.#lastNotesMs) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_NOTES_PAUSE_MS);
    return true;
  }
}

runLoop<RingWorkerInit, never, never>({
  async start(init: RingWorkerInit, { fail }: LoopHandle<never>): Promise<RingWorker> {
    if (fault !== undefined) {
      Atomics.store(new Int32Array(init.descriptors), 0, NO_FAST_PATH);
      throw new Error(fault);
    }
    const loop = new RingWorker(init);
    await loop.start();
    // After the pool has heard that the loop runs: nothing is sent once the thread is blocked.
    systemClock.setTimer(0, () => {
      try {
        loop.serve();
      } catch (error) {
        fail(error);
      }
    });
    return loop;
  },
});
