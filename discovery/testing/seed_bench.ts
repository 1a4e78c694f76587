// Shell. A listener of the seed's protocol for tests, and a client that knows the structs alone.

import { connect, type Socket } from "node:net";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { NodeAddress } from "../../model/node.ts";
import { DiscoveryListener } from "../discovery_listener.ts";

/** Starts a listener on a free port of loopback that takes in whoever registers. */
export async function startSeedListener(
  connectionsMax = 1024,
): Promise<{ listener: DiscoveryListener; port: number; hearts: NodeAddress[] }> {
  const hearts: NodeAddress[] = [];
  const listener = new DiscoveryListener({
    init: { hostname: "127.0.0.1", connectionsMax, software: "test", secrets: undefined },
    clock: systemClock,
    log: silentLogger,
    seed: {
      onRegister: () => "usable",
      onUnregister: () => true,
      onHeart: (node) => void hearts.push(node),
    },
  });
  return { listener, port: (await listener.listen(0)).port, hearts };
}

/** `int32`, little-endian. */
export function int32(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => view.setInt32(4 * index, value, true));
  return bytes;
}

/** One command with its argument. */
export function command(
  cmd: number,
  argument: Uint8Array = new Uint8Array(0),
  argLen = argument.length,
): Uint8Array {
  const bytes = new Uint8Array(8 + argument.length);
  bytes.set(int32(cmd, argLen));
  bytes.set(argument, 8);
  return bytes;
}

/** A serverinfo; the padding holds anything. */
export function serverInfo(ip: string, port: number, id = 0): Uint8Array {
  const bytes = new Uint8Array(24).fill(0xee);
  bytes.set(int32(id));
  bytes.fill(0, 4, 20);
  bytes.set(new TextEncoder().encode(ip).subarray(0, 16), 4);
  new DataView(bytes.buffer).setUint16(20, port, true);
  return bytes;
}

/** A server as the wire tells it. */
export interface ToldServer {
  readonly id: number;
  readonly ip: string;
  readonly port: number;
}

/** Reads the 32 bytes of an answer to connect. */
export function readTold(bytes: Uint8Array): ToldServer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getInt32(0, true) !== 0 || view.getInt32(4, true) !== 0) {
    throw new Error("Head is not 0, 0");
  }
  const text = bytes.subarray(12, 28);
  const end = text.indexOf(0);
  return {
    id: view.getInt32(8, true),
    ip: new TextDecoder().decode(text.subarray(0, end < 0 ? 16 : end)),
    port: view.getUint16(28, true),
  };
}

/** A connection that keeps every byte it is sent. */
export class SeedClient {
  readonly socket: Socket;
  ended = false;
  #bytes = new Uint8Array(0);
  #wake = (): void => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => {
      const all = new Uint8Array(this.#bytes.length + chunk.length);
      all.set(this.#bytes);
      all.set(chunk, this.#bytes.length);
      this.#bytes = all;
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    socket.on("end", end).on("close", end).on("error", end);
  }

  static open(port: number): Promise<SeedClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new SeedClient(socket)));
    });
  }

  /** Bytes received and not taken. */
  get waitingBytes(): number {
    return this.#bytes.length;
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Takes the next `count` bytes. @throws {Error} when the connection ends before. */
  async take(count: number): Promise<Uint8Array> {
    while (this.#bytes.length < count) {
      if (this.ended) throw new Error(`The connection ended with ${this.#bytes.length} bytes`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const taken = this.#bytes.slice(0, count);
    this.#bytes = this.#bytes.slice(count);
    return taken;
  }

  async connect(): Promise<ToldServer> {
    this.write(command(0));
    return readTold(await this.take(32));
  }

  async register(ip: string, port: number): Promise<number> {
    this.write(command(3, serverInfo(ip, port)));
    const bytes = await this.take(12);
    const view = new DataView(bytes.buffer);
    if (view.getInt32(0, true) !== 3 || view.getInt32(4, true) !== 4) {
      throw new Error("Head is not 3, 4");
    }
    return view.getInt32(8, true);
  }

  /** Resolves when the other side has ended the connection. */
  async untilEnded(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  close(): void {
    this.socket.destroy();
  }
}
