// Shell. The UDP sockets towards the agent, one for each of its ports, opened when first used.

// Deno runs the callbacks of node:dgram only once something has loaded node:process.
import "node:process";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isLoopback, parseIpv4 } from "../reactor/address.ts";
import { AGENT_PORT_COUNT } from "../proto/message_ids.ts";

/** Datagrams that wait for one socket to open; one more is dropped and counted. */
export const UNSENT_MAX = 1024;

/** What a link tells its owner. */
export interface AgentLinkEvents {
  /** A datagram of the agent; the bytes may be kept. */
  onDatagram(datagram: Uint8Array): void;
  /** A datagram was refused: nobody listens on this port (known in Node and Bun only). */
  onRefused(portIndex: number): void;
  /** The socket failed and was closed; the next datagram opens a new one. */
  onFault(portIndex: number, error: unknown): void;
}

/** The way to the agent. */
export interface AgentLink {
  /** Sends one datagram, or loses it: UDP promises nothing. Never throws. */
  send(portIndex: number, datagram: Uint8Array): void;
  /** Closes the sockets after what was given to `send` has left. */
  close(): Promise<void>;
  /** Datagrams that came from somewhere else than the agent. */
  readonly foreignCount: number;
  /** Datagrams that could not be sent. */
  readonly droppedCount: number;
}

interface Line {
  readonly socket: Socket;
  open: boolean;
  /** Datagrams given to `send` that have not left yet. */
  unsentCount: number;
  /** Those of them that wait for the socket to open. */
  waiting: Uint8Array[];
  closeWhenSent: (() => void) | undefined;
}

/**
 * Sockets by node:dgram, which Deno, Bun and Node share. A socket keeps the program alive only
 * while it has something to send.
 */
export class UdpAgentLink implements AgentLink {
  readonly #hostname: string;
  readonly #ports: readonly number[];
  readonly #events: AgentLinkEvents;
  readonly #lines: (Line | undefined)[] = new Array(AGENT_PORT_COUNT).fill(undefined);
  #ip: string | undefined;
  #closed = false;
  #foreignCount = 0;
  #droppedCount = 0;

  /** `hostname` is a dotted IPv4 address, or a name that is looked up once. */
  constructor(hostname: string, ports: readonly number[], events: AgentLinkEvents) {
    this.#hostname = hostname;
    this.#ports = ports;
    this.#events = events;
    this.#ip = hostname === "localhost" ? "127.0.0.1" : isDotted(hostname) ? hostname : undefined;
  }

  get foreignCount(): number {
    return this.#foreignCount;
  }

  get droppedCount(): number {
    return this.#droppedCount;
  }

