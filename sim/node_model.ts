// Core. A node as its callers see it: how long it takes, how often it fails, and what befalls it.

import { ReportCode } from "../balancer/mod.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { serviceTime } from "./chance.ts";

/** Mean service time of a node that is well. Milliseconds. */
export const SERVICE_MS = 10;

/** A connection to a port where nobody listens is refused after this time. Milliseconds. */
export const REFUSED_MS = 1;

/** A caller waits no longer than this for an answer. Milliseconds. */
export const CALL_TIMEOUT_MS = 1000;

/** How a node behaves. */
export interface Condition {
  /** `serve` answers; `refuse` fails at once; `silent` lets the caller wait until it gives up. */
  readonly answers: "serve" | "refuse" | "silent";
  /** Share of the served calls that fail. 0 to 1. */
  readonly errorShare: number;
  /** Service time as a multiple of that of a node that is well. Above 0. */
  readonly slowness: number;
}

/** Nothing is wrong. */
export const WELL: Condition = { answers: "serve", errorShare: 0, slowness: 1 };

/** The program is gone and its machine refuses connections. */
export const REFUSING: Condition = { answers: "refuse", errorShare: 0, slowness: 1 };

/** The machine is gone: nothing answers. */
export const SILENT: Condition = { answers: "silent", errorShare: 0, slowness: 1 };

/** True for a condition in which nothing is wrong. */
export function isWell({ answers, errorShare, slowness }: Condition): boolean {
  return answers === "serve" && errorShare === 0 && slowness === 1;
}

/** One call on its way. */
export interface Call {
  readonly agent: number;
  readonly node: number;
  readonly startMs: number;
  /** When the caller knows the outcome, if nothing befalls the node meanwhile. */
  endMs: number;
  /** What the caller reports; 0 = the call went well. */
  retcode: number;
  /** `breaks` of the node when the call began. */
  readonly breaks: number;
}

/** How many calls a node serves at a time, and how many may wait. */
export interface Capacity {
  /** Calls served at a time; 0 = any number. */
  readonly servers: number;
  /** Calls that wait for one of them; further ones are turned away. */
  readonly queueMax: number;
}

/** As many calls at a time as come. */
export const UNLIMITED: Capacity = { servers: 0, queueMax: 0 };

/** A node. */
export class NodeModel {
  readonly #capacity: Capacity;
  /** When each server is free again. Milliseconds. */
  readonly #freeAtMs: number[];
  /** When each call that waits, or waited, begins to be served; in order. Milliseconds. */
  #waitingUntilMs: number[] = [];
  #condition = WELL;
  /** How often it stopped serving; calls that were under way then are lost. */
  #breaks = 0;
  /** Since when nothing is wrong; Infinity while something is. Milliseconds. */
  wellSinceMs = -Infinity;

  constructor(capacity = UNLIMITED) {
    this.#capacity = capacity;
    this.#freeAtMs = new Array(capacity.servers).fill(-Infinity);
  }

  /** How it behaves now. */
  get condition(): Condition {
    return this.#condition;
  }

  /**
   * Changes how it behaves from `nowMs` on.
   *
   * @returns 1 when a fault begins, -1 when one ends, else 0.
   */
  become(condition: Condition, nowMs: number): 1 | 0 | -1 {
    const [before, after] = [isWell(this.#condition), isWell(condition)];
    const stops = this.#condition.answers === "serve" && condition.answers !== "serve";
    if (stops) {
      this.#breaks++;
      this.#freeAtMs.fill(-Infinity);
      this.#waitingUntilMs = [];
    }
    this.#condition = condition;
    if (before === after) return 0;
    this.wellSinceMs = after ? nowMs : Infinity;
    return after ? -1 : 1;
  }

  /** Begins a call. */
  begin(agent: number, node: number, startMs: number, rng: Rng): Call {
    const { answers, errorShare, slowness } = this.#condition;
    const breaks = this.#breaks;
    const call = (tookMs: number, retcode: number): Call => ({
      agent,
      node,
      startMs,
      endMs: startMs + tookMs,
      retcode,
      breaks,
    });
    if (answers === "refuse") return call(REFUSED_MS, ReportCode.Refused);
    if (answers === "silent") return call(CALL_TIMEOUT_MS, ReportCode.Timeout);
    // Both are drawn for every call, so that a full queue does not change the chance of others.
    const serviceMs = serviceTime(rng) * SERVICE_MS * slowness;
    const isError = rng.next() < errorShare;
    const waitMs = this.#waitMs(startMs, serviceMs);
    if (waitMs === undefined) return call(REFUSED_MS, ReportCode.Pushback);
    const tookMs = waitMs + serviceMs;
    if (tookMs >= CALL_TIMEOUT_MS) return call(CALL_TIMEOUT_MS, ReportCode.Timeout);
    return call(tookMs, isError ? ReportCode.Other : ReportCode.Success);
  }

  /**
   * The time of the outcome has come.
   *
   * @returns false when the caller has to wait on, because the node fell silent meanwhile.
   */
  finish(call: Call): boolean {
    if (call.breaks === this.#breaks) return true;
    const giveUpMs = call.startMs + CALL_TIMEOUT_MS;
    const isSilent = this.#condition.answers === "silent";
    call.retcode = isSilent ? ReportCode.Timeout : ReportCode.Refused;
    if (!isSilent || call.endMs >= giveUpMs) return true;
    call.endMs = giveUpMs;
    return false;
  }

  /**
   * How long a call waits for a server, which is then taken; undefined when the queue is full. A
   * caller that gives up is served all the same, as most servers do not know.
   */
  #waitMs(nowMs: number, serviceMs: number): number | undefined {
    const { servers, queueMax } = this.#capacity;
    if (servers === 0) return 0;
    while (this.#waitingUntilMs.length > 0 && this.#waitingUntilMs[0] <= nowMs) {
      this.#waitingUntilMs.shift();
    }
    let first = 0;
    for (let i = 1; i < servers; i++) if (this.#freeAtMs[i] < this.#freeAtMs[first]) first = i;
    const beginMs = Math.max(nowMs, this.#freeAtMs[first]);
    if (beginMs > nowMs) {
      if (this.#waitingUntilMs.length >= queueMax) return undefined;
      this.#waitingUntilMs.push(beginMs);
    }
    this.#freeAtMs[first] = beginMs + serviceMs;
    return beginMs - nowMs;
  }
}
