// Shell. The database of a command: which one is meant, opened, and closed again.

import { statSync } from "node:fs";
import { type Command, Option } from "commander";
import {
  dataDirStoreUrl,
  DEFAULT_DATA_DIR,
  showsPassword,
} from "../daemon/settings/common_settings.ts";
import { readStoreUrl } from "../daemon/settings/store_url_file.ts";
import { errorCode } from "../reactor/runtime/common.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { DatabaseClock } from "../service/database_clock.ts";
import { endsWithin } from "../service/store_health.ts";
import { type LoadingDriver, StatementFault, storeErrorOf } from "../sql/drivers/driver.ts";
import type { Store } from "../sql/store.ts";
import { CommandError } from "./cli_errors.ts";
import { warningLine } from "./terminal.ts";

/** Options that say which database is meant. */
export interface StoreFlags {
  readonly store?: string;
  readonly data?: string;
}

/** Variable that names the database when no option does. */
export const STORE_VARIABLE = "LARS_STORE_URL";

/** Variable that names the data folder when no option does. */
export const DATA_VARIABLE = "LARS_DATA_DIR";

/** What help says of `--data`. */
export const DATA_DEFAULT_TEXT = `(default ${DATA_VARIABLE}, else ${DEFAULT_DATA_DIR})`;

/** The data folder: `--data`, LARS_DATA_DIR, `./data`, the first that is given. */
export function dataDirOf(flags: Pick<StoreFlags, "data">): string {
  return flags.data ?? (runtime.env(DATA_VARIABLE) || DEFAULT_DATA_DIR);
}

/** Adds `--store` and `--data`. */
export function addStoreOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--store <URL>",
        "database: sqlite:PATH, mysql://user:password@host:port/name, or @FILE that holds one " +
          `(or ${STORE_VARIABLE})`,
      ).conflicts("data"),
    )
    .option(
      "--data <DIR>",
      `folder of the embedded database, DIR/lars.db ${DATA_DEFAULT_TEXT}`,
    );
}

/** Flags of commands that were warned: one that opens the database again need not be told again. */
const WARNED = new WeakSet<StoreFlags>();

/** Warns of a password among the arguments: every user of the host sees it. */
export function warnOfPassword(flags: StoreFlags): void {
  if (!showsPassword(flags.store ?? "") || WARNED.has(flags)) return;
  WARNED.add(flags);
  warningLine(
    "everybody on this host can see the password in --store: give --store @FILE, a file that " +
      `holds the URL, or ${STORE_VARIABLE}`,
  );
}

/**
 * Url of the database: `--store`, `--data`, LARS_STORE_URL, LARS_DATA_DIR, `./data`: the first given.
 *
 * @throws {ConfigError} when the file behind `@FILE` cannot be read, or is empty.
 */
export function storeUrlOf(flags: StoreFlags): string {
  if (flags.store !== undefined) return readStoreUrl(flags.store, "--store");
  if (flags.data !== undefined) return dataDirStoreUrl(flags.data);
  return readStoreUrl(runtime.env(STORE_VARIABLE) ?? "", STORE_VARIABLE) ||
    dataDirStoreUrl(dataDirOf(flags));
}

/** What a store has to say that no command asks for: that its database is newer than the program. */
const STORE_LOG: Logger = {
  ...silentLogger,
  error: (message, fields) => warningLine(`${message}: ${fields?.reason ?? ""}`),
};

/** What a command says when the clock of its host is wrong. */
const CLOCK_LOG: Logger = {
  ...silentLogger,
  warn: (message, fields) => {
    const aheadS = Number(fields?.aheadS);
    const way = aheadS > 0 ? "ahead" : "behind";
    warningLine(`${message}: it is ${Math.abs(aheadS)} s ${way}`);
  },
};

/** Longest statement of one that copies: the count of the rows of a large table. */
const COPY_TIMEOUT_MS = 600_000;

/** The time of the database is waited for no longer than this: without it a command goes on. */
const CLOCK_WAIT_MS = 1_000;

/**
 * Opens the database, calls `fn`, and closes it. `clock` tells the time of the database, by which
 * ages of what stands in it are right on every host.
 *
 * @throws {CommandError} when the embedded database does not exist, or the file is none, and `create`
 * is not set: an empty one in the wrong folder would only hide the mistake.
 */
export async function withStore<T>(
  flags: StoreFlags,
  fn: (store: Store, clock: Clock) => Promise<T>,
  options: { create?: boolean } = {},
): Promise<T> {
  const url = storeUrlOf(flags);
  warnOfPassword(flags);
  if (options.create !== true) await requireFile(url);
  const { openStore } = await import("../sql/open_store.ts");
  const store = await openStore(url, { log: STORE_LOG });
  const clock = new DatabaseClock({ clock: systemClock, store, log: CLOCK_LOG });
  try {
    await endsWithin(systemClock, CLOCK_WAIT_MS, clock.start());
    return await fn(store, clock);
  } finally {
    clock.stop();
    await store.close();
  }
}

/** As {@linkcode withStore}, for whoever copies whole tables of a database that is there. */
export async function withDriver<T>(
  flags: StoreFlags,
  fn: (driver: LoadingDriver) => Promise<T>,
): Promise<T> {
  const url = storeUrlOf(flags);
  warnOfPassword(flags);
  await requireFile(url);
  const { openDriver } = await import("../sql/open_store.ts");
  const driver = await openDriver(url, { log: STORE_LOG, queryTimeoutMs: COPY_TIMEOUT_MS });
  try {
    return await fn(driver);
  } catch (error) {
    if (!(error instanceof StatementFault)) throw error;
    throw storeErrorOf(error, (words) => `${driver.label}: ${words}`);
  } finally {
    await driver.close();
  }
}

/**
 * False for an embedded database of which nothing is there; whoever opens it would make it.
 *
 * @throws {CommandError} when that cannot be seen.
 */
export function isThere(url: string): boolean {
  const path = sqlitePathOf(url);
  return path === undefined || (bytesOf(path) ?? 0) > 0;
}

/** Size of a file; undefined: there is none. @throws {CommandError} when that cannot be seen. */
function bytesOf(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error))) return undefined;
    throw notReadable(path, error);
  }
}

function notReadable(path: string, error: unknown): CommandError {
  return new CommandError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
}

function sqlitePathOf(url: string): string | undefined {
  return url.startsWith("sqlite:") ? url.slice("sqlite:".length) : undefined;
}

/**
 * Before a file is opened that no command should make or change.
 *
 * @throws {CommandError} when an embedded database does not exist, or the file is none of ours.
 */
async function requireFile(url: string): Promise<void> {
  const path = sqlitePathOf(url);
  if (path === undefined) return;
  const what = "name one with --store or --data, or make one with `lars up` or `lars sql migrate`";
  if (bytesOf(path) === undefined) {
    throw new CommandError(`There is no database at ${path}: ${what}`);
  }
  const { sqliteFileFault } = await import("../sql/drivers/sqlite_file.ts");
  let fault: string | undefined;
  try {
    fault = sqliteFileFault(path);
  } catch (error) {
    throw notReadable(path, error);
  }
  if (fault === undefined) return;
  throw new CommandError(`There is no database of Lars at ${path}, which ${fault}: ${what}`);
}
