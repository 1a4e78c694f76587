// Shell. A bound UDP socket; every datagram is one whole message.

import type { Address } from "../address.ts";
import type { Clock } from "../time/clock.ts";
import { messageOf } from "../errors.ts";
import { type Logger, LogRateLimiter } from "../log.ts";
import type { UdpSocket } from "../runtime/mod.ts";
import { DATAGRAM_BYTES_MAX } from "../runtime/common.ts";
import { runtime } from "../runtime/mod.ts";

/** Options of {@linkcode UdpServer}. */
export interface UdpServerOptions {
  readonly hostname: string;
  /** 0 lets the system choose; see `address`. */
  readonly port: number;
  /** Handles one datagram (0 to 65,507 bytes); `bytes` is valid only during the call. */
  onDatagram(bytes: Uint8Array, from: Address, server: DatagramServer): void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Counters since start. */
export interface UdpServerStats {
  readonly received: number;
  readonly sent: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Sends given up: too large, socket full or closed. */
  readonly dropped: number;
  /** Faults reported by the system, such as an ICMP answer to an earlier datagram. */
  readonly socketErrors: number;
  /** Datagrams whose handler threw. */
  readonly handlerErrors: number;
}

/** A bound UDP socket, whichever way its datagrams take. */
export interface DatagramServer {
  readonly stats: UdpServerStats;
  /** The address bound, with the real port. @throws {Error} before `bind`. */
  readonly address: Address;
  /** Begins to receive. @throws {BindError} naming host:port. */
  bind(): Promise<Address>;
  /** Sends one datagram, or drops and counts it. Never throws; the bytes are free afterwards. */
  send(bytes: Uint8Array, to: Address): void;
  /** Datagrams that the system dropped because the socket was full of others; where it tells. */
  unreceivedCount?(): number;
  close(): Promise<void>;
}

/** Counters, all 0, for a server to count with. */
export function newUdpStats(): { -readonly [Key in keyof UdpServerStats]: UdpServerStats[Key] } {
  return {
    received: 0,
    sent: 0,
    bytesIn: 0,
    bytesOut: 0,
    dropped: 0,
    socketErrors: 0,
    handlerErrors: 0,
  };
}

/**
 * A UDP server that no datagram, and no peer that went away, can stop.
 *
 * @example
 * ```ts
 * import { silentLogger, systemClock, UdpServer } from "../mod.ts";
 * const server = new UdpServer({
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   clock: systemClock,
 *   log: silentLogger,
 *   onDatagram: (bytes, from, self) => self.send(bytes, from),
 * });
 * console.log((await server.bind()).port);
 * await server.close();
 * ```
 */
export class UdpServer implements DatagramServer {
  readonly #options: UdpServerOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #stats = newUdpStats();
  #socket: UdpSocket | undefined;

  constructor(options: UdpServerOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
  }

  get stats(): UdpServerStats {
    return this.#stats;
  }

  /** The address bound, with the real port. @throws {Error} before `bind`. */
  get address(): Address {
    if (this.#socket === undefined) throw new Error("UDP server is not bound yet");
    return this.#socket.address;
  }

  /**
   * Begins to receive.
   *
   * @returns the address with the real port.
   * @throws {BindError} naming host:port.
   */
  async bind(): Promise<Address> {
    if (this.#socket !== undefined) throw new Error("UDP server is bound already");
    const { hostname, port } = this.#options;
    this.#socket = await runtime.bindUdp({
      hostname,
      port,
      onDatagram: (bytes, from) => this.#receive(bytes, from),
      onError: (error) => this.#socketFailed(error),
    });
    return this.#socket.address;
  }

  /** Sends one datagram, or drops and counts it. Never throws; the bytes are free afterwards. */
  send(bytes: Uint8Array, to: Address): void {
    const fits = bytes.length <= DATAGRAM_BYTES_MAX;
    if (!fits || this.#socket === undefined || !this.#socket.send(bytes, to)) {
      this.#stats.dropped++;
      return;
    }
    this.#stats.sent++;
    this.#stats.bytesOut += bytes.length;
  }

  close(): Promise<void> {
    this.#socket?.close();
    return Promise.resolve();
  }

  #receive(bytes: Uint8Array, from: Address): void {
    this.#stats.received++;
    this.#stats.bytesIn += bytes.length;
    try {
      this.#options.onDatagram(bytes, from, this);
    } catch (error) {
      this.#stats.handlerErrors++;
      this.#tell("handler", "Datagram handler failed", error);
    }
  }

  #socketFailed(error: unknown): void {
    this.#stats.socketErrors++;
    this.#tell("socket", "UDP socket reported a fault", error);
  }

  #tell(kind: string, message: string, error: unknown): void {
    const held = this.#logLimiter.admit(kind);
    if (held === undefined) return;
    this.#options.log.warn(message, { error: messageOf(error), ...held });
  }
}
