// Core. The handshake of our own programs: who speaks our extensions, and who knows the secret.

import { encodeHello, type Hello, type HelloProof } from "../proto/codec.ts";
import { HELLO_PROTOCOL, PeerRefusal } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { equalSecrets } from "../reactor/equal_secrets.ts";
import type { TcpConnector } from "../reactor/runtime/types.ts";
import type { Secrets } from "./secrets.ts";

/** Time a connection has to prove the secret before it is closed, when one is required. */
export const PROOF_TIMEOUT_MS = 5000;

/** Bytes of the random number of each side, which the proof of the other one answers. */
export const NONCE_BYTES = 16;

/** Bytes of one proof: HMAC-SHA256. */
export const MAC_BYTES = 32;

/** The first protocol whose proofs name both ends. */
export const MUTUAL_PROTOCOL = 2;

/** HMAC-SHA256 of `bytes` under a secret, which shows that one knows it. */
export type Prove = (secret: Uint8Array, bytes: Uint8Array) => Uint8Array;

/** What a client needs of the machine: connections, proofs, and numbers that nobody can know. */
export interface SessionTransport extends TcpConnector {
  readonly prove: Prove;
  newNonce(): Uint8Array;
}

/** What one side says of itself. */
export interface Self {
  /** Program and version. */
  readonly software: string;
  /** dns, reporter, agent, client, tool, writer. */
  readonly role: string;
}

/** A connection as one of its sides sees it. */
export interface Ends {
  readonly own: string;
  readonly other: string;
}

/** How an end is written in a proof: IPv4 in an IPv6 coat is IPv4, and no interface is named. */
export function endText({ hostname, port }: Address): string {
  const plain = hostname.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, "");
  return formatAddress({ hostname: plain, port });
}

/** Both ends of a connection, for a proof. */
export function endsOf(own: Address | undefined, other: Address | undefined): Ends {
  return {
    own: own === undefined ? "" : endText(own),
    other: other === undefined ? "" : endText(other),
  };
}

/** What both sides have said before a proof, and so must be in it. */
export interface Conversation {
  readonly clientNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
  readonly clientRole: string;
  readonly serverRole: string;
  /** The server does not compare the ends. */
  readonly translated: boolean;
}

/**
 * The bytes that a proof is made of: who proves, to whom, in which conversation. So it is worth
 * nothing to anybody else, in the other direction, or over another connection.
 */
function proofBytes(side: "client" | "server", talk: Conversation, ends: Ends): Uint8Array {
  const encoder = new TextEncoder();
  const text = (value: string): Uint8Array => encoder.encode(value);
  const parts = [
    text(`lars session ${MUTUAL_PROTOCOL}`),
    text(side),
    talk.clientNonce,
    talk.serverNonce,
    text(talk.clientRole),
    text(talk.serverRole),
    text(talk.translated ? "translated" : "direct"),
    text(ends.own),
    text(ends.other),
  ];
  // Each with its length before it, so that no two conversations give the same bytes.
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}

/** Body of the Hello of a client; `nonce` when it has a secret and so wants the server's proof. */
export function clientHello({ software, role }: Self, nonce: Uint8Array | undefined): Uint8Array {
  const wish = nonce === undefined ? {} : { nonce };
  return encodeHello({ protocol: HELLO_PROTOCOL, software, role, ...wish });
}

/** Body of the Hello of a server that proves nothing; `nonce` when it wants a proof all the same. */
export function plainWelcome({ software, role }: Self, nonce?: Uint8Array): Uint8Array {
  return clientHello({ software, role }, nonce);
}

/** Body of the Hello of a server to a client that sent a nonce: its proof under every secret. */
export function provingWelcome(
  { software, role }: Self,
  talk: Conversation,
  ends: Ends,
  secrets: Secrets,
  prove: Prove,
): Uint8Array {
  const bytes = proofBytes("server", talk, ends);
  const mac = new Uint8Array(MAC_BYTES * secrets.all.length);
  secrets.all.forEach((secret, index) => mac.set(prove(secret, bytes), index * MAC_BYTES));
  const { serverNonce: nonce, translated } = talk;
  return encodeHello({
    protocol: HELLO_PROTOCOL,
    software,
    role,
    nonce,
    mac,
    ...ends,
    ...(translated ? { translated } : {}),
  });
}

