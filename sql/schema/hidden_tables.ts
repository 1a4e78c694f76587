// Core. Which tables a server of the database hides, because the account has no right on them at all.

import type { Dialect, Script } from "../drivers/sql_script.ts";
import { SCHEMA_VERSION, schemaVersionScript } from "./migrations.ts";
import { tableColumnsScript } from "./schema_shape.ts";

/**
 * Those of these tables that the database has by its migrations, and this account does not see. None
 * of a database that lacks migrations, which need not have them.
 */
export function* hiddenTablesScript(dialect: Dialect, names: readonly string[]): Script<string[]> {
  const tables = yield* tableColumnsScript(dialect);
  const version = yield* schemaVersionScript(dialect);
  // The list of migrations may be hidden itself.
  const isMigrated = version >= SCHEMA_VERSION || version === 0 && tables.has("module");
  return isMigrated ? names.filter((name) => !tables.has(name.toLowerCase())) : [];
}
