// Shell. TCP peers for tests that speak raw bytes, made of `node:net` alone: an independent witness.

import { connect, createServer, type Server, type Socket } from "node:net";
import type { Address } from "../address.ts";
import { encodeFrame, FrameDecoder } from "../frame.ts";

/** A frame a peer received. */
export interface ReceivedFrame {
  readonly msgId: number;
  readonly body: Uint8Array;
}

/** One raw connection that keeps what it receives. */
export class RawPeer {
  /** Whole frames received. */
  readonly frames: ReceivedFrame[] = [];
  /** Bytes received. */
  bytesIn = 0;
  /** The other side sent FIN. */
  ended = false;
  /** The socket is closed. */
  closed = false;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.bytesIn += chunk.length;
      this.#decoder.push(chunk, (msgId, body) => {
        this.frames.push({ msgId, body: body.slice() });
      });
    });
    socket.on("end", () => (this.ended = true));
    socket.on("close", () => (this.closed = true));
    socket.on("error", () => (this.closed = true));
  }

  /** Connects to a local port. */
  static connect(address: Address): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.hostname, port: address.port });
      socket.setNoDelay(true);
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawPeer(socket)));
    });
  }

  /** Sends bytes as they are; resolves when the kernel has them. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => void this.#socket.write(bytes, () => resolve()));
  }

  /** Sends one frame. */
  send(msgId: number, body: Uint8Array = new Uint8Array(0)): Promise<void> {
    return this.write(encodeFrame(msgId, body));
  }

  /** Stops reading. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Sends FIN and goes on reading. */
  end(): void {
    this.#socket.end();
  }

  /** Sends RST. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** A raw server that keeps its peers. */
export class RawServer {
  readonly address: Address;
  readonly peers: readonly RawPeer[];
  readonly #server: Server;

  private constructor(server: Server, address: Address, peers: readonly RawPeer[]) {
    this.#server = server;
    this.address = address;
    this.peers = peers;
  }

  /** Listens on 127.0.0.1; `onPeer` is called for each connection. */
  static listen(onPeer: (peer: RawPeer, index: number) => void = () => {}): Promise<RawServer> {
    return new Promise((resolve, reject) => {
      const peers: RawPeer[] = [];
      const server = createServer((socket) => {
        const peer = new RawPeer(socket);
        peers.push(peer);
        onPeer(peer, peers.length - 1);
      });
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => {
        const bound = server.address();
        if (bound === null || typeof bound === "string") return reject(new Error("No address"));
        resolve(new RawServer(server, { hostname: "127.0.0.1", port: bound.port }, peers));
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const peer of this.peers) peer.destroy();
  }
}
