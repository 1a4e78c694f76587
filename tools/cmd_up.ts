// Shell. `lars up`: dns, reporter and agent in one process, on an embedded database.

import { join } from "node:path";
import { type Command, Option } from "commander";
import { DEFAULT_DATA_DIR } from "../daemon/settings/common_settings.ts";
import {
  type DaemonDefinition,
  readyLine,
  type RunningService,
  startDaemon,
  untilStopSignal,
} from "../daemon/daemon.ts";
import { configureLogging, createLogger, type LoggingOptions } from "../daemon/log/logging.ts";
import type { SettingsTable } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import {
  type Address,
  formatAddress,
  hostFromHere,
  isLoopback,
  parseAddress,
} from "../reactor/address.ts";
import { sleep } from "../reactor/time/clock.ts";
import { BindError, ConfigError, messageOf, StoreError } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { type DataDir, openDataDir } from "./data_dir.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { sampleLines, SampleNodes } from "./sample_nodes.ts";
import { sampleAddress } from "./sample_routes.ts";
import { DATA_DEFAULT_TEXT, dataDirOf, storeUrlOf, warnOfPassword } from "./store_access.ts";
import { coloursOf, errorLine, printJson, printLine } from "./terminal.ts";

/** All services together have this long to stop, beside what their clients take: with the start below 2 s. */
const STOP_ALL_TIMEOUT_MS = 1850;

interface UpFlags {
  readonly data?: string;
  readonly store?: string;
  readonly dns: Address;
  readonly reporter: Address;
  readonly agent: Address;
  /** Undefined: no discovery. */
  readonly discovery?: Address;
  /** False with --no-console; undefined: the usual address, or another port when it is taken. */
  readonly console?: Address | false;
  /** Undefined: without a relay. */
  readonly relay?: Address;
  readonly samples: boolean;
  readonly authTokenFile?: string;
  readonly authAllowInsecure?: boolean;
  readonly logLevel?: LoggingOptions["level"];
  readonly logFormat?: LoggingOptions["format"];
  readonly json?: boolean;
}

