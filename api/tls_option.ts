// Shell. Sessions of the api over TLS, for callers that have a certificate.

import { messageOf } from "../reactor/errors.ts";
import type { Stream, TcpConnector } from "../reactor/runtime/types.ts";
import type { SessionTransport } from "../session/handshake.ts";
import { nodeTransport } from "../session/node_transport.ts";
import { TlsIdentity } from "../session/tls/tls_identity.ts";

/** What is shown to services over TLS, and believed of them; texts in PEM. */
export interface ClientTls {
  /** Certificates of those who sign the ones of services. */
  readonly ca: string;
  /** Own certificate, which holds the role: `client`, `worker` of a relay, `registrar` of nodes. */
  readonly cert: string;
  /** Its private key. */
  readonly key: string;
  /** `loopback`: services on this host need no TLS. `off`: all speak it. @default {"loopback"} */
  readonly plain?: "loopback" | "off";
}

/** Loaded by those alone who want it. */
async function openConnector({ ca, cert, key, plain = "loopback" }: ClientTls): Promise<
  TcpConnector
> {
  const { requirePair } = await import("../session/tls/certificate_check.ts");
  const { tlsConnector } = await import("../session/tls/tls_client.ts");
  // Whatever its dates say: services judge them by their own clocks.
  requirePair({ cert, key }, { cert: "tls.cert", key: "tls.key" });
  const identity = new TlsIdentity({ ca, cert, key, refused: [], plain });
  return tlsConnector({ identity, plain: nodeTransport, isBackground: true });
}

/** What makes the connections of the api. A pair that does not fit fails each of them, with the reason. */
export function transportOf(tls: ClientTls | undefined): SessionTransport {
  if (tls === undefined) return nodeTransport;
  let connector: Promise<TcpConnector> | undefined;
  return {
    ...nodeTransport,
    async connectTcp(wanted): Promise<Stream> {
      connector ??= openConnector(tls);
      const opened = await connector.catch((error) => {
        throw new Error(`TLS: ${messageOf(error)}`, { cause: error });
      });
      return await opened.connectTcp(wanted);
    },
  };
}
