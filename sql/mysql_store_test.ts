import { runAdmin, withTestDatabase } from "../tests/support/mariadb.ts";
import { testStoreConformance } from "./store_conformance.ts";

testStoreConformance({ name: "mysql", withDatabase: withTestDatabase, execute: runAdmin });
