// Core. A node as its callers see it: how long it takes, how often it fails, and what befalls it.

import type { Rng } from "../reactor/rng.ts";
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
  failed: boolean;
  /** `breaks` of the node when the call began. */
  readonly breaks: number;
}

/** A node. */
export class NodeModel {
  #condition = WELL;
  /** How often it stopped serving; calls that were under way then are lost. */
  #breaks = 0;
  /** Since when nothing is wrong; Infinity while something is. Milliseconds. */
  wellSinceMs = -Infinity;

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
    if (stops) this.#breaks++;
    this.#condition = condition;
    if (before === after) return 0;
    this.wellSinceMs = after ? nowMs : Infinity;
    return after ? -1 : 1;
  }

  /** Begins a call. */
  begin(agent: number, node: number, startMs: number, rng: Rng): Call {
    const { answers, errorShare, slowness } = this.#condition;
    const breaks = this.#breaks;
    if (answers !== "serve") {
      const tookMs = answers === "refuse" ? REFUSED_MS : CALL_TIMEOUT_MS;
      return { agent, node, startMs, endMs: startMs + tookMs, failed: true, breaks };
    }
    const tookMs = Math.min(CALL_TIMEOUT_MS, serviceTime(rng) * SERVICE_MS * slowness);
    const failed = rng.next() < errorShare || tookMs >= CALL_TIMEOUT_MS;
    return { agent, node, startMs, endMs: startMs + tookMs, failed, breaks };
  }

  /**
   * The time of the outcome has come.
   *
   * @returns false when the caller has to wait on, because the node fell silent meanwhile.
   */
  finish(call: Call): boolean {
    if (call.breaks === this.#breaks) return true;
    call.failed = true;
    const giveUpMs = call.startMs + CALL_TIMEOUT_MS;
    if (this.#condition.answers !== "silent" || call.endMs >= giveUpMs) return true;
    call.endMs = giveUpMs;
    return false;
  }
}
