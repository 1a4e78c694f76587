// Core. Outcomes of many calls in one datagram: each is counted once, and those that were lost are known.

import { type RouteLb, TIME_UNKNOWN_MS } from "../../balancer/mod.ts";
import { decodeBatchedReport } from "../../proto/codec.ts";
import { RetCode } from "../../proto/message_ids.ts";
import {
  OUTCOME_BYTES,
  OUTCOME_TIME_UNKNOWN,
  OutcomeField,
  OUTCOMES_MAX,
  RUN_OUTCOMES_MAX,
  RUN_TAG,
} from "../../proto/table_layout.ts";
import { ProtocolError } from "../../reactor/errors.ts";

/** Senders that are known; for one more the one that was silent longest is forgotten. */
export const BATCH_SENDERS_MAX = 4096;

/** Who sent a batch within this time is a reader of the table, in milliseconds. */
export const TABLE_READER_MS = 60_000;

/** Lost outcomes that are believed at once; a larger gap is that of another sender of the number. */
export const LOST_AT_ONCE_MAX = 1_000_000;

/**
 * Records whose nodes are looked at before they are counted. Most are in no cache of the processor where
 * there are many: one after the other each would be waited for, so close together they come at once.
 */
const SOUGHT_RECORDS = 32;
const SOUGHT_BYTES = SOUGHT_RECORDS * OUTCOME_BYTES;

/** Counters of batches. */
export interface BatchStats {
  /** Batches that were counted, in whole or in part. */
  reportBatches: number;
  /** Outcomes that their callers sent, and that never came. */
  reportsLost: number;
  /** Outcomes that came again, and were not counted again. */
  reportsRepeated: number;
}

/** Who sends batches. */
interface Sender {
  /** Outcomes it has sent. */
  next: number;
  heardAtMs: number;
}

/** Of one port. `lbOf` finds the balancer of a module among those of this thread. */
export class OutcomeBatches {
  readonly stats: BatchStats = { reportBatches: 0, reportsLost: 0, reportsRepeated: 0 };
  readonly #lbOf: (modId: number, cmdId: number) => RouteLb;
  /** By port and number of the sender. Silent longest first. */
  readonly #senders = new Map<number, Sender>();
  /** Of the records that are looked at together: where their nodes are counted. */
  readonly #places = new Int32Array(SOUGHT_RECORDS);
  readonly #soughtLbs: RouteLb[] = [];

  constructor(lbOf: (modId: number, cmdId: number) => RouteLb) {
    this.#lbOf = lbOf;
  }

  /**
   * Programs, or parts of them that map the table for themselves, that sent a batch within
   * {@linkcode TABLE_READER_MS}: each of them reads the table. One that has no calls is not seen.
   */
  readersAt(nowMs: number): number {
    let silent = 0;
    for (const { heardAtMs } of this.#senders.values()) {
      if (nowMs - heardAtMs <= TABLE_READER_MS) break;
      silent++;
    }
    return this.#senders.size - silent;
  }

  /**
   * Counts the outcomes of the body of one message.
   *
   * @param caller Port that it came from.
   * @throws {ProtocolError} when it is no such message; nothing is counted then.
   */
  take(body: Uint8Array, caller: number, nowMs: number): void {
    const { sender, first, outcomes } = decodeBatchedReport(body);
    const { length } = outcomes;
    const records = length / OUTCOME_BYTES;
    if (sender === 0) throw new ProtocolError("Batch of outcomes has no sender");
    if (!Number.isInteger(records) || records < 1 || records > OUTCOMES_MAX) {
      throw new ProtocolError(
        `Batch of outcomes must have 1 to ${OUTCOMES_MAX} records of ${OUTCOME_BYTES} bytes: ` +
          `current length is ${length}`,
      );
    }
    const view = new DataView(outcomes.buffer, outcomes.byteOffset, length);
    const count = countOutcomes(view);
    let known = this.#known(caller * 0x1_0000_0000 + sender, first, count, nowMs);
    if (known === count) return;
    this.stats.reportBatches++;
    for (let at = 0; at < length; at += OUTCOME_BYTES) {
      if (at % SOUGHT_BYTES === 0) this.#seek(view, at);
      const run = runOf(view, at);
      const news = Math.max(1, run) - known;
      known = Math.max(0, -news);
      if (news <= 0) continue;
      const place = this.#places[at % SOUGHT_BYTES / OUTCOME_BYTES];
      if (run > 0) this.#countRun(view, at, news, caller, nowMs, place);
      else this.#count(view, at, caller, nowMs, place);
    }
  }

