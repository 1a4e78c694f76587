// Shell. Makes a certificate authority for a fleet, and certificates that name roles. Only `lars cert`
// and tests load it.

import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { ROLE_PREFIX } from "./peer_roles.ts";
import type { JsonGeneralName } from "@peculiar/x509";

type X509 = typeof import("@peculiar/x509");

/** The library wants the other one first; a program compiled into one file loses the order of imports. */
async function loadLibrary(): Promise<X509> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

/** A certificate and its key, in PEM. */
export interface MadePair {
  readonly cert: string;
  readonly key: string;
}

/** Time by which certificates are made valid before now: clocks differ. */
export const BACKDATE_MS = 10 * 60_000;

const DAY_MS = 86_400_000;
const CURVE = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
/** OpenSSL's object identifiers of what it is for: to be called, and to call. */
const USES = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];

const crypto = webcrypto as unknown as Crypto;

/** What a certificate is made with. */
export interface CertificateWish {
  /** Whom it is for, for people. */
  readonly name: string;
  /** For how long it is valid, in days; fractions allowed. */
  readonly days: number;
  /** By the wall clock, in milliseconds. */
  readonly nowMs: number;
}

/** And what one of a service is made with besides. */
export interface ServiceWish extends CertificateWish {
  readonly roles: readonly string[];
  /** Host names and addresses, for browsers and others who compare them. */
  readonly hosts?: readonly string[];
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(CURVE, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

async function keyPem({ PemConverter }: X509, { privateKey }: CryptoKeyPair): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey("pkcs8", privateKey), "PRIVATE KEY") +
    "\n";
}

function newSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = bytes[0] & 0x7f | 0x40; // Positive, and no leading zeros that a runtime may drop.
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function periodOf({ days, nowMs }: CertificateWish): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + days * DAY_MS),
  };
}

const nameOf = (name: string): { CN: string[] }[] => [{ CN: [name] }];

/** Makes a root that signs the certificates of a fleet. */
export async function makeAuthority(wish: CertificateWish): Promise<MadePair> {
  const x509 = await loadLibrary();
  const keys = await newKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: nameOf(wish.name),
    ...periodOf(wish),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
    ],
  }, crypto);
  return { cert: cert.toString("pem") + "\n", key: await keyPem(x509, keys) };
}

/**
 * Makes a certificate of a service, signed by a root.
 *
 * @throws {Error} when the root or its key cannot be read.
 */
export async function makeCertificate(
  authority: MadePair,
  wish: ServiceWish,
): Promise<MadePair> {
  const x509 = await loadLibrary();
  const root = new x509.X509Certificate(authority.cert);
  const signingKey = await crypto.subtle.importKey(
    "pkcs8",
    x509.PemConverter.decodeFirst(authority.key),
    CURVE,
    false,
    ["sign"],
  );
  const keys = await newKeys();
  const names: JsonGeneralName[] = [
    ...wish.roles.map((role): JsonGeneralName => ({ type: "url", value: ROLE_PREFIX + role })),
    ...(wish.hosts ?? []).map((value): JsonGeneralName => ({
      type: isIP(value) === 0 ? "dns" : "ip",
      value,
    })),
  ];
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(wish.name),
    issuer: root.subjectName,
    ...periodOf(wish),
    signingAlgorithm: SIGNING,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(USES),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
      await x509.AuthorityKeyIdentifierExtension.create(root.publicKey, false, crypto),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  }, crypto);
  return { cert: cert.toString("pem") + "\n", key: await keyPem(x509, keys) };
}
