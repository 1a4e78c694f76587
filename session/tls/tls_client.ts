// Shell. Connections over TLS to services, by node:tls, in Deno, Bun and Node.

import type { Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { connectionFault } from "../../reactor/runtime/common.ts";
import type { ConnectOptions, Stream, TcpConnector } from "../../reactor/runtime/types.ts";
import { connectBy, type SocketKind } from "../node_transport.ts";
import {
  beliefFault,
  isSignedBy,
  losesRoots,
  peerFacts,
  readCertificate,
} from "./certificate_check.ts";
import { callsPlain, type TlsIdentity, type TlsMaterial } from "./tls_identity.ts";

/** Oldest version that is spoken, in both directions. */
export const TLS_VERSION_MIN = "TLSv1.2";

/** What {@linkcode tlsConnector} is given. */
export interface TlsConnectorOptions {
  /** What is shown and believed by each connection; those that it believes no more end. */
  readonly identity: TlsIdentity;
  /** Makes the connections that need no TLS. */
  readonly plain: TcpConnector;
  /** The program does not go on for the sake of a connection. @default {false} */
  readonly isBackground?: boolean;
}

/** Faults of node:tls, by their codes, which differ between runtimes, in the words of settings. */
const FAULTS: readonly (readonly [pattern: RegExp, text: string])[] = [
  [
    /UNABLE_TO_(VERIFY|GET)|SELF_SIGNED|UnknownIssuer|CERT_SIGNATURE/,
    "its certificate is signed by none of [tls] ca here, or is not valid now",
  ],
  [/CERT_HAS_EXPIRED/, "its certificate has expired"],
  [/CERT_NOT_YET_VALID/, "its certificate is not valid yet: compare the clocks"],
  [/CERTIFICATE_REQUIRED/, "it wants a certificate: set [tls] cert and key here"],
  [/WRONG_VERSION|PACKET_LENGTH|InvalidContentType|UNSUPPORTED_PROTOCOL/, "it speaks no TLS"],
  [/PROTOCOL_VERSION|HANDSHAKE_FAILURE/, "it speaks no TLS that is spoken here: 1.2 or 1.3"],
];

function faultText(error: Error): string {
  const { code = "" } = error as { code?: string };
  const known = FAULTS.find(([pattern]) => pattern.test(`${code} ${error.message}`));
  return known === undefined
    ? connectionFault(error)
    : `TLS: ${known[1]} (${code || error.message})`;
}

/** Why a service may end a connection without a word: a certificate that it does not take. */
function unheardReasonOf({ cert }: TlsMaterial): string {
  const { subject, endsAtMs } = readCertificate(cert);
  return "it may not take the certificate of [tls] cert here " +
    `(${subject}, valid until ${new Date(endsAtMs).toISOString()})`;
}

/** Those that are connected, and the certificate that each has shown, in DER. */
type OpenSockets = Map<TLSSocket, Uint8Array>;

/**
 * Notes a socket whose handshake is over.
 *
 * @param shown What was shown and believed when the handshake began.
 * @throws {Error} that says why the other side is not believed.
 */
function openedTls(
  socket: TLSSocket,
  shown: TlsMaterial,
  now: TlsMaterial,
  open: OpenSockets,
): ReturnType<NonNullable<SocketKind["opened"]>> {
  const { raw } = socket.getPeerCertificate();
  if (!socket.authorized || raw === undefined) {
    throw new Error(`TLS: its certificate is not believed: ${String(socket.authorizationError)}`);
  }
  const der = new Uint8Array(raw);
  const peerCertificate = peerFacts(der);
  const fault = now !== shown && losesRoots(shown.ca, now.ca)
    ? "[tls] ca has lost a root during the handshake"
    : beliefFault(peerCertificate, now, -Infinity);
  if (fault !== undefined) throw new Error(`TLS: ${fault}`);
  open.set(socket, der);
  socket.once("close", () => open.delete(socket));
  return { peerCertificate, unheardReason: unheardReasonOf(shown) };
}

/** Ends connections to those that are believed no more. */
function endUnbelieved(open: OpenSockets, before: TlsMaterial, now: TlsMaterial): void {
  const asksRoots = losesRoots(before.ca, now.ca);
  for (const [socket, der] of [...open]) {
    const fault = asksRoots && !isSignedBy(der, now.ca)
      ? "its certificate is signed by none of [tls] ca any more"
      : beliefFault(peerFacts(der), now, -Infinity);
    if (fault !== undefined) socket.destroy(new Error(`TLS: ${fault}`));
  }
}

/** Connections over TLS, but for peers that need none. */
export function tlsConnector(options: TlsConnectorOptions): TcpConnector {
  const { identity } = options;
  const open: OpenSockets = new Map();
  let before = identity.material;
  // Made once: to read keys and roots again for each connection takes longer than its handshake.
  let context: SecureContext | undefined;
  identity.onChange(() => {
    endUnbelieved(open, before, identity.material);
    before = identity.material;
    context = undefined;
  });
  return {
    connectTcp(wanted: ConnectOptions): Promise<Stream> {
      const { material } = identity;
      if (callsPlain(material, wanted)) return options.plain.connectTcp(wanted);
      const { ca, cert, key } = material;
      const secureContext = context ??= createSecureContext({
        ca,
        cert,
        key,
        minVersion: TLS_VERSION_MIN,
      });
      return connectBy({
        // Who a service is, its certificate says by role: fleets call addresses, which move.
        open: ({ hostname: host, port }): Socket =>
          connect({
            ...{ host, port, secureContext, minVersion: TLS_VERSION_MIN },
            checkServerIdentity: () => undefined,
          }).setNoDelay(true),
        readyEvent: "secureConnect",
        opened: (socket) => openedTls(socket as TLSSocket, material, identity.material, open),
        faultText,
        isBackground: options.isBackground ?? false,
      }, wanted);
    },
  };
}
