// Shell. Runs schedules of never_older.ts in a worker.

import { neverOlderFaults } from "./never_older.ts";
import { serveSeeds } from "./seed_pool.ts";

serveSeeds<undefined, string[]>(async (seed) => {
  const faults = await neverOlderFaults(seed);
  return faults.length === 0 ? undefined : faults;
});
