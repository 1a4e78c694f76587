// Core. Runs jobs side by side in lanes: never two of one file at once, and some with nothing beside.

/** What the lanes have to know of a job. */
export interface LaneJob {
  /** Two jobs of one file never run at the same time: they may want the same thing of the machine. */
  readonly file: string;
  /** Runs after all others, with nothing beside it. */
  readonly isAlone: boolean;
}

/** How {@linkcode runInLanes} works. */
export interface LaneOptions {
  /** Jobs that run at the same time, at least 1. */
  readonly laneCount: number;
  /** True when no further job shall begin; those that run are waited for. */
  readonly isStopped?: () => boolean;
}

/**
 * Runs every job once, in their order as far as the lanes allow: a free lane takes the first job
 * whose file does not run in another lane.
 *
 * @param run does one job in the lane of this number, from 0; what it throws ends the whole, after
 *   the jobs that run beside it.
 */
export async function runInLanes<Job extends LaneJob>(
  jobs: readonly Job[],
  options: LaneOptions,
  run: (job: Job, lane: number) => Promise<void>,
): Promise<void> {
  const isStopped = options.isStopped ?? (() => false);
  const waiting = jobs.filter(({ isAlone }) => !isAlone);
  const running = new Map<number, { file: string; end: Promise<void> }>();
  const startNext = (lane: number): void => {
    const busy = new Set([...running.values()].map(({ file }) => file));
    const index = waiting.findIndex(({ file }) => !busy.has(file));
    if (index < 0 || isStopped()) return;
    const [job] = waiting.splice(index, 1);
    const end = run(job, lane).finally(() => running.delete(lane));
    running.set(lane, { file: job.file, end });
  };
  for (;;) {
    for (let lane = 0; lane < options.laneCount; lane++) {
      if (!running.has(lane)) startNext(lane);
    }
    if (running.size === 0) break;
    const ends = [...running.values()].map(({ end }) => end);
    try {
      await Promise.race(ends);
    } catch (error) {
      await Promise.allSettled(ends);
      throw error;
    }
  }
  for (const job of jobs.filter(({ isAlone }) => isAlone)) {
    if (!isStopped()) await run(job, 0);
  }
}
