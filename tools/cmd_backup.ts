// Shell. `lars backup` and `lars restore`: a whole database as one file, and back, of either kind.

import { existsSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { VERSION } from "../daemon/version.ts";
import { quantity } from "../model/quantity.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { BackupProgress, RestoreResult } from "../sql/backup/backup.ts";
import type { BackupHead } from "../sql/backup/backup_format.ts";
import { parseStoreUrl } from "../sql/drivers/store_url.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { makeStoreFolder } from "./cmd_sql.ts";
import {
  addStoreOptions,
  isThere,
  type StoreFlags,
  storeUrlOf,
  withDriver,
  withStore,
} from "./store_access.ts";
import { noteLine, printJson, printLine } from "./terminal.ts";

/** Time between two lines of progress, in milliseconds. */
const PROGRESS_MS = 2_000;

interface BackupFlags extends StoreFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

interface RestoreFlags extends StoreFlags {
  readonly replace?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds `backup`. */
export function addTo(parent: Command): void {
  const command = parent.command("backup")
    .description(
      "Copy a whole database into one file while it is in use: one state of it, in lines of JSON " +
        "compressed by gzip, with counts and a checksum. The file holds hashes of passwords and " +
        "secrets of webhooks: only its owner can read it.",
    )
    .argument("<FILE>", "file to write")
    .option("--force", "write over a file that is there")
    .option("--json", "print one JSON value")
    .action((file: string, flags: BackupFlags) => backUp(file, flags));
  addStoreOptions(command);
  addExamples(command, [
    ["lars backup lars-backup.gz", "the database in ./data, also under `lars up`"],
    ["lars backup lars-backup.gz --store @/etc/lars/store.url", "MariaDB or MySQL"],
    ["zcat lars-backup.gz | head -1 | jq", "what is in it"],
  ]);
}

/** Adds `restore`. */
export function addRestoreTo(parent: Command): void {
  const command = parent.command("restore")
    .description(
      "Put a file of `lars backup` into a database, of either kind, in one transaction: all of it or " +
        "nothing. From then on it counts as the newest there is: every dns takes its routes at its " +
        "next look, and tells its agents.",
    )
    .argument("<FILE>", "file to read")
    .option("--replace", "allow the database to be in use: what it holds goes")
    .option("--yes", "do not ask before that")
    .option("--dry-run", "only read the file, and say whether it is whole")
    .option("--json", "print one JSON value")
    .action((file: string, flags: RestoreFlags) => restore(file, flags));
  addStoreOptions(command);
  addExamples(command, [
    ["lars restore lars-backup.gz --data /srv/lars", "into a new embedded database"],
    ["lars restore lars-backup.gz --store @store.url", "into MariaDB: a move from SQLite"],
    ["lars restore lars-backup.gz --replace", "back to the state of the file"],
  ]);
}

/** Says every two seconds how far it is; quick work says nothing. */
class ProgressLines {
  #dueMs = systemClock.nowMs() + PROGRESS_MS;

  note({ table, done, rows }: BackupProgress): void {
    const nowMs = systemClock.nowMs();
    if (nowMs < this.#dueMs) return;
    this.#dueMs = nowMs + PROGRESS_MS;
    noteLine(`${table}: ${done} of ${quantity(rows, "row")}`);
  }
}

function tablesOf({ tables }: BackupHead): Record<string, number> {
  return Object.fromEntries(tables.map(({ name, rows }) => [name, rows]));
}

function rowsOf({ tables }: BackupHead): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}

async function backUp(file: string, flags: BackupFlags): Promise<void> {
  if (existsSync(file) && flags.force !== true) {
    throw new CommandError(`${file} is there already: give --force, or another name`);
  }
  const { writeBackup } = await import("../sql/backup/backup.ts");
  const { sha256, writeLines } = await import("./backup_file.ts");
  const progress = new ProgressLines();
  const { head, bytes } = await withDriver(
    flags,
    (driver) =>
      writeLines(file, async (write) =>
        await writeBackup({
          ...{ driver, clock: systemClock, program: `lars/${VERSION}`, hash: sha256(), write },
          onProgress: (one) => progress.note(one),
        })),
  );
  if (flags.json === true) {
    const { schemaVersion, epoch, version } = head;
    return printJson({
      ...{ file, bytes, rows: rowsOf(head), schema_version: schemaVersion, epoch, version },
      tables: tablesOf(head),
    });
  }
  printLine(`${file}: ${quantity(rowsOf(head), "row")}, ${bytes} bytes`);
}

async function restore(file: string, flags: RestoreFlags): Promise<void> {
  const { BackupReader, refuseUsed, restoreBackup } = await import("../sql/backup/backup.ts");
  const { sha256, withLines } = await import("./backup_file.ts");
  const progress = new ProgressLines();
  const onProgress = (one: BackupProgress): void => progress.note(one);
  const { head, result } = await withLines(file, async (lines) => {
    const reader = await BackupReader.open({ lines, hash: sha256(), onProgress });
    if (flags.dryRun === true) {
      await reader.read(() => Promise.resolve());
      return { head: reader.head };
    }
    if (flags.replace === true) await askToReplace(file, flags);
    // What is left alone keeps its schema too.
    else if (isThere(storeUrlOf(flags))) {
      await withDriver(flags, (driver) => refuseUsed(driver, (make) => driver.run(make)));
    }
    // Before, for the tables; and after, for the rows that a younger schema begins with.
    await migrate(flags);
    const result = await withDriver(
      flags,
      (driver) => restoreBackup(driver, reader, flags.replace === true),
    );
    await migrate(flags);
    return { head: reader.head, result };
  });
  sayRestored(file, head, result, flags);
}

async function migrate(flags: RestoreFlags): Promise<void> {
  makeStoreFolder(storeUrlOf(flags));
  await withStore(flags, (store) => store.migrate(), { create: true });
}

function sayRestored(
  file: string,
  head: BackupHead,
  result: RestoreResult | undefined,
  flags: RestoreFlags,
): void {
  const rows = rowsOf(head);
  const madeAt = new Date(head.madeAt * 1000).toISOString();
  if (flags.json === true) {
    const { schemaVersion: schema_version } = head;
    return printJson({
      ...{ file, rows, schema_version, made_at: madeAt, tables: tablesOf(head) },
      ...{ restored: result !== undefined, ...result?.state },
    });
  }
  const about = `${quantity(rows, "row")} of ${madeAt}, from ${head.program}`;
  if (result === undefined) return printLine(`${file} is whole: ${about}`);
  const { epoch, version } = result.state;
  printLine(`restored ${about}: counts as it is, epoch ${epoch}, version ${version}`);
}

/** @throws {UsageError} where nobody can be asked; {@linkcode CommandError} when the answer is no. */
async function askToReplace(file: string, flags: RestoreFlags): Promise<void> {
  if (flags.yes === true) return;
  if (process.stdin.isTTY !== true || !runtime.isTerminal("stderr")) {
    throw new UsageError(
      "--replace takes away what the database holds: give --yes if that is meant",
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const { label } = parseStoreUrl(storeUrlOf(flags));
    const question = `Everything in ${label} goes, and ${file} comes. Type yes: `;
    if ((await terminal.question(question)).trim() === "yes") return;
  } finally {
    terminal.close();
  }
  throw new CommandError("Nothing was changed");
}
