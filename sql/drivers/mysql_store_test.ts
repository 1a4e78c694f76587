import { noTestDatabaseReason, runAdmin, withTestDatabase } from "../../tests/support/mariadb.ts";
import { testStoreConformance } from "../testing/store_conformance.ts";

testStoreConformance({
  name: "mysql",
  skipReason: noTestDatabaseReason(),
  withDatabase: withTestDatabase,
  execute: runAdmin,
});
