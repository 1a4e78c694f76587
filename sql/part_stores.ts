// Core. The parts of a store that have scripts of their own.

import { consoleSqlStore, type StoreCore } from "./console/console_sql_store.ts";
import { leaseSqlStore } from "./leases/lease_sql_store.ts";
import { mailSqlStore } from "./mail/mail_sql_store.ts";
import type { Store } from "./store.ts";

/** Makes each of them over one database. */
export function partStores(core: StoreCore): Pick<Store, "console" | "leases" | "mail"> {
  return {
    console: consoleSqlStore(core),
    leases: leaseSqlStore(core),
    mail: mailSqlStore(core),
  };
}
