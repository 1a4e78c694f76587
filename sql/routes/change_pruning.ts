// Core. Which rows of RouteChange edits leave.

import { deleteIdsScript, numberOf, type Script } from "../drivers/sql_script.ts";

/** RouteChange rows older than this are pruned by edits: a day, in seconds. */
export const ROUTE_CHANGE_AGE_MAX_S = 86_400;
/**
 * The newest RouteChange rows of before an edit stay whatever their age: where edits are few, they are
 * what a database that was set back is known by, also by a dns that was away for long.
 */
export const ROUTE_CHANGES_MIN = 1_000;
/** RouteChange rows kept; of more the oldest are pruned by edits. A poller that far behind reads all. */
export const ROUTE_CHANGES_MAX = 100_000;
/** Oldest RouteChange rows an edit looks at for pruning, besides twice what it adds. */
const PRUNE_ROWS_MIN = 1000;

/**
 * Prunes what an edit that added so many rows may leave behind. It looks at the oldest rows only, so that
 * it never pays for the size of the table.
 */
export function* pruneChangesScript(nowS: number, addedCount: number): Script<void> {
  const idMax = "(SELECT MAX(id) FROM RouteChange)";
  const rows = yield {
    // In MySQL a difference below zero is an error.
    sql: `SELECT id, version, ${idMax} AS idMax FROM RouteChange WHERE id + ? <= ${idMax} ` +
      "ORDER BY id LIMIT ?",
    params: [ROUTE_CHANGES_MIN + addedCount, PRUNE_ROWS_MIN + 2 * addedCount],
  };
  const ids = rows.filter((row) =>
    numberOf(row.version) < nowS - ROUTE_CHANGE_AGE_MAX_S ||
    numberOf(row.id) <= numberOf(row.idMax) - ROUTE_CHANGES_MAX
  ).map((row) => numberOf(row.id));
  yield* deleteIdsScript("RouteChange", ids);
}