/** What one side made of the other's proof: the secret behind it, or why it is refused. */
export type ProofVerdict = { readonly secret: Uint8Array } | { readonly refused: PeerRefusal };

/** What a client made of a server's Hello, and the proof it answers with. */
export type WelcomeVerdict =
  | { readonly secret: Uint8Array; readonly proof: HelloProof }
  | { readonly refused: PeerRefusal };

/** A client with secrets reads the Hello of a server that it sent `clientNonce`. */
export function judgeWelcome(
  { nonce, mac, role, own = "", other = "", translated: isTranslated }: Hello,
  mine: { readonly clientNonce: Uint8Array; readonly role: string; readonly ends: Ends },
  secrets: Secrets,
  prove: Prove,
): WelcomeVerdict {
  const translated = isTranslated === true;
  if (mac === undefined || nonce === undefined) {
    return { refused: nonce === undefined ? PeerRefusal.NoSecret : PeerRefusal.OldProof };
  }
  const talk: Conversation = {
    clientNonce: mine.clientNonce,
    serverNonce: nonce,
    clientRole: mine.role,
    serverRole: role,
    translated,
  };
  const wanted = proofBytes("server", talk, { own, other });
  const macs: Uint8Array[] = [];
  for (let at = 0; at < mac.length; at += MAC_BYTES) macs.push(mac.subarray(at, at + MAC_BYTES));
  const secret = secrets.all.find((one) => {
    const right = prove(one, wanted);
    return macs.some((given) => equalSecrets(given, right));
  });
  if (secret === undefined) return { refused: PeerRefusal.WrongSecret };
  const { ends } = mine;
  if (!translated && (own !== ends.other || other !== ends.own)) {
    return { refused: PeerRefusal.PassedOn };
  }
  return { secret, proof: { mac: prove(secret, proofBytes("client", talk, ends)), ...ends } };
}

/** A server reads the proof of a client; `ends` are the server's own view. */
export function judgeProof(
  { mac, own = "", other = "" }: HelloProof,
  talk: Conversation,
  ends: Ends,
  secrets: Secrets,
  prove: Prove,
): ProofVerdict {
  const wanted = proofBytes("client", talk, { own, other });
  const secret = secrets.all.find((one) => equalSecrets(mac, prove(one, wanted)));
  if (secret === undefined) return { refused: PeerRefusal.WrongSecret };
  if (!talk.translated && (own !== ends.other || other !== ends.own)) {
    return { refused: PeerRefusal.PassedOn };
  }
  return { secret };
}

/**
 * Why a connection is refused and what to do, for the one who refuses (`us`) or is refused.
 *
 * @param role What the one who is refused says it is, where that is the reason.
 */
export function refusalText(reason: number, by: "us" | "them", role = "that it comes in"): string {
  switch (reason) {
    case PeerRefusal.WrongRole:
      return by === "us"
        ? `the certificate of the other side does not let it be here in the role ${role}: see ` +
          "docs/tls.md, Roles"
        : `the certificate of [tls] cert here does not let us be there in the role ${role}: see ` +
          "docs/tls.md, Roles";
    case PeerRefusal.NoSecret:
      return by === "us"
        ? "the other side shows no secret: set [auth] token_file there to a copy of the file used here"
        : "the other side wants a secret: set [auth] token_file here to a copy of the file used there";
    case PeerRefusal.WrongSecret:
      return "the secrets differ: compare the files of [auth] token_file on both hosts";
    case PeerRefusal.PassedOn:
      return "somebody between passes this connection on: when that is address translation of " +
        "yours, set [auth] address_translation = 1 at the service that is called";
    case PeerRefusal.OldProof:
      return by === "us"
        ? "the other side is a build whose proof of the secret can be passed on: upgrade it"
        : "this build's proof of the secret can be passed on: upgrade it";
    default:
      return `the other side refuses for reason ${reason}, which this build does not know`;
  }
}