  send(portIndex: number, datagram: Uint8Array): void {
    if (this.#closed) return;
    try {
      const line = this.#lines[portIndex] ?? this.#openLine(portIndex);
      if (line.open) {
        this.#transmit(portIndex, line, datagram, false);
      } else if (line.waiting.length < UNSENT_MAX) {
        line.unsentCount++;
        line.waiting.push(datagram);
      } else {
        this.#droppedCount++;
      }
    } catch (error) {
      // Told later, as every other fault: the caller has not finished its own bookkeeping yet.
      queueMicrotask(() => this.#fault(portIndex, this.#lines[portIndex], error));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const closing: Promise<void>[] = [];
    for (const line of this.#lines) {
      if (line === undefined) continue;
      const sent = new Promise<void>((resolve) => {
        if (line.unsentCount === 0) resolve();
        else line.closeWhenSent = resolve;
      });
      closing.push(sent.then(() => closeSocket(line.socket)));
    }
    this.#lines.fill(undefined);
    await Promise.all(closing);
  }

  #openLine(portIndex: number): Line {
    const socket = createSocket({ type: "udp4", lookup: answerAddress });
    const line: Line = {
      socket,
      open: false,
      unsentCount: 0,
      waiting: [],
      closeWhenSent: undefined,
    };
    this.#lines[portIndex] = line;
    const port = this.#ports[portIndex];
    socket.on("error", (error) => this.#onError(portIndex, line, error));
    socket.on("message", (datagram, from) => {
      if (from.port === port && from.address === this.#ip) this.#events.onDatagram(datagram);
      else this.#foreignCount++;
    });
    this.#connect(socket, port)
      .then(() => this.#onOpen(portIndex, line))
      .catch((error) => this.#fault(portIndex, line, error));
    return line;
  }

  /** Connecting lets the kernel refuse foreign datagrams and report an absent agent. */
  async #connect(socket: Socket, port: number): Promise<void> {
    const ip = await this.#resolveIp();
    const local = isLoopback(ip) ? "127.0.0.1" : "0.0.0.0";
    await new Promise<void>((resolve) => socket.bind(0, local, resolve));
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error): void => error ? reject(error) : resolve();
      socket.connect(port, ip, done);
    });
  }

  async #resolveIp(): Promise<string> {
    this.#ip ??= (await lookup(this.#hostname, { family: 4 })).address;
    return this.#ip;
  }

  #onOpen(portIndex: number, line: Line): void {
    line.open = true;
    const waiting = line.waiting;
    line.waiting = [];
    line.unsentCount -= waiting.length;
    for (const datagram of waiting) this.#transmit(portIndex, line, datagram, false);
    if (line.unsentCount === 0) this.#afterSent(line);
  }

  #transmit(portIndex: number, line: Line, datagram: Uint8Array, again: boolean): void {
    if (line.unsentCount++ === 0) line.socket.ref();
    const done = (error: Error | null): void => {
      line.unsentCount--;
      if (error && isRefusal(error) && !again) {
        // An earlier datagram was refused and this one has only delivered the news.
        this.#transmit(portIndex, line, datagram, true);
      } else if (error) {
        this.#onError(portIndex, line, error);
      }
      if (line.unsentCount === 0) this.#afterSent(line);
    };
    try {
      line.socket.send(datagram, done);
    } catch (error) {
      queueMicrotask(() => done(error instanceof Error ? error : new Error(String(error))));
    }
  }

  #afterSent(line: Line): void {
    if (line.closeWhenSent !== undefined) line.closeWhenSent();
    else line.socket.unref();
  }

  #onError(portIndex: number, line: Line, error: Error): void {
    if (isRefusal(error)) {
      if (this.#lines[portIndex] === line) this.#events.onRefused(portIndex);
    } else if (isPassing(error)) {
      this.#droppedCount++;
    } else {
      this.#fault(portIndex, line, error);
    }
  }

  #fault(portIndex: number, line: Line | undefined, error: unknown): void {
    if (line !== undefined) {
      closeSocket(line.socket);
      line.closeWhenSent?.();
      this.#droppedCount += line.waiting.length;
      line.waiting = [];
    }
    if (this.#lines[portIndex] !== line) return;
    this.#lines[portIndex] = undefined;
    this.#events.onFault(portIndex, error);
  }
}

/** Stands in for the name lookup of node:dgram, which is slow in Deno even for an address. */
function answerAddress(
  hostname: string,
  options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  // Deno and Node disagree on whether options are passed.
  (typeof options === "function" ? options as typeof callback : callback)(null, hostname, 4);
}

function isDotted(hostname: string): boolean {
  try {
    parseIpv4(hostname);
    return true;
  } catch {
    return false;
  }
}

function codeOf(error: Error): unknown {
  return (error as { code?: unknown }).code;
}

function isRefusal(error: Error): boolean {
  return codeOf(error) === "ECONNREFUSED";
}

/** Faults that cost one datagram and say nothing about the socket: its queue is full for now. */
function isPassing(error: Error): boolean {
  const code = codeOf(error);
  return code === "EAGAIN" || code === "ENOBUFS" || code === "EMSGSIZE";
}

function closeSocket(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // Closed already: what was wanted.
  }
}