/** Adds `up`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("up")
    .description(
      "Run dns, reporter, agent and console in one process on an embedded SQLite database, which is made, " +
        "brought up to date and, the first time, filled with sample modules, whose nodes run with it. " +
        "Ctrl-C stops all.",
    )
    .option("--data <DIR>", `folder of database and cache ${DATA_DEFAULT_TEXT}`)
    .option("--store <URL>", "another database, for example mysql://user:password@host/database");
  addListenOptions(command);
  command
    .option("--no-samples", "without sample modules and without their nodes")
    .option("--auth-token-file <FILE>", "secret that the services share")
    .option("--auth-allow-insecure", "listen beyond loopback without a secret (trusted network)")
    .addOption(
      new Option("--log-level <LEVEL>", "least important kind of line on standard error")
        .choices(["debug", "info", "warning", "error"]).default("warning").env("LARS_LOG_LEVEL"),
    )
    .addOption(
      new Option("--log-format <FORMAT>", "how these lines look")
        .choices(["text", "json"]).default("text").env("LARS_LOG_FORMAT"),
    )
    .option("--json", "print one JSON object a line instead of text")
    .action(async (flags: UpFlags) => {
      context.exitCode = await runUp(flags);
    });
  addExamples(command, [
    ["lars up", "default ports, data in ./data"],
    ["lars up --data /var/lib/lars --json", "ready lines for a program"],
    ["lars up --relay 127.0.0.1:2000", "with the relay"],
    ["lars up --dns 127.0.0.1:17778 --agent 127.0.0.1:18888", "beside another one"],
    ["lars up --discovery 127.0.0.1:9527", "with nodes that register themselves"],
    ["lars up --agent 0.0.0.0:8888 --auth-token-file secret.txt", "for callers on other hosts"],
  ]);
}

function addListenOptions(command: Command): void {
  const listen = (name: "dns" | "reporter" | "agent", what: string): Option =>
    new Option(`--${name} <HOST:PORT>`, what)
      .argParser(argument((text) => parseAddress(text, DEFAULT_PORTS[name])))
      .default(
        { hostname: "127.0.0.1", port: DEFAULT_PORTS[name] },
        `127.0.0.1:${DEFAULT_PORTS[name]}`,
      );
  command
    .addOption(listen("dns", "where dns listens; port 0 takes a free one"))
    .addOption(listen("reporter", "where the reporter listens"))
    .addOption(listen("agent", "first of the agent's three UDP ports"))
    .option(
      "--discovery <HOST:PORT>",
      "run discovery too, where nodes register themselves; programs of the seed for module 0/0 " +
        `(usual port: ${DEFAULT_PORTS.discovery})`,
      argument((text) => parseAddress(text, DEFAULT_PORTS.discovery)),
    )
    .option(
      "--console <HOST:PORT>",
      `where the console listens, on loopback only (default 127.0.0.1:${DEFAULT_PORTS.console}, ` +
        "or a free port when that is taken)",
      argument((text) => parseAddress(text, DEFAULT_PORTS.console)),
    )
    .option("--no-console", "without the console")
    .option(
      "--relay <HOST:PORT>",
      "also run the relay, with clients of the original on the same port; default: none",
      argument((text) => parseAddress(text, DEFAULT_PORTS.relay)),
    );
}

/** Runs everything until a signal; resolves with the exit code. */
async function runUp(flags: UpFlags): Promise<number> {
  const startMs = systemClock.nowMs();
  // First of all, so that a signal during the start also ends in good order.
  const stopped = Promise.race([untilStopSignal(), untilHangUp()]);
  configureLogging({ level: flags.logLevel ?? "warning", format: flags.logFormat ?? "text" });
  if (typeof flags.console === "object" && !isLoopback(flags.console.hostname)) {
    throw new ConfigError(
      `--console must be on loopback, as anybody who has its link may change routes: current value ` +
        `is ${formatAddress(flags.console)}; for others run lars web`,
    );
  }
  const dataDir = openDataDir(dataDirOf(flags));
  const services = new ServiceGroup(flags, dataDir);
  try {
    await services.start();
  } catch (error) {
    await services.stop();
    dataDir.release();
    throw error;
  }
  announce(flags, services, systemClock.nowMs() - startMs);
  await stopped;
  const clean = await services.stop();
  dataDir.release();
  if (flags.json === true) printJson({ event: "stopped", clean });
  else printLine(clean ? "stopped" : "stopped badly");
  return clean ? 0 : 1;
}

/** Resolves when the terminal is closed, which would otherwise end the process at once. */
function untilHangUp(): Promise<void> {
  return new Promise((resolve) => void runtime.onSignal("SIGHUP", resolve));
}

/**
 * Brings the schema up to date, starts the sample nodes, and gives a database that was never used
 * its sample modules.
 */
async function prepareStore(url: string, samples: SampleNodes | undefined): Promise<void> {
  const { openStore } = await import("../sql/open_store.ts");
  const store = await openStore(url);
  try {
    const isNew = store.dialect === "sqlite" && await store.schemaVersion() === 0;
    await store.migrate();
    if (samples === undefined) return;
    if (!isNew) return await samples.startAgain(store);
    let isEmpty = true;
    await store.readRoutes((rows) => {
      isEmpty &&= rows.length === 0;
    });
    if (isEmpty) await samples.startNew(store);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new CommandError(`Database ${store.label} cannot be used: ${error.message}`, {
      cause: error,
    });
  } finally {
    await store.close();
  }
}

/** The services of one `lars up`, in the order in which they stop. */
class ServiceGroup {
  readonly storeUrl: string;
  readonly #flags: UpFlags;
  readonly #dataDir: DataDir;
  /** Undefined with --no-samples. */
  readonly samples: SampleNodes | undefined;
  #dns: RunningService | undefined;
  #reporter: RunningService | undefined;
  #discovery: RunningService | undefined;
  #agent: RunningService | undefined;
  #web: RunningService | undefined;
  #relay: RunningService | undefined;
  /** Opens the console once, without a password. */
  consoleLink: string | undefined;

  constructor(flags: UpFlags, dataDir: DataDir) {
    this.#flags = flags;
    this.#dataDir = dataDir;
    this.samples = flags.samples ? new SampleNodes(dataDir.path) : undefined;
    warnOfPassword(flags);
    this.storeUrl = storeUrlOf(flags);
  }

