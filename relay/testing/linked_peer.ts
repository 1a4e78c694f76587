// Shell. A client of the original for tests, of `node:net` alone: L0, and listeners for L1 and L2.

import { createServer, type Server, type Socket } from "node:net";
import type { Address } from "../../reactor/address.ts";
import { RawPeer } from "../../reactor/testing/raw_peer.ts";
import { encodeRelayFrame, type RelayFrame, RelayFrameCutter } from "../seed/relay_frame.ts";

function listen(): Promise<{ server: Server; port: number; socket: Promise<Socket> }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    const socket = new Promise<Socket>((connected) => void server.once("connection", connected));
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const bound = server.address();
      if (bound === null || typeof bound === "string") return reject(new Error("No address"));
      resolve({ server, port: bound.port, socket });
    });
  });
}

/** A client with both links. */
export class LinkedPeer {
  readonly port1: number;
  readonly l1: Socket;
  readonly l2: Socket;
  /** What came over L2. */
  readonly frames: RelayFrame[] = [];
  /** Links that have ended. */
  readonly ended: string[] = [];

  private constructor(port1: number, l1: Socket, l2: Socket) {
    this.port1 = port1;
    this.l1 = l1;
    this.l2 = l2;
    const cutter = new RelayFrameCutter();
    l2.on(
      "data",
      (chunk: Uint8Array) =>
        cutter.push(chunk, (frame) => this.frames.push({ ...frame, data: frame.data.slice() }) > 0),
    );
    l1.resume();
    for (const [name, link] of [["l1", l1], ["l2", l2]] as const) {
      link.on("error", () => {}).on("close", () => void this.ended.push(name));
    }
  }

  /** Registers at a relay and waits for both links. */
  static async connect(relay: Address): Promise<LinkedPeer> {
    const [one, two] = [await listen(), await listen()];
    const l0 = await RawPeer.connect(relay);
    await l0.write(new TextEncoder().encode(`${one.port}X${two.port}\0`));
    const [l1, l2] = [await one.socket, await two.socket];
    one.server.close();
    two.server.close();
    l0.destroy();
    return new LinkedPeer(one.port, l1, l2);
  }

  /** Sends a frame; what is left out is 0, data is text. */
  send(frame: Partial<Omit<RelayFrame, "data">> & { text?: string }): void {
    const { text = "", ...numbers } = frame;
    const data = new TextEncoder().encode(text);
    this.l1.write(encodeRelayFrame({ kind: 1, cpid: 0, sid: 0, msgid: 0, ...numbers, data }));
  }

  /** Texts that came, without their filling. */
  get texts(): string[] {
    return this.frames.map(({ data }) => new TextDecoder().decode(data).replace(/\0+$/, ""));
  }

  close(): void {
    this.l1.destroy();
    this.l2.destroy();
  }
}
