import { join } from "node:path";
import { noTestDatabaseReason, runAdmin, withTestDatabase } from "../../tests/support/mariadb.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { testConsoleConformance } from "../testing/console_conformance.ts";

testConsoleConformance({
  name: "sqlite",
  withDatabase: (_test, fn) => withTempDir((path) => fn(`sqlite:${join(path, "lars.db")}`)),
  execute: () => Promise.resolve([]),
});

testConsoleConformance({
  name: "mysql",
  skipReason: noTestDatabaseReason(),
  withDatabase: withTestDatabase,
  execute: runAdmin,
});
