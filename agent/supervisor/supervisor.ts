// Shell. Supervises the workers that serve callers: claims their ports, chooses their carrier, gives
// each shard its tasks, and starts them again when one dies.

import { AGENT_PORT_COUNT, agentPortIndex } from "../../proto/message_ids.ts";
import type { ModuleKey } from "../../model/module.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";
import type {
  AgentNote,
  AgentTask,
  CarrierOptions,
  ShardTask,
  WorkerInit,
  Workers,
} from "../worker/messages.ts";
import { FastPathFault, startRingWorkers } from "./ring_carrier.ts";

/** Pause before workers that died are started again. */
const RESTART_MS = 1000;

/** How a {@linkcode Supervisor} works. */
export interface SupervisorOptions {
  /** 0 = one worker on this thread, 1 = one thread for all shards, 3 = a thread for each shard. */
  readonly threads: number;
  /** Take the fast path if it can be. */
  readonly fast: boolean;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** What workers start with, at the first start and at each later one; all shards. */
  init(): WorkerInit;
  onNote(note: AgentNote): void;
  /** All workers have ended after one died; nothing of them comes any more. */
  onEnded(): void;
  /** Workers have been started again: they know what `init` said, and nothing else. */
  onRestart(): void;
}

/** Workers that are there as long as it is: those that die are replaced. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  #workers: Workers | undefined;
  /** False once it is known that it cannot be. */
  #fast: boolean;
  #restarts = 0;
  #retry: Timer | undefined;
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#fast = options.fast;
  }

  /** Which way datagrams take; "none" between a death and the next start. */
  get path(): Workers["path"] | "none" {
    return this.#workers?.path ?? "none";
  }

  /** Tasks and notes that found no room between the threads, since the last start. */
  get droppedCount(): number {
    return this.#workers?.droppedCount ?? 0;
  }

  /** Descriptors of the ports, in their order; undefined where there are none to be had. */
  get sockets(): readonly number[] | undefined {
    return this.#workers?.sockets?.();
  }

  /** Times that workers died. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Starts the workers.
   *
   * @throws {BindError} when a port is taken (a plain Error from a thread).
   */
  async start(): Promise<void> {
    const { threads, clock, log, init: makeInit, onNote } = this.#options;
    const init = makeInit();
    const inits = threads === 3
      ? init.shards.map((shard): WorkerInit => ({ ...init, shards: [shard] }))
      : [init];
    const onCrash = (error: Error): void => void this.#restart(error);
    if (!this.#fast || threads === 0) runtime.dropWarmWorkers();
    this.#workers = await this.#startOn({ inits, clock, log, onNote, onCrash });
  }

  /** Gives a task to the worker of its shard; false when there is none, or it had to be dropped. */
  send(task: ShardTask): boolean {
    return this.#workers?.send(task.shard, task) ?? false;
  }

  /**
   * Gives the shard of each module a task about its modules.
   *
   * @returns false when no worker runs.
   */
  sendByShard<T extends ModuleKey>(
    modules: readonly T[],
    toTask: (shard: number, modules: T[]) => ShardTask,
  ): boolean {
    const shards = Map.groupBy(modules, ({ modId, cmdId }) => agentPortIndex(modId, cmdId));
    for (const [shard, some] of shards) this.send(toTask(shard, some));
    return this.#workers !== undefined;
  }

  /** Has a descriptor watched by one worker. */
  watch(fd: number): void {
    this.#workers?.send(0, { type: "watch", fd });
  }

  /** Gives a task to every worker. */
  broadcast(task: AgentTask): void {
    this.#workers?.broadcast(task);
  }

  /** Stops serving; the last notes come before it resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    await this.#workers?.close();
  }

  async #startOn(options: CarrierOptions): Promise<Workers> {
    const { threads, rng, log } = this.#options;
    const startPortable = async (): Promise<Workers> => {
      // Loaded only here: most agents are on the fast path.
      const { startPostWorkers, startWorkerHere } = await import("./post_carrier.ts");
      return threads === 0 ? startWorkerHere({ ...options, rng }) : startPostWorkers(options);
    };
    const isPassed = options.inits.some(({ shards }) => shards.some(({ fd }) => fd !== undefined));
    if (!this.#fast && !isPassed) return startPortable();
    try {
      if (threads !== 0) return await startRingWorkers(options);
      throw new FastPathFault("with threads = 0 the main thread would block");
    } catch (error) {
      if (isPassed) {
        const reason = messageOf(error);
        throw new Error(`Sockets that were passed need the fast path: ${reason}`, { cause: error });
      }
      const workers = startPortable();
      if (!(error instanceof FastPathFault)) {
        // If it is the port that is taken, the portable path says so.
        log.warn("Fast UDP path did not start, the portable one is used", {
          error: messageOf(error),
        });
        return await workers;
      }
      const started = await workers;
      // Said once: it will be the same when workers are started again.
      this.#fast = false;
      log.info("Fast UDP path is not used", { reason: error.message });
      return started;
    }
  }

  async #restart(error: Error): Promise<void> {
    const workers = this.#workers;
    if (workers === undefined || this.#closed) return;
    const { clock, log } = this.#options;
    this.#workers = undefined;
    this.#restarts++;
    log.error("UDP loop died and is started again", { error: error.message });
    await workers.close();
    this.#options.onEnded();
    await this.#startAgain(clock.nowMs());
  }

  async #startAgain(sinceMs: number): Promise<void> {
    if (this.#closed) return;
    const { clock, log, onRestart } = this.#options;
    try {
      await this.start();
    } catch (error) {
      const downS = Math.round((clock.nowMs() - sinceMs) / 1000);
      log.error("UDP loops cannot be started", { error: messageOf(error), downS });
      this.#retry = clock.setTimer(RESTART_MS, () => void this.#startAgain(sinceMs));
      return;
    }
    onRestart();
  }
}

/** Tries to find three free ports in a row. */
const FREE_PORT_TRIES = 50;

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
