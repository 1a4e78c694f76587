// Core. The handshake of our own programs: who speaks our extensions, who knows the secret.

import { decodeHello, encodeHello, encodeHelloProof, type HelloProof } from "../proto/codec.ts";
import { HELLO_PROTOCOL } from "../proto/message_ids.ts";
import { equalSecrets } from "../reactor/equal_secrets.ts";
import type { TcpConnector } from "../reactor/runtime/types.ts";

/** Time a connection has to prove the secret before it is closed, when one is required. */
export const PROOF_TIMEOUT_MS = 5000;

/** Bytes of the random number that a proof answers. */
export const NONCE_BYTES = 16;

/** The mac of a nonce under a token, which shows that one knows the token: HMAC-SHA256. */
export type Prove = (token: Uint8Array, nonce: Uint8Array) => Uint8Array;

/** What a client needs of the machine: connections, and the proof of its token. */
export interface SessionTransport extends TcpConnector {
  readonly prove: Prove;
}

/** What one side says of itself. */
export interface Self {
  /** Program and version. */
  readonly software: string;
  /** dns, reporter, agent, client, tool, writer. */
  readonly role: string;
}

/** Body of the Hello of either side; the nonce is a server's that wants a proof. */
export function helloOf({ software, role }: Self, nonce?: Uint8Array): Uint8Array {
  return encodeHello({
    protocol: HELLO_PROTOCOL,
    software,
    role,
    ...(nonce === undefined ? {} : { nonce }),
  });
}

/** What a server's Hello asks of a client. */
export interface Welcome {
  /** The server wants a proof. */
  readonly wantsProof: boolean;
  /** Body of the HelloProof to send; undefined when none is wanted, or there is no token. */
  readonly proof: Uint8Array | undefined;
}

/**
 * Reads the server's Hello, which is its welcome.
 *
 * @throws {ProtocolError} when the body cannot be read.
 */
export function readWelcome(
  body: Uint8Array,
  token: Uint8Array | undefined,
  prove: Prove,
): Welcome {
  const { nonce } = decodeHello(body);
  if (nonce === undefined || nonce.length === 0) return { wantsProof: false, proof: undefined };
  if (token === undefined) return { wantsProof: true, proof: undefined };
  return { wantsProof: true, proof: encodeHelloProof({ mac: prove(token, nonce) }) };
}

/** True when a HelloProof holds the right mac of the nonce that the server gave. */
export function isProof(
  { mac }: HelloProof,
  token: Uint8Array,
  nonce: Uint8Array | undefined,
  prove: Prove,
): boolean {
  return nonce !== undefined && mac !== undefined && equalSecrets(mac, prove(token, nonce));
}
