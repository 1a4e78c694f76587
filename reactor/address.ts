// Core. IPv4 addresses as numbers and text, and `host:port` pairs.

/** A host and a port. */
export interface Address {
  /** Name or dotted IPv4 address. */
  readonly hostname: string;
  /** 0 to 65535; 0 asks the system for a free port when listening. */
  readonly port: number;
}

/** `host:port` text of an address. */
export function formatAddress(address: Address): string {
  return `${address.hostname}:${address.port}`;
}

/**
 * Reads `host:port`, or `host` alone when `defaultPort` is given.
 *
 * @throws {RangeError} when the port is not a whole number from 0 to 65535, or the host is empty.
 */
export function parseAddress(text: string, defaultPort?: number): Address {
  const trimmed = text.trim();
  const colon = trimmed.lastIndexOf(":");
  const hostname = colon < 0 ? trimmed : trimmed.slice(0, colon);
  const portText = colon < 0 ? undefined : trimmed.slice(colon + 1);
  if (hostname === "" || /[\s:]/.test(hostname)) {
    throw new RangeError(`Address must look like 127.0.0.1:7778: current value is "${text}"`);
  }
  if (portText === undefined && defaultPort !== undefined) return { hostname, port: defaultPort };
  const port = Number(portText);
  if (portText === undefined || !/^\d{1,5}$/.test(portText) || port > 65535) {
    throw new RangeError(`Port must be a whole number from 0 to 65535: current value is "${text}"`);
  }
  return { hostname, port };
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
  return hostname === "localhost" || hostname === "::1" || hostname === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);
}
