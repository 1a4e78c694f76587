// Core. The configuration keys of exports: a part whose place to write or listen is empty is off.

import { authSettings } from "../daemon/settings/common_settings.ts";
import { Section, type SettingsOf, type SettingsTable } from "../daemon/settings/settings.ts";
import { parseServer, SERVER_SHAPE } from "../feed/server_choice.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { ConfigError } from "../reactor/errors.ts";
import { OUT_SHARE_DEFAULT } from "./fleet_view.ts";
import { BYTES_PER_SECOND_DEFAULT } from "./nameserver/name_server.ts";

const nameserver = new Section("nameserver");
const xds = new Section("xds");
const haproxy = new Section("haproxy");
const nginx = new Section("nginx");
const file = new Section("file");

/** Every key of exports. */
export const exportSettings = {
  dnsAddresses: new Section("dnsserver")
    .servers("127.0.0.1", DEFAULT_PORTS.dns, SERVER_SHAPE, parseServer)
    .doc("Lars dns servers; all are followed, routes come from the first that answers."),
  outShare: new Section("export").fraction("out_share", OUT_SHARE_DEFAULT, [0.01, 1])
    .doc("A node is left out when this share of the agents that use its module keep it out."),
  cacheDir: new Section("export").text("cache_dir", "", { shape: "path" })
    .doc(
      "Folder for what is known, so that exports go on after a restart without dns; empty: none.",
    ),
  nameIp: nameserver.host("ip", "127.0.0.1")
    .doc("Address of the name server, UDP and TCP. It answers whoever can reach it."),
  namePort: nameserver.integer("port", 0, [0, 65535])
    .doc("Port of the same; 0: no name server."),
  nameZone: nameserver.text("zone", "lars", { shape: "name" })
    .doc("With what names end: login.lars, CMDID.MODID.lars."),
  nameTtlMs: nameserver.seconds("ttl", 1, [0, 3600])
    .doc("How long an answer may be kept."),
  nameBytesPerSecond: nameserver.integer("bytes_per_second", BYTES_PER_SECOND_DEFAULT, [0, 1e9])
    .doc("Bytes of answers a second for one address beyond loopback; 0: no limit."),
  xdsIp: xds.host("ip", "127.0.0.1")
    .doc("Address of the xDS server for gRPC programs and Envoy. It answers whoever can reach it."),
  xdsPort: xds.integer("port", 0, [0, 65535])
    .doc("Port of the same; 0: no xDS."),
  reporterAddresses: new Section("reporter")
    .servers("127.0.0.1", DEFAULT_PORTS.reporter, SERVER_SHAPE, parseServer)
    .doc("Reporters, which are told how calls of gRPC programs went."),
  callerIp: xds.text("caller_ip", "", { shape: "IPv4 address" })
    .doc("Address of this host in those reports; empty: the one it talks to the reporter with."),
  haproxySocket: haproxy.text("socket", "", { shape: "path or address" })
    .doc("Runtime socket of a HAProxy, `stats socket … level admin`; empty: none."),
  haproxyBackends: haproxy.text("backends", "", { shape: "BACKEND=MODULE ..." })
    .doc("Which module fills which backend; a module by its name or as MODID/CMDID."),
  haproxyCheck: haproxy.boolean("check", true)
    .doc("Have HAProxy check the nodes itself as well."),
  haproxyExtra: haproxy.text("server_words", "", { shape: "words" })
    .doc("Further words of `add server`, such as maxconn 100."),
  agentCheckIp: haproxy.host("agent_ip", "127.0.0.1")
    .doc("Address at which agent checks of HAProxy are answered."),
  agentCheckPort: haproxy.integer("agent_port", 0, [0, 65535])
    .doc("Port of the same; 0: none are answered."),
  nginxOut: nginx.text("out", "", { shape: "path" })
    .doc("File of upstreams that nginx includes; empty: none."),
  nginxUpstreams: nginx.text("upstreams", "", { shape: "UPSTREAM=MODULE ..." })
    .doc("Which module fills which upstream."),
  nginxProgram: nginx.text("program", "nginx", { shape: "path" })
    .doc("nginx, which checks the file before it takes the place of the old one; empty: no check."),
  nginxReload: nginx.text("reload", "", { shape: "command" })
    .doc("Command that makes nginx read it, such as nginx -s reload; empty: none."),
  nginxIntervalMs: nginx.seconds("interval", 15, [1, 3600])
    .doc("Least time between two reloads, but for nodes that must get no calls any more."),
  fileTemplate: file.text("template", "", { shape: "path" })
    .doc("Template of a file of your own; empty: none."),
  fileOut: file.text("out", "", { shape: "path" })
    .doc("Where it is written."),
  fileModules: file.text("modules", "*", { shape: "MODULE ... or *" })
    .doc("Modules that the template sees, in this order; *: all there are."),
  fileCheck: file.text("check", "", { shape: "command" })
    .doc("Command that ends with 0 when the file %f is right; empty: none."),
  fileReload: file.text("reload", "", { shape: "command" })
    .doc("Command that tells whoever reads it; empty: none."),
  fileIntervalMs: file.seconds("interval", 15, [0, 3600])
    .doc("Least time between two writes, but for nodes that must get no calls any more."),
  ...authSettings,
} as const satisfies SettingsTable;

