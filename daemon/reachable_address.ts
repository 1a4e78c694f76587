// Shell. Under which address others reach a service that listens on all of them.

import {
  formatAddress,
  hostFromHere,
  isAnyHost,
  isLoopback,
  parseAddress,
} from "../reactor/address.ts";
import { runtime } from "../reactor/runtime/mod.ts";

/** IPv4 addresses of this machine that others can reach, in the system's order. */
export function ipv4OfInterfaces(): string[] {
  return runtime.networkAddresses().filter((ip) => !ip.includes(":") && !isLoopback(ip));
}

/**
 * The address to give to others: as it is, but for "all addresses" (`0.0.0.0`, `::`), which means
 * something else to everybody; then the first IPv4 address of this machine, which both reach, or
 * loopback when it has no other.
 */
export function reachableHost(
  listenHost: string,
  interfaces: readonly string[] = ipv4OfInterfaces(),
): string {
  if (!isAnyHost(listenHost)) return listenHost;
  return interfaces[0] ?? hostFromHere(listenHost);
}

/** The same for `host:port`. */
export function reachableAddress(address: string): string {
  const { hostname, port } = parseAddress(address);
  return formatAddress({ hostname: reachableHost(hostname), port });
}
