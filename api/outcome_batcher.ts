// Core. Gathers the outcomes of calls, so that many leave in one datagram; proto/batched_reports.md is
// the contract.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { frameBatchedReport } from "../proto/codec.ts";
import { RetCode } from "../proto/message_ids.ts";
import { OUTCOME_BYTES, OUTCOME_TIME_UNKNOWN, OutcomeField } from "../proto/table_layout.ts";

/** Outcomes that leave at once. */
export const BATCH_OUTCOMES = 128;

/** So long the first of them waits for others. Milliseconds. */
export const BATCH_WAIT_MS = 10;

/** Nodes that are known to fail; when there are more all are forgotten, and tell it once more. */
export const FAILING_NODES_MAX = 65_536;

/** A module that is picked from and not reported is said to be in use so often. Milliseconds. */
export const USE_TOLD_MS = 10_000;

/** What an outcome is of. */
export interface Outcome {
  readonly modId: number;
  readonly cmdId: number;
  /** Address, unsigned; with port 0 the record is no outcome. */
  readonly ip: number;
  readonly port: number;
  readonly retcode: number;
  /** Undefined: not known. */
  readonly timeMs: number | undefined;
}

/** How an {@linkcode OutcomeBatcher} works. */
export interface OutcomeBatcherOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Sends one datagram; it may get lost. */
  send(datagram: Uint8Array): void;
}

/** Of one socket. */
export class OutcomeBatcher {
  readonly #options: OutcomeBatcherOptions;
  readonly #sender: number;
  readonly #records = new Uint8Array(BATCH_OUTCOMES * OUTCOME_BYTES);
  readonly #view = new DataView(this.#records.buffer);
  readonly #failing = new Set<string>();
  #waiting = 0;
  /** Outcomes handed on before those that wait. */
  #first = 0;
  #timer: Timer | undefined;

  constructor(options: OutcomeBatcherOptions) {
    this.#options = options;
    this.#sender = 1 + Math.floor(options.rng.next() * 0xffff_fffe);
  }

  /** Outcomes handed on since the start, those that wait too. */
  get count(): number {
    return this.#first + this.#waiting;
  }

  /** Takes an outcome; it leaves soon, or at once when it is the first failure of its node. */
  add(outcome: Outcome): void {
    const { modId, cmdId, ip, port, retcode, timeMs = OUTCOME_TIME_UNKNOWN } = outcome;
    const at = this.#waiting * OUTCOME_BYTES;
    const view = this.#view;
    view.setUint32(at + OutcomeField.ModId, modId, true);
    view.setUint32(at + OutcomeField.CmdId, cmdId, true);
    view.setUint32(at + OutcomeField.Ip, ip, true);
    view.setUint16(at + OutcomeField.Port, port, true);
    view.setUint16(at + OutcomeField.Tag, 0, true);
    view.setInt32(at + OutcomeField.RetCode, retcode, true);
    view.setUint32(at + OutcomeField.TimeMs, timeMs, true);
    this.#waiting++;
    if (this.#waiting === BATCH_OUTCOMES || (port !== 0 && this.#isFirstFailure(outcome))) {
      this.flush();
    } else {
      this.#timer ??= this.#options.clock.setTimer(BATCH_WAIT_MS, () => this.flush());
    }
  }

  /** Says that callers pick from a module, without an outcome. */
  use(modId: number, cmdId: number): void {
    this.add({ modId, cmdId, ip: 0, port: 0, retcode: RetCode.Success, timeMs: undefined });
  }

  /** Says that a caller was refused by the table. */
  refused(modId: number, cmdId: number): void {
    this.add({ modId, cmdId, ip: 0, port: 0, retcode: RetCode.Overload, timeMs: undefined });
  }

  /** Sends what waits. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting === 0) return;
    const outcomes = this.#records.subarray(0, this.#waiting * OUTCOME_BYTES);
    const datagram = frameBatchedReport({ sender: this.#sender, first: this.#first, outcomes });
    this.#first += this.#waiting;
    this.#waiting = 0;
    this.#options.send(datagram);
  }

  #isFirstFailure({ modId, cmdId, ip, port, retcode }: Outcome): boolean {
    const failing = this.#failing;
    const isWell = retcode === RetCode.Success;
    if (isWell && failing.size === 0) return false;
    const key = `${modId},${cmdId},${ip},${port}`;
    if (isWell) {
      failing.delete(key);
      return false;
    }
    if (failing.has(key)) return false;
    if (failing.size >= FAILING_NODES_MAX) failing.clear();
    failing.add(key);
    return true;
  }
}
