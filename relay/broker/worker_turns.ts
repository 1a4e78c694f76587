// Core. Questions about the workers of a module: are there own ones, can all take more, whose is a key.

import { hashText } from "../../balancer/picking/murmur3.ts";
import type { WorkerPort } from "./broker_ports.ts";

/** What is asked about. */
interface TurnWorker {
  readonly port: WorkerPort;
  readonly canTake: boolean;
}

/** True when one of them is here, and no other relay. */
export function hasOwnWorker(workers: readonly TurnWorker[]): boolean {
  return workers.some(({ port }) => port.isRelay !== true);
}

/** True when each of them can be given a request now. */
export function canAllTake(workers: readonly TurnWorker[]): boolean {
  for (let index = 0; index < workers.length; index++) if (!workers[index].canTake) return false;
  return true;
}

/**
 * The worker of a key: the one with the highest hash of both, among those that can take one. So a
 * key stays where it is when another worker comes or goes, but for the share that the other has.
 */
export function workerOfKey<W extends TurnWorker>(
  workers: readonly W[],
  key: string,
): W | undefined {
  let best: W | undefined;
  let bestHash = -1;
  for (const worker of workers) {
    if (!worker.canTake) continue;
    const hash = hashText(`${worker.port.label} ${key}`);
    if (hash > bestHash) [best, bestHash] = [worker, hash];
  }
  return best;
}
