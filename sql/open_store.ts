// Shell. Opens the store a url names.

import type { Clock } from "../reactor/time/clock.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { loopTurn, systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { LoadingDriver } from "./drivers/driver.ts";
import { SqlStore } from "./sql_store.ts";
import type { Store } from "./store.ts";
import { type MysqlUrl, parseStoreUrl, type SqliteUrl } from "./drivers/store_url.ts";

/** How a store behaves; all optional. */
export interface StoreOptions {
  /** Longest wait for one statement or a free connection, in milliseconds. @default {10_000} */
  queryTimeoutMs?: number;
  /** Longest wait for a connection to one host, in milliseconds. @default {5000} */
  connectTimeoutMs?: number;
  /** Connections of one store to a server, 1 to 1000. SQLite ignores it. @default {4} */
  connectionsMax?: number;
  /** @default {silentLogger} */
  log?: Logger;
  /** @default {systemClock} */
  clock?: Clock;
  /** For the jitter of repeated attempts. @default {systemRng} */
  rng?: Rng;
}

/** Options with their defaults filled in. */
export type FilledStoreOptions = Required<StoreOptions>;

function fillOptions(options: StoreOptions): FilledStoreOptions {
  const filled = {
    queryTimeoutMs: options.queryTimeoutMs ?? 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    connectionsMax: options.connectionsMax ?? 4,
    log: options.log ?? silentLogger,
    clock: options.clock ?? systemClock,
    rng: options.rng ?? systemRng,
  };
  for (const name of ["queryTimeoutMs", "connectTimeoutMs"] as const) {
    if (Number.isInteger(filled[name]) && filled[name] > 0 && filled[name] <= 3_600_000) continue;
    throw new RangeError(`${name} must be from 1 to 3600000: current value is ${filled[name]}`);
  }
  const { connectionsMax } = filled;
  if (!Number.isInteger(connectionsMax) || connectionsMax < 1 || connectionsMax > 1000) {
    throw new RangeError(
      `connectionsMax must be from 1 to 1000: current value is ${connectionsMax}`,
    );
  }
  return filled;
}

/**
 * Opens `sqlite:PATH` or `mysql://user:password@host[:port][,host2[:port]]/database`. Nothing is
 * contacted yet: a server that is away makes calls fail, not this. Several hosts are tried in
 * their order when one cannot be connected to.
 *
 * @throws {ConfigError} when the url cannot be read.
 * @throws {RangeError} when an option is out of range.
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<Store> {
  const parsed = parseStoreUrl(url);
  const filled = fillOptions(options);
  return new SqlStore({
    driver: await makeDriver(parsed, filled),
    clock: filled.clock,
    rng: filled.rng,
    log: filled.log,
    queryTimeoutMs: filled.queryTimeoutMs,
    yieldToLoop: loopTurn,
  });
}

/**
 * As {@linkcode openStore}, for whoever copies whole tables.
 *
 * @throws {ConfigError} when the url cannot be read.
 */
export function openDriver(url: string, options: StoreOptions = {}): Promise<LoadingDriver> {
  return makeDriver(parseStoreUrl(url), fillOptions(options));
}

/** Loads only the driver that is needed: the one for MySQL takes longer than everything else. */
async function makeDriver(
  url: SqliteUrl | MysqlUrl,
  options: FilledStoreOptions,
): Promise<LoadingDriver> {
  if (url.dialect === "sqlite") {
    const { SqliteDriver } = await import("./drivers/sqlite_store.ts");
    return new SqliteDriver(url, options.log);
  }
  const { MysqlDriver } = await import("./drivers/mysql_store.ts");
  return new MysqlDriver(url, options);
}
