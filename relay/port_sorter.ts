// Core. One port for peers of several protocols: who it is shows in the first byte.

import type { Address } from "../reactor/address.ts";
import type { ByteViews } from "../reactor/byte_views.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type {
  Listener,
  ListenOptions,
  PeerCertificate,
  Stream,
  StreamHandlers,
  TcpTransport,
} from "../reactor/runtime/types.ts";
import type { ConnectionBudget } from "../reactor/tcp/connection_budget.ts";
import { Deadlines } from "./broker/deadlines.ts";
import { LinkedList, type ListPlace } from "./broker/linked_list.ts";

/** Time for the first byte of a connection; then it is closed. */
export const FIRST_BYTE_MS = 5_000;

/** Connections that have sent nothing yet; for a further one the oldest is closed. */
export const UNDECIDED_MAX = 1_024;

/** Takes over a stream: starts or closes it, in this call. */
export type Door = (stream: Stream) => void;

/** Counters of a {@linkcode PortSorter}. */
export interface PortSorterStats {
  /** Connections that have sent nothing yet. */
  readonly undecided: number;
  /** Closed because they sent nothing in time, or to make room. */
  readonly silent: number;
}

/** What a {@linkcode PortSorter} is given. */
export interface PortSorterOptions {
  readonly transport: TcpTransport;
  readonly clock: Clock;
  readonly budget: ConnectionBudget;
  /** Whose the connection is; undefined: of the server that listens. */
  doorOf(firstByte: number): Door | undefined;
}

/** A transport for a server that shares its port. */
export class PortSorter implements TcpTransport {
  readonly #options: PortSorterOptions;
  readonly #undecided = new LinkedList<SortedStream>();
  readonly #deadlines: Deadlines<SortedStream>;
  #silentCount = 0;

  constructor(options: PortSorterOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(options.clock, (stream) => this.#giveUp(stream));
  }

  get stats(): PortSorterStats {
    return { undecided: this.#undecided.size, silent: this.#silentCount };
  }

  /** @throws {BindError} naming host:port. */
  listenTcp(options: ListenOptions): Listener {
    const { transport, budget } = this.#options;
    const leave = budget.join(() => this.#evict());
    const toServer: Door = (stream) => options.onConnection(stream);
    const listener = transport.listenTcp({
      ...options,
      onConnection: (stream) => this.#accept(stream, toServer),
      onAcceptError: (error) => options.onAcceptError(error),
    });
    return {
      address: listener.address,
      close: (): void => {
        leave();
        listener.close();
        while (this.#evict());
        this.#deadlines.clear();
      },
    };
  }

  #accept(stream: Stream, toServer: Door): void {
    const { budget, doorOf } = this.#options;
    if (this.#undecided.size >= UNDECIDED_MAX) this.#evict();
    if (!budget.take()) return stream.close();
    const sorted: SortedStream = new SortedStream(stream, (firstByte) => {
      this.#forget(sorted);
      return firstByte === undefined ? undefined : doorOf(firstByte) ?? toServer;
    });
    sorted.place = this.#undecided.add(sorted);
    sorted.deadline = this.#deadlines.add(sorted, FIRST_BYTE_MS);
    stream.start(sorted);
  }

  #forget(stream: SortedStream): void {
    stream.place?.remove();
    stream.deadline?.remove();
    this.#options.budget.give();
  }

  #evict(): boolean {
    const oldest = this.#undecided.first;
    if (oldest === undefined) return false;
    this.#giveUp(oldest);
    return true;
  }

  #giveUp(stream: SortedStream): void {
    this.#silentCount++;
    this.#forget(stream);
    stream.close();
  }
}

/** A stream whose first bytes are looked at before anybody has it. */
class SortedStream implements Stream, StreamHandlers {
  place: ListPlace<SortedStream> | undefined;
  deadline: ListPlace<SortedStream> | undefined;
  readonly #inner: Stream;
  /** Asked once: where the stream goes; undefined: it has ended before. */
  #decide: ((firstByte: number | undefined) => Door | undefined) | undefined;
  #handlers: StreamHandlers | undefined;

  constructor(inner: Stream, decide: (firstByte: number | undefined) => Door | undefined) {
    this.#inner = inner;
    this.#decide = decide;
  }

  get remote(): Address {
    return this.#inner.remote;
  }

  get local(): Address {
    return this.#inner.local;
  }

  get isOpening(): boolean {
    return this.#inner.isOpening === true;
  }

  get takesTurns(): boolean {
    return this.#inner.takesTurns === true;
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#inner.peerCertificate;
  }

  get copyBelowBytes(): number {
    return this.#inner.copyBelowBytes;
  }

  get views(): ByteViews | undefined {
    return this.#inner.views;
  }

  defer(action: () => void): void {
    this.#inner.defer(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    return this.#inner.write(chunk, length);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  end(): void {
    this.#inner.end();
  }

  close(): void {
    this.#decide = undefined;
    this.#handlers = undefined;
    this.#inner.close();
  }

  /** Called by the stream below. */
  onData(chunk: Uint8Array): void {
    const decide = this.#decide;
    if (decide !== undefined && chunk.length > 0) {
      this.#decide = undefined;
      const door = decide(chunk[0]);
      // Where that can be this one is passed over from now on; they are given these bytes as well.
      if (this.#inner.canStartAgain === true) return door?.(this.#inner);
      door?.(this);
    }
    this.#handlers?.onData(chunk);
  }

  /** Called by the stream below. */
  onDrain(): void {
    this.#handlers?.onDrain();
  }

  /** Called by the stream below. */
  onEnd(): void {
    if (this.#handlers !== undefined) return this.#handlers.onEnd();
    this.#decide?.(undefined);
    this.close();
  }

  /** Called by the stream below. */
  onClose(reason: string): void {
    if (this.#handlers !== undefined) return this.#handlers.onClose(reason);
    this.#decide?.(undefined);
    this.#decide = undefined;
  }
}
