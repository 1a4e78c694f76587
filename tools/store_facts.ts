// Core. What a database holds, put into words.

import { plural } from "./plural.ts";
import type { StoreFacts } from "./system_access.ts";

/** The facts under names for programs. */
export function factsJson(facts: StoreFacts): Record<string, unknown> {
  return {
    store: facts.label,
    schema_version: facts.schemaVersion,
    modules: facts.moduleCount,
    nodes: facts.nodeCount,
    route_version: facts.version,
  };
}

/** The facts as one line. */
export function factsText(facts: StoreFacts): string {
  const schema = facts.schemaVersion === 0
    ? "original schema (lars sql migrate adds our columns)"
    : `schema version ${facts.schemaVersion}`;
  return `${facts.label}: ${schema}, ${plural(facts.moduleCount, "module")}, ` +
    `${plural(facts.nodeCount, "node")}, route version ${facts.version}`;
}
