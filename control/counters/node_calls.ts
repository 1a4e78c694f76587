// Shell. Reads what callers reported of each node, page by page.

import { type Clock, sleep } from "../../reactor/time/clock.ts";
import type { NodeCallTotals } from "../../sql/console/console_store.ts";
import type { Store } from "../../sql/store.ts";

/** Rows of a page. An embedded database reads on this thread: others run between two pages. */
const PAGE_ROWS = 250;

/** Nodes whose calls are read; of more the rest counts as idle. */
export const CALL_NODES_MAX = 200_000;

/**
 * Calls of every node with results, in order of module and address.
 *
 * @param sinceTs Callers count from this unix second on.
 * @param windowsSinceTs Counts of last windows are of callers that reported from then on.
 */
export async function readNodeCalls(
  store: Store,
  clock: Clock,
  sinceTs: number,
  windowsSinceTs = 0,
): Promise<NodeCallTotals[]> {
  const calls: NodeCallTotals[] = [];
  while (calls.length < CALL_NODES_MAX) {
    const page = await store.console.nodeCalls(
      sinceTs,
      calls.at(-1),
      PAGE_ROWS,
      windowsSinceTs,
    );
    calls.push(...page);
    if (page.length < PAGE_ROWS) break;
    await sleep(clock, 0);
  }
  return calls;
}
