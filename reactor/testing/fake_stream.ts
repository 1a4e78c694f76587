// Core. A stream without a socket: tests decide when writes finish and what the peer does.

import type { Stream, StreamHandlers } from "../runtime/types.ts";

/** A {@linkcode Stream} in memory that records what its owner does. */
export class FakeStream implements Stream {
  readonly remote = { hostname: "127.0.0.1", port: 1 };
  readonly local = { hostname: "127.0.0.1", port: 2 };
  readonly copyBelowBytes = 0;
  /** Sizes of all writes. */
  readonly writes: number[] = [];
  /** `pause`, `resume`, `end` and `close`, in order. */
  readonly calls: string[] = [];
  /** What `write` answers; false keeps the chunk until `drain`. */
  takesAll = true;
  takesTurns = false;
  #handlers: StreamHandlers | undefined;

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    this.writes.push(length);
    return this.takesAll;
  }

  pause(): void {
    this.calls.push("pause");
  }

  resume(): void {
    this.calls.push("resume");
  }

  end(): void {
    this.calls.push("end");
  }

  close(): void {
    this.calls.push("close");
  }

  /** The owner's handlers, to play the peer. */
  get peer(): StreamHandlers {
    if (this.#handlers === undefined) throw new Error("Stream was not started");
    return this.#handlers;
  }
}