/** Values of {@linkcode exportSettings}. */
export type ExportSettings = SettingsOf<typeof exportSettings>;

/**
 * Longest name of a zone, in characters: names have 255 bytes at most, and those of modules and services
 * stand before it.
 */
const ZONE_LENGTH_MAX = 100;
const ZONE_PATTERN = /^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/;

/** Words of a command or a list: split at blanks; it is never given to a shell. */
export function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

/** A thing of somebody else's and the module that fills it, as text. */
export interface Filled {
  readonly name: string;
  readonly module: string;
}

/**
 * Reads `NAME=MODULE NAME=MODULE`.
 *
 * @param key For the error: `[haproxy] backends`.
 * @throws {ConfigError} when a word is none, a name stands twice, or there is none at all.
 */
export function readFilled(text: string, key: string): Filled[] {
  const filled = wordsOf(text).map((word): Filled => {
    const at = word.indexOf("=");
    const name = word.slice(0, at);
    if (at < 1 || at === word.length - 1 || !/^[A-Za-z0-9_.:-]+$/.test(name)) {
      throw new ConfigError(`${key}: "${word}" must look like NAME=MODULE, as in be_login=login`);
    }
    return { name, module: word.slice(at + 1) };
  });
  const names = new Set(filled.map(({ name }) => name));
  if (filled.length === 0) {
    throw new ConfigError(`${key} must name at least one, as in be_login=login`);
  }
  if (names.size < filled.length) throw new ConfigError(`${key} names one twice: "${text}"`);
  return filled;
}

/**
 * The zone of the name server, in small letters.
 *
 * @throws {ConfigError} when it is no name.
 */
export function zoneName(text: string): string {
  const zone = text.toLowerCase().replace(/\.$/, "");
  if (zone.length <= ZONE_LENGTH_MAX && ZONE_PATTERN.test(zone)) return zone;
  throw new ConfigError(
    `[nameserver] zone must be a name such as lars, of at most ${ZONE_LENGTH_MAX} characters: it ` +
      `is "${text}"`,
  );
}

/**
 * What settings must be together.
 *
 * @throws {ConfigError} with all that is wrong.
 */
export function checkExports(settings: ExportSettings): void {
  const { namePort, nameZone, xdsPort, haproxySocket, haproxyBackends, agentCheckPort } = settings;
  const { nginxOut, nginxUpstreams, fileTemplate, fileOut } = settings;
  const problems: string[] = [];
  const attempt = (check: () => unknown): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  };
  if (namePort > 0) attempt(() => zoneName(nameZone));
  if (haproxySocket !== "") attempt(() => readFilled(haproxyBackends, "[haproxy] backends"));
  if (nginxOut !== "") attempt(() => readFilled(nginxUpstreams, "[nginx] upstreams"));
  if ((fileTemplate === "") !== (fileOut === "")) {
    problems.push("[file] template and [file] out must both be set, or none");
  }
  const ports = [namePort, xdsPort, agentCheckPort];
  const places = [haproxySocket, nginxOut, fileTemplate, fileOut];
  if (ports.every((port) => port === 0) && places.every((place) => place === "")) {
    problems.push(
      "Nothing is exported: set [nameserver] port, [xds] port, [haproxy] socket or agent_port, " +
        "[nginx] out, or [file] template and out",
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
}
