// Core. Which callers were given which nodes lately: what a report is worth that comes from one of them.

import { moduleHash } from "../../model/module.ts";

/** Stands for a caller that nobody knows apart from others. */
export const UNKNOWN_CALLER = 0;

/** Places of the table; callers, modules and nodes that share one count together. */
const PLACES = 1 << 16;

/** Calls without a report that one place knows at most; further ones are not remembered. */
const CALLS_MAX = 255;

/** A call without a report is remembered for at least so long, and at most twice. Milliseconds. */
export const CALL_REMEMBERED_MS = 30_000;

/**
 * Calls that were handed out and not yet reported, by caller, module and node. A caller is known by
 * its port, so a report that comes from another socket than the question counts as made up. Takes
 * 128 KiB and allocates nothing.
 */
export class CallerTally {
  #now = new Uint8Array(PLACES);
  #before = new Uint8Array(PLACES);
  #turnedAtMs = -Infinity;

  /** A caller was given a node; the address signed or not. O(1). */
  picked(caller: number, modId: number, cmdId: number, ip: number, port: number): void {
    const place = placeOf(caller, modId, cmdId, ip, port);
    if (this.#now[place] < CALLS_MAX) this.#now[place]++;
  }

  /** A caller reports a call: true when it was given that node, once for each time. O(1). */
  reported(caller: number, modId: number, cmdId: number, ip: number, port: number): boolean {
    const place = placeOf(caller, modId, cmdId, ip, port);
    if (this.#before[place] > 0) this.#before[place]--;
    else if (this.#now[place] > 0) this.#now[place]--;
    else return false;
    return true;
  }

  /** Forgets calls that nobody reported in time. */
  tick(nowMs: number): void {
    if (nowMs - this.#turnedAtMs < CALL_REMEMBERED_MS) return;
    this.#turnedAtMs = nowMs;
    [this.#now, this.#before] = [this.#before, this.#now];
    this.#now.fill(0);
  }
}

function placeOf(caller: number, modId: number, cmdId: number, ip: number, port: number): number {
  const node = Math.imul(ip ^ Math.imul(port, 0x85eb_ca6b), 0x9e37_79b1);
  const hash = Math.imul(moduleHash(modId | 0, cmdId | 0) ^ node ^ caller, 0xc2b2_ae35);
  return hash >>> 16;
}
