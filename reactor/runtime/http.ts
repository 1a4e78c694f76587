// Shell. A port for HTTP by node:http: connections are shown as they come, so that they can be bounded.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createDoor, type Server as Door, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { listenWithin } from "../tcp/waiting_places.ts";
import { errorCode } from "./common.ts";
import { runtime } from "./mod.ts";

/** Options of {@linkcode openHttp}. */
export interface HttpOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** A connection came in; one that is not wanted is destroyed in this call. */
  onConnection(socket: Socket): void;
  /**
   * Makes a connection secret before anything is read of it, and tells `done` what is read then.
   * Who cannot be talked to so is destroyed. @default {HTTP as it comes}
   */
  secure?(socket: Socket, done: (secured: Socket) => void): void;
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  /** A caller wants to go on in another protocol. @default {it is a request like others} */
  onUpgrade?(request: IncomingMessage, socket: Duplex, head: Uint8Array): void;
  /** The runtime has given the port up, for want of file descriptors for example. */
  onLost(error: unknown): void;
}

/** A port that is open. */
export interface HttpPort {
  readonly port: number;
  /** Stops accepting; resolves when the last connection has ended. */
  close(): Promise<void>;
}

/** Limits of time are those of the caller, for both runtimes alike; theirs differ. */
function newServer({ onRequest, onUpgrade }: HttpOptions): Server {
  const server = createServer({ noDelay: true, keepAlive: true });
  server.headersTimeout = 0;
  server.requestTimeout = 0;
  server.keepAliveTimeout = 600_000;
  /** Connections with an answer under way: another one would be read as a part of it. */
  const answering = new WeakSet<Duplex>();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    answering.add(request.socket);
    response.once("close", () => void answering.delete(request.socket));
    onRequest(request, response);
  });
  if (onUpgrade !== undefined) server.on("upgrade", onUpgrade);
  server.on("clientError", (error, socket) => {
    if (!socket.writable || answering.has(socket)) return void socket.destroy();
    const status = errorCode(error) === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : "400 Bad Request";
    const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
    socket.end(answer, () => socket.destroy());
  });
  return server;
}

/**
 * Deno closes a connection after one answer where it was handed to a server that does not listen
 * itself; Bun shows the connections of its own server when they have asked.
 */
function newDoor(options: HttpOptions): Door {
  const server = newServer(options);
  const { secure } = options;
  if (runtime.name === "deno" && secure === undefined) {
    return server.on("connection", options.onConnection);
  }
  if (secure !== undefined) Object.defineProperty(server, "listening", { value: true });
  return createDoor({ noDelay: true, keepAlive: true }, (socket) => {
    options.onConnection(socket);
    if (socket.destroyed) return;
    if (secure === undefined) server.emit("connection", socket);
    else secure(socket, (secured) => void server.emit("connection", secured));
  });
}

/** @throws {Error} of node:net when the port cannot be had. */
export function openHttp(options: HttpOptions): Promise<HttpPort> {
  return new Promise((resolve, reject) => {
    const door = newDoor(options);
    let isOpen = false;
    let isWanted = true;
    const lost = (error: unknown): void => {
      if (!isOpen) return reject(error);
      if (!isWanted) return;
      isWanted = false;
      door.close();
      options.onLost(error);
    };
    door.on("error", lost).on("close", () => lost(new Error("the port was closed")));
    listenWithin(door, options, () => {
      isOpen = true;
      resolve({
        port: (door.address() as { port: number }).port,
        close(): Promise<void> {
          isWanted = false;
          return new Promise((done) => void door.close(() => done()));
        },
      });
    });
  });
}
