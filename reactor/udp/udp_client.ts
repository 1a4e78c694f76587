// Shell. Sends datagrams to one address and waits for answers: for tools and tests.

import { lookup } from "node:dns/promises";
import { type Address, formatAddress, isLoopback } from "../address.ts";
import type { Clock, Timer } from "../time/clock.ts";
import { LimitError, TimeoutError } from "../errors.ts";
import { runtime, type UdpSocket } from "../runtime/mod.ts";
import { systemClock } from "../time/system_clock.ts";

/** Answers that may wait for `receive`; when full, the oldest is dropped and counted. */
export const UNREAD_DATAGRAMS_MAX = 4096;

/** Options of {@linkcode UdpClient.open}. */
export interface UdpClientOptions {
  /** Name or IPv4 address of the peer. */
  readonly hostname: string;
  readonly port: number;
  /** Default: the system's clock. */
  readonly clock?: Clock;
}

/** Counters since start. */
export interface UdpClientStats {
  readonly sent: number;
  readonly received: number;
  /** Sends the system would not take. */
  readonly dropped: number;
  /** Answers dropped because nobody read them. */
  readonly unread: number;
  /** Faults reported by the system, for example that nobody listens there. */
  readonly socketErrors: number;
}

interface Waiter {
  readonly timer: Timer;
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
}

/** One peer over UDP. Datagrams from anybody else are ignored. */
export class UdpClient {
  /** The peer; its `hostname` is the IP address that the name stood for. */
  readonly peer: Address;
  readonly #clock: Clock;
  readonly #unread: Uint8Array[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #stats = { sent: 0, received: 0, dropped: 0, unread: 0, socketErrors: 0 };
  #socket: UdpSocket | undefined;

  private constructor(peer: Address, clock: Clock) {
    this.peer = peer;
    this.#clock = clock;
  }

  /**
   * Opens a socket for talking to one peer; nothing is sent.
   *
   * @throws {BindError} when no local socket can be had; also fails when the name is not known.
   */
  static async open(options: UdpClientOptions): Promise<UdpClient> {
    const isIp = /^[\d.]+$/.test(options.hostname);
    const hostname = isIp
      ? options.hostname
      : (await lookup(options.hostname, { family: 4 })).address;
    const client = new UdpClient({ hostname, port: options.port }, options.clock ?? systemClock);
    client.#socket = await runtime.bindUdp({
      hostname: isLoopback(hostname) ? "127.0.0.1" : "0.0.0.0",
      port: 0,
      onDatagram: (bytes, from) => client.#take(bytes, from),
      onError: () => void client.#stats.socketErrors++,
    });
    return client;
  }

  get stats(): UdpClientStats {
    return this.#stats;
  }

  /** This side. */
  get local(): Address {
    if (this.#socket === undefined) throw new Error("UDP client is closed");
    return this.#socket.address;
  }

  /** Sends one datagram; lost ones are nobody's fault and only counted. */
  send(bytes: Uint8Array): void {
    if (this.#socket?.send(bytes, this.peer) === true) this.#stats.sent++;
    else this.#stats.dropped++;
  }

  /**
   * The next datagram of the peer, in a buffer of its own.
   *
   * @throws {TimeoutError} when none comes within `timeoutMs`.
   * @throws {LimitError} when the client is closed meanwhile.
   */
  receive(timeoutMs: number): Promise<Uint8Array> {
    const ready = this.#unread.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        const what = `No answer from ${formatAddress(this.peer)} within ${timeoutMs} ms`;
        reject(new TimeoutError(what, timeoutMs));
      });
      const waiter: Waiter = { timer, resolve, reject };
      this.#waiters.push(waiter);
    });
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    for (const waiter of this.#waiters.splice(0)) {
      waiter.timer.cancel();
      waiter.reject(new LimitError("closed", "UDP client was closed"));
    }
  }

  #take(bytes: Uint8Array, from: Address): void {
    if (from.port !== this.peer.port || from.hostname !== this.peer.hostname) return;
    this.#stats.received++;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.timer.cancel();
      return waiter.resolve(bytes.slice());
    }
    if (this.#unread.length >= UNREAD_DATAGRAMS_MAX) {
      this.#unread.shift();
      this.#stats.unread++;
    }
    this.#unread.push(bytes.slice());
  }
}
