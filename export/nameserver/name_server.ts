// Core. Datagrams and streams of questions to answers: what was answered before at once, nobody more
// than his share.

import { isLoopback } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { RecentAskers } from "../recent_askers.ts";
import {
  type DnsCodec,
  NAME_HEAD_BYTES,
  type NameZone,
  ORDERS_MAX,
  type Prepared,
  QUESTION_BYTES_MAX,
  Rcode,
  readNameQuestion,
  refusal,
  TCP_BYTES_MAX,
  UDP_BYTES_MAX,
  UDP_BYTES_MIN,
} from "./answers.ts";

/** Questions, byte for byte, whose answers are kept; the oldest gives way. */
export const ANSWERS_KEPT_MAX = 10_000;

/** Bytes a second that are sent to one address beyond loopback; further questions are dropped. */
export const BYTES_PER_SECOND_DEFAULT = 500_000;

/** Addresses whose share is counted; when there are more all begin anew. */
export const ASKERS_MAX = 100_000;

interface Kept {
  readonly prepared: Prepared;
  /** One for each order, written when its turn comes first. */
  readonly answers: (Uint8Array | undefined)[];
  turn: number;
}

interface Asker {
  bytesLeft: number;
  atMs: number;
}

/** Counters under their names in the status. */
export interface NameServerStats {
  questions: number;
  answersKept: number;
  refused: number;
  dropped: number;
}

/** Answers bytes with bytes. */
export class NameServer {
  readonly #zone: NameZone;
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  readonly #kept = new Map<string, Kept>();
  readonly #askers = new Map<string, Asker>();
  /** Who has asked lately. */
  readonly recent: RecentAskers;
  readonly stats: NameServerStats = { questions: 0, answersKept: 0, refused: 0, dropped: 0 };

  constructor(zone: NameZone, clock: Clock, bytesPerSecond = BYTES_PER_SECOND_DEFAULT) {
    this.#zone = zone;
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.recent = new RecentAskers(clock);
  }

  /** Something has changed: nothing that was answered before counts any more. */
  changed(): void {
    this.#zone.changed();
    this.#kept.clear();
  }

  /** The answer to a datagram; undefined: none. The bytes are valid until the next call. */
  datagram(bytes: Uint8Array, host: string): Uint8Array | undefined {
    this.stats.questions++;
    this.recent.heard(host);
    const answer = this.#keptAnswer(bytes) ?? this.#newAnswer(bytes, undefined);
    if (answer === undefined || !this.#mayHave(host, answer.length)) {
      this.stats.dropped++;
      return undefined;
    }
    return answer;
  }

  /** The answer to a question over a stream; undefined: the stream should end. */
  streamed(bytes: Uint8Array): Uint8Array | undefined {
    this.stats.questions++;
    return this.#newAnswer(bytes, TCP_BYTES_MAX);
  }

  #keptAnswer(bytes: Uint8Array): Uint8Array | undefined {
    if (bytes.length < NAME_HEAD_BYTES || bytes.length > QUESTION_BYTES_MAX) return undefined;
    const kept = this.#kept.get(keyOf(this.#zone.codec, bytes));
    if (kept === undefined) return undefined;
    this.stats.answersKept++;
    const answer = kept.answers[kept.turn] ??= this.#zone.write(kept.prepared, kept.turn);
    kept.turn = (kept.turn + 1) % kept.answers.length;
    // The number of the question; all else of it is the same.
    answer[0] = bytes[0];
    answer[1] = bytes[1];
    return answer;
  }

  /** `streamMax`: largest answer over a stream; undefined: over UDP. */
  #newAnswer(bytes: Uint8Array, streamMax: number | undefined): Uint8Array | undefined {
    const question = readNameQuestion(bytes, this.#zone.codec);
    if (question === undefined) return undefined;
    if ("rcode" in question) {
      this.stats.refused++;
      return refusal(bytes, question.rcode);
    }
    const offered = Math.max(UDP_BYTES_MIN, question.udpBytes ?? UDP_BYTES_MIN);
    const max = streamMax ?? Math.min(UDP_BYTES_MAX, offered);
    try {
      const prepared = this.#zone.prepare(question, max);
      const answer = this.#zone.write(prepared, 0);
      const isLasting = prepared.sections.rcode !== Rcode.servFail;
      if (isLasting && streamMax === undefined) this.#keep(bytes, prepared, answer);
      return answer;
    } catch {
      // A name that can be read and not be written again: no one of ours.
      this.stats.refused++;
      return refusal(bytes, Rcode.formErr);
    }
  }

  #keep(bytes: Uint8Array, prepared: Prepared, answer: Uint8Array): void {
    if (this.#kept.size >= ANSWERS_KEPT_MAX) {
      const [oldest] = this.#kept.keys();
      this.#kept.delete(oldest);
    }
    const answers = new Array<Uint8Array | undefined>(
      Math.max(1, Math.min(ORDERS_MAX, prepared.chosen.length)),
    );
    answers[0] = answer;
    this.#kept.set(keyOf(this.#zone.codec, bytes), {
      prepared,
      answers,
      turn: answers.length > 1 ? 1 : 0,
    });
  }

  #mayHave(host: string, bytes: number): boolean {
    if (this.#bytesPerSecond === 0 || isLoopback(host)) return true;
    const nowMs = this.#clock.nowMs();
    let asker = this.#askers.get(host);
    if (asker === undefined) {
      if (this.#askers.size >= ASKERS_MAX) this.#askers.clear();
      asker = { bytesLeft: this.#bytesPerSecond, atMs: nowMs };
      this.#askers.set(host, asker);
    }
    const gained = (nowMs - asker.atMs) / 1000 * this.#bytesPerSecond;
    asker.bytesLeft = Math.min(this.#bytesPerSecond, asker.bytesLeft + gained);
    asker.atMs = nowMs;
    if (asker.bytesLeft < bytes) return false;
    asker.bytesLeft -= bytes;
    return true;
  }
}

/** A question as text, but for its number. */
function keyOf(codec: DnsCodec, bytes: Uint8Array): string {
  return codec.textOf(bytes.subarray(2));
}

/** Takes questions out of a stream: two bytes of length before each. */
export class QuestionReader {
  #rest = new Uint8Array();

  /**
   * Takes what has come.
   *
   * @returns the questions that are whole now; undefined: what comes is none, end the stream.
   */
  read(chunk: Uint8Array): Uint8Array[] | undefined {
    const all = new Uint8Array(this.#rest.length + chunk.length);
    all.set(this.#rest);
    all.set(chunk, this.#rest.length);
    const questions: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= 2) {
      const length = all[at] * 256 + all[at + 1];
      if (length < NAME_HEAD_BYTES || length > QUESTION_BYTES_MAX) return undefined;
      if (all.length - at < 2 + length) break;
      questions.push(all.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#rest = all.slice(at);
    return questions;
  }
}
