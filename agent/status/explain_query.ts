// Core. Questions that dns passes on, why which node is picked: put to the loop of the module, answered.

import type { ExplainRequest, ExplainResponse } from "../../proto/codec.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";

/** Questions under way at once; further ones are dropped, and dns calls this agent silent. */
export const EXPLAINS_OPEN_MAX = 16;

/** Time the loop has; then the question is dropped. */
const EXPLAIN_QUERY_MS = 700;

interface Question {
  readonly request: ExplainRequest;
  readonly timer: Timer;
}

/** What an {@linkcode ExplainQueries} needs. */
export interface ExplainQueriesOptions {
  readonly clock: Clock;
  /** Puts a question to the loop of a shard. */
  ask(shard: number, id: number, request: ExplainRequest): void;
  answer(message: ExplainResponse): void;
}

/** The desk. A question that cannot be answered in time is not. */
export class ExplainQueries {
  readonly #options: ExplainQueriesOptions;
  readonly #questions = new Map<number, Question>();
  #nextId = 1;

  constructor(options: ExplainQueriesOptions) {
    this.#options = options;
  }

  /** Dns asks; `shard` knows the module, undefined when none does. */
  request(request: ExplainRequest, shard: number | undefined): void {
    const { clock, ask, answer } = this.#options;
    if (shard === undefined) return answer(answerTo(request, ""));
    if (this.#questions.size >= EXPLAINS_OPEN_MAX) return;
    const id = this.#nextId++;
    const timer = clock.setTimer(EXPLAIN_QUERY_MS, () => void this.#questions.delete(id));
    this.#questions.set(id, { request, timer });
    ask(shard, id, request);
  }

  /** The loop answers. */
  answered(id: number, explanation: string): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    question.timer.cancel();
    this.#questions.delete(id);
    this.#options.answer(answerTo(question.request, explanation));
  }

  /** Drops every question. */
  close(): void {
    for (const { timer } of this.#questions.values()) timer.cancel();
    this.#questions.clear();
  }
}

function answerTo(
  { seq, modId, cmdId, from }: ExplainRequest,
  explanation: string,
): ExplainResponse {
  return { seq, modId, cmdId, from, explanation };
}
