// Core. What a database holds, put into words.

import { SCHEMA_VERSION } from "../sql/schema/migrations.ts";
import { quantity } from "../model/quantity.ts";
import type { StoreFacts } from "../control/schemas.ts";

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

/** The version of the schema, and what to do when it is an old one. */
function schemaText(version: number): string {
  if (version === 0) return "original schema (lars sql migrate adds our columns)";
  if (version > SCHEMA_VERSION) {
    return `schema version ${version}, newer than this program, which knows ${SCHEMA_VERSION} and ` +
      "only reads";
  }
  if (version === SCHEMA_VERSION) return `schema version ${version}`;
  return `schema version ${version} of ${SCHEMA_VERSION} (lars sql migrate brings it up to date)`;
}

/** The facts as one line. */
export function factsText(facts: StoreFacts): string {
  const schema = schemaText(facts.schemaVersion);
  return `${facts.label}: ${schema}, ${quantity(facts.moduleCount, "module")}, ` +
    `${quantity(facts.nodeCount, "node")}, route version ${facts.version}`;
}
