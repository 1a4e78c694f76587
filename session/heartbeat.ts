// Core. When a client pings its server, and when a silent one counts as gone.

import { type Clock, setAligned, type Timer } from "../reactor/time/clock.ts";

/**
 * Time between two pings while they are answered. Seldom, because each wakes a host that is at rest;
 * one that is not answered is followed by others sooner. So a silent server is left within
 * 1.6 + 2 * 0.6 s, and the next one is asked before 3 s are over.
 */
export const PING_INTERVAL_MS = 1600;

/**
 * Time between two pings on a link that only brings the server something, while nothing is sent: then
 * a silent server takes nothing away, and what is sent next is followed by a ping within
 * {@linkcode PING_INTERVAL_MS}.
 */
export const PING_UNUSED_INTERVAL_MS = 10 * PING_INTERVAL_MS;

/** Default time in which an answer to a ping should come. */
export const PING_ANSWER_MS = 600;

/** Pings in a row without any answer after which the connection counts as dead. */
export const PINGS_MISSED_MAX = 2;

/** Why a silent server is left. */
export const SILENT_REASON = `no answer to ${PINGS_MISSED_MAX} pings`;

/**
 * Time without a ping after which a server closes a connection that did ping before: the host at
 * its other end is gone, and nobody would say so for hours.
 */
export const SILENCE_TIMEOUT_MS = 30_000;

/** How often is pinged. */
export interface HeartbeatSettings {
  /** Milliseconds between pings; default {@linkcode PING_INTERVAL_MS}, Infinity: never. */
  readonly intervalMs?: number;
  /**
   * Milliseconds between pings while nothing is sent; default `intervalMs`, which is right when the
   * server is to send something unasked.
   */
  readonly unusedIntervalMs?: number;
  /** Milliseconds for an answer; default {@linkcode PING_ANSWER_MS}. */
  readonly answerMs?: number;
}

/** What a {@linkcode Heartbeat} does. */
export interface HeartbeatPort {
  readonly clock: Clock;
  /** Frames sent since ever, pings included. */
  framesOut(): number;
  /** Sends a ping. */
  ping(seq: number): void;
  /** The server is silent: leave it. */
  leave(reason: string): void;
}

/**
 * Client side of the heartbeat: pings, so that a silent partition is noticed in time. An original
 * server never answers Hello, and is never pinged.
 */
export class Heartbeat {
  readonly #settings: HeartbeatSettings;
  readonly #port: HeartbeatPort;
  #missed = 0;
  #seq = 0;
  /** When the latest ping left, and how many frames had been sent by then. */
  #pingedAtMs = 0;
  #framesAtPing = 0;
  #timer: Timer | undefined;
  /** Runs out when a ping is not answered. */
  #answerTimer: Timer | undefined;

  constructor(settings: HeartbeatSettings, port: HeartbeatPort) {
    this.#settings = settings;
    this.#port = port;
  }

  /** The server has answered Hello. */
  start(): void {
    const { intervalMs = PING_INTERVAL_MS } = this.#settings;
    this.stop();
    if (intervalMs === Infinity) return;
    this.#timer = setAligned(this.#port.clock, intervalMs, () => this.#pingIfUseful());
    this.#pingedAtMs = -Infinity;
  }

  /** Any frame came: a busy link needs no pong to be alive. */
  heard(): void {
    this.#missed = 0;
    this.#answerTimer?.cancel();
    this.#answerTimer = undefined;
  }

  /** The connection is lost. */
  stop(): void {
    this.heard();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #pingIfUseful(): void {
    const { unusedIntervalMs = 0 } = this.#settings;
    const unused = this.#port.framesOut() === this.#framesAtPing;
    if (unused && this.#port.clock.nowMs() - this.#pingedAtMs < unusedIntervalMs) return;
    this.#ping();
  }

  #ping(): void {
    if (this.#answerTimer !== undefined) return;
    const { answerMs = PING_ANSWER_MS } = this.#settings;
    this.#seq = (this.#seq + 1) >>> 0;
    this.#port.ping(this.#seq);
    this.#pingedAtMs = this.#port.clock.nowMs();
    this.#framesAtPing = this.#port.framesOut();
    this.#answerTimer = this.#port.clock.setTimer(answerMs, () => this.#miss());
  }

  #miss(): void {
    this.#answerTimer = undefined;
    this.#missed++;
    if (this.#missed < PINGS_MISSED_MAX) return this.#ping();
    this.#missed = 0;
    this.#port.leave(SILENT_REASON);
  }
}
