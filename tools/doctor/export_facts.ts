// Shell. Looks for `lars doctor` at what the configuration of an export names: files, commands, ports,
// HAProxy, dns.

import { createSocket } from "node:dgram";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { checkExports, type ExportSettings, readFilled, wordsOf } from "../../export/config.ts";
import { readTemplateFile } from "../../export/files/template_file.ts";
import { askHaproxy } from "../../export/haproxy/runtime_socket.ts";
import { readServersState } from "../../export/haproxy/servers.ts";
import { formatAddress } from "../../reactor/address.ts";
import { ConfigError, messageOf } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { ExportFault } from "./findings.ts";
import { askReadiness } from "../readiness.ts";
import { unreachableOf } from "./reach.ts";

/** The first HAProxy whose servers come and go without a word for experiments. */
const HAPROXY_VERSION_MIN = [2, 6] as const;

/** What the configuration of an export says, and where its metrics are. */
export type ExportConfig = ExportSettings & {
  readonly metricsIp: string;
  readonly metricsPort: number;
};

/**
 * What an export with these settings could not do on this host now, as whoever asks.
 *
 * @param timeoutMs Time that each who is asked may take.
 */
export async function exportFaults(
  settings: ExportConfig,
  timeoutMs: number,
): Promise<ExportFault[]> {
  const faults: ExportFault[] = [];
  const attempt = (check: () => unknown): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const seen of error.problems) faults.push({ key: "config_wrong", seen });
    }
  };
  attempt(() => checkExports(settings));
  const { fileTemplate, fileOut, nginxOut, haproxySocket } = settings;
  if (fileTemplate !== "") attempt(() => readTemplateFile(fileTemplate));
  faults.push(...targetFaults("[file] out", fileOut), ...targetFaults("[nginx] out", nginxOut));
  faults.push(...commandFaults(settings));
  const [running, haproxy, dns] = await Promise.all([
    runningFaults(settings, timeoutMs),
    haproxySocket === "" ? [] : haproxyFaults(settings),
    unreachableOf(settings.dnsAddresses.map(formatAddress), timeoutMs),
  ]);
  faults.push(...running, ...haproxy);
  for (const { address, reason } of dns) {
    // Most reasons name it.
    const seen = reason.startsWith(address) ? reason : `${address}: ${reason}`;
    faults.push({ key: "export_dns_away", seen: `[dnsserver] ${seen}` });
  }
  return faults;
}

