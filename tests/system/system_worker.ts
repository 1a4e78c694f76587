// Shell. Runs seeds of the system simulation in a worker.

import { serveSeeds } from "../support/seed_pool.ts";
import { PLANTED_BUGS } from "./planted_bugs.ts";
import { runSystem, type SystemRun } from "./system_run.ts";

/** What a seed came to. */
export interface SystemSeedResult {
  readonly seed: number;
  readonly run: SystemRun;
}

serveSeeds<{ chaosMs: number; bug: string }, SystemSeedResult>(async (seed, init) => {
  const bug = PLANTED_BUGS.find(({ name }) => name === init.bug);
  return { seed, run: await runSystem(seed, { chaosMs: init.chaosMs, bug }) };
});
