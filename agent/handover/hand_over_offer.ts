// Shell. The running agent's side of a hand-over: lets a newer one of the same user have its sockets
// and routes, and goes on serving until that one says that it serves.

import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { listenUnix, UnixPeer } from "../../reactor/fast/unix_peer.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { PackedRoute } from "../routes/packed_route.ts";
import { encodeRouteCache } from "../routes/route_cache.ts";
import { decodeAbout, encodeAbout, HandOverKind, routeMessages } from "./hand_over_messages.ts";

/** Time in which the newer agent must say that it serves; else this one forgets it. */
export const HAND_OVER_MS = 15_000;

/** Pause between two looks at a hand-over under way. */
export const HAND_OVER_LOOK_MS = 5;

/** How a {@linkcode HandOverOffer} works. */
export interface HandOverOfferOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly software: string;
  /** See `handOverName`. */
  readonly name: string;
  /** Descriptors of the ports, in their order; undefined while no worker has them. */
  sockets(): readonly number[] | undefined;
  routes(): Iterable<PackedRoute>;
  /** Has a descriptor watched: `knocked` is to be called with each connection. */
  watch(fd: number): void;
}

/** The offer of a running agent, one newer agent at a time. */
export class HandOverOffer {
  readonly #options: HandOverOfferOptions;
  #listenFd = -1;
  #peer: UnixPeer | undefined;
  #timer: Timer | undefined;
  #untilMs = 0;
  /** What is still to be sent, the sockets first. */
  #outgoing: { readonly bytes: Uint8Array; readonly fds: readonly number[] }[] = [];
  #newer = "";
  #taken = false;
  readonly #whenTaken = Promise.withResolvers<void>();

  constructor(options: HandOverOfferOptions) {
    this.#options = options;
  }

  /** The newer agent serves: this one is to end. */
  get isTaken(): boolean {
    return this.#taken;
  }

  /** Resolves then. */
  get taken(): Promise<void> {
    return this.#whenTaken.promise;
  }

  /** Begins to listen. Where that cannot be, a line says so: the agent serves all the same. */
  start(): void {
    const { name, log, watch } = this.#options;
    try {
      this.#listenFd = listenUnix(name);
    } catch (error) {
      log.info("Sockets cannot be handed over at a restart", { reason: messageOf(error) });
      return;
    }
    watch(this.#listenFd);
  }

  /** Workers have been started again. */
  watchAgain(): void {
    if (this.#listenFd >= 0) this.#options.watch(this.#listenFd);
  }

  /** Somebody of this user has connected: with this descriptor, which is ours now. */
  knocked(fd: number): void {
    if (this.#peer !== undefined || this.#listenFd < 0) {
      runtime.openLibc().close(fd);
      return;
    }
    this.#peer = new UnixPeer(fd);
    this.#outgoing = [];
    this.#untilMs = this.#options.clock.nowMs() + HAND_OVER_MS;
    this.#look();
  }

  /** Ends the offer; the newer agent sees by it that this one has closed everything. */
  close(): void {
    this.#drop();
    if (this.#listenFd >= 0) runtime.openLibc().close(this.#listenFd);
    this.#listenFd = -1;
  }

  #look(): void {
    const fault = this.#step();
    if (fault !== undefined) {
      this.#options.log.warn("Hand-over was broken off, serving goes on", { reason: fault });
      return this.#drop();
    }
    if (this.#taken) return;
    this.#timer = this.#options.clock.setTimer(HAND_OVER_LOOK_MS, () => this.#look());
  }

  /** Takes and sends what there is. @returns why the hand-over cannot go on. */
  #step(): string | undefined {
    const { clock } = this.#options;
    for (;;) {
      const message = this.#peer?.receive();
      if (message === "closed") return "the newer agent has gone";
      if (message === undefined) break;
      for (const fd of message.fds) runtime.openLibc().close(fd);
      const fault = this.#take(message.bytes);
      if (fault !== undefined || this.#taken) return fault;
    }
    while (this.#outgoing.length > 0) {
      const { bytes, fds } = this.#outgoing[0];
      if (this.#peer?.send(bytes, fds) !== true) break;
      this.#outgoing.shift();
    }
    return clock.nowMs() < this.#untilMs ? undefined : `it took longer than ${HAND_OVER_MS} ms`;
  }

  #take(bytes: Uint8Array): string | undefined {
    const { software, log, clock } = this.#options;
    if (bytes[0] === HandOverKind.Serving && this.#newer !== "") {
      this.#taken = true;
      log.info("Sockets handed over, this agent ends", { to: this.#newer });
      this.#whenTaken.resolve();
      return undefined;
    }
    const about = decodeAbout(HandOverKind.Ask, bytes);
    if (about === undefined || this.#newer !== "") return "what it says is not understood";
    const fds = this.#options.sockets();
    if (fds === undefined) return "no worker has the sockets now";
    this.#newer = about.software;
    const routes = encodeRouteCache(this.#options.routes(), clock.wallMs()).bytes;
    this.#outgoing.push({ bytes: encodeAbout(HandOverKind.Sockets, software), fds });
    for (const message of routeMessages(routes)) this.#outgoing.push({ bytes: message, fds: [] });
    return undefined;
  }

  #drop(): void {
    this.#timer?.cancel();
    this.#peer?.close();
    this.#peer = undefined;
    this.#outgoing = [];
    this.#newer = "";
  }
}
