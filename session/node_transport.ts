// Shell. Sessions over node:net, in Deno, Bun and Node, for a program that is not ours.

import { connect, type Socket } from "node:net";
import type { Address } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Stream, StreamHandlers } from "../reactor/runtime/types.ts";
import type { SessionTransport } from "./handshake.ts";
import { newNonce, proofOf } from "./proof.ts";

/** A stream that does not keep the program alive until it is ended. */
class NodeStream implements Stream {
  readonly remote: Address;
  readonly local: Address;
  readonly copyBelowBytes = 0;
  readonly #socket: Socket;
  #handlers: StreamHandlers | undefined;
  #closed = false;

  constructor(socket: Socket, remote: Address) {
    this.#socket = socket;
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
      .on("data", (chunk: Uint8Array) => handlers.onData(chunk))
      .on("error", (error) => this.#lost(messageOf(error)))
      .on("close", () => this.#lost("the other side closed the connection"));
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
    this.#handlers?.onClose(reason);
  }
}

/**
 * The transport of the api, and the one place where TLS has to be put: `tls.connect` of node:tls
 * gives a socket of the same kind on all three.
 */
export const nodeTransport: SessionTransport = {
  connectTcp({ hostname, port, signal }): Promise<Stream> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port, noDelay: true });
      socket.unref();
      const giveUp = (): void => {
        socket.destroy();
        reject(signal.reason);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      socket.on("error", reject).once("connect", () => {
        signal.removeEventListener("abort", giveUp);
        resolve(new NodeStream(socket, { hostname, port }));
      });
    });
  },
  prove: proofOf,
  newNonce,
};
