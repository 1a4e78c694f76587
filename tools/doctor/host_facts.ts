// Shell. Looks at this host for `lars doctor`: limits, disk, configuration files, and ways to services.

import { existsSync, readFileSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type DaemonDefinition, fullTable, readConfigFile } from "../../daemon/daemon.ts";
import { showsPassword } from "../../daemon/settings/common_settings.ts";
import { readSettings, type SettingsTable } from "../../daemon/settings/settings.ts";
import type { ConfigFile } from "../../reactor/config_file.ts";
import { isLoopback } from "../../reactor/address.ts";
import { ConfigError } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { ExportConfig } from "./export_facts.ts";
import type { ConfigFacts, ExportFault, HostFacts } from "./findings.ts";
import { REACH_TIMEOUT_MS } from "./reach.ts";

/** Others than owner and group may read. */
const MODE_OTHERS_READ = 0o004;
/** Keys that name a file with a secret. */
const SECRET_KEYS: readonly (readonly [string, string])[] = [
  ["auth", "token_file"],
  ["metrics", "token_file"],
  ["relay", "nats_token_file"],
];
/** Keys that name a file in which a private key may be: a certificate may have it beside itself. */
const PAIR_KEYS: readonly (readonly [string, string])[] = [
  ["tls", "cert"],
  ["tls", "key"],
  ["web", "cert"],
  ["web", "key"],
];
/** Larger files are no pairs. */
const PAIR_BYTES_MAX = 2 ** 20;

/** Limits, and the disk that holds `dataDir` or will. */
export function hostFacts(dataDir: string): HostFacts {
  return { openFilesMax: runtime.openFilesMax(), disk: diskOf(dataDir) };
}

function diskOf(path: string): HostFacts["disk"] {
  if (!existsSync(path)) return undefined;
  const { bsize, bavail, blocks } = statfsSync(path);
  return { path, freeBytes: bavail * bsize, bytes: blocks * bsize };
}

/**
 * What is wrong with a configuration file, for each service that it is for.
 *
 * @param timeoutMs Time that each who is asked may take.
 */
export async function configFacts(
  path: string,
  timeoutMs = REACH_TIMEOUT_MS,
): Promise<ConfigFacts> {
  let file: ConfigFile;
  try {
    file = await readConfigFile(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { path, problems: error.problems, readable: [], isOpen: false, exports: undefined };
  }
  const problems = new Set<string>();
  let exports: readonly ExportFault[] | undefined;
  for (const definition of await definitionsFor(file)) {
    try {
      const read = (table: SettingsTable): unknown =>
        readSettings(table, { file }, (warning) => void problems.add(warning));
      const settings = read(fullTable(definition));
      if (definition.name === "export") {
        const { exportFaults } = await import("./export_facts.ts");
        exports = await exportFaults(settings as ExportConfig, timeoutMs);
      }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.add(problem);
    }
  }
  const named = (keys: typeof SECRET_KEYS): string[] =>
    keys.map(([section, key]) => file.get(section, key)?.value ?? "").filter((name) => name !== "");
  const store = file.get("store", "url")?.value ?? "";
  const secrets = [...named(SECRET_KEYS), ...store.startsWith("@") ? [store.slice(1)] : []];
  const pairs = new Set(named(PAIR_KEYS));
  const password = file.get("mysql", "db_passwd")?.value ?? "";
  // A file that holds a password is one of those that strangers may not read.
  const holders = showsPassword(store) || password !== "" ? [path] : [];
  for (const name of secrets) {
    if (!existsSync(name)) problems.add(`${path}: ${name} is named for a secret and is not there`);
  }
  for (const name of pairs) {
    if (!existsSync(name)) problems.add(`${path}: ${name} is named for TLS and is not there`);
  }
  return {
    path,
    problems: [...problems],
    readable: [...holders, ...secrets, ...[...pairs].filter(holdsKey)].filter(isReadableByOthers),
    isOpen: isOpen(file),
    exports,
  };
}

/** False for a file that cannot be read from here: others cannot either. */
function holdsKey(path: string): boolean {
  try {
    return statSync(path).size <= PAIR_BYTES_MAX &&
      readFileSync(path, "utf8").includes("PRIVATE KEY-----");
  } catch {
    return false;
  }
}

function isReadableByOthers(path: string): boolean {
  if (!existsSync(path)) return false;
  // Nobody gets at a file in a folder that is closed to others.
  const isFolderOpen = (statSync(dirname(path)).mode & 0o001) !== 0;
  return isFolderOpen && (statSync(path).mode & MODE_OTHERS_READ) !== 0;
}

function isOpen(file: ConfigFile): boolean {
  const value = file.get("auth", "allow_insecure")?.value.trim().toLowerCase() ?? "";
  const listen = file.get("reactor", "ip")?.value.trim() ?? "127.0.0.1";
  const plain = file.get("tls", "plain")?.value.trim() ?? "loopback";
  // As a service that listens sees it.
  const hasTls = (file.get("tls", "cert")?.value ?? "") !== "" &&
    (plain === "loopback" || plain === "off");
  return ["1", "true", "yes", "on"].includes(value) && !isLoopback(listen) &&
    !hasTls && (file.get("auth", "token_file")?.value ?? "") === "";
}

/** The services for which a file has sections of their own. */
async function definitionsFor(file: ConfigFile): Promise<DaemonDefinition[]> {
  const sections = new Set(file.sections());
  const has = (...names: string[]): boolean => names.some((name) => sections.has(name));
  const found: DaemonDefinition[] = [];
  const isExport = has("export", "nameserver", "xds", "haproxy", "nginx", "file");
  if (isExport) found.push((await import("../../export/service.ts")).exportDaemon);
  if (has("agent", "loadbalance") || (has("dnsserver") && !isExport)) {
    found.push((await import("../../agent/service.ts")).agentDaemon);
  }
  if (has("web")) found.push((await import("../../web/service.ts")).webDaemon);
  if (has("relay")) found.push((await import("../../relay/service.ts")).relayDaemon);
  if (has("discovery")) found.push((await import("../../discovery/service.ts")).discoveryDaemon);
  const isServer = has("store", "mysql", "dns", "reporter", "repoter");
  if (isServer && !isExport && !has("agent", "loadbalance", "dnsserver", "relay")) {
    found.push((await import("../../dns/service.ts")).dnsDaemon);
    found.push((await import("../../reporter/service.ts")).reporterDaemon);
  }
  return found;
}