  /** Those that run, dns first. */
  get running(): RunningService[] {
    return [this.#dns, this.#reporter, this.#discovery, this.#agent, this.#web, this.#relay]
      .filter((service) => service !== undefined);
  }

  /**
   * Starts everything. The agent spends its time on a worker's start, so it goes first where the
   * addresses it needs are known beforehand; the servers are up before it looks for them.
   */
  async start(): Promise<void> {
    const { dns, reporter } = this.#flags;
    const isKnown = dns.port > 0 && reporter.port > 0;
    const early = isKnown ? this.#startAgent(dns, reporter) : undefined;
    // Both have to end before anything can be stopped.
    const results = await Promise.allSettled([this.#startServers(), early]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    if (!isKnown && this.#dns !== undefined && this.#reporter !== undefined) {
      await this.#startAgent(addressOf(this.#dns), addressOf(this.#reporter));
    }
    await this.#startRelay();
    await this.#startConsole();
  }

  async #startRelay(): Promise<void> {
    const { relay } = this.#flags;
    if (relay === undefined) return;
    const { relayDaemon } = await import("../relay/service.ts");
    this.#relay = await this.#startOne(relayDaemon, {
      "relay.ip": relay.hostname,
      "relay.port": String(relay.port),
      "relay.store": this.storeUrl,
    });
  }

  async #startConsole(): Promise<void> {
    const { console: asked } = this.#flags;
    if (asked === false) return;
    const wanted = asked ?? { hostname: "127.0.0.1", port: DEFAULT_PORTS.console };
    try {
      this.#web = await this.#startConsoleAt(wanted);
    } catch (error) {
      if (asked !== undefined || !(error instanceof BindError) || !error.inUse) throw error;
      this.#web = await this.#startConsoleAt({ ...wanted, port: 0 });
    }
  }

  async #startConsoleAt(listen: Address): Promise<RunningService> {
    const { startWeb, webDaemon } = await import("../web/service.ts");
    const [agent, relay] = [this.#agent, this.#relay];
    const dnsAddresses = this.#dns === undefined ? [] : [addressOf(this.#dns)]
      .map(({ hostname, port }) => parseAddress(reachable({ hostname, port })));
    const announce = (link: string): void => {
      this.consoleLink = link;
    };
    return await this.#startOne({
      ...webDaemon,
      start: (settings, context) =>
        startWeb(settings, context, { withLink: true, announce, dnsAddresses }),
    }, {
      "web.ip": listen.hostname,
      "web.port": String(listen.port),
      ...(agent === undefined ? {} : { "web.agent": reachable(addressOf(agent)) }),
      ...(relay === undefined ? {} : { "web.relays": reachable(addressOf(relay)) }),
      "store.url": this.storeUrl,
    });
  }

  async #startAgent(dns: Address, reporter: Address): Promise<void> {
    const { agentDaemon } = await import("../agent/service.ts");
    const { agent } = this.#flags;
    this.#agent = await this.#startOne(agentDaemon, {
      "agent.ip": agent.hostname,
      "agent.port": String(agent.port),
      "agent.cache_dir": join(this.#dataDir.path, "cache"),
      "dnsserver.ip": reachable(dns),
      "reporter.ip": reachable(reporter),
    });
  }

  async #startServers(): Promise<void> {
    await prepareStore(this.storeUrl, this.samples);
    const { dns, reporter } = this.#flags;
    const { dnsDaemon } = await import("../dns/service.ts");
    this.#dns = await this.#startOne(dnsDaemon, this.#serverFlags(dns));
    const { reporterDaemon } = await import("../reporter/service.ts");
    this.#reporter = await this.#startOne(reporterDaemon, {
      ...this.#serverFlags(reporter),
      "reporter.spool_dir": join(this.#dataDir.path, "spool"),
    });
    await this.#startDiscovery();
  }

  async #startDiscovery(): Promise<void> {
    const { discovery } = this.#flags;
    if (discovery === undefined) return;
    const { discoveryDaemon } = await import("../discovery/service.ts");
    this.#discovery = await this.#startOne(discoveryDaemon, this.#serverFlags(discovery));
  }

  /**
   * Stops the agent first, so that its last reports reach the reporter, then the reporter, so that
   * they reach the database, then dns.
   *
   * @returns false when something failed or did not stop in time.
   */
  async stop(): Promise<boolean> {
    let endMs = systemClock.nowMs() + STOP_ALL_TIMEOUT_MS;
    let clean = true;
    for (const service of this.running.reverse()) {
      endMs += service.leaveMsMax ?? 0;
      const fault = await stopWithin(service, endMs - systemClock.nowMs());
      if (fault === undefined) continue;
      clean = false;
      errorLine(`${service.name}: ${fault}`);
    }
    this.samples?.close();
    return clean;
  }

  #serverFlags(listen: Address): Record<string, string> {
    return {
      "reactor.ip": listen.hostname,
      "reactor.port": String(listen.port),
      "store.url": this.storeUrl,
    };
  }

  #startOne<T extends SettingsTable>(
    definition: DaemonDefinition<T>,
    flags: Record<string, string>,
  ): Promise<RunningService> {
    const { authTokenFile, authAllowInsecure } = this.#flags;
    return startDaemon(definition, {
      env: runtime.envAll(),
      flags: {
        ...flags,
        ...metricsFlags(definition.name, runtime.env("LARS_METRICS_PORT")),
        ...(authTokenFile === undefined ? {} : { "auth.token_file": authTokenFile }),
        ...(authAllowInsecure === true ? { "auth.allow_insecure": "1" } : {}),
      },
    }, { log: createLogger(definition.name) });
  }
}

