// Core. Discovery's part of the store over any driver.

import type { StoreCore } from "../console/console_sql_store.ts";
import type { Script } from "../drivers/sql_script.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  beatScript,
  changeLeasesScript,
  confirmGuardScript,
  findLeasesScript,
  foreignChangesScript,
  forgetHolderScript,
  guardScript,
  leasesSinceScript,
  listLeasesScript,
  pruneLeasesScript,
  putGuardScript,
} from "./lease_scripts.ts";
import type { NodeLeaseStore } from "./lease_store.ts";

/** The one implementation of {@linkcode NodeLeaseStore}: each method runs one script. */
export function leaseSqlStore({ driver, attempt, shape }: StoreCore): NodeLeaseStore {
  const { dialect } = driver;
  const plain = <T>(action: string, script: (shape: SchemaShape) => Script<T>): Promise<T> =>
    attempt(action, async () => {
      const known = await shape();
      return await driver.run(() => script(known));
    });
  const whole = <T>(action: string, script: (shape: SchemaShape) => Script<T>): Promise<T> =>
    attempt(action, async () => {
      const known = await shape();
      return await driver.transact(() => script(known), { durable: true });
    });
  return {
    change: (wish) => whole("change leases", (known) => changeLeasesScript(dialect, known, wish)),
    since: (seq, limit) =>
      plain("read changed leases", (known) => leasesSinceScript(known, seq, limit)),
    foreignChanges: (afterChangeId, ownVersions) =>
      plain("read what others changed", () => foreignChangesScript(afterChangeId, ownVersions)),
    list: (filter, limit) =>
      plain("read the leases", (known) => listLeasesScript(known, filter, limit)),
    find: (filter, offset, limit) =>
      plain("look for leases", (known) => findLeasesScript(known, filter, offset, limit)),
    beat: (holder) => plain("say that it lives", (known) => beatScript(dialect, known, holder)),
    forgetHolder: (id) => plain("forget a discovery", (known) => forgetHolderScript(known, id)),
    putGuard: (holder, rows) =>
      whole("write what is held back", (known) => putGuardScript(dialect, known, holder, rows)),
    guard: (holder) => plain("read what is held back", (known) => guardScript(known, holder)),
    confirmGuard: (module, audit) =>
      whole("confirm losses", (known) => confirmGuardScript(dialect, known, module, audit)),
    prune: () => whole("forget old leases", (known) => pruneLeasesScript(dialect, known)),
  };
}