  /** How many of the outcomes were counted before; `key`: port and number of the sender. */
  #known(key: number, first: number, count: number, nowMs: number): number {
    const end = first + count;
    const sender = this.#senders.get(key) ?? { next: first, heardAtMs: nowMs };
    const { next } = sender;
    const gap = first - next;
    const isAnother = Math.abs(gap) > LOST_AT_ONCE_MAX;
    const known = isAnother ? 0 : Math.min(count, Math.max(0, -gap));
    this.stats.reportsRepeated += known;
    if (!isAnother) this.stats.reportsLost += Math.max(0, gap);
    this.#senders.delete(key);
    sender.next = isAnother ? end : Math.max(next, end);
    sender.heardAtMs = nowMs;
    this.#senders.set(key, sender);
    if (this.#senders.size > BATCH_SENDERS_MAX) {
      for (const oldest of this.#senders.keys()) {
        this.#senders.delete(oldest);
        break;
      }
    }
    return known;
  }

  #seek(view: DataView, from: number): void {
    const count = Math.min(SOUGHT_RECORDS, (view.byteLength - from) / OUTCOME_BYTES);
    for (let i = 0; i < count; i++) {
      const at = from + i * OUTCOME_BYTES;
      const modId = view.getUint32(at + OutcomeField.ModId, true);
      const cmdId = view.getUint32(at + OutcomeField.CmdId, true);
      const ip = view.getUint32(at + OutcomeField.Ip, true);
      const port = view.getUint16(at + OutcomeField.Port, true);
      const lb = this.#lbOf(modId, cmdId);
      this.#soughtLbs[i] = lb;
      this.#places[i] = lb.homeOf(modId, cmdId, ip, port);
    }
    // A short loop, so that the processor has all of it under way.
    for (let i = 0; i < count; i++) this.#soughtLbs[i].touch(this.#places[i]);
    for (let i = 0; i < count; i++) {
      const at = from + i * OUTCOME_BYTES;
      const modId = view.getUint32(at + OutcomeField.ModId, true);
      const cmdId = view.getUint32(at + OutcomeField.CmdId, true);
      const ip = view.getUint32(at + OutcomeField.Ip, true);
      const port = view.getUint16(at + OutcomeField.Port, true);
      this.#places[i] = this.#soughtLbs[i].seek(modId, cmdId, ip, port);
    }
  }

  #countRun(
    view: DataView,
    at: number,
    count: number,
    caller: number,
    nowMs: number,
    place: number,
  ): void {
    const modId = view.getUint32(at + OutcomeField.ModId, true);
    const cmdId = view.getUint32(at + OutcomeField.CmdId, true);
    const ip = view.getUint32(at + OutcomeField.Ip, true);
    const port = view.getUint16(at + OutcomeField.Port, true);
    const timeMs = timeOf(view, at);
    this.#lbOf(modId, cmdId).reportRun(modId, cmdId, ip, port, count, timeMs, nowMs, caller, place);
  }

  #count(view: DataView, at: number, caller: number, nowMs: number, place: number): void {
    const modId = view.getUint32(at + OutcomeField.ModId, true);
    const cmdId = view.getUint32(at + OutcomeField.CmdId, true);
    const ip = view.getUint32(at + OutcomeField.Ip, true);
    const port = view.getUint16(at + OutcomeField.Port, true);
    const retcode = view.getInt32(at + OutcomeField.RetCode, true);
    const lb = this.#lbOf(modId, cmdId);
    if (port !== 0) {
      const timeMs = timeOf(view, at);
      lb.reportPlanned(modId, cmdId, ip, port, retcode, timeMs, nowMs, caller, place);
    } else if (retcode === RetCode.Success) lb.use(modId, cmdId, nowMs);
    else if (retcode === RetCode.Overload) lb.reportRefused(modId, cmdId, ONE_REFUSED, nowMs);
  }
}

/** Outcomes that a record which is a run stands for; 0: it is none. */
function runOf(view: DataView, at: number): number {
  const isRun = (view.getUint16(at + OutcomeField.Tag, true) & RUN_TAG) !== 0;
  return isRun ? view.getUint32(at + OutcomeField.Count, true) : 0;
}

/** @throws {ProtocolError} when there are runs of none, or of nothing, or too many outcomes. */
function countOutcomes(view: DataView): number {
  let count = 0;
  for (let at = 0; at < view.byteLength; at += OUTCOME_BYTES) {
    if ((view.getUint16(at + OutcomeField.Tag, true) & RUN_TAG) === 0) {
      count++;
      continue;
    }
    const run = view.getUint32(at + OutcomeField.Count, true);
    if (run === 0 || view.getUint16(at + OutcomeField.Port, true) === 0) {
      throw new ProtocolError(`Run of outcomes must have a node, and 1 of them: it has ${run}`);
    }
    count += run;
  }
  if (count > RUN_OUTCOMES_MAX) {
    throw new ProtocolError(
      `Batch must have at most ${RUN_OUTCOMES_MAX} outcomes: current count is ${count}`,
    );
  }
  return count;
}

function timeOf(view: DataView, at: number): number {
  const told = view.getUint32(at + OutcomeField.TimeMs, true);
  return told === OUTCOME_TIME_UNKNOWN ? TIME_UNKNOWN_MS : told;
}

const ONE_REFUSED = { overload: 1, unusable: 0, noNode: 0, noRoute: 0 } as const;
