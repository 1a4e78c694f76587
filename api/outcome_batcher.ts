// Core. Gathers the outcomes of calls, so that many leave in one datagram; proto/batched_reports.md is
// the contract.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { frameBatchedReport } from "../proto/codec.ts";
import { RetCode } from "../proto/message_ids.ts";
import {
  OUTCOME_BYTES,
  OUTCOME_TIME_UNKNOWN,
  OutcomeField,
  RUN_OUTCOMES_MAX,
  RUN_TAG,
} from "../proto/table_layout.ts";

/** Records that leave at once. */
export const BATCH_RECORDS = 512;

/** Places that say which record may be that of a node; two nodes of one place take it in turn. */
const PLACES = 1024;

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
  readonly #records = new Uint8Array(BATCH_RECORDS * OUTCOME_BYTES);
  readonly #view = new DataView(this.#records.buffer);
  readonly #failing = new Set<string>();
  /** Numbers of records; what is left of an earlier batch names another one, or none. */
  readonly #places = new Uint16Array(PLACES);
  /** The agent takes runs: what goes well again is added to a record that waits. */
  takesRuns = false;
  /** Records that wait, and the outcomes in them. */
  #waiting = 0;
  #outcomes = 0;
  /** The first record behind all failures: no success is added to one before it. */
  #behindFailures = 0;
  /** Outcomes handed on before those that wait. */
  #first = 0;
  #timer: Timer | undefined;

  constructor(options: OutcomeBatcherOptions) {
    this.#options = options;
    this.#sender = 1 + Math.floor(options.rng.next() * 0xffff_fffe);
  }

  /** Outcomes handed on since the start, those that wait too. */
  get count(): number {
    return this.#first + this.#outcomes;
  }

  /** Takes an outcome; it leaves soon, or at once when it is the first failure of its node. */
  add(outcome: Outcome): void {
    if (!this.#addToRun(outcome)) this.#append(outcome);
    this.#outcomes++;
    const isUrgent = outcome.port !== 0 && this.#isFirstFailure(outcome);
    const isFull = this.#waiting === BATCH_RECORDS || this.#outcomes === RUN_OUTCOMES_MAX;
    if (isUrgent || isFull) this.flush();
    else this.#timer ??= this.#options.clock.setTimer(BATCH_WAIT_MS, () => this.flush());
  }

  /** Adds a success to a record that waits; false: there is none for it. */
  #addToRun(outcome: Outcome): boolean {
    const { ip, port, retcode } = outcome;
    if (!this.takesRuns || retcode !== RetCode.Success || port === 0) return false;
    const place = placeOf(outcome);
    const record = this.#places[place];
    this.#places[place] = this.#waiting;
    if (record < this.#behindFailures || record >= this.#waiting) return false;
    const at = record * OUTCOME_BYTES;
    const view = this.#view;
    const isSame = view.getUint32(at + OutcomeField.Ip, true) === ip &&
      view.getUint16(at + OutcomeField.Port, true) === port &&
      view.getUint32(at + OutcomeField.ModId, true) === outcome.modId &&
      view.getUint32(at + OutcomeField.CmdId, true) === outcome.cmdId &&
      view.getUint32(at + OutcomeField.TimeMs, true) === (outcome.timeMs ?? OUTCOME_TIME_UNKNOWN);
    if (!isSame) return false;
    this.#places[place] = record;
    const isRun = view.getUint16(at + OutcomeField.Tag, true) === RUN_TAG;
    const count = isRun ? view.getUint32(at + OutcomeField.Count, true) : 1;
    view.setUint16(at + OutcomeField.Tag, RUN_TAG, true);
    view.setUint32(at + OutcomeField.Count, count + 1, true);
    return true;
  }

  #append(outcome: Outcome): void {
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
    if (retcode !== RetCode.Success && port !== 0) this.#behindFailures = this.#waiting;
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
    this.#first += this.#outcomes;
    this.#waiting = 0;
    this.#outcomes = 0;
    this.#behindFailures = 0;
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

/** Where the record of an outcome is looked for. */
function placeOf({ modId, ip, port, timeMs = 0 }: Outcome): number {
  const hash = Math.imul(ip ^ port, 0x9e37_79b1) ^ Math.imul(modId, 0x85eb_ca6b) ^
    Math.imul(timeMs, 0x2c1b_3c6d);
  return (hash ^ hash >>> 15) >>> 8 & (PLACES - 1);
}
