// Core. What HAProxy has to be told so that the servers of a backend are the nodes of a module.

import { formatIpv4 } from "../../reactor/address.ts";
import { type ExportNode } from "../fleet_view.ts";

/** Largest weight that HAProxy takes. */
export const HAPROXY_WEIGHT_MAX = 256;

/** Servers of ours, so that those of the configuration are left alone. */
const NAME_PREFIX = "lars-";

/** Bits of `srv_admin_state`: by command, by dependency, by configuration, by name resolution. */
const ADMIN_MAINT = 0x01 | 0x02 | 0x04 | 0x20;
const ADMIN_DRAIN = 0x08 | 0x10;
/** Bit of `srv_check_state`: the check runs. */
const CHECK_ENABLED = 0x04;
/** Bit of `srv_check_state`: there is a check that could run. */
const CHECK_CONFIGURED = 0x02;

/** A server as `show servers state` tells it. */
export interface HaproxyServer {
  readonly name: string;
  readonly state: "ready" | "drain" | "maint";
  readonly weight: number;
  readonly hasCheck: boolean;
  readonly isChecked: boolean;
}

/** How servers are added. */
export interface ServerOptions {
  /** HAProxy checks the nodes itself, too. */
  readonly check: boolean;
  /** Further words of `add server`, as `maxconn 100`; "" = none. */
  readonly extra: string;
}

/**
 * The servers of a backend, by the answer to `show servers state`.
 *
 * @throws {RangeError} when it is no such answer: an unknown backend, or another version.
 */
export function readServersState(text: string, backend: string): HaproxyServer[] {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (lines[0] !== "1") {
    throw new RangeError(
      `HAProxy does not tell the servers of backend "${backend}": ${lines[0] ?? "no answer"}`,
    );
  }
  const columns = (lines[1] ?? "").replace(/^# /, "").split(" ");
  const at = (name: string): number => columns.indexOf(name);
  const servers: HaproxyServer[] = [];
  for (const line of lines.slice(2)) {
    const values = line.split(" ");
    if (values[at("be_name")] !== backend) continue;
    const admin = Number(values[at("srv_admin_state")]);
    const check = Number(values[at("srv_check_state")]);
    servers.push({
      name: values[at("srv_name")],
      state: (admin & ADMIN_MAINT) !== 0
        ? "maint"
        : (admin & ADMIN_DRAIN) !== 0
        ? "drain"
        : "ready",
      weight: Number(values[at("srv_uweight")]),
      hasCheck: (check & CHECK_CONFIGURED) !== 0,
      isChecked: (check & CHECK_ENABLED) !== 0,
    });
  }
  return servers;
}

/** The name under which a node is a server: its address. */
export function serverName({ ip, port }: Pick<ExportNode, "ip" | "port">): string {
  return `${NAME_PREFIX}${formatIpv4(ip)}-${port}`;
}

/**
 * Weights as HAProxy takes them: 0 to 256, positive ones at least 1, in the same proportion. Those
 * that fit stay as they are, so that one node's change does not touch the others.
 */
export function haproxyWeights(nodes: readonly ExportNode[]): number[] {
  const largest = Math.max(1, ...nodes.map(({ weight }) => weight));
  const scale = largest <= HAPROXY_WEIGHT_MAX ? 1 : HAPROXY_WEIGHT_MAX / largest;
  return nodes.map(({ weight }) => weight === 0 ? 0 : Math.max(1, Math.round(weight * scale)));
}

/** What one server needs, in order; the next command is sent when the one before was taken. */
export interface ServerCommands {
  readonly server: string;
  readonly commands: readonly string[];
}

/**
 * The commands that make the servers of a backend the nodes of a module. New nodes get their
 * weight, check and pool settings when they are added (settings of `default-server` do not apply),
 * and calls only when agents find them well. A node that is gone is deleted once nothing uses it:
 * until HAProxy lets it go it is in maintenance, and it is tried again.
 */
export function reconcile(
  backend: string,
  servers: readonly HaproxyServer[],
  nodes: readonly ExportNode[],
  { check, extra }: ServerOptions,
): ServerCommands[] {
  const known = new Map(servers.map((server) => [server.name, server]));
  const weights = haproxyWeights(nodes);
  const wanted = new Set<string>();
  const result: ServerCommands[] = [];
  nodes.forEach((node, index) => {
    const name = serverName(node);
    const path = `${backend}/${name}`;
    wanted.add(name);
    const before = known.get(name);
    // A drained node keeps its weight: it has none of its own when it is drained by weight 0.
    const weight = weights[index] === 0 ? before?.weight ?? 1 : weights[index];
    const commands: string[] = [];
    if (before === undefined) {
      const address = `${formatIpv4(node.ip)}:${node.port}`;
      const checks = check ? " check inter 2s fastinter 500ms fall 3 rise 2" : "";
      // Without both, HAProxy 2.6 never uses a connection to an added server twice.
      const pool = " pool-max-conn -1 pool-purge-delay 5s";
      const more = extra === "" ? "" : ` ${extra}`;
      commands.push(`add server ${path} ${address} weight ${weight}${checks}${pool}${more}`);
    } else if (before.weight !== weight) {
      commands.push(`set server ${path} weight ${weight}`);
    }
    const isUnchecked = before === undefined ? check : before.hasCheck && !before.isChecked;
    if (isUnchecked) commands.push(`enable health ${path}`);
    const state = node.state === "up" ? "ready" : node.state === "drain" ? "drain" : "maint";
    if ((before?.state ?? "maint") !== state) commands.push(`set server ${path} state ${state}`);
    if (commands.length > 0) result.push({ server: name, commands });
  });
  for (const { name, state } of servers) {
    if (!name.startsWith(NAME_PREFIX) || wanted.has(name)) continue;
    const path = `${backend}/${name}`;
    const maint = state === "maint" ? [] : [`set server ${path} state maint`];
    result.push({ server: name, commands: [...maint, `del server ${path}`] });
  }
  return result;
}

/** True for an answer that says that a server cannot be deleted yet, which is no fault. */
export function isStillUsed(command: string, answer: string): boolean {
  return command.startsWith("del server ") && /still|connections|idle/i.test(answer);
}

/** True when HAProxy did what it was told; some commands answer nothing, others a word of success. */
export function isTaken(answer: string): boolean {
  return answer.trim() === "" ||
    /^(New server registered\.|Server deleted\.|no need to change)/m.test(answer.trim());
}
