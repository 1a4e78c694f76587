// Core. Which addresses discovery connects to: never what only a host or its cloud can reach.

/** Link-local: 169.254.0.0/16, in which clouds keep the metadata of their machines. */
const LINK_LOCAL = 0xa9fe;

/** Metadata of one cloud outside of it: 100.100.100.200. */
const OTHER_METADATA = 0x646464c8;

/** True for an address of a node that may be asked whether it is there. */
export function isProbed(ip: number): boolean {
  const first = ip >>> 24;
  return (ip >>> 16) !== LINK_LOCAL && (ip >>> 0) !== OTHER_METADATA && first > 0 && first < 224;
}
