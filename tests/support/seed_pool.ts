// Shell. Many seeds over several workers, each of which has the next one when it is done.

import process from "node:process";
import { LoopPool } from "../../reactor/loops/loop_pool.ts";
import { runLoop, type RunningLoop } from "../../reactor/loops/run_loop.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** Which seeds, and by whom. */
export interface SeedPoolOptions<Result> {
  /** File of the worker, which calls {@linkcode serveSeeds}. */
  readonly entry: URL;
  readonly from: number;
  readonly count: number;
  readonly workers: number;
  /** Seeds that a worker is given at once. @default {1} */
  readonly batch?: number;
  /** Given to every worker. */
  readonly init: unknown;
  onResult(result: Result): void;
}

/** A part of the seeds. */
interface SeedTask {
  readonly from: number;
  readonly count: number;
}

/**
 * Runs all seeds.
 *
 * @throws {Error} what a worker threw.
 */
export async function runSeeds<Result>(options: SeedPoolOptions<Result>): Promise<void> {
  const { entry, from, count, workers, batch = 1, init, onResult } = options;
  const end = from + count;
  let next = from;
  let waiting = count;
  const done = Promise.withResolvers<void>();
  const give = (index: number): void => {
    const some = Math.min(batch, end - next);
    if (some > 0) pool.send(index, { from: next, count: some });
    next += some;
  };
  const pool = await LoopPool.start<unknown, SeedTask, { results: Result[]; count: number }>({
    ...{ entry, count: workers, init, log: silentLogger, clock: systemClock },
    onNote({ results, count: some }, index): void {
      for (const result of results) onResult(result);
      waiting -= some;
      if (waiting === 0) done.resolve();
      else give(index);
    },
    onError: (error) => done.reject(error),
  });
  for (let index = 0; index < workers; index++) give(index);
  try {
    await done.promise;
  } finally {
    await pool.close();
  }
}

/** The worker's side: runs one seed after the other; what is undefined is not told. */
export function serveSeeds<Init, Result>(
  run: (seed: number, init: Init) => Promise<Result | undefined>,
): void {
  runLoop<Init, SeedTask, { results: Result[]; count: number }>({
    start(init, loop): Promise<RunningLoop<SeedTask>> {
      const runAll = async ({ from, count }: SeedTask): Promise<void> => {
        const results: Result[] = [];
        for (let seed = from; seed < from + count; seed++) {
          const result = await run(seed, init);
          if (result !== undefined) results.push(result);
        }
        loop.note({ results, count });
      };
      return Promise.resolve({
        onTask: (task) => void runAll(task).catch((error) => loop.fail(error)),
        stop: () => Promise.resolve(),
      });
    },
  });
}

/**
 * A whole number of an option of the command line.
 *
 * @throws nothing: who gives another one is told, and the process ends with 2.
 */
export function wholeOption(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min) return value;
  console.error(`--${name} must be a whole number of at least ${min}: current value is "${text}"`);
  process.exit(2);
}
