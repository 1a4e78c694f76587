// Core. The address under which the results of this host are stored.

import { isLoopback, parseIpv4 } from "../reactor/address.ts";

const LOOPBACK = 0x7f000001;

/** Where an address may come from, best first. */
export interface CallerIpSources {
  /** `[agent] caller_ip`; empty when not set. */
  readonly configured: string;
  /** This side of the connections to reporter and dns, as far as they stand. */
  readonly locals: readonly (string | undefined)[];
  /** IPv4 addresses of this machine's interfaces. */
  readonly interfaces: readonly string[];
}

/** True for text that is an IPv4 address others can reach. */
function isUsable(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && !isLoopback(text) &&
    text !== "0.0.0.0";
}

/**
 * The configured address; else the local one of a connection that does not stay on this machine;
 * else the first of an interface that is not loopback; else 127.0.0.1. Host names are not asked:
 * many machines give 127.0.1.1 for their own.
 *
 * @throws {RangeError} when the configured address is not an IPv4 address.
 */
export function chooseCallerIp(sources: CallerIpSources): number {
  const { configured, locals, interfaces } = sources;
  if (configured !== "") return parseIpv4(configured);
  const found = [...locals, ...interfaces].find(isUsable);
  return found === undefined ? LOOPBACK : parseIpv4(found);
}
