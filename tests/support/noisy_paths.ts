// Shell. Paths that lose, delay, reorder, double and damage what they carry, from a seed: one for
// datagrams and one for connections, which may also be cut, one way or both, and reset.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** What a path does to a datagram, or to a piece of a stream; shares are 0 to 1. */
export interface Noise {
  readonly loss: number;
  /** A copy comes later. */
  readonly duplicate: number;
  /** One bit is flipped. */
  readonly corrupt: number;
  /** Each way, in milliseconds. */
  readonly delayMs: number;
  /** Added or taken away, evenly spread; what is sent later may so come earlier, but in a stream. */
  readonly jitterMs: number;
}

/** A path that does nothing. */
export const NO_NOISE: Noise = { loss: 0, duplicate: 0, corrupt: 0, delayMs: 0, jitterMs: 0 };

/** Callers that a path of datagrams keeps apart; those beyond are lost. */
const CALLERS_MAX = 256;

function flipBit(bytes: Uint8Array, rng: Rng): Uint8Array {
  const damaged = bytes.slice();
  if (damaged.length > 0) damaged[nextInt(rng, damaged.length)] ^= 1 << nextInt(rng, 8);
  return damaged;
}

function delayOf({ delayMs, jitterMs }: Noise, rng: Rng): number {
  return Math.max(0, delayMs + jitterMs * (2 * rng.next() - 1));
}

/** What a path did. */
export interface NoiseCounts {
  carried: number;
  lost: number;
  doubled: number;
  damaged: number;
}

/** A path of datagrams to one port. */
export class NoisyDatagrams {
  readonly counts: NoiseCounts = { carried: 0, lost: 0, doubled: 0, damaged: 0 };
  noise: Noise = NO_NOISE;
  readonly #callers = new Map<string, UdpSocket>();
  readonly #socket: UdpSocket;
  readonly #rng: Rng;
  readonly #hostname: string;
  readonly #target: number;
  #isClosed = false;

  private constructor(socket: UdpSocket, hostname: string, target: number, rng: Rng) {
    this.#socket = socket;
    this.#hostname = hostname;
    this.#target = target;
    this.#rng = rng;
    socket.on("message", (bytes: Uint8Array, from) => {
      const upstream = this.#upstreamOf(from.address, from.port);
      if (upstream === undefined) return;
      this.#carry(bytes, (copy) => upstream.send(copy, this.#target, this.#hostname, () => {}));
    });
    socket.on("error", () => {}); // Nobody is there any more: a datagram is lost.
  }

  /** Opens a path to a port of an address of this machine, at a free port of the same address. */
  static open(hostname: string, target: number, rng: Rng): Promise<NoisyDatagrams> {
    return new Promise((resolve, reject) => {
      const socket = createSocket("udp4");
      socket.once("error", reject);
      socket.bind(0, hostname, () => resolve(new NoisyDatagrams(socket, hostname, target, rng)));
    });
  }

  get port(): number {
    return this.#socket.address().port;
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.close();
    for (const upstream of this.#callers.values()) upstream.close();
  }

  #upstreamOf(address: string, port: number): UdpSocket | undefined {
    const key = `${address} ${port}`;
    const known = this.#callers.get(key);
    if (known !== undefined || this.#callers.size >= CALLERS_MAX) return known;
    const upstream = createSocket("udp4");
    upstream.on(
      "message",
      (bytes: Uint8Array) =>
        this.#carry(bytes, (copy) => this.#socket.send(copy, port, address, () => {})),
    );
    upstream.on("error", () => {});
    this.#callers.set(key, upstream);
    return upstream;
  }

  #carry(bytes: Uint8Array, send: (bytes: Uint8Array) => void): void {
    const { noise, counts } = this;
    counts.carried++;
    if (this.#rng.next() < noise.loss) {
      counts.lost++;
      return;
    }
    const isDoubled = this.#rng.next() < noise.duplicate;
    if (isDoubled) counts.doubled++;
    for (let copy = 0; copy < (isDoubled ? 2 : 1); copy++) {
      const isDamaged = this.#rng.next() < noise.corrupt;
      if (isDamaged) counts.damaged++;
      const carried = isDamaged ? flipBit(bytes, this.#rng) : bytes.slice();
      systemClock.setTimer(delayOf(noise, this.#rng), () => {
        if (!this.#isClosed) send(carried);
      });
    }
  }
}

/** Which ways of a path of connections are cut: what is sent there is lost for good. */
export type CutWays = "none" | "to server" | "to client" | "both";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** A path of connections to one port. What a cut took is missing: such connections end when healed. */
export class NoisyStreams {
  readonly counts: NoiseCounts = { carried: 0, lost: 0, doubled: 0, damaged: 0 };
  /** Of loss and duplicates there are none in a stream. */
  noise: Noise = NO_NOISE;
  readonly #pairs = new Set<Pair>();
  readonly #server: Server;
  readonly #rng: Rng;
  readonly #target: number;
  #cut: CutWays = "none";

  private constructor(server: Server, target: number, rng: Rng) {
    this.#server = server;
    this.#target = target;
    this.#rng = rng;
    server.on("connection", (client) => this.#accept(client));
  }

  /** Opens a path to a port of 127.0.0.1. */
  static open(target: number, rng: Rng): Promise<NoisyStreams> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true });
      const path = new NoisyStreams(server, target, rng);
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(path));
    });
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Loses what is sent from now on, one way or both; "none" heals, which ends what lost something. */
  cut(ways: CutWays): void {
    if (ways === "none" && this.#cut !== "none") this.reset();
    this.#cut = ways;
  }

  /** Breaks every connection (RST). */
  reset(): void {
    for (const { client, server } of [...this.#pairs]) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  close(): Promise<void> {
    this.reset();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    const server = createConnection({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => {}); // Its close says it.
    }
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    client.on("close", end);
    server.on("close", end);
    this.#carry(client, server, "to server");
    this.#carry(server, client, "to client");
  }

  /** Pieces keep their order, however long each takes. */
  #carry(from: Socket, to: Socket, way: CutWays): void {
    let freeAtMs = 0;
    const later = (act: () => void): void => {
      const nowMs = systemClock.nowMs();
      freeAtMs = Math.max(freeAtMs, nowMs + delayOf(this.noise, this.#rng));
      if (freeAtMs <= nowMs) act();
      else systemClock.setTimer(freeAtMs - nowMs, act);
    };
    from.on("data", (piece: Uint8Array) => {
      this.counts.carried++;
      if (this.#cut === "both" || this.#cut === way) return void this.counts.lost++;
      const isDamaged = this.#rng.next() < this.noise.corrupt;
      if (isDamaged) this.counts.damaged++;
      const bytes = isDamaged ? flipBit(piece, this.#rng) : piece;
      later(() => {
        if (!to.destroyed) to.write(bytes);
      });
    });
    from.on("end", () => later(() => to.end()));
  }
}
