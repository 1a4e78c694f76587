// Shell. Entry of the thread that waits in the kernel for a guest loop while that loop is idle.

import { BatchLoop, EPOLLIN } from "./batch_loop.ts";
import { ARMED, type LookoutInit, STOPPING, WOKEN } from "./lookout_words.ts";

/** The part of a worker's global object that is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<LookoutInit>) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = ({ data: { words: memory, epollFd, wakeFd } }): void => {
  const words = new Int32Array(memory);
  const loop = new BatchLoop(() => 0, wakeFd);
  loop.watch(epollFd, { onReady: () => 1 }, EPOLLIN);
  while (Atomics.load(words, STOPPING) === 0) {
    Atomics.wait(words, ARMED, 0);
    if (Atomics.load(words, STOPPING) === 0) loop.turn(-1);
    Atomics.store(words, ARMED, 0);
    Atomics.add(words, WOKEN, 1);
    Atomics.notify(words, WOKEN);
  }
  loop.close();
  scope.postMessage("ended");
  scope.close();
};
