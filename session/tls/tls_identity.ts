// Core. What a service shows of itself over TLS and whom it believes, replaced while it runs.

import { type Address, isLoopback } from "../../reactor/address.ts";

/**
 * What becomes of peers that do not speak TLS. loopback: those on this host need none, in both
 * directions. off: all need it. accept: whoever calls may do without; this program does not. use: as
 * accept, and this program calls without it.
 */
export const PLAIN_PEERS = ["loopback", "off", "accept", "use"] as const;

/** Any of {@linkcode PLAIN_PEERS}. */
export type PlainPeers = (typeof PLAIN_PEERS)[number];

/** First byte of a caller that speaks TLS. No frame of ours begins with it: ids are below 256. */
export const TLS_FIRST_BYTE = 0x16;

/** Plain values that a transport over TLS is made of; they pass to workers. */
export interface TlsMaterial {
  /** Certificates, in PEM, of those who sign the ones of peers. */
  readonly ca: string;
  /** Own certificate, in PEM, with those between it and the root behind it. */
  readonly cert: string;
  /** Its private key, in PEM. */
  readonly key: string;
  /** SHA-256 fingerprints, in hexadecimal capitals with colons, of certificates that count no more. */
  readonly refused: readonly string[];
  /** See {@linkcode PLAIN_PEERS}. */
  readonly plain: PlainPeers;
}

/** The material of one program; who holds connections listens for changes. */
export class TlsIdentity {
  #material: TlsMaterial;
  readonly #listeners = new Set<() => void>();

  constructor(material: TlsMaterial) {
    this.#material = material;
  }

  /** What counts now. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /** Takes another, which was checked before, and tells the listeners. @returns false: it is the same. */
  replace(material: TlsMaterial): boolean {
    if (sameMaterial(material, this.#material)) return false;
    this.#material = material;
    for (const listener of [...this.#listeners]) listener();
    return true;
  }

  /** @returns what ends the listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** True when nothing is different. */
export function sameMaterial(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.ca === b.ca && a.cert === b.cert && a.key === b.key && a.plain === b.plain &&
    a.refused.join() === b.refused.join();
}

/** True when a caller may do without TLS. */
export function mayCallPlain(
  { plain }: TlsMaterial,
  { hostname }: Pick<Address, "hostname">,
): boolean {
  return plain === "accept" || plain === "use" || (plain === "loopback" && isLoopback(hostname));
}

/** True when this program calls a service without TLS. */
export function callsPlain(
  { plain }: TlsMaterial,
  { hostname }: Pick<Address, "hostname">,
): boolean {
  return plain === "use" || (plain === "loopback" && isLoopback(hostname));
}
