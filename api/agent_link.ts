// Shell. The UDP sockets towards the agent, one for each of its ports, opened when first used.

// Deno runs the callbacks of node:dgram only once something has loaded node:process.
import "node:process";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isLoopback, parseIpv4 } from "../reactor/address.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { TimeoutError } from "../reactor/errors.ts";
import { AGENT_PORT_COUNT } from "../proto/message_ids.ts";
import { newNonce, proofOf } from "../session/proof.ts";
import type { AgentLink, AgentLinkEvents } from "./link.ts";
import { SealedLink } from "./sealed_link.ts";

/** Datagrams that wait for one socket; one more is dropped and counted. */
export const UNSENT_MAX = 8192;

/** Time a socket may take to open, the look-up of the agent's name included. */
export const OPEN_MS_MAX = 5000;

interface Line {
  readonly socket: Socket;
  open: boolean;
  /** Ends an opening that takes too long; until then it keeps the program alive. */
  readonly openTimer: Timer;
  /** One of the datagrams is on its way into the socket. */
  sending: boolean;
  /** Datagrams behind it, or that wait for the socket to open. */
  waiting: Uint8Array[];
  closeWhenSent: (() => void) | undefined;
}

/**
 * Sockets by node:dgram, which Deno, Bun and Node share. They keep the program alive only while
 * they are being opened or a datagram is being sent.
 *
 * Datagrams of one port leave in the order in which they were given, also when one of them has to be
 * sent again: the agent takes a batch of outcomes that comes behind a later one for a repeated one.
 */
export class UdpAgentLink implements AgentLink {
  readonly #hostname: string;
  readonly #ports: readonly number[];
  readonly #events: AgentLinkEvents;
  readonly #clock: Clock;
  readonly #lines: (Line | undefined)[] = new Array(AGENT_PORT_COUNT).fill(undefined);
  #ip: string | undefined;
  #closed = false;
  #foreignCount = 0;
  #droppedCount = 0;

  /** `hostname` is a dotted IPv4 address, or a name that is looked up once. */
  constructor(
    hostname: string,
    ports: readonly number[],
    events: AgentLinkEvents,
    clock: Clock,
  ) {
    this.#hostname = hostname;
    this.#ports = ports;
    this.#events = events;
    this.#clock = clock;
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
      if (line.open && !line.sending) this.#transmit(portIndex, line, datagram, false);
      else if (line.waiting.length < UNSENT_MAX) line.waiting.push(datagram);
      else this.#droppedCount++;
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
        if (isIdle(line)) resolve();
        else line.closeWhenSent = resolve;
      });
      closing.push(sent.then(() => closeSocket(line.socket)));
    }
    this.#lines.fill(undefined);
    await Promise.all(closing);
  }

  #openLine(portIndex: number): Line {
    const socket = createSocket({ type: "udp4", lookup: answerAddress });
    // Now, because Deno heeds it only before the socket begins to receive. What is being sent
    // keeps the program alive all the same.
    socket.unref();
    const line: Line = {
      socket,
      open: false,
      openTimer: this.#clock.setTimer(OPEN_MS_MAX, () => {
        const message = `the socket was not open after ${OPEN_MS_MAX} ms`;
        this.#fault(portIndex, line, new TimeoutError(message, OPEN_MS_MAX));
      }),
      sending: false,
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
    line.openTimer.cancel();
    this.#sendNext(portIndex, line);
  }

  #sendNext(portIndex: number, line: Line): void {
    const next = line.waiting.shift();
    if (next !== undefined) this.#transmit(portIndex, line, next, false);
    else line.closeWhenSent?.();
  }

  /** Deno turns the order of datagrams round that are given to a new socket at once. */
  #transmit(portIndex: number, line: Line, datagram: Uint8Array, again: boolean): void {
    line.sending = true;
    const done = (error: Error | null): void => {
      if (error && isRefusal(error) && !again) {
        // An earlier datagram was refused and this one has only delivered the news.
        this.#transmit(portIndex, line, datagram, true);
        return;
      }
      line.sending = false;
      if (error) this.#onError(portIndex, line, error);
      this.#sendNext(portIndex, line);
    };
    try {
      line.socket.send(datagram, done);
    } catch (error) {
      queueMicrotask(() => done(error instanceof Error ? error : new Error(String(error))));
    }
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
      line.openTimer.cancel();
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

/** True when everything that it was given has left. */
function isIdle(line: Line): boolean {
  return !line.sending && line.waiting.length === 0;
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

/** Opens the way to an agent, sealed with the secret; as it is to loopback, or without a secret. */
export function openSealed(
  open: (events: AgentLinkEvents) => AgentLink,
  events: AgentLinkEvents,
  hostname: string,
  secret: Uint8Array | undefined,
  clock: Clock,
): AgentLink {
  // The agent of this very host wants no proof.
  if (secret === undefined || isLoopback(hostname)) return open(events);
  const wallMs = (): number => clock.wallMs();
  return new SealedLink(open, events, { secret, prove: proofOf, sender: newNonce(), wallMs });
}
