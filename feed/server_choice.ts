// Core. Which of several servers a client takes: one of its own zone, and among those the one that
// rendezvous hashing gives it, so that clients spread evenly and each has its own second choice.

import { hashText } from "../balancer/picking/murmur3.ts";
import { type Address, formatAddress, parseAddress } from "../reactor/address.ts";

/** A server as a configuration names it, or as a name of it was resolved. */
export interface ServerAddress extends Address {
  /** Zone that it stands in; absent: not said. */
  readonly zone?: string;
  /** Of a service record: the lowest are taken first. @default {0} */
  readonly priority?: number;
  /** Of a service record: its share of the clients. @default {1} */
  readonly weight?: number;
}

/** In which order servers are taken: by zone and hash, or as they are listed. */
export type ServerOrder = "spread" | "listed";

/** Who chooses. */
export interface Chooser {
  /** Names the client among all; the same over its restarts. */
  readonly id: string;
  /** Zone that it stands in; "" = none. */
  readonly zone: string;
  readonly order: ServerOrder;
}

/** Finds the addresses behind names; `AbortSignal`s and caches are its own matter. */
export interface ServerLookup {
  /** IP addresses of a host. @throws {Error} when there are none, or nobody answers. */
  hosts(name: string): Promise<readonly string[]>;
  /** Servers of a service record, `_lars-dns._tcp.example.org`. @throws {Error} as `hosts` does. */
  services(name: string): Promise<readonly ServerAddress[]>;
}

/** How a configuration names a server. */
export const SERVER_SHAPE = "host[:port][@zone]";

/** Servers that names may stand for, all together; further ones are left out. */
export const SERVERS_MAX = 64;

/**
 * Reads `host[:port][@zone]`. A host that begins with `_` names service records.
 *
 * @throws {RangeError} when it is no such text.
 */
export function parseServer(text: string, defaultPort?: number): ServerAddress {
  const at = text.indexOf("@");
  if (at < 0) return parseAddress(text, defaultPort);
  const zone = text.slice(at + 1).trim();
  if (zone === "") throw new RangeError(`Zone must follow the @: current value is "${text}"`);
  return { ...parseAddress(text.slice(0, at), defaultPort), zone };
}

/** The text that {@linkcode parseServer} reads. */
export function formatServer(server: ServerAddress): string {
  const { zone } = server;
  return formatAddress(server) + (zone === undefined ? "" : `@${zone}`);
}

/** True for a host that has to be looked up before it can be chosen among others. */
export function isName(hostname: string): boolean {
  return !hostname.includes(":") && !/^\d{1,3}(\.\d{1,3}){3}$/.test(hostname);
}

/**
 * Every address behind every name, with the zone of its entry. What cannot be looked up now stays a
 * name, which the system may still know.
 */
export async function resolveServers(
  servers: readonly ServerAddress[],
  lookup: ServerLookup,
): Promise<readonly ServerAddress[]> {
  const found = await Promise.all(servers.map((server) => resolveServer(server, lookup)));
  const byAddress = new Map(found.flat().map((server) => [formatAddress(server), server]));
  return [...byAddress.values()].slice(0, SERVERS_MAX);
}

async function resolveServer(
  server: ServerAddress,
  lookup: ServerLookup,
): Promise<readonly ServerAddress[]> {
  const { hostname, zone } = server;
  if (!isName(hostname)) return [server];
  const zoned = zone === undefined ? {} : { zone };
  try {
    if (hostname.startsWith("_")) {
      const services = await lookup.services(hostname);
      return services.map((one) => ({ ...one, ...zoned }));
    }
    const addresses = await lookup.hosts(hostname);
    return addresses.map((address) => ({ ...server, hostname: address }));
  } catch {
    // The connection to it fails with the reason, and is tried again.
    return [server];
  }
}

/** Servers in the order in which a client takes them. */
export function rankServers(
  servers: readonly ServerAddress[],
  { id, zone, order }: Chooser,
): readonly ServerAddress[] {
  if (order === "listed") return servers;
  const isFar = (server: ServerAddress): number => Number(zone !== "" && server.zone !== zone);
  return servers
    .map((server) => ({ server, score: scoreOf(server, id) }))
    .sort((one, other) =>
      isFar(one.server) - isFar(other.server) ||
      (one.server.priority ?? 0) - (other.server.priority ?? 0) ||
      other.score - one.score
    )
    .map(({ server }) => server);
}

/** Weighted rendezvous: of servers with equal weights each client takes the one that hashes highest. */
function scoreOf(server: ServerAddress, id: string): number {
  const share = (hashText(`${id} ${formatAddress(server)}`) + 1) / 4_294_967_297;
  // A weight of 0 in a service record is a small one, not none.
  return -Math.max(server.weight ?? 1, 0.01) / Math.log(share);
}
