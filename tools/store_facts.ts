// Shell. What a database holds, counted and put into words.

import type { Store } from "../sql/store.ts";
import { plural } from "./plural.ts";

/** What a database holds, as `sql status` and `status` show it. */
export interface StoreFacts {
  readonly store: string;
  readonly schema_version: number;
  readonly modules: number;
  readonly nodes: number;
  readonly route_version: number;
}

/** Counts what a database holds. */
export async function storeFacts(store: Store): Promise<StoreFacts> {
  const modules = new Set<string>();
  let nodes = 0;
  await store.readRoutes((rows) => {
    nodes += rows.length;
    for (const { modId, cmdId } of rows) modules.add(`${modId},${cmdId}`);
  });
  return {
    store: store.label,
    schema_version: await store.schemaVersion(),
    modules: modules.size,
    nodes,
    route_version: (await store.routeMark()).version,
  };
}

/** The facts as one line. */
export function factsText(facts: StoreFacts): string {
  const schema = facts.schema_version === 0
    ? "original schema (lars sql migrate adds our columns)"
    : `schema version ${facts.schema_version}`;
  return `${facts.store}: ${schema}, ${plural(facts.modules, "module")}, ` +
    `${plural(facts.nodes, "node")}, ` +
    `route version ${facts.route_version}`;
}
