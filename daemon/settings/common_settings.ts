// Core. Keys that several services share, under the names of the original configuration files.

import { isLoopback } from "../../reactor/address.ts";
import { ConfigError } from "../../reactor/errors.ts";
import {
  boolean,
  choice,
  integer,
  type Setting,
  type SettingsOf,
  type SettingsTable,
  text,
} from "./settings.ts";

/** Keys of a TCP service, `[reactor]`. */
export interface ReactorSettings extends SettingsTable {
  readonly connectionsMax: Setting<number>;
  readonly connectionsPerHostMax: Setting<number>;
  readonly loopCount: Setting<number>;
  readonly listenIp: Setting<string>;
  readonly listenPort: Setting<number>;
}

/** Table of `[reactor]` for a service whose port is `defaultPort`. */
export function reactorSettings(defaultPort: number): ReactorSettings {
  return {
    connectionsMax: integer("reactor", "maxConn", {
      default: 1024,
      min: 1,
      max: 1_000_000,
      doc: "Most connections at once; a further one is closed at once and counted.",
    }),
    connectionsPerHostMax: integer("reactor", "max_conn_per_ip", {
      default: 256,
      min: 0,
      max: 1_000_000,
      doc: "Most connections of one remote address in one loop, loopback excepted; 0: no limit.",
    }),
    loopCount: integer("reactor", "threadNum", {
      default: 1,
      min: 1,
      max: 64,
      doc:
        "Event loops that accept connections; 1 serves on the main thread, more are Web Workers.",
    }),
    listenIp: text("reactor", "ip", {
      default: "127.0.0.1",
      shape: "IPv4 address or name",
      doc: "Address to listen on. Any other than loopback needs [auth].",
    }),
    listenPort: integer("reactor", "port", {
      default: defaultPort,
      min: 0,
      max: 65535,
      doc: "Port to listen on; 0 takes a free one.",
    }),
  };
}

/** Keys of the database, `[store]` and the original's `[mysql]`. */
export const storeSettings = {
  storeUrl: text("store", "url", {
    default: "",
    secret: true,
    shape: "sqlite:PATH or mysql://user:password@host:port/database",
    doc: "Database; wins over [mysql]. Empty: use [mysql].",
  }),
  mysqlHost: text("mysql", "db_host", {
    default: "",
    doc: "Database host; 127.0.0.1 when another key of this section is set.",
  }),
  mysqlPort: integer("mysql", "db_port", {
    default: 3306,
    min: 1,
    max: 65535,
    doc: "Database port.",
  }),
  mysqlUser: text("mysql", "db_user", { default: "", doc: "Database user; empty: root." }),
  mysqlPassword: text("mysql", "db_passwd", {
    default: "",
    secret: true,
    doc: "Database password.",
  }),
  mysqlDatabase: text("mysql", "db_name", { default: "", doc: "Database; empty: lars_dns." }),
} as const satisfies SettingsTable;

/** Folder of the embedded database when nothing else is said. */
export const DEFAULT_DATA_DIR = "./data";

/** URL of the embedded database in a data folder. */
export function dataDirStoreUrl(dataDir: string): string {
  return `sqlite:${dataDir.replace(/\/+$/, "")}/lars.db`;
}

/**
 * The database of an original configuration file that names none: what the original's code falls
 * back to.
 */
export const ORIGINAL_STORE_URL = "mysql://root:aceld@127.0.0.1:3306/lars_dns";

/** True when a database is configured, by `[store]` or by any text key of `[mysql]`. */
export function namesStore(settings: SettingsOf<typeof storeSettings>): boolean {
  const { storeUrl, mysqlHost, mysqlUser, mysqlPassword, mysqlDatabase } = settings;
  return storeUrl + mysqlHost + mysqlUser + mysqlPassword + mysqlDatabase !== "";
}

/**
 * The one URL that opens the database: `[store] url`, else one made of the `[mysql]` keys when any
 * of them names a host, user, password or database, else the embedded one in `./data`.
 */
export function storeUrl(settings: SettingsOf<typeof storeSettings>): string {
  if (settings.storeUrl !== "") return settings.storeUrl;
  const { mysqlHost, mysqlPort, mysqlUser, mysqlPassword, mysqlDatabase } = settings;
  if (!namesStore(settings)) return dataDirStoreUrl(DEFAULT_DATA_DIR);
  const user = encodeURIComponent(mysqlUser || "root");
  const password = mysqlPassword === "" ? "" : `:${encodeURIComponent(mysqlPassword)}`;
  const database = encodeURIComponent(mysqlDatabase || "lars_dns");
  return `mysql://${user}${password}@${mysqlHost || "127.0.0.1"}:${mysqlPort}/${database}`;
}

/** Who may connect, `[auth]`. */
export const authSettings = {
  tokenFile: text("auth", "token_file", {
    default: "",
    shape: "path",
    doc: "File with the secret that dns, reporter and agents share; empty: no authentication.",
  }),
  allowInsecure: boolean("auth", "allow_insecure", {
    default: false,
    doc: "1 lets a service listen beyond loopback without authentication, on a trusted network.",
  }),
} as const satisfies SettingsTable;

/** Ports of the metrics of each service when none is set. */
export const METRICS_PORTS = { dns: 9778, reporter: 9779, web: 9780, agent: 9888 } as const;

/** Keys of the side door of a service, `[metrics]`. */
export interface MetricsSettings extends SettingsTable {
  readonly metricsIp: Setting<string>;
  readonly metricsPort: Setting<number>;
  readonly metricsTokenFile: Setting<string>;
}

/** Table of `[metrics]` for a service whose metrics are on `defaultPort`. */
export function metricsSettings(defaultPort: number): MetricsSettings {
  return {
    metricsIp: text("metrics", "ip", {
      default: "127.0.0.1",
      shape: "IPv4 address or name",
      doc: "Address of /metrics, /healthz and /readyz. Any other than loopback needs a token.",
    }),
    metricsPort: integer("metrics", "port", {
      default: defaultPort,
      min: 0,
      max: 65535,
      doc: "Port of the same; 0: none. The default port, when taken, costs a warning only.",
    }),
    metricsTokenFile: text("metrics", "token_file", {
      default: "",
      shape: "path",
      doc: "File with what a scraper must show as Authorization: Bearer; empty: nothing.",
    }),
  };
}

/** What is written to standard error, `[log]`. */
export const logSettings = {
  logLevel: choice("log", "level", {
    default: "info",
    values: ["debug", "info", "warning", "error"],
    doc: "Least important kind of line that is written.",
  }),
  logFormat: choice("log", "format", {
    default: "text",
    values: ["text", "json"],
    doc: "text for people, json for machines (one object a line).",
  }),
} as const satisfies SettingsTable;

/**
 * Holds every service to the rule that a listener beyond loopback needs authentication.
 *
 * @throws {ConfigError} naming the two keys that would make it start.
 */
export function requireSafeListen(
  listenIp: string,
  auth: SettingsOf<typeof authSettings>,
): void {
  if (isLoopback(listenIp) || auth.tokenFile !== "" || auth.allowInsecure) return;
  throw new ConfigError(
    `Will not listen on ${listenIp} without authentication: set [auth] token_file = FILE, ` +
      "or [auth] allow_insecure = 1 on a trusted network",
  );
}
