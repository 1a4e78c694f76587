// Core. Where messages about alerts may not be sent to: what only this host or its cloud can reach.

import { isLoopback } from "../../reactor/address.ts";

/** Hosts of clouds that give away credentials to whoever asks from within. */
const METADATA = ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"];

/** What is known of the surroundings. */
export interface Surroundings {
  /** `host` or `host:port`, which may be reached all the same. */
  readonly allowed: readonly string[];
  /** `host:port` of every service of ours that is known, and ports of ours on this host. */
  readonly ownAddresses: ReadonlySet<string>;
  readonly ownPorts: ReadonlySet<number>;
  /** Addresses of this host besides loopback. */
  readonly ownIps: readonly string[];
}

/** An address without brackets, IPv4 in an IPv6 coat as IPv4. */
function plainIp(ip: string): string {
  const bare = ip.toLowerCase().replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(bare);
  if (mapped !== null) {
    const bytes = mapped.slice(1).flatMap((part) => {
      const value = parseInt(part, 16);
      return [value >> 8, value & 255];
    });
    return bytes.join(".");
  }
  return bare.replace(/^::ffff:(?=\d+\.)/, "");
}

function kindOf(ip: string): string | undefined {
  if (METADATA.includes(ip)) return "the metadata service of a cloud";
  if (/^169\.254\./.test(ip) || /^fe[89ab][0-9a-f]:/.test(ip)) return "link-local";
  return undefined;
}

/** The port of a URL. */
export function portOf({ protocol, port }: URL): number {
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}

/**
 * Why a URL is not posted to.
 *
 * @param ips What its host means, each of which has to be harmless.
 */
export function forbiddenReason(
  url: URL,
  ips: readonly string[],
  { allowed, ownAddresses, ownPorts, ownIps }: Surroundings,
): string | undefined {
  const host = url.hostname.toLowerCase();
  const port = portOf(url);
  const bare = host.replace(/^\[|\]$/g, "");
  if ([host, bare, `${host}:${port}`].some((name) => allowed.includes(name))) return undefined;
  for (const ip of ips.map(plainIp)) {
    const kind = kindOf(ip);
    const isHere = isLoopback(ip) || ip === "0.0.0.0" || ip === "::" || ownIps.includes(ip);
    const isOwn = ownAddresses.has(`${ip}:${port}`) || (isHere && ownPorts.has(port));
    if (kind === undefined && !isOwn) continue;
    const what = kind ?? "a port of our own services";
    return `not sent: ${bare} is ${ip}:${port}, ${what}; to send there all the same, name ` +
      `${host}:${port} in [web] webhook_allow`;
  }
  return undefined;
}
