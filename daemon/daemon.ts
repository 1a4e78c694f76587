// Shell. What the main of every service shares: flags, configuration, logging, signals, exit codes.

import { parseAddress } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { BindError, ConfigError, messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { TcpTransport } from "../reactor/runtime/types.ts";
import type { SessionTransport } from "../session/handshake.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { Secrets, SECRETS_MAX } from "../session/secrets.ts";
import type { TlsIdentity } from "../session/tls/tls_identity.ts";
import { visibleLines } from "../reactor/visible_text.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import {
  authSettings,
  logSettings,
  metricsSettings,
  namesStore,
  ORIGINAL_STORE_URL,
  requireSafeListen,
  requireSafeMonitor,
  showsPassword,
  type storeSettings,
} from "./settings/common_settings.ts";
import { daemonFlags, ExitCode, readPlainFlags, settingFlags } from "./settings/flags.ts";
import type { MonitoredService } from "./monitor/monitor.ts";
import type { ServiceManager } from "./service_manager.ts";
import type { MonitorServer } from "./monitor/monitor_server.ts";
import type { MetricTable } from "./monitor/service_metrics.ts";
import { configureLogging, createLogger } from "./log/logging.ts";
import type { TlsFiles } from "./tls_files.ts";
import {
  readSettings,
  type SettingsOf,
  type SettingSources,
  type SettingsTable,
} from "./settings/settings.ts";
import { readStoreUrl } from "./settings/store_url_file.ts";
import { VERSION } from "./version.ts";

export { ExitCode };

/** Time a service has to flush and close after the first signal, and after its clients have gone. */
export const STOP_TIMEOUT_MS = 1800;

/** Fewest bytes of a token; shorter ones can be guessed. */
export const TOKEN_BYTES_MIN = 16;

/** What a service is given by whoever starts it. */
export interface DaemonContext {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Name and version said in Hello, for example `lars/0.1.0 deno/2.9.6`. */
  readonly software: string;
  /** The shared secrets of `[auth] token_file`, if it is configured; SIGHUP replaces them. */
  readonly secrets: Secrets | undefined;
  /** What is shown and believed over TLS, if `[tls]` is configured; changed files replace it. */
  readonly tls: TlsIdentity | undefined;
  /** Makes connections to services, over TLS where that is configured. */
  readonly transport: SessionTransport;
  /** Where connections come from. @default the sockets of the runtime */
  readonly sockets?: TcpTransport;
  /** The process is this service and nothing else: it ends when the service is replaced. */
  readonly isAlone?: boolean;
}

/** A service that listens. */
export interface RunningService extends MonitoredService {
  /** What it listens on, with real ports: `127.0.0.1:7778`. */
  readonly addresses: readonly string[];
  /**
   * Takes over what can change without a restart.
   *
   * @throws {ConfigError} when it cannot be taken; then the old settings stay.
   */
  // deno-lint-ignore no-explicit-any -- each service has its own table
  reload(settings: SettingsOf<any>): void | Promise<void>;
  /** Writes out what it holds, then closes everything. */
  stop(): Promise<void>;
  /**
   * Longest time for which a stop waits for others, in milliseconds: for clients to go elsewhere, for a
   * server to have taken what it is told. @default {0}
   */
  readonly leaveMsMax?: number;
  /** Resolves when the service has to be stopped because another one has taken its place. */
  readonly replaced?: Promise<void>;
}

/** A service that can be started by its own main, by `lars up`, and by tests. */
export interface DaemonDefinition<T extends SettingsTable = SettingsTable> {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  /** Keys of the service; logging and authentication keys are added to them. */
  readonly settings: T;
  /** File that is read when none is named and this one is there: where the original looks. */
  readonly originalConfig?: string;
  /** Its metrics, and where they are shown when nothing else is set; undefined: nowhere. */
  readonly monitor?: { readonly port: number; loadTable(): Promise<MetricTable> };
  start(settings: SettingsOf<T>, context: DaemonContext): Promise<RunningService>;
}

