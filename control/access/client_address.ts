// Core. Whose address a request comes from, through proxies that are trusted to say so.

import { ConfigError } from "../../reactor/errors.ts";

/** Hops of a header that are looked at, from the last; longer ones are nobody's honest work. */
const HOPS_MAX = 32;

/** A range of addresses: the first `bits` of `bytes`. */
interface Range {
  readonly bytes: readonly number[];
  readonly bits: number;
}

/** The bytes of an IP address, 4 or 16; IPv4 in an IPv6 coat is IPv4. Undefined: it is none. */
function bytesOf(text: string): number[] | undefined {
  const bare = text.trim().replace(/^\[|\]$/g, "").replace(/%.*$/, "").toLowerCase()
    .replace(/^::ffff:(?=\d+\.)/, "");
  const parts = bare.split(".");
  if (parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    return parts.map(Number);
  }
  if (!/^[0-9a-f:]+$/.test(bare) || !bare.includes(":")) return undefined;
  const [head, tail, more] = bare.split("::");
  if (more !== undefined) return undefined;
  const groups = (side: string | undefined): string[] =>
    side === undefined || side === "" ? [] : side.split(":");
  const [left, right] = [groups(head), groups(tail)];
  const missing = 8 - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...left, ...Array<string>(Math.max(0, missing)).fill("0"), ...right];
  if (all.some((group) => !/^[0-9a-f]{1,4}$/.test(group))) return undefined;
  return all.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]);
}

/**
 * Reads `[web] trusted_proxies`: addresses and ranges such as `10.0.0.0/8`, separated by commas.
 *
 * @throws {ConfigError} naming the first that is neither.
 */
export function readProxies(list: string): Range[] {
  return list.split(/[\s,]+/).filter((text) => text !== "").map((text) => {
    const [address, bitsText] = text.split("/");
    const bytes = bytesOf(address);
    const bits = bitsText === undefined ? (bytes?.length ?? 0) * 8 : Number(bitsText);
    if (bytes === undefined || !Number.isInteger(bits) || bits < 0 || bits > bytes.length * 8) {
      throw new ConfigError(
        `[web] trusted_proxies must be addresses or ranges such as 10.0.0.0/8: "${text}" is none`,
      );
    }
    return { bytes, bits };
  });
}

function isIn(bytes: readonly number[], range: Range): boolean {
  if (bytes.length !== range.bytes.length) return false;
  for (let bit = 0; bit < range.bits; bit += 8) {
    const mask = (0xff << Math.max(0, 8 - (range.bits - bit))) & 0xff;
    if (((bytes[bit / 8] ^ range.bytes[bit / 8]) & mask) !== 0) return false;
  }
  return true;
}

/** Addresses that the header Forwarded names, the last hop last; undefined for a hop without one. */
function forwardedHops(header: string): (string | undefined)[] {
  return header.split(",").map((hop) => {
    const match = /(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;,\s]*))/i.exec(hop);
    return plainHost(match?.[1] ?? match?.[2] ?? "");
  });
}

/** `1.2.3.4`, `1.2.3.4:5`, `[::1]:5` or `::1` as an address alone. */
function plainHost(text: string): string | undefined {
  const trimmed = text.trim();
  const host = /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1] ??
    /^(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(trimmed)?.[1] ?? trimmed;
  return bytesOf(host) === undefined ? undefined : host;
}

/**
 * The address of whoever asks: that of the connection, or, while that is a trusted proxy, the one it
 * says it works for, and so on. What a stranger writes into the headers stands before what the first
 * trusted proxy adds, and is not looked at. Forwarded counts when it is there, else X-Forwarded-For.
 */
export function clientAddress(
  remote: string,
  headers: { get(name: string): string | null },
  trusted: readonly Range[],
): string {
  const isTrusted = (address: string): boolean => {
    const bytes = bytesOf(address);
    return bytes !== undefined && trusted.some((range) => isIn(bytes, range));
  };
  if (trusted.length === 0 || !isTrusted(remote)) return remote;
  const forwarded = headers.get("Forwarded");
  const hops = forwarded !== null
    ? forwardedHops(forwarded)
    : (headers.get("X-Forwarded-For") ?? "").split(",").map(plainHost);
  let address = remote;
  for (const hop of hops.slice(-HOPS_MAX).reverse()) {
    if (hop === undefined) break;
    address = hop;
    if (!isTrusted(hop)) break;
  }
  return address;
}

/** What is counted as one client: an IPv4 address, or the network of an IPv6 host. */
export function clientKey(address: string): string {
  const bytes = bytesOf(address);
  if (bytes?.length !== 16) return address;
  return `${bytes.slice(0, 8).map((byte) => byte.toString(16).padStart(2, "0")).join("")}::/64`;
}
