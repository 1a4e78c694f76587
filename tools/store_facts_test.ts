import assert from "node:assert/strict";
import { test } from "node:test";
import { SCHEMA_VERSION } from "../sql/schema/migrations.ts";
import { factsText } from "./store_facts.ts";

test("factsText() says of an old schema what brings it up to date, of a newer one that it is, and nothing of today's", () => {
  const facts = { label: "sqlite:lars.db", moduleCount: 1, nodeCount: 2, version: 3 };
  const rest = "1 module, 2 nodes, route version 3";
  for (
    const [schemaVersion, schema] of [
      [0, "original schema (lars sql migrate adds our columns)"],
      [4, `schema version 4 of ${SCHEMA_VERSION} (lars sql migrate brings it up to date)`],
      [SCHEMA_VERSION, `schema version ${SCHEMA_VERSION}`],
      [
        SCHEMA_VERSION + 1,
        `schema version ${SCHEMA_VERSION + 1}, newer than this program, ` +
        `which knows ${SCHEMA_VERSION} and only reads`,
      ],
    ] as const
  ) assert.equal(factsText({ ...facts, schemaVersion }), `sqlite:lars.db: ${schema}, ${rest}`);
});
