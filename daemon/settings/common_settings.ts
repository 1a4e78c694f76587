// Core. Keys that several services share, under the names of the original configuration files.

import { isLoopback } from "../../reactor/address.ts";
import { ConfigError } from "../../reactor/errors.ts";
import { PLAIN_PEERS } from "../../session/tls/tls_identity.ts";
import { Section, type Setting, type SettingsOf, type SettingsTable } from "./settings.ts";

const reactor = new Section("reactor");
const store = new Section("store");
const mysql = new Section("mysql");
const auth = new Section("auth");
const tls = new Section("tls");
const metrics = new Section("metrics");
const log = new Section("log");

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
    connectionsMax: reactor.integer("maxConn", 1024, [1, 1_000_000], { above: 1_000_000 })
      .doc("Most connections at once; a further one is closed at once and counted."),
    connectionsPerHostMax: reactor.integer("max_conn_per_ip", 256, [0, 1_000_000])
      .doc("Most connections of one remote address in one loop, loopback excepted; 0: no limit."),
    loopCount: reactor.integer("threadNum", 1, [1, 64], { below: 1, above: 64 })
      .doc(
        "Event loops that accept connections; 1 serves on the main thread, more are Web " +
          "Workers.",
      ),
    listenIp: reactor.host("ip", "127.0.0.1")
      .doc("Address to listen on. Any other than loopback needs [auth]."),
    listenPort: reactor.integer("port", defaultPort, [0, 65535])
      .doc("Port to listen on; 0 takes a free one."),
  };
}

/** Keys of the database, `[store]` and the original's `[mysql]`. */
export const storeSettings = {
  storeUrl: store.text("url", "", {
    secret: true,
    shape: "sqlite:PATH, mysql://user:password@host:port/name, or @FILE that holds one",
  })
    .doc("Database; wins over [mysql]. Empty: use [mysql]."),
  mysqlHost: mysql.text("db_host", "")
    .doc("Database host; 127.0.0.1 when another key of this section is set."),
  mysqlPort: mysql.integer("db_port", 3306, [1, 65535])
    .doc("Database port."),
  mysqlUser: mysql.text("db_user", "")
    .doc("Database user; empty: root."),
  mysqlPassword: mysql.text("db_passwd", "", { secret: true })
    .doc("Database password."),
  mysqlDatabase: mysql.text("db_name", "")
    .doc("Database; empty: lars_dns."),
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

/** True when a database's URL holds a password. */
export function showsPassword(url: string): boolean {
  return /^[a-z]+:\/\/[^/@]*:[^/@]+@/i.test(url);
}

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
  // The original's key holds one host; several, or one in brackets, are taken as they are.
  const isIpv6 = /^[0-9a-f.]*:[0-9a-f:.]*:[0-9a-f:.]*$/i.test(mysqlHost);
  const host = isIpv6 ? `[${mysqlHost}]` : mysqlHost || "127.0.0.1";
  return `mysql://${user}${password}@${host}:${mysqlPort}/${database}`;
}

/** Who may connect, `[auth]` and `[tls]`. */
export const authSettings = {
  tokenFile: auth.text("token_file", "", { shape: "path" })
    .doc(
      "File with the secret that dns, reporter and agents share, or with two, one a line, while " +
        "one takes the place of the other; empty: no authentication. SIGHUP reads it again.",
    ),
  addressTranslation: auth.boolean("address_translation", false)
    .doc(
      "1: peers reach this service through address translation or a TCP proxy of yours, so the " +
        "addresses that their proofs name are not compared.",
    ),
  allowInsecure: auth.boolean("allow_insecure", false)
    .doc("1 lets a service listen beyond loopback without authentication, on a trusted network."),
  tlsCert: tls.text("cert", "", { shape: "path" })
    .doc(
      "File with the certificate of this service, in PEM, which names its role; empty: no TLS. " +
        "What changes in these files is taken within 10 s, and at SIGHUP.",
    ),
  tlsKey: tls.text("key", "", { shape: "path" })
    .doc("File with its private key, in PEM; empty: it is in the file of cert."),
  tlsCa: tls.text("ca", "", { shape: "path" })
    .doc("File with the certificates, in PEM, of those who sign the ones of peers."),
  tlsRefused: tls.text("refused", "", { shape: "path" })
    .doc("File with SHA-256 fingerprints, one a line, of certificates that count no more."),
  tlsPlain: tls.choice("plain", "loopback", PLAIN_PEERS)
    .doc(
      "Who does without TLS: loopback, peers on this host; off, nobody; accept, whoever calls; " +
        "use, this service too when it calls.",
    ),
} as const satisfies SettingsTable;

