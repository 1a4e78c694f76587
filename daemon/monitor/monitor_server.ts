// Shell. The HTTP side door of a service: metrics, health, readiness. GET only, one answer each.

import { type Address, formatAddress, hostFromHere } from "../../reactor/address.ts";
import { type Clock, sleep, type Timer } from "../../reactor/time/clock.ts";
import { equalSecrets } from "../../reactor/equal_secrets.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { Listener, Stream } from "../../reactor/runtime/types.ts";
import { encodeAnswer, type HttpAnswer, HttpHeadReader, type HttpRequest } from "./http_get.ts";

/** Connections at once; of more the oldest that has not asked is closed. */
export const MONITOR_CONNECTIONS_MAX = 64;

/** Longest time for one request and its answer, in milliseconds. */
export const MONITOR_REQUEST_MS = 10_000;

const NO_ROUTES: ReadonlyMap<string, MonitorRoute> = new Map();

/** Answers one path. */
export type MonitorRoute = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

/** What {@linkcode MonitorServer} is given. */
export interface MonitorServerOptions {
  readonly hostname: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** By path. */
  readonly routes: ReadonlyMap<string, MonitorRoute>;
  /** Paths that are answered to POST; a body is passed over. @default none */
  readonly posts?: ReadonlyMap<string, MonitorRoute>;
  /** What a request must show as `Authorization: Bearer`; undefined: nothing. */
  readonly token: Uint8Array | undefined;
  /** Paths that are answered without a token. */
  readonly openPaths: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A small server for scrapers and probes. Nothing that is sent to it makes it throw. */
export class MonitorServer {
  readonly #options: MonitorServerOptions;
  readonly #open = new Set<Stream>();
  /** Those of them that have not asked yet, the oldest first; each ends one. */
  readonly #silent = new Map<Stream, () => void>();
  #listener: Listener | undefined;

  constructor(options: MonitorServerOptions) {
    this.#options = options;
  }

  /**
   * Begins to accept.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  listen(): Address {
    const { hostname, port, clock } = this.#options;
    this.#listener = runtime.listenTcp({
      hostname,
      port,
      reusePort: false,
      onConnection: (stream) => this.#accept(stream),
      onAcceptError: () => sleep(clock, 1000),
    });
    return this.#listener.address;
  }

  /** Stops accepting and closes every connection. */
  close(): void {
    this.#listener?.close();
    for (const stream of this.#open) stream.close();
    this.#open.clear();
    this.#silent.clear();
  }

  #accept(stream: Stream): void {
    if (this.#open.size >= MONITOR_CONNECTIONS_MAX) {
      const [endOldest] = this.#silent.values();
      if (endOldest === undefined) return stream.close();
      endOldest();
    }
    this.#open.add(stream);
    const timer = this.#options.clock.setTimer(MONITOR_REQUEST_MS, () => this.#end(stream, timer));
    this.#silent.set(stream, () => this.#end(stream, timer));
    const reader = new HttpHeadReader();
    let asked = false;
    let written = false;
    stream.start({
      onData: (chunk) => {
        if (asked) return;
        const head = reader.push(chunk);
        if (head === undefined) return;
        asked = true;
        this.#silent.delete(stream);
        void this.#answer(head).then((bytes) => {
          if (!this.#open.has(stream)) return;
          written = true;
          if (stream.write(bytes)) stream.end();
        });
      },
      onDrain: () => {
        if (written) stream.end();
      },
      // A client that has read its answer, or gives up before it has asked.
      onEnd: () => {
        if (written || !asked) this.#end(stream, timer);
      },
      onClose: () => this.#end(stream, timer),
    });
  }

  #end(stream: Stream, timer: Timer): void {
    timer.cancel();
    this.#open.delete(stream);
    this.#silent.delete(stream);
    stream.close();
  }

  async #answer(head: HttpRequest | { readonly fault: HttpAnswer }): Promise<Uint8Array> {
    if ("fault" in head) return encodeAnswer(head.fault);
    const withBody = head.method !== "HEAD";
    try {
      return encodeAnswer(await this.#route(head), withBody);
    } catch (error) {
      this.#options.log.error("Monitor page failed", {
        path: head.path,
        error: messageOf(error),
      });
      return encodeAnswer({ status: 500, body: "It failed; the log says why\n" }, withBody);
    }
  }

  #route(request: HttpRequest): HttpAnswer | Promise<HttpAnswer> {
    const { routes, posts = NO_ROUTES, openPaths } = this.#options;
    const isRead = request.method === "GET" || request.method === "HEAD";
    const allow = posts.has(request.path) ? "POST" : "GET, HEAD";
    if (!(posts.has(request.path) ? request.method === "POST" : isRead)) {
      const body = `Only ${allow.replace(", ", " and ")} ${isRead ? "is" : "are"} answered\n`;
      return { status: 405, body, headers: { allow } };
    }
    const route = posts.get(request.path) ?? routes.get(request.path);
    if (route === undefined) {
      const paths = [...routes.keys(), ...posts.keys()];
      return { status: 404, body: `There are: ${paths.join(" ")}\n` };
    }
    if (!openPaths.has(request.path) && !this.#isAllowed(request)) {
      const headers = { "www-authenticate": "Bearer" };
      return { status: 401, body: "Needs Authorization: Bearer TOKEN\n", headers };
    }
    return route(request);
  }

  #isAllowed({ headers }: HttpRequest): boolean {
    const { token } = this.#options;
    if (token === undefined) return true;
    const shown = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    if (shown === undefined) return false;
    return equalSecrets(new TextEncoder().encode(shown), token);
  }
}

/** `http://host:port`, with a host that can be reached from here. */
export function monitorUrl(address: Address): string {
  const hostname = hostFromHere(address.hostname);
  return `http://${formatAddress({ ...address, hostname })}`;
}