/** A file that is put in place by a rename needs a folder that can be written. */
function targetFaults(key: string, path: string): ExportFault[] {
  if (path === "") return [];
  const folder = dirname(path);
  try {
    if (existsSync(path) && statSync(path).isDirectory()) throw new Error(`${path} is a folder`);
    accessSync(folder, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [{ key: "export_target", seen: `${key} = ${path}: ${messageOf(error)}` }];
  }
}

/** Programs of the configuration that are not there. */
function commandFaults(settings: ExportSettings): ExportFault[] {
  const { nginxOut, nginxProgram, nginxReload, fileOut, fileCheck, fileReload } = settings;
  const named = [
    ...nginxOut === "" ? [] : [["[nginx] program", nginxProgram], ["[nginx] reload", nginxReload]],
    ...fileOut === "" ? [] : [["[file] check", fileCheck], ["[file] reload", fileReload]],
  ];
  return named.flatMap(([key, command]) => {
    const [program] = wordsOf(command);
    if (program === undefined || isProgram(program)) return [];
    return [{ key: "export_command", seen: `${key} = ${command}: there is no program ${program}` }];
  });
}

function isProgram(name: string): boolean {
  const paths = name.includes("/")
    ? [name]
    : (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}

/** A port that cannot be listened on. */
interface ClosedPort {
  readonly seen: string;
  /** Somebody listens there; else this account may not, or the address is not of this host. */
  readonly isTaken: boolean;
}

/** What an export says that runs, and ports that one could not have. */
async function runningFaults(settings: ExportConfig, timeoutMs: number): Promise<ExportFault[]> {
  const { metricsIp, metricsPort } = settings;
  const { closed, count } = await closedPorts(settings);
  const asFaults = (ports: readonly ClosedPort[]): ExportFault[] =>
    ports.map(({ seen }) => ({ key: "export_port", seen }));
  const isOff = metricsPort === 0;
  // Where its metrics would be is free: none runs.
  if (!isOff && await tcpFault(metricsIp, metricsPort) === undefined) return asFaults(closed);
  const hostname = ["0.0.0.0", "::"].includes(metricsIp) ? "127.0.0.1" : metricsIp;
  const address = { hostname, port: metricsPort };
  const said = isOff ? undefined : await askReadiness(address, timeoutMs);
  if (said?.service !== undefined && said.service !== "export") return asFaults(closed);
  // Older ones do not say which they are; one that has not all the ports is not the export of this
  // configuration.
  if (said?.isService === true && closed.length === count) {
    return said.ready ? [] : [{ key: "export_unready", seen: `not ready: ${said.reason}` }];
  }
  const taken = closed.filter(({ isTaken }) => isTaken).map(({ seen }): ExportFault => ({
    ...{ key: "export_port", seen: `${seen}, perhaps by the export itself`, isUnsure: true },
  }));
  return [...asFaults(closed.filter(({ isTaken }) => !isTaken)), ...taken];
}

/** Ports of the configuration that cannot be listened on now, and how many it names. */
async function closedPorts(
  settings: ExportSettings,
): Promise<{ readonly closed: readonly ClosedPort[]; readonly count: number }> {
  const { nameIp, namePort, xdsIp, xdsPort, agentCheckIp, agentCheckPort } = settings;
  const ports = [
    ["[nameserver] port", nameIp, namePort, "UDP"],
    ["[nameserver] port", nameIp, namePort, "TCP"],
    ["[xds] port", xdsIp, xdsPort, "TCP"],
    ["[haproxy] agent_port", agentCheckIp, agentCheckPort, "TCP"],
  ] as const;
  const named = ports.filter(([, , port]) => port > 0);
  const tried = await Promise.all(named.map(async ([key, ip, port, transport]) => {
    const error = await (transport === "UDP" ? udpFault : tcpFault)(ip, port);
    if (error === undefined) return [];
    const isTaken = "code" in error && error.code === "EADDRINUSE";
    const reason = isTaken ? "taken" : messageOf(error);
    return [{ seen: `${key} = ${port}, ${transport}: ${reason}`, isTaken }];
  }));
  return { closed: tried.flat(), count: named.length };
}

/** Why one cannot listen there; undefined: one can. */
function tcpFault(host: string, port: number): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

function udpFault(address: string, port: number): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.once("error", (error) => {
      socket.close();
      resolve(error);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

/** Whether HAProxy answers, is one that takes servers, lets us, and has the backends. */
async function haproxyFaults(settings: ExportSettings): Promise<ExportFault[]> {
  const { haproxySocket, haproxyBackends } = settings;
  const ask = (command: string): Promise<string> => askHaproxy(haproxySocket, command, systemClock);
  const faults: ExportFault[] = [];
  const refuses = (seen: string): void => void faults.push({ key: "haproxy_refuses", seen });
  try {
    const version = /^Version: *(\S+)/m.exec(await ask("show info"))?.[1];
    if (version === undefined) {
      refuses(`[haproxy] socket = ${haproxySocket}: no HAProxy answers there`);
      return faults;
    }
    if (isOlder(version)) {
      const [major, minor] = HAPROXY_VERSION_MIN;
      refuses(`HAProxy ${version} at ${haproxySocket}: ${major}.${minor} is the first that fits`);
    }
    const level = (await ask("show cli level")).trim();
    if (level !== "" && level !== "admin") {
      refuses(`[haproxy] socket = ${haproxySocket}: its level is ${level}`);
    }
    for (const { name } of readableBackends(haproxyBackends)) {
      try {
        readServersState(await ask(`show servers state ${name}`), name);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        refuses(`[haproxy] backends: ${error.message}`);
      }
    }
  } catch (error) {
    faults.push({ key: "haproxy_away", seen: messageOf(error) });
  }
  return faults;
}

/** None where the list is wrong, which is said elsewhere. */
function readableBackends(text: string): ReturnType<typeof readFilled> {
  try {
    return readFilled(text, "[haproxy] backends");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [];
  }
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part));
  const [majorMin, minorMin] = HAPROXY_VERSION_MIN;
  return major < majorMin || (major === majorMin && minor < minorMin);
}
