// Goal: an edit of the console is in force within a second at every kind of follower: clients of ours,
// gRPC, HAProxy, nginx, names, files, targets; nginx and resolvers have their own time besides.
// Method: small, in here; `deno task edits-in-force` does it with as many edits as wanted.

import { test } from "node:test";
import { IN_FORCE_MS, measureArrivals } from "./rolling/edit_arrival.ts";
import { findProgram } from "./support/mariadb.ts";
import { assertInTime } from "./support/in_time.ts";

const skip = findProgram("node") === undefined ? "node must be installed" : false;

test("edits are in force at every follower", { skip, timeout: 300_000 }, async (t) => {
  const { arrivals, missing } = await measureArrivals({ edits: 6, killEvery: 0, say: () => {} });
  for (const one of missing) t.diagnostic(`not asked: ${one}`);
  for (const { follower, edit, tookMs, promisedMs } of arrivals) {
    assertInTime(`${edit} at ${follower}`, tookMs, promisedMs);
  }
});

test(
  "edits are in force after dns and export were killed and are back",
  { skip, timeout: 300_000 },
  async () => {
    const { arrivals } = await measureArrivals({ edits: 2, killEvery: 2, say: () => {} });
    for (const { follower, edit, tookMs, isAfterKill } of arrivals) {
      // Callers come back by their own clocks: those of gRPC after seconds.
      if (isAfterKill) {
        assertInTime(
          `${edit} at ${follower}, after a kill`,
          tookMs,
          15 * IN_FORCE_MS,
        );
      }
    }
  },
);
