// Core. What may be looked at to know whether a node serves, and how.

/** What is looked for. */
export type NodeCheck =
  | { readonly kind: "tcp" }
  | {
    readonly kind: "http";
    /** Begins with `/`. */
    readonly path: string;
  };

/** Link-local: 169.254.0.0/16, in which clouds keep the metadata of their machines. */
const LINK_LOCAL = 0xa9fe;

/** Metadata of one cloud outside of it: 100.100.100.200. */
const OTHER_METADATA = 0x646464c8;

/** True for an address that may be looked at: never what only a host or its cloud can reach. */
export function mayCheck(ip: number): boolean {
  const first = ip >>> 24;
  return (ip >>> 16) !== LINK_LOCAL && (ip >>> 0) !== OTHER_METADATA && first > 0 && first < 224;
}

/** Reads `tcp` or `http:/path`. @throws {RangeError} when it is neither. */
export function parseNodeCheck(text: string): NodeCheck {
  if (text === "tcp") return { kind: "tcp" };
  const path = text.startsWith("http:") ? text.slice(5) : "";
  if (/^\/[\x21-\x7e]{0,500}$/.test(path)) return { kind: "http", path };
  throw new RangeError(`Check must be tcp, or http:/path: current value is "${text}"`);
}
