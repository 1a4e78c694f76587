// Core. The names of module and command numbers that the console of the original keeps.

import {
  chunksOf,
  type Dialect,
  insertManyScript,
  numberOf,
  type Script,
  textOf,
} from "../drivers/sql_script.ts";

/** Names of one table that are read; of more the rest is left out. */
export const ORIGINAL_NAMES_MAX = 100_000;

/** Longest name that its columns take, in characters. */
export const ORIGINAL_NAME_LENGTH_MAX = 255;

/** What the original calls module numbers, and command numbers; of several rows the last counts. */
export interface OriginalNames {
  readonly modules: ReadonlyMap<number, string>;
  readonly commands: ReadonlyMap<number, string>;
}

function* namesScript(table: string, column: string): Script<Map<number, string>> {
  const rows = yield {
    sql:
      `SELECT ${column} AS number, content FROM ${table} ORDER BY id LIMIT ${ORIGINAL_NAMES_MAX}`,
  };
  return new Map(rows.map((row) => [numberOf(row.number), textOf(row.content)]));
}

/** Reads both tables. */
export function* originalNamesScript(): Script<OriginalNames> {
  return {
    modules: yield* namesScript("ModIDConfig", "modid"),
    commands: yield* namesScript("CmdIDConfig", "cmdid"),
  };
}

/** Adds rows to both tables; what is there stays. */
export function* addOriginalNamesScript(
  _dialect: Dialect,
  names: OriginalNames,
): Script<void> {
  const tables = [
    ["ModIDConfig(modid, content)", names.modules],
    ["CmdIDConfig(cmdid, content)", names.commands],
  ] as const;
  for (const [table, added] of tables) {
    for (const some of chunksOf([...added], 1000)) {
      yield* insertManyScript(`INSERT INTO ${table}`, 2, some, (row) => row);
    }
  }
}