/** `lars/0.1.0 deno/2.9.6` */
export function softwareName(): string {
  return `lars/${VERSION} ${runtime.name}/${runtime.version}`;
}

/** Reads the text of a file of secrets; `key` is who names the file. */
async function readSecretFile(path: string, key: string): Promise<string> {
  try {
    return (await runtime.readTextFile(path)).trim();
  } catch (error) {
    throw new ConfigError(`${key} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws {ConfigError} when it can be guessed. */
function secretBytes(text: string, path: string, key: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length >= TOKEN_BYTES_MIN) return bytes;
  throw new ConfigError(
    `${key} must hold at least ${TOKEN_BYTES_MIN} bytes: ${path} holds ${bytes.length}`,
  );
}

/**
 * Reads a file that holds one secret and nothing else; `key` is who names the file.
 *
 * @throws {ConfigError} when the file cannot be read or holds too few bytes.
 */
export async function readToken(path: string, key: string): Promise<Uint8Array | undefined> {
  if (path === "") return undefined;
  return secretBytes(await readSecretFile(path, key), path, key);
}

/** The lines of a file of secrets. @throws {ConfigError} as {@linkcode readSecrets} does. */
async function readSecretLines(path: string, key: string): Promise<Uint8Array[]> {
  const lines = (await readSecretFile(path, key)).split("\n").map((line) => line.trim());
  const secrets = lines.filter((line, index) => line !== "" || index === 0)
    .map((line) => secretBytes(line, path, key));
  if (secrets.length <= SECRETS_MAX) return secrets;
  throw new ConfigError(
    `${key} must hold one secret, or ${SECRETS_MAX} while one takes the place of the other, ` +
      `one a line: ${path} has ${secrets.length} lines`,
  );
}

/**
 * Reads the secrets that our programs share, one a line.
 *
 * @param path Of the file; empty: there are none.
 * @param key Who names the file.
 * @throws {ConfigError} when the file cannot be read, a line holds too few bytes, or there are more
 *   than {@linkcode SECRETS_MAX}.
 */
export async function readSecrets(
  path: string,
  key = "[auth] token_file",
): Promise<Secrets | undefined> {
  return path === "" ? undefined : new Secrets(await readSecretLines(path, key));
}

/**
 * Reads and parses a configuration file.
 *
 * @throws {ConfigError} when it is missing, unreadable or malformed.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  let content: string;
  try {
    content = await runtime.readTextFile(path);
  } catch (error) {
    throw new ConfigError(`Configuration file cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return ConfigFile.parse(content, path);
}

/**
 * Reads the configuration file that the original's program would read: where nothing can be read at
 * that path, there is none.
 *
 * @throws {ConfigError} when there is one and it cannot be read, or is malformed.
 */
async function readOriginalConfig(path: string): Promise<ConfigFile | undefined> {
  let content: string;
  try {
    content = await runtime.readTextFile(path);
  } catch (error) {
    const { code, name } = error as { code?: string; name?: string };
    // Deno may have been given no right to look; whoever wants the file names it then.
    if (code === "ENOENT" || code === "ENOTDIR" || name === "NotCapable") return undefined;
    throw new ConfigError(`Configuration file ${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return ConfigFile.parse(content, path);
}

/** Every key that a service reads: its own, and those that all have. */
export function fullTable<T extends SettingsTable>(
  definition: DaemonDefinition<T>,
): T & typeof authSettings & typeof logSettings & ReturnType<typeof metricsSettings> {
  const metrics = metricsSettings(definition.monitor?.port ?? 0);
  return { ...definition.settings, ...authSettings, ...logSettings, ...metrics };
}

type FullSettings<T extends SettingsTable> =
  & SettingsOf<T>
  & SettingsOf<typeof authSettings>
  & SettingsOf<typeof logSettings>
  & SettingsOf<ReturnType<typeof metricsSettings>>;

/**
 * Settings of a service. A configuration file that names no database is one of the original's, whose
 * code then falls back to its own default; without any file it is the embedded database.
 */
function readDaemonSettings<T extends SettingsTable>(
  definition: DaemonDefinition<T>,
  sources: SettingSources,
  onNearest?: (warning: string) => void,
): { settings: FullSettings<T>; isOriginalStore: boolean } {
  const settings = readSettings(fullTable(definition), sources, onNearest) as FullSettings<T>;
  const isOriginalStore = sources.file !== undefined && "storeUrl" in definition.settings &&
    !namesStore(settings as unknown as SettingsOf<typeof storeSettings>);
  if (!isOriginalStore) return { settings, isOriginalStore };
  return { settings: { ...settings, storeUrl: ORIGINAL_STORE_URL }, isOriginalStore };
}

/** The settings with the URL of the database where `@FILE` was. @throws {ConfigError} for its file. */
function withStoreUrl<T extends object>(settings: T): T {
  const { storeUrl } = settings as { readonly storeUrl?: unknown };
  if (typeof storeUrl !== "string") return settings;
  return { ...settings, storeUrl: readStoreUrl(storeUrl, "[store] url") };
}

/**
 * Checks the settings of a service and starts it in this process.
 *
 * @throws {ConfigError} when a setting is wrong, before anything listens.
 * @throws {BindError} when a port is taken.
 */
export async function startDaemon<T extends SettingsTable>(
  definition: DaemonDefinition<T>,
  sources: SettingSources,
  overrides: Partial<DaemonContext> = {},
): Promise<RunningService> {
  const warnings: string[] = [];
  const warn = (warning: string): void => void warnings.push(warning);
  const { settings: read, isOriginalStore } = readDaemonSettings(definition, sources, warn);
  const settings = withStoreUrl(read);
  const log = createLogger(definition.name);
  // Whoever has no certificate loads nothing of this.
  const tls = settings.tlsCert === ""
    ? undefined
    : await (await import("./tls_files.ts")).openTls(settings, {
      ...{ role: definition.name, clock: systemClock, log },
    });
  try {
    const context: DaemonContext = {
      clock: systemClock,
      rng: systemRng,
      log,
      software: softwareName(),
      secrets: await readSecrets(settings.tokenFile),
      tls: tls?.identity,
      transport: tls?.transport ?? runtimeTransport,
      ...overrides,
    };
    for (const warning of warnings) context.log.warn(warning);
    if (isOriginalStore) {
      context.log.warn(
        `${sources.file?.fileName} names no database: using the original's default, ` +
          "lars_dns on 127.0.0.1:3306; set [store] url for another",
      );
    }
    return await startWith(definition, settings, context, tls);
  } catch (error) {
    tls?.close();
    throw error;
  }
}

/** Starts a service with what it shares with others. */
async function startWith<T extends SettingsTable>(
  definition: DaemonDefinition<T>,
  settings: FullSettings<T>,
  context: DaemonContext,
  tls: TlsFiles | undefined,
): Promise<RunningService> {
  if (definition.monitor !== undefined) requireSafeMonitor(settings, settings);
  const token = await readToken(settings.metricsTokenFile, "[metrics] token_file");
  const service = await definition.start(settings, context);
  let monitor: MonitorServer | undefined;
  const shared = withShared(service, context, tls, () => monitor?.close());
  try {
    if (definition.monitor === undefined || settings.metricsPort === 0) return shared;
    const { software, clock, log } = context;
    const { port: defaultPort } = definition.monitor;
    // Only now: callers are served meanwhile.
    const { startMonitor } = await import("./monitor/monitor.ts");
    const table = await definition.monitor.loadTable();
    const options = { service: shared, table, settings, defaultPort, token, software, clock, log };
    monitor = startMonitor(options);
    return shared;
  } catch (error) {
    await shared.stop();
    throw error;
  }
}

/** The service with what all have: secrets that are read again, and a side door that closes with it. */
function withShared(
  service: RunningService,
  { secrets, log }: DaemonContext,
  tls: TlsFiles | undefined,
  closeDoor: () => void,
): RunningService {
  return {
    name: service.name,
    ...(service.replaced === undefined ? {} : { replaced: service.replaced }),
    leaveMsMax: service.leaveMsMax ?? 0,
    get addresses(): readonly string[] {
      return service.addresses;
    },
    stats: () => ({ ...service.stats(), ...tls?.stats }),
    readiness: () => service.readiness?.(),
    metrics: () => service.metrics?.() ?? [],
    ...(service.monitorRoutes === undefined ? {} : { monitorRoutes: service.monitorRoutes }),
    async reload(settings: SettingsOf<typeof authSettings>): Promise<void> {
      if ((tls === undefined) !== (settings.tlsCert === "")) {
        log.warn("To begin or end the use of TLS takes effect at the next start only", {
          key: "[tls] cert",
        });
      } else if (tls !== undefined) {
        // As at the start: who listens beyond this host may not begin to take peers without proof.
        for (const address of service.addresses) {
          requireSafeListen(parseAddress(address).hostname, settings);
        }
        await tls.read(settings);
      }
      const { tokenFile } = settings;
      const lines = tokenFile === "" ? [] : await readSecretLines(tokenFile, "[auth] token_file");
      await service.reload(settings);
      if ((secrets === undefined) !== (lines.length === 0)) {
        log.warn("To begin or end the use of a secret takes effect at the next start only", {
          key: "[auth] token_file",
        });
      } else if (secrets?.replace(lines) === true) {
        log.info("Secrets of [auth] token_file replaced", { valid: lines.length });
      }
    },
    async stop(): Promise<void> {
      closeDoor();
      tls?.close();
      await service.stop();
    },
  };
}

/** Says what went wrong in words for the person at the terminal, and which exit code fits. */
export function explainFailure(error: unknown): { lines: string[]; exitCode: number } {
  if (error instanceof ConfigError) {
    return { lines: [...error.problems], exitCode: ExitCode.Usage };
  }
  if (error instanceof BindError || error instanceof StoreError) {
    return { lines: [error.message], exitCode: ExitCode.Failed };
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return { lines: [stack], exitCode: ExitCode.Failed };
}

/**
 * Runs a service from its command line until a signal ends it.
 *
 * SIGINT and SIGTERM stop it (exit code 0), a second one ends it at once; SIGHUP reads the
 * configuration again, and keeps the old one when the new one is wrong.
 *
 * @returns the exit code: 0 stopped as asked, 1 failed, 2 wrong usage or configuration.
 */
export async function runDaemon<T extends SettingsTable>(
  definition: DaemonDefinition<T>,
  argv: readonly string[],
  programName = `lars-${definition.name}`,
): Promise<number> {
  const table = fullTable(definition);
  const known = daemonFlags(table);
  const given = readPlainFlags(known, argv) ??
    (await import("./settings/flag_command.ts")).readFlags(
      definition.summary,
      known,
      argv,
      programName,
    );
  if (typeof given === "number") return given;
  const config = given.get("--config");
  const flags = settingFlags(table, given);
  const { originalConfig } = definition;
  const readSources = async (): Promise<SettingSources> => {
    const file = config !== undefined
      ? await readConfigFile(config)
      : originalConfig && await readOriginalConfig(originalConfig);
    return { ...(file ? { file } : {}), env: runtime.envAll(), flags };
  };
  let service: RunningService;
  try {
    const sources = await readSources();
    const { logLevel, logFormat } = readDaemonSettings(definition, sources).settings;
    configureLogging({ level: logLevel, format: logFormat });
    if (config === undefined && sources.file !== undefined) {
      createLogger(definition.name).info(
        `No -c was given: the configuration is that of ${sources.file.fileName}`,
      );
    }
    service = await startDaemon(definition, sources, { isAlone: true });
  } catch (error) {
    const { lines, exitCode } = explainFailure(error);
    for (const line of lines) runtime.writeStderr(`${programName}: ${visibleLines(line)}\n`);
    return exitCode;
  }
  const log = createLogger(definition.name);
  warnOfShownPassword(flags, log);
  // Before the ready line: whoever waited for it may send a signal at once, and one that nobody
  // listens to ends the process.
  const stopAsked = untilStopSignal();
  const stopWatching = runtime.onSignal("SIGHUP", () => {
    void readSources()
      .then(async (sources) => {
        const warn = (warning: string): void => log.warn(warning);
        const { settings } = readDaemonSettings(definition, sources, warn);
        await service.reload(withStoreUrl(settings));
        log.info("Configuration read again");
      })
      .catch((error) =>
        log.error("Configuration not taken over, the old one stays", { error: messageOf(error) })
      );
  });
  const unsaid = runtime.writeStdout(readyLine(service, given.has("--json")));
  const manager = await serviceManagerOf(log);
  manager?.ready(readyLine(service, false).trimEnd());
  // It serves all the same: the log says where.
  if (unsaid !== undefined) {
    const { addresses } = service;
    log.warn("Ready, which standard output cannot say", { addresses, reason: unsaid.reason });
  }
  await Promise.race([stopAsked, service.replaced ?? stopAsked]);
  stopWatching();
  manager?.stopping();
  return await stopInTime([service], log) ? ExitCode.Ok : ExitCode.Failed;
}

/** Every user of the host sees a password among the arguments. */
function warnOfShownPassword(
  flags: Readonly<Record<string, string | undefined>>,
  log: Logger,
): void {
  if (showsPassword(flags["store.url"] ?? "") || (flags["mysql.db_passwd"] ?? "") !== "") {
    log.warn(
      "Everybody on this host can see the database's password among the arguments: put it into " +
        "the configuration file, or into LARS_STORE_URL or LARS_MYSQL_DB_PASSWD",
    );
  }
}

/** The service manager that started this process and wants to hear of it; most want nothing. */
async function serviceManagerOf(log: Logger): Promise<ServiceManager | undefined> {
  const env = runtime.envAll();
  if ((env.NOTIFY_SOCKET ?? "") === "") return undefined;
  const { ServiceManager } = await import("./service_manager.ts");
  const { sendUnixDatagram } = await import("../reactor/fast/unix_datagram.ts");
  const { pid: processId } = await import("node:process");
  return new ServiceManager({ env, processId, clock: systemClock, log, send: sendUnixDatagram });
}

/** The line that tells a person, or with `json` a program, that a service takes requests. */
export function readyLine(service: RunningService, json: boolean): string {
  const { name, addresses } = service;
  return json
    ? JSON.stringify({ event: "ready", service: name, addresses }) + "\n"
    : `${name} ready on ${addresses.join(", ")}\n`;
}

/**
 * A signal this soon after the first is the same key press: a terminal signals the whole group, and
 * a task runner passes it on once more.
 */
export const REPEATED_SIGNAL_MS = 300;

/** Resolves on the first SIGINT or SIGTERM; a later second one ends the process at once with 130. */
export function untilStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let askedAtMs: number | undefined;
    const ask = (): void => {
      const nowMs = systemClock.nowMs();
      if (askedAtMs !== undefined && nowMs - askedAtMs > REPEATED_SIGNAL_MS) runtime.exit(130);
      askedAtMs ??= nowMs;
      resolve();
    };
    runtime.onSignal("SIGINT", ask);
    runtime.onSignal("SIGTERM", ask);
  });
}

/**
 * Stops services together, each within {@linkcode STOP_TIMEOUT_MS} and the time that its clients may
 * take to go elsewhere.
 *
 * @returns false when one of them failed or did not end in time; the log says which.
 */
export async function stopInTime(
  services: readonly RunningService[],
  log: Logger,
): Promise<boolean> {
  const results = await Promise.all(services.map(async (service) => {
    let expire: (() => void) | undefined;
    const late = new Promise<string>((resolve) => {
      const limitMs = STOP_TIMEOUT_MS + (service.leaveMsMax ?? 0);
      const timer = systemClock.setTimer(limitMs, () => resolve("did not stop in time"));
      expire = () => timer.cancel();
    });
    const fault = await Promise.race([
      late,
      service.stop().then(() => undefined, (error) => messageOf(error)),
    ]);
    expire?.();
    if (fault !== undefined) log.error("Stopped badly", { service: service.name, fault });
    return fault === undefined;
  }));
  return results.every((stopped) => stopped);
}
