// Shell. The sockets of the name server: UDP, and TCP on the same port.

import { createServer, type Server, type Socket } from "node:net";
import { type Address } from "../../reactor/address.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { listenWithin } from "../../reactor/tcp/waiting_places.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";
import { StreamPlaces } from "../stream_places.ts";
import { type NameServer, QuestionReader } from "./name_server.ts";

/** Connections at once; for a further one that is closed which never asked, or was silent for longest. */
export const STREAMS_MAX = 128;

/** A connection on which nothing comes for so long is closed. */
const STREAM_IDLE_MS = 10_000;

/** Bytes that may wait for one who does not read; then the connection is closed. */
const STREAM_UNREAD_BYTES_MAX = 512 * 1024;

/** Tries to find a port that is free for both. */
const FREE_PORT_TRIES = 20;

/** What {@linkcode NameSockets} is given. */
export interface NameSocketsOptions {
  readonly server: NameServer;
  readonly hostname: string;
  /** 0: a free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Listens on both. */
export class NameSockets {
  readonly #options: NameSocketsOptions;
  readonly #places = new StreamPlaces(STREAMS_MAX);
  #udp: UdpServer | undefined;
  #tcp: Server | undefined;

  constructor(options: NameSocketsOptions) {
    this.#options = options;
  }

  /** Connections closed because there were too many. */
  get refusedCount(): number {
    return this.#places.refusedCount;
  }

  /**
   * Begins to listen.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken, for either.
   */
  async listen(): Promise<Address> {
    const { hostname, port } = this.#options;
    for (let attempt = 1;; attempt++) {
      const udp = this.#makeUdp();
      const address = await udp.bind();
      try {
        this.#tcp = await this.#listenTcp(address.port);
        this.#udp = udp;
        return { hostname, port: address.port };
      } catch (error) {
        await udp.close();
        if (port === 0 && attempt < FREE_PORT_TRIES) continue;
        const text = `${hostname}:${address.port}`;
        throw new BindError(text, true, `Cannot listen on ${text} (TCP): ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
  }

  async close(): Promise<void> {
    this.#places.close();
    await this.#udp?.close();
    await new Promise<void>((resolve) => {
      if (this.#tcp === undefined) resolve();
      else this.#tcp.close(() => resolve());
    });
  }

  #makeUdp(): UdpServer {
    const { hostname, port, clock, log, server } = this.#options;
    return new UdpServer({
      ...{ hostname, port, clock, log },
      onDatagram: (bytes, from, self) => {
        const answer = server.datagram(bytes, from.hostname);
        if (answer !== undefined) self.send(answer, from);
      },
    });
  }

  #listenTcp(port: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      const tcp = createServer((stream) => this.#serve(stream));
      tcp.once("error", reject);
      const { hostname } = this.#options;
      listenWithin(tcp, { hostname, port }, () => {
        tcp.removeListener("error", reject);
        tcp.on("error", (error) => {
          this.#options.log.warn("Name server over TCP has a fault", { reason: error.message });
        });
        resolve(tcp);
      });
    });
  }

  #serve(stream: Socket): void {
    if (!this.#places.take(stream)) return;
    const reader = new QuestionReader();
    const idle = (): Timer => this.#options.clock.setTimer(STREAM_IDLE_MS, () => stream.destroy());
    let timer = idle();
    stream.on("close", () => timer.cancel());
    stream.on("data", (chunk) => {
      timer.cancel();
      timer = idle();
      const questions = reader.read(chunk);
      if (questions === undefined) return void stream.destroy();
      if (questions.length > 0) this.#places.heard(stream);
      for (const question of questions) {
        const answer = this.#options.server.streamed(question);
        if (answer === undefined) return void stream.destroy();
        const head = new Uint8Array([answer.length >> 8, answer.length & 255]);
        stream.write(head);
        stream.write(answer);
      }
      if (stream.writableLength > STREAM_UNREAD_BYTES_MAX) stream.destroy();
    });
  }
}
