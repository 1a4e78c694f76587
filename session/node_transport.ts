// Shell. Sessions over node:net, in Deno, Bun and Node, for a program that is not ours.

import { connect, type Socket } from "node:net";
import type { Address } from "../reactor/address.ts";
import { connectionFault } from "../reactor/runtime/common.ts";
import type {
  ConnectOptions,
  PeerCertificate,
  Stream,
  StreamHandlers,
} from "../reactor/runtime/types.ts";
import type { SessionTransport } from "./handshake.ts";
import { newNonce, proofOf } from "./proof.ts";

/** What is said of a connection that has ended without an error. */
const ENDED = "the other side closed the connection";

/** A stream over a socket of node:net or node:tls. */
class NodeStream implements Stream {
  readonly remote: Address;
  readonly local: Address;
  readonly copyBelowBytes = 0;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly #socket: Socket;
  readonly #unheardReason: string | undefined;
  #handlers: StreamHandlers | undefined;
  #heard = false;
  #closed = false;

  constructor(socket: Socket, remote: Address, opened: OpenedSocket) {
    this.#socket = socket;
    this.peerCertificate = opened.peerCertificate;
    this.#unheardReason = opened.unheardReason;
    this.remote = { hostname: socket.remoteAddress ?? remote.hostname, port: remote.port };
    this.local = {
      hostname: (socket.localAddress ?? "").replace(/^::ffff:/, ""),
      port: socket.localPort ?? 0,
    };
  }

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    this.#socket
      .on("data", (chunk: Uint8Array) => {
        this.#heard = true;
        if (!this.#closed) handlers.onData(chunk);
      })
      .on("error", (error) => this.#lost(connectionFault(error)))
      .on("close", () => this.#lost(ENDED));
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    const bytes = length === chunk.length ? chunk : chunk.subarray(0, length);
    this.#socket.write(bytes, this.#onWritten);
    return false;
  }

  pause(): void {
    this.#socket.pause();
  }

  /** A client never pauses: this is the end of a session, for which the program has to wait. */
  resume(): void {
    this.#socket.ref().resume();
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  /** Made once; a failed write is told of by the socket itself. */
  readonly #onWritten = (error?: Error | null): void => {
    if (!this.#closed && !error) this.#handlers?.onDrain();
  };

  #lost(reason: string): void {
    if (this.#closed) return;
    this.close();
    const unheard = this.#heard ? undefined : this.#unheardReason;
    this.#handlers?.onClose(unheard === undefined ? reason : `${reason}: ${unheard}`);
  }
}

/** What is known of a socket once it can be used. */
interface OpenedSocket {
  readonly peerCertificate?: PeerCertificate | undefined;
  /** Why the other side may have ended it before it said anything, where that is known. */
  readonly unheardReason?: string;
}

/** How sockets of one kind are opened. */
export interface SocketKind {
  open(address: Address): Socket;
  /** The event after which it can be used. */
  readonly readyEvent: "connect" | "secureConnect";
  /** Looks at a socket that can be used. @throws {Error} that says why it is not. */
  opened?(socket: Socket): OpenedSocket;
  /** A better text for a fault of the attempt. */
  faultText?(error: Error): string;
  /** The program does not go on for the sake of a connection. @default {false} */
  readonly isBackground?: boolean;
}

/** Makes a connection by a socket of some kind; no handler is called before `start`. */
export function connectBy(
  kind: SocketKind,
  { hostname, port, signal, onReached }: ConnectOptions,
): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const socket = kind.open({ hostname, port });
    if (kind.isBackground === true) socket.unref();
    if (kind.readyEvent !== "connect") socket.once("connect", () => onReached?.());
    const giveUp = (): void => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    const failed = (error: Error): void => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      const { faultText = connectionFault } = kind;
      reject(new Error(faultText(error), { cause: error }));
    };
    const ended = (): void => failed(new Error(ENDED));
    socket.on("error", failed).once("close", ended).once(kind.readyEvent, () => {
      signal.removeEventListener("abort", giveUp);
      socket.off("close", ended);
      try {
        const opened = kind.opened?.(socket) ?? {};
        resolve(new NodeStream(socket, { hostname, port }, opened));
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    });
  });
}

const netSockets: SocketKind = {
  open: ({ hostname, port }) => connect({ host: hostname, port, noDelay: true }),
  readyEvent: "connect",
  isBackground: true,
};

/** The transport of the api; over TLS it is `tls_client.ts`. */
export const nodeTransport: SessionTransport = {
  connectTcp: (options) => connectBy(netSockets, options),
  prove: proofOf,
  newNonce,
};
