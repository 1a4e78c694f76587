// Shell. A database full of routes, for services to be measured with.

import { openStore, type RouteEdit, type Store } from "../sql/mod.ts";

const EDITS_AT_ONCE = 2000;

/**
 * Makes the modules (1, 1) to (`modules`, 1) of `nodes` nodes each.
 *
 * @param more Run with the store before it is closed.
 */
export async function fillStore(
  url: string,
  modules: number,
  nodes: number,
  more: (store: Store) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const store = await openStore(url);
  try {
    await store.migrate();
    const edits = Array.from({ length: modules * nodes }, (_, index): RouteEdit => ({
      op: "add",
      modId: 1 + Math.floor(index / nodes),
      cmdId: 1,
      ip: 0xc0a80001 + index % nodes,
      port: 7777,
    }));
    for (let at = 0; at < edits.length; at += EDITS_AT_ONCE) {
      await store.editRoutes(edits.slice(at, at + EDITS_AT_ONCE));
    }
    await more(store);
  } finally {
    await store.close();
  }
}
