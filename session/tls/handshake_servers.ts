// Shell. Servers of node:tls that make one handshake at a time, so that each result is that of its
// connection; they listen nowhere.

import type { Duplex } from "node:stream";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { messageOf } from "../../reactor/errors.ts";
import { TLS_VERSION_MIN } from "./tls_client.ts";
import type { TlsMaterial } from "./tls_identity.ts";

/** Servers at rest that are kept; the next handshakes beyond make their own. */
const IDLE_SERVERS_MAX = 64;

/** Told of one handshake: one of them, once. */
export interface HandshakeEvents {
  onSecure(socket: TLSSocket): void;
  onFailed(reason: string): void;
}

interface OneServer {
  readonly server: Server;
  events: HandshakeEvents | undefined;
}

const FAULTS: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/DID_NOT_RETURN_A_CERTIFICATE/, "it shows no certificate: set [tls] cert and key there"],
  [/CERT_HAS_EXPIRED/, "its certificate has expired"],
  [/CERT_NOT_YET_VALID/, "its certificate is not valid yet: compare the clocks"],
  [
    /UNABLE_TO|SELF_SIGNED|INVALID_PURPOSE|INVALID_CA/,
    "its certificate is signed by none of [tls] ca here, or is not made to call",
  ],
  [
    // Deno says no more of a certificate that it does not take.
    /ECONNRESET/,
    "it has left, or its certificate is not valid now or signed by none of [tls] ca here",
  ],
  [/ALERT_UNKNOWN_CA|ALERT_BAD_CERT|ALERT_CERT/, "it does not take the certificate shown here"],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/, "it speaks no TLS that is spoken here: 1.2 or 1.3"],
];

function textOf(error: Error): string {
  const { code = "" } = error as { code?: string };
  const known = FAULTS.find(([pattern]) => pattern.test(`${code} ${error.message}`));
  return `TLS: ${known?.[1] ?? "no handshake"} (${code || messageOf(error)})`;
}

/** What is shown in handshakes. */
export interface ShownPair extends Pick<TlsMaterial, "cert" | "key"> {
  /** Those who sign the certificates that are asked for; undefined: none is asked for. */
  readonly ca?: string;
}

/** Handshakes with one material. */
export class HandshakeServers {
  readonly #shown: ShownPair;
  readonly #idle: OneServer[] = [];

  constructor(shown: ShownPair) {
    this.#shown = shown;
  }

  /** Begins a handshake over `stream`. */
  handshake(stream: Duplex, events: HandshakeEvents): void {
    const one = this.#idle.pop() ?? this.#make();
    one.events = events;
    one.server.emit("connection", stream);
  }

  #make(): OneServer {
    const { ca, cert, key } = this.#shown;
    const asks = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
    // A socket of its own does not refuse in every runtime who shows a foreign certificate; a server does.
    const server = createServer({
      ...{ ...asks, cert, key, minVersion: TLS_VERSION_MIN, allowHalfOpen: true },
    });
    const one: OneServer = { server, events: undefined };
    server.on("secureConnection", (socket) => {
      const { events } = one;
      one.events = undefined;
      if (events === undefined) return void socket.destroy();
      if (this.#idle.length < IDLE_SERVERS_MAX) this.#idle.push(one);
      events.onSecure(socket);
    });
    // After a failure it is left: nothing that comes late may be taken for another connection.
    server.on("tlsClientError", (error) => {
      one.events?.onFailed(textOf(error));
      one.events = undefined;
    });
    return one;
  }
}
