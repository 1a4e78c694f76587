// Shell. A thread that ends the process when an input keeps its parser for ever: nobody else could.

import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { corpusPath, keepFound, type NamedTarget } from "./corpus_files.ts";
import { INPUT_LENGTH_MAX, type Units } from "./mutate.ts";

/** A run that takes longer never ends. */
const HANG_MS = 10_000;

/** Numbers at the front of what both threads see: runs begun, the target, units of the input. */
const [RUNS, TARGET, LENGTH, HEAD] = [0, 1, 2, 3];

/** Tells the thread what is run. */
export class HangWatch {
  readonly #shared = new Int32Array(new SharedArrayBuffer(4 * (HEAD + INPUT_LENGTH_MAX)));
  readonly #worker: Worker;
  #target = 0;

  constructor(targets: readonly NamedTarget[]) {
    const named = targets.map(({ name, kind }) => ({ name, kind }));
    this.#worker = new Worker(new URL(import.meta.url), {
      workerData: { shared: this.#shared, targets: named },
    });
    this.#worker.unref();
  }

  /** From now on inputs are those of this target. */
  setTarget(index: number): void {
    this.#target = index;
  }

  /** A run begins. */
  note(units: Units): void {
    const shared = this.#shared;
    shared[TARGET] = this.#target;
    shared[LENGTH] = units.length;
    for (let at = 0; at < units.length; at++) shared[HEAD + at] = units[at];
    Atomics.add(shared, RUNS, 1);
  }

  /** Nothing runs for a while. */
  pause(): void {
    Atomics.store(this.#shared, TARGET, -1);
    Atomics.add(this.#shared, RUNS, 1);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread && parentPort !== null) {
  const { shared, targets } = workerData as {
    shared: Int32Array;
    targets: readonly NamedTarget[];
  };
  let before = 0;
  setInterval(() => {
    const runs = Atomics.load(shared, RUNS);
    const index = Atomics.load(shared, TARGET);
    if (runs !== before || index < 0) {
      before = runs;
      return;
    }
    const target = targets[index];
    keepFound(target, [...shared.subarray(HEAD, HEAD + shared[LENGTH])]);
    console.error(
      `FOUND ${target.name} does not end within ${HANG_MS / 1000} s; ` +
        `its input is in ${corpusPath(target)}`,
    );
    // From here the other thread ends by nothing else.
    process.kill(process.pid, "SIGKILL");
  }, HANG_MS);
}
