// Shell. The connections of one port that others' programs ask at: so many at once, and who never asked,
// or else was silent for longest, gives his place to who comes.

import type { Socket } from "node:net";
import { connectionBudget } from "../reactor/tcp/tcp_server.ts";

/** Places for connections, within those that all ports of the process have together. */
export class StreamPlaces {
  readonly #max: number;
  /** Those heard of last at the end; true: it has asked something. */
  readonly #streams = new Map<Socket, boolean>();
  #leave: (() => void) | undefined;
  #refusedCount = 0;

  /** `max`: connections at once. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Connections that were closed for another one, or because there was no place. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Gives a place to a new connection until it is closed. False: there is none, and it is closed. */
  take(stream: Socket): boolean {
    this.#leave ??= connectionBudget.join(() => this.#evict(false));
    stream.on("error", () => stream.destroy());
    const hasRoom = this.#streams.size < this.#max || this.#evict(false) ||
      this.#evict(true);
    if (!hasRoom || !connectionBudget.take()) {
      this.#refusedCount++;
      stream.destroy();
      return false;
    }
    this.#streams.set(stream, false);
    stream.on("close", () => this.#forget(stream));
    return true;
  }

  /** It has asked something. */
  heard(stream: Socket): void {
    if (this.#streams.delete(stream)) this.#streams.set(stream, true);
  }

  /** Ends all of them. */
  close(): void {
    this.#leave?.();
    for (const stream of [...this.#streams.keys()]) {
      this.#forget(stream);
      stream.destroy();
    }
  }

  /** Ends the one that was silent for longest; `any`: also when it has asked before. */
  #evict(any: boolean): boolean {
    for (const [stream, hasAsked] of this.#streams) {
      if (hasAsked && !any) continue;
      this.#refusedCount++;
      this.#forget(stream);
      stream.destroy();
      return true;
    }
    return false;
  }

  #forget(stream: Socket): void {
    if (this.#streams.delete(stream)) connectionBudget.give();
  }
}