/** One port in the environment cannot be that of six services: it is the first of six. */
export function metricsFlags(
  service: string,
  portText: string | undefined,
): Record<string, string> {
  const port = Number(portText ?? "");
  const index = ["dns", "reporter", "agent", "web", "relay", "discovery"].indexOf(service);
  if (!Number.isInteger(port) || port <= 0 || index <= 0) return {};
  return { "metrics.port": String(port + index) };
}

/** Where a service listens, with its real port. */
function addressOf(service: RunningService): Address {
  return parseAddress(service.addresses[0]);
}

/** Where this process reaches a service that may listen on every address. */
function reachable({ hostname, port }: Address): string {
  return formatAddress({ hostname: hostFromHere(hostname), port });
}

/** Stops one service; resolves with what went wrong, if anything did. */
async function stopWithin(service: RunningService, timeoutMs: number): Promise<string | undefined> {
  return await Promise.race([
    service.stop().then(() => undefined, (error) => `stopped badly: ${messageOf(error)}`),
    sleep(systemClock, Math.max(0, timeoutMs)).then(() => "did not stop in time"),
  ]);
}

function announce(flags: UpFlags, services: ServiceGroup, tookMs: number): void {
  const { running, samples } = services;
  for (const service of running) runtime.writeStdout(readyLine(service, flags.json === true));
  if (flags.json === true) {
    return printJson({
      event: "up",
      data: dataDirOf(flags),
      took_ms: Math.round(tookMs),
      ...(services.consoleLink === undefined ? {} : { console: services.consoleLink }),
      samples: samples?.nodes.map((node) => ({
        modid: node.modId,
        cmdid: node.cmdId,
        node: sampleAddress(node),
        delay_ms: node.delayMs,
      })) ?? [],
    });
  }
  const { faint, strong } = coloursOf("stdout");
  const hasSamples = samples !== undefined && samples.nodes.length > 0;
  if (samples !== undefined) { for (const line of sampleLines(samples)) printLine(line); }
  const store = flags.store === undefined ? dataText(flags) : " --store URL";
  const agent = flags.agent.port === DEFAULT_PORTS.agent
    ? ""
    : ` --agent ${
      running.find(({ name }) => name === "agent")?.addresses[0] ?? formatAddress(flags.agent)
    }`;
  if (services.consoleLink !== undefined) {
    printLine(`console, logs in once: ${strong(services.consoleLink)}`);
  }
  printLine(
    faint(`up in ${Math.round(tookMs)} ms; Ctrl-C stops everything. Try in another shell:`),
  );
  for (
    const line of [
      // A name is looked up in the database.
      `lars test gethost ${hasSamples ? "shop" : "MODULE"}${store}${agent}`,
      `lars sample call${agent}`,
      `lars status${store}${agent}`,
    ]
  ) printLine(`  ${strong(line)}`);
}

function dataText(flags: UpFlags): string {
  return flags.data === undefined || flags.data === DEFAULT_DATA_DIR ? "" : ` --data ${flags.data}`;
}