/** Ports of the metrics of each service when none is set. */
export const METRICS_PORTS = {
  dns: 9778,
  reporter: 9779,
  web: 9780,
  agent: 9888,
  relay: 9781,
  discovery: 9782,
  export: 9783,
} as const;

/** Keys of the side door of a service, `[metrics]`. */
export interface MetricsSettings extends SettingsTable {
  readonly metricsIp: Setting<string>;
  readonly metricsPort: Setting<number>;
  readonly metricsTokenFile: Setting<string>;
}

/** Table of `[metrics]` for a service whose metrics are on `defaultPort`. */
export function metricsSettings(defaultPort: number): MetricsSettings {
  return {
    metricsIp: metrics.host("ip", "127.0.0.1")
      .doc("Address of /metrics, /healthz and /readyz. Any other than loopback needs a token."),
    metricsPort: metrics.integer("port", defaultPort, [0, 65535])
      .doc("Port of the same; 0: none. The default port, when taken, costs a warning only."),
    metricsTokenFile: metrics.text("token_file", "", { shape: "path" })
      .doc("File with what a scraper must show as Authorization: Bearer; empty: nothing."),
  };
}

/** What is written to standard error, `[log]`. */
export const logSettings = {
  logLevel: log.choice("level", "info", ["debug", "info", "warning", "error"])
    .doc("Least important kind of line that is written."),
  logFormat: log.choice("format", "text", ["text", "json"])
    .doc("text for people, json for machines (one object a line)."),
} as const satisfies SettingsTable;

/**
 * Holds every service to the rule that a listener beyond loopback needs authentication.
 *
 * @param speaksTls False for a port that knows no TLS, so that a certificate protects nothing there.
 * @throws {ConfigError} naming the keys that would make it start.
 */
export function requireSafeListen(
  listenIp: string,
  auth: SettingsOf<typeof authSettings>,
  speaksTls = true,
): void {
  if (isLoopback(listenIp) || auth.tokenFile !== "" || auth.allowInsecure) return;
  const { tlsCert, tlsPlain } = auth;
  const wantsTls = tlsCert !== "" && (tlsPlain === "loopback" || tlsPlain === "off");
  if (speaksTls && wantsTls) return;
  const byTls = speaksTls ? "[tls] cert = FILE, " : "";
  throw new ConfigError(
    `Will not listen on ${listenIp} without authentication: set [auth] token_file = FILE, ` +
      `${byTls}or [auth] allow_insecure = 1 on a trusted network`,
  );
}

/**
 * Holds the side door to the rule that a listener beyond loopback needs authentication.
 *
 * @throws {ConfigError} naming the keys that would make it start.
 */
export function requireSafeMonitor(
  settings: SettingsOf<MetricsSettings>,
  auth: SettingsOf<typeof authSettings>,
): void {
  const { metricsIp, metricsPort, metricsTokenFile } = settings;
  if (metricsPort === 0 || isLoopback(metricsIp) || metricsTokenFile !== "") return;
  if (auth.allowInsecure) return;
  throw new ConfigError(
    `Will not show metrics on ${metricsIp} without authentication: set [metrics] token_file = ` +
      "FILE, or [auth] allow_insecure = 1 on a trusted network",
  );
}
