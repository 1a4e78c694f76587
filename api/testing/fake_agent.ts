// Shell. An agent for tests: real sockets, answers decided by the test.

import "node:process";
import { createSocket, type Socket } from "node:dgram";
import { readDatagram } from "../../proto/wire.ts";

/** A question (or report) as it came, and the way to answer it. */
export interface Received {
  readonly portIndex: number;
  readonly msgId: number;
  readonly body: Uint8Array;
  /** The whole datagram. */
  readonly datagram: Uint8Array;
  /** Port of the caller's socket. */
  readonly callerPort: number;
  /** Sends a datagram back to the caller. */
  reply(datagram: Uint8Array): void;
}

/** Three UDP sockets, on loopback by default, that hand everything to the test. */
export class FakeAgent {
  readonly #sockets: Socket[] = [];
  readonly received: Received[] = [];
  ports: [number, number, number] = [0, 0, 0];
  /** Called for each datagram, after it was noted down. */
  onReceive: (received: Received) => void = () => {};

  readonly #address: string;

  private constructor(address: string) {
    this.#address = address;
  }

  /** Binds to free ports, or to the given ones. */
  static async start(
    ports: readonly number[] = [0, 0, 0],
    address = "127.0.0.1",
  ): Promise<FakeAgent> {
    const agent = new FakeAgent(address);
    const bound: number[] = [];
    for (const [portIndex, port] of ports.entries()) {
      bound.push(await agent.#bind(portIndex, port));
    }
    agent.ports = [bound[0], bound[1], bound[2]];
    return agent;
  }

  /** Frees the ports. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
    this.#sockets.length = 0;
  }

  #bind(portIndex: number, port: number): Promise<number> {
    const socket = createSocket("udp4");
    this.#sockets.push(socket);
    socket.on("message", (bytes, from) => {
      const datagram = new Uint8Array(bytes);
      const received: Received = {
        ...{ portIndex, datagram },
        ...readDatagram(datagram),
        callerPort: from.port,
        // The caller may be gone by now; then nobody waits for this answer.
        reply: (answer) => socket.send(answer, from.port, from.address, () => {}),
      };
      this.received.push(received);
      this.onReceive(received);
    });
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(port, this.#address, () => {
        // From now on an error can only be a caller that has closed its socket.
        socket.off("error", reject);
        socket.on("error", () => {});
        resolve(socket.address().port);
      });
    });
  }
}
