// Core. Whom a server believes, in plain values that pass to workers: secrets, and certificates.

import type { Secrets } from "./secrets.ts";
import type { TlsIdentity, TlsMaterial } from "./tls/tls_identity.ts";

/** What peers of a server have to prove; plain values. */
export interface PeerTrust {
  /** The secrets of which peers must prove one, if there are any. */
  readonly secrets: readonly Uint8Array[] | undefined;
  /** What is shown and believed over TLS; undefined: there is no TLS. */
  readonly tls?: TlsMaterial | undefined;
}

/** Where {@linkcode PeerTrust} comes from, and changes. */
export interface TrustSource {
  readonly secrets: Secrets | undefined;
  readonly tls?: TlsIdentity | undefined;
}

/** What counts now. */
export function trustOf({ secrets, tls }: TrustSource): PeerTrust {
  return { secrets: secrets?.all, tls: tls?.material };
}

/** Tells of each change what counts from then on. @returns what ends the listening. */
export function onTrustChange(
  source: TrustSource,
  listener: (trust: PeerTrust) => void,
): () => void {
  const changed = (): void => listener(trustOf(source));
  const ends = [source.secrets?.onChange(changed), source.tls?.onChange(changed)];
  return () => ends.forEach((end) => end?.());
}
