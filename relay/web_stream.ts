// Shell. One WebSocket as a stream of frames: each binary message is one frame, whole.

import type { Address } from "../reactor/address.ts";
import { FRAME_BODY_BYTES_MAX, HEAD_BYTES, readHead } from "../reactor/frame.ts";
import type { Stream, StreamHandlers } from "../reactor/runtime/types.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { ServerSocket } from "./ws.d.ts";

/** Longest message, in bytes: one frame. */
export const WEB_MESSAGE_BYTES_MAX = HEAD_BYTES + FRAME_BODY_BYTES_MAX;

/** Time in which the other side may take its leave. */
const CLOSE_MS = 1_000;

/** Answers to pings wait only while fewer bytes wait to be read. */
const PONG_BEHIND_BYTES_MAX = 256 * 1024;

/** Status codes of RFC 6455, 7.4.1. */
const Code = { Normal: 1000, GoingAway: 1001, Broken: 1002, NoText: 1003 } as const;

/** What a {@linkcode WebStream} is given. */
export interface WebStreamOptions {
  readonly remote: Address;
  readonly local: Address;
  readonly clock: Clock;
  /** Its first message has come. */
  onFirst(): void;
  /** It sent what is no frame. */
  onBroken(): void;
  /** It is no more; called once. */
  onGone(): void;
}

/** A stream over a WebSocket. */
export class WebStream implements Stream {
  readonly remote: Address;
  readonly local: Address;
  readonly copyBelowBytes = 0;
  readonly asksPeer = true;
  readonly #socket: ServerSocket;
  readonly #options: WebStreamOptions;
  #handlers: StreamHandlers | undefined;
  /** Something came since it was pinged. */
  #heard = true;
  #hasSpoken = false;
  #isPaused = false;
  #isClosed = false;

  constructor(socket: ServerSocket, options: WebStreamOptions) {
    this.remote = options.remote;
    this.local = options.local;
    this.#socket = socket;
    this.#options = options;
    socket
      .on("message", (data, isBinary) => this.#message(data, isBinary))
      .on("ping", (data) => this.#pinged(data))
      .on("pong", () => void (this.#heard = true))
      // Of what the peer sent wrong; the socket is closed by the library.
      .on("error", (error) => this.#lost(error.message))
      .on("close", () => {
        this.#lost("the other side closed the connection");
        options.onGone();
      });
  }

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  /** The bytes are whole frames. */
  write(chunk: Uint8Array, length = chunk.length): boolean {
    for (let at = 0; at < length;) {
      const end = at + HEAD_BYTES + readHead(chunk, at).bodyBytes;
      this.#socket.send(chunk.subarray(at, end), end < length ? undefined : this.#onWritten);
      at = end;
    }
    return false;
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#socket.resume();
  }

  end(): void {
    this.#socket.close(Code.Normal, "");
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Who does not read would not take its leave either.
    if (this.#socket.bufferedAmount > 0) return this.#socket.terminate();
    this.#leave(Code.GoingAway, "");
  }

  /** Asks whether the other side is there; one that has not said anything since the last time is cut. */
  ask(): void {
    if (this.#isClosed || this.#isPaused) return;
    if (!this.#heard) return this.cut("no answer to a ping");
    this.#heard = false;
    this.#socket.ping();
  }

  /** Ends it at once. */
  cut(reason: string): void {
    this.#lost(reason);
    this.#socket.terminate();
  }

  /** Ends it and says why. */
  refuse(reason: string, code: number = Code.GoingAway): void {
    if (this.#isClosed) return;
    // Closed by nobody else from now on.
    this.#isClosed = true;
    this.#leave(code, reason);
    this.#handlers?.onClose(reason);
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (!this.#isClosed && !error) this.#handlers?.onDrain();
  };

  #message(data: Uint8Array, isBinary: boolean): void {
    if (this.#isClosed) return;
    this.#heard = true;
    const fault = frameFault(data, isBinary);
    if (fault !== undefined) {
      this.#options.onBroken();
      return this.refuse(fault, isBinary ? Code.Broken : Code.NoText);
    }
    if (!this.#hasSpoken) this.#options.onFirst();
    this.#hasSpoken = true;
    this.#handlers?.onData(data);
  }

  /** Answered by the library they would wait without bound for one that does not read. */
  #pinged(data: Uint8Array): void {
    if (this.#isClosed) return;
    this.#heard = true;
    if (this.#socket.bufferedAmount < PONG_BEHIND_BYTES_MAX) return this.#socket.pong(data);
    this.cut("slow reader: answers to its pings wait");
  }

  #leave(code: number, reason: string): void {
    const timer = this.#options.clock.setTimer(CLOSE_MS, () => this.#socket.terminate());
    this.#socket.on("close", () => timer.cancel());
    this.#socket.resume();
    this.#socket.close(code, reason);
  }

  #lost(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handlers?.onClose(reason);
  }
}

/** Why a message is not one frame; undefined: it is. */
function frameFault(data: Uint8Array, isBinary: boolean): string | undefined {
  if (!isBinary) return "messages must be binary: this one is text";
  const bodyBytes = data.length - HEAD_BYTES;
  if (bodyBytes >= 0 && readHead(data).bodyBytes === bodyBytes) return undefined;
  return `a message must be one frame, head and body: this one has ${data.length} bytes`;
}
