// Core. For tests and simulations: a network in virtual time, with hosts that die, stand still and are cut off.

import { type Address, formatAddress } from "../../reactor/address.ts";
import type {
  ConnectOptions,
  Listener,
  ListenOptions,
  Stream,
  StreamHandlers,
  TcpTransport,
} from "../../reactor/runtime/types.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { SessionTransport } from "../handshake.ts";

/** Time from one end to the other, unless told otherwise. */
const LATENCY_MS = 1;

/** How a host does: `up`; `dead`, as a process that is gone; `frozen`, which takes and never answers. */
export type HostState = "up" | "dead" | "frozen";

/** One end of a connection. */
class SimStream implements Stream {
  readonly copyBelowBytes = 0;
  other: SimStream | undefined;
  closed = false;
  #handlers: StreamHandlers | undefined;
  /** When the last of what this end sent arrives: nothing overtakes it. */
  #arrivesMs = 0;
  /** What came before `start`, or while the host stood still. */
  #waiting: ((handlers: StreamHandlers) => void)[] = [];

  constructor(
    readonly network: SimNetwork,
    readonly local: Address,
    readonly remote: Address,
  ) {}

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    this.thaw();
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    if (this.closed) return true;
    const bytes = chunk.slice(0, length);
    this.#toOther((handlers) => handlers.onData(bytes));
    return true;
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.#toOther((handlers) => handlers.onEnd());
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.network.forget(this);
    const { other } = this;
    this.#toOther((handlers) => {
      if (other === undefined) return;
      other.closed = true;
      other.network.forget(other);
      handlers.onClose("the other side closed the connection");
    });
  }

  /** The connection is gone, by nobody's wish. */
  fail(reason: string): void {
    this.network.forget(this);
    this.take((handlers) => {
      this.closed = true;
      handlers.onClose(reason);
    });
  }

  /** Takes what has waited. */
  thaw(): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    for (const action of this.#waiting.splice(0)) if (!this.closed) action(handlers);
  }

  take(action: (handlers: StreamHandlers) => void): void {
    if (this.closed) return;
    if (this.#handlers === undefined || this.network.stateOf(this.local) === "frozen") {
      this.#waiting.push(action);
    } else action(this.#handlers);
  }

  #toOther(action: (handlers: StreamHandlers) => void): void {
    if (this.other !== undefined) this.carry(() => this.other?.take(action));
  }

  /** Has something arrive at the other end, after all that was sent before. */
  carry(arrive: () => void): void {
    const { network } = this;
    const nowMs = network.clock.nowMs();
    this.#arrivesMs = Math.max(this.#arrivesMs, nowMs + network.latencyMs());
    network.clock.setTimer(this.#arrivesMs - nowMs, () => {
      if (!network.hold(this, arrive)) arrive();
    });
  }
}

/** Hosts are named by what listens on them; clients are all on hosts of their own. */
export class SimNetwork {
  readonly clock: Clock;
  /** When which server was connected to, by `host:port`. */
  readonly connects: { readonly server: string; readonly atMs: number }[] = [];
  /** Connections that nobody took. */
  refusals = 0;
  readonly #listeners = new Map<string, ListenOptions>();
  readonly #states = new Map<string, HostState>();
  readonly #streams = new Set<SimStream>();
  /** Where what is sent does not arrive: `from to`, by names of hosts; and what waits there. */
  readonly #cuts = new Map<string, (() => void)[]>();
  #nextPort = 10_000;

  /** @param latencyMs Time from one end to the other, of each message. @default 1 */
  constructor(clock: Clock, readonly latencyMs: () => number = () => LATENCY_MS) {
    this.clock = clock;
  }

  stateOf({ hostname }: Address): HostState {
    return this.#states.get(hostname) ?? "up";
  }

  /** Sets how a host does; one that dies ends its connections. */
  set(hostname: string, state: HostState): void {
    this.#states.set(hostname, state);
    for (const stream of [...this.#streams]) {
      if (stream.local.hostname !== hostname) continue;
      if (state === "dead") stream.close();
      else if (state === "up") stream.thaw();
    }
  }

  /** Nobody listens on a host any more, as when its process has ended and another is to come. */
  deafen(hostname: string): void {
    for (const [key, { hostname: own }] of this.#listeners) {
      if (own === hostname) this.#listeners.delete(key);
    }
  }

  /** Holds up all that one host sends to another, or no more: then what waited arrives. */
  cut(from: string, to: string, isCut = true): void {
    const key = `${from} ${to}`;
    const waiting = this.#cuts.get(key);
    if (isCut) {
      if (waiting === undefined) this.#cuts.set(key, []);
      return;
    }
    this.#cuts.delete(key);
    for (const send of waiting ?? []) send();
  }

  /** Keeps what arrives over a line that is cut. @returns false: it is not. */
  hold(stream: SimStream, arrive: () => void): boolean {
    const waiting = this.#cuts.get(`${stream.local.hostname} ${stream.remote.hostname}`);
    waiting?.push(() => stream.carry(arrive));
    return waiting !== undefined;
  }

  /** Ends all connections between two hosts, as seen by both. */
  reset(one: string, other: string): void {
    for (const stream of [...this.#streams]) {
      if (stream.local.hostname !== one || stream.remote.hostname !== other) continue;
      const { other: far } = stream;
      for (const end of [stream, far]) end?.fail("connection reset by peer");
    }
  }

  isCut(from: Address, to: Address): boolean {
    return this.#cuts.has(`${from.hostname} ${to.hostname}`);
  }

  forget(stream: SimStream): void {
    this.#streams.delete(stream);
  }

  /** What servers listen with. */
  readonly server: TcpTransport = {
    listenTcp: (options): Listener => {
      const address = { hostname: options.hostname, port: options.port };
      this.#listeners.set(formatAddress(address), options);
      return {
        address,
        close: () => void this.#listeners.delete(formatAddress(address)),
      };
    },
  };

  /** What clients on a host connect with. */
  client(hostname: string): SessionTransport {
    return {
      connectTcp: (options) => this.#connect(hostname, options),
      prove: () => new Uint8Array(32),
      newNonce: () => new Uint8Array(16),
    };
  }

  #connect(from: string, { hostname, port, signal }: ConnectOptions): Promise<Stream> {
    const local = { hostname: from, port: this.#nextPort++ };
    const remote = { hostname, port };
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (this.isCut(local, remote) || this.isCut(remote, local)) return;
      this.clock.setTimer(2 * this.latencyMs(), () => {
        const listener = this.#listeners.get(formatAddress(remote));
        if (listener === undefined || this.stateOf(remote) === "dead") {
          this.refusals++;
          return reject(new Error("connection refused"));
        }
        this.connects.push({ server: formatAddress(remote), atMs: this.clock.nowMs() });
        const [near, far] = [
          new SimStream(this, local, remote),
          new SimStream(this, remote, local),
        ];
        near.other = far;
        far.other = near;
        this.#streams.add(near).add(far);
        // The system of a host that stands still accepts for it.
        listener.onConnection(far);
        resolve(near);
      });
    });
  }
}
