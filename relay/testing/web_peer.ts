// Shell. A WebSocket of bytes written by hand over `node:net`, for tests: an independent witness.

import { connect, type Socket } from "node:net";
import type { Address } from "../../reactor/address.ts";

/** Kinds of WebSocket frames, RFC 6455, 5.2. */
export const WebOpcode = {
  Continued: 0,
  Text: 1,
  Binary: 2,
  Close: 8,
  Ping: 9,
  Pong: 10,
} as const;

/** One part of a message on the wire, masked with zeros. */
export function webPart(opcode: number, payload: Uint8Array, isLast = true): Uint8Array {
  const long = payload.length > 65_535 ? 8 : payload.length > 125 ? 2 : 0;
  const part = new Uint8Array(2 + long + 4 + payload.length);
  part[0] = opcode | (isLast ? 0x80 : 0);
  part[1] = 0x80 | (long === 8 ? 127 : long === 2 ? 126 : payload.length);
  for (let at = 0; at < long; at++) {
    part[1 + long - at] = Math.floor(payload.length / 256 ** at) % 256;
  }
  part.set(payload, 2 + long + 4);
  return part;
}

/** A connection that keeps what it receives, answers no ping, and ends when it is told to. */
export class WebPeer {
  /** Messages and control frames that came whole. */
  readonly messages: { readonly opcode: number; readonly payload: Uint8Array }[] = [];
  closed = false;
  /** First line of the answer to the upgrade. */
  status = "";
  readonly #socket: Socket;
  #bytes = new Uint8Array(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#take(chunk));
    socket.on("error", () => {}).on("close", () => (this.closed = true));
  }

  /** Connects; a WebSocket is asked for unless `upgrade` is false. */
  static connect(
    address: Address,
    { origin, upgrade = true }: { origin?: string; upgrade?: boolean } = {},
  ): Promise<WebPeer> {
    const { hostname, port } = address;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port, noDelay: true });
      socket.once("error", reject).once("connect", () => {
        const peer = new WebPeer(socket);
        resolve(peer);
        if (!upgrade) return;
        const head = [
          ...["GET / HTTP/1.1", `Host: ${hostname}:${port}`, "Upgrade: websocket"],
          ...["Connection: Upgrade", "Sec-WebSocket-Version: 13"],
          ...["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
          ...(origin === undefined ? [] : [`Origin: ${origin}`]),
        ];
        socket.write(`${head.join("\r\n")}\r\n\r\n`);
      });
    });
  }

  /** Code of the close frame that came; undefined: none has. */
  get closeCode(): number | undefined {
    const payload = this.messages.find(({ opcode }) => opcode === WebOpcode.Close)?.payload;
    return payload === undefined ? undefined : payload[0] * 256 + payload[1];
  }

  /** Ids of the frames of ours that came. */
  get msgIds(): number[] {
    return this.messages.filter(({ opcode }) => opcode === WebOpcode.Binary)
      .map(({ payload }) => new DataView(payload.buffer).getInt32(0, true));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Sends one message. */
  send(payload: Uint8Array): void {
    this.write(webPart(WebOpcode.Binary, payload));
  }

  /** Reads nothing more. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Uint8Array): void {
    this.#bytes = Uint8Array.from([...this.#bytes, ...chunk]);
    if (this.status === "") {
      const text = new TextDecoder("latin1").decode(this.#bytes);
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.status = text.slice(0, text.indexOf("\r\n"));
      this.#bytes = this.#bytes.slice(end + 4);
    }
    while (this.#cut());
  }

  /** Servers mask nothing, and send in one part here. */
  #cut(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 2) return false;
    const long = bytes[1] === 127 ? 8 : bytes[1] === 126 ? 2 : 0;
    if (bytes.length < 2 + long) return false;
    const size = long === 0 ? bytes[1] : bytes.slice(2, 2 + long).reduce((n, b) => n * 256 + b, 0);
    if (bytes.length < 2 + long + size) return false;
    const payload = bytes.slice(2 + long, 2 + long + size);
    const opcode = bytes[0] & 15;
    this.messages.push({ opcode, payload });
    if (opcode === WebOpcode.Close) this.close();
    this.#bytes = bytes.slice(2 + long + size);
    return true;
  }
}
