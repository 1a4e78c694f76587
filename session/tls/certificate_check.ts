// Shell. Looks at certificates and keys before anything is made of them: a runtime may take a pair
// that does not match, and then fail every connection.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf } from "../../reactor/errors.ts";
import type { PeerCertificate } from "../../reactor/runtime/types.ts";
import { uriNames } from "./certificate_names.ts";
import { holdsRole, ROLE_PREFIX, rolesOf } from "./peer_roles.ts";
import type { TlsMaterial } from "./tls_identity.ts";

/** What a certificate says. */
export interface CertificateFacts extends PeerCertificate {
  readonly issuer: string;
  /** By the wall clock, in milliseconds. */
  readonly startsAtMs: number;
}

/** The whole blocks of a PEM text. @throws {RangeError} when there is none, or one is cut. */
function blocksOf(pem: string, what: string): string[] {
  // Keys that are encrypted in the older way have heads with dashes.
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]+)-----(?:(?!-----)[^])*-----END \1-----/g) ?? [];
  const begun = pem.split("-----BEGIN ").length - 1;
  if (blocks.length === 0 || blocks.length !== begun) {
    const found = begun === 0 ? "there is none" : `${blocks.length} of ${begun} are`;
    throw new RangeError(`${what} must hold whole blocks of PEM: ${found}`);
  }
  return blocks;
}

function certificatesOf(pem: string, what: string): X509Certificate[] {
  const blocks = blocksOf(pem, what).filter((block) => block.includes("BEGIN CERTIFICATE-"));
  if (blocks.length === 0) throw new RangeError(`${what} must hold a certificate`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new RangeError(`${what}: certificate ${index + 1}: ${messageOf(error)}`);
    }
  });
}

/** What a certificate says. @throws {RangeError} when its names cannot be read. */
function factsOf(certificate: X509Certificate): CertificateFacts {
  const { subject, issuer, fingerprint256, validFrom, validTo } = certificate;
  return {
    subject: oneLine(subject),
    issuer: oneLine(issuer),
    fingerprint: fingerprint256,
    uris: uriNames(new Uint8Array(certificate.raw)),
    startsAtMs: Date.parse(validFrom),
    endsAtMs: Date.parse(validTo),
  };
}

const oneLine = (name: string): string => (name ?? "").trim().replace(/\n/g, ", ");

/** What the first certificate of a PEM text says. @throws {RangeError} when there is none. */
export function readCertificate(pem: string, what = "The file"): CertificateFacts {
  return factsOf(certificatesOf(pem, what)[0]);
}

/** What a certificate that a peer has proved to own says. */
export function peerFacts(der: Uint8Array): CertificateFacts {
  return factsOf(new X509Certificate(der));
}

/** True when one of the roots, or of those between, has signed a certificate. */
function isSigned(
  leaf: X509Certificate,
  between: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): boolean {
  let current = leaf;
  for (let depth = 0; depth <= between.length; depth++) {
    const by = (one: X509Certificate): boolean =>
      current.checkIssued(one) && current.verify(one.publicKey);
    if (roots.some(by)) return true;
    const next = between.find((one) => one !== current && by(one));
    if (next === undefined) return false;
    current = next;
  }
  return false;
}

/** True when one of the roots of `before` is not among those of `after`. */
export function losesRoots(before: string, after: string): boolean {
  const left = new Set(certificatesOf(after, "[tls] ca").map((one) => one.fingerprint256));
  return certificatesOf(before, "[tls] ca").some((one) => !left.has(one.fingerprint256));
}

/** Why a peer's certificate, whose signature is right, is not believed; undefined: it is. */
export function beliefFault(
  { fingerprint, endsAtMs }: PeerCertificate,
  { refused }: TlsMaterial,
  nowMs: number,
): string | undefined {
  if (refused.includes(fingerprint)) {
    return `its certificate is one of [tls] refused: ${fingerprint}`;
  }
  return endsAtMs <= nowMs ? "its certificate has expired" : undefined;
}

/** True when a certificate is signed by one of these roots itself. */
export function isSignedBy(der: Uint8Array, ca: string): boolean {
  return isSigned(new X509Certificate(der), [], certificatesOf(ca, "[tls] ca"));
}

/**
 * Checks a certificate and its key against each other, and against the clock.
 *
 * @returns what the certificate says.
 * @throws {RangeError} naming the key of the settings and what would be right.
 */
export function checkPair(
  pair: Pick<TlsMaterial, "cert" | "key">,
  nowMs: number,
  names: PairNames = { cert: "[tls] cert", key: "[tls] key" },
): CertificateFacts {
  const facts = requirePair(pair, names);
  if (facts.endsAtMs <= nowMs || facts.startsAtMs > nowMs) {
    const from = new Date(facts.startsAtMs).toISOString();
    const to = new Date(facts.endsAtMs).toISOString();
    throw new RangeError(`${names.cert} must be valid now: it is from ${from} to ${to}`);
  }
  return facts;
}

/** What a certificate and its key are called in faults. */
export interface PairNames {
  readonly cert: string;
  readonly key: string;
}

/**
 * Checks a certificate and its key against each other alone.
 *
 * @returns what the certificate says.
 * @throws {RangeError} naming the one that is wrong.
 */
export function requirePair(
  { cert, key }: Pick<TlsMaterial, "cert" | "key">,
  names: PairNames,
): CertificateFacts {
  const [own] = certificatesOf(cert, names.cert);
  const keys = blocksOf(key, names.key).filter((block) => block.includes("PRIVATE KEY-"));
  if (keys.length !== 1) throw new RangeError(`${names.key} must hold one private key`);
  if (/ENCRYPTED/.test(keys[0])) {
    throw new RangeError(
      `${names.key} must not be encrypted: nobody is there to give the password`,
    );
  }
  let fits: boolean;
  try {
    fits = own.checkPrivateKey(createPrivateKey(keys[0]));
  } catch (error) {
    throw new RangeError(`${names.key} cannot be read: ${messageOf(error)}`);
  }
  if (!fits) {
    throw new RangeError(
      `${names.key} is not the key of ${names.cert}: both must be of one pair`,
    );
  }
  return factsOf(own);
}

/**
 * Checks all of what a service shows and believes.
 *
 * @param role What the service is; its certificate must say so, as peers want to see it.
 * @returns what the certificate says, and what is odd and yet taken.
 * @throws {RangeError} when it cannot be taken.
 */
export function checkMaterial(
  material: TlsMaterial,
  role: string,
  nowMs: number,
): { readonly own: CertificateFacts; readonly warnings: readonly string[] } {
  const own = checkPair(material, nowMs);
  const roots = certificatesOf(material.ca, "[tls] ca");
  const [leaf, ...between] = certificatesOf(material.cert, "[tls] cert");
  if (!holdsRole(own, role)) {
    const held = rolesOf(own).join(", ") || "none";
    throw new RangeError(
      `[tls] cert must hold the role ${role}, the URI ${ROLE_PREFIX}${role} among its names: ` +
        `it holds ${held}`,
    );
  }
  const warnings: string[] = [];
  if (!isSigned(leaf, between, roots)) {
    warnings.push("[tls] cert is signed by none of [tls] ca: peers that have the same refuse it");
  }
  const expired = roots.map(factsOf).filter(({ endsAtMs }) => endsAtMs <= nowMs);
  if (expired.length === roots.length) warnings.push("[tls] ca holds no root that is valid now");
  return { own, warnings };
}
