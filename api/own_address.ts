// Core. Under which of its addresses a node is to be reached, and what is doubtful about it.

import { formatIpv4, isLoopback, parseIpv4 } from "../reactor/address.ts";

/** An address of this machine. */
export interface OwnInterface {
  /** Of the interface: `eth0`. */
  readonly name: string;
  readonly address: string;
}

/** How the address is chosen; the first that is given counts. */
export interface AddressWish {
  /** The address itself. */
  readonly ip?: string | undefined;
  /** The first address of this interface. */
  readonly interface?: string | undefined;
  /** The first address within this network: `10.0.0.0/8`. */
  readonly cidr?: string | undefined;
}

/** What was chosen. */
export interface ChosenAddress {
  readonly ip: number;
  /** For people: why others may not reach it. */
  readonly warnings: readonly string[];
}

/** Names of interfaces that containers and virtual machines of this host have. */
const VIRTUAL_NAME = /^(docker|br-|veth|virbr|cni|flannel|cali|podman|lxc|lxd)/;

/**
 * The address under which a node registers: the one that is wished for, else the one from which
 * this machine reaches discovery.
 *
 * @param reaching This side of the connection to discovery.
 * @param peer The other side of it.
 * @throws {RangeError} when a wish cannot be read, or no address fits it.
 */
export function chooseAddress(
  wish: AddressWish,
  interfaces: readonly OwnInterface[],
  reaching: string,
  peer: string,
): ChosenAddress {
  const ip = parseIpv4(wishedAddress(wish, interfaces) ?? reachingIpv4(reaching));
  return { ip, warnings: warningsOf(formatIpv4(ip), interfaces, peer) };
}

function wishedAddress(wish: AddressWish, all: readonly OwnInterface[]): string | undefined {
  const ipv4 = all.filter(({ address }) => !address.includes(":"));
  if (wish.ip !== undefined) return formatIpv4(parseIpv4(wish.ip));
  if (wish.interface !== undefined) {
    const found = ipv4.find(({ name }) => name === wish.interface);
    if (found !== undefined) return found.address;
    const names = [...new Set(ipv4.map(({ name }) => name))].join(", ");
    throw new RangeError(`Interface must have an IPv4 address: "${wish.interface}", of ${names}`);
  }
  if (wish.cidr === undefined) return undefined;
  const isWithin = parseCidr(wish.cidr);
  const found = ipv4.find(({ address }) => isWithin(parseIpv4(address)));
  if (found !== undefined) return found.address;
  const some = ipv4.map(({ address }) => address).join(", ");
  throw new RangeError(`No address of this machine is within ${wish.cidr}: it has ${some}`);
}

function reachingIpv4(reaching: string): string {
  if (!reaching.includes(":")) return reaching;
  if (isLoopback(reaching)) return "127.0.0.1";
  throw new RangeError(
    `Discovery is reached by IPv6 (${reaching}), and nodes have IPv4 addresses: name one`,
  );
}

/** `10.0.0.0/8` as a test. @throws {RangeError} when it is none. */
function parseCidr(text: string): (ip: number) => boolean {
  const [network, bitsText, ...rest] = text.split("/");
  const bits = Number(bitsText);
  if (rest.length > 0 || !/^\d{1,2}$/.test(bitsText ?? "") || bits > 32) {
    throw new RangeError(`Network must look like 10.0.0.0/8: current value is "${text}"`);
  }
  const shift = 2 ** (32 - bits);
  const wanted = Math.floor(parseIpv4(network) / shift);
  return (ip) => Math.floor(ip / shift) === wanted;
}

function warningsOf(address: string, all: readonly OwnInterface[], peer: string): string[] {
  if (isLoopback(address)) {
    return isLoopback(peer)
      ? [`${address} is reached from this host alone`]
      : [`${address} is reached from this host alone, and discovery is on another`];
  }
  const own = all.find((one) => one.address === address);
  if (own !== undefined && VIRTUAL_NAME.test(own.name)) {
    return [`${address} is that of ${own.name}: containers of this host alone may reach it`];
  }
  const parts = address.split(".");
  if (parts[0] === "169" && parts[1] === "254") {
    return [`${address} is link-local: hosts of other networks do not reach it`];
  }
  return [];
}
