// Core. IPv4 addresses as numbers and text, IPv6 addresses as text, and `host:port` pairs.

/** A host and a port. */
export interface Address {
  /** Name, dotted IPv4 address, or IPv6 address without brackets. */
  readonly hostname: string;
  /** 0 to 65535; 0 asks the system for a free port when listening. */
  readonly port: number;
}

/** `host:port` text of an address; an IPv6 address stands in brackets. */
export function formatAddress({ hostname, port }: Address): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Reads `host:port`, or `host` alone when `defaultPort` is given. An IPv6 address stands in brackets
 * before a port, and may do so without one.
 *
 * @throws {RangeError} when the port is not a whole number from 0 to 65535, or the host is none.
 */
export function parseAddress(text: string, defaultPort?: number): Address {
  const trimmed = text.trim();
  const [host, portText] = splitPort(trimmed);
  const hostname = plainHost(host);
  if (hostname === undefined) {
    throw new RangeError(
      `Address must look like 127.0.0.1:7778 or [::1]:7778: current value is "${text}"`,
    );
  }
  if (portText === undefined && defaultPort !== undefined) return { hostname, port: defaultPort };
  const port = Number(portText);
  if (portText === undefined || !/^\d{1,5}$/.test(portText) || port > 65535) {
    throw new RangeError(`Port must be a whole number from 0 to 65535: current value is "${text}"`);
  }
  return { hostname, port };
}

/** An IPv6 address of which nothing says where it ends and a port begins is one without a port. */
function splitPort(text: string): [host: string, port: string | undefined] {
  const bracketed = /^(\[[^\]]*\])(?::(.*))?$/.exec(text);
  if (bracketed !== null) return [bracketed[1], bracketed[2]];
  const colon = text.lastIndexOf(":");
  if (colon < 0 || text.indexOf(":") < colon) return [text, undefined];
  return [text.slice(0, colon), text.slice(colon + 1)];
}

/**
 * A host in the form in which it is compared and used: an IPv6 address without brackets, as short as
 * it can be; an IPv4 address inside of one (`::ffff:10.0.0.1`, as sockets for both tell it) as
 * itself; anything else as it is.
 *
 * @returns undefined when it is no name and no address.
 */
export function plainHost(host: string): string | undefined {
  if (!host.includes(":") && !host.startsWith("[")) {
    if (host === "" || /[\s\]]/.test(host)) return undefined;
    // Numbers and dots are no name: 300.1.2.3 is a mistyped address.
    return /^[\d.]+$/.test(host) && !isDottedIpv4(host) ? undefined : host;
  }
  const groups = ipv6Groups(host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host);
  if (groups === undefined) return undefined;
  const isMapped = groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  return isMapped ? formatIpv4(groups[6] << 16 | groups[7]) : shortIpv6(groups);
}

function isDottedIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}

/** The eight numbers of an IPv6 address; undefined when it is none. */
function ipv6Groups(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [left, right] = halves.map((half) => half === "" ? [] : half.split(":").flatMap(numbersOf));
  const missing = 8 - left.length - (right?.length ?? 0);
  // Two colons stand for one group of zeros at least.
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...left, ...new Array<number>(missing).fill(0), ...right ?? []];
  const dotted = text.indexOf(".");
  if (groups.includes(-1) || (dotted >= 0 && text.indexOf(":", dotted) >= 0)) return undefined;
  return groups;
}

/** What one part between colons stands for; -1 for what is none. */
function numbersOf(part: string): number[] {
  if (/^[0-9a-f]{1,4}$/i.test(part)) return [parseInt(part, 16)];
  if (!/^(\d{1,3}\.){3}\d{1,3}$/.test(part)) return [-1];
  const bytes = part.split(".").map(Number);
  if (bytes.some((byte) => byte > 255)) return [-1];
  return [bytes[0] << 8 | bytes[1], bytes[2] << 8 | bytes[3]];
}

/** As RFC 5952 has it: the longest run of zeros, of two at least and the first one, is left out. */
function shortIpv6(groups: readonly number[]): string {
  let start = 0;
  let length = 0;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && groups[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const text = (some: readonly number[]): string => some.map((one) => one.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** True for the address that stands for all of this machine when listening: 0.0.0.0 or ::. */
export function isAnyHost(hostname: string): boolean {
  return hostname === "0.0.0.0" || (hostname.includes(":") && plainHost(hostname) === "::");
}

/** Under which this machine itself reaches what listens on `hostname`. */
export function hostFromHere(hostname: string): string {
  if (!isAnyHost(hostname)) return hostname;
  return hostname === "0.0.0.0" ? "127.0.0.1" : "::1";
}

/**
 * Dotted IPv4 text as an unsigned number in host order: 192.168.1.177 is 3232235953.
 *
 * @throws {RangeError} when the text is not four decimal numbers from 0 to 255.
 */
export function parseIpv4(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text.trim());
  const parts = match === null ? [] : match.slice(1).map(Number);
  if (parts.length !== 4 || parts.some((part) => part > 255)) {
    throw new RangeError(`IPv4 address must look like 10.0.0.1: current value is "${text}"`);
  }
  return ((parts[0] << 24) | (parts[1] << 16) | (parts[2] << 8) | parts[3]) >>> 0;
}

/** Dotted text of an IPv4 number; signed and unsigned numbers give the same text. */
export function formatIpv4(ip: number): string {
  return `${(ip >>> 24) & 255}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

/** True for addresses that only this machine can reach: 127.0.0.0/8, ::1 and `localhost`. */
export function isLoopback(hostname: string): boolean {
  if (hostname === "localhost" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)) return true;
  if (!hostname.includes(":")) return false;
  const plain = plainHost(hostname);
  return plain === "::1" || (plain !== undefined && !plain.includes(":") && isLoopback(plain));
}
