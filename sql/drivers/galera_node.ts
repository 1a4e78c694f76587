// Core. What a node of a Galera cluster says of itself, and which of several is to be asked.

import { StatementFault } from "./driver.ts";
import { type Script, type SqlRow, textOf } from "./sql_script.ts";

/** `wsrep_local_state` of a node that has all that the cluster has, but for what is on its way. */
const SYNCED = 4;

/** How far a node is. */
export interface NodePosition {
  /** True when the cluster does not wait for it: it may lack any number of changes. */
  readonly lags: boolean;
  /** Number of the last change that it has; comparable among nodes of one cluster. */
  readonly committed: bigint;
}

/**
 * Asks a server how far it is. A backup that holds the tables of a node, and a node that gives its data
 * to another, are let behind without limit and say that they are ready all the same: their state
 * alone tells. One that is synced is waited for by all others, and so at most a few changes behind.
 *
 * @returns undefined for a server that is no node of a cluster.
 * @throws {StatementFault} transient, when it is one and cannot serve: no quorum, or it joins.
 */
export function* nodePositionScript(): Script<NodePosition | undefined> {
  const [on] = yield { sql: "SHOW GLOBAL VARIABLES LIKE 'wsrep_on'" };
  if (on === undefined || textOf(on.Value) !== "ON") return undefined;
  const rows = yield {
    sql: "SHOW GLOBAL STATUS WHERE Variable_name IN " +
      "('wsrep_ready', 'wsrep_local_state', 'wsrep_local_state_comment', 'wsrep_last_committed')",
  };
  const status = new Map(rows.map((row: SqlRow) => [textOf(row.Variable_name), textOf(row.Value)]));
  const comment = status.get("wsrep_local_state_comment") ?? "unknown";
  if (status.get("wsrep_ready") !== "ON") {
    throw new StatementFault(
      "transient",
      `wsrep_ready of a Galera node must be ON: it is not, its state is ${comment}`,
    );
  }
  return {
    lags: Number(status.get("wsrep_local_state")) !== SYNCED,
    committed: committedOf(status.get("wsrep_last_committed")),
  };
}

function committedOf(text = ""): bigint {
  return /^\d+$/.test(text) ? BigInt(text) : -1n;
}

/** The one of these that has most; all of them lag. */
export function furthest<T extends { readonly position: NodePosition }>(nodes: readonly T[]): T {
  return nodes.reduce((best, one) => one.position.committed > best.position.committed ? one : best);
}
