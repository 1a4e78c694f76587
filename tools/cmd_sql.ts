// Shell. `lars sql`: the schema of the database.

import { dirname } from "node:path";
import { Argument, type Command } from "commander";
import { messageOf } from "../reactor/errors.ts";
import { GRANTED_SERVICES, type GrantedService, grantStatements } from "../sql/grants/grants.ts";
import { UsageError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { factsJson, factsText } from "./store_facts.ts";
import { addStoreOptions, storeUrlOf, withStore } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine } from "./terminal.ts";
import { makeFolder } from "./whole_file.ts";

interface SqlFlags extends SystemFlags {
  readonly json?: boolean;
}

/** Adds `sql` and its subcommands. */
export function addTo(parent: Command): void {
  const sql = parent.command("sql").description("The schema of the database.");
  const migrate = sql.command("migrate")
    .description(
      "Create what is missing: the original tables, our columns after theirs, our own tables. " +
        "Safe to run twice; keeps all rows.",
    )
    .option("--json", "print one JSON value")
    .action((flags: SqlFlags) => migrateStore(flags));
  addStoreOptions(migrate);
  addExamples(migrate, [
    ["lars sql migrate", "the embedded database in ./data"],
    ["lars sql migrate --store @/etc/lars/store.url", "the database whose URL is in that file"],
  ]);
  const status = sql.command("status")
    .description("Say which schema the database has, and how much it holds.")
    .option("--json", "print one JSON value")
    .action((flags: SqlFlags) => showStatus(flags));
  addServerOption(addStoreOptions(status));
  addExamples(status, [["lars sql status --data /var/lib/lars", "an embedded database"]]);
  addGrants(sql);
  addAcceptRestored(sql);
  addExamples(sql, [
    ["lars sql accept-restored", "let a restored database count"],
    ["lars sql migrate", "bring the schema up to date"],
    ["lars sql status", "how far is it?"],
  ]);
}

interface GrantFlags {
  readonly user?: string;
  readonly host: string;
  readonly database: string;
}

function addGrants(sql: Command): void {
  const grants = sql.command("grants")
    .description("Print the statements that give a service the least rights in MariaDB or MySQL.")
    .addArgument(
      new Argument("<SERVICE>", "whose account it is; all: one that everything shares")
        .choices(GRANTED_SERVICES),
    )
    .option("--user <NAME>", "name of the account; lars_SERVICE unless told otherwise")
    .option("--host <HOST>", "from where it may come", "%")
    .option("--database <NAME>", "the database", "lars_dns")
    .action((service: GrantedService, flags: GrantFlags) => {
      try {
        for (const line of grantStatements(service, flags)) printLine(line);
      } catch (error) {
        throw new UsageError(messageOf(error));
      }
    });
  addExamples(grants, [
    ["lars sql grants dns", "for lars_dns@'%'"],
    ["lars sql grants web --host 10.0.0.5 | mariadb", "given at once"],
  ]);
}

function addAcceptRestored(sql: Command): void {
  const accept = sql.command("accept-restored")
    .description(
      "Say that a database which was set back, as from a backup, counts as it is. Until then dns " +
        "and agents keep the newer routes that they have.",
    )
    .option("--json", "print one JSON value")
    .action((flags: SqlFlags) => acceptRestored(flags));
  addStoreOptions(accept);
  addExamples(accept, [
    ["lars sql accept-restored --store @/etc/lars/store.url", "after the backup was put back"],
  ]);
}

/** Makes the folder of an embedded database; other databases need none. */
export function makeStoreFolder(url: string): void {
  if (!url.startsWith("sqlite:")) return;
  makeFolder(dirname(url.slice("sqlite:".length)));
}

async function migrateStore(flags: SqlFlags): Promise<void> {
  makeStoreFolder(storeUrlOf(flags));
  await withStore(flags, async (store) => {
    const { applied, version } = await store.migrate();
    if (flags.json === true) return printJson({ applied, version, store: store.label });
    for (const name of applied) printLine(`applied ${name}`);
    const already = applied.length === 0 ? ", nothing to do" : "";
    printLine(`${store.label}: schema version ${version}${already}`);
  }, { create: true });
}

async function acceptRestored(flags: SqlFlags): Promise<void> {
  await withStore(flags, async (store) => {
    const { epoch, version } = await store.acceptRestored();
    if (flags.json === true) return printJson({ epoch, version, store: store.label });
    printLine(`${store.label}: counts as it is, epoch ${epoch}, version ${version}`);
    printLine("Every dns takes its routes at its next look, and tells its agents.");
  });
}

async function showStatus(flags: SqlFlags): Promise<void> {
  const facts = await withSystem(flags, (system) => system.facts());
  if (flags.json === true) printJson(factsJson(facts));
  else printLine(factsText(facts));
}
