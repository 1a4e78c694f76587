// Core. Which handler gets which message id, and what may reach a handler at all.

import type { Clock } from "./time/clock.ts";
import { ProtocolError } from "./errors.ts";
import { type Logger, LogRateLimiter, silentLogger } from "./log.ts";

/** Handles one message. `body` is valid only during the call; keep a copy, never the view. */
export type MessageHandler<P> = (body: Uint8Array, peer: P, msgId: number) => void;

/** Looks at each message before its handler; a returned text is the reason to close the peer. */
export type MessageGuard<P> = (peer: P, msgId: number) => string | undefined;

/** What became of a message. */
export type DispatchResult = "handled" | "unknown" | { readonly closeReason: string };

/** Options of {@linkcode MessageRouter}. */
export interface MessageRouterOptions<P> {
  /** Where unknown ids are told, at most ten lines a second. Default: nowhere. */
  log?: Logger;
  /** Needed to limit the rate of those lines; without it nothing is logged. */
  clock?: Clock;
  /** See {@linkcode MessageRouter.setGuard}. */
  guard?: MessageGuard<P>;
}

/**
 * A table of message id to handler, shared by all connections of a server.
 *
 * @example
 * ```ts
 * import { MessageRouter } from "./message_router.ts";
 * const router = new MessageRouter<string>().add(1, (body, peer) => {
 *   console.assert(peer === "someone" && body.length === 3);
 * });
 * console.assert(router.dispatch(1, new Uint8Array(3), "someone") === "handled");
 * console.assert(router.dispatch(2, new Uint8Array(3), "someone") === "unknown");
 * ```
 */
export class MessageRouter<P> {
  readonly #handlers = new Map<number, MessageHandler<P>>();
  readonly #log: Logger;
  readonly #logLimiter: LogRateLimiter | undefined;
  #guard: MessageGuard<P> | undefined;
  #unknownCount = 0;

  constructor(options: MessageRouterOptions<P> = {}) {
    this.#log = options.log ?? silentLogger;
    this.#logLimiter = options.clock === undefined ? undefined : new LogRateLimiter(options.clock);
    this.#guard = options.guard;
  }

  /** Messages that had no handler, since start. */
  get unknownCount(): number {
    return this.#unknownCount;
  }

  /**
   * Gives a message id its handler.
   *
   * @throws {Error} when the id has one already: two owners of an id are a programming mistake.
   */
  add(msgId: number, handler: MessageHandler<P>): this {
    if (this.#handlers.has(msgId)) {
      throw new Error(`Message id ${msgId} already has a handler`);
    }
    this.#handlers.set(msgId, handler);
    return this;
  }

  /** Sets or removes what is asked before each message, known or not. */
  setGuard(guard: MessageGuard<P> | undefined): void {
    this.#guard = guard;
  }

  /**
   * Hands a message to its handler. A {@linkcode ProtocolError} of the handler becomes a reason to
   * close; every other error is the handler's own fault and goes on to the caller.
   */
  dispatch(msgId: number, body: Uint8Array, peer: P): DispatchResult {
    const closeReason = this.#guard?.(peer, msgId);
    if (closeReason !== undefined) return { closeReason };
    const handler = this.#handlers.get(msgId);
    if (handler === undefined) {
      this.#countUnknown(msgId, body.length);
      return "unknown";
    }
    try {
      handler(body, peer, msgId);
    } catch (error) {
      if (error instanceof ProtocolError) return { closeReason: error.message };
      throw error;
    }
    return "handled";
  }

  #countUnknown(msgId: number, bodyBytes: number): void {
    this.#unknownCount++;
    const held = this.#logLimiter?.admit("unknown");
    if (held === undefined) return;
    this.#log.warn("Message id has no handler", { msgId, bodyBytes, ...held });
  }
}
