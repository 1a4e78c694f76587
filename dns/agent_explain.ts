// Core. Asks one agent of the fleet why it picks which node, whichever loop has its connection.

import { ExplainOutcome } from "../proto/message_ids.ts";
import { encodeExplainResponse, type ExplainRequest } from "../proto/codec.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";

/** Questions under way, in one loop and in all; further ones get no answer, and the tool asks again. */
export const EXPLAINS_MAX = 32;

/** Time an agent has to answer. */
export const EXPLAIN_MS = 800;

/** Time that all loops have together. */
export const EXPLAIN_INQUIRY_MS = EXPLAIN_MS + 200;

/** What became of a question. */
export interface Explained {
  /** One of `ExplainOutcome`. */
  readonly outcome: number;
  /** JSON, as the agent gave it. */
  readonly explanation: string;
}

const NO_SUCH_AGENT: Explained = { outcome: ExplainOutcome.NoSuchAgent, explanation: "" };
const SILENT: Explained = { outcome: ExplainOutcome.AgentSilent, explanation: "" };

/** The answer to a question. What an agent has said and no frame carries with it is as good as nothing. */
export function explainedBody(
  { seq, modId, cmdId, from }: ExplainRequest,
  { outcome, explanation }: Explained,
): Uint8Array {
  const body = encodeExplainResponse({ seq, modId, cmdId, from, explanation, outcome });
  if (body.length <= FRAME_BODY_BYTES_MAX) return body;
  return encodeExplainResponse({ seq, modId, cmdId, from, ...SILENT });
}

/** What {@linkcode AgentExplains} needs of its loop. */
export interface ExplainPort<P> {
  readonly clock: Clock;
  send(peer: P, request: ExplainRequest): void;
}

interface Question<P> {
  readonly peer: P;
  readonly timer: Timer;
  readonly done: (explained: Explained) => void;
}

/** The questions of one loop to its agents. */
export class AgentExplains<P> {
  readonly #port: ExplainPort<P>;
  readonly #questions = new Map<number, Question<P>>();
  #nextSeq = 1;
  #dropped = 0;

  constructor(port: ExplainPort<P>) {
    this.#port = port;
  }

  /** Questions not put because too many were under way. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Asks `peer`, if it is a peer of this loop; `done` is called once, unless it is dropped. */
  ask(request: ExplainRequest, peer: P | undefined, done: (explained: Explained) => void): void {
    if (peer === undefined) return done(NO_SUCH_AGENT);
    if (this.#questions.size >= EXPLAINS_MAX) {
      this.#dropped++;
      return;
    }
    const seq = this.#nextSeq;
    this.#nextSeq = (this.#nextSeq + 1) >>> 0;
    const timer = this.#port.clock.setTimer(EXPLAIN_MS, () => this.#finish(seq, SILENT));
    this.#questions.set(seq, { peer, timer, done });
    const { modId, cmdId, from } = request;
    this.#port.send(peer, { seq, modId, cmdId, from });
  }

  /** A peer answers the question `seq`; what others say is passed over. */
  answered(peer: P, seq: number, explanation: string): void {
    if (this.#questions.get(seq)?.peer !== peer) return;
    this.#finish(seq, { outcome: ExplainOutcome.Explained, explanation });
  }

  /** A peer is gone. */
  closed(peer: P): void {
    for (const [seq, question] of this.#questions) {
      if (question.peer === peer) this.#finish(seq, SILENT);
    }
  }

  /** Ends all without a word. */
  close(): void {
    for (const { timer } of this.#questions.values()) timer.cancel();
    this.#questions.clear();
  }

  #finish(seq: number, explained: Explained): void {
    const question = this.#questions.get(seq);
    if (question === undefined) return;
    this.#questions.delete(seq);
    question.timer.cancel();
    question.done(explained);
  }
}

/** What {@linkcode ExplainInquiries} needs. */
export interface ExplainInquiryPort {
  readonly clock: Clock;
  readonly loopCount: number;
  /** Lets every loop look for the agent. */
  explain(id: number, request: ExplainRequest): void;
  /** Gives the loop that asked what came of it. */
  report(loop: number, question: number, explained: Explained): void;
}

interface Inquiry {
  readonly loop: number;
  readonly question: number;
  readonly strangers: Set<number>;
  readonly timer: Timer;
}

/** The questions of tools at the loops, on the main thread: only one of them has the agent. */
export class ExplainInquiries {
  readonly #port: ExplainInquiryPort;
  readonly #inquiries = new Map<number, Inquiry>();
  #nextId = 1;

  constructor(port: ExplainInquiryPort) {
    this.#port = port;
  }

  /** A tool of a loop asks. */
  ask(loop: number, question: number, request: ExplainRequest): void {
    if (this.#inquiries.size >= EXPLAINS_MAX) return;
    const id = this.#nextId++;
    const timer = this.#port.clock.setTimer(EXPLAIN_INQUIRY_MS, () => this.#finish(id, SILENT));
    this.#inquiries.set(id, { loop, question, strangers: new Set(), timer });
    this.#port.explain(id, request);
  }

  /** A loop has its agent's answer, or no such agent. */
  explained(id: number, loop: number, explained: Explained): void {
    const inquiry = this.#inquiries.get(id);
    if (inquiry === undefined) return;
    if (explained.outcome !== ExplainOutcome.NoSuchAgent) return this.#finish(id, explained);
    inquiry.strangers.add(loop);
    if (inquiry.strangers.size === this.#port.loopCount) this.#finish(id, explained);
  }

  /** Ends all without a word. */
  close(): void {
    for (const { timer } of this.#inquiries.values()) timer.cancel();
    this.#inquiries.clear();
  }

  #finish(id: number, explained: Explained): void {
    const inquiry = this.#inquiries.get(id);
    if (inquiry === undefined) return;
    this.#inquiries.delete(id);
    inquiry.timer.cancel();
    this.#port.report(inquiry.loop, inquiry.question, explained);
  }
}
