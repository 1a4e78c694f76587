// Core. Reads the url of a store.

import { ConfigError } from "../../reactor/errors.ts";
import { type Address, formatAddress, parseAddress } from "../../reactor/address.ts";

/** Port of MySQL when the url names none. */
const MYSQL_PORT = 3306;
/** Most hosts of one url; more would make one failed call wait for minutes. */
export const STORE_HOSTS_MAX = 8;

/** A parsed `sqlite:PATH`. */
export interface SqliteUrl {
  readonly dialect: "sqlite";
  readonly path: string;
  /** The url itself: it holds no secret. */
  readonly label: string;
}

/** A parsed `mysql://user:password@host[:port][,host2[:port]]/database`. */
export interface MysqlUrl {
  readonly dialect: "mysql";
  readonly user: string;
  readonly password: string;
  /** In order of preference. */
  readonly hosts: readonly Address[];
  readonly database: string;
  /** `tls=1`: encrypt, and check the server's certificate and name. */
  readonly tls: boolean;
  /** `tls_ca=FILE`: check against the authorities of this file instead of the system's. */
  readonly tlsCaFile: string | undefined;
  /** Url without the password. */
  readonly label: string;
}

/**
 * Reads a store url. User and password may hold percent-encoded characters.
 *
 * @throws {ConfigError} saying what a store url looks like; never repeats a password.
 */
export function parseStoreUrl(url: string): SqliteUrl | MysqlUrl {
  if (url.startsWith("sqlite:")) return parseSqliteUrl(url);
  if (url.startsWith("mysql://")) return parseMysqlUrl(url);
  throw new ConfigError(
    "Store url must start with sqlite: or mysql://, as in sqlite:data/lars.db or " +
      "mysql://user:password@host:3306/database",
  );
}

function parseSqliteUrl(url: string): SqliteUrl {
  const path = url.slice("sqlite:".length);
  if (path === "" || path === ":memory:" || /^\/\/[^/]/.test(path) || path.includes("\0")) {
    throw new ConfigError(
      `Store url must name a file, as in sqlite:data/lars.db: current value is "${url}"`,
    );
  }
  return { dialect: "sqlite", path, label: url };
}

function parseMysqlUrl(url: string): MysqlUrl {
  const rest = url.slice("mysql://".length);
  // The last @ divides, for passwords in which somebody forgot to encode one.
  const at = rest.lastIndexOf("@");
  const [place, query = ""] = rest.slice(at + 1).split("?", 2);
  const slash = place.indexOf("/");
  if (at < 1 || slash < 1 || slash === place.length - 1) {
    throw new ConfigError(
      "Store url must look like mysql://user:password@host:3306/database",
    );
  }
  const [user, password] = parseAccount(rest.slice(0, at));
  const database = decode(place.slice(slash + 1), "database");
  const hosts = parseHosts(place.slice(0, slash));
  const label = `mysql://${user}@${hosts.map(formatAddress).join(",")}/${database}`;
  return { dialect: "mysql", user, password, hosts, database, ...parseOptions(query), label };
}

function parseAccount(text: string): [user: string, password: string] {
  const colon = text.indexOf(":");
  if (colon < 0) return [decode(text, "user"), ""];
  return [decode(text.slice(0, colon), "user"), decode(text.slice(colon + 1), "password")];
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigError(`Store url must have its ${part} percent-encoded: a % stands alone`);
  }
}

function parseHosts(text: string): Address[] {
  const parts = text.split(",");
  if (parts.length > STORE_HOSTS_MAX) {
    throw new ConfigError(
      `Store url must name at most ${STORE_HOSTS_MAX} hosts: current value is ${parts.length}`,
    );
  }
  return parts.map((part) => {
    try {
      return parseAddress(part, MYSQL_PORT);
    } catch (error) {
      throw new ConfigError(
        `Store url must name hosts as host or host:port: "${part}" is neither`,
        {
          cause: error,
        },
      );
    }
  });
}

function parseOptions(query: string): { tls: boolean; tlsCaFile: string | undefined } {
  const options = new URLSearchParams(query);
  for (const key of options.keys()) {
    if (key === "tls" || key === "tls_ca") continue;
    throw new ConfigError(`Store url must have no options but tls and tls_ca: "${key}" is unknown`);
  }
  const tls = options.get("tls") ?? (options.has("tls_ca") ? "1" : "0");
  if (tls !== "0" && tls !== "1") {
    throw new ConfigError(`Store url option tls must be 0 or 1: current value is "${tls}"`);
  }
  return { tls: tls === "1", tlsCaFile: options.get("tls_ca") ?? undefined };
}
